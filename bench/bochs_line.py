# SPDX-License-Identifier: GPL-2.0-or-later
"""A serial line of a machine on Bochs: a pseudo-terminal, so that no network is involved."""
import os
import termios
import threading
import time
import tty

from bench.agent import Agent
from bench.errors import BenchError, BenchTimeout


class Line:
    """Bochs opens `path`; `fileno`, `send` and `recv` are our end, as of a socket. The line hangs up when
    Bochs and we have closed the far end (`release`)."""

    def __init__(self):
        self._near, self._far = os.openpty()
        tty.setraw(self._far)
        self.path = os.ttyname(self._far)
        self._lock = threading.Lock()

    def fileno(self):
        return self._near

    def setblocking(self, blocking):
        os.set_blocking(self._near, blocking)

    def send(self, data):
        return os.write(self._near, data)

    def recv(self, size):
        """What came, b"" when the line is hung up."""
        try:
            return os.read(self._near, size)
        except OSError:
            return b""

    def forget(self):
        """Throws away what we sent and the machine has not read yet."""
        with self._lock:
            if self._far is not None:
                termios.tcflush(self._far, termios.TCIFLUSH)

    def release(self):
        """Lets go of the far end, when Bochs has ended."""
        with self._lock:
            if self._far is not None:
                os.close(self._far)
                self._far = None

    def detach(self):
        """Hands our end over; its descriptor."""
        near, self._near = self._near, None
        return near

    def close(self):
        self.release()
        if self._near is not None:
            os.close(self.detach())


REPEATABLE = ("guest-exec-status", "guest-ping")
PATIENCE = 20


class LineAgent(Agent):
    """qemu-ga on a serial line: questions asked before it listened would all be answered later, and while
    the machine is busy (KVM starts a guest) it loses characters of what it is asked."""

    def __init__(self, line):
        super().__init__(line)
        self._line = line

    def sync(self, timeout):
        self._line.forget()
        super().sync(timeout)

    def call(self, name, timeout=60, **arguments):
        """As Agent.call; a harmless question that arrived garbled or not at all is asked again."""
        if name not in REPEATABLE:
            return super().call(name, timeout, **arguments)
        deadline = time.monotonic() + timeout
        while True:
            try:
                return super().call(name, min(timeout, PATIENCE), **arguments)
            except BenchError as error:
                garbled = isinstance(error, BenchTimeout) or "JSON parse error" in error.what
                if not garbled or time.monotonic() > deadline:
                    raise
                self.wait(PATIENCE)
