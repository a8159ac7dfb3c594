# SPDX-License-Identifier: GPL-2.0-or-later
"""File systems and disk images from folders, without mounting anything."""


def make_ext4(job, folder, image, label, size_mib, inodes=None):
    """A file system with the folder's content in the sparse file `image`. All inode tables are
    written now (they are zeros and cost nothing), or the guest would do it at its first start."""
    with open(image, "wb") as file:
        file.truncate(size_mib << 20)
    count = ["-N", inodes] if inodes else []
    job.run("mke2fs", "-q", "-F", "-t", "ext4", "-L", label, *count, "-m", "1",
            "-E", "lazy_itable_init=0,lazy_journal_init=0", "-d", folder, image)


def make_qcow2(job, raw, image):
    """Not compressed: an emulated machine that boots from it should not wait for its host."""
    job.run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", raw, image)
