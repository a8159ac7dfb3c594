# SPDX-License-Identifier: GPL-2.0-or-later
"""The boards that the hypervisor boots on, each with its disks and network under load: every kind of disk, network and
IOMMU, two models of processors, 1 to 64 of them, and 1.5 GiB to 16 TiB."""
import pytest

from bench.config import Config
from hypervisor.tests.machines import lose, under_load

BOARDS = {
    "AMD-Vi, NVMe, e1000e, 8 CPUs": Config(hypervisor="bulkhead", iommu="amd", disk="nvme", nic="e1000e", smp=8, mem=3072),
    "no IOMMU, virtio, 1 CPU, max, 1.5 GiB, reboot=off": Config(
        hypervisor="bulkhead", iommu="none", disk="virtio", nic="virtio", smp=1, mem=1536, cpu_model="max",
        hypervisor_options="reboot=off"),
}
LARGE = {
    "1 TiB": Config(hypervisor="bulkhead", mem=1 << 20, cpu_model="max,phys-bits=48", hypervisor_options="dom0_mem=1G"),
    "16 TiB": Config(hypervisor="bulkhead", mem=16 << 20, cpu_model="max,phys-bits=52", hypervisor_options="dom0_mem=1G"),
    "64 CPUs": Config(hypervisor="bulkhead", smp=64, mem=6144, single_thread=True),
}
PARTS, MANY = 8, 40  # of 16 MiB, there and back


@pytest.mark.parametrize("parts", [PARTS, pytest.param(MANY, marks=pytest.mark.slow)])
def test_the_plain_board_under_load(machine, parts):
    """AHCI, virtio network, VT-d, 2 CPUs, EPYC-Rome."""
    assert under_load(machine, parts)[0] == parts


@pytest.mark.parametrize("parts", [PARTS, pytest.param(MANY, marks=pytest.mark.slow)])
@pytest.mark.parametrize("board", BOARDS)
def test_a_board_under_load(bench, board, parts):
    config = BOARDS[board]
    machine = bench.boot(config, "board")
    comes_up(machine)
    assert under_load(machine, parts)[0] == parts
    if "reboot=off" in config.hypervisor_options:
        panics_and_stays(machine)


@pytest.mark.slow
@pytest.mark.parametrize("board", LARGE)
def test_a_large_board(bench, board):
    machine = bench.boot(LARGE[board], "large", timeout=1800)
    comes_up(machine)
    total = int(machine.run("xl info total_memory").out)
    assert total > machine.config.mem * 0.98


def comes_up(machine):
    assert machine.run("nproc").out.strip() == str(machine.config.smp)
    assert "Domain-0" in machine.run("xl list").out
    assert "0x080600" not in machine.run("cat /sys/bus/pci/devices/*/class").out  # AMD-Vi's own function is hidden
    assert machine.run("systemctl --failed --no-legend").out == ""


def panics_and_stays(machine):
    """A panic of the control domain's kernel: reported, and the machine stands still, as configured."""
    lose(machine, "echo c >/proc/sysrq-trigger")
    machine.wait("The control domain has crashed", 60)
    machine.wait("Stopped. Reset or switch off.", 60)
    registers = machine.qmp.execute("human-monitor-command", command_line="info registers -a")
    assert registers.count("HLT=1") == machine.config.smp, registers
