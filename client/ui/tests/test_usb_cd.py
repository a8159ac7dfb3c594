# SPDX-License-Identifier: GPL-2.0-or-later
"""An ISO shared as a USB CD from the machine's window, end to end: through spice-gtk and usbredir
into QEMU's USB bus, whose monitor is the witness, and into a running desktop."""
import re
import subprocess

import pytest

from atspi_driver import wait_for
from real_app import MOVING_BLUE, kill_qemu, virsh
from test_faults import domain, shown


@pytest.fixture
def iso(tmp_path):
    folder = tmp_path / "content"
    folder.mkdir()
    (folder / "hello.txt").write_text("from the shared CD\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", "SHAREDCD", "-o",
                    tmp_path / "Shared ü.iso", folder], check=True, capture_output=True)
    return tmp_path / "Shared ü.iso"


def redirected(libvirt_name):
    """How many of the machine's redirection channels have a device: QEMU tells its speed."""
    lines = virsh("qemu-monitor-command", "--hmp", libvirt_name, "info usb").splitlines()
    return len([line for line in lines if re.search(r"redir", line) and "480 Mb/s" in line])


def open_panel(app):
    if not app.all("push button", "Share an ISO as a USB CD…"):
        app.click("toggle button", "USB Devices")
    app.find("push button", "Share an ISO as a USB CD…")


def share_iso(app, iso):
    open_panel(app)
    app.click("push button", "Share an ISO as a USB CD…")
    app.pick_file("Share an ISO as a USB CD", "Share", iso)


def stop_sharing(app, iso):
    open_panel(app)
    app.click("push button", f"Stop sharing {iso.name}")


def test_share_and_stop(real, moving, iso):
    name = moving("With a USB CD", "--start")
    app = shown(real, name)
    qemu = domain(name)
    assert redirected(qemu) == 0
    share_iso(app, iso)
    wait_for("the CD in QEMU", lambda: redirected(qemu) == 1)
    open_panel(app)
    app.find("list item", f"{iso.name}, shared as a USB CD")
    stop_sharing(app, iso)
    wait_for("no CD in QEMU", lambda: redirected(qemu) == 0)
    app.gone("list item", f"{iso.name}, shared as a USB CD")


def test_bad_files_are_refused(real, moving, tmp_path):
    name = moving("With no CD", "--start")
    app = shown(real, name)
    locked = tmp_path / "locked.iso"
    locked.write_bytes(b"\0" * 40960)
    locked.chmod(0)
    share_iso(app, locked)
    open_panel(app)
    app.wait_text("The CD image cannot be read")
    assert redirected(domain(name)) == 0


def test_ten_quick_toggles(real, moving, iso):
    name = moving("Toggled", "--start")
    app = shown(real, name)
    qemu = domain(name)
    for _ in range(10):
        share_iso(app, iso)
        open_panel(app)
        # No waiting for the machine in between: as soon as there is a button, it is pressed.
        stop_sharing(app, iso)
        app.gone("push button", f"Stop sharing {iso.name}")
    wait_for("no CD in QEMU", lambda: redirected(qemu) == 0)
    share_iso(app, iso)
    wait_for("the CD in QEMU", lambda: redirected(qemu) == 1)


@pytest.mark.parametrize("when", ("connecting", "connected"))
def test_qemu_killed_in_a_redirection(when, real, moving, iso):
    name = moving(f"Killed while {when}", "--start")
    app = shown(real, name)
    share_iso(app, iso)
    if when == "connected":
        wait_for("the CD in QEMU", lambda: redirected(domain(name)) == 1)
    kill_qemu(name)
    app.wait_text("The Machine Has Stopped Unexpectedly", 30)
    app.menu(name, "Start")
    app.tile(name, "Running", 30)
    app.shows(MOVING_BLUE)
    share_iso(app, iso)
    wait_for("the CD in the new QEMU", lambda: redirected(domain(name)) == 1)


def test_the_guest_reads_it(real, demo_desktop, iso):
    app = real("--machine", demo_desktop.name)
    demo_desktop.seen()
    share_iso(app, iso)
    device = wait_for("the CD in the guest", lambda: demo_desktop.run(
        "lsblk -rno NAME,LABEL | awk '$2 == \"SHAREDCD\" { print $1 }'").strip(), 60, 1)
    script = f"mount -o ro /dev/{device} /mnt && cat /mnt/hello.txt; umount /mnt"
    assert demo_desktop.run(script, user="root") == "from the shared CD\n"
    stop_sharing(app, iso)
    wait_for("no CD in the guest", lambda: "SHAREDCD" not in demo_desktop.run(
        "lsblk -rno NAME,LABEL"), 60, 1)
