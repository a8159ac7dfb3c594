# SPDX-License-Identifier: GPL-2.0-or-later
"""The machine's window, on a real but empty QEMU whose SPICE socket the fake host hands out: the
picture, full screen, loss and return, the pages for a machine without a picture, USB CD sharing,
sound. The demo desktop's own tests (agent, clipboard, resolution) are in test_desktop.py."""
import re
import shutil
import socket
import subprocess
import time

import pytest

from atspi_driver import has_state, is_showing, text_of, wait_for, walk

pytestmark = pytest.mark.skipif(not shutil.which("qemu-system-x86_64"), reason="needs QEMU")

RELEASE = re.escape("Press Left Ctrl+Left Alt to release")
CLICK = "Click the screen to type into the guest"
SCREEN = "Screen of the machine"


class Qemu:
    """A machine of firmware only (SeaBIOS on VGA), with one USB redirection channel."""

    def __init__(self, folder):
        self.spice, self.monitor_path = folder / "s", folder / "m"
        self.process = None

    def start(self, *extra):
        for path in (self.spice, self.monitor_path):
            path.unlink(missing_ok=True)
        self.process = subprocess.Popen([
            "qemu-system-x86_64", "-machine", "pc,accel=tcg,pcspk-audiodev=a", "-m", "32", "-display",
            "none", "-nodefaults", "-vga", "std", "-audiodev", "spice,id=a", "-device",
            "qemu-xhci,id=xhci", "-device", "usb-tablet,bus=xhci.0", "-spice",
            f"unix=on,addr={self.spice},disable-ticketing=on", "-chardev",
            "spicevmc,name=usbredir,id=r1", "-device", "usb-redir,chardev=r1,id=ur1,bus=xhci.0",
            "-monitor", f"unix:{self.monitor_path},server,nowait", *extra],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        wait_for("QEMU's sockets", lambda: self.spice.exists() and self.monitor_path.exists())

    def kill(self):
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()

    def monitor(self, command):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(str(self.monitor_path))
            answer = b""
            link.sendall(command.encode() + b"\n")
            while not answer.rstrip().endswith(b"(qemu)") or answer.count(b"(qemu)") < 2:
                answer += link.recv(65536)
            return answer.decode(errors="replace")

    def cd_redirected(self):
        return re.search(r"Speed 480 Mb/s, Product USB Redir", self.monitor("info usb")) is not None


@pytest.fixture
def qemu(tmp_path_factory):
    machine = Qemu(tmp_path_factory.mktemp("q"))
    machine.start()
    yield machine
    machine.kill()


@pytest.fixture
def show(start, window_manager, qemu):
    """show(state): the app with the window of one machine, whose display is the QEMU's."""
    start.stalls = True  # the first SPICE connection loads codecs; measured on its own below

    def run(state="running=1"):
        app = start(f"machines=1&names=Guest&delay=50&{state}&spice={qemu.spice}", "--machine",
                    "Guest")
        app.window("Guest")
        return app

    return run


def screen_lit(app):
    """There is a picture, with something on it: the firmware's text."""
    window = subprocess.run(["xdotool", "search", "--onlyvisible", "--name", "^Guest$"],
                            capture_output=True, text=True, check=False).stdout.split()
    if not window:
        return False
    crop = subprocess.run(["import", "-window", window[-1], "-gravity", "center", "-crop", "60%x60%+0+0",
                           "-colorspace", "gray", "-format", "%[fx:maxima] %[fx:mean]", "info:"],
                          capture_output=True, text=True, check=False).stdout.split()
    return len(crop) == 2 and float(crop[0]) > 0.4 and float(crop[1]) < 0.3


def wait_picture(app):
    wait_for("the screen", lambda: [n for n in walk(app.root()) if n.get_name() == SCREEN
                                    and is_showing(n)], 20)
    wait_for("a picture", lambda: screen_lit(app), 20)


def pointer(*words):
    subprocess.run(["xdotool", *map(str, words)], check=True)


def chord():
    pointer("keydown", "Control_L", "keydown", "Alt_L", "keyup", "Alt_L", "keyup", "Control_L")


def is_fullscreen(app):
    return bool(app.all("push button", "Leave Full Screen", showing=False)) and not app.all(
        "push button", "Full Screen")


def test_picture_keyboard_and_release_chord(show, qemu):
    app = show()
    wait_picture(app)
    app.wait_text(RELEASE)
    chord()
    app.wait_text(CLICK)
    assert app.focused().get_name() == "Menu"
    pointer("mousemove", 500, 400, "click", 1)
    app.wait_text(RELEASE)


def test_keys_reach_the_guest_and_not_the_app(show, qemu):
    app = show()
    wait_picture(app)
    app.wait_text(RELEASE)
    app.keys("ctrl+w")  # would close the window
    app.keys("ctrl+q")  # would end the app
    time.sleep(0.5)
    assert app.process.poll() is None
    assert app.window("Guest")
    chord()
    app.wait_text(CLICK)
    app.keys("ctrl+w")
    wait_for("no window", lambda: not app.all("frame", "Guest"))


def test_fullscreen_bar_hides_and_comes(show, qemu):
    app = show()
    wait_picture(app)
    app.keys("F11")
    wait_for("full screen", lambda: is_fullscreen(app))
    pointer("mousemove", 600, 500)
    wait_for("the bar hidden", lambda: not app.all("push button", "Leave Full Screen"), 10)
    pointer("mousemove", 600, 5, "mousemove", 600, 0)
    app.find("push button", "Leave Full Screen")
    pointer("mousemove", 600, 500)
    wait_for("the bar hidden", lambda: not app.all("push button", "Leave Full Screen"), 10)
    pointer("click", 1)
    app.wait_text(RELEASE) if app.all("push button", "Leave Full Screen") else None
    chord()
    app.find("push button", "Leave Full Screen")
    app.click("push button", "Leave Full Screen")
    wait_for("a window again", lambda: app.all("push button", "Full Screen"))


def test_qemu_restarts_and_the_screen_returns(show, qemu):
    app = show()
    wait_picture(app)
    qemu.kill()
    app.wait_text("Waiting for the Display")
    app.find("push button", "Try Now")
    qemu.start()
    wait_picture(app)
    app.wait_text(RELEASE)


def test_machine_off_page(show, qemu):
    app = show("running=0")
    wait_picture(app)  # --machine starts a machine that is off
    app.control.send("state", "Guest", "off")
    app.wait_text("The Machine Is Off")
    app.find("push button", "Start")
    app.control.send("state", "Guest", "saved")
    app.wait_text("The Machine Is Saved")
    app.find("push button", "Resume")
    app.control.send("state", "Guest", "running")
    wait_picture(app)
    app.control.send("state", "Guest", "paused")
    app.wait_text("^Paused$")
    app.click("push button", "Resume")
    app.find("push button", "Pause")


def test_crash_page_shows_the_log(show, qemu):
    app = show()
    wait_picture(app)
    app.control.send("crash", "Guest", "qemu-system-x86_64: something went wrong")
    app.wait_text("The Machine Has Stopped Unexpectedly")
    app.click("toggle button", "Last Lines of Its Log")
    app.wait_text("something went wrong")
    app.click("push button", "Restart")
    wait_picture(app)


def test_gone_machine(show, qemu):
    app = show()
    wait_picture(app)
    app.control.send("remove", "Guest")
    wait_for("the end of it", lambda: not app.all("frame", "Guest") or app.wait_text(
        "Does Not Exist Any More"))


def choose_file(app, title, path):
    """Puts a path into a file chooser's entry. The entry comes with the first "/" typed; in the view
    of recent files GTK 3 answers that with a critical message, so it is left first."""
    window = app.window(title)
    wait_for("its focus", lambda: [n for n in walk(window) if has_state(n, "FOCUSED")])
    if not app.all("text", under=window):
        box = next(n for n in walk(window) if n.get_name() == "Home" and is_showing(
            n)).get_component_iface().get_extents(0)
        pointer("mousemove", box.x + box.width // 2, box.y + box.height // 2, "click", 1)
        app.find("table column header", "Modified", under=window)
        app.keys("slash")
    entry = app.find("text", under=window)
    entry.get_editable_text_iface().set_text_contents(str(path))
    wait_for("the entry's focus", lambda: has_state(entry, "FOCUSED"))
    time.sleep(0.5)  # its completion runs in an idle callback
    app.keys("Return")
    wait_for("no chooser", lambda: not app.all(None, title))


def test_shared_cd_reaches_the_guest(show, qemu, tmp_path):
    """The whole way: the panel, the app's redirector, a SPICE channel, QEMU's port."""
    iso = tmp_path / "tools.iso"
    iso.write_bytes(bytes(0x8000) + b"\1CD001\1" + bytes(0x100000 - 0x8007))
    app = show()
    wait_picture(app)
    assert not qemu.cd_redirected()
    app.keys("ctrl+alt+u")  # while the guest has the keyboard
    app.click("push button", re.compile("Share an ISO"))
    choose_file(app, "Share an ISO as a USB CD", iso)
    wait_for("the CD in QEMU", qemu.cd_redirected)
    app.click("push button", "Stop sharing tools.iso")
    wait_for("no CD in QEMU", lambda: not qemu.cd_redirected())


def test_qemu_dies_while_a_cd_is_shared(show, qemu, tmp_path):
    iso = tmp_path / "tools.iso"
    iso.write_bytes(bytes(0x8000) + b"\1CD001\1" + bytes(0x100000 - 0x8007))
    app = show()
    wait_picture(app)
    app.keys("ctrl+alt+u")
    app.click("push button", re.compile("Share an ISO"))
    choose_file(app, "Share an ISO as a USB CD", iso)
    wait_for("the CD in QEMU", qemu.cd_redirected)
    qemu.kill()
    app.gone("push button", "Stop sharing tools.iso")
    app.wait_text("Waiting for the Display")
    qemu.start()
    wait_picture(app)


def test_screenshot_to_a_file(show, qemu, tmp_path):
    app = show()
    wait_picture(app)
    app.keys("ctrl+alt+m")
    app.click("push button", re.compile("Screenshot"))
    choose_file(app, "Save the Screenshot", tmp_path / "shot.png")
    wait_for("the file", lambda: (tmp_path / "shot.png").exists())
    app.find("push button", "Open Folder")
    size = subprocess.run(["identify", "-format", "%wx%h", tmp_path / "shot.png"],
                          capture_output=True, text=True, check=True).stdout
    assert size in ("720x400", "640x480")
    assert list(tmp_path.glob("*.png")) == [tmp_path / "shot.png"]


def test_files_without_an_agent_say_why(show, qemu):
    app = show()
    wait_picture(app)
    app.keys("ctrl+alt+m")
    app.click("push button", re.compile("Send Files"))
    app.wait_text("spice-vdagent does not run there")


def test_zoom(show, qemu):
    app = show()
    wait_picture(app)
    screen = app.find("panel", SCREEN)
    chord()
    app.wait_text(CLICK)
    app.keys("ctrl+0")

    def size():
        box = screen.get_component_iface().get_extents(0)
        return box.width, box.height

    wait_for("one to one", lambda: size() == (720, 400))
    app.keys("ctrl+minus")
    wait_for("90 %", lambda: size() == (648, 360))
    app.keys("ctrl+plus", "ctrl+plus")
    wait_for("110 %", lambda: size() == (792, 440))


def test_no_stall_once_connected(show, qemu):
    """Loss and return of the display, and full screen, never block the main loop."""
    app = show()
    wait_picture(app)
    before = len(app.stalls(after=None))
    app.keys("F11")
    wait_for("full screen", lambda: is_fullscreen(app))
    app.keys("F11")
    qemu.kill()
    app.wait_text("Waiting for the Display")
    qemu.start()
    wait_picture(app)
    assert app.stalls(after=None)[before:] == []


def test_everything_has_a_name(show, qemu):
    app = show()
    wait_picture(app)
    chord()
    roles = {"push button", "toggle button", "check box", "slider", "text", "drawing area"}
    nameless = [n.get_role_name() for n in walk(app.root())
                if is_showing(n) and has_state(n, "FOCUSABLE") and n.get_role_name() in roles
                and not n.get_name()]
    assert not nameless
