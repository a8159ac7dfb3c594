# SPDX-License-Identifier: GPL-2.0-or-later
"""Fixtures of the bench's tests: pure ones need nothing, `bench` boots or resumes machines.

A failed test prints where its machines' run folders are and the last lines that matter; nothing a
test started runs on after it.
"""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.testing import bench  # noqa: E402,F401 (a fixture; the path comes first)


def pytest_configure(config):
    config.addinivalue_line("markers", "machine: boots a virtual PC (minutes); the others are pure")
    config.addinivalue_line("markers", "slow: takes longer than a check may; ./check slow")


def pytest_collection_modifyitems(items):
    for item in items:
        if "bench" in item.fixturenames:
            item.add_marker("machine")


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """Lets the fixture know whether its test failed, and adds what its machines said last."""
    report = (yield).get_result()
    machines = getattr(item, "bench_machines", [])
    if report.failed and call.when == "call":
        item.bench_failed = True
        for machine in machines:
            report.sections.append((f"machine {machine.name}: {machine.folder.path}",
                                    machine.last_words()))
