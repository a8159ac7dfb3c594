# SPDX-License-Identifier: GPL-2.0-or-later
"""Commands and files inside a machine, through the QEMU guest agent (qemu-ga) on a serial port.

The protocol is qemu-ga's: one JSON object a line. `guest-sync-delimited` finds the start of an answer
in whatever was on the line before (an earlier owner's, or a boot loader's).
"""
import base64
import contextlib
import json
import random
import select
import time
from dataclasses import dataclass
from pathlib import Path

from bench.errors import BenchClosed, BenchError, BenchTimeout

CHUNK = 192 << 10
LINE_LIMIT = 64 << 20


@dataclass(frozen=True)
class Result:
    """How a command in the machine ended: exit status (128 + n for signal n), output, errors."""
    status: int
    out: str
    err: str


class Agent:
    """Not thread-safe: one user at a time. Takes the socket over."""

    def __init__(self, sock):
        self._sock = sock
        self._sock.setblocking(False)
        self._buffer = b""

    def wait(self, timeout, alive=lambda: True):
        """Waits until the agent answers. BenchTimeout after `timeout` seconds, or as soon as
        `alive()` is false."""
        deadline = time.monotonic() + timeout
        while time.monotonic() < deadline and alive():
            try:
                self.sync(min(2, max(0.1, deadline - time.monotonic())))
                return
            except BenchTimeout:
                continue
        raise BenchTimeout(f"The machine's agent did not answer within {timeout:g} seconds."
                           if alive() else "The machine ended before its agent answered.")

    def sync(self, timeout):
        """Makes sure that the next answer belongs to the next question."""
        number = random.randrange(1, 1 << 30)
        self._buffer = b""
        # An unfinished line of ours or another's is ended by 0xff and a newline.
        self._send(b"\xff\n" + _line("guest-sync-delimited", {"id": number}))
        deadline = time.monotonic() + timeout
        while True:
            line = self._receive(deadline, "guest-sync-delimited")
            try:
                if json.loads(line.rpartition(b"\xff")[2]).get("return") == number:
                    return
            except (ValueError, AttributeError):
                continue

    def call(self, name, timeout=60, **arguments):
        """One command of the agent's; its return value."""
        self._send(_line(name, {key.replace("_", "-"): value for key, value in arguments.items()}))
        deadline = time.monotonic() + timeout
        line = self._receive(deadline, name)
        with _sensible(name):
            answer = json.loads(line)
            if "error" in answer:
                raise BenchError(f"The machine's agent refused '{name}': {answer['error'].get('desc')}")
            return answer["return"]

    def run(self, command, input=b"", timeout=60, check=True):
        """Runs `command` (text for sh -c, or a list of words) and waits for its end. With `check`,
        BenchError when its status is not 0."""
        words = ["/bin/sh", "-c", command] if isinstance(command, str) else list(command)
        deadline = time.monotonic() + timeout
        options = {"input_data": base64.b64encode(input).decode()} if input else {}
        # A session of its own, so that the whole of it can be ended.
        started = self.call("guest-exec", path="/usr/bin/setsid", arg=words, capture_output=True,
                            timeout=timeout, **options)
        with _sensible("guest-exec"):
            result = self._await_exit(int(started["pid"]), command, timeout, deadline)
        if check and result.status != 0:
            raise BenchError(f"A command in the machine failed with status {result.status}.",
                             f"    {_show(command)}\n{result.out[-2000:]}{result.err[-2000:]}")
        return result

    def _await_exit(self, pid, command, timeout, deadline):
        pause = 0.01
        while True:
            status = self.call("guest-exec-status", pid=pid,
                               timeout=max(5, deadline - time.monotonic()))
            if status["exited"]:
                return Result(status.get("exitcode", 128 + status.get("signal", 0)),
                              _decode(status.get("out-data")), _decode(status.get("err-data")))
            if time.monotonic() > deadline:
                self.call("guest-exec", path="/bin/sh", arg=["-c", f"kill -9 -{pid}"])
                raise BenchTimeout(f"A command in the machine did not end within {timeout:g} seconds.",
                                   f"    {_show(command)}")
            time.sleep(pause)
            pause = min(pause * 1.5, 0.25)

    def push(self, local, remote, mode=None):
        """Copies a file (a path, or bytes) into the machine; parent folders are made. It appears
        under its name only when it is complete."""
        data = local if isinstance(local, bytes) else Path(local).read_bytes()
        if mode is None:
            mode = 0o644 if isinstance(local, bytes) else Path(local).stat().st_mode & 0o777
        part = f"{remote}.part"
        self.run(["/bin/mkdir", "-p", str(Path(remote).parent)])
        handle = self.call("guest-file-open", path=part, mode="w")
        try:
            for start in range(0, len(data), CHUNK):
                piece = base64.b64encode(data[start:start + CHUNK]).decode()
                self.call("guest-file-write", handle=handle, buf_b64=piece)
        finally:
            self.call("guest-file-close", handle=handle)
        self.run(["/bin/sh", "-c", 'chmod "$1" "$2" && mv "$2" "$3"', "sh", f"{mode:o}", part, remote])

    def pull(self, remote, local=None):
        """Copies a file out of the machine; its bytes, also written to `local` when given."""
        handle = self.call("guest-file-open", path=remote, mode="r")
        pieces = []
        try:
            while True:
                piece = self.call("guest-file-read", handle=handle, count=CHUNK)
                with _sensible("guest-file-read"):
                    pieces.append(base64.b64decode(piece["buf-b64"]))
                    if piece["eof"]:
                        break
        finally:
            self.call("guest-file-close", handle=handle)
        data = b"".join(pieces)
        if local:
            Path(local).write_bytes(data)
        return data

    def _send(self, data):
        while data:
            try:
                data = data[self._sock.send(data):]
            except BlockingIOError:
                if not select.select([], [self._sock], [], 60)[1]:
                    raise BenchTimeout("The machine's agent does not read what is sent to it.")
            except OSError as error:
                raise BenchClosed("The connection to the machine's agent is closed.", str(error))

    def _receive(self, deadline, name):
        """The next line, without its end."""
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._sock], [], [], left)[0]:
                raise BenchTimeout(f"The machine's agent did not answer '{name}' in time.")
            try:
                data = self._sock.recv(1 << 20)
            except ConnectionError:
                data = b""
            if not data:
                raise BenchClosed("The connection to the machine's agent is closed.")
            self._buffer += data
            if len(self._buffer) > LINE_LIMIT:
                raise BenchError("The machine's agent sent an endless line.")
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line

    def close(self):
        self._sock.close()


@contextlib.contextmanager
def _sensible(name):
    """The other end belongs to the guest: whatever it answers is an error at worst."""
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise BenchError(f"The machine's agent gave a senseless answer to '{name}'.", repr(error)) from error


def _line(name, arguments):
    request = {"execute": name}
    if arguments:
        request["arguments"] = arguments
    return json.dumps(request).encode() + b"\n"


def _decode(data):
    return base64.b64decode(data).decode("utf-8", "replace") if data else ""


def _show(command):
    text = command if isinstance(command, str) else " ".join(command)
    return text if len(text) < 400 else text[:400] + "…"
