# SPDX-License-Identifier: GPL-2.0-or-later
"""Which build of this tree a machine sees in /usr/local: the stage disk, made anew when the build changed."""
import fcntl
import hashlib
import json
import os
from pathlib import Path

from bench.errors import BenchError
from bench.files import tool
from bench.images import cache, stage

TREE = Path(__file__).resolve().parent.parent
KEEP = 4
# Not for users' machines, so not installed: {place below /usr/local: place in the build folder}.
EXTRA = {"lib/bulkhead/measure.elf": "bench/guest/measure.elf",
         "lib/bulkhead/random-hypercalls": "hypervisor/tests/random-hypercalls",
         "lib/bulkhead/usb-keeper": "client/host/tests/usb_keeper"}
# What guests inside the machine are made of: {place below /usr/local: (image, file)}.
GUESTS = {"share/bulkhead/tiny/vmlinux": ("tiny-guest", "vmlinux"),
          "share/bulkhead/tiny/vmlinuz": ("tiny-guest", "vmlinuz"),
          "share/bulkhead/tiny/initrd.img": ("tiny-guest", "initrd.img"),
          "share/bulkhead/efi-guest.qcow2": ("efi-guest", "disk.qcow2"),
          "share/bulkhead/bios-boot.img": ("bios-boot", "boot.img")}


def build_folder():
    """The build of this tree that is staged: set up with --prefix=/usr/local."""
    named = os.environ.get("BULKHEAD_BENCH_BUILD")
    found = [Path(named)] if named else [TREE / "build-check/bench", TREE / "build-bench"]
    for folder in found:
        if (folder / "build.ninja").exists():
            return folder
    raise BenchError("This tree is not built for the bench.", f"There is no build in {found[-1]}.",
                     f"Build it:  meson setup --prefix=/usr/local {found[-1]} && ninja -C {found[-1]}\n"
                     "(or name a build folder in BULKHEAD_BENCH_BUILD, or use --no-stage).")


def current():
    """The stage disk of the build as it is now; made when it is not in the cache."""
    build = build_folder()
    extra = {place: build / path for place, path in EXTRA.items() if (build / path).exists()}
    extra.update({place: cache.get(image).folder / name for place, (image, name) in GUESTS.items()})
    folder = cache.root().parent / "stages"
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"stage-{_key(build, extra)}.img"
    with open(folder / ".lock", "w", encoding="ascii") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not target.exists():
            stage.make(target, build, extra)
            _prune(folder)
    os.utime(target)
    return target


def _key(build, extra):
    """Of the contents of all that is installed."""
    installed = json.loads(tool(["meson", "introspect", "--installed", str(build)],
                                "see what the build installs", "meson"))
    digest = hashlib.sha256(Path(stage.__file__).read_bytes())
    for place, path in sorted({**{new: old for old, new in installed.items()}, **extra}.items()):
        digest.update(str(place).encode())
        if not Path(path).exists():
            raise BenchError(f"The build is not complete: {path} is missing.", "", f"ninja -C {build}")
        if Path(path).is_file():
            digest.update(Path(path).read_bytes())
    return digest.hexdigest()[:16]


def _prune(folder):
    """Old ones stay as long as a snapshot may need them: the newest KEEP."""
    found = sorted(folder.glob("stage-*.img"), key=lambda path: path.stat().st_mtime)
    for path in found[:-KEEP]:
        path.unlink(missing_ok=True)
