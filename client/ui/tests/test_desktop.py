# SPDX-License-Identifier: GPL-2.0-or-later
"""The main job, end to end: the demo desktop on libvirt and QEMU, used through the real app.

Runs inside client/host/tests/session-run, Xvfb and a session bus, as ./check ui does. The demo desktop's
image is made by bulkhead-demo-build beforehand; BULKHEAD_DEMO_IMAGE names it. The tests share one
running desktop and are in order: a boot takes minutes without KVM.
"""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import demo_desktop
from atspi_driver import App, wait_for
from demo_desktop import ARTIFACTS, IMAGE, demo_screen
from guest import URI, ctl, state

NAME = "Demo – Schreibtisch №1"

pytestmark = pytest.mark.skipif(not IMAGE.exists(), reason="no demo desktop was built (BULKHEAD_DEMO_IMAGE)")


class DesktopApp(App):
    """The client showing one machine, driven by keyboard and pointer like a person does."""

    def __init__(self, folder):
        super().__init__(folder, "--connect", URI, "--machine", NAME, home=Path.home(),
                         env={"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"]})

    def window(self):
        return wait_for("the machine's window", self._find_window, 30)

    def _find_window(self):
        done = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", re.escape(NAME)],
                              capture_output=True, text=True, check=False)
        return done.stdout.split()[-1] if done.stdout.split() else None

    def geometry(self):
        out = subprocess.run(["xdotool", "getwindowgeometry", "--shell", self.window()],
                             capture_output=True, text=True, check=True).stdout
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", out)}

    def focus_guest(self):
        subprocess.run(["xdotool", "windowactivate", "--sync", self.window()], check=True)
        box = self.geometry()
        x, y = box["X"] + box["WIDTH"] // 2, box["Y"] + box["HEIGHT"] // 2
        subprocess.run(["xdotool", "mousemove", str(x), str(y), "click", "1"], check=True)

    def type_line(self, text):
        self.focus_guest()
        subprocess.run(["xdotool", "type", "--delay", "150", text], check=True)
        subprocess.run(["xdotool", "key", "Return"], check=True)

    def resize(self, width, height):
        subprocess.run(["xdotool", "windowsize", "--sync", self.window(), str(width), str(height)],
                       check=True)

    def picture(self, name):
        path = ARTIFACTS / name
        subprocess.run(["import", "-window", "root", path], check=True)
        return demo_screen.load(str(path))


@pytest.fixture(scope="module")
def guest(window_manager):
    """The demo desktop, made from the cached image as `./run` does, and started."""
    guest = demo_desktop.make(NAME)
    ctl("start", NAME)
    return guest


@pytest.fixture(scope="module")
def app(guest, tmp_path_factory):
    app = DesktopApp(tmp_path_factory.mktemp("app"))
    yield app
    app.stop()


@pytest.fixture(scope="module")
def demo(guest, app):
    """The guest once its panel can be seen."""
    return guest.seen()


def qemu_pid(guest):
    found = subprocess.run(["pgrep", "-f", f"qemu-system.*{guest.uuid}"], capture_output=True,
                           text=True, check=True)
    return int(found.stdout.split()[0])


def guest_size(guest, tmp_path):
    shot = guest.screenshot(str(tmp_path / "size.png"))
    picture = demo_screen.load(shot) if shot else None
    return picture[:2] if picture else None


def test_desktop_is_seen_in_the_client(demo, app):
    wait_for("the desktop in the client's window",
             lambda: demo_screen.background_share(app.picture("desktop.png")) > 0.1, 60, 1)


def test_accelerator_is_told(demo):
    host = json.loads(ctl("host", "--json").stdout)
    assert host["accelerator"] in ("kvm", "tcg")
    if host["accelerator"] == "tcg":
        assert host["accelerator_note"]


def test_no_tcp_port_is_open(demo):
    """QEMU listens on no network port at all."""
    pid = qemu_pid(demo)
    inodes = {os.readlink(fd) for fd in Path(f"/proc/{pid}/fd").iterdir() if fd.is_symlink()}
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/{pid}/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            assert not (fields[3] == "0A" and f"socket:[{fields[9]}]" in inodes)


def test_typed_text_appears(demo, app, tmp_path):
    before = demo_screen.load(demo.screenshot(str(tmp_path / "before.png")))
    app.type_line("echo typed by hand | tee /tmp/typed")
    text = wait_for("the typed command's file",
                    lambda: demo.run("cat /tmp/typed 2>/dev/null || true"), 60, 1)
    assert text == "typed by hand\n"
    after = demo_screen.load(demo.screenshot(str(tmp_path / "after.png")))
    assert before[4] != after[4]


def test_guest_follows_the_window(demo, app, tmp_path):
    for width, height in ((900, 700), (1200, 900)):
        app.resize(width, height)
        size = wait_for(f"a guest about {width} wide",
                        lambda w=width: (s := guest_size(demo, tmp_path)) and abs(s[0] - w) < 24 and s,
                        90, 1)
        assert height - 140 < size[1] <= height


def test_clipboard_into_the_guest(demo, app):
    app.focus_guest()
    subprocess.run(["xclip", "-i", "-selection", "clipboard"], input="from the hôst", text=True,
                   check=True, stdout=subprocess.DEVNULL)
    app.focus_guest()
    wait_for("the host's text in the guest",
             lambda: demo.run("timeout 5 xclip -o -selection clipboard 2>/dev/null || true")
             == "from the hôst", 60, 1)


def test_clipboard_out_of_the_guest(demo, app):
    app.focus_guest()
    demo.run("printf 'from the gäst' | xclip -i -selection clipboard >/dev/null 2>&1")

    def host_text():
        return subprocess.run(["xclip", "-o", "-selection", "clipboard"], capture_output=True,
                              text=True, check=False, timeout=10).stdout
    wait_for("the guest's text on the host", lambda: host_text() == "from the gäst", 60, 1)


def make_iso(path, label):
    content = path.parent / f"{label}.d"
    content.mkdir()
    (content / "hello.txt").write_text(label)
    subprocess.run(["xorriso", "-as", "mkisofs", "-quiet", "-V", label, "-o", path, content],
                   check=True, capture_output=True)
    return path


def test_cd_is_changed_and_ejected(demo, tmp_path):
    for label in ("FIRST", "SECOND"):
        ctl("cd", NAME, make_iso(tmp_path / f"{label}.iso", label))
        wait_for(f"the CD {label} in the guest",
                 lambda text=label: text in demo.run("lsblk -o LABEL /dev/sr0; true"), 60, 1)
    ctl("cd", NAME, "--eject")
    wait_for("an empty drive",
             lambda: "SECOND" not in demo.run("lsblk -o LABEL /dev/sr0 2>&1; true"), 60, 1)


def test_app_killed_leaves_the_machine_alone(demo, app):
    app.process.kill()
    app.process.wait()
    assert state(NAME) == "running"
    app.__init__(app.tmp)
    wait_for("the desktop in the new client",
             lambda: demo_screen.background_share(app.picture("again.png")) > 0.1, 60, 1)


def test_save_and_restore(demo, app):
    mark = demo.run("touch /run/user/1000/kept; cat /proc/sys/kernel/random/boot_id")
    ctl("save", NAME)
    assert state(NAME) == "saved"
    ctl("start", NAME)
    demo.wait_agent(120)
    assert demo.run("cat /proc/sys/kernel/random/boot_id; test -e /run/user/1000/kept") == mark
    wait_for("the desktop in the client after restoring",
             lambda: demo_screen.background_share(app.picture("restored.png")) > 0.1, 60, 1)


def test_qemu_killed_says_why_and_starts_again(demo, app):
    os.kill(qemu_pid(demo), signal.SIGKILL)
    wait_for("the crash's report", lambda: state(NAME) == "crashed", 30)
    app.picture("crashed.png")
    ctl("start", NAME)
    assert state(NAME) in ("starting", "running")


def test_guest_that_powers_off_by_itself(demo, app):
    demo.seen()
    demo.run("(sleep 1; systemctl poweroff) >/dev/null 2>&1 &", user="root")
    wait_for("the machine off", lambda: state(NAME) == "off", 180, 1)
    app.picture("off.png")
    assert app.process.poll() is None


def test_delete_and_undo(demo, app):
    app.stop()
    disk = Path(json.loads(ctl("show", NAME, "--json").stdout)["disk"])
    ctl("delete", NAME, "--yes")
    assert disk.exists()
    ctl("undelete", NAME)
    assert state(NAME) == "off" and disk.exists()
    ctl("delete", NAME, "--yes")
    ctl("purge", NAME, "--yes")
    assert not disk.exists() and IMAGE.exists()
