# SPDX-License-Identifier: GPL-2.0-or-later
"""What every bench machine offers, whatever emulates it."""
import re
import threading

from bench.errors import BenchClosed, BenchError
from bench.quirks import emulator_fault

# What the emulator says of every machine.
HARMLESS = re.compile(r"TCG doesn't support requested feature|possibly poor performance as the ram size")
DEATH = re.compile(r"Kernel panic - not syncing.*|\(XEN\) Panic on CPU.*|^.*: no disk LABEL=.*|"
                   r"\(XEN\) Hardware Dom0 (?:crashed|halted|shutdown).*|\(XEN\) d0v\d+ Triple fault.*", re.MULTILINE)


class Machine:
    """A powered-on virtual PC. Its end (`close`, or the end of this process) ends everything it
    started. Methods may be called from several threads; commands inside run one at a time.

    `consoles`: its serial lines by name, 'main' first. `folder`: the run's folder.
    """

    def __init__(self, config, folder, name):
        self.config, self.folder, self.name = config, folder, name
        self.consoles, self.agent = {}, None
        self._agent_lock = threading.RLock()
        folder.summary["config"] = config.as_dict()

    # --- inside ---------------------------------------------------------------------------------

    def wait_up(self, timeout, since=0):
        """Waits until the control domain's agent answers; tells what was last seen when it does not. A death
        on the main console before `since` (its `mark()`) does not count."""
        try:
            with self._agent_lock:
                self.agent.wait(timeout, lambda: self.alive() and not self.died(since))
        except BenchError as error:
            what = f"it died: {self.died(since)}" if self.died(since) else error.what
            raise BenchError(f"The machine '{self.name}' did not come up: {what}",
                             self.last_words(), f"Its run folder: {self.folder.path}") from error
        self.folder.summary.setdefault("up", round(self.folder.now(), 3))
        self.folder.event("up")

    def died(self, since=0):
        """The line with which a kernel or hypervisor told that it cannot go on; '' while none did."""
        match = DEATH.search(self.consoles["main"].text, since)
        return match[0].strip() if match else ""

    def run(self, command, *, input=b"", timeout=60, check=True):
        """Runs a command in the control domain; Result(status, out, err). See Agent.run."""
        with self._agent_lock:
            started = self.folder.now()
            try:
                result = self.agent.run(command, input, timeout, check)
            except BenchError as error:
                self.folder.event(f"run {command!r} FAILED: {error.what}")
                if isinstance(error, BenchClosed) or not self.alive():
                    raise BenchError("The machine ended while a command ran in it.",
                                     self.last_words(), f"Its run folder: {self.folder.path}") from error
                raise
            took = self.folder.now() - started
            self.folder.event(f"run {command!r} status {result.status} in {took:.2f} s")
            return result

    def push(self, local, remote, mode=None):
        """Copies a file (path or bytes) into the control domain."""
        with self._agent_lock:
            self.agent.push(local, remote, mode)
        self.folder.event(f"push {remote}")

    def pull(self, remote, local=None):
        """Copies a file out of the control domain; its bytes."""
        with self._agent_lock:
            self.folder.event(f"pull {remote}")
            return self.agent.pull(remote, local)

    def wait(self, pattern, timeout, console="main", since=0):
        """Waits for a pattern on a console; the match."""
        return self.consoles[console].wait(pattern, timeout, since)

    def last_words(self):
        """The last lines of the emulator and of each console, for error messages."""
        parts = []
        log = self.folder.path / "emulator.log"
        said = log.read_text("utf-8", "replace") if log.exists() else ""
        lines = [line for line in said.splitlines() if line.strip() and not HARMLESS.search(line)]
        if lines:
            parts.append("emulator:\n" + "\n".join("    " + line for line in lines[-8:]))
        for console in self.consoles.values():
            if console.last_lines():
                parts.append(f"console {console.name}:\n{console.last_lines()}")
            fault = emulator_fault(console.text)
            if fault:
                parts.append(fault)
        return "\n".join(parts)

    # --- what an emulator may lack --------------------------------------------------------------

    def cannot(self, what):
        raise BenchError(f"The {self.config.cpu} bench cannot {what}.", self.lacking,
                         "Use --cpu amd for that." if self.config.cpu == "intel" else "")

    lacking = ""

    def __enter__(self):
        return self

    def __exit__(self, kind, error, trace):
        self.close("failed" if error else "ended")
