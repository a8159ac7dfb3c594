# SPDX-License-Identifier: GPL-2.0-or-later
"""Reading what measuring guests and hypervisors printed, and showing it: pure, and hostile input costs nothing."""
import json
import random

import pytest

from bench.errors import BenchError
from bench.measure import subjects, table
from bench.measure.guest_log import Figure, parse

RUN = """SeaBIOS\r
MEASURE-START version=1 hypervisor=KVMKVMKVM\r
MEASURE cpuid min=3100 median=3152 max=9000 rounds=400 unit=ticks\r
MEASURE hpet_read skipped reason=absent\r
MEASURE broken failed reason=exception-13 rip=1234\r
MEASURE-END ok\r
"""


def test_a_run_is_read():
    rows = parse(RUN)
    assert rows["cpuid"] == Figure(3152, 3100, 9000)
    assert rows["hpet_read"].value is None and "absent" in rows["hpet_read"].reason
    assert "exception-13" in rows["broken"].reason


def test_a_run_that_did_not_end_is_an_error_with_its_last_lines():
    with pytest.raises(BenchError, match="did not get to its end") as error:
        parse(RUN.replace("MEASURE-END ok", "EXCEPTION 14 at 1234"))
    assert "EXCEPTION 14" in str(error.value)


def test_rubbish_costs_nothing():
    chance = random.Random(1)
    for _ in range(300):
        text = list(RUN)
        for _ in range(chance.randrange(1, 40)):
            text[chance.randrange(len(text))] = chr(chance.choice((0, 10, 13, 27, 48, 61, 255, 0x2028)))
        try:
            assert all(isinstance(figure, Figure) for figure in parse("".join(text)).values())
        except BenchError:
            pass


def test_the_table_compares_with_the_first_column():
    text = table.text("exits", {"xen": {"cpuid": Figure(5000), "hpet": Figure(reason="skipped: absent")},
                                "kvm": {"cpuid": Figure(2500), "hpet": Figure(800)}})
    lines = text.splitlines()
    assert lines[0].split() == ["exits", "xen", "kvm", "/", "xen"]
    assert lines[2].split() == ["cpuid", "5,000", "2,500", "0.50"]
    assert lines[3].split() == ["hpet", "-", "800"]
    absent = Figure(reason="skipped: absent")
    assert table.reasons({"xen": {"hpet": absent, "pit": absent}}) == "xen: skipped: absent: hpet, pit\n"


def test_json_holds_the_same():
    data = json.loads(table.as_json("exits", {"xen": {"cpuid": Figure(5000, 4000, 6000)}}))
    assert data["columns"]["xen"]["cpuid"]["value"] == 5000 and data["subject"] == "exits"


CONSOLE = """(XEN) [0000000100000000] Xen version 4.17.7
(XEN) [0000000180000000] Freed 2048kB init memory
[    9.100200] Run /init as init process
"""
ANALYSIS = "Startup finished in 9.500s (kernel) + 1min 2.250s (userspace) = 1min 11.750s\n"


def test_phases_of_a_boot():
    rows = subjects.phases(CONSOLE, ANALYSIS)
    assert rows["firmware and loader"].value == 0x100000000 and rows["hypervisor"].value == 0x80000000
    assert rows["kernel to initrd"].value == 9_100_200_000
    assert rows["kernel to userspace"].value == 9_500_000_000 and rows["userspace"].value == 62_250_000_000


def test_a_boot_on_bulkhead_tells_when_the_kernel_starts():
    console = "(bh) [   0.028000] The control domain starts, 28123 thousand ticks after the hypervisor.\n"
    assert subjects.phases(console, ANALYSIS)["hypervisor"].value == 28_123_000


def test_a_boot_without_a_hypervisor_has_fewer_phases():
    rows = subjects.phases("[    2.000000] Run /init as init process\n", ANALYSIS)
    assert "hypervisor" not in rows and rows["kernel to initrd"].value == 2_000_000_000


def test_a_boot_that_systemd_cannot_tell_is_an_error():
    with pytest.raises(BenchError):
        subjects.phases(CONSOLE, "Bootup is not yet finished")


def test_memory_kept_by_the_hypervisor():
    text = "total_memory           : 6143\nfree_memory            : 2989\n" \
           "Name   ID   Mem VCPUs State Time(s)\nDomain-0          0  3071     1     r-----      90.4\n"
    assert subjects.kept_by_xen(text)["kept by the hypervisor"].value == 6144 - 2989 - 3071
    with pytest.raises(BenchError):
        subjects.kept_by_xen("xl: cannot connect")
