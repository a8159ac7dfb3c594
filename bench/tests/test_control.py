# SPDX-License-Identifier: GPL-2.0-or-later
"""Talking to a running machine from another terminal, and the command line around it."""
import socket
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from bench import cli, control
from bench.agent import Result
from bench.errors import BenchError

BENCH = Path(__file__).resolve().parents[1] / "bench"


class FakeMachine:
    def __init__(self, name, folder):
        self.name, self.folder = name, SimpleNamespace(path=folder, now=lambda: 1.0)
        self.config = SimpleNamespace(as_dict=lambda: {"hypervisor": "none", "cpu": "amd"})
        self.consoles, self.plugged, self.on = {}, [], True

    def alive(self):
        return self.on

    def run(self, command, timeout, check):
        return Result(4, f"{command}\n", "warning\n")

    def unplug(self, id):
        raise BenchError(f"There is no plugged device '{id}'.", "why", "what to do")

    def close(self):
        self.on = False


@pytest.fixture(autouse=True)
def runtime(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def server(tmp_path):
    server = control.Server(FakeMachine("one", tmp_path))
    yield server
    server.close()


def test_a_command_gives_its_status_and_output(server, capfd):
    assert cli.main(["run", "uname", "-a"]) == 4
    out, err = capfd.readouterr()
    assert "uname" in out and err == "warning\n"


def test_errors_keep_their_three_parts(server, capfd):
    assert cli.main(["unplug", "nothing"]) == 1
    assert capfd.readouterr().err == "bench: There is no plugged device 'nothing'.\nwhy\nwhat to do\n"


def test_off_ends_the_server(server):
    assert cli.main(["off"]) == 0
    assert server.done.wait(10)


def test_two_machines_need_a_name(server, tmp_path, capfd):
    other = control.Server(FakeMachine("two", tmp_path))
    assert cli.main(["run", "true"]) == 1
    assert "Running: one, two" in capfd.readouterr().err
    assert cli.main(["-m", "two", "run", "true"]) == 4
    other.close()


def test_a_name_in_use_is_refused(server, tmp_path):
    with pytest.raises(BenchError, match="running already"):
        control.Server(FakeMachine("one", tmp_path))


def test_a_killed_machines_socket_is_no_obstacle(tmp_path):
    path = control.folder() / "dead.sock"
    left = socket.socket(socket.AF_UNIX)
    left.bind(str(path))
    left.close()
    assert control.running() == [] and not path.exists()
    control.Server(FakeMachine("dead", tmp_path)).close()


@pytest.mark.parametrize("request_", [b"\n", b"{}\n", b"[]\n", b"nonsense\n", b'{"verb": "rm"}\n',
                                      b'{"verb": "run", "arguments": {"x": 1}}\n',
                                      b'{"verb": "__class__"}\n', b"x" * 5000 + b"\n"])
def test_a_bad_request_costs_only_itself(server, request_):
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(server.path))
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        assert b'"error"' in connection.makefile("rb").read()
    assert control.ask("one", "info")["name"] == "one"


def test_only_its_user_can_reach_it(server):
    assert control.folder().stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize("arguments, said", [
    (["run", "true"], "No machine is running"), (["resume", "../x"], "no name for a snapshot"),
    (["resume", "nothing"], "no snapshot"), (["boot", "--hypervisor", "bulkhead", "--boot", "direct"], "booted by EFI"),
    (["boot", "--loader", "/no/such.efi", "--boot", "efi", "--no-stage"], "does not exist"),
    (["measure", "exits", "--columns", "vmware"], "no column 'vmware'"),
    (["images", "build", "nothing"], "no image")])
def test_bad_input_gets_a_clear_error(arguments, said, capfd, tmp_path, monkeypatch):
    monkeypatch.setenv("BULKHEAD_BENCH_RUNS", str(tmp_path))
    assert cli.main(arguments) == 1
    assert said in capfd.readouterr().err


def test_the_command_runs_from_anywhere(tmp_path):
    done = subprocess.run([sys.executable, BENCH, "--help"], cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "VERB" in done.stdout
