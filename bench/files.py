# SPDX-License-Identifier: GPL-2.0-or-later
"""Disk image files: copies, overlays, and the errors people see when there is no room."""
import os
import subprocess
from pathlib import Path

from bench.errors import BenchError


def tool(words, what, package):
    """Runs a program that must succeed. `what` was to be done, for the error; `package` has the program."""
    try:
        done = subprocess.run(words, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              errors="replace", env=dict(os.environ, LC_ALL="C"))
    except FileNotFoundError:
        raise BenchError(f"{words[0]} is not installed.", f"It is needed to {what}.",
                         f"Install the package {package}.")
    if done.returncode != 0:
        said = (done.stderr.strip() or done.stdout.strip())[-800:]
        remedy = "Free some space." if "No space left" in said else ""
        raise BenchError(f"Could not {what}.", said, remedy)
    return done.stdout


def copy_sparse(source, target):
    """Copies a file with its holes, without copying at all where the file system can share."""
    tool(["cp", "--reflink=auto", "--sparse=always", str(source), str(target)], "copy a disk image",
         "coreutils")


def overlay(base, target, base_format="qcow2"):
    """Makes a copy-on-write disk on top of `base`, which must not change as long as it is used."""
    if not Path(base).is_file():
        raise BenchError(f"The disk image {base} does not exist.", "", "Build it: bench images build")
    tool(["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b",
          str(Path(base).resolve()), str(target)], "make a copy-on-write disk", "qemu-utils")


def empty(target, mib):
    """A sparse raw disk with an empty ext4 file system labelled bench-data."""
    with open(target, "wb") as file:
        file.truncate(mib << 20)
    tool(["mke2fs", "-q", "-F", "-t", "ext4", "-L", "bench-data", "-E",
          "lazy_itable_init=0,lazy_journal_init=0", str(target)], "make the data disk", "e2fsprogs")
