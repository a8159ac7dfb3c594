# SPDX-License-Identifier: GPL-2.0-or-later
"""Media and images, end to end: machines are made from real files through the real app on libvirt,
files that are no good are refused with a reason, and nothing half-made is left behind."""
import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from atspi_driver import has_state, text_of, wait_for
from guest import ctl, state
from real_app import (MOVING_BLUE, TOP, disks, find_process, remove, screen, share,
                      slow_qemu_img)

FORMATS = ("qcow2", "raw", "vmdk", "vdi", "vhdx")
# What newt, the installer's toolkit, paints the screen with.
INSTALLER_BLUE, INSTALLER_GREY = (0x00, 0x00, 0xAA), (0xAA, 0xAA, 0xAA)
MIB = 1 << 20


@pytest.fixture
def made():
    """Names of machines to remove."""
    names = []
    yield names
    for name in names:
        remove(name)


def convert(source, target, form):
    subprocess.run(["qemu-img", "convert", "-q", "-f", "raw", "-O", form, source, target], check=True)
    return target


def noise(path, size):
    with open(path, "wb") as file:
        for _ in range(size // MIB):
            file.write(os.urandom(MIB))
    return path


def form(app, name=None):
    """The form of the New Machine window, once the file was looked at."""
    app.find("text", "Name", limit=30)
    if name:
        app.set_text("text", "Name", name)


def create(app, name, run=False):
    form(app, name)
    check = app.find("check box", "Start it when it is ready")
    if has_state(check, "CHECKED") != run:
        check.get_action_iface().do_action(0)
    app.click("push button", "Create")


def choose(app, path):
    """Ctrl+N, and the file's name typed into the file chooser."""
    app.activate("^Bulkhead$")
    app.keys("ctrl+n")
    app.window("New Machine")
    app.click("push button", "Choose a File")
    app.pick_file("Choose a Medium", "Open", path)


def close_form(app):
    for _ in range(3):
        button = next((b for b in app.all("push button", re.compile("^(Back|Cancel)$"))), None)
        if not button:
            break
        button.get_action_iface().do_action(0)
    wait_for("no New Machine window", lambda: not app.all("frame", "New Machine")
             and not app.all("dialog", "New Machine"))


def installer_is_seen():
    picture = screen()
    return share(picture, INSTALLER_GREY) > 0.2 and share(picture, INSTALLER_BLUE) > 0.02


def test_installer_from_iso(real, made, tmp_path):
    iso = tmp_path / "Debian – Installer.iso"
    subprocess.run([TOP / "client/demo/bulkhead-installer-iso", iso], check=True)
    app = real()
    app.find("push button", re.compile("^New"), limit=60)
    choose(app, iso)
    form(app)
    app.find("toggle button", re.compile("^Operating system: .*Debian 12"))
    made.append("Installation №1 🖥")
    app.set_value("Memory", 1024)
    create(app, made[0], run=True)
    wait_for("the installer's first question", installer_is_seen, 200, 0.5)
    screen("installer.png")
    assert state(made[0]) == "running"
    spec = json.loads(ctl("show", made[0], "--json").stdout)
    assert spec["cdrom"] == str(iso)


@pytest.mark.parametrize("kind", FORMATS)
def test_import(kind, real, made, moving_image, tmp_path):
    before, source = disks(), convert(moving_image, tmp_path / f"disk.{kind}", kind)
    kept = source.read_bytes()
    app = real(source)
    made.append(f"From {kind}")
    create(app, made[0])
    app.tile(made[0], "Off", 30)
    path = Path(json.loads(ctl("show", made[0], "--json").stdout)["disk"])
    assert disks() - before == {path.name}
    subprocess.run(["qemu-img", "compare", "-q", "-f", kind, "-F", "qcow2", source, path], check=True)
    assert source.read_bytes() == kept


def test_imported_image_boots(real, made, moving_image, tmp_path):
    app = real()
    app.find("push button", re.compile("New Machine…|New…"), limit=30)
    app.hand_over(convert(moving_image, tmp_path / "disk.vmdk", "vmdk"))
    form(app)
    app.click("toggle button", "More")
    app.choose("Firmware", "BIOS (for old systems)")
    made.append("Booting vmdk")
    create(app, made[0], run=True)
    app.shows(MOVING_BLUE)


def test_progress_and_cancel(real, tmp_path):
    before = disks()
    app = real(noise(tmp_path / "big.raw", 48 * MIB), env=slow_qemu_img(tmp_path / "bin", 4 * MIB))
    create(app, "Slowly")
    bar = app.find("progress bar", "Creating “Slowly”")
    wait_for("some progress", lambda: bar.get_value_iface().get_current_value() > 0.1, 20)
    app.wait_text(r"of 48\.\d\sMiB")
    assert any(name.endswith(".part") for name in disks() - before)
    app.click("push button", "Cancel: Creating “Slowly”")
    wait_for("no line", lambda: not app.all("progress bar", "Creating “Slowly”"))
    wait_for("no debris", lambda: disks() == before, 5)
    assert "Slowly" not in app.states()
    assert find_process(lambda line: b"big.raw" in line and b"qemu-img" in line) is None


def broken_files(folder, moving_image):
    """File and what is said of it, at the look or at the copy."""
    whole = convert(noise(folder / "noise", 4 * MIB), folder / "whole.qcow2", "qcow2")
    data = bytearray(whole.read_bytes())
    (folder / "cut.qcow2").write_bytes(data[:len(data) * 2 // 3])
    (folder / "header.qcow2").write_bytes(data[:60])
    table = int.from_bytes(data[40:48], "big")  # the L1 table's place
    data[table:table + 8] = b"\x80\xff\xff\xff\xff\xff\xff\xff"
    (folder / "corrupt.qcow2").write_bytes(data)
    (folder / "text.iso").write_text("Dear diary, today I have renamed you.\n" * 900)
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", whole, "-F", "qcow2",
                    folder / "child.qcow2"], check=True)
    (folder / "locked.qcow2").write_bytes(whole.read_bytes())
    (folder / "locked.qcow2").chmod(0)
    (folder / "empty.img").touch()
    (folder / "folder.iso").mkdir()
    os.mkfifo(folder / "pipe.img")
    return ("cut.qcow2", "header.qcow2", "corrupt.qcow2", "text.iso", "child.qcow2", "locked.qcow2",
            "empty.img", "folder.iso", "pipe.img", "missing.iso")


REASONS = {
    "cut.qcow2": "damaged|cut off|incomplete|truncated",
    "header.qcow2": "damaged|incomplete|cannot be read|truncated",
    "corrupt.qcow2": "damaged|corrupt",
    "text.iso": "neither|not an? |no (medium|machine)",
    "child.qcow2": "backing|another file|other file",
    "locked.qcow2": "[Pp]ermission|may not",
    "empty.img": "empty",
    "folder.iso": "folder|not a file|regular",
    "pipe.img": "file",
    "missing.iso": "not there|No such file|no file|does not exist",
}


def test_bad_files_are_explained(real, moving_image, tmp_path):
    before = disks()
    files = broken_files(tmp_path, moving_image)
    app = real()
    app.find("push button", re.compile("New Machine…|New…"), limit=30)
    for file in files:
        app.hand_over(tmp_path / file)
        wait_for(f"a word on {file}", lambda: app.all("text", "Name") or app.all(
            "label", re.compile("No machine can be made from this file")), 30)
        if app.all("text", "Name"):
            create(app, f"Never {file}")
            app.wait_text("The machine could not be made", 30)
        said = "\n".join(text_of(n) for n in app.all("label"))
        assert re.search(REASONS[file], said), (file, said)
        close_form(app)
        assert disks() == before, file


def test_name_taken_and_too_much_memory(real, made, moving_image, tmp_path):
    ctl("new", "--empty", "--disk", "none", "--name", "Taken")
    made.append("Taken")
    app = real(moving_image)
    form(app, "Taken")
    app.wait_text("There is already a machine “Taken”")
    assert not has_state(app.find("push button", "Create"), "SENSITIVE")
    app.set_text("text", "Name", "..")
    app.wait_text("name")
    assert not has_state(app.find("push button", "Create"), "SENSITIVE")
    app.set_text("text", "Name", "Large")
    memory = app.set_value("Memory", 64 << 20)
    host = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20
    most = memory.get_value_iface().get_current_value()
    if most > host:
        app.wait_text("memory")
        assert not has_state(app.find("push button", "Create"), "SENSITIVE")
    done = ctl("new", "--empty", "--disk", "none", "--name", "Large", "--memory", f"{host + 1}M",
               check=False)
    assert done.returncode != 0 and "more than this computer has" in done.stderr


def small_disk(folder, size):
    """A prefix that runs the app with folder on a file system of this size, as the same user."""
    folder.mkdir(parents=True)
    script = (f'mount -t tmpfs -o size={size},mode=700 tmpfs "{folder}" && '
              f'exec unshare --user --map-user={os.getuid()} --map-group={os.getgid()} -- "$@"')
    return ("unshare", "--user", "--map-root-user", "--mount", "--", "sh", "-c", script, "sh")


def can_mount(folder):
    prefix = small_disk(folder, "1M")
    return subprocess.run([*prefix, "true"], check=False, capture_output=True).returncode == 0


def test_disk_full(real, tmp_path):
    """Too small from the start, and full in the middle of the copy."""
    if not can_mount(tmp_path / "try"):
        pytest.skip("no user namespaces within user namespaces here")
    data = tmp_path / "data"
    source = noise(tmp_path / "big.raw", 24 * MIB)
    app = real(source, prefix=small_disk(data, "16M"), env={"XDG_DATA_HOME": str(data)})
    create(app, "No room")
    app.wait_text("There is too little space", 30)
    seen = Path(f"/proc/{app.process.pid}/root{data}")
    assert not [f for f in seen.rglob("*") if f.is_file()]
    close_form(app)
    app.stop()

    data = tmp_path / "data2"
    app = real(source, prefix=small_disk(data, "32M"),
               env={"XDG_DATA_HOME": str(data), **slow_qemu_img(tmp_path / "bin", 8 * MIB)})
    create(app, "Room taken")
    bar = app.find("progress bar", "Creating “Room taken”")
    wait_for("some progress", lambda: bar.get_value_iface().get_current_value() > 0.1, 20)
    seen = Path(f"/proc/{app.process.pid}/root{data}")
    with pytest.raises(OSError):
        (seen / "filler").write_bytes(b"x" * (32 * MIB))
    app.wait_text("There is too little space", 30)
    assert [f.name for f in seen.rglob("*") if f.is_file()] == ["filler"]
    # The form is back with all that was entered: with room it works.
    (seen / "filler").unlink()
    assert text_of(app.find("text", "Name")) == "Room taken"


NAMES = ("🖥️ 👩‍👩‍👧 emoji", "עברית و العربية", "'quotes\" `and` $HOME \\n %s", "<b>&amp;<b> ]]>",
         "é" * 100, "-rf --help", "...", "a,b=c;d|e")


def test_any_name(real, made, moving_image):
    app = real()
    app.find("push button", re.compile("New Machine…|New…"), limit=30)
    for name in NAMES:
        app.hand_over(moving_image)
        made.append(name)
        create(app, name)
        app.tile(name, "Off", 30)
    assert set(NAMES) <= set(app.states())
    listed = json.loads(ctl("list", "--json").stdout)
    assert set(NAMES) <= {machine["name"] for machine in listed}
    assert len(disks()) >= len(NAMES)
    for name in NAMES[3:5]:
        app.menu(name, "Start")
        app.tile(name, "Running", 60)
        app.menu(name, "Pause")
        app.tile(name, "Paused")
