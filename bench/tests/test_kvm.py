# SPDX-License-Identifier: GPL-2.0-or-later
"""The client on Linux KVM: bulkheadctl proves KVM, makes a machine for it and runs it, on the AMD bench."""
import json
import struct
import zlib

from bench.tests.client_in_bench import GUEST, IMAGE, Client, resume, wait_for


def pixels(png):
    """(width, height, number of different rows) of a PNG: enough to tell a picture from a blank."""
    width, height = struct.unpack(">II", png[16:24])
    data, at = b"", 8
    while at < len(png):
        length, kind = struct.unpack(">I4s", png[at:at + 8])
        data += png[at + 8:at + 8 + length] if kind == b"IDAT" else b""
        at += 12 + length
    rows = zlib.decompress(data)
    stride = len(rows) // height
    return width, height, len({rows[at:at + stride] for at in range(0, len(rows), stride)})


def test_kvm_guest(bench):
    """The client found KVM by its own probe; the guest runs under it, is seen, and stops cleanly."""
    machine, client, guest = resume(bench)
    host = client.json("host")
    assert (host["accelerator"], host["accelerator_note"]) == ("kvm", None)
    assert "<domain type='kvm'" in client.virsh("dumpxml", GUEST).out
    assert client.monitor(GUEST, "query-kvm") == {"enabled": True, "present": True}
    # Not only QEMU's word: the kernel counts the exits of a virtual machine.
    machine.run("mountpoint -q /sys/kernel/debug || mount -t debugfs none /sys/kernel/debug")
    before = int(machine.run("cat /sys/kernel/debug/kvm/exits").out)
    guest.run("dmesg | grep -q 'Hypervisor detected: KVM'")
    assert int(machine.run("cat /sys/kernel/debug/kvm/exits").out) > before
    assert "is on the partition guest-data" in guest.run(
        "mkdir -p /d && mount -o ro /dev/vda2 /d && cat /d/HELLO && umount /d")
    assert "TINY-GUEST-READY" in guest.run("cat /dev/vcs1")
    client.ctl("screenshot", GUEST, "/tmp/guest.png", "--force")
    picture = machine.pull("/tmp/guest.png", machine.folder.path / "screenshots/guest.png")
    width, height, rows = pixels(picture)
    assert width >= 640 and height >= 400 and rows > 10, (width, height, rows)
    client.ctl("stop", GUEST, "--wait", "--timeout=60")
    assert [(m["name"], m["state"]) for m in client.json("list")] == [(GUEST, "off")]
    machine.run(f"qemu-img check -q {disk_of(client)}")


def disk_of(client):
    return client.virsh("domblklist", GUEST, "--details").out.split("vda")[1].split()[0]


def test_without_kvm(bench):
    """Without the kernel's module the client says so, and makes and starts a machine under TCG."""
    machine, client, _guest = resume(bench)
    client.ctl("stop", GUEST, "--force", "--wait")
    machine.run("modprobe -r kvm_amd && test ! -e /dev/kvm")
    # libvirt remembers what QEMU can do until it starts anew.
    client.run("pkill", "-x", "libvirtd", check=False)
    wait_for(lambda: machine.run("pgrep -x libvirtd", check=False).status != 0, 20, "libvirtd ends")
    host = client.json("host")
    assert host["accelerator"] == "tcg"
    assert "KVM" in host["accelerator_note"] or "/dev/kvm" in host["accelerator_note"]
    shown = client.ctl("host").out
    assert "Accelerator: tcg" in shown and "Because: " in shown
    client.ctl("new", f"--image={IMAGE}", "--name=slow", "--memory=256M", "--cpus=1", "--start")
    assert "<domain type='qemu'" in client.virsh("dumpxml", "slow").out
    assert client.monitor("slow", "query-kvm")["enabled"] is False
    assert {m["name"]: m["state"] for m in client.json("list")}["slow"] == "running"
    client.ctl("stop", "slow", "--force", "--wait")


def test_system_connection(bench):
    """The system's libvirt, as its administrator uses it: the same proof, the same answer."""
    machine, _client, _guest = resume(bench)
    root = Client(machine, "root", "qemu:///system")
    machine.run("rm -rf /root/.cache/bulkhead")
    host = json.loads(root.ctl("-j", "host").out)
    assert (host["accelerator"], host["accelerator_note"]) == ("kvm", None)
