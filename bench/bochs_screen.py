# SPDX-License-Identifier: GPL-2.0-or-later
"""Bochs's window on an X server of its own (Xvfb): a picture of it, and keys into it."""
import os
import select
import struct
import subprocess

from bench import leash
from bench.errors import BenchError
from bench.screen import Picture

SIZE = "1280x1024x24"
# Bochs draws a border, its buttons above the machine's screen and its lights below.
BORDER, ABOVE, BELOW = 4, 32, 18
KEYSYMS = {"ret": "Return", "spc": "space", "esc": "Escape", "backspace": "BackSpace", "tab": "Tab",
           "ctrl": "Control_L", "ctrl_r": "Control_R", "shift": "Shift_L", "shift_r": "Shift_R",
           "alt": "Alt_L", "alt_r": "Alt_R", "meta_l": "Super_L", "meta_r": "Super_R", "menu": "Menu",
           "delete": "Delete", "insert": "Insert", "home": "Home", "end": "End", "pgup": "Prior",
           "pgdn": "Next", "up": "Up", "down": "Down", "left": "Left", "right": "Right",
           "grave_accent": "grave", "bracket_left": "bracketleft", "bracket_right": "bracketright",
           "dot": "period", "caps_lock": "Caps_Lock", "num_lock": "Num_Lock", "print": "Print",
           "scroll_lock": "Scroll_Lock", "pause": "Pause",
           **{name: name for name in "minus equal backslash semicolon apostrophe comma slash".split()},
           **{f"f{number}": f"F{number}" for number in range(1, 13)}}
COMMAND_KEY = "F7"


class Screen:
    """Starts Xvfb; ends with `close` or this process. `folder` is for its picture and log."""

    def __init__(self, folder):
        self._folder = folder
        folder.mkdir()
        read, write = os.pipe()
        try:
            with open(folder / "xvfb.log", "wb") as log:
                self._process = leash.spawn(
                    ["Xvfb", "-displayfd", str(write), "-screen", "0", SIZE, "-nolisten", "tcp", "-fbdir",
                     str(folder)], stdout=log, stderr=log, pass_fds=[write])
        except FileNotFoundError:
            os.close(read)
            raise BenchError("Xvfb is not installed.", "Bochs shows its screen in it.",
                             "Install the package xvfb.")
        finally:
            os.close(write)
        self.display = f":{self._number(read)}"

    def _number(self, read):
        text = b""
        with open(read, "rb", buffering=0) as pipe:
            while not text.endswith(b"\n") and select.select([pipe], [], [], 30)[0]:
                piece = pipe.read(16)
                if not piece:
                    break
                text += piece
        if not text.endswith(b"\n"):
            self.close()
            raise BenchError("Xvfb did not start.", (self._folder / "xvfb.log").read_text()[-500:])
        return int(text)

    def picture(self):
        """What the machine shows now."""
        whole = read_xwd((self._folder / "Xvfb_screen0").read_bytes())
        width, height = self._window()
        return crop(whole, BORDER, BORDER + ABOVE, width, height - ABOVE - BELOW)

    def press(self, keys):
        """Presses keys (qcodes, see keyboard.py) together. F7 is Bochs's own."""
        names = [keysym(key) for key in keys]
        if COMMAND_KEY in names:
            raise BenchError("The Intel bench has no key F7.", "Bochs takes it for itself.")
        self._key("40", "+".join(names))

    def _key(self, delay, *chords):
        """Keys go where the pointer is, since no window manager gives the focus to anyone."""
        place = str(BORDER + ABOVE + 10)
        self._tool("mousemove", place, place, "key", "--delay", delay, *chords)

    def _window(self):
        words = self._tool("search", "--onlyvisible", "--name", "Bochs", "getwindowgeometry", "--shell")
        found = dict(line.split("=", 1) for line in words.splitlines() if "=" in line)
        return int(found["WIDTH"]), int(found["HEIGHT"])

    def _tool(self, *words):
        try:
            done = subprocess.run(["xdotool", *words], capture_output=True, text=True, timeout=30,
                                  stdin=subprocess.DEVNULL, env=dict(os.environ, DISPLAY=self.display))
        except FileNotFoundError:
            raise BenchError("xdotool is not installed.", "Keys reach Bochs through it.",
                             "Install the package xdotool.")
        except subprocess.TimeoutExpired:
            raise BenchError("The screen of the machine does not answer.")
        if done.returncode != 0:
            raise BenchError("The machine shows no screen.", done.stderr.strip()[-300:],
                             "Is the machine still running?")
        return done.stdout

    def close(self):
        leash.stop(self._process)


def keysym(key):
    """X's name of a key. BenchError when there is none."""
    if len(key) == 1 and key.isascii() and key.isalnum():
        return key
    if key not in KEYSYMS:
        raise BenchError(f"'{key}' is no key.", "", "Write keys like a, ret or ctrl-alt-f1.")
    return KEYSYMS[key]


def read_xwd(data):
    """An X window dump of a 24-bit screen, as Xvfb keeps it in its file. BenchError if it is not one."""
    fields = struct.unpack_from(">25I", data) if len(data) >= 100 else (0,) * 25
    header, version, _, _, width, height, _, order = fields[:8]
    bits, line, colours = fields[11], fields[12], fields[19]
    start = header + 12 * colours
    if version != 7 or bits != 32 or not width or len(data) < start + line * height:
        raise BenchError("The screen of the machine cannot be read.", "It is not the picture Xvfb keeps.")
    pixels = bytearray(3 * width * height)
    blue, green, red = (0, 1, 2) if order == 0 else (3, 2, 1)
    for y in range(height):
        row = data[start + y * line:start + y * line + 4 * width]
        for place, source in ((0, red), (1, green), (2, blue)):
            pixels[3 * y * width + place:3 * (y + 1) * width:3] = row[source::4]
    return Picture(width, height, bytes(pixels))


def crop(picture, left, top, width, height):
    """A part of a picture, no larger than what is there."""
    width, height = min(width, picture.width - left), min(height, picture.height - top)
    rows = (3 * ((top + y) * picture.width + left) for y in range(height))
    return Picture(width, height, b"".join(picture.rgb[at:at + 3 * width] for at in rows))
