# SPDX-License-Identifier: GPL-2.0-or-later
"""Boards and ways to boot: each kind of disk, network, screen, IOMMU and firmware at least once."""
import pytest

from bench.config import Config

BOARDS = {
    "nvme, e1000e, qxl, VT-d": Config(disk="nvme", nic="e1000e", screen="qxl", iommu="intel"),
    "EFI, virtio, AMD-Vi": Config(boot="efi", disk="virtio", nic="virtio", screen="virtio", iommu="amd"),
}


@pytest.mark.parametrize("board", BOARDS)
def test_a_board_comes_up(bench, board):
    config = BOARDS[board]
    machine = bench.boot(config, config.disk)
    root = machine.run("findmnt -no SOURCE / && cat /sys/block/*/device/model 2>/dev/null; lspci").out
    assert {"nvme": "/dev/nvme0n1", "virtio": "/dev/vda"}[config.disk] in root
    assert {"e1000e": "82574L", "virtio": "Virtio 1.0 network"}[config.nic] in root
    # The bench's DHCP server answers, and nothing behind it.
    machine.run("for i in $(seq 300); do ip -4 addr | grep -q 'inet 10.0.2.' && exit 0; sleep 0.1; done; exit 1")
    assert machine.run("timeout 2 bash -c '</dev/tcp/10.0.2.2/22'", check=False).status != 0
    assert machine.run("test -d /sys/firmware/efi", check=False).status == (0 if config.boot == "efi" else 1)
    assert ("DMAR" if config.iommu == "intel" else "IVRS") in machine.run("ls /sys/firmware/acpi/tables").out
    assert machine.screenshot().stat().st_size > 100


@pytest.mark.slow
def test_xen_by_efi(bench):
    """As on a real computer: OVMF starts Xen's EFI program from the ESP, in real time."""
    machine = bench.boot(Config(hypervisor="xen", boot="efi", mem=3072, iommu="amd", stage=False,
                                hypervisor_options="bootscrub=0"), "xen-efi")
    assert "4.17" in machine.run("xl info").out
    assert machine.run("test -d /sys/firmware/efi", check=False).status == 0
