# SPDX-License-Identifier: GPL-2.0-or-later
"""The guest agent's protocol, with an agent that behaves, one that lies and one that is silent."""
import base64
import json
import socket
import threading
import time

import pytest

from bench.agent import CHUNK, Agent
from bench.errors import BenchError, BenchTimeout


class FakeAgent(threading.Thread):
    """Answers from a table of functions, in a thread; the files it holds are in `files`."""

    def __init__(self, **answers):
        super().__init__(daemon=True)
        self.ours, theirs = socket.socketpair()
        self.agent = Agent(theirs)
        self.files, self.handle, self.asked = {}, None, []
        self.answers = {"guest_sync_delimited": lambda id: id, "guest_exec": lambda **_: {"pid": 7},
                        "guest_exec_status": self.status, "guest_file_open": self.open,
                        "guest_file_write": self.write, "guest_file_read": self.read,
                        "guest_file_close": lambda handle: {}, **answers}
        self.start()

    def run(self):
        for line in self.ours.makefile("rb"):
            try:
                request = json.loads(line.rpartition(b"\xff")[2])
            except ValueError:
                continue
            name = request["execute"]
            self.asked.append(name)
            answer = self.answers[name.replace("-", "_")]
            arguments = {key.replace("-", "_"): value for key, value in request.get("arguments", {}).items()}
            value = answer(**arguments)
            if value is None:
                continue
            prefix = b"\xff" if name == "guest-sync-delimited" else b""
            self.ours.sendall(value if isinstance(value, bytes) else
                              prefix + json.dumps({"return": value}).encode() + b"\n")

    def status(self, pid):
        return {"exited": True, "exitcode": 3, "out-data": base64.b64encode(b"out").decode()}

    def open(self, path, mode):
        self.handle = path
        self.files.setdefault(path, b"")
        return 1

    def write(self, handle, buf_b64):
        self.files[self.handle] += base64.b64decode(buf_b64)
        return {"count": 1}

    def read(self, handle, count):
        data, self.files[self.handle] = self.files[self.handle][:count], self.files[self.handle][count:]
        return {"buf-b64": base64.b64encode(data).decode(), "eof": not self.files[self.handle]}


def test_a_command_with_its_status_and_output():
    result = FakeAgent().agent.run("x", check=False)
    assert (result.status, result.out, result.err) == (3, "out", "")


def test_a_failing_command_is_an_error_with_its_output():
    with pytest.raises(BenchError) as error:
        FakeAgent().agent.run("false-thing")
    assert "status 3" in str(error.value) and "false-thing" in str(error.value) and "out" in str(error.value)


def test_files_larger_than_a_chunk():
    data = bytes(range(256)) * (CHUNK // 128)
    fake = FakeAgent(guest_exec_status=lambda pid: {"exited": True, "exitcode": 0})
    fake.agent.push(data, "/root/f")
    assert fake.files["/root/f.part"] == data
    assert fake.agent.pull("/root/f.part") == data


def test_rubbish_before_the_agent_is_skipped():
    fake = FakeAgent()
    fake.ours.sendall(b"login: \x00\xff{}\n{\"return\": 1}\n\xff[]\n")
    fake.agent.sync(5)


def test_a_silent_agent_is_a_timeout():
    fake = FakeAgent(guest_sync_delimited=lambda id: None)
    with pytest.raises(BenchTimeout, match="did not answer"):
        fake.agent.wait(0.5)


def test_a_machine_that_ended_is_told_at_once():
    started = time.monotonic()
    with pytest.raises(BenchTimeout, match="ended before"):
        FakeAgent(guest_sync_delimited=lambda id: None).agent.wait(100, alive=lambda: False)
    assert time.monotonic() - started < 50


def test_an_endless_command_is_ended():
    fake = FakeAgent(guest_exec_status=lambda pid: {"exited": False})
    with pytest.raises(BenchTimeout, match="did not end within"):
        fake.agent.run("sleep 1000", timeout=0.3)
    assert fake.asked.count("guest-exec") == 2


def test_a_closed_connection_is_told():
    fake = FakeAgent()
    fake.ours.shutdown(socket.SHUT_RDWR)
    with pytest.raises(BenchError, match="closed"):
        fake.agent.call("guest-ping")


@pytest.mark.parametrize("answer", [b"{}\n", b"[]\n", b"nonsense\n", b'{"return": {}}\n', b'{"return": []}\n'])
def test_an_agent_that_answers_nonsense_costs_an_error_only(answer):
    with pytest.raises(BenchError):
        FakeAgent(guest_exec=lambda **_: answer).agent.run("x", timeout=1)
