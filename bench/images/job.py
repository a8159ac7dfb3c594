# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs a builder in a process of its own, as root of a user namespace where we are not root, and
tells people why it failed.

The process is on a leash: when we are killed, so is everything it started.
"""
import json
import os
import pwd
import shutil
import subprocess
import sys
from pathlib import Path

from bench import leash
from bench.errors import BenchError
from bench.images import catalog

NAMESPACE = ["unshare", "--user", "--map-root-user", "--map-auto", "--mount", "--pid", "--fork",
             "--kill-child", "--mount-proc", "--"]
TOOLS = {
    "mmdebstrap": "mmdebstrap", "apt-get": "apt", "mke2fs": "e2fsprogs", "qemu-img": "qemu-utils",
    "mcopy": "mtools",
    "mkfs.vfat": "dosfstools", "sfdisk": "fdisk", "objcopy": "binutils", "unshare": "util-linux",
    "lz4": "lz4",
}
NEED_MIB = 4096


def environment():
    env = dict(os.environ, LC_ALL="C", PYTHONPATH=str(catalog.TREE), PYTHONDONTWRITEBYTECODE="1")
    return env


def run(name, work, say):
    """Builds the image `name` in the folder `work`; its files are in work/out then."""
    _check_tools(name)
    _check_space(name, work)
    os.chmod(work, 0o755)
    (work / "out").mkdir()
    command = [*_box(name), sys.executable, "-m", "bench.images.worker", name, str(work)]
    with open(work / "log", "wb") as log:
        process = leash.spawn(command, stdout=subprocess.PIPE, stderr=log, env=environment(),
                              cwd=work)
        try:
            for line in process.stdout:
                say(f"  {line.decode().rstrip()}")
            status = process.wait()
        finally:
            leash.stop(process)
    if status != 0:
        raise _failure(name, work)


def _check_tools(name):
    path = environment()["PATH"]
    missing = {package for tool, package in TOOLS.items() if not shutil.which(tool, path=path)}
    if os.geteuid() != 0 and not shutil.which("newuidmap", path=path):
        missing.add("uidmap")
    if not Path("/usr/share/keyrings/debian-archive-keyring.gpg").exists():
        missing.add("debian-archive-keyring")
    if missing:
        raise BenchError(f"The image {name} cannot be built: "
                         "programs it is made with are not installed.",
                         remedy=f"Install them with: sudo apt install {' '.join(sorted(missing))}")


def _check_space(name, work):
    free = shutil.disk_usage(work).free >> 20
    if free < NEED_MIB:
        raise BenchError(f"The image {name} cannot be built.",
                         f"{work.parent} has only {free} MiB free, "
                         f"and the build needs {NEED_MIB} MiB for a while.",
                         "Free some space there, or set XDG_CACHE_HOME to another place.")


def _box(name):
    """How to become root: not at all, or in a namespace. BenchError when this machine allows
    neither. What mmdebstrap mounts is gone with the namespace, even when it is killed."""
    if os.geteuid() == 0:
        mounts = ["unshare", "--mount", "--"]
        allowed = subprocess.run([*mounts, "true"], capture_output=True, check=False)
        return mounts if allowed.returncode == 0 else []
    tried = subprocess.run([*NAMESPACE, "true"], capture_output=True, text=True, check=False)
    if tried.returncode == 0:
        return NAMESPACE
    user = pwd.getpwuid(os.getuid()).pw_name
    raise BenchError(f"The image {name} cannot be built: "
                     f"the user {user} cannot make a user namespace here.",
                     tried.stderr.strip(),
                     "Run it as root, or: sudo usermod --add-subuids 200000-265535 "
                     f"--add-subgids 200000-265535 {user} "
                     "and sysctl kernel.unprivileged_userns_clone=1")


def remove_tree(folder):
    """Removes a folder with files that belong to any user of the namespace."""
    box = [] if os.geteuid() == 0 else NAMESPACE[:4] + ["--"]
    subprocess.run([*box, "rm", "-rf", "--one-file-system", str(folder)], check=False)


FULL = ("No space left on device", "Disk quota exceeded", "enough free space")
OFFLINE = ("resolving", "Could not resolve", "Could not connect", "nable to connect",
           "unreachable", "Connection timed out",
           "Connection refused", "Connection failed")
DISTRUST = ("NO_PUBKEY", "not valid yet", "is expired", "couldn't be verified")


def _failure(name, work):
    """A BenchError with the reason, from the builder's own word or its log. The log is kept."""
    log = (work / "log").read_text(encoding="utf-8", errors="replace")
    kept = work.parent / f"{name}.log"
    try:
        kept.write_text(log, encoding="utf-8")
    except OSError:
        pass
    what = f"The image {name} could not be built."
    said = work / "error.json"
    if said.exists():
        return BenchError(what, **json.loads(said.read_text(encoding="utf-8")))
    why, remedy = explain(log)
    tail = "\n".join(line[:240] for line in log.splitlines()[-10:])
    return BenchError(what, f"{tail}\n{why}", f"{remedy} The whole log: {kept}")


def explain(log):
    """Why a build failed and what to do, from its log."""
    if any(text in log for text in FULL):
        return "The disk is full.", "Free some space, or set XDG_CACHE_HOME to another place."
    if any(text in log for text in OFFLINE):
        return ("The Debian archive cannot be reached.",
                "Check the network and apt's sources (sudo apt update).")
    if any(text in log for text in DISTRUST):
        return ("The Debian archive's signature was not accepted.",
                "Check the clock and the package debian-archive-keyring.")
    steps = [line[4:] for line in log.splitlines() if line.startswith("--- ")]
    return (f"The step \"{steps[-1] if steps else 'starting'}\" failed.",
            "If the Debian archive was just changing, running it again may help.")
