# SPDX-License-Identifier: GPL-2.0-or-later
"""Random and half-valid hypercalls from the control domain's user space do no harm (random_hypercalls.c)."""
import re

import pytest

from hypervisor.tests.machines import PLAIN, settled

DOORS = ("memory_op", "grant_table_op", "event_channel_op", "sched_op", "vcpu_op", "platform_op", "sysctl", "domctl", "multicall")


def test_random_hypercalls(machine):
    survives(machine, 1, 60)


@pytest.mark.slow
def test_ten_minutes_of_random_hypercalls(bench):
    """All processors in one thread, as for ten minutes of stress."""
    survives(bench.resume(PLAIN.replace(single_thread=True), "bulkhead", settled), 1000, 600)


def survives(machine, seed, seconds):
    ran = machine.run(f"/usr/local/lib/bulkhead/random-hypercalls {seed} {seconds}", timeout=3 * seconds + 120).out
    for door in DOORS:
        calls, succeeded = map(int, re.search(rf"^{door} +(\d+) calls +(\d+) succeeded$", ran, re.MULTILINE).groups())
        assert calls > 100 and succeeded > 10, ran
    assert ran.rstrip().endswith("done"), ran
    assert "Domain-0" in machine.run("xl list").out
    machine.run("dd if=/dev/sda of=/dev/null bs=1M count=16 iflag=direct && touch /root/after && sync")
    assert not re.search(r"\(bh\).*(BUG|at fault|Backtrace)", machine.consoles["main"].text)
