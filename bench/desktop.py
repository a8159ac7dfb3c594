# SPDX-License-Identifier: GPL-2.0-or-later
"""The control domain's desktop: is the client to be seen on it?"""
import time

from bench.errors import BenchError

CLIENT_BACKGROUND = (0xF6, 0xF5, 0xF4)


def see_client(machine):
    """Waits until the client's window is open and at rest on a control domain's screen; takes a picture, its path."""
    machine.run("until DISPLAY=:0 xdotool search --onlyvisible --class bulkhead; do sleep 0.5; done", timeout=300)
    # A mapped window is drawn a moment later: its background is light. While it connects, a spinner turns.
    deadline, before, now = time.monotonic() + 120, None, machine.picture()
    while now.share(CLIENT_BACKGROUND) < 0.3 or now != before:
        if time.monotonic() > deadline:
            raise BenchError("The client was not ready within 2 minutes.", f"Look at {machine.screenshot()}.")
        time.sleep(1)
        before, now = now, machine.picture()
    return machine.screenshot()
