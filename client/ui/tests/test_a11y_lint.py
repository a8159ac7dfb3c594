# SPDX-License-Identifier: GPL-2.0-or-later
"""Accessibility lint: no focusable control without a name, in any window of the app."""
import re

from atspi_driver import FOCUSABLE_ROLES, has_state, is_showing, walk, wait_for

DELAY = "delay=50"


def is_labelled(node):
    from gi.repository import Atspi
    return any(r.get_relation_type() == Atspi.RelationType.LABELLED_BY
               for r in node.get_relation_set())


def path_of(node):
    parts = []
    while node is not None and node.get_role_name() != "application":
        parts.append(f"{node.get_role_name()}({node.get_name()})")
        node = node.get_parent()
    return " < ".join(parts)


def lint(app):
    """Paths of the controls that a screen reader could only call by their role."""
    found = []
    for node in walk(app.root()):
        if node.get_role_name() not in FOCUSABLE_ROLES or not is_showing(node):
            continue
        if not has_state(node, "FOCUSABLE") or node.get_name().strip() or is_labelled(node):
            continue
        found.append(path_of(node))
    return found


def test_home(start):
    app = start(f"machines=6&running=1&paused=1&saved=1&crashed=1&deleted=2&accel=tcg&{DELAY}")
    app.tile("Machine 6")
    app.click("toggle button", "Search")
    app.find("text", "Search machines")
    assert lint(app) == []
    app.click("push button", "Actions for Machine 1")
    app.find("menu item", "Settings")
    assert lint(app) == []


def test_empty(start):
    app = start("machines=0")
    app.find("push button", "Try the Demo Desktop")
    assert lint(app) == []


def test_new_machine(start):
    app = start("machines=0")
    app.click("push button", "New Machine…")
    app.find("push button", "Empty Machine")
    assert lint(app) == []
    app.click("push button", "Empty Machine")
    app.find("text", "Name")
    app.click("toggle button", "More")
    app.find("check box", "Sound")
    assert lint(app) == []
    app.click("toggle button", re.compile("^Operating system"))
    app.find("text", "Search systems")
    assert lint(app) == []


def test_settings(start):
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1")
    app.menu("Machine 1", "Settings")
    app.find("spin button", "Memory")
    assert lint(app) == []


def test_log_and_events(start):
    app = start(f"machines=1&crashed=1&{DELAY}")
    app.click("push button", "Why?")
    app.window(re.compile("^Log of"))
    app.action("events")
    app.window("Event Log")
    app.action("preferences")
    app.window("Preferences")
    assert lint(app) == []


def test_machine_and_usb(start):
    app = start(f"machines=1&running=1&{DELAY}")
    app.tile("Machine 1", "Running")
    app.menu("Machine 1", "USB Devices")
    app.window("USB Devices")
    assert lint(app) == []
    app.menu("Machine 1", "Open")
    wait_for("its window", lambda: app.all("frame", re.compile("Machine 1")))
    assert lint(app) == []


def test_error_bar(start):
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1")
    app.control.send("fail", "start", "failed", "Something")
    app.menu("Machine 1", "Start")
    app.wait_text("Something")
    assert lint(app) == []
