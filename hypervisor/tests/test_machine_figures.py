# SPDX-License-Identifier: GPL-2.0-or-later
"""Speed and size against the goals, in instructions; each table is printed at the end, the references beside it."""
import re

from bench.measure import reference, subjects, table
from bench.measure.columns import COLUMNS
from bench.measure.guest_log import Figure, parse
from bench.staging import build_folder

OURS = COLUMNS["bulkhead"]


def compare(shown, title, rows, others):
    """Adds a table: the goals' rows, the references first."""
    columns = {name: {row: Figure(value) for row, value in values.items() if row in rows} for name, values in others.items()}
    shown(table.text(title, {**columns, "bulkhead": rows}))


def test_instructions_an_operation(bench, shown):
    rows = parse(OURS.run(None, "pvh", "tests=cpuid,tpr,apic,hypercall,board"))
    compare(shown, "instructions", rows, {**reference.COLUMNS, "goal": reference.GOALS})
    missed = {row: rows[row].value for row, goal in reference.GOALS.items() if not rows[row].value <= goal}
    assert not missed, missed


def test_start(bench, shown):
    """From the hypervisor's entry to the kernel's, and on to the first program, beside the same kernel alone; 2 GiB each."""
    rows, bare = subjects.start(OURS), subjects.start(COLUMNS["kvm"])
    shown(table.text("start", {"bare": bare, "bulkhead": rows}))
    assert rows["hypervisor"].value <= reference.ENTRY_LIMIT
    assert rows["kernel to initrd"].value <= reference.START_RATIO * bare["kernel to initrd"].value


def test_memory_and_size(machine, shown):
    machine.run("xl debug-keys m")
    kept = int(re.findall(r"(\d+) KiB the hypervisor's", machine.run("xl dmesg").out)[-1]) / 1024
    image = (build_folder() / "efi/bulkhead.efi").stat().st_size / 1024
    limit = reference.KEPT_MIB + machine.config.mem * reference.KEPT_SHARE
    shown(f"kept of {machine.config.mem} MiB: {kept:.1f} MiB (goal {limit:.1f}; Xen of 6144 MiB: 81)\n"
          f"bulkhead.efi, loader and hypervisor: {image:.0f} KiB (goal {reference.IMAGE_KIB})\n")
    assert kept <= limit and image <= reference.IMAGE_KIB
