# SPDX-License-Identifier: GPL-2.0-or-later
"""The settings of a machine: live changes, those that wait for a restart, refused ones."""
import re
import subprocess

from atspi_driver import has_state, text_of, wait_for

DELAY = "delay=50"


def settings(app, name="Machine 1"):
    app.tile(name)
    app.menu(name, "Settings")
    return app.window("Settings")


def test_rename(start):
    app = start(f"machines=1&{DELAY}")
    window = settings(app)
    app.set_text("text", "Name", "Übung", under=window)
    app.tile("Übung")


def test_refused_name_goes_back(start):
    app = start(f"machines=2&{DELAY}")
    window = settings(app)
    app.set_text("text", "Name", "Machine 2", under=window)
    wait_for("the old name", lambda: text_of(app.find("text", "Name", window)) == "Machine 1")
    app.wait_text("Machine 2")
    assert app.tile("Machine 1") and app.tile("Machine 2")


def test_off_changes_apply_at_once(start):
    app = start(f"machines=1&{DELAY}&cpus=8&memory=16384")
    window = settings(app)
    app.set_value("CPUs", 3, window)
    app.set_value("Memory", 3072, window)
    wait_for("memory", lambda: text_of(app.find("spin button", "Memory", window)) == "3 GiB")
    assert not app.all("label", "After restart", window)


def test_running_changes_say_after_restart(start):
    app = start(f"machines=1&running=1&{DELAY}&cpus=8&memory=16384")
    window = settings(app)
    app.set_value("Memory", 3072, window)
    wait_for("the badge", lambda: app.all("label", "After restart", window))


def test_notes_are_kept_when_the_window_closes(start):
    app = start(f"machines=1&{DELAY}")
    window = settings(app)
    app.set_text("text", "Notes", "Key: 123 – ß", under=window)
    app.click("push button", "Close", under=window)
    app.gone("frame", "Settings")
    window = settings(app)
    assert text_of(app.find("text", "Notes", window)) == "Key: 123 – ß"


def test_switch_and_refusal(start):
    app = start(f"machines=1&{DELAY}")
    window = settings(app)
    sound = lambda: app.find("toggle button", "Sound", window)
    before = has_state(sound(), "CHECKED")
    app.control.send("fail", "apply", "failed", "The card is stuck.")
    app.click("toggle button", "Sound", window)
    app.wait_text("The card is stuck")
    wait_for("it went back", lambda: has_state(sound(), "CHECKED") == before)
    app.click("toggle button", "Sound", window)
    wait_for("it changed", lambda: has_state(sound(), "CHECKED") != before)


def test_changes_from_outside_are_shown(start):
    app = start(f"machines=1&{DELAY}")
    window = settings(app)
    app.control.send("rename", "Machine 1", "Elsewhere")
    wait_for("new name", lambda: text_of(app.find("text", "Name", window)) == "Elsewhere")
    app.control.send("remove", "Elsewhere")
    app.gone("frame", "Settings")


def test_cd_is_inserted_and_ejected(start, tmp_path, window_manager):
    (tmp_path / "disc.iso").write_bytes(b"\0" * 32768 + b"\1CD001\1" + b"\0" * 8192)
    app = start(f"machines=1&{DELAY}")
    window = settings(app)
    app.click("push button", "Insert…", window)
    chooser = app.window("Insert a Medium")
    subprocess.run(["xdotool", "search", "--sync", "--onlyvisible", "--name", "Insert a Medium",
                    "windowactivate", "--sync"], check=True, env=app.environment)
    app.keys("ctrl+l")
    entry = app.find("text", under=chooser)
    entry.get_editable_text_iface().set_text_contents(str(tmp_path / "disc.iso"))
    app.click("push button", "Insert", chooser)
    wait_for("the file's name", lambda: app.all("label", "disc.iso", window))
    app.click("push button", "Eject", window)
    wait_for("empty", lambda: app.all("label", "Empty", window))


def test_unsupported_is_said(start):
    app = start(f"machines=1&{DELAY}&features=no-tpm")
    window = settings(app)
    assert not has_state(app.find("toggle button", re.compile("^TPM"), window), "SENSITIVE")
    app.wait_text("This host does not support it")
