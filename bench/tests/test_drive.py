# SPDX-License-Identifier: GPL-2.0-or-later
"""Driving a machine: commands, files, devices that come and go, a person in front of it, faults."""
import hashlib
import subprocess
import time
from pathlib import Path

import pytest

from bench import snapshot
from bench.config import Config
from bench.errors import BenchError, BenchTimeout

PLAIN = Config()


@pytest.fixture
def machine(bench):
    return bench.resume(PLAIN, "plain")


def until(machine, command, timeout=30):
    """Waits inside the machine until a shell line succeeds; its output."""
    return machine.run(f"for i in $(seq {timeout * 10}); do {command} && exit 0; sleep 0.1; done; exit 1",
                       timeout=timeout + 30).out


def test_commands_and_files(machine):
    result = machine.run("echo out; echo err >&2; exit 3", check=False)
    assert (result.status, result.out, result.err) == (3, "out\n", "err\n")
    assert machine.run(["/bin/cat"], input=b"through stdin").out == "through stdin"
    data = bytes(range(256)) * 4000
    machine.push(data, "/root/new/folder/file", 0o755)
    digest = machine.run("sha256sum < /root/new/folder/file").out.split()[0]
    assert digest == hashlib.sha256(data).hexdigest()
    assert machine.pull("/root/new/folder/file") == data
    assert machine.run("stat -c %a /root/new/folder/file").out == "755\n"


def test_an_endless_command_is_ended_in_its_bound(machine):
    with pytest.raises(BenchTimeout, match="did not end within 2 seconds"):
        machine.run("sleep 98765", timeout=2)
    until(machine, "! pgrep -f 'sleep 9876[5]'")
    assert machine.run("echo still here").out == "still here\n"


def test_the_build_of_this_tree_is_inside(machine):
    assert "bulkheadctl" in machine.run("command -v bulkheadctl; bulkheadctl --version").out
    machine.run("touch /usr/local/bin/writable && rm /usr/local/bin/writable")


@pytest.mark.parametrize("kind, seen", [
    ("storage", "QEMU USB HARDDRIVE"), ("keyboard", "QEMU USB Keyboard"), ("mouse", "QEMU USB Mouse"),
    ("tablet", "QEMU USB Tablet"), ("audio", "QEMU USB Audio"), ("serial", "QEMU USB SERIAL"),
    ("hub", "QEMU USB Hub"), ("net", "RNDIS/QEMU USB Network Device")])
def test_usb_devices_come_and_go(bench, kind, seen):
    machine = bench.resume(PLAIN, "plain")
    look = "cat /sys/bus/usb/devices/*/product | grep -qx '" + seen + "'"
    machine.plug(kind, "it", 4)
    until(machine, look)
    machine.unplug("it")
    until(machine, f"! ({look})")


def test_a_stick_behind_a_hub_keeps_its_data(machine, tmp_path):
    image = tmp_path / "stick.img"
    image.write_bytes(b"\0" * (8 << 20))
    machine.plug("hub", "hub", 2)
    machine.plug("storage", "stick", "2.3", image=str(image), serial="S-1")
    until(machine, "ls /dev/disk/by-id | grep -q S-1")
    machine.run("printf hello | dd of=$(ls /dev/disk/by-id/*S-1* | head -1) conv=fsync 2>/dev/null")
    machine.unplug("stick")
    assert image.read_bytes()[:5] == b"hello"


def test_a_serial_adapter_is_a_console(machine):
    machine.plug("serial", "tty")
    until(machine, "test -c /dev/ttyUSB0")
    machine.run("stty -F /dev/ttyUSB0 raw; echo from-inside > /dev/ttyUSB0")
    machine.wait("from-inside", 20, "tty")


def test_pci_devices_and_disks_come_and_go(machine):
    machine.plug("pci", "edu", device="edu")
    until(machine, "lspci -n | grep -q 1234:11e8")
    machine.plug("disk", "extra", size=16)
    until(machine, "test -b /dev/disk/by-id/virtio-extra")
    for id in ("edu", "extra"):
        machine.unplug(id)
    until(machine, "! lspci -n | grep -q 1234:11e8 && ! test -b /dev/disk/by-id/virtio-extra")


def test_cds_are_changed(machine, tmp_path):
    for name in ("one", "two"):
        (tmp_path / name).write_bytes(name.encode().ljust(1 << 20, b"\0"))
        machine.insert_cd(tmp_path / name)
        until(machine, f"head -c 3 /dev/sr0 2>/dev/null | grep -aq {name}")
    machine.eject_cd()
    until(machine, "! head -c 1 /dev/sr0 >/dev/null 2>&1")
    with pytest.raises(BenchError, match="does not exist"):
        machine.insert_cd("/no/such.iso")


def test_a_person_in_front_of_it(machine):
    before = machine.picture()
    machine.run("echo 'seen on the screen' > /dev/tty1")
    deadline = time.monotonic() + 20
    while machine.picture().rgb == before.rgb:
        assert time.monotonic() < deadline, "nothing changed on the screen"
        time.sleep(0.1)
    assert machine.screenshot("console").read_bytes().startswith(b"\x89PNG")
    machine.plug("keyboard", "kbd")
    machine.plug("tablet", "pointer")
    until(machine, "grep -q 'QEMU USB Tablet' /proc/bus/input/devices && "
                   "grep -q 'QEMU USB Keyboard' /proc/bus/input/devices")
    machine.run("for e in /dev/input/event*; do setsid cat $e >/run/$(basename $e).bin 2>/dev/null </dev/null & done; "
                "until [ $(pgrep -fc 'cat /dev/input') -ge 2 ]; do sleep 0.1; done")
    machine.keys("shift-a", "ret")
    machine.type("ok!")
    machine.pointer(0.5, 0.25, ["left"])
    until(machine, "test $(cat /run/event*.bin | wc -c) -gt 400")


def test_disk_errors_reach_the_machine_and_end(machine):
    machine.plug("disk", "spare", size=16)
    until(machine, "test -b /dev/disk/by-id/virtio-spare")
    machine.fail_disk("root", "EIO", "read")
    broken = machine.run(["/bin/dd", "if=/dev/sda", "of=/dev/null", "bs=1M", "skip=9000", "count=1",
                          "iflag=direct"], check=False)
    machine.mend_disk("root")
    assert broken.status != 0 and "rror" in broken.err
    machine.run(["/bin/dd", "if=/dev/sda", "of=/dev/null", "bs=1M", "skip=9000", "count=1", "iflag=direct"])


def test_nmi_reset_and_power_button(machine):
    machine.nmi()
    until(machine, "dmesg | grep -qi 'NMI'")
    mark = machine.consoles["main"].mark()
    machine.reset()
    machine.wait("Linux version", 120, since=mark)
    machine.wait_up(200, mark)
    machine.power_button()
    machine.wait_off(120)
    with pytest.raises(BenchError):
        machine.run("true")


def test_two_side_by_side_with_what_was_plugged(bench, tmp_path):
    """A snapshot holds plugged devices and disks; its machines are independent."""
    first = bench.resume(PLAIN, "plain")
    first.plug("storage", "stick", 5, size=8, serial="KEPT")
    until(first, "ls /dev/disk/by-id | grep -q KEPT")
    first.run("echo before > /root/mark; sync; printf inside | dd of=$(ls /dev/disk/by-id/*KEPT*) conv=fsync")
    snapshot.save(first, tmp_path / "frozen")
    machines = [snapshot.load(tmp_path / "frozen", f"copy{number}") for number in range(2)]
    try:
        for number, machine in enumerate(machines):
            machine.run(f"echo {number} > /root/mark")
        for number, machine in enumerate(machines):
            assert machine.run("cat /root/mark").out == f"{number}\n"
            assert machine.run("head -c 6 $(ls /dev/disk/by-id/*KEPT*)").out == "inside"
        machines[0].unplug("stick")
        machines[0].plug("storage", "stick", 6, size=8)
    finally:
        for machine in machines:
            machine.close()
    assert first.run("cat /root/mark").out == "before\n"


def test_every_console_line_has_a_time(machine):
    machine.run("echo to-the-console > /dev/ttyS0")
    machine.wait("to-the-console\\r?\n", 20)
    lines = Path(machine.consoles["main"].log_path).read_text().splitlines()
    assert any("to-the-console" in line and float(line.split()[0]) > 0 for line in lines)


def test_nothing_listens_anywhere(machine):
    sockets = subprocess.run(["ss", "-Hltnxp"], capture_output=True, text=True).stdout
    assert "qemu-system" not in sockets
