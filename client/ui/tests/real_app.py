# SPDX-License-Identifier: GPL-2.0-or-later
"""The real app on libvirt and QEMU: fixtures and what stands in for the world around it.

Runs inside client/host/tests/session-run, a display and a session bus. Guests are the boot sector of
bench/moving-window.S (known pixels within two seconds) or the demo desktop, booted once per run."""
import json
import os
import re
import signal
import subprocess
from pathlib import Path

import pytest

import demo_desktop as demo
from atspi_driver import App, has_state, wait_for
from guest import URI, ctl

TOP = Path(__file__).resolve().parents[3]
ARTIFACTS = Path(os.environ.get("BULKHEAD_ARTIFACTS", "/tmp"))
MOVING_BLUE = (0x20, 0x4A, 0x87)
SESSION = "BH_SESSION_RUN" in os.environ


def disks():
    """Everything that lies in the folder of disks, debris included."""
    folder = Path.home() / ".local/share/bulkhead/disks"
    return {file.name for file in folder.iterdir()} if folder.exists() else set()


def share(picture, colour, near=4):
    """Which part of the picture has about this colour, 0 to 1."""
    if picture is None:
        return 0
    width, height, stride, size, pixels = picture
    found = total = 0
    for y in range(0, height, 8):
        for x in range(y * stride, y * stride + width * size, 8 * size):
            total += 1
            found += all(abs(pixels[x + i] - colour[i]) <= near for i in range(3))
    return found / total


def screen(keep=None):
    """The whole screen, as demo_screen.load gives pictures. Not by ImageMagick's import: that grabs
    the X server, and the app would stall for as long as import waits for a CPU."""
    import gi
    gi.require_version("Gdk", "3.0")
    from gi.repository import Gdk
    display = Gdk.Display.get_default() or Gdk.Display.open(os.environ["DISPLAY"])
    root = display.get_default_screen().get_root_window()
    picture = Gdk.pixbuf_get_from_window(root, 0, 0, root.get_width(), root.get_height())
    if keep:
        ARTIFACTS.mkdir(parents=True, exist_ok=True)
        picture.savev(str(ARTIFACTS / keep), "png", [], [])
    return (picture.get_width(), picture.get_height(), picture.get_rowstride(),
            picture.get_n_channels(), picture.get_pixels())


class RealApp(App):
    """The app on the session's libvirt; its messages of all its starts are in one file."""

    def __init__(self, folder, *arguments, env=None, prefix=()):
        environment = {"XDG_RUNTIME_DIR": os.environ["XDG_RUNTIME_DIR"], **(env or {})}
        super().__init__(folder, "--connect", URI, *arguments, home=Path.home(), env=environment,
                         prefix=prefix)
        self.chose = False  # a file, in GTK's chooser

    def hand_over(self, *arguments):
        """A second start of the program; it must end at once and well."""
        done = subprocess.run([self.program, "--connect", URI, *map(str, arguments)],
                              env=self.environment, timeout=30, check=False)
        assert done.returncode == 0

    def activate(self, title):
        """Brings a window to the front, with the keyboard in it."""
        subprocess.run(["xdotool", "search", "--sync", "--onlyvisible", "--name", title,
                        "windowactivate", "--sync"], check=True, env=self.environment, timeout=30)

    def choose(self, name, entry):
        """An entry of a combo box."""
        combo = self.find("combo box", name)
        menu = combo.get_child_at_index(0)
        names = [menu.get_child_at_index(i).get_name() for i in range(menu.get_child_count())]
        combo.get_selection_iface().select_child(names.index(entry))

    def pick_file(self, title, accept, path):
        """A file chooser: the file's name typed into it."""
        self.chose = True
        self.find("file chooser", re.compile(title))
        self.activate(title)
        self.type("/")
        entry = wait_for("the place to type a path", lambda: next(
            (n for n in self.all("text") if has_state(n, "FOCUSED")), None))
        entry.get_editable_text_iface().set_text_contents(str(path))
        # The button takes what is typed only once the folder was read.
        wait_for("the chooser to close", lambda: not self.all("file chooser") or [
            b.get_action_iface().do_action(0) for b in self.all("push button", accept)] == [], 20, 0.3)

    def shows(self, colour, least=0.1, limit=30, keep=None):
        """Waits for a colour on the screen; keep names a picture of it in the artifacts."""
        wait_for(f"colour {colour} on the screen", lambda: share(screen(), colour) > least, limit, 0.2)
        if keep:
            screen(keep)

    def shows_not(self, text, limit=15):
        pattern = re.compile(text)
        wait_for(f"{text!r} to go", lambda: not [n for role in ("label", "alert", "info bar")
                                                 for n in self.all(role, pattern)], limit)

    def states(self):
        """What the tiles say: {name: state}."""
        return dict(tile.rsplit(", ", 1) for tile in self.tiles())

    def problems(self):
        """What it must not do, whatever happens around it."""
        messages = self.stderr.read_text(errors="replace")
        found = re.findall(r".*(?:CRITICAL|Gtk-WARNING|AddressSanitizer|runtime error).*", messages)
        # GTK's own file chooser takes some 80 ms of computing to come up: that is not ours to mend.
        stalls = [stall for stall in self.stalls() if not (self.chose and stall[1] < 150)]
        return found + ([f"main loop stalls: {stalls}"] if stalls else [])


def keep_failure(request, app):
    screen(request.node.name.replace("/", "_") + ".png")
    print(app.stderr.read_text(errors="replace"))


def kill_app(app):
    """kill -9; the fixture is not to wonder."""
    app.process.kill()
    app.process.wait()
    app.stopped = True


@pytest.fixture(scope="session")
def moving_image(tmp_path_factory):
    """The boot sector, as a raw disk image of 1 MiB."""
    folder = tmp_path_factory.mktemp("moving")
    subprocess.run(["gcc", "-c", "-m32", TOP / "bench/moving-window.S", "-o", folder / "o"],
                   check=True)
    image = folder / "moving.img"
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", image,
                    folder / "o"], check=True)
    os.truncate(image, 1 << 20)
    return image


def remove(name):
    ctl("stop", "--force", name, check=False)
    for verb in ("delete", "purge"):
        ctl(verb, name, "--yes", check=False)


@pytest.fixture
def moving(window_manager, moving_image):
    """moving(name): a machine that shows known pixels, not started yet. Removed at the end."""
    if not SESSION:
        pytest.skip("needs client/host/tests/session-run")
    names = []

    def make(name="Moving", *options):
        ctl("new", "--image", moving_image, "--bios", "--memory", "64M", "--cpus", "1", "--name", name,
            *options)
        names.append(name)
        return name

    yield make
    for name in names:
        remove(name)


@pytest.fixture
def real(request, moving, tmp_path):
    """real(*arguments): the app. It must not crash, complain or stall, unless killed by the test. It
    ends before the machines go, so that a failure's picture shows them."""
    apps = []

    def run(*arguments, **options):
        folder = tmp_path / f"app{len(apps)}"
        folder.mkdir()
        app = RealApp(folder, *arguments, **options)
        apps.append(app)
        return app

    yield run
    report = getattr(request.node, "report_call", None)
    failed = report is None or report.failed
    problems = []
    for app in apps:
        if failed:
            keep_failure(request, app)
        status = None if app.stopped else app.process.poll()
        app.stop()
        problems += app.problems() + ([f"it ended: {status}"] if status else [])
    assert failed or not problems, problems


# --- the processes behind it ---

def libvirtd_pid():
    """The private session's libvirtd, or None."""
    file = Path(os.environ["XDG_RUNTIME_DIR"]) / "libvirt/libvirtd.pid"
    try:
        pid = int(file.read_text())
        return pid if "libvirtd" in Path(f"/proc/{pid}/comm").read_text() else None
    except (OSError, ValueError):
        return None


def kill_libvirtd():
    pid = wait_for("a libvirtd", libvirtd_pid)
    os.kill(pid, signal.SIGKILL)
    wait_for("it to be gone", lambda: not Path(f"/proc/{pid}").exists())
    return pid


def qemu_pid(name):
    """The QEMU of a machine; its command line has the UUID."""
    uuid = json.loads(ctl("show", name, "--json").stdout)["id"]
    return find_process(lambda line: b"qemu-system" in line and uuid.encode() in line)


def find_process(wanted):
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and wanted((entry / "cmdline").read_bytes()):
                return int(entry.name)
        except OSError:
            continue
    return None


def kill_qemu(name):
    os.kill(wait_for("its QEMU", lambda: qemu_pid(name)), signal.SIGKILL)


def slow_qemu_img(folder, rate):
    """An environment in which qemu-img copies at rate bytes per second."""
    folder.mkdir()
    script = folder / "qemu-img"
    script.write_text('#!/bin/sh\n[ "$1" = convert ] || exec /usr/bin/qemu-img "$@"\n'
                      f'shift\nexec /usr/bin/qemu-img convert -r {rate} "$@"\n')
    script.chmod(0o755)
    return {"PATH": f"{folder}:{os.environ['PATH']}"}


def virsh(*arguments, check=True):
    done = subprocess.run(["virsh", "-q", "-c", URI, *map(str, arguments)], capture_output=True,
                          text=True, check=False, timeout=60)
    assert not check or done.returncode == 0, done.stderr
    return done.stdout


# --- the demo desktop, booted once for all that need it ---

@pytest.fixture(scope="session")
def demo_desktop(desktop):
    if not SESSION:
        pytest.skip("needs client/host/tests/session-run")
    if not demo.IMAGE.exists():
        pytest.skip("no demo desktop was built (BULKHEAD_DEMO_IMAGE)")
    guest = demo.make("Shared demo", "--start")
    yield guest
    remove(guest.name)
