# SPDX-License-Identifier: GPL-2.0-or-later
"""Bulkhead's hypervisor under an unmodified Debian as its control domain, on the bench."""
import re
import time
from pathlib import Path

import pytest

from bench.config import Config
from bench.errors import BenchError
from bench.staging import build_folder

PLAIN = Config(hypervisor="bulkhead")
BOARDS = {
    "AMD-Vi, NVMe, e1000e, 4 CPUs": Config(hypervisor="bulkhead", iommu="amd", disk="nvme", nic="e1000e", smp=4, mem=3072),
    "no IOMMU, virtio, 1 CPU, max": Config(hypervisor="bulkhead", iommu="none", disk="virtio", nic="virtio", smp=1, mem=1536,
                                           cpu_model="max"),
    "1 TiB": Config(hypervisor="bulkhead", iommu="none", mem=1 << 20, cpu_model="max,phys-bits=48",
                    hypervisor_options="dom0_mem=1G"),
}
IMAGE_LIMIT = 400 << 10
EDU_DMA = (Path(__file__).parent / "edu_dma.py").read_bytes()
WINDOW = (0xF6, 0xF5, 0xF4)  # the client's background


def settled(machine):
    machine.run("xl list && xenstore-ls -s >/dev/null", timeout=120)
    machine.run("systemctl is-system-running --wait || true", timeout=300)


@pytest.fixture
def machine(bench):
    return bench.resume(PLAIN, "bulkhead", settled)


def test_the_control_domain_runs_on_it(machine):
    assert "PVH" in machine.run("dmesg | grep -i 'Booting kernel on Xen'").out
    assert machine.run("systemctl --failed --no-legend").out == ""
    assert machine.run("nproc").out.strip() == "2"
    assert "XSAVE consistency" not in machine.run("dmesg").out  # else user space dies of buffers that are too small
    assert machine.run("test -d /sys/firmware/efi/efivars && ls /sys/firmware/efi/efivars | grep -c Boot").out.strip() != "0"


def test_xens_tools_give_sensible_answers(machine):
    info = machine.run("xl info").out
    assert re.search(r"xen_version +: 4\.17", info) and re.search(r"nr_cpus +: 2\n", info)
    assert re.search(r"Domain-0 +0 +20\d\d +2 ", machine.run("xl list").out)
    assert len(re.findall(r"^Domain-0 +0 +\d", machine.run("xl vcpu-list").out, re.MULTILINE)) == 2
    assert "Bulkhead hypervisor" in machine.run("xl dmesg").out
    assert "Domain-0" in machine.run("xentop -b -i 1").out
    assert "nr_features" in machine.run("xen-cpuid").out
    assert "idle time" in machine.run("xenpm get-cpuidle-states").out
    machine.run("xl pci-assignable-list")
    machine.run("xl debug-keys q")
    assert "domains and their vCPUs" in machine.run("xl dmesg").out


def test_it_keeps_little_memory(machine):
    machine.run("xl debug-keys m")
    kept = int(re.findall(r"(\d+) KiB the hypervisor's", machine.run("xl dmesg").out)[-1])
    assert kept < (8 << 10) + machine.config.mem * 1024 * 0.006, f"{kept} KiB"
    assert (build_folder() / "efi/bulkhead.efi").stat().st_size < IMAGE_LIMIT


@pytest.mark.parametrize("board", [pytest.param(name, marks=pytest.mark.slow if name == "1 TiB" else ()) for name in BOARDS])
def test_a_board_comes_up(bench, board):
    config = BOARDS[board]
    machine = bench.boot(config, "board")
    assert machine.run("nproc").out.strip() == str(config.smp)
    assert "Domain-0" in machine.run("xl list").out
    assert "0x080600" not in machine.run("cat /sys/bus/pci/devices/*/class").out  # AMD-Vi's own function is hidden
    if config.nic != "none":
        machine.run("for i in $(seq 300); do ip -4 addr | grep -q 'inet 10.0.2.' && exit 0; sleep 0.1; done; exit 1")


def test_usb_devices_come_and_go(machine):
    for kind, seen in (("storage", "QEMU USB HARDDRIVE"), ("keyboard", "QEMU USB Keyboard"), ("audio", "QEMU USB Audio")):
        look = "cat /sys/bus/usb/devices/*/product | grep -qx '" + seen + "'"
        machine.plug(kind, "it", 4)
        machine.run(f"for i in $(seq 300); do {look} && exit 0; sleep 0.1; done; exit 1", timeout=60)
        machine.unplug("it")
        machine.run(f"for i in $(seq 300); do {look} || exit 0; sleep 0.1; done; exit 1", timeout=60)


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
            told = (f"device {device} of domain 0: DMA {'write to' if what == 'write' else 'read from'} {address:#x} blocked"
                    if iommu == "intel" else "DMA blocked")
            machine.run(f"for i in $(seq 100); do xl dmesg -c | grep -q '{told}' && exit 0; sleep 0.1; done; exit 1")
    assert memory(machine, image) == before
    # An interrupt it makes up: an entry of the remapping table that is free. (QEMU tells units no requester of such writes,
    # so entries of others are not tried; and its VT-d lets messages of the old format through.)
    edu(machine, "write", "0xfee1f410" if iommu == "intel" else "0xfee00000", "0xc8")
    assert edu(machine, "own") == "works"
    assert "interrupt nobody waits for" not in machine.run("xl dmesg").out
    assert iommu == "amd" or "non-present IRTE" in (machine.folder.path / "emulator.log").read_text()


def test_the_client_on_the_control_domains_screen(bench):
    """X on the machine's own VGA, and Bulkhead's client in it."""
    machine = bench.boot(PLAIN.replace(image="control-domain-desktop"), "screen")
    machine.run("until DISPLAY=:0 xdotool search --onlyvisible --class bulkhead; do sleep 0.5; done", timeout=300)
    deadline = time.monotonic() + 120
    while machine.picture().share(WINDOW) < 0.3:
        assert time.monotonic() < deadline, machine.screenshot()
        time.sleep(1)
    machine.screenshot()


def test_power_off_from_within(machine):
    with pytest.raises(BenchError):
        machine.run("poweroff; sleep 1000", timeout=60)
    machine.wait_off(60)
    assert "Call Trace" not in machine.last_words()


def test_a_kernel_panic_is_reported(machine):
    with pytest.raises(BenchError):
        machine.run("echo c >/proc/sysrq-trigger; sleep 1000", timeout=60)
    machine.wait("The control domain has crashed", 60)


def test_a_crash_of_its_own_can_be_read(machine):
    """Key C: registers or a message, then a backtrace with names."""
    with pytest.raises(BenchError):
        machine.run("xl debug-keys C; sleep 1000", timeout=60)
    machine.wait("Backtrace:", 60)
    machine.wait("key_crash", 60)
