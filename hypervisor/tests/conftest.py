# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests on the machine: whole PCs in the bench. The fixture `bench` and the reports of its machines are the bench's own."""
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.tests.conftest import *  # noqa: E402,F401,F403
from hypervisor.tests.machines import PLAIN, settled  # noqa: E402


TABLES = pytest.StashKey()


@pytest.fixture
def shown(request):
    """A function that has a text printed when all tests have run, passed or not."""
    return request.config.stash.setdefault(TABLES, []).append


def pytest_terminal_summary(terminalreporter, config):
    for text in config.stash.get(TABLES, []):
        terminalreporter.write(f"\n{text}")


@pytest.fixture
def machine(bench):
    """Two CPUs, VT-d, AHCI, virtio network: on the hypervisor, idle, from a shared snapshot."""
    return bench.resume(PLAIN, "bulkhead", settled)
