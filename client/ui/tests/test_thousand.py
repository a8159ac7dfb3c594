# SPDX-License-Identifier: GPL-2.0-or-later
"""1,000 machines: the list appears, filters and scrolls without a stall of the main loop over 50 ms
(the fixture fails the test for one), and only what is on screen has widgets."""
import subprocess

from atspi_driver import wait_for


def activate(app):
    subprocess.run(["xdotool", "search", "--sync", "--onlyvisible", "--name", "^Bulkhead$",
                    "windowactivate", "--sync"], check=True, env=app.environment)


def names(app):
    return [t.split(",")[0] for t in app.tiles()]


def test_thousand_machines(start, window_manager):
    start.stall_limit = 50
    app = start("machines=1000&running=200&delay=100")
    app.tile("Machine 1", "Running")
    assert 4 <= len(names(app)) < 60
    activate(app)
    for text, first in (("machine 99", "Machine 99"), ("1000", "Machine 1000"), ("7", "Machine 7"),
                        ("", "Machine 1")):
        app.click("toggle button", "Search") if not app.all("text", "Search machines") else None
        app.set_text("text", "Search machines", text)
        wait_for(f"{first} first", lambda: names(app)[:1] == [first])
    app.tile("Machine 1").get_component_iface().grab_focus()
    app.keys("End")
    app.tile("Machine 1000")
    wait_for("focus at the end", lambda: app.focused()
             and app.focused().get_name().startswith("Machine 1000"))
    app.keys(*["Page_Up"] * 30)
    app.keys("Home")
    app.tile("Machine 1")
    app.keys(*["Down"] * 60)
    wait_for("scrolled", lambda: "Machine 1" not in names(app))
    # The wheel, over the middle of the window.
    subprocess.run(["xdotool", "mousemove", "450", "400", "click", "--repeat", "150", "--delay", "8",
                    "5"], check=True, env=app.environment)
    assert len(names(app)) < 60
    for word in ("add", "rename", "remove"):
        app.control.send(*{"add": ("add", "Aaa"), "rename": ("rename", "Aaa", "Zzz"),
                           "remove": ("remove", "Zzz")}[word])
    print("stalls since the start:", app.stalls(after=None))
