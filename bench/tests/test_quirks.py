# SPDX-License-Identifier: GPL-2.0-or-later
"""The emulator's known faults are recognised, and nothing else is excused by them."""
from pathlib import Path

from bench.quirks import emulator_fault

SEEN = (Path(__file__).parent / "double-interrupt.log").read_text()


def test_an_interrupt_delivered_twice():
    assert "twice" in emulator_fault(SEEN)


def test_a_handler_interrupted_with_interrupts_enabled_is_no_excuse():
    assert emulator_fault(SEEN.replace("EFLAGS: 00000046", "EFLAGS: 00000246")) == ""


def test_mixed_states():
    dump = "(XEN) d0v1 Triple fault - invoking HVM shutdown action 1\n(XEN) *** Dumping Dom0 vcpu#1 state: ***\n"
    assert "mixed" in emulator_fault(dump + "(XEN) cs=e008 rip = 0xffff82d0402044a5\n")
    assert emulator_fault(dump + "(XEN) cs=0010 rip = 0xffffffff81000000\n") == ""


def test_a_quiet_or_an_ordinary_death_is_no_excuse():
    assert emulator_fault("") == ""
    assert emulator_fault("Kernel panic - not syncing: VFS: Unable to mount root fs\n") == ""
