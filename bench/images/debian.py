# SPDX-License-Identifier: GPL-2.0-or-later
"""Debian systems in folders, made by mmdebstrap from this machine's own sources of Debian."""
import os
import subprocess

from bench.images.catalog import HERE

SUITE = "bookworm"


def install(job, root, packages, *, variant="apt", filter_file=None, hooks=()):
    """Unpacks and configures `packages` in the new folder `root`."""
    sources = job.work / "sources.list"
    sources.write_text(_sources(), encoding="utf-8")
    options = [*_proxies(), f"--include={','.join(packages)}", *hooks]
    if filter_file:
        options.append(f"--dpkgopt={filter_file}")
    where = [SUITE, root] + ([sources] if sources.stat().st_size else [])
    job.run("mmdebstrap", "--mode=root", "--format=directory", f"--variant={variant}",
            "--architectures=amd64", "--verbose",
            *options, *where, env=dict(os.environ, TMPDIR=str(job.work)))


def packages(*recipes):
    """The package lists of the recipes, joined."""
    lines = [line.strip() for recipe in recipes
             for line in (HERE / recipe / "packages").read_text(encoding="utf-8").splitlines()]
    return [line for line in lines if line and not line.startswith("#")]


def _sources():
    """The machine's own sources of Debian, whatever their syntax; none of other vendors. Empty when
    apt does not know, as on a machine whose lists were deleted: mmdebstrap uses its default
    then."""
    form = "deb $(REPO_URI) $(RELEASE) $(COMPONENT)|$(ORIGIN)|$(CODENAME)"
    found = subprocess.run(["apt-get", "indextargets", "--format", form, "Created-By: Packages"],
                           check=False,
                           stdout=subprocess.PIPE, text=True).stdout
    lines = [line.split("|") for line in found.splitlines()]
    wanted = [line for line, origin, codename in lines
              if origin == "Debian" and codename.startswith(SUITE) and line.endswith(" main")]
    return "".join(f"{line}\n" for line in dict.fromkeys(wanted))


def _proxies():
    """apt in the new system does not read this machine's configuration."""
    for protocol in ("http", "https"):
        said = subprocess.run(["apt-config", "shell", "P", f"Acquire::{protocol}::Proxy"],
                              check=False, stdout=subprocess.PIPE,
                              text=True).stdout.strip()
        proxy = said.removeprefix("P='").removesuffix("'")
        if proxy:
            yield f'--aptopt=Acquire::{protocol}::Proxy "{proxy}"'
