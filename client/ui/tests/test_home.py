# SPDX-License-Identifier: GPL-2.0-or-later
"""The home window on the fake host."""
import re
import subprocess

from atspi_driver import has_state, is_showing, text_of, wait_for

DELAY = "delay=50"


def test_tiles_show_name_and_state(start):
    app = start(f"machines=6&running=1&paused=1&saved=1&crashed=1&{DELAY}")
    for name, state in (("Machine 1", "Running"), ("Machine 2", "Paused"), ("Machine 3", "Saved"),
                        ("Machine 4", "Crashed"), ("Machine 5", "Off")):
        app.tile(name, state)
    assert [t.split(",")[0] for t in app.tiles()] == [f"Machine {i}" for i in range(1, 7)]


def test_empty_state_leads_to_the_first_guest(start):
    app = start("machines=0")
    app.find("push button", "Try the Demo Desktop")
    app.click("push button", "New Machine…")
    app.window("New Machine")


def test_search(start):
    app = start(f"names=Debian 12,Windows 11,Ärger,debian testing&machines=4&{DELAY}")
    app.tile("Debian 12")
    app.click("toggle button", "Search")
    app.set_text("text", "Search machines", "DEB")
    wait_for("two tiles", lambda: len(app.tiles()) == 2)
    app.set_text("text", "Search machines", "ärg")
    wait_for("one tile", lambda: [t.split(",")[0] for t in app.tiles()] == ["Ärger"])
    app.set_text("text", "Search machines", "nothing like this")
    app.wait_text("No machine found")
    app.click("push button", "Show All")
    wait_for("all tiles", lambda: len(app.tiles()) == 4)


def test_typing_searches_and_enter_opens(start, window_manager):
    app = start(f"names=Alpha,Beta,Gamma&machines=3&{DELAY}")
    app.tile("Alpha")
    subprocess.run(["xdotool", "search", "--sync", "--onlyvisible", "--name", "^Bulkhead$",
                    "windowactivate", "--sync"], check=True, env=app.environment)
    app.type("gam")
    wait_for("one tile", lambda: [t.split(",")[0] for t in app.tiles()] == ["Gamma"])
    app.keys("Return")
    wait_for("focus on the tile", lambda: app.focused() and app.focused().get_name().startswith("Gamma"))
    app.keys("Return")
    app.window(re.compile("Gamma"))
    app.tile("Gamma", "Running")


def test_arrows_and_menu_key(start, window_manager):
    app = start(f"machines=9&{DELAY}")
    app.tile("Machine 1")
    subprocess.run(["xdotool", "search", "--sync", "--onlyvisible", "--name", "^Bulkhead$",
                    "windowactivate", "--sync"], check=True, env=app.environment)
    app.tile("Machine 1").get_component_iface().grab_focus()
    at = lambda name: wait_for(f"focus on {name}", lambda: app.focused()
                               and app.focused().get_name().split(",")[0] == name)
    at("Machine 1")
    app.keys("Right")
    at("Machine 2")
    app.keys("End")
    at("Machine 9")
    app.keys("Home")
    at("Machine 1")
    app.keys("shift+F10")
    app.click("menu item", "Start")
    app.tile("Machine 1", "Running")


def test_verbs_follow_the_state(start):
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1", "Off")
    app.menu("Machine 1", "Start")
    app.tile("Machine 1", "Running")
    app.menu("Machine 1", "Pause")
    app.tile("Machine 1", "Paused")
    app.menu("Machine 1", "Resume")
    app.tile("Machine 1", "Running")
    app.menu("Machine 1", "Save")
    app.tile("Machine 1", "Saved")


def test_force_off_asks_first(start):
    app = start(f"machines=1&running=1&{DELAY}")
    app.tile("Machine 1", "Running")
    app.menu("Machine 1", "Force Off")
    app.click("push button", "Cancel")
    app.tile("Machine 1", "Running")
    app.menu("Machine 1", "Force Off")
    app.click("push button", "Force Off")
    app.tile("Machine 1", "Off")


def test_failure_is_told_with_details(start):
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1", "Off")
    app.control.send("fail", "start", "failed", "There is no room for it.")
    app.menu("Machine 1", "Start")
    app.wait_text("There is no room for it")
    app.wait_text("“Machine 1” could not be started")


def test_crash_shows_why_and_restarts(start):
    app = start(f"machines=1&running=1&{DELAY}")
    app.tile("Machine 1", "Running")
    app.control.send("crash", "Machine 1", "qemu: the last words")
    app.tile("Machine 1", "Crashed")
    app.click("push button", "Why?")
    app.wait_text("the last words")
    app.click("push button", "Restart")
    app.tile("Machine 1", "Running")


def test_delete_and_undo(start):
    app = start(f"machines=2&{DELAY}")
    app.tile("Machine 1")
    app.menu("Machine 1", "Delete")
    app.wait_text("“Machine 1” was deleted")
    wait_for("one tile", lambda: len(app.tiles()) == 1)
    app.click("push button", "Undo")
    app.tile("Machine 1", "Off")


def test_delete_runs_out_and_old_records_do_not(start):
    app = start(f"machines=1&deleted=1&{DELAY}")
    app.tile("Machine 1")
    app.wait_text("can still be brought back")
    app.menu("Machine 1", "Delete")
    app.wait_text("“Machine 1” was deleted")
    wait_for("the line to run out", lambda: not [
        n for n in app.all("label") if text_of(n) == "“Machine 1” was deleted"], 20)
    app.wait_text("can still be brought back")


def test_delete_asks_where_it_cannot_be_undone(start):
    app = start(f"machines=1&features=no-undelete&{DELAY}")
    app.menu("Machine 1", "Delete")
    app.wait_text("Delete “Machine 1” for good")
    app.click("push button", "Cancel")
    app.tile("Machine 1")
    app.menu("Machine 1", "Delete")
    app.click("push button", "Delete")
    wait_for("no tile", lambda: not app.tiles())


def test_lost_connection_is_told_and_comes_back(start):
    app = start(f"machines=2&{DELAY}")
    app.tile("Machine 1")
    app.control.send("drop", "1500")
    app.wait_text("The connection to the host was lost")
    wait_for("the bar to go", lambda: not [
        n for n in app.all("label") if "connection to the host was lost" in text_of(n)])
    app.tile("Machine 1")


def test_host_that_cannot_be_opened(start):
    app = start("machines=1&fail=open:disconnected:Nobody_is_there")
    app.wait_text("The host does not answer")
    app.click("push button", "Try Again")
    app.tile("Machine 1")


def test_changes_from_outside(start):
    app = start(f"machines=2&{DELAY}")
    app.tile("Machine 1")
    app.control.send("rename", "Machine 1", "Zebra")
    wait_for("new order", lambda: [t.split(",")[0] for t in app.tiles()] == ["Machine 2", "Zebra"])
    app.control.send("remove", "Machine 2")
    wait_for("one tile", lambda: len(app.tiles()) == 1)
    app.control.send("add", "New from outside")
    app.tile("New from outside")


def test_unicode_names(start):
    name = "Ünï 机器 🖥 <b>&amp; %s"
    app = start(f"machines=0&{DELAY}")
    app.find("push button", "New Machine…")
    app.control.send("add", name)
    app.tile(name, "Off")
    app.menu(name, "Start")
    app.tile(name, "Running")


def test_second_start_uses_the_first_instance(start):
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1")
    done = subprocess.run([app.process.args[0], "--connect", "fake:///?machines=1&names=Other"],
                          env=app.environment, timeout=20, check=False)
    assert done.returncode == 0
    app.tile("Other")
    assert len(app.all("frame", "Bulkhead")) == 2


def test_actions_on_the_bus(start):
    app = start(f"machines=2&{DELAY}")
    app.tile("Machine 1")
    app.action("start", "'Machine 2'")
    app.tile("Machine 2", "Running")
    app.action("open-machine", "'no such machine'")
    app.wait_text("There is no machine “no such machine”")
    app.action("events")
    app.window("Event Log")
    app.action("preferences")
    app.window("Preferences")
    app.action("quit")
    app.process.wait(10)
    assert app.process.returncode == 0


def test_bad_uri_and_version(start):
    app = start("machines=1")
    app.tile("Machine 1")
    done = subprocess.run([app.process.args[0], "--version"], env=app.environment, check=True,
                          capture_output=True, text=True)
    assert re.match(r"bulkhead \d+\.\d+", done.stdout)
    done = subprocess.run([app.process.args[0], "--connect", "no address"],
                          env=app.environment, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and "bulkhead:" in done.stderr


def test_thumbnails_only_of_running_machines(start):
    app = start(f"machines=2&running=1&{DELAY}&features=no-screenshot")
    app.tile("Machine 1", "Running")
    assert is_showing(app.tile("Machine 1")) and has_state(app.tile("Machine 1"), "FOCUSABLE")
