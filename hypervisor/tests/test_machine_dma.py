# SPDX-License-Identifier: GPL-2.0-or-later
"""A device gone bad (QEMU's edu, with a DMA engine that does what it is told) on the machine."""
import re
from pathlib import Path

import pytest

from hypervisor.tests.machines import PLAIN, settled

EDU_DMA = (Path(__file__).parent / "edu_dma.py").read_bytes()


def edu(machine, *words):
    return machine.run("python3 - " + " ".join(words), input=EDU_DMA).out.strip()


def memory(machine, address):
    """8 bytes of RAM, as the emulator sees them."""
    told = machine.qmp.execute("human-monitor-command", command_line=f"xp /1gx {address:#x}")
    return int(told.split()[1], 16)


@pytest.mark.parametrize("iommu", ["intel", "amd"])
def test_a_device_gone_bad_is_confined(bench, iommu):
    """DMA of a device plugged later: its domain's memory is within reach; the hypervisor's, devices' registers and
    nothing at all are not; interrupts it makes up are not delivered."""
    machine = (bench.resume(PLAIN, "bulkhead", settled) if iommu == "intel" else
               bench.boot(PLAIN.replace(iommu="amd"), "bad-device"))
    machine.plug("pci", "edu", device="edu", dma_mask=(1 << 64) - 1)
    machine.run("for i in $(seq 300); do lspci -n | grep -q 1234:11e8 && exit 0; sleep 0.1; done; exit 1", timeout=60)
    device = machine.run("lspci -n | grep 1234:11e8").out.split()[0]
    assert edu(machine, "own") == "works"
    image = int(re.search(r"Bulkhead hypervisor \S+ at (\w+)", machine.run("xl dmesg").out)[1], 16)
    before = memory(machine, image)
    for address in (image, 1 << 40, 0xFEC00000, 1 << 63):
        for what in ("write", "read"):
            assert edu(machine, what, hex(address)) != hex(before)
            # QEMU's AMD-Vi tells that something was blocked, but not what.
            told = (f"device {device}: DMA {'write to' if what == 'write' else 'read from'} {address:#x} blocked"
                    if iommu == "intel" else "DMA blocked")
            machine.run(f"for i in $(seq 100); do xl dmesg -c | grep -q '{told}' && exit 0; sleep 0.1; done; exit 1")
    assert memory(machine, image) == before
    # An interrupt it makes up: an entry of the remapping table that is free. (QEMU tells units no requester of such writes,
    # so entries of others are not tried; and its VT-d lets messages of the old format through.)
    edu(machine, "write", "0xfee1f410" if iommu == "intel" else "0xfee00000", "0xc8")
    assert edu(machine, "own") == "works"
    assert "interrupt nobody waits for" not in machine.run("xl dmesg").out
    assert iommu == "amd" or "non-present IRTE" in (machine.folder.path / "emulator.log").read_text()


def test_a_device_that_no_unit_confines_is_no_bus_master(bench):
    """Firmware's table leaves it out: whatever its driver does, its DMA stays off, and nobody else's."""
    machine = bench.boot(PLAIN.replace(iommu="partial"), "loose-device")
    device = machine.run("lspci -n | grep 1234:11e8").out.split()[0]
    assert edu(machine, "read", "0x1000") == "0x" + 8 * "ee"  # what was there before
    machine.run(f"setpci -s {device} COMMAND=0x7")
    assert machine.run(f"setpci -s {device} COMMAND").out.strip() == "0003"
    assert "PCI device 8100 cannot be a bus master" in machine.run("xl dmesg").out
