# SPDX-License-Identifier: GPL-2.0-or-later
"""The control domain with a screen: X, a session, and the client in it."""
import pytest

from bench.config import Config
from bench.desktop import see_client

DESKTOP = Config(image="control-domain-desktop")
# The session's background, see images/control-domain-desktop.
BACKGROUND = (0x40, 0x48, 0x50)


@pytest.mark.slow  # hypervisor/tests does the same on top of the hypervisor
def test_the_client_opens_on_the_screen(bench):
    machine = bench.boot(DESKTOP, "desktop")
    see_client(machine)
    assert machine.picture().share(BACKGROUND) > 0.05
