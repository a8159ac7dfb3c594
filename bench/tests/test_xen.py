# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference in the bench: Xen 4.17 with Debian as PVH control domain, its guests and their screens."""
import re
import time

import pytest

from bench import xl
from bench.config import Config

# Instructions as the clock: many times fewer timer interrupts than in real time, so quicker and (QEMU's faults
# are about interrupts) steady.
XEN = Config(hypervisor="xen", icount=True, mem=3072, disks=("demo-desktop",),
             hypervisor_options="bootscrub=0")
# The demo desktop's background and panel, see client/demo.
BACKGROUND, PANEL = (0x2B, 0x5D, 0x8A), (0x1C, 0x1F, 0x26)


def ready(machine):
    """Xen's daemons answer, and nothing is left to start."""
    machine.run("xl list && xenstore-ls -s >/dev/null", timeout=120)
    machine.run("modprobe xen-blkback; modprobe xen-netback; modprobe loop; "
                "systemctl is-system-running --wait || true", timeout=300)


@pytest.fixture
def xen(bench):
    return bench.resume(XEN, "xen", ready)


def small_disk(machine, name, text):
    """An ext4 disk with one file, on a loop device for blkback."""
    machine.run(f"mkdir -p /run/{name} && echo {text} > /run/{name}/hello && truncate -s 16M /run/{name}.img && "
                f"mke2fs -q -F -t ext4 -d /run/{name} /run/{name}.img")
    device = machine.run(f"losetup -f --show /run/{name}.img").out.strip()
    return f"phy:{device},xvda,w"


def test_the_control_domain_runs_on_xen(xen):
    info = xen.run("xl info").out
    assert re.search(r"xen_version +: 4\.17", info) and "hvm" in info
    assert "PVH" in xen.run("dmesg | grep -i 'Booting kernel on Xen'").out
    assert xen.run("cat /sys/hypervisor/type").out.strip() == "xen"


def pvh_with_disk(machine):
    """A PVH guest on blkback and netback, with a disk of ours."""
    guest = xl.create_tiny(machine, "pvh", "10.77.0.2", small_disk(machine, "d1", "it-is-there"))
    guest.wait("TINY-GUEST-READY", 60)
    return guest


def test_a_guest_with_disk_and_network(xen):
    """The disk holds what the control domain wrote, and takes what the guest writes; a clean end."""
    guest = pvh_with_disk(xen)
    assert "it-is-there" in guest.run("mkdir -p /d && mount -t ext4 /dev/xvda /d && cat /d/hello && "
                                      "echo written-inside > /d/back && umount /d && sync")
    assert "0% packet loss" in guest.run("ping -c 2 -W 20 10.77.0.1")
    guest.shutdown()
    assert "written-inside" in xen.run("mount -o loop /run/d1.img /mnt && cat /mnt/back && umount /mnt").out
    assert xen.run("xl list | tail -n +2 | wc -l").out.strip() == "1"


@pytest.mark.slow
def test_guests_side_by_side_and_a_screen(xen):
    """PVH and HVM (SeaBIOS): they reach each other over the bridge, the HVM guest shows itself over QXL and SPICE."""
    pvh = pvh_with_disk(xen)
    hvm = xl.create_hvm(xen, "hvm", 5901, xl.NETWORK + f'kernel="{xl.TINY}/vmlinuz"\nramdisk="{xl.TINY}/initrd.img"\n'
                        'cmdline="console=tty0 console=hvc0 mitigations=off bench.ip=10.77.0.3/24"\n')
    hvm.wait("TINY-GUEST-READY", 120)
    assert "0% packet loss" in pvh.run("ping -c 2 -W 20 10.77.0.3")
    assert "0% packet loss" in hvm.run("ping -c 2 -W 20 10.77.0.2")
    picture = hvm.screenshot()
    assert picture.width >= 640 and picture.colours() > 1
    pvh.shutdown()
    hvm.shutdown()
    assert xen.run("xl list | tail -n +2 | wc -l").out.strip() == "1"


@pytest.mark.slow
def test_ovmf_boots_a_guest(xen):
    """HVM with OVMF, from a disk with an EFI partition that QEMU serves. Without a screen: Debian's OVMF moves the VGA's
    memory, QEMU cannot follow on Xen, and each word of a cleared screen is then half a million instructions."""
    xen.run("cp /usr/local/share/bulkhead/efi-guest.qcow2 /run/efi.qcow2")
    log = f"{xl.CONSOLES}/serial-efi.log"
    guest = xl.create(xen, "efi", "hvm", f'vnc=0\nsdl=0\nvga="none"\nbios="ovmf"\nhdtype="ahci"\nserial="file:{log}"\n'
                      'disk=["format=qcow2,vdev=hda,access=rw,target=/run/efi.qcow2"]\n', memory=400, log=log)
    guest.wait("TINY-GUEST-READY", 120)
    guest.shutdown()


def bios_boot(machine, disk):
    """A disk from which a BIOS starts the demo desktop on `disk` (in the guest: /dev/xvdf)."""
    machine.run(f"""set -e
install -m 600 /usr/local/share/bulkhead/bios-boot.img /run/boot.img
mkdir -p /run/esp /run/boot
mount -o ro {disk}-part1 /run/esp
mount -o loop /run/boot.img /run/boot
cp /run/esp/bulkhead/vmlinuz /run/esp/bulkhead/initrd /run/boot/
echo 'DEFAULT desktop
LABEL desktop
LINUX vmlinuz
INITRD initrd
APPEND root=/dev/xvdf2 rw console=tty0 console=hvc0 mitigations=off systemd.gpt_auto=0' >/run/boot/syslinux.cfg
umount /run/esp /run/boot""")
    return "/run/boot.img"


@pytest.mark.slow
def test_a_desktop_over_spice(xen):
    """The demo desktop as an HVM guest: its panel is seen over SPICE, then it shuts down."""
    disk = "/dev/disk/by-id/virtio-disk0"
    guest = xl.create_hvm(xen, "desktop", 5902, 'hdtype="ahci"\ndisk=["format=raw,vdev=hda,access=rw,'
                          f'target={bios_boot(xen, disk)}","phy:{disk},xvdf,w"]\n', memory=900)
    guest.wait("login:", 600)
    deadline = time.monotonic() + 1200
    while (picture := guest.picture()).share(PANEL) < 0.02 or picture.share(BACKGROUND) < 0.4:
        assert time.monotonic() < deadline, guest.screenshot()
        time.sleep(10)
    guest.screenshot()
    guest.shutdown(240)


def test_a_bad_guest_is_refused_and_leaves_nothing(xen):
    """xl's own errors reach the person who called; the bench goes on."""
    from bench.errors import BenchError
    with pytest.raises(BenchError) as error:
        xl.create(xen, "nothing", "pvh", 'kernel="/no/such/kernel"\n')
    assert "/no/such/kernel" in str(error.value)
    assert xen.run("xl list | tail -n +2 | wc -l").out.strip() == "1"
