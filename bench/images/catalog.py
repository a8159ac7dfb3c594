# SPDX-License-Identifier: GPL-2.0-or-later
"""Which images there are, and the hash that names one version of each.

A builder is a module with
    FILES      names of files (and folders) in bench/images that make the image what it is
    NEEDS      names of the images it is made from
    build(job, name)
"""
import hashlib
import importlib
import os
from pathlib import Path

from bench.errors import BenchError

HERE = Path(__file__).resolve().parent
TREE = HERE.parent.parent

BUILDERS = {
    "control-domain": "control_domain",
    "control-domain-desktop": "control_domain",
    "tiny-guest": "tiny_guest",
    "efi-guest": "efi_guest",
    "bios-boot": "bios_boot",
}
# What every image passes through.
SHARED_FILES = ("worker.py", "debian.py", "filesystem.py", "initramfs.py", "kernel.py")


def names():
    return list(BUILDERS)


def builder(name):
    """The module that builds the image `name`; BenchError when there is no such image."""
    if name not in BUILDERS:
        raise BenchError(f"There is no image called '{name}'.",
                         remedy=f"These are there: {', '.join(BUILDERS)}.")
    return importlib.import_module(f"bench.images.{BUILDERS[name]}")


def key(name):
    """The hash of everything of ours that the image `name` is made of. The versions of Debian's
    packages are not part of it."""
    module = builder(name)
    hashes = hashlib.sha256(name.encode())
    for file in (*SHARED_FILES, f"{BUILDERS[name]}.py", *module.files(name)):
        _add_path(hashes, HERE / file)
    for needed in module.NEEDS:
        hashes.update(key(needed).encode())
    return hashes.hexdigest()[:16]


def _add_path(hashes, path):
    """Names, contents, links and executability; not times and owners, which differ between
    checkouts."""
    if path.is_dir() and not path.is_symlink():
        for entry in sorted(path.iterdir()):
            _add_path(hashes, entry)
        return
    content = os.readlink(path).encode() if path.is_symlink() else path.read_bytes()
    executable = os.access(path, os.X_OK)
    relative = os.path.relpath(path, TREE)
    hashes.update(f"{relative} {executable} {len(content)}\n".encode())
    hashes.update(content)
