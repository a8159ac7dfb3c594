# SPDX-License-Identifier: GPL-2.0-or-later
"""boot.img: a FAT disk with SYSLINUX, for guests whose firmware is a BIOS. Whoever uses a copy puts
kernel, initrd and syslinux.cfg on it. (The way around it, -kernel, takes 1,500 instructions a byte
under Xen: each byte is read from a port.)"""
NEEDS = ()
KIB = 128 << 10


def files(_name):
    return []


def build(job):
    job.step("Making the disk")
    image = job.out / "boot.img"
    job.run("mkfs.vfat", "-C", "-F", "32", "-n", "BOOT", image, KIB)
    job.run("syslinux", "--install", image)
