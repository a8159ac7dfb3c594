# SPDX-License-Identifier: GPL-2.0-or-later
"""One folder a run: command lines, consoles with timestamps, screenshots, a summary.

    RUN/command            what was started, ready to be pasted into a shell
    RUN/emulator.log       what the emulator said
    RUN/consoles/NAME.log  each line with the seconds since power-on; NAME.raw as it came
    RUN/screenshots/*.png
    RUN/events.log         what the bench did and when: plug, keys, power cut, ...
    RUN/summary.json       configuration, times, how it ended
    RUN/disks/             copy-on-write disks; removed at the end unless kept

Old runs are removed when there are more than KEEP, the oldest first; runs in use never are.
"""
import fcntl
import json
import os
import shlex
import shutil
import tempfile
import time
from pathlib import Path

from bench.errors import BenchError

KEEP = 40


def state_home():
    return Path(os.environ.get("XDG_STATE_HOME") or Path.home() / ".local/state") / "bulkhead/bench"


def runs_folder():
    return Path(os.environ.get("BULKHEAD_BENCH_RUNS") or state_home() / "runs")


class RunFolder:
    """Made by `RunFolder(name)`. Holds a lock as long as the process lives, so that another bench's
    cleaning leaves it alone. `close` writes the summary; it may be called twice."""

    def __init__(self, name, base=None, keep_disks=False):
        base = Path(base) if base else runs_folder()
        try:
            base.mkdir(parents=True, exist_ok=True)
            remove_old(base)
            stamp = time.strftime("%Y%m%d-%H%M%S-")
            self.path = Path(tempfile.mkdtemp(prefix=f"{stamp}{name}-", dir=base))
            for part in ("consoles", "screenshots", "disks"):
                (self.path / part).mkdir()
            self._lock = open(self.path / "lock", "w", encoding="ascii")
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self._events = open(self.path / "events.log", "w", encoding="utf-8", buffering=1)
        except OSError as error:
            raise BenchError(f"No folder for the run could be made in {base}.", str(error),
                             "Free space there, or name another folder in BULKHEAD_BENCH_RUNS.")
        self.name, self.keep_disks = name, keep_disks
        self.start = time.monotonic()
        self.summary = {"name": name, "started": time.strftime("%Y-%m-%dT%H:%M:%S%z")}

    def now(self):
        """Seconds since the run began."""
        return time.monotonic() - self.start

    def event(self, text):
        """Notes what the bench did."""
        if not self._events.closed:
            self._events.write(f"{self.now():9.3f} {text}\n")

    def command(self, words):
        """Notes a command line that was started."""
        with open(self.path / "command", "a", encoding="utf-8") as file:
            file.write(" \\\n  ".join(_by_option(words)) + "\n\n")

    def close(self, how="ended"):
        if self._events.closed:
            return
        self.event(how)
        self.summary.update(seconds=round(self.now(), 3), ended=how)
        (self.path / "summary.json").write_text(json.dumps(self.summary, indent=1) + "\n")
        if not self.keep_disks:
            shutil.rmtree(self.path / "disks", ignore_errors=True)
        self._events.close()
        self._lock.close()


def _by_option(words):
    """One line an option, for people to read."""
    lines = []
    for word in words:
        if lines and (not word.startswith("-") or word == "-"):
            lines[-1] += " " + shlex.quote(word)
        else:
            lines.append(shlex.quote(word))
    return lines


def _in_use(folder):
    try:
        with open(folder / "lock", "a", encoding="ascii") as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    return False


def remove_old(base, keep=KEEP):
    """Removes the disks of runs that were killed, and the oldest runs."""
    runs = sorted(path for path in base.iterdir() if path.is_dir())
    for folder in runs:
        if (folder / "disks").exists() and not _in_use(folder) and (folder / "lock").exists() \
                and not (folder / "summary.json").exists():
            shutil.rmtree(folder / "disks", ignore_errors=True)
    for folder in runs[:-keep] if len(runs) > keep else []:
        if not _in_use(folder):
            shutil.rmtree(folder, ignore_errors=True)
