# SPDX-License-Identifier: GPL-2.0-or-later
"""The control domain, a Debian system with the reference's tools (Xen 4.17, KVM, QEMU, libvirt).

control-domain: disk.qcow2 (ext4 on the whole disk, label control-domain), vmlinuz,
vmlinux (the same, unpacked), initrd.img, xen.efi (for EFI), xen (ELF, for Multiboot).
control-domain-desktop: the same plus X, a session and sound, to show the client.
The disks it looks for, the network and the consoles are described in control-domain/.
"""
import gzip
import shlex
import shutil

from bench.images import debian, filesystem, initramfs, kernel
from bench.images.catalog import HERE

NEEDS = ()
FILTER = "../../client/demo/recipe/dpkg-filter"
BASE = "control-domain"
DISK_MIB = 12288


def recipes(name):
    return [BASE] if name == BASE else [BASE, name]


def files(name):
    return [FILTER, *recipes(name)]


def build(job):
    root = job.work / "root"
    job.step("Installing Debian packages")
    debian.install(job, root, debian.packages(*recipes(job.name)),
                   filter_file=(HERE / FILTER).resolve(),
                   hooks=_hooks(job))
    job.step("Making the initrd")
    _make_boot_files(job, root)
    job.step("Making the disk")
    raw = job.work / "disk.raw"
    filesystem.make_ext4(job, root, raw, "control-domain", DISK_MIB, inodes=262144)
    filesystem.make_qcow2(job, raw, job.out / "disk.qcow2")


def _hooks(job):
    """Each recipe's rootfs is laid over the system before packages are configured, and its setup
    runs at the end."""
    for recipe in recipes(job.name):
        folder = shlex.quote(str(HERE / recipe))
        copy = (f"tar -C {folder}/rootfs --owner=0 --group=0 --mode=u=rwX,go=rX -c . | "
                'tar -C "$1" --no-overwrite-dir -x')
        setup = (f'cp {folder}/setup "$1/setup" && chroot "$1" /bin/sh /setup && '
                 'rm "$1/setup"')
        yield f"--extract-hook={copy}"
        yield f"--customize-hook={setup}"


def _make_boot_files(job, root):
    version = initramfs.kernel_version(root)
    kernel.copy_kernels(root / "boot", version, job.out)
    shutil.copyfile(root / "boot/xen-4.17-amd64.efi", job.out / "xen.efi")
    with gzip.open(root / "boot/xen-4.17-amd64.gz") as packed, open(job.out / "xen", "wb") as xen:
        shutil.copyfileobj(packed, xen)
    tree = job.work / "initramfs"
    initramfs.make_tree(job, root, tree, HERE / BASE / "init",
                        initramfs.read_list(HERE / BASE / "modules"))
    initramfs.write_cpio(tree, job.out / "initrd.img")
