# SPDX-License-Identifier: GPL-2.0-or-later
"""Serial lines and run folders: what a machine says is kept, cleaned and waited for."""
import json
import os
import socket
import threading

import pytest

from bench import console, runfolder
from bench.console import Console
from bench.errors import BenchError, BenchTimeout
from bench.runfolder import RunFolder


@pytest.fixture
def folder(tmp_path):
    return RunFolder("t", tmp_path)


@pytest.fixture
def line(folder):
    ours, theirs = socket.socketpair()
    console_ = Console("main", theirs.detach(), folder)
    yield ours, console_
    ours.close()
    console_.close()


def test_waiting_for_what_comes_later(line):
    ours, main = line
    threading.Timer(0.1, ours.sendall, [b"one\ntwo 22\n"]).start()
    assert main.wait(r"^two (\d+)", 10)[1] == "22"


def test_what_was_said_before_does_not_count_after_a_mark(line):
    ours, main = line
    ours.sendall(b"ready\n")
    main.wait("ready", 10)
    with pytest.raises(BenchTimeout, match="0.2 seconds passed"):
        main.wait("ready", 0.2, main.mark())


def test_a_closed_line_ends_the_waiting_with_its_last_words(line):
    ours, main = line
    ours.sendall(b"Kernel panic - not syncing\n")
    ours.close()
    with pytest.raises(BenchTimeout) as error:
        main.wait("login", 100)
    assert "the machine ended" in str(error.value) and "Kernel panic" in str(error.value)


def test_the_log_has_times_and_no_control_characters(line):
    ours, main = line
    ours.sendall(b"\x1b[31mred\x1b[0m \x07bell\x1b]0;title\x07\r\nend\n")
    main.wait("^end", 10)
    first = main.log_path.read_text().splitlines()[0]
    assert first.split(None, 1)[1] == "red bell" and float(first.split()[0]) >= 0


def test_a_flood_is_bounded(line, monkeypatch):
    monkeypatch.setattr(console, "LIMIT", 1 << 16)
    ours, main = line
    for _ in range(64):
        ours.sendall(b"x" * 65536)
    ours.close()
    with pytest.raises(BenchTimeout):
        main.wait("y", 100)
    assert len(main.text) < 1 << 18


def test_typing_on_a_dead_line_is_an_error(line):
    ours, main = line
    ours.close()
    with pytest.raises(BenchError, match="Nothing can be typed"):
        for _ in range(100):
            main.send("x" * 1000)


def test_a_run_folder_keeps_what_matters_and_drops_the_disks(folder):
    (folder.path / "disks/root").write_text("x")
    folder.command(["qemu", "-m", "2G", "-append", "a b"])
    folder.event("power on")
    folder.close("ended")
    folder.close("twice")
    summary = json.loads((folder.path / "summary.json").read_text())
    assert summary["ended"] == "ended" and not (folder.path / "disks").exists()
    assert "-append 'a b'" in (folder.path / "command").read_text()


def test_old_runs_go_and_those_in_use_stay(tmp_path):
    used = RunFolder("used", tmp_path)
    for number in range(6):
        RunFolder(f"r{number}", tmp_path).close()
    runfolder.remove_old(tmp_path, keep=2)
    names = sorted(path.name.split("-")[2] for path in tmp_path.iterdir())
    assert "used" in names and len(names) <= 3
    used.close()


def test_disks_of_a_killed_run_go_with_the_next(tmp_path):
    pid = os.fork()
    if pid == 0:
        killed = RunFolder("killed", tmp_path)
        (killed.path / "disks/root").write_text("x")
        os._exit(9)
    os.waitpid(pid, 0)
    killed = next(tmp_path.glob("*killed*"))
    assert (killed / "disks/root").exists()
    RunFolder("next", tmp_path).close()
    assert not (killed / "disks").exists() and (killed / "events.log").exists()


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(BenchError, match="No folder for the run"):
        RunFolder("x", tmp_path / "file")
