# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine sleeps and wakes up (S3), a person at its serial line, and errors that end in a report."""
import re
import time

import pytest

from bench import emulator
from bench.config import Config
from hypervisor.tests import processor_aml
from hypervisor.tests.machines import PLAIN, lose, until

# As bulkhead-install puts it there: interrupts have to be on a processor that stays.
HOOK = "install /usr/local/lib/bulkhead/system-sleep /usr/lib/systemd/system-sleep/zz-bulkhead"
# Of devices: those of processors come and go with them. Drivers with a queue a processor place theirs anew.
WHERE = "cd /sys/kernel/irq; for irq in $(grep -l PCI */chip_name); do cat /proc/irq/${irq%/*}/smp_affinity_list; done"
NETWORK = "ip -4 addr | grep -q 'inet 10.0.2.' && ping -c 1 -W 2 10.0.2.2 >/dev/null"
OTHER = Config(hypervisor="bulkhead", iommu="amd", disk="nvme", nic="e1000e", smp=4, cpu_model="EPYC,+svm,+npt")


def asleep(machine):
    deadline = time.monotonic() + 60
    while machine.qmp.execute("query-status")["status"] != "suspended":
        assert time.monotonic() < deadline, machine.last_words()
        time.sleep(0.1)


def sleep_twice(machine, processors):
    everywhere = f"0-{processors - 1}\n"
    machine.run(HOOK)
    assert everywhere in machine.run(WHERE).out
    for _ in range(2):
        before = int(machine.run("date +%s").out)
        machine.run("systemctl --no-block start systemd-suspend.service")
        asleep(machine)
        machine.qmp.execute("system_wakeup")
        machine.wait("The machine wakes up", 60)
        until(machine, "dmesg | grep -q 'PM: suspend exit'")
        assert before <= int(machine.run("date +%s").out) < before + 300
        assert machine.run("nproc").out.strip() == str(processors)
        until(machine, "systemctl show -P ActiveState systemd-suspend.service | grep -qx inactive")
        assert everywhere in machine.run(WHERE).out
        assert "r" in machine.run("xl list | tail -1").out
        machine.run("head -c 8M /dev/urandom >/root/sample && sync && echo 3 >/proc/sys/vm/drop_caches && cmp /root/sample "
                    "/root/sample")
        until(machine, NETWORK)
        assert "Call Trace" not in machine.run("dmesg -c").out


def test_the_machine_sleeps_and_wakes_up_twice(machine):
    sleep_twice(machine, 2)


@pytest.mark.slow
def test_another_machine_sleeps_and_wakes_up_twice(bench):
    """AMD-Vi, NVMe, e1000e, four processors, EPYC."""
    sleep_twice(bench.boot(OTHER, "sleeper"), 4)


def test_frequencies_and_idle_states_are_accepted(bench, monkeypatch, tmp_path):
    """What xen-acpi-processor reads in ACPI's tables comes back by Xen's tools."""
    aml, qemu = tmp_path / "processors.aml", emulator.command()
    aml.write_bytes(processor_aml.table(PLAIN.smp))
    monkeypatch.setattr(emulator, "command", lambda: (*qemu, "-acpitable", f"sig=SSDT,data={aml}"))
    machine = bench.boot(PLAIN, "frequencies")
    machine.run("modprobe xen-acpi-processor")
    states = machine.run("xenpm get-cpufreq-states").out
    for mhz in processor_aml.FREQUENCIES:
        assert len(re.findall(rf"\[ *{mhz} MHz\]", states)) == PLAIN.smp, states
    idle = machine.run("xenpm get-cpuidle-states").out
    assert len(re.findall(rf"total C-states +: {processor_aml.IDLE_STATES + 1}$", idle, re.MULTILINE)) == PLAIN.smp, idle


def test_keys_on_the_serial_line(machine):
    console = machine.consoles["main"]
    mark = console.mark()
    console.send("\x01\x01\x01")
    console.wait("Keys now go to the hypervisor", 30, mark)
    console.send("q")
    console.wait(r"v1: CPU \d", 30, mark)
    mark = console.mark()
    console.send("\x01\x01\x01")
    console.wait("Keys now go to domain 0", 30, mark)
    console.send("\necho its $((6 * 7))\n")
    console.wait(r"its 42", 60, mark)


def test_an_nmi_shows_where_a_processor_is(machine):
    mark = machine.consoles["main"].mark()
    machine.nmi()
    machine.wait(r"CPU 0: NMI[^$]*svm_run|CPU 0: NMI[^$]*idle|CPU 0: NMI[^$]*vcpu_loop", 30, since=mark)
    machine.run("xl list")


def test_a_machine_check_is_reported(machine):
    """On a processor that no vCPU uses, so that it is the hypervisor's (QEMU brings it to a guest past the hypervisor)."""
    machine.run("echo 0 >/sys/devices/system/cpu/cpu1/online && xl vcpu-pin 0 0 0")
    since = machine.consoles["main"].mark()
    machine.qmp.execute("human-monitor-command", command_line="mce 1 3 0xbe00000000000135 5 0xdead000 0")
    machine.wait(r"Machine check, status 5", 60)
    machine.wait(r"bank 3: status be00000000000135 address 0*dead000", 60)
    machine.wait(r"CPU 1: exception 18 MC", 60)
    machine.wait("loaded by bulkhead.efi", 120, since=since)


def test_a_stack_that_overflows_is_told_of(machine):
    """Key S: the page below the stack is not there, and the double fault has a stack of its own."""
    lose(machine, "xl debug-keys S")
    machine.wait("exception 8 DF", 60)
    machine.wait("overflow", 60)
