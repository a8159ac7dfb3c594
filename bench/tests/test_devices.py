# SPDX-License-Identifier: GPL-2.0-or-later
"""Plugged devices and command lines: every device has its place, and what does not fit is refused."""
import json

import pytest

from bench import devices, qemu_command
from bench.config import Config
from bench.errors import BenchError
from bench.qemu_command import Parts


def describe(kind, taken=(), port=None, **options):
    return devices.describe(Config(), kind, f"{kind}-x", port, options, list(taken))


def test_a_stick_at_a_port_with_a_serial_number():
    plug = describe("storage", port=3, serial="S1", size="8")
    assert plug.device == {"driver": "usb-storage", "id": "storage-x", "bus": "xhci.0", "port": "3",
                           "serial": "S1", "drive": "drive-storage-x"}
    assert plug.size == 8


def test_free_ports_are_found_and_used_ones_refused():
    stick = describe("storage")
    assert describe("keyboard", [stick]).device["port"] == "2"
    with pytest.raises(BenchError, match="port 1 is taken"):
        describe("keyboard", [stick], port=1)
    with pytest.raises(BenchError, match="already"):
        describe("storage", [stick])


def test_pci_devices_get_root_ports_until_none_is_left():
    taken = []
    for number in range(qemu_command.ROOT_PORTS):
        taken.append(devices.describe(Config(), "pci", f"p{number}", None, {"device": "edu"}, taken))
    assert [plug.device["bus"] for plug in taken] == ["rp0", "rp1", "rp2", "rp3"]
    with pytest.raises(BenchError, match="No free PCI slot"):
        devices.describe(Config(), "disk", "d", None, {}, taken)


@pytest.mark.parametrize("kind, options", [("floppy", {}), ("keyboard", {"size": 3}), ("pci", {}),
                                           ("storage", {"size": "big"}), ("pci", {"device": ""})])
def test_what_is_not_there_is_refused(kind, options):
    with pytest.raises(BenchError):
        describe(kind, **options)


def words(config, **parts):
    disk = {"driver": "qcow2", "node-name": "root", "file": {"driver": "file", "filename": "/d"}}
    base = {"qmp_fd": 3, "agent_fd": 4, "console_fds": {"main": 5}, "disks": [("root", disk)]}
    return qemu_command.command(config, Parts(**{**base, **parts}))


def made(command):
    """The devices of a command line by driver."""
    after = [command[at + 1] for at, word in enumerate(command) if word == "-device"]
    return {json.loads(text)["driver"]: json.loads(text) for text in after}


def test_direct_boot_has_no_firmware():
    command = words(Config(), direct=("/k", "/i", "root=x"))
    assert "-kernel" in command and not any("pflash" in word for word in command)


def test_virtio_goes_through_the_iommu_when_there_is_one():
    with_one = made(words(Config(hypervisor="xen", iommu="amd", disk="virtio"), variables="/v"))
    assert with_one["virtio-blk-pci"]["iommu_platform"] and "amd-iommu" in with_one
    assert "iommu_platform" not in made(words(Config(disk="virtio"), direct=("/k", "/i", "")))["virtio-blk-pci"]


def test_icount_means_one_thread():
    command = words(Config(icount=True), direct=("/k", "/i", ""))
    assert "tcg,thread=single" in command and "shift=0,sleep=off" in command


def test_no_two_devices_share_a_place():
    command = words(Config(hypervisor="xen", nic="e1000e", disk="nvme", iommu="intel"), variables="/v")
    places = [json.loads(command[at + 1]).get("addr") for at, word in enumerate(command) if word == "-device"]
    places = [place for place in places if place]
    assert len(places) == len(set(places))


def test_nothing_listens():
    command = " ".join(words(Config(nic="virtio"), direct=("/k", "/i", "")))
    assert "server=" not in command and "hostfwd" not in command and "restrict=on" in command
