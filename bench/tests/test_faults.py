# SPDX-License-Identifier: GPL-2.0-or-later
"""What goes wrong: a clear message and a clean end, within the bound."""
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bench import control, emulator
from bench.config import Config
from bench.errors import BenchError

BENCH = Path(__file__).resolve().parents[1] / "bench"
BARE = Config(stage=False)


def mine(runs):
    """Pids of the emulators whose command line names this test's folder."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = path.read_bytes()
        except OSError:
            continue
        if b"qemu-system" in words.split(b"\0")[0] and str(runs).encode() in words:
            found.append(int(path.parent.name))
    return found


def gone(pid, seconds=20):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if not Path(f"/proc/{pid}").exists():
            return True
        time.sleep(0.02)
    return False


@pytest.fixture
def runs(tmp_path, monkeypatch):
    monkeypatch.setenv("BULKHEAD_BENCH_RUNS", str(tmp_path / "runs"))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path / "runs"


def test_a_missing_emulator(bench, runs, monkeypatch):
    emulator.command.cache_clear()
    monkeypatch.setattr(emulator, "PROGRAM", "no-such-emulator")
    with pytest.raises(BenchError, match="is not installed") as error:
        bench.boot(BARE)
    assert "qemu-system-x86" in error.value.remedy
    emulator.command.cache_clear()


def test_a_full_disk(bench, tmp_path):
    """In a mount namespace, with 8 MiB for runs."""
    place = tmp_path / "small"
    place.mkdir()
    line = (f'mount -t tmpfs -o size=8M tmpfs {place} && exec {sys.executable} {BENCH} boot --boot efi --hypervisor xen '
            '--no-stage --name full')
    wrapper = ["unshare", "-m"] if os.geteuid() == 0 else ["unshare", "-Urm"]
    done = subprocess.run([*wrapper, "sh", "-c", line], capture_output=True, text=True, timeout=120,
                          env=dict(os.environ, BULKHEAD_BENCH_RUNS=str(place), XDG_RUNTIME_DIR=str(tmp_path)))
    assert done.returncode == 1
    assert "No space left" in done.stderr and "Traceback" not in done.stderr


def test_an_emulator_that_refuses(bench, runs):
    with pytest.raises(BenchError) as error:
        bench.boot(Config(stage=False, cpu_model="no-such-processor"))
    assert "QEMU did not start" in str(error.value) and "no-such-processor" in str(error.value)


def test_a_machine_that_does_not_boot_is_given_up_at_once(bench, runs):
    """A kernel that panics is not waited for."""
    started = time.monotonic()
    with pytest.raises(BenchError) as error:
        bench.boot(Config(stage=False, kernel_options="rdinit=/no/such/init panic=0"), timeout=250)
    assert "Kernel panic" in str(error.value) and str(runs) in str(error.value)
    assert time.monotonic() - started < 240
    assert mine(runs) == []


def test_a_loader_that_hangs_is_given_up_in_its_bound(bench, runs, tmp_path):
    (tmp_path / "loader.efi").write_bytes(b"this is no program")
    with pytest.raises(BenchError, match="did not answer within 20 seconds") as error:
        bench.boot(Config(boot="efi", loader=str(tmp_path / "loader.efi"), stage=False), timeout=20)
    assert "console main" in str(error.value)


def test_a_machine_that_hangs(bench):
    machine = bench.resume(Config(), "plain")
    machine.qmp.execute("stop")
    with pytest.raises(BenchError, match="did not"):
        machine.run("true", timeout=3)


def test_a_machine_that_dies_under_a_command(bench):
    machine = bench.resume(Config(), "plain")
    with pytest.raises(BenchError, match="machine ended while"):
        machine.run("echo o > /proc/sysrq-trigger; sleep 1000", timeout=100)


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_killed_bench_leaves_nothing(bench, runs, how):
    owner = subprocess.Popen([sys.executable, BENCH, "boot", "--no-stage", "--no-wait", "--name", "victim"],
                             stdout=subprocess.PIPE, text=True)
    try:
        assert "victim is on" in owner.stdout.readline()
        emulators = mine(runs)
        assert len(emulators) == 1
        owner.send_signal(how)
        owner.wait(30)
    finally:
        owner.kill()
    assert gone(emulators[0])
    assert control.running() == []
    summaries = list(runs.glob("*/summary.json"))
    assert how == signal.SIGKILL or json.loads(summaries[0].read_text())["ended"]


def test_a_power_cut_loses_what_was_not_flushed_and_only_that(bench):
    machine = bench.boot(Config(data=64), "cut")
    machine.run("mountpoint /data && echo kept > /data/kept && sync && mkdir /data/late && "
                "for i in $(seq 50); do echo $i > /data/late/$i; done")
    machine.power_cut()
    machine = bench.again(machine)
    assert machine.run("cat /data/kept").out == "kept\n"
    assert machine.run("dmesg | grep -c 'EXT4-fs.*recovery complete' || true").out.strip() != "0"
