# SPDX-License-Identifier: GPL-2.0-or-later
"""The reference's figures: they repeat, and are what was measured before."""
import pytest

from bench.measure import reference, subjects
from bench.measure.columns import COLUMNS
from bench.measure.guest_log import parse

# Most rows are within 3 % of the earlier figures; a few of Xen's differ by up to 11 %, see docs/bench.md.
NEAR, FAR = 0.03, 0.12


@pytest.fixture(params=["kvm", pytest.param("xen", marks=pytest.mark.slow)])
def column(request):
    return COLUMNS[request.param]


def test_exits_are_what_they_were(bench, column):
    rows = subjects.exits(column)
    if column.name == "kvm":
        rows.update(subjects.dm(column))
    ratios = reference.differences(column.name, rows)
    assert len(ratios) == len(reference.COLUMNS[column.name]), sorted(ratios)
    assert all(abs(ratio - 1) <= FAR for ratio in ratios.values()), ratios
    assert sum(abs(ratio - 1) <= NEAR for ratio in ratios.values()) >= 0.6 * len(ratios), ratios


def test_figures_repeat(bench):
    """Two machines from the same snapshot; one instruction more or less in every row was seen."""
    column = COLUMNS["kvm"]
    runs = []
    for _ in range(2):
        with column.machine() as machine:
            runs.append({name: figure.value for name, figure in
                         parse(column.run(machine, "pvh", "tests=cpuid,tpr,efer")).items()})
    assert runs[0].keys() == runs[1].keys() and runs[0]["cpuid"]
    assert all(abs(runs[0][name] - runs[1][name]) <= 1 for name in runs[0]), runs
