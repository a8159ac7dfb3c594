# SPDX-License-Identifier: GPL-2.0-or-later
"""Tells deaths that are the emulator's fault from those of a hypervisor under test. Pure.

Two faults of QEMU's nested SVM are known (emulator.py). An interrupt is delivered twice: the guest finds itself at the
first instruction of an interrupt handler, with interrupts disabled, interrupted by that same handler; Linux
swaps GS once too often and dies in a chain of page faults. Or an exit leaves nested paging on: everything ends in a
triple fault or a page fault whose saved state is the hypervisor's own. The bench runs a copy of QEMU without them;
this module is for an emulator that could not be mended.
"""
import re

HANDLER_ENTRY = re.compile(r"RIP: 0010:(asm_sysvec_\w+)\+0x0/.*?RSP: \S+ EFLAGS: ([0-9a-f]{8})", re.DOTALL)
INTERRUPTS_ENABLED = 0x200
TRIPLE_FAULT = re.compile(r"\(XEN\).*d\d+v\d+ Triple fault(.*)", re.DOTALL)
HOST_ADDRESS = re.compile(r"rip\s*[:=]\s*0x?ffff82d0[0-9a-f]{8}", re.IGNORECASE)


def emulator_fault(console):
    """What the console shows of a known fault of the emulator, as a sentence; '' when it shows none."""
    for handler, flags in HANDLER_ENTRY.findall(console):
        if not int(flags, 16) & INTERRUPTS_ENABLED:
            return (f"The emulator delivered an interrupt twice ({handler} was interrupted at its first instruction "
                    "with interrupts disabled): a known fault of QEMU 7.2, see bench/quirks.py.")
    fault = TRIPLE_FAULT.search(console)
    if fault and HOST_ADDRESS.search(fault[1]):
        return ("The emulator mixed the states of guest and hypervisor (a triple fault in the guest at the hypervisor's "
                "address): a known fault of QEMU 7.2, see bench/quirks.py.")
    return ""
