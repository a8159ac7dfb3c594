# SPDX-License-Identifier: GPL-2.0-or-later
"""New machine: from an ISO, from images, empty, the demo desktop; bad files; cancel."""
import itertools
import os
import re
import stat
import subprocess
import time
from pathlib import Path

from atspi_driver import has_state, text_of, wait_for

DELAY = "delay=50"


def make_iso(path, label="Test Medium"):
    tree = path.parent / (path.name + ".d")
    tree.mkdir()
    (tree / "boot.img").write_bytes(b"\0" * 2048)
    (tree / "readme").write_text("nothing\n")
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-b", "boot.img",
                    "-no-emul-boot", "-o", path, tree], check=True, stderr=subprocess.DEVNULL)
    return path


def make_image(path, form="qcow2", size="64M", *options):
    subprocess.run(["qemu-img", "create", "-q", "-f", form, *options, path, size], check=True)
    return path


def form(app):
    app.window("New Machine")
    return app.find("text", "Name")


def value(app, name):
    return text_of(app.find("spin button", name))


def test_from_iso(start, tmp_path):
    app = start(f"machines=0&{DELAY}&cpus=4&memory=8192", make_iso(tmp_path / "My Medium.iso"))
    name = form(app)
    assert text_of(name)
    app.set_text("text", "Name", "Fresh")
    app.set_value("CPUs", 3)
    app.set_value("Memory", 1536)
    assert value(app, "Memory") == "1.5 GiB"
    app.click("push button", "Create")
    app.tile("Fresh", "Running")
    app.window(re.compile("Fresh"))


def test_not_started_when_unchecked(start, tmp_path):
    app = start(f"machines=0&{DELAY}", make_image(tmp_path / "disk.qcow2"))
    form(app)
    app.set_text("text", "Name", "Imported")
    app.click("check box", "Start it when it is ready")
    app.click("push button", "Create")
    app.tile("Imported", "Off")


def test_image_formats(start, tmp_path):
    for kind in ("qcow2", "raw", "vmdk", "vdi", "vhdx"):
        file = make_image(tmp_path / f"disk.{kind}", kind)
        if kind == "raw":
            with open(file, "r+b") as raw:
                raw.seek(510)
                raw.write(b"\x55\xaa")
        app = start(f"machines=0&{DELAY}", file)
        form(app)
        app.wait_text(re.escape(f"disk.{kind} — {kind}"))
        app.stop()


def test_bad_files(start, tmp_path):
    (tmp_path / "not.iso").write_bytes(b"this is no medium" * 1000)
    (tmp_path / "cut.qcow2").write_bytes(make_image(tmp_path / "whole.qcow2").read_bytes()[:70])
    make_image(tmp_path / "base.qcow2")
    make_image(tmp_path / "child.qcow2", "qcow2", "64M", "-b", tmp_path / "base.qcow2", "-F", "qcow2")
    (tmp_path / "empty.img").touch()
    for file in ("not.iso", "cut.qcow2", "child.qcow2", "empty.img", "missing.iso"):
        app = start(f"machines=0&{DELAY}", tmp_path / file)
        app.wait_text("No machine can be made from this file")
        app.find("push button", "Choose a File")
        app.stop()


def test_name_taken_and_invalid(start):
    app = start(f"machines=1&{DELAY}")
    app.click("push button", "New…")
    app.click("push button", "Empty Machine")
    form(app)
    create = lambda: app.find("push button", "Create")
    app.set_text("text", "Name", "Machine 1")
    app.wait_text("There is already a machine “Machine 1”")
    wait_for("no Create", lambda: not has_state(create(), "SENSITIVE"))
    app.set_text("text", "Name", "")
    wait_for("no Create", lambda: not has_state(create(), "SENSITIVE"))
    app.set_text("text", "Name", "机器 – ñ 🖥")
    wait_for("Create", lambda: has_state(create(), "SENSITIVE"))
    app.click("push button", "Create")
    app.tile("机器 – ñ 🖥", "Running")


def test_failure_brings_the_form_back(start):
    app = start(f"machines=0&{DELAY}")
    app.click("push button", "New Machine…")
    app.click("push button", "Empty Machine")
    form(app)
    app.set_text("text", "Name", "Keep me")
    app.control.send("fail", "create", "no-space", "The disk is full.")
    app.click("push button", "Create")
    app.wait_text("The disk is full")
    assert text_of(app.find("text", "Name")) == "Keep me"
    app.click("push button", "Create")
    app.tile("Keep me")


def test_host_that_does_not_answer(start, tmp_path):
    app = start("machines=0&fail=open:disconnected:Nobody_is_there", make_image(tmp_path / "a.qcow2"))
    window = app.window("New Machine")
    wait_for("the reason", lambda: [n for n in app.all("label", under=window)
                                    if "does not answer" in text_of(n)])
    app.find("push button", "Choose a File", window)


def test_file_waits_for_the_host(start, tmp_path):
    app = start("machines=0&delay=3000&cpus=3&memory=8192", make_image(tmp_path / "a.qcow2"))
    form(app)
    app.set_value("CPUs", 99)
    assert value(app, "CPUs") == "3"


def test_progress_and_cancel(start):
    app = start("machines=0&delay=20000")
    app.click("push button", "New Machine…")
    app.click("push button", "Empty Machine")
    form(app)
    app.set_text("text", "Name", "Slow")
    app.click("push button", "Create")
    app.wait_text("Creating “Slow”")
    app.find("progress bar", "Creating “Slow”")
    app.click("push button", "Cancel: Creating “Slow”")
    app.find("push button", "Try the Demo Desktop")
    wait_for("no line", lambda: not app.all("progress bar", "Creating “Slow”"))
    assert not app.all("push button", re.compile("Slow"))


def test_closing_asks_while_a_job_runs(start):
    app = start("machines=0&delay=20000")
    app.click("push button", "New Machine…")
    app.click("push button", "Empty Machine")
    form(app)
    app.click("push button", "Create")
    app.find("progress bar", re.compile("Creating"))
    app.action("quit")
    app.click("push button", "Keep Open")
    app.action("quit")
    app.click("push button", "Cancel and Close")
    app.process.wait(10)
    assert app.process.returncode == 0


class DragSource:
    """drag_source.py, and what it has told so far."""

    def __init__(self, app, uri):
        self.process = subprocess.Popen(["/usr/bin/python3", Path(__file__).parent / "drag_source.py", uri],
                                        env=app.environment, stdout=subprocess.PIPE)
        os.set_blocking(self.process.stdout.fileno(), False)
        self.told = []

    def tells(self, word):
        self.told += (self.process.stdout.read() or b"").decode().split()
        return word in self.told

    def stop(self):
        self.process.terminate()
        self.process.wait()


def test_file_is_dropped(start, tmp_path, window_manager):
    image = make_image(tmp_path / "dropped – ß.qcow2")
    app = start(f"machines=1&{DELAY}")
    app.tile("Machine 1")

    def xdotool(*words):
        subprocess.run(["xdotool", *words], check=True, env=app.environment, stdout=subprocess.DEVNULL)

    source = DragSource(app, image.as_uri())
    # Out of the source, then to and fro over the home window until it goes on accepting.
    places = itertools.chain([("1080", "850"), ("1000", "800"), ("700", "500")],
                             itertools.cycle((("420", "420"), ("410", "410"))))

    def accepted():
        for _ in range(4):
            xdotool("mousemove", *next(places))
            time.sleep(0.05)
            if not source.tells("accepted") or source.told[-1] != "accepted":
                return False
        return True

    try:
        xdotool("search", "--sync", "--onlyvisible", "--name", "^Bulkhead$", "windowmove", "0", "0")
        wait_for("the source's window", lambda: source.tells("shown"))
        xdotool("mousemove", "1100", "870", "mousedown", "1")
        wait_for("the home window to take the file", accepted)
        xdotool("mouseup", "1")
        form(app)
        app.wait_text("dropped – ß.qcow2 — qcow2")
    finally:
        source.stop()


def fake_builder(folder, body):
    folder.mkdir()
    script = folder / "bulkhead-demo-build"
    script.write_text("#!/bin/sh\n" + body)
    script.chmod(script.stat().st_mode | stat.S_IXUSR)
    return {"BULKHEAD_LIBEXECDIR": str(folder)}


def test_demo_desktop(start, tmp_path):
    image = make_image(tmp_path / "demo.qcow2")
    cache = tmp_path / "app0/home/.cache/bulkhead"
    env = fake_builder(tmp_path / "libexec", f"""
mkdir -p {cache}
echo 'PROGRESS 40 Installing packages'; sleep 1.5
cp {image} {cache}/demo-desktop.qcow2
echo 'PROGRESS 100 Done'
""")
    app = start(f"machines=0&{DELAY}", env=env)
    app.click("push button", "Try the Demo Desktop")
    app.wait_text("Installing packages")
    app.find("push button", re.compile("^Demo.*, Running$"))


def test_demo_that_fails(start, tmp_path):
    env = fake_builder(tmp_path / "libexec", "echo 'no network' >&2; exit 1\n")
    app = start(f"machines=0&{DELAY}", env=env)
    app.click("push button", "Try the Demo Desktop")
    app.wait_text("The demo desktop could not be made")


def test_operating_system_is_searched(start):
    app = start(f"machines=0&{DELAY}&cpus=8&memory=16384")
    app.click("push button", "New Machine…")
    app.click("push button", "Empty Machine")
    form(app)
    app.click("toggle button", re.compile("^Operating system: "))
    app.set_text("text", "Search systems", "windows 11")
    wait_for("one system", lambda: app.all("table cell", re.compile("Windows 11")))
    search = app.find("text", "Search systems")
    search.get_action_iface().do_action(0)
    app.find("toggle button", re.compile("^Operating system: .*Windows 11"))
    app.click("toggle button", "More")
    wait_for("TPM is on", lambda: has_state(app.find("check box", re.compile("^TPM 2.0")), "CHECKED"))
