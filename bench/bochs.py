# SPDX-License-Identifier: GPL-2.0-or-later
"""The Intel bench: a PC with VMX and EPT, running in Bochs under an X server of its own.

Its clock counts instructions (bochs_config.SPEED to the second) and jumps over idle time, so
seconds inside are not seconds outside.
"""
import os
import subprocess
import threading
import time

from bench import bochs_config, bochs_disks, keyboard, leash
from bench.bochs_line import Line, LineAgent
from bench.bochs_screen import Screen
from bench.console import Console, clean
from bench.errors import BenchError, BenchTimeout
from bench.machine import Machine

PROGRAM = "bochs"
LOG = "bochs.log"
PANIC = b">>PANIC<<"
# While KVM starts a guest, Linux leaves interrupts alone for as long as some hundred thousand
# instructions; what a faster line brings meanwhile overflows the serial port's 16 bytes and is lost.
BAUD = 9600
FIRMWARE_DONE = "BdsDxe: starting"
OFF = r"reboot: (Power down|System halted)"


class BochsMachine(Machine):
    """Made powered off, with its disks in the run folder (those already there are used as they are);
    `power_on` starts it. See Machine for the rest."""

    lacking = bochs_config.LACKING

    def __init__(self, config, folder, name):
        super().__init__(config, folder, name)
        self._process = self._screen = None
        self._closed = False
        self._need_files()
        self._disks = bochs_disks.make(config, folder.path / "disks")
        self._lines = {"main": Line(), "agent": Line()}
        terminals = [line.path for line in self._lines.values()]
        text = bochs_config.bochsrc(config, [f"disks/{disk}" for disk in self._disks], terminals, LOG)
        (folder.path / "bochsrc").write_text(text, encoding="utf-8")
        # Bochs of Debian stops at its debugger's prompt before the first instruction.
        (folder.path / "debugger").write_text("c\n", encoding="ascii")
        self.agent = LineAgent(self._lines["agent"])
        self.consoles["main"] = Console("main", self._lines["main"].detach(), folder)

    @staticmethod
    def _need_files():
        for path, package in ((bochs_config.FIRMWARE, "ovmf"), (bochs_config.VIDEO_ROM, "seabios")):
            if not os.path.exists(path):
                raise BenchError(f"The Intel bench needs {path}.", "", f"Install the package {package}.")

    def power_on(self):
        """Starts Bochs. What it has to complain about comes when the machine is waited for."""
        self._screen = Screen(self.folder.path / "screen")
        words = [PROGRAM, "-q", "-f", "bochsrc", "-rc", "debugger"]
        self.folder.command(["cd", str(self.folder.path)])
        self.folder.command([f"DISPLAY={self._screen.display}", *words])
        with open(self.folder.path / "emulator.log", "ab") as log:
            try:
                self._process = leash.spawn(words, stdout=log, stderr=log, cwd=self.folder.path,
                                            env=dict(os.environ, DISPLAY=self._screen.display))
            except FileNotFoundError:
                raise BenchError(f"{PROGRAM} is not installed.", "The Intel bench runs in it.",
                                 "Install the packages bochs and bochs-x.")
        threading.Thread(target=self._watch, name="bochs watch", daemon=True).start()
        self.folder.event("power on")

    def _watch(self):
        """Ends the serial lines when Bochs has ended. It does not end by itself when it panics: it opens a
        window and waits for somebody to close it."""
        seen = 0
        while self.alive():
            try:
                self._process.wait(1)
            except subprocess.TimeoutExpired:
                panicked, seen = _panics(self.folder.path / LOG, seen)
                if panicked:
                    leash.stop(self._process)
        for line in self._lines.values():
            line.release()

    def wait_up(self, timeout):
        """As the others', but nothing is sent before the firmware is done: it would take it for keys."""
        started = time.monotonic()
        try:
            self.wait(FIRMWARE_DONE, timeout)
        except BenchTimeout as error:
            raise BenchError(f"The machine '{self.name}' did not come up: its firmware started nothing.",
                             self.last_words(), f"Its run folder: {self.folder.path}") from error
        super().wait_up(max(1, timeout - (time.monotonic() - started)))
        self._slow_down()

    def _slow_down(self):
        """Gives the agent's line the speed it is safe at; the agent had set 38400 baud. The change may
        swallow what is under way, so no answer is expected; the agent is asked anew."""
        with self._agent_lock:
            try:
                self.agent.call("guest-exec", timeout=5, path="/bin/stty",
                                arg=["-F", "/dev/ttyS1", str(BAUD)])
            except BenchTimeout:
                pass
            self.agent.wait(60, self.alive)

    def alive(self):
        """Whether Bochs runs. A machine that switched itself off stays as it is: Bochs has no power switch."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self):
        """Of the leash that holds Bochs."""
        return self._process.pid

    def last_words(self):
        said = super().last_words()
        panics, _ = _panics(self.folder.path / LOG, 0)
        if panics:
            said = "Bochs gave up:\n" + "\n".join(f"    {line}" for line in panics[-3:]) + "\n" + said
        return said

    # --- a person in front of it ----------------------------------------------------------------

    def keys(self, *chords):
        """Presses chords such as 'ctrl-alt-f1', one after the other. F7 is Bochs's own."""
        for name in chords:
            self._screen.press(keyboard.chord(name))
        self.folder.event(f"keys {' '.join(chords)}")

    def type(self, text):
        """Types text on a US keyboard."""
        for chord in keyboard.text(text):
            self._screen.press(chord)

    def picture(self):
        """What is on the screen now; a Picture."""
        return self._screen.picture()

    def screenshot(self, name="screen"):
        """Stores the screen as a PNG in the run folder; its path."""
        path = self.folder.path / "screenshots" / f"{name}.png"
        path.write_bytes(self.picture().png())
        self.folder.event(f"screenshot {name}")
        return path

    # --- the button and the plug ----------------------------------------------------------------

    def power_cut(self):
        """Pulls the plug. The disks stay in the run folder and can be booted again (boot.again)."""
        self.folder.keep_disks = True
        leash.stop(self._process)
        self.folder.event("power cut")

    def wait_off(self, timeout):
        """Waits until the system inside says that it is down: Bochs does not switch off."""
        try:
            self.wait(OFF, timeout)
        except BenchTimeout as error:
            raise BenchTimeout(f"The machine did not switch off within {timeout:g} seconds.",
                               self.last_words()) from error

    # --- what Bochs lacks -----------------------------------------------------------------------

    def reset(self):
        self.cannot("press reset")

    def plug(self, kind, id=None, port=None, **options):
        self.cannot(f"plug a {kind}: its devices are fixed at power-on")

    def unplug(self, id, timeout=30):
        self.cannot("unplug a device: its devices are fixed at power-on")

    def image_of(self, id):
        self.cannot("have plugged devices")

    def insert_cd(self, image):
        self.cannot("change CDs")

    def eject_cd(self):
        self.cannot("change CDs")

    def pointer(self, x, y, buttons=()):
        self.cannot("point at a place: its mouse is a relative one")

    def power_button(self):
        self.cannot("press the power button")

    def nmi(self):
        self.cannot("send an NMI")

    def fail_disk(self, disk="root", error="EIO", event="write_aio", once=False):
        self.cannot("inject disk errors")

    def mend_disk(self, disk="root"):
        self.cannot("inject disk errors")

    # --- the end --------------------------------------------------------------------------------

    def close(self, how="ended"):
        """Ends Bochs and its X server and writes the summary. May be called twice."""
        if self._closed:
            return
        self._closed = True
        if self._process:
            leash.stop(self._process)
        if self._screen:
            self._screen.close()
        for line in self._lines.values():
            line.release()
        self.agent.close()
        for console in self.consoles.values():
            console.close()
        self.folder.close(how)


def _panics(path, start):
    """The lines of Bochs's log, from the byte `start` on, in which it gives up, and where to go on."""
    try:
        with open(path, "rb") as log:
            log.seek(start)
            lines = log.readlines()
    except FileNotFoundError:
        return [], start
    # An unfinished line is read again; but a panic's stays unfinished.
    if lines and not lines[-1].endswith(b"\n") and PANIC not in lines[-1]:
        lines.pop()
    found = [clean(line.decode("utf-8", "replace").rstrip()) for line in lines if PANIC in line]
    return found, start + sum(map(len, lines))
