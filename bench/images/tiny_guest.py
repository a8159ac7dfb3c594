# SPDX-License-Identifier: GPL-2.0-or-later
"""The tiny guest: a Debian kernel and an initrd with busybox, drivers and the guest agent; a PVH,
HVM or KVM guest in seconds.

vmlinuz, vmlinux (the same, unpacked), initrd.img, linuxx64.efi.stub (what makes one EFI program of
them, see efi_guest).
"""
import shutil

from bench.images import debian, initramfs, kernel
from bench.images.catalog import HERE

NEEDS = ()
RECIPE = "tiny-guest"
AGENT = "/usr/sbin/qemu-ga"


def files(_name):
    return [RECIPE]


def build(job):
    root = job.work / "root"
    job.step("Unpacking Debian packages")
    debian.install(job, root, debian.packages(RECIPE), variant="extract")
    job.step("Making the initrd")
    version = initramfs.kernel_version(root)
    job.run("chroot", root, "/sbin/depmod", version)
    kernel.copy_kernels(root / "boot", version, job.out)
    shutil.copyfile(root / "usr/lib/systemd/boot/efi/linuxx64.efi.stub",
                    job.out / "linuxx64.efi.stub")
    tree = job.work / "initramfs"
    initramfs.make_tree(job, root, tree, HERE / RECIPE / "rootfs/init",
                        initramfs.read_list(HERE / RECIPE / "modules"))
    shutil.copytree(HERE / RECIPE / "rootfs", tree, dirs_exist_ok=True)
    _copy_program(job, root, tree, AGENT)
    _add_customary_paths(tree)
    archive = job.work / "initrd"
    initramfs.write_cpio(tree, archive)
    # The kernel knows only lz4's old format.
    job.run("lz4", "-l", "-9", "-q", archive, job.out / "initrd.img")


def _copy_program(job, root, tree, program):
    """The program with the libraries it needs, at their places."""
    listing = job.read("chroot", root, "/lib64/ld-linux-x86-64.so.2", "--list", program)
    libraries = [word for line in listing.splitlines() for word in line.split()
                 if word.startswith("/")]
    for library in libraries:
        target = tree / library.lstrip("/")
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(root / library.lstrip("/"), target)
    shutil.copy2(root / program.lstrip("/"), tree / "bin")


def _add_customary_paths(tree):
    (tree / "var").mkdir()
    (tree / "var/run").symlink_to("../run")
    (tree / "usr").mkdir(exist_ok=True)
    for name in ("bin", "sbin"):
        (tree / "usr" / name).symlink_to("../bin")
