# SPDX-License-Identifier: GPL-2.0-or-later
"""Random and half-valid hypercalls from the control domain's user space do no harm (random_hypercalls.c)."""
import re

import pytest

DOORS = ("memory_op", "grant_table_op", "event_channel_op", "sched_op", "vcpu_op", "platform_op", "sysctl", "domctl", "multicall")


@pytest.mark.parametrize("seed, seconds", [(1, 60), pytest.param(1000, 600, marks=pytest.mark.slow)])
def test_random_hypercalls(machine, seed, seconds):
    ran = machine.run(f"/usr/local/lib/bulkhead/random-hypercalls {seed} {seconds}", timeout=3 * seconds + 120).out
    for door in DOORS:
        calls, succeeded = map(int, re.search(rf"^{door} +(\d+) calls +(\d+) succeeded$", ran, re.MULTILINE).groups())
        assert calls > 100 and succeeded > 10, ran
    assert ran.rstrip().endswith("done"), ran
    assert "Domain-0" in machine.run("xl list").out
    machine.run("dd if=/dev/sda of=/dev/null bs=1M count=16 iflag=direct && touch /root/after && sync")
    assert not re.search(r"\(bh\).*(BUG|at fault|Backtrace)", machine.consoles["main"].text)
