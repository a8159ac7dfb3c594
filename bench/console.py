# SPDX-License-Identifier: GPL-2.0-or-later
"""A serial line of a machine: everything it says is kept, stamped with the time and can be waited for.

What comes is hostile (a guest wrote it): control characters are stripped before a person sees them,
and no more than LIMIT bytes are kept in memory and on disk.
"""
import os
import re
import threading
import time

from bench.errors import BenchError, BenchTimeout

LIMIT = 64 << 20
ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07]*\x07|\x1b[@-Z\\-_]"
                     r"|[\x00-\x08\x0b-\x1f\x7f]")


class Console:
    """Reads `fd` (a socket or pty, taken over) in a thread until it closes. Thread-safe."""

    def __init__(self, name, fd, folder):
        self.name, self.folder, self._fd = name, folder, fd
        self._text, self._size = [], 0
        self._joined, self._changed = "", threading.Condition()
        self.closed = False
        self._raw = open(folder.path / "consoles" / f"{name}.raw", "wb", buffering=0)
        self._log = open(folder.path / "consoles" / f"{name}.log", "w", encoding="utf-8", buffering=1)
        self._partial = ""
        self._thread = threading.Thread(target=self._read, name=f"console {name}", daemon=True)
        self._thread.start()

    def _read(self):
        while True:
            try:
                data = os.read(self._fd, 65536)
            except OSError:
                data = b""
            if not data:
                break
            self._take(data)
        with self._changed:
            if self._partial:
                self._stamp(self._partial)
            self.closed = True
            self._changed.notify_all()

    def _take(self, data):
        with self._changed:
            if self._size < LIMIT:
                self._raw.write(data)
                text = data.decode("utf-8", "replace")
                self._text.append(text)
                self._size += len(data)
                *lines, self._partial = (self._partial + text).split("\n")
                for line in lines:
                    self._stamp(line)
            self._changed.notify_all()

    def _stamp(self, line):
        self._log.write(f"{self.folder.now():9.3f} {clean(line)}\n")

    @property
    def text(self):
        """All it said so far, as it came."""
        with self._changed:
            return self._all()

    def _all(self):
        if self._text:
            self._joined += "".join(self._text)
            self._text.clear()
        return self._joined

    def mark(self):
        """The place to wait from: what was said before does not count."""
        return len(self.text)

    def wait(self, pattern, timeout, since=0):
        """Waits until `pattern` (a regular expression, multi-line) appears after `since`; the match.
        BenchTimeout, with the last lines, when it does not come or the line is closed."""
        expression = re.compile(pattern, re.MULTILINE)
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                match = expression.search(self._all(), since)
                if match:
                    return match
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    break
                self._changed.wait(left)
        how = "the machine ended" if self.closed else f"{timeout:g} seconds passed"
        raise BenchTimeout(f"'{pattern}' did not appear on console {self.name}: {how}.",
                           self.last_lines(), f"The whole console: {self.log_path}")

    def last_lines(self, count=12):
        lines = [clean(line) for line in self.text.splitlines()]
        return "\n".join("    " + line for line in [line for line in lines if line.strip()][-count:])

    @property
    def log_path(self):
        return self.folder.path / "consoles" / f"{self.name}.log"

    def send(self, text):
        """Types text. Some emulated lines lose what comes at once, so it goes in small pieces."""
        data = text.encode()
        try:
            for start in range(0, len(data), 32):
                piece = data[start:start + 32]
                while piece:
                    piece = piece[os.write(self._fd, piece):]
        except OSError as error:
            raise BenchError(f"Nothing can be typed on console {self.name}.", error.strerror or "",
                             "Is the machine still running?")

    def close(self):
        self._thread.join(5)
        self._raw.close()
        self._log.close()
        try:
            os.close(self._fd)
        except OSError:
            pass


def clean(line):
    """A line without escape sequences and control characters."""
    return ESCAPES.sub("", line)
