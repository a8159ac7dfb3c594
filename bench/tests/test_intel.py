# SPDX-License-Identifier: GPL-2.0-or-later
"""The Intel bench: OVMF boots Linux in Bochs, and its VMX runs guests under kvm_intel. One machine for all."""
import os
import re
import subprocess
from pathlib import Path

import pytest

from bench import boot
from bench.config import Config
from bench.errors import BenchError

pytestmark = pytest.mark.machine
CONFIG = Config(cpu="intel", smp=1, mem=1536)
# A quiet computer needs a quarter of it.
BOOT_LIMIT = 600
MEASURE = "/usr/local/lib/bulkhead/measure.elf"
QEMU = ("qemu-system-x86_64 -accel kvm -cpu host -m 64 -nodefaults -no-user-config -display none "
        "-no-reboot -serial stdio")


@pytest.fixture(scope="module")
def booted():
    with boot.boot(CONFIG, "intel", timeout=BOOT_LIMIT) as machine:
        yield machine


@pytest.fixture
def machine(booted, request):
    """The machine; when the test fails, its last words are shown."""
    request.node.bench_machines = [booted]
    return booted


def test_ovmf_boots_linux(machine):
    assert machine.consoles["main"].wait("BdsDxe: starting Boot", 1)
    assert re.match(r"6\.1\.\d+", machine.run(["/bin/uname", "-r"]).out)
    assert machine.run("test -d /sys/firmware/efi && echo EFI").out == "EFI\n"


def test_the_processor_has_vmx(machine):
    information = machine.run(["/bin/cat", "/proc/cpuinfo"]).out
    assert "GenuineIntel" in information
    for flag in ("vmx", "ept", "vpid", "vnmi", "flexpriority"):
        assert re.search(rf"\b{flag}\b", information), f"no {flag}"


def test_files_go_in_and_out(machine, tmp_path):
    content = os.urandom(5000)
    machine.push(content, "/root/random")
    assert machine.pull("/root/random", tmp_path / "random") == content
    result = machine.run("echo out; echo err >&2; exit 7", check=False)
    assert (result.status, result.out, result.err) == (7, "out\n", "err\n")


def test_the_screen_shows_the_console_and_keys_arrive(machine):
    """The console's driver comes with udev, maybe after the agent; getty asks for a name there."""
    machine.run("until grep -q drm /proc/fb && grep -q login: /dev/vcs1; do sleep 1; done", timeout=120)
    before = machine.picture()
    assert (before.width, before.height) == (1024, 768)
    machine.type("bench-User_7")
    machine.run("until grep -q 'login: bench-User_7' /dev/vcs1; do sleep 1; done", timeout=60)
    assert machine.screenshot("console").read_bytes().startswith(b"\x89PNG")
    assert machine.picture().rgb != before.rgb


def test_kvm_runs_the_measuring_guest(machine):
    machine.run(["/sbin/modprobe", "kvm_intel"])
    result = machine.run(f"{QEMU} -kernel {MEASURE} -append 'tests=cpuid rounds=20 settle=0'",
                         timeout=300, check=False)
    assert "hypervisor=KVMKVMKVM" in result.out, result.out + result.err
    assert re.search(r"^MEASURE cpuid min=\d+ median=\d+", result.out, re.MULTILINE), result.out
    assert "MEASURE-END ok" in result.out


def test_the_clients_probe_chooses_kvm(machine):
    """As an ordinary user would ask. The probe's own guest goes through stock firmware."""
    result = machine.run("runuser -u bench -- env XDG_RUNTIME_DIR=/tmp HOME=/home/bench "
                         "/usr/local/bin/bulkheadctl host", timeout=300)
    assert "Accelerator: kvm" in result.out, result.out


@pytest.mark.parametrize("what, act", [
    ("plug a storage", lambda machine: machine.plug("storage")),
    ("press reset", lambda machine: machine.reset()),
    ("send an NMI", lambda machine: machine.nmi()),
    ("change CDs", lambda machine: machine.eject_cd()),
    ("inject disk errors", lambda machine: machine.fail_disk()),
    ("press the power button", lambda machine: machine.power_button())])
def test_what_bochs_cannot_do_is_said(machine, what, act):
    with pytest.raises(BenchError, match=f"cannot {what}") as error:
        act(machine)
    assert "Bochs" in error.value.why


# --- faults ---------------------------------------------------------------------------------------

def leave(runs):
    """The processes whose command line or folder is in `runs`."""
    found = subprocess.run(["pgrep", "-f", str(runs)], capture_output=True, text=True, check=False)
    return [pid for pid in found.stdout.split() if int(pid) != os.getpid()]


def test_no_emulator(tmp_path, monkeypatch):
    tools = tmp_path / "tools"
    tools.mkdir()
    for folder in os.environ["PATH"].split(os.pathsep):
        for program in Path(folder).glob("*"):
            if program.name != "bochs" and not (tools / program.name).exists():
                (tools / program.name).symlink_to(program)
    monkeypatch.setenv("PATH", str(tools))
    with pytest.raises(BenchError, match="bochs is not installed") as error:
        boot.boot(CONFIG, "intel-none", runs=tmp_path / "runs")
    assert "bochs-x" in error.value.remedy
    assert not leave(tmp_path)


def test_an_emulator_that_ends_at_once(tmp_path):
    with pytest.raises(BenchError, match="did not come up") as error:
        boot.boot(CONFIG.replace(cpu_model="nonsense"), "intel-early", runs=tmp_path / "runs", timeout=60)
    assert "cpu directive malformed" in error.value.why
    assert not leave(tmp_path)


def test_an_emulator_that_panics(tmp_path, monkeypatch):
    """Bochs would ask at a prompt what to do; nobody is there to answer."""
    rom = tmp_path / "rom"
    rom.write_bytes(bytes(1000))
    monkeypatch.setattr("bench.bochs_config.VIDEO_ROM", str(rom))
    with pytest.raises(BenchError, match="did not come up") as error:
        boot.boot(CONFIG, "intel-panic", runs=tmp_path / "runs", timeout=60)
    assert "PANIC" in error.value.why
    assert not leave(tmp_path)
