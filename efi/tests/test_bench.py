# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead-install on a running Debian with a real FAT file system and the firmware's own variables: the boot
entry is added first and removed without a trace; with these variables the firmware starts what was installed. And its
hooks, run by dpkg."""
import gzip
import re
import shutil
import subprocess
from pathlib import Path

import machine as bare
import pytest
from bench import hypervisors
from bench.config import Config
from test_install import ELF, bzimage

pytestmark = pytest.mark.machine
HERE = Path(__file__).resolve().parent
ESP = "/run/esp"


@pytest.fixture
def disk(tmp_path):
    """A disk with a GPT and an unformatted ESP on it."""
    path = tmp_path / "disk.img"
    with open(path, "wb") as file:
        file.truncate(400 << 20)
    subprocess.run(["sfdisk", "-q", path], input=b"label: gpt\ntype=uefi\n", check=True,
                   env={"PATH": "/usr/sbin:/sbin:/usr/bin:/bin"})
    return path


def push_program(machine, name):
    """A program of this computer, with the libraries the machine lacks."""
    path = shutil.which(name, path="/usr/sbin:/usr/bin:/bin") or shutil.which(name)
    if not path:
        pytest.skip(f"{name} is not installed here")
    machine.push(path, f"/usr/local/bin/{name}", 0o755)
    needed = subprocess.run(["ldd", path], capture_output=True, text=True).stdout
    for library in re.findall(r"=> (/\S*libefi\S*)", needed):
        machine.push(library, f"/usr/local/lib/{Path(library).name}")
    machine.run("ldconfig")


def prepare(machine, loader, image):
    version = machine.run("uname -r").out.strip()
    push_program(machine, "efibootmgr")
    machine.push(HERE.parent / "bulkhead-install", "/usr/local/sbin/bulkhead-install", 0o755)
    machine.push(loader, "/root/bulkhead.efi")
    machine.run("mkdir -p /boot")
    for name, local in ((f"vmlinuz-{version}", "vmlinuz"), (f"initrd.img-{version}", "initrd.img")):
        if machine.run(f"test -e /boot/{name}", check=False).status:
            machine.push(image / local, f"/boot/{name}")
    partition = machine.run("lsblk -rno NAME,PARTTYPE | awk '/c12a7328/ {print \"/dev/\" $1}'").out.strip()
    machine.run(f"mkfs.vfat -F 32 {partition} && mkdir -p {ESP} && mount -o umask=0077 {partition} {ESP}")
    return version


@pytest.mark.slow
def test_boot_entry(bench, loader, image, disk, tmp_path):
    machine = bench.boot(Config(boot="efi", disks=(str(disk),), stage=False), "install")
    version = prepare(machine, loader, image)
    before = machine.run("efibootmgr | grep -v '^Timeout'").out
    install = f"bulkhead-install --esp {ESP} --loader /root/bulkhead.efi"
    assert "Bulkhead is installed." in machine.run(f"{install} install", timeout=300).out
    assert "Bulkhead is up to date." in machine.run("bulkhead-install update", timeout=300).out
    assert machine.run("bulkhead-install status").status == 0
    assert set(machine.run(f"ls {ESP}/EFI/bulkhead").out.split()) == {
        "bulkhead.conf", "bulkhead.efi", f"initrd-{version}", f"vmlinux-{version}"}
    added = machine.run("efibootmgr -v").out
    number = re.search(r"Boot(\w{4})\* Bulkhead\tHD\(1,GPT", added)[1]
    assert re.search(rf"BootOrder: {number}", added)
    machine.run(f"bulkhead-install remove && rmdir {ESP}/EFI")
    assert machine.run("efibootmgr | grep -v '^Timeout'").out == before
    machine.run(f"{install} install && umount {ESP} && sync", timeout=300)
    # QEMU's bootindex, which the bench uses, makes OVMF forget other entries; so the start is tried without.
    disks = machine.folder.path / "disks"
    shutil.copyfile(disks / "variables.fd", tmp_path / "variables.fd")
    subprocess.run(["qemu-img", "convert", "-U", "-O", "raw", disks / "disk0.qcow2", tmp_path / "after.img"],
                   check=True)
    machine.close()
    run = bare.boot(tmp_path, tmp_path / "after.img", mem="1G", variables=tmp_path / "variables.fd")
    assert "Bulkhead" in run.words and run.status == bare.ANSWERED, run


@pytest.mark.slow
def test_grub_starts_debian_on_the_hypervisor(bench, monkeypatch):
    """OVMF, GRUB, its chainloader, our loader with the files beside it, the hypervisor, Debian."""
    plain = hypervisors._bulkhead

    def through_grub(config, image):
        files = {path.replace("EFI/BOOT/", "EFI/bulkhead/"): content for path, content in plain(config, image).items()}
        files["EFI/bulkhead/bulkhead.efi"] = files.pop("EFI/bulkhead/BOOTX64.EFI")
        menu = "chainloader /EFI/bulkhead/bulkhead.efi entry=control\nboot\n"
        return {hypervisors.LOADER_PLACE: Path(bare.GRUB), "EFI/debian/grub.cfg": menu.encode(), **files}

    monkeypatch.setattr(hypervisors, "_bulkhead", through_grub)
    machine = bench.boot(Config(hypervisor="bulkhead", stage=False), "grub")
    assert "PVH" in machine.run("dmesg | grep -i 'Booting kernel on Xen'").out
    assert machine.run("systemctl is-active getty.target").out.strip() == "active"
    assert "Bulkhead hypervisor" in machine.run("xl dmesg").out


# A package of the kernel $1 with the files in /run/kernel and the scripts of the one that runs.
MAKE_PACKAGE = r"""set -e
mkdir -p /run/package/DEBIAN /run/package/boot "/run/package/lib/modules/$1"
cd /run/package
for script in preinst postinst prerm postrm; do
    sed "s/$(uname -r)/$1/g" "/var/lib/dpkg/info/linux-image-$(uname -r).$script" >DEBIAN/$script
    chmod 755 DEBIAN/$script
done
printf 'Package: linux-image-%s\nVersion: 1\nArchitecture: amd64\nMaintainer: none\nDescription: none\n' "$1" >DEBIAN/control
cp /run/kernel "boot/vmlinuz-$1"
cp "/boot/config-$(uname -r)" "boot/config-$1"
dpkg-deb -Znone --build . /run/kernel.deb
"""


# Making a real initrd takes minutes here; update-initramfs, which calls this one, is the real one.
MKINITRAMFS = b"""#!/bin/sh -e
while [ "$1" != -o ]; do shift; done
cat /proc/sys/kernel/random/uuid >"$2"
"""


def test_dpkg_runs_the_hooks(bench):
    """With the scripts of Debian's own kernel package: a new kernel comes, its initrd is made anew, it goes again. What a
    hook cannot do is the package's failure, until it can."""
    machine = bench.resume(Config(), "plain")
    old, new = machine.run("uname -r").out.strip(), "6.99.0-1-amd64"

    def starts(version):
        names = {"bulkhead.conf", "bulkhead.efi", f"initrd-{version}", f"vmlinux-{version}"}
        same = machine.run(f"cmp /boot/initrd.img-{version} {ESP}/EFI/bulkhead/initrd-{version}", check=False)
        return set(machine.run(f"ls {ESP}/EFI/bulkhead").out.split()) == names and same.status == 0

    machine.push(bzimage(gzip.compress(ELF + b"old")), f"/boot/vmlinuz-{old}")
    machine.push(bzimage(gzip.compress(ELF)), "/run/kernel")
    machine.push(MKINITRAMFS, "/usr/sbin/mkinitramfs", 0o755)
    machine.run(f"mkdir -p {ESP} && echo old >/boot/initrd.img-{old}")
    machine.run(["/bin/sh", "-c", MAKE_PACKAGE, "make", new])
    machine.run(f"bulkhead-install --esp {ESP} --no-boot-entry install")
    assert starts(old)
    machine.run(f"mv {ESP} {ESP}.away")
    failed = machine.run("dpkg -i /run/kernel.deb", timeout=120, check=False)
    assert failed.status and "no EFI system partition" in failed.err + failed.out
    machine.run(f"mv {ESP}.away {ESP} && dpkg --configure -a", timeout=120)
    assert starts(new)
    machine.run(f"update-initramfs -u -k {new}", timeout=120)
    assert starts(new)
    machine.run(f"DEBIAN_FRONTEND=noninteractive dpkg --purge linux-image-{new}", timeout=120)
    assert starts(old)
    machine.run("bulkhead-install remove")
    assert machine.run(f"find /etc {ESP} -name 'zz-bulkhead' -o -name 'bulkhead*'").out == ""
