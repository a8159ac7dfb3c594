# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU's control protocol (QMP) over a connected socket."""
import json
import threading
import time

from bench.errors import BenchError, BenchTimeout


class QmpError(BenchError):
    """QEMU refused a command; `.what` holds its words."""


class Qmp:
    """Commands from any thread, one at a time; events are kept in order. Takes the socket over."""

    def __init__(self, sock, log=lambda text: None):
        self._sock, self._file, self._log = sock, sock.makefile("rb"), log
        self._changed, self._command = threading.Condition(), threading.Lock()
        self._answer, self.events, self.closed = None, [], False
        threading.Thread(target=self._read, name="qmp", daemon=True).start()

    def greet(self):
        """Leaves negotiation mode; waits for QEMU's first words."""
        self.execute("qmp_capabilities")

    def _read(self):
        try:
            for line in self._file:
                message = json.loads(line)
                with self._changed:
                    if "event" in message:
                        self.events.append(message)
                        self._log(f"event {message['event']} {json.dumps(message.get('data', {}))}")
                    elif "QMP" not in message:
                        self._answer = message
                    self._changed.notify_all()
        except (OSError, ValueError):
            pass
        with self._changed:
            self.closed = True
            self._changed.notify_all()

    def execute(self, name, timeout=60, exact=None, **arguments):
        """One command; its return value. QmpError when QEMU refuses or has ended. `_` in names of arguments becomes
        `-`, but not in those of the dict `exact`: some devices' properties are spelled with `_`."""
        request = {"execute": name}
        if arguments or exact:
            request["arguments"] = {**{key.replace("_", "-"): value for key, value in arguments.items()}, **(exact or {})}
        with self._command, self._changed:
            self._answer = None
            try:
                self._sock.sendall(json.dumps(request).encode() + b"\n")
            except OSError:
                self.closed = True
            if not self._changed.wait_for(lambda: self._answer or self.closed, timeout):
                raise BenchTimeout(f"QEMU did not answer '{name}' within {timeout} seconds.")
            answer = self._answer
        if not answer:
            raise QmpError(f"QEMU ended before it answered '{name}'.")
        if "error" in answer:
            raise QmpError(f"QEMU refused '{name}': {answer['error'].get('desc', answer['error'])}")
        return answer["return"]

    def wait_event(self, name, timeout, since=0, matches=lambda data: True):
        """Waits for an event after the `since`-th; its data."""
        deadline = time.monotonic() + timeout
        with self._changed:
            while True:
                for event in self.events[since:]:
                    if event["event"] == name and matches(event.get("data", {})):
                        return event.get("data", {})
                left = deadline - time.monotonic()
                if self.closed or left <= 0:
                    raise BenchTimeout(f"QEMU's event {name} did not come within {timeout:g} seconds.")
                self._changed.wait(left)

    def close(self):
        try:
            self._sock.close()
        except OSError:
            pass
