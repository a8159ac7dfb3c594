# SPDX-License-Identifier: GPL-2.0-or-later
"""The control domain with a screen: X, a session, and the client in it."""
import time

import pytest

from bench.config import Config

DESKTOP = Config(image="control-domain-desktop")
# The session's background, see images/control-domain-desktop.
BACKGROUND = (0x40, 0x48, 0x50)
WINDOW = (0xF6, 0xF5, 0xF4)


@pytest.mark.slow  # hypervisor/tests does the same on top of the hypervisor
def test_the_client_opens_on_the_screen(bench):
    machine = bench.boot(DESKTOP, "desktop")
    machine.run("until DISPLAY=:0 xdotool search --onlyvisible --class bulkhead; do sleep 0.5; done", timeout=300)
    # A mapped window is drawn a moment later: its background is light.
    deadline = time.monotonic() + 120
    while machine.picture().share(WINDOW) < 0.3:
        assert time.monotonic() < deadline, machine.screenshot()
        time.sleep(1)
    machine.screenshot()
    assert machine.picture().share(BACKGROUND) > 0.05
