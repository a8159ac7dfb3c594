# SPDX-License-Identifier: GPL-2.0-or-later
"""Drives the real app through AT-SPI, as a screen reader's user does: everything is found by its
accessible role and name, everything waits for a condition, nothing sleeps for luck."""
import os
import re
import shlex
import socket
import subprocess
import time
from pathlib import Path

BUILD = Path(os.environ.get("BULKHEAD_BUILD", Path(__file__).resolve().parents[3] / "build"))
FOCUSABLE_ROLES = {"push button", "toggle button", "check box", "radio button", "text", "entry",
                   "password text", "combo box", "list item", "spin button", "table", "tree table",
                   "slider", "menu item", "check menu item", "menu", "link"}


def atspi():
    """Imported late: the library binds to the session bus that is there when it is loaded."""
    import gi
    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi
    return Atspi


def wait_for(what, look, limit=15, every=0.05):
    """The first true value look() returns; AssertionError naming what after limit seconds."""
    from gi.repository import GLib
    end = time.monotonic() + limit
    while True:
        try:
            value = look()
        except GLib.Error:  # a widget that went away while it was looked at
            value = None
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {limit} s")
        time.sleep(every)


def walk(node):
    """node and all below it; vanished branches are left out."""
    from gi.repository import GLib
    if node is None:
        return
    yield node
    try:
        children = [node.get_child_at_index(i) for i in range(node.get_child_count())]
    except GLib.Error:
        return
    for child in children:
        yield from walk(child)


def has_state(node, name):
    return node.get_state_set().contains(getattr(atspi().StateType, name))


def is_showing(node):
    return has_state(node, "SHOWING") and has_state(node, "VISIBLE")


def matches(text, pattern):
    return pattern is None or (pattern.search(text) is not None if hasattr(pattern, "search")
                               else text == pattern)


def text_of(node):
    """What the widget shows: its text, else its name."""
    iface = node.get_text_iface()
    return atspi().Text.get_text(iface, 0, -1) if iface else node.get_name()


class App:
    """One process of the app. Use as a context manager, or stop() it."""

    def __init__(self, tmp_path, *arguments, home=None, env=None, prefix=()):
        self.tmp = Path(tmp_path)
        self.stall_log = self.tmp / "stalls"
        self.home = Path(home) if home else self.tmp / "home"
        for folder in (self.home, self.tmp / "run"):
            folder.mkdir(exist_ok=True, mode=0o700)
        environment = dict(os.environ, HOME=str(self.home), XDG_RUNTIME_DIR=str(self.tmp / "run"),
                           GDK_BACKEND="x11", LC_ALL="C.UTF-8", GSETTINGS_BACKEND="memory",
                           GSETTINGS_SCHEMA_DIR=str(BUILD / "data"),
                           BULKHEAD_STALL_LOG=str(self.stall_log), G_DEBUG="fatal-criticals")
        environment.pop("NO_AT_BRIDGE", None)
        for name in ("XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME"):
            environment.pop(name, None)
        environment.update(env or {})
        self.stderr = self.tmp / "stderr"
        with open(self.stderr, "ab") as stderr:
            self.program = BUILD / "client/ui/bulkhead"
            self.process = subprocess.Popen([*prefix, self.program, *map(str, arguments)],
                                            env=environment, stderr=stderr)
        self.environment = environment
        self.stopped = False

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.stop()

    def stop(self):
        self.stopped = True
        if self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    # --- looking ---

    def root(self):
        def look():
            if self.process.poll() is not None:
                raise AssertionError(f"the app ended: {self.process.returncode}\n"
                                     f"{self.stderr.read_text(errors='replace')}")
            desktop = atspi().get_desktop(0)
            for i in range(desktop.get_child_count()):
                app = desktop.get_child_at_index(i)
                if app and app.get_process_id() == self.process.pid:
                    return app
            return None
        return wait_for("the app on the accessibility bus", look)

    def all(self, role=None, name=None, under=None, showing=True):
        """Every showing node of this role and name (a string or a compiled pattern)."""
        return [node for node in walk(under or self.root())
                if (role is None or node.get_role_name() == role) and matches(node.get_name(), name)
                and (not showing or is_showing(node))]

    def find(self, role, name=None, under=None, limit=15):
        return wait_for(f"{role} {name!r}",
                        lambda: next(iter(self.all(role, name, under)), None), limit)

    def gone(self, role, name=None, limit=15):
        wait_for(f"no {role} {name!r}", lambda: not self.all(role, name), limit)

    def tile(self, name, state=None, limit=15):
        """The main button of a machine's tile; state as it is spoken."""
        pattern = re.compile(f"^{re.escape(name)}, {re.escape(state) if state else ''}")
        return self.find("push button", pattern, limit=limit)

    def tiles(self):
        return [node.get_name() for node in self.all("push button", re.compile(
            r", (Off|Running|Starting|Paused|Saved|Saving|Crashed|Shutting down)$"))]

    def wait_text(self, pattern, limit=15):
        """A label (or other text) that shows this."""
        pattern = re.compile(pattern)
        return wait_for(f"text {pattern.pattern!r}", lambda: next(
            (n for n in walk(self.root()) if is_showing(n) and pattern.search(text_of(n))), None),
            limit)

    def window(self, name, limit=15):
        return wait_for(f"window {name!r}", lambda: next(
            (n for n in (self.all("frame", name) + self.all("dialog", name)
                         + self.all("alert", name) + self.all("file chooser", name))), None), limit)

    # --- acting ---

    def click(self, role, name=None, under=None):
        node = self.find(role, name, under)
        wait_for(f"{name!r} to be sensitive", lambda: has_state(node, "SENSITIVE"))
        assert node.get_action_iface().do_action(0), f"{role} {name!r} has no action"
        return node

    def menu(self, machine, item):
        """An entry of a tile's menu."""
        self.click("push button", f"Actions for {machine}")
        self.click("menu item", item)

    def set_text(self, role, name, text, under=None):
        node = self.find(role, name, under)
        node.get_editable_text_iface().set_text_contents(text)
        return node

    def set_value(self, name, value, under=None):
        node = self.find("spin button", name, under)
        node.get_value_iface().set_current_value(value)
        return node

    def keys(self, *keys):
        subprocess.run(["xdotool", "key", *keys], check=True, env=self.environment)

    def type(self, text):
        subprocess.run(["xdotool", "type", "--delay", "20", text], check=True, env=self.environment)

    def action(self, name, *parameters):
        """One of the app's actions, over D-Bus."""
        subprocess.run(["gapplication", "action", "org.bulkhead.Bulkhead", name, *parameters],
                       check=True, env=self.environment)

    def focused(self):
        return next((n for n in walk(self.root()) if has_state(n, "FOCUSED") and is_showing(n)
                     and n.get_role_name() not in ("frame", "dialog")), None)

    # --- measuring ---

    def stalls(self, after="ready", limit=100):
        """(wall, cpu, waiting) in ms of each stall after the mark. Time in which other programs had
        the CPU is not the app's. What is left counts when the app computed for over limit ms (a
        window's first appearance takes up to 70 on a slow computer), or was blocked for over 200 ms;
        more when the computer is busy, as the X server then is."""
        blocked = 200 * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
        found, seen = [], after is None
        if not self.stall_log.exists():
            return found
        for line in self.stall_log.read_text().splitlines():
            seen = seen or line.startswith(f"MARK {after}")
            match = re.match(r"STALL wall=(\d+) cpu=(\d+) waiting=(\d+)", line)
            if match and seen:
                found.append(tuple(map(int, match.groups())))
        return [(wall, cpu, waiting) for wall, cpu, waiting in found
                if cpu > limit or wall - cpu - waiting > blocked]


class Control:
    """The fake host's control socket: faults from outside."""

    def __init__(self, path):
        self.path = str(path)

    def send(self, *words):
        with socket.socket(socket.AF_UNIX) as link:
            link.settimeout(10)
            link.connect(self.path)
            link.sendall((shlex.join(words) + "\n").encode())
            answer = b""
            while True:
                data = link.recv(65536)
                answer += data
                last = answer.decode(errors="replace").strip().rsplit("\n", 1)[-1]
                if not data or last == "ok" or last.startswith("error"):
                    break
        assert last == "ok", f"{words}: {answer!r}"
        return answer.decode()
