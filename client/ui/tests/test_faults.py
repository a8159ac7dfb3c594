# SPDX-License-Identifier: GPL-2.0-or-later
"""Everything around the app dies, changes or is done twice, while it shows a real running guest:
libvirtd, QEMU, the app itself, and what other programs do behind its back."""
import json
import os
import re
import signal
import time

import pytest

from atspi_driver import has_state, wait_for
from guest import ctl, state
from real_app import (MOVING_BLUE, disks, find_process, kill_app, kill_libvirtd, kill_qemu,
                      libvirtd_pid, qemu_pid, remove, screen, share, slow_qemu_img, virsh)

MIB = 1 << 20
LOST = "was lost; reconnecting"


def shown(real, name):
    """The app with its list and the window of a running machine, its picture in it."""
    app = real()
    app.tile(name, "Running", 30)
    app.hand_over("--machine", name)
    app.shows(MOVING_BLUE)
    return app


def has_no_picture(limit=15):
    wait_for("the picture to go", lambda: share(screen(), MOVING_BLUE) < 0.05, limit, 0.05)


def reconnects(app):
    app.wait_text(LOST, 10)
    wait_for("the connection to be back", lambda: not [
        n for n in app.all("label", re.compile(LOST))], 40)


# --- libvirtd ---

def test_libvirtd_killed_while_off_running_and_paused(real, moving):
    off, on, paused = moving("Stays off"), moving("Stays on"), moving("Stays paused")
    ctl("start", on)
    ctl("start", paused)
    ctl("pause", paused)
    app = shown(real, on)
    wanted = {off: "Off", on: "Running", paused: "Paused"}
    wait_for("the three states", lambda: wanted.items() <= app.states().items())
    pids = qemu_pid(on), qemu_pid(paused)
    old = kill_libvirtd()
    reconnects(app)
    assert libvirtd_pid() not in (None, old)
    wait_for("the three states again", lambda: wanted.items() <= app.states().items())
    assert (qemu_pid(on), qemu_pid(paused)) == pids
    app.shows(MOVING_BLUE)
    # And it is not only shown: everything still works.
    app.menu(paused, "Resume")
    app.tile(paused, "Running", 30)
    app.menu(off, "Start")
    app.tile(off, "Running", 30)


def test_libvirtd_killed_while_saving(real, moving):
    name = moving("Interrupted save", "--start")
    app = shown(real, name)
    pid = qemu_pid(name)
    os.kill(pid, signal.SIGSTOP)  # the save cannot get on
    try:
        app.menu(name, "Save")
        app.tile(name, "Saving")
        time.sleep(0.5)  # until the request is in libvirtd; there is nothing to see
        kill_libvirtd()
    finally:
        os.kill(pid, signal.SIGCONT)
    reconnects(app)
    app.tile(name, "Running", 30)
    assert state(name) == "running" and qemu_pid(name) == pid
    app.shows(MOVING_BLUE)
    app.menu(name, "Save")
    app.tile(name, "Saved", 30)
    app.menu(name, "Start")
    app.tile(name, "Running", 30)


def noise(path, size):
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


def start_import(app, name):
    app.find("text", "Name", limit=30)
    app.set_text("text", "Name", name)
    check = app.find("check box", "Start it when it is ready")
    if has_state(check, "CHECKED"):
        check.get_action_iface().do_action(0)
    app.click("push button", "Create")
    bar = app.find("progress bar", f"Creating “{name}”")
    wait_for("some progress", lambda: bar.get_value_iface().get_current_value() > 0.1, 20)


def test_libvirtd_killed_while_importing(real, tmp_path):
    before, name = disks(), "Imported all the same"
    app = real(noise(tmp_path / "disk.raw", 16 * MIB), env=slow_qemu_img(tmp_path / "bin", 4 * MIB))
    start_import(app, name)
    kill_libvirtd()
    reconnects(app)
    wait_for("an outcome", lambda: not app.all("progress bar", f"Creating “{name}”"), 40)
    if app.states().get(name) == "Off":
        assert len(disks() - before) == 1
        remove(name)
    else:
        app.wait_text("The machine could not be made")
        assert disks() == before


# --- QEMU ---

def crash(app, name):
    kill_qemu(name)
    app.wait_text("The Machine Has Stopped Unexpectedly", 30)
    app.tile(name, "Crashed")
    has_no_picture()


@pytest.mark.parametrize("what", ("running", "paused", "saving"))
def test_qemu_killed(what, real, moving):
    name = moving(f"Killed while {what}", "--start")
    app = shown(real, name)
    if what == "paused":
        app.menu(name, "Pause")
        app.tile(name, "Paused")
    if what == "saving":
        os.kill(qemu_pid(name), signal.SIGSTOP)
        app.menu(name, "Save")
        app.tile(name, "Saving")
        time.sleep(0.5)  # until the request is in libvirtd; there is nothing to see
    crash(app, name)
    app.click("toggle button", "Last Lines of Its Log")
    app.find("label", "Last lines of the machine's log")
    window = app.window(name)
    app.click("push button", "Restart", window)
    app.tile(name, "Running", 30)
    app.shows(MOVING_BLUE)


# --- the app ---

def test_app_killed_while_importing(real, tmp_path, moving):
    before = disks()
    app = real(noise(tmp_path / "half.raw", 16 * MIB), env=slow_qemu_img(tmp_path / "bin", 2 * MIB))
    start_import(app, "Half")
    assert any(file.endswith(".part") for file in disks() - before)
    kill_app(app)
    wait_for("its qemu-img to end", lambda: find_process(
        lambda line: b"qemu-img" in line and b"half.raw" in line) is None, 5)
    app = real()
    app.find("push button", re.compile("^New"), limit=30)
    assert "Half" not in app.states()
    name = moving("After it")  # the next use sweeps
    app.tile(name, "Off")
    left = disks() - before
    assert len(left) == 1 and not any(file.endswith(".part") for file in left), left


def test_app_killed_while_saving(real, moving):
    name = moving("Saved without us", "--start")
    app = shown(real, name)
    pid = qemu_pid(name)
    os.kill(pid, signal.SIGSTOP)
    try:
        app.menu(name, "Save")
        app.tile(name, "Saving")
        time.sleep(0.5)  # until the request is in libvirtd; there is nothing to see
        kill_app(app)
    finally:
        os.kill(pid, signal.SIGCONT)
    app = real()
    wait_for("the truth", lambda: app.states().get(name) in ("Saved", "Running")
             and app.states()[name].lower() == state(name), 60)
    if state(name) == "saved":
        app.menu(name, "Start")
    app.tile(name, "Running", 30)


def test_second_instance_hands_over(real, moving):
    name = moving("Shown by the second", "--start")
    app = real()
    app.tile(name, "Running", 30)
    app.hand_over("--machine", name)
    app.shows(MOVING_BLUE)
    app.hand_over("--machine", name)
    assert len(app.all("frame", re.compile(f"^{name}"))) == 1
    app.hand_over()
    assert len(app.all("frame", "Bulkhead")) == 1


# --- behind its back ---

def test_reset_brings_the_picture_back(real, moving):
    """By another client, and as a guest's own reboot does it: the firmware is seen, then the guest."""
    name = moving("Reset from outside", "--start")
    app = shown(real, name)
    for reset in (("reset", domain(name)), ("qemu-monitor-command", "--hmp", domain(name), "system_reset")):
        virsh(*reset)
        has_no_picture(10)
        app.shows(MOVING_BLUE)
        app.tile(name, "Running")
    virsh("reboot", domain(name))  # asks the guest, which has no ear for it: nothing may happen
    app.tile(name, "Running")
    app.shows(MOVING_BLUE)


def domain(name):
    """libvirt's own name of a machine."""
    uuid = json.loads(ctl("show", name, "--json").stdout)["id"]
    return virsh("domname", uuid).strip()


def test_destroyed_undefined_defined_renamed(real, moving, tmp_path):
    name = moving("Played with", "--start")
    app = shown(real, name)
    libvirt_name = domain(name)
    virsh("destroy", libvirt_name)
    app.tile(name, "Off", 30)
    app.wait_text("The Machine Is Off")
    has_no_picture()
    xml = tmp_path / "domain.xml"
    xml.write_text(virsh("dumpxml", "--inactive", libvirt_name))
    virsh("undefine", libvirt_name)
    wait_for("the tile to go", lambda: name not in app.states())
    app.wait_text("The Machine Does Not Exist Any More")
    virsh("define", xml)
    app.tile(name, "Off")
    virsh("domrename", libvirt_name, "renamed-outside")
    # A machine with a name of its own keeps it: libvirt's is only a handle.
    now = wait_for("a tile", lambda: next(
        (one for one in (name, "renamed-outside") if one in app.states()), None))
    assert state(now) == "off"
    virsh("start", "renamed-outside")
    app.tile(now, "Running", 30)
    app.hand_over("--machine", now)
    app.shows(MOVING_BLUE)
    remove(now)


# --- deleting ---

def test_delete_and_undo(real, moving):
    name, before = moving("Deleted and back"), disks()
    app = real()
    app.tile(name, "Off", 30)
    app.menu(name, "Delete")
    app.wait_text(f"“{name}” was deleted")
    wait_for("no tile", lambda: name not in app.states())
    assert disks() == before
    app.click("push button", "Undo")
    app.tile(name, "Off")
    app.menu(name, "Start")
    app.tile(name, "Running", 30)


def test_deletes_of_an_earlier_run_are_offered(real, moving):
    name, before = moving("Deleted long ago"), disks()
    app = real()
    app.tile(name, "Off", 30)
    app.menu(name, "Delete")
    app.wait_text(f"“{name}” was deleted")
    kill_app(app)
    app = real()
    app.wait_text(f"“{name}” was deleted on .* and can still be brought back", 30)
    assert disks() == before
    app.click("push button", "Undo")
    app.tile(name, "Off")
    app.menu(name, "Delete")
    app.click("push button", "Remove for Good")
    wait_for("its disk to go", lambda: len(disks()) == len(before) - 1)
    assert name not in app.states()
