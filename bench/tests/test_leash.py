# SPDX-License-Identifier: GPL-2.0-or-later
"""Nothing that was started runs on, however its owner ends."""
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import leash

TOP = str(Path(__file__).resolve().parents[2])
# Starts a daemon that forks twice, tells its pid, and waits.
DAEMON = "(setsid sh -c 'echo $$ > pid; exec sleep 1000' &) ; sleep 1000"


def wait_for(condition, seconds=10):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "the condition did not come true"
        time.sleep(0.01)


def daemon_pid(folder):
    wait_for(lambda: (folder / "pid").exists() and (folder / "pid").read_text().strip())
    return int((folder / "pid").read_text())


def is_gone(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_stop_ends_the_command_and_its_daemons(tmp_path):
    process = leash.spawn(["sh", "-c", DAEMON], cwd=tmp_path)
    pid = daemon_pid(tmp_path)
    leash.stop(process)
    assert is_gone(pid)


def test_the_status_is_the_commands(tmp_path):
    assert leash.spawn(["sh", "-c", "exit 7"]).wait(10) == 7
    assert leash.spawn(["sh", "-c", "kill -9 $$"]).wait(10) == 128 + 9


def test_a_command_that_ends_takes_its_daemons_along(tmp_path):
    process = leash.spawn(["sh", "-c", "(setsid sleep 1000 & echo $! > pid); until [ -s pid ]; do :; done"],
                          cwd=tmp_path)
    process.wait(10)
    assert is_gone(daemon_pid(tmp_path))


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_owner_takes_everything_along(tmp_path, how):
    owner = subprocess.Popen([sys.executable, "-c", f"""
import sys, time
sys.path.insert(0, {TOP!r})
from bench import leash
leash.spawn(["sh", "-c", {DAEMON!r}], cwd={str(tmp_path)!r})
time.sleep(1000)
"""], stderr=subprocess.DEVNULL)
    pid = daemon_pid(tmp_path)
    owner.send_signal(how)
    owner.wait(10)
    wait_for(lambda: is_gone(pid))


def test_a_killed_leash_takes_the_command_along(tmp_path):
    process = leash.spawn(["sh", "-c", "echo $$ > pid; exec sleep 1000"], cwd=tmp_path)
    pid = daemon_pid(tmp_path)
    os.kill(process.pid, signal.SIGKILL)
    process.wait(10)
    wait_for(lambda: is_gone(pid))


def test_a_missing_program_is_told_at_once():
    with pytest.raises(FileNotFoundError):
        leash.spawn(["no-such-program-here"])
