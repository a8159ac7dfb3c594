# SPDX-License-Identifier: GPL-2.0-or-later
"""The disk images of one machine on Bochs, made in its run folder: raw copies, in the order they are attached."""
import os

from bench import bochs_config, boot, files, hypervisors, images, staging
from bench.images import esp


def make(config, place):
    """Makes the ESP, the root disk, the tree's build and further disks in the folder `place`, or finds
    them there; their names. BenchError before anything is made when Bochs cannot have them."""
    disks = {"esp.img": None, "root.img": None}
    image = images.get(config.image)
    disks["root.img"] = (image.folder / "disk.qcow2", "qcow2")
    if config.stage:
        disks["stage.img"] = (staging.current(), "raw")
    for number, name in enumerate(config.disks):
        disks[f"disk{number}.img"] = boot.further_disk(name)
    bochs_config.check(config, len(disks))
    for name, source in disks.items():
        if (place / name).exists():
            continue
        if source:
            _copy(*source, place / name)
        else:
            esp.make(place / name, _esp_files(config, image))
        size = os.path.getsize(place / name)
        os.truncate(place / name, bochs_config.whole_cylinders(size))
    # A killed Bochs leaves them, and the next would not open the disks.
    for lock in place.glob("*.lock"):
        lock.unlink()
    return list(disks)


def _copy(source, file_format, target):
    """Bochs cannot put a copy-on-write layer on a QCOW2 image, hence a copy."""
    files.tool(["qemu-img", "convert", "-f", file_format, "-O", "raw", str(source), str(target)],
               "copy a disk image", "qemu-utils")


def _esp_files(config, image):
    options = bochs_config.kernel_options(config.kernel_options)
    return hypervisors.esp_files(config.replace(kernel_options=options), image)
