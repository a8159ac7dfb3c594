# SPDX-License-Identifier: GPL-2.0-or-later
"""USB in the real app: rows come and go with the devices (umockdev), switches move them, rules and
reasons are shown, and a device that is pulled out at a bad moment does no harm."""
import re
import shutil

import pytest

from atspi_driver import has_state, wait_for
from test_a11y_lint import lint
from usb_computer import Computer

pytestmark = pytest.mark.skipif(not shutil.which("umockdev-wrapper"), reason="needs umockdev")


@pytest.fixture
def computer():
    one = Computer()
    yield one
    one.close()


def open_panel(start, computer, query="machines=2&running=2&delay=50"):
    app = start(query, env=computer.env())
    app.menu("Machine 1", "USB Devices")
    return app, app.window("USB Devices")


def switch(app, name, window):
    """Not the button of its rule, which is a toggle button too."""
    return app.find("toggle button", re.compile(f"^(?!Rule for ).*{name}$"), window)


def flip(app, name, window):
    node = switch(app, name, window)
    wait_for("the switch to be usable", lambda: has_state(node, "SENSITIVE"))
    node.get_action_iface().do_action(0)


def test_rows_come_and_go(start, computer):
    computer.plug("1-2", 2, "046d:c077", "Cold Mouse")
    app, window = open_panel(start, computer)
    assert switch(app, "Cold Mouse", window)
    stick = computer.plug("1-3", 3, "0951:1666", "Hot Stick", serial="A1")
    assert switch(app, "Hot Stick", window)
    computer.unplug(stick)
    wait_for("its row to go", lambda: not app.all("list item", re.compile("Hot Stick"), window))
    assert switch(app, "Cold Mouse", window)


def test_switch_and_take(start, computer):
    computer.plug("1-3", 3, "0951:1666", "Stick", serial="A1")
    app, window = open_panel(start, computer)
    flip(app, "Stick", window)
    app.wait_text("In this machine, by Host pass-through")
    wait_for("it to be on", lambda: has_state(switch(app, "Stick", window), "CHECKED"))
    app.click("push button", "Close", window)
    app.menu("Machine 2", "USB Devices")
    window = app.window("USB Devices")
    app.wait_text("“Machine 1” has it")
    app.click("push button", re.compile("^Take It: .*Stick"), window)
    app.wait_text("as if it were unplugged")
    app.click("push button", "Take It", window)
    app.wait_text("In this machine, by Host pass-through")


def test_replug_brings_it_back(start, computer):
    stick = computer.plug("1-3", 3, "0951:1666", "Stick", serial="A1")
    app, window = open_panel(start, computer)
    flip(app, "Stick", window)
    app.wait_text("In this machine, by Host pass-through")
    computer.unplug(stick)
    app.gone("list item", re.compile("Stick"))
    computer.plug("1-7", 9, "0951:1666", "Stick", serial="A1")
    app.wait_text("In this machine, by Host pass-through")


def test_pulled_out_at_a_bad_moment(start, computer):
    app, window = open_panel(start, computer, "machines=1&running=1&delay=100")
    for number in range(3, 9):
        stick = computer.plug("1-3", number, "0951:1666", "Stick", serial=f"A{number}")
        flip(app, "Stick", window)
        computer.unplug(stick)
        app.gone("list item", re.compile("Stick"))
    app.wait_text("No USB devices")


def test_refusals_are_explained(start, computer):
    computer.plug("1-4", 4, "05e3:0610", "Desk Hub", usb_class="09")
    app, window = open_panel(start, computer, "machines=1&delay=50")
    assert not has_state(switch(app, "Desk Hub", window), "SENSITIVE")
    app.wait_text("A hub stays with this computer")
    computer.plug("1-5", 5, "0951:1666", "Stick", serial="A1")
    app.wait_text("is not running")
    assert not has_state(switch(app, "Stick", window), "SENSITIVE")
    app.click("push button", re.compile("^Start: .*Stick"), window)
    wait_for("the machine to run", lambda: has_state(switch(app, "Stick", window), "SENSITIVE"))


def test_hostile_names(start, computer):
    computer.plug("1-3", 3, "dead:beef", "<b>Bold</b> & \u202eevil %s", serial="A1")
    app, window = open_panel(start, computer)
    row = app.find("list item", re.compile("Bold"), window)
    assert "<b>Bold</b> & evil %s" in row.get_name()


def test_rule_and_names(start, computer):
    computer.plug("1-3", 3, "0951:1666", "Stick", serial="A1")
    app, window = open_panel(start, computer)
    switch(app, "Stick", window)
    assert lint(app) == []
    app.click("toggle button", re.compile("^Rule for .*Stick"), window)
    never = wait_for("the rules", lambda: next(
        (n for n in app.all(None, "Never Give It to This Machine") if n.get_n_actions()), None))
    assert lint(app) == []
    never.get_action_iface().do_action(0)
    app.wait_text("You chose never to give it to “Machine 1”")
    assert not has_state(switch(app, "Stick", window), "SENSITIVE")
    rules = app.home / ".config/bulkhead/usb-rules"
    assert "0951:1666:A1=never;" in rules.read_text()
