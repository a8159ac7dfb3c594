# SPDX-License-Identifier: GPL-2.0-or-later
"""The AMD bench: a running QEMU, driven."""
import os
import shutil
import socket
import subprocess
import time
from pathlib import Path

from bench import devices, emulator, keyboard, leash, powercut, qemu_command
from bench.agent import Agent
from bench.console import Console
from bench.errors import BenchError, BenchTimeout
from bench.machine import Machine
from bench.qmp import Qmp, QmpError
from bench.screen import parse_ppm

KEY_HOLD = 30  # milliseconds
POINTER_RANGE = 0x7FFF  # QEMU's absolute axes


class QemuMachine(Machine):
    """Starts powered off; `power_on` runs it. See Machine for the rest.

    `parts` are filled in by boot.py or snapshot.py, but for the descriptors, which are made here.
    """

    def __init__(self, config, folder, name, parts):
        super().__init__(config, folder, name)
        self.parts, self.plugged, self._errors = parts, [], {}
        self._process = None
        ours, theirs = {}, {}
        for line in ("qmp", "agent", "main"):
            ours[line], theirs[line] = socket.socketpair()
        parts.qmp_fd, parts.agent_fd = theirs["qmp"].fileno(), theirs["agent"].fileno()
        parts.console_fds = {"main": theirs["main"].fileno()}
        try:
            self._start(theirs.values())
        finally:
            for end in theirs.values():
                end.close()
        self.qmp = Qmp(ours["qmp"], folder.event)
        self.agent = Agent(ours["agent"])
        self.consoles["main"] = Console("main", ours["main"].detach(), folder)
        try:
            self.qmp.greet()
        except BenchError as error:
            self.close("failed to start")
            raise BenchError("QEMU did not start.", self.last_words() or error.what,
                             f"Its command line: {folder.path / 'command'}") from error

    def _start(self, ends):
        words = qemu_command.command(self.config, self.parts, emulator.command())
        self.folder.summary["emulator mended"] = emulator.is_mended()
        self.folder.command(words)
        with open(self.folder.path / "emulator.log", "ab") as log:
            self._process = leash.spawn(words, stdout=log, stderr=log, env=emulator.environment(),
                                        pass_fds=[end.fileno() for end in ends])

    def power_on(self):
        """Lets the processors run."""
        self.qmp.execute("cont")
        self.folder.event("power on")

    def alive(self):
        """Whether the emulator runs and the machine is not switched off."""
        return self._process.poll() is None and not self.qmp.closed

    @property
    def pid(self):
        """Of the leash that holds the emulator."""
        return self._process.pid

    # --- plugging -------------------------------------------------------------------------------

    def plug(self, kind, id=None, port=None, **options):
        """Plugs a device into the running machine (devices.py lists them); its id. A stick's image is
        changed in place; without one an empty image is made in the run folder."""
        id = id or f"{kind}{1 + sum(plug.kind == kind for plug in self.plugged)}"
        plug = devices.describe(self.config, kind, id, port, options, self.plugged)
        if plug.blockdevs:
            self._prepare_image(plug)
        if kind == "serial":
            self._add_serial(id)
        for blockdev in plug.blockdevs:
            self.qmp.execute("blockdev-add", **blockdev)
        try:
            self.qmp.execute("device_add", exact=plug.device)
        except QmpError:
            self._forget_backends(plug)
            raise
        self.plugged.append(plug)
        self.folder.event(f"plug {kind} {id} at {plug.device.get('port') or plug.device.get('bus')}")
        return id

    def _prepare_image(self, plug):
        if not plug.image:
            plug.image = str(self.folder.path / "disks" / f"{plug.id}-{time.monotonic_ns()}.img")
            with open(plug.image, "wb") as file:
                file.truncate(plug.size << 20)
        elif not os.path.exists(plug.image):
            raise BenchError(f"The image {plug.image} does not exist.", "", "Check the name.")
        plug.blockdevs[0]["file"]["filename"] = str(Path(plug.image).resolve())

    def _add_serial(self, id):
        answer = self.qmp.execute("chardev-add", id=f"console-{id}",
                                  backend={"type": "pty", "data": {}})
        fd = os.open(answer["pty"], os.O_RDWR | os.O_NOCTTY)
        self.consoles[id] = Console(id, fd, self.folder)

    def image_of(self, id):
        """The file behind a plugged storage device."""
        return Path(self._plug(id).image)

    def _plug(self, id):
        for plug in self.plugged:
            if plug.id == id:
                return plug
        raise BenchError(f"There is no plugged device '{id}'.", "",
                         f"Plugged are: {', '.join(plug.id for plug in self.plugged) or 'none'}.")

    def unplug(self, id, timeout=30):
        """Pulls a device out: USB at once, a PCI device when the control domain lets go of it."""
        plug = self._plug(id)
        since = len(self.qmp.events)
        self.qmp.execute("device_del", id=id)
        try:
            self.qmp.wait_event("DEVICE_DELETED", timeout, since, lambda data: data.get("device") == id)
        except BenchTimeout as error:
            raise BenchError(f"'{id}' did not come out within {timeout} seconds.",
                             "The control domain did not let go of it.") from error
        self.plugged.remove(plug)
        self._forget_backends(plug)
        self.folder.event(f"unplug {id}")

    def _forget_backends(self, plug):
        for blockdev in plug.blockdevs:
            try:
                self.qmp.execute("blockdev-del", node_name=blockdev["node-name"])
            except QmpError as error:
                self.folder.event(f"{blockdev['node-name']} stays: {error.what}")
        if plug.kind == "serial":
            self.qmp.execute("chardev-remove", id=f"console-{plug.id}")
            self.consoles.pop(plug.id).close()

    def insert_cd(self, image):
        """Puts an ISO image into the CD drive (the machine sees a medium change)."""
        if not os.path.exists(image):
            raise BenchError(f"The image {image} does not exist.", "", "Check the name.")
        self.qmp.execute("blockdev-change-medium", id="cd0", filename=str(Path(image).resolve()),
                         format="raw", read_only_mode="read-only", force=True)
        self.folder.event(f"cd in {image}")

    def eject_cd(self):
        """Takes the CD out, also when the machine locked the tray."""
        self.qmp.execute("eject", id="cd0", force=True)
        self.folder.event("cd out")

    # --- a person in front of it ----------------------------------------------------------------

    def keys(self, *chords):
        """Presses chords such as 'ctrl-alt-f1', one after the other."""
        for name in chords:
            self._press(keyboard.chord(name))

    def type(self, text):
        """Types text on a US keyboard."""
        for chord in keyboard.text(text):
            self._press(chord)

    def _press(self, keys):
        # Held by the machine's clock: an emulated USB keyboard drops what comes faster than it is asked.
        self.qmp.execute("send-key", hold_time=KEY_HOLD,
                         keys=[{"type": "qcode", "data": key} for key in keys])

    def pointer(self, x, y, buttons=()):
        """Moves an absolute pointer (a plugged tablet) to x, y (0 to 1 of the screen) and clicks buttons
        ('left', 'right', 'middle')."""
        move = [{"type": "abs", "data": {"axis": axis, "value": int(place * POINTER_RANGE)}}
                for axis, place in (("x", x), ("y", y))]
        self.qmp.execute("input-send-event", events=move)
        for down in (True, False):
            for button in buttons:
                self.qmp.execute("input-send-event", events=[
                    {"type": "btn", "data": {"down": down, "button": button}}])

    def picture(self):
        """What is on the screen now; a Picture."""
        path = self.folder.path / "screenshots/.now.ppm"
        self.qmp.execute("screendump", filename=str(path))
        try:
            return parse_ppm(path.read_bytes())
        finally:
            path.unlink(missing_ok=True)

    def screenshot(self, name="screen"):
        """Stores the screen as a PNG in the run folder; its path."""
        path = self.folder.path / "screenshots" / f"{name}.png"
        path.write_bytes(self.picture().png())
        self.folder.event(f"screenshot {name}")
        return path

    # --- the button, the plug and faults --------------------------------------------------------

    def reset(self):
        """Presses the reset button."""
        self.qmp.execute("system_reset")
        self.folder.event("reset")

    def power_button(self):
        """Presses the power button (ACPI); the control domain shuts down if it listens."""
        self.qmp.execute("system_powerdown")
        self.folder.event("power button")

    def nmi(self):
        """Sends every processor a non-maskable interrupt."""
        self.qmp.execute("inject-nmi")
        self.folder.event("nmi")

    def power_cut(self):
        """Pulls the plug. What the machine had not flushed to the data disk is lost. The disks stay in the
        run folder and can be booted again (boot.again)."""
        self.folder.keep_disks = True
        leash.stop(self._process)
        self.folder.event("power cut")
        log = self.folder.path / "disks/data.log"
        if log.exists():
            powercut.replay(log, self.folder.path / "disks/data.img", self.folder.event)

    def fail_disk(self, disk="root", error="EIO", operation="write", once=False):
        """From now on an operation ('read', 'write' or 'flush') on a disk fails with `error` ('EIO' or
        'ENOSPC'). Ends with mend_disk."""
        numbers = {"EIO": 5, "ENOSPC": 28}
        if error not in numbers:
            raise BenchError(f"There is no disk error '{error}'.", "", "Use EIO or ENOSPC.")
        self.mend_disk(disk)
        node = f"fault-{disk}-{len(self.qmp.events)}-{time.monotonic_ns() % 10 ** 9}"
        self.qmp.execute("blockdev-add", driver="blkdebug", node_name=node, image=disk,
                         inject_error=[{"event": "none", "iotype": operation, "errno": numbers[error],
                                       "once": once}])
        self.qmp.execute("qom-set", path=f"/machine/peripheral/disk-{disk}", property="drive", value=node)
        self._errors[disk] = node
        self.folder.event(f"disk {disk} fails: {operation} {error}")

    def mend_disk(self, disk="root"):
        """Ends what fail_disk began."""
        node = self._errors.pop(disk, None)
        if node:
            self.qmp.execute("qom-set", path=f"/machine/peripheral/disk-{disk}", property="drive",
                             value=disk)
            self.qmp.execute("blockdev-del", node_name=node)
            self.folder.event(f"disk {disk} is whole again")

    def wait_off(self, timeout):
        """Waits until the machine switched itself off."""
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            raise BenchTimeout(f"The machine did not switch off within {timeout:g} seconds.",
                               self.last_words())

    def close(self, how="ended"):
        """Ends the emulator and writes the summary. May be called twice."""
        if self._process is None:
            return
        leash.stop(self._process)
        self.qmp.close()
        self.agent.close()
        for console in self.consoles.values():
            console.close()
        shutil.rmtree(self.folder.path / "screenshots/.now.ppm", ignore_errors=True)
        self.folder.close(how)
        self._process = None
