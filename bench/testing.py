# SPDX-License-Identifier: GPL-2.0-or-later
"""pytest fixtures for end-to-end tests in the bench; a conftest.py imports them.

    def test_it(bench):
        machine = bench.resume(Config(hypervisor="xen"), "xen")    # seconds, from a shared snapshot
        assert "xen" in machine.run("xl info").out
"""
import pytest

from bench import boot, snapshot


class Bench:
    """Makes machines for one test and ends them with it."""

    def __init__(self, machines):
        self.machines = machines

    def boot(self, config, name="bench", **options):
        """A machine booted for this test alone."""
        return self._mine(boot.boot(config, name, **options))

    def resume(self, config, name="bench", prepare=None):
        """A machine that goes on from a snapshot all tests share; made when it is not there yet."""
        return self._mine(snapshot.resume(config, name, prepare))

    def again(self, machine, **options):
        """Boots the disks of a machine that lost its power or switched itself off."""
        return self._mine(boot.again(machine, **options))

    def _mine(self, machine):
        self.machines.append(machine)
        return machine


@pytest.fixture
def bench(request):
    request.node.bench_machines = []
    try:
        yield Bench(request.node.bench_machines)
    finally:
        failed = getattr(request.node, "bench_failed", False)
        for machine in request.node.bench_machines:
            machine.close("test failed" if failed else "ended")
