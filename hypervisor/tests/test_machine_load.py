# SPDX-License-Identifier: GPL-2.0-or-later
"""Work without a wrong result: stress-ng checks what its workers compute, on all processors of the control domain."""
import pytest

# What a virtual machine may get wrong: registers and vectors, page tables, switches, signals, timers, wake-ups, disks.
STRESSORS = ("cpu", "vm", "mmap", "fork", "switch", "pipe", "futex", "sigfd", "timer", "itimer", "hdd", "vecmath", "fp", "qsort")


@pytest.mark.parametrize("seconds", [60, pytest.param(600, marks=pytest.mark.slow)])
def test_stress(machine, seconds):
    workers = " ".join(f"--{stressor} 1" for stressor in STRESSORS)
    result = machine.run(f"cd /var/tmp && stress-ng --verify --metrics-brief {workers} --vm-bytes 64M --hdd-bytes 64M "
                         f"--timeout {seconds} 2>&1", timeout=seconds * 4 + 300)
    assert "successful run completed" in result.out, result.out
    assert machine.run("dmesg --level=emerg,alert,crit,err | grep -c 'segfault\\|general protection\\|BUG' || true").out == "0\n"
    machine.run("xl list")
