# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkheadctl from the outside: each test runs the program, nearly always against the fake host.

The fake host lives in one process, so a test's machines are those its URI makes. BULKHEADCTL names
the program, FAKE_APP the stand-in for the app; without them they are looked for in the PATH.
"""
import json
import os
import pty
import re
import select
import shutil
import signal
import stat
import subprocess
import time
from urllib.parse import quote

import pytest

CTL = os.environ.get("BULKHEADCTL") or shutil.which("bulkheadctl")
FAKE_APP = os.environ.get("FAKE_APP")
SOURCE = os.path.abspath(os.path.join(os.path.dirname(__file__), "../../.."))
OK, FAILED, USAGE, NOT_FOUND, NOT_NOW, CONNECTION, INTERRUPTED = 0, 1, 2, 3, 4, 5, 130


def fake(**parameters):
    parameters.setdefault("machines", 3)
    parameters.setdefault("delay", 20)
    return "fake:///?" + "&".join(f"{key}={quote(str(value))}" for key, value in parameters.items())


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch):
    """Nothing of the user's is read or written."""
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_RUNTIME_DIR"):
        path = tmp_path / name.lower()
        path.mkdir(mode=0o700)
        monkeypatch.setenv(name, str(path))
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "LANGUAGE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DBUS_SESSION_BUS_ADDRESS", "unix:path=/nonexistent/bus")
    monkeypatch.setenv("LC_ALL", "C.UTF-8")
    monkeypatch.setenv("GSETTINGS_BACKEND", "memory")
    return tmp_path


def ctl(*arguments, uri=None, code=OK, **options):
    before = [] if uri is None else ["--connect", uri]
    result = subprocess.run([CTL, *before, *arguments], capture_output=True, text=True, timeout=60,
                            stdin=subprocess.DEVNULL, **options)
    assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
    assert "CRITICAL" not in result.stderr and "WARNING" not in result.stderr, result.stderr
    assert "Sanitizer" not in result.stderr, result.stderr
    return result


def ctl_json(*arguments, **options):
    return json.loads(ctl("--json", *arguments, **options).stdout)


# --- help and usage ---------------------------------------------------------------------------------


def verbs():
    return ctl("--complete", "verbs").stdout.splitlines()


def options_of(verb):
    return [line.rstrip("=") for line in ctl("--complete", "options", *verb.split()).stdout.split()]


def test_version_and_help():
    assert re.fullmatch(r"bulkheadctl \d+\.\d+\.\d+\n", ctl("--version").stdout)
    text = ctl("--help").stdout
    for verb in verbs():
        assert f"\n  {verb}" in text
    assert ctl("help").stdout == text


def test_help_of_every_verb():
    for verb in verbs():
        text = ctl(*verb.split(), "--help").stdout
        assert f"bulkheadctl {verb} [OPTION…]" in text
        for option in options_of(verb):
            assert option in text, (verb, option)
    assert ctl("help", "usb", "attach").stdout == ctl("usb", "attach", "--help").stdout


@pytest.mark.parametrize("arguments", [
    [], ["frobnicate"], ["start"], ["list", "extra"], ["list", "--nonsense"], ["usb"], ["usb", "eat"],
    ["--progress=loud", "list"], ["list", "--state=flying"], ["set", "Machine 1"], ["new"],
    ["new", "--iso", "a", "--empty"], ["new", "--empty", "--in-place"],
    ["new", "--empty", "--bios", "--secure-boot"], ["new", "--empty", "--memory", "much"],
    ["new", "--empty", "--disk", "-1G"], ["set", "Machine 1", "--memory", "0"],
    ["set", "Machine 1", "--sound", "loud"], ["set", "Machine 1", "--video", "cga"],
    ["cd", "Machine 1", "x.iso", "--eject"], ["type", "Machine 1"], ["log", "Machine 1", "-n", "0"],
    ["type", "Machine 1", "--keys", "ctrl-hyper"], ["usb", "rules", "Machine 1"],
])
def test_wrong_usage(arguments):
    result = ctl("--connect", fake(), *arguments, code=USAGE)
    assert result.stdout == ""
    assert result.stderr.strip()


# --- looking ----------------------------------------------------------------------------------------


def test_list():
    lines = ctl("list", uri=fake(machines=11, running=1)).stdout.splitlines()
    assert lines[0].split() == ["NAME", "STATE", "CPUS", "MEMORY", "ID"]
    assert [line.split("  ")[0] for line in lines[1:]] == [f"Machine {i}" for i in range(1, 12)]
    assert "running" in lines[1] and "off" in lines[2]
    assert ctl("list", uri=fake(machines=0)).stdout == ""


def test_list_names_and_states():
    uri = fake(names="Debian 12,Да 仕事,#3", running=1)
    assert ctl("list", "--names", uri=uri).stdout.splitlines() == ["#3", "Debian 12", "Да 仕事"]
    assert ctl("list", "--names", "--state", "running", uri=uri).stdout == "Debian 12\n"


MACHINE_KEYS = {"id", "name", "state", "state_detail", "active", "accelerator", "display", "os", "notes",
                "cpus", "memory_mib", "firmware", "secure_boot", "tpm", "video", "nic", "sound",
                "clipboard", "usb_channels", "cdrom", "disk", "restart_pending", "usb"}


def test_list_json():
    machines = ctl_json("list", uri=fake(running=1, crashed=1))
    assert [machine["state"] for machine in machines] == ["running", "crashed", "off"]
    for machine in machines:
        assert set(machine) == MACHINE_KEYS
    assert machines[0]["active"] is True and machines[0]["accelerator"] == "kvm"
    assert machines[1]["state_detail"]
    assert ctl_json("list", uri=fake(machines=0)) == []


def test_show():
    uri = fake(names="Работа")
    by_name = ctl_json("show", "Работа", uri=uri)
    assert by_name == ctl_json("show", by_name["id"], uri=uri)
    assert set(by_name) == MACHINE_KEYS
    text = ctl("show", "Работа", uri=uri).stdout
    assert "Работа" in text and by_name["id"] in text
    error = ctl("show", "Nobody", uri=uri, code=NOT_FOUND).stderr
    assert "Nobody" in error and "bulkheadctl list" in error


def test_a_thousand():
    assert len(ctl_json("list", uri=fake(machines=1000))) == 1000


def test_host():
    host = ctl_json("host", uri=fake(accel="tcg", features="no-tpm", memory=2048, cpus=3))
    assert host["state"] == "connected" and host["accelerator"] == "tcg" and host["accelerator_note"]
    assert host["cpus"] == 3 and host["memory_bytes"] == 2 << 30 and host["machines"] == 3
    assert "tpm" not in host["features"] and "efi" in host["features"]
    assert "tcg" in ctl("host", uri=fake(accel="tcg")).stdout


def test_doctor():
    checks = {check["check"]: check for check in
              ctl_json("doctor", uri=fake(accel="tcg", features="no-tpm"))}
    assert checks["connection"]["status"] == "ok"
    assert checks["accelerator"]["status"] == "warning" and checks["accelerator"]["hint"]
    assert checks["tpm"]["status"] == "warning" and "swtpm" in checks["tpm"]["hint"]
    assert checks["firmware"]["status"] == "ok" and checks["firmware"]["hint"] is None
    failing = ctl("doctor", uri=fake(features="no-efi"), code=FAILED).stdout
    assert re.search(r"^problem +firmware", failing, re.M) and "ovmf" in failing
    broken = ctl("doctor", uri=fake(fail="open:disconnected:Nobody home"), code=FAILED).stdout
    assert "Nobody home" in broken


# --- state ------------------------------------------------------------------------------------------


def test_start_and_errors():
    assert "started" in ctl("start", "Machine 1", "--wait", uri=fake()).stdout
    assert ctl("-q", "start", "Machine 1", uri=fake()).stdout == ""
    error = ctl("start", "Machine 1", uri=fake(running=1), code=NOT_NOW).stderr
    assert error.startswith("bulkheadctl: ")
    ctl("start", "Nobody", uri=fake(), code=NOT_FOUND)
    failing = fake(fail="start:no-space:The disk is full")
    result = ctl("-v", "start", "Machine 1", uri=failing, code=FAILED)
    assert "The disk is full" in result.stderr and "fault injected" in result.stderr


def test_several_machines_go_on_after_an_error():
    result = ctl("start", "Machine 1", "Nobody", "Machine 2", uri=fake(), code=NOT_FOUND)
    assert "“Machine 1” started" in result.stdout and "“Machine 2” started" in result.stdout


def test_stop():
    assert "asked to shut down" in ctl("stop", "Machine 1", uri=fake(running=1)).stdout
    assert "is off" in ctl("stop", "Machine 1", "--wait", uri=fake(running=1)).stdout
    assert "is off" in ctl("stop", "Machine 1", "--force", uri=fake(running=1)).stdout
    assert "is off" in ctl("stop", "Machine 1", "--timeout=20", uri=fake(running=1)).stdout
    stubborn = fake(running=1, stubborn=1)
    error = ctl("stop", "Machine 1", "--timeout", "1", uri=stubborn, code=NOT_NOW).stderr
    assert "--force" in error
    ctl("stop", "Machine 1", uri=fake(), code=NOT_NOW)


@pytest.mark.parametrize("verb,parameters", [
    ("reboot", {"running": 1}), ("reset", {"running": 1}), ("pause", {"running": 1}),
    ("resume", {"paused": 1}), ("save", {"running": 1}), ("discard-save", {"saved": 1}),
    ("start", {"saved": 1}), ("start", {"crashed": 1}),
])
def test_other_verbs(verb, parameters):
    assert "Machine 1" in ctl(verb, "Machine 1", uri=fake(**parameters)).stdout
    ctl(verb, "Machine 1", uri=fake(**parameters, fail=f"{verb}:busy:Not now"), code=NOT_NOW)


@pytest.mark.parametrize("code,status", [
    ("failed", FAILED), ("not-supported", FAILED), ("not-found", NOT_FOUND), ("exists", FAILED),
    ("invalid", FAILED), ("no-space", FAILED), ("permission", FAILED), ("busy", NOT_NOW),
    ("disconnected", CONNECTION), ("needs-confirm", NOT_NOW),
])
def test_exit_codes(code, status):
    ctl("start", "Machine 1", uri=fake(fail=f"start:{code}:Because"), code=status)


def test_connection_errors():
    error = ctl("list", uri=fake(fail="open:permission:Keep out"), code=CONNECTION).stderr
    assert "Keep out" in error
    ctl("list", uri="nonsense", code=USAGE)
    ctl("list", uri="fake:///?wings=2", code=CONNECTION)


def test_log():
    assert "starting up" in ctl("log", "Machine 1", uri=fake(running=1)).stdout
    assert ctl_json("log", "Machine 2", uri=fake(running=1))["log"] == ""


def test_events():
    lines = ctl("--json", "events", uri=fake()).stdout.splitlines()
    event = json.loads(lines[0])
    assert set(event) == {"time", "severity", "machine", "text", "detail"}
    assert event["severity"] == "info" and event["time"].endswith("Z")


def control(path, *commands):
    """Sends commands to a fake host's control socket."""
    import socket
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(10)
        deadline = time.monotonic() + 10
        while True:
            try:
                connection.connect(path)
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        stream = connection.makefile("rw")
        for command in commands:
            stream.write(command + "\n")
            stream.flush()
            assert stream.readline() == "ok\n"


def test_events_follow(tmp_path):
    path = str(tmp_path / "control")
    process = subprocess.Popen([CTL, "-c", fake(running=1, control=path), "--json", "events", "-f"],
                               stdout=subprocess.PIPE, text=True)
    first = json.loads(process.stdout.readline())
    assert "Connected" in first["text"]
    control(path, "crash 'Machine 1' 'qemu: it hurts'")
    crash = json.loads(process.stdout.readline())
    assert crash["severity"] == "error" and crash["detail"] == "qemu: it hurts" and crash["machine"]
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == INTERRUPTED


# --- Ctrl-C and progress ----------------------------------------------------------------------------


def test_interrupt_cancels(tmp_path):
    """Ctrl-C cancels the import and the program ends by itself, with nothing made."""
    image = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    process = subprocess.Popen([CTL, "-c", fake(delay=2000), "--progress=lines", "new", "--image", image],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    seen = []
    while not any(line.startswith("PROGRESS") and "GiB" in line for line in seen):
        seen.append(process.stderr.readline())
        assert seen[-1], seen
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert process.returncode == INTERRUPTED, err
    assert "Cancelled" in err and out == ""


def test_interrupt_while_waiting():
    process = subprocess.Popen([CTL, "-c", fake(running=1, stubborn=1, delay=3000), "stop", "Machine 1",
                                "--wait"], stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    time.sleep(1.2)
    process.send_signal(signal.SIGINT)
    assert process.wait(10) == INTERRUPTED


def on_terminal(arguments, keys=b"", after=""):
    """Runs bulkheadctl on a terminal of its own, presses the keys once it has shown the text of
    after: its exit code and what it showed."""
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(CTL, [CTL, *arguments])
    shown = b""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        if keys and after.encode() in shown:
            os.write(fd, keys)
            keys = b""
        if not select.select([fd], [], [], 0.2)[0]:
            continue
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        shown += data
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]), shown.decode()


def test_progress_bar_on_a_terminal():
    code, shown = on_terminal(["-c", fake(running=1, delay=300), "save", "Machine 1"])
    assert code == OK
    assert re.search(r"Saving \[#*\.*\] +\d+%.*GiB", shown)
    code, shown = on_terminal(["-c", fake(running=1, delay=300), "--progress=none", "save", "Machine 1"])
    assert "[" not in shown.replace("\x1b[K", "")


def test_no_progress_when_piped():
    assert ctl("save", "Machine 1", uri=fake(running=1, delay=100)).stderr == ""
    lines = ctl("--progress=lines", "save", "Machine 1", uri=fake(running=1, delay=200)).stderr
    assert re.fullmatch(r"(PROGRESS \d+ .*\n)+", lines)


# --- changing ---------------------------------------------------------------------------------------


def test_set():
    assert ctl("set", "Machine 1", "--name", "Ünï ☃", uri=fake()).stdout == "“Ünï ☃” changed.\n"
    waiting = ctl("set", "Machine 1", "--cpus=4", "--memory=3G", "--notes", "x", "--clipboard=off",
                  uri=fake(running=1)).stdout
    assert "after its restart: cpus, memory." in waiting
    assert "already" in ctl("set", "Machine 1", "--name", "Machine 2", uri=fake(), code=FAILED).stderr
    ctl("set", "Machine 1", "--memory", "64G", uri=fake(), code=FAILED)
    ctl("set", "Machine 1", "--cpus", "0", uri=fake(), code=FAILED)
    ctl("set", "Machine 1", "--name", "a/b", uri=fake(), code=FAILED)


def test_cd(tmp_path):
    iso = tmp_path / "a b.iso"
    iso.write_bytes(b"x")
    assert "changed" in ctl("cd", "Machine 1", "a b.iso", uri=fake(running=1), cwd=tmp_path).stdout
    ctl("cd", "Machine 1", str(tmp_path / "none.iso"), uri=fake(), code=NOT_FOUND)
    assert "changed" in ctl("cd", "Machine 1", "--eject", uri=fake()).stdout
    assert ctl_json("cd", "Machine 1", uri=fake())["cdrom"] is None


def test_delete():
    assert "undelete" in ctl("delete", "--yes", "Machine 1", uri=fake()).stdout
    ctl("delete", "-y", "Machine 1", uri=fake(running=1), code=NOT_NOW)
    assert "--yes" in ctl("delete", "Machine 1", uri=fake(), code=NOT_NOW).stderr
    code, shown = on_terminal(["-c", fake(), "delete", "Machine 1"], b"n\n")
    assert code == NOT_NOW and "[y/N]" in shown and "is deleted" not in shown
    code, shown = on_terminal(["-c", fake(), "delete", "Machine 1"], b"\x03", after="[y/N]")
    assert code == INTERRUPTED and "is deleted" not in shown
    code, shown = on_terminal(["-c", fake(), "delete", "Machine 1"], b"y\n")
    assert code == OK and "is deleted" in shown


def test_deleted():
    uri = fake(deleted=2)
    deleted = ctl_json("deleted", uri=uri)
    assert [set(entry) for entry in deleted] == [{"id", "name", "time"}] * 2
    assert deleted[0]["name"] in ctl("deleted", uri=uri).stdout
    assert "is back" in ctl("undelete", deleted[0]["id"], uri=uri).stdout
    assert "is back" in ctl("undelete", deleted[0]["name"], uri=uri).stdout
    assert "for good" in ctl("purge", "-y", deleted[1]["name"], uri=uri).stdout
    ctl("purge", deleted[1]["name"], uri=uri, code=NOT_NOW)
    ctl("undelete", "Nobody", uri=uri, code=NOT_FOUND)
    assert ctl_json("deleted", uri=fake()) == []


# --- new --------------------------------------------------------------------------------------------


def test_new_empty():
    machine = ctl_json("new", "--empty", "--name", "Neu ☃", "--cpus=3", "--memory=1536M", "--tpm",
                       "--secure-boot", "--start", uri=fake())
    assert machine["name"] == "Neu ☃" and machine["state"] == "running" and machine["cpus"] == 3
    assert machine["memory_mib"] == 1536 and machine["tpm"] and machine["secure_boot"]
    assert machine["disk"]
    machine = ctl_json("new", "--empty", "--disk=none", "--bios", "--os=debian12", uri=fake())
    assert machine["disk"] is None and machine["firmware"] == "bios"
    assert machine["os"].startswith("http://debian.org/debian/12")
    assert "taken" in (error := ctl("new", "--empty", "--name", "Machine 1", uri=fake(), code=FAILED)
                       .stderr) or "already" in error
    ctl("new", "--empty", "--memory=1T", uri=fake(), code=FAILED)
    ctl("new", "--empty", "--os=windows-4000", uri=fake(), code=NOT_FOUND)


def test_new_finds_a_free_name():
    names = fake(names="New machine,New machine 2")
    assert ctl_json("new", "--empty", uri=names)["name"] == "New machine 3"


def test_new_image(tmp_path):
    image = tmp_path / "Möbel.qcow2"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", image, "1G"], check=True)
    machine = ctl_json("new", "--image", image, uri=fake())
    assert "Möbel" in machine["name"] and machine["disk"] != str(image)
    machine = ctl_json("new", "--image", image, "--in-place", uri=fake())
    assert machine["disk"] == str(image)
    assert "--image" in ctl("new", "--iso", image, uri=fake(), code=FAILED).stderr
    ctl("new", "--image", image, "--disk=none", uri=fake(), code=USAGE)


def test_new_bad_files(tmp_path):
    nothing = tmp_path / "none.iso"
    ctl("new", "--iso", nothing, uri=fake(), code=NOT_FOUND)
    text = tmp_path / "text.iso"
    text.write_text("this is no ISO\n" * 5000)
    ctl("new", "--iso", text, uri=fake(), code=FAILED)
    truncated = tmp_path / "short.qcow2"
    truncated.write_bytes(b"QFI\xfb" + b"\0" * 20)
    ctl("new", "--image", truncated, uri=fake(), code=FAILED)


def test_new_iso(tmp_path):
    tool = shutil.which("xorriso") or shutil.which("genisoimage")
    if not tool:
        pytest.skip("no program that makes ISOs")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/file").write_text("x")
    iso = tmp_path / "Some System.iso"
    command = [tool, "-as", "mkisofs"] if tool.endswith("xorriso") else [tool]
    subprocess.run([*command, "-quiet", "-V", "SOMETHING", "-o", iso, tmp_path / "in"], check=True,
                   stderr=subprocess.DEVNULL)
    machine = ctl_json("new", "--iso", iso, uri=fake())
    assert machine["cdrom"] == str(iso) and machine["disk"]


BUILDER = """#!/bin/sh
echo "PROGRESS 10 Downloading packages"
{body}
"""


def builder(tmp_path, body):
    folder = tmp_path / "libexec"
    folder.mkdir(exist_ok=True)
    program = folder / "bulkhead-demo-build"
    program.write_text(BUILDER.format(body=body))
    program.chmod(0o755)
    return {**os.environ, "BULKHEAD_LIBEXECDIR": str(folder)}


def test_new_demo(tmp_path):
    env = builder(tmp_path, "sleep 0.3; echo PROGRESS 100 Done; mkdir -p ${3%/*}; echo x > $3")
    result = ctl("--json", "--progress=lines", "new", "--demo", uri=fake(), env=env)
    machine = json.loads(result.stdout)
    assert machine["name"] == "Demo desktop" and machine["memory_mib"] == 1024
    assert "PROGRESS 10 Downloading packages" in result.stderr
    assert os.path.exists(os.path.join(os.environ["XDG_CACHE_HOME"], "bulkhead/demo-desktop.qcow2"))


def test_new_demo_fails(tmp_path):
    body = ("echo noise >&2; echo 'bulkhead-demo-build: The archive is away.' >&2\n"
            "echo 'bulkhead-demo-build: Check the network.' >&2; exit 1")
    error = ctl("-v", "new", "--demo", uri=fake(), env=builder(tmp_path, body), code=FAILED).stderr
    assert error.splitlines()[:2] == ["bulkheadctl: The archive is away.", "Check the network."]
    assert "noise" in error
    env = {**os.environ, "BULKHEAD_LIBEXECDIR": str(tmp_path / "nowhere")}
    assert "bulkhead-demo-build" in ctl("new", "--demo", uri=fake(), env=env, code=FAILED).stderr


def test_new_demo_cancelled(tmp_path):
    """The builder is told to stop, and its tidying up is waited for."""
    mark = tmp_path / "tidied"
    body = f"trap 'sleep 0.5; touch {mark}; exit 143' TERM\nwhile :; do sleep 0.1; done"
    process = subprocess.Popen([CTL, "-c", fake(), "--progress=lines", "new", "--demo"], text=True,
                               env=builder(tmp_path, body), stderr=subprocess.PIPE)
    assert "Downloading" in process.stderr.readline()
    process.send_signal(signal.SIGINT)
    assert process.wait(20) == INTERRUPTED
    assert mark.exists()


# --- screen and keyboard ----------------------------------------------------------------------------


def test_screenshot(tmp_path):
    path = tmp_path / "shot.png"
    ctl("screenshot", "Machine 1", path, uri=fake(running=1))
    assert path.read_bytes().startswith(b"\x89PNG\r\n")
    assert "--force" in ctl("screenshot", "Machine 1", path, uri=fake(running=1), code=FAILED).stderr
    ctl("screenshot", "Machine 1", path, "--force", uri=fake(running=1))
    piped = subprocess.run([CTL, "-c", fake(running=1), "screenshot", "Machine 1", "-"],
                           capture_output=True, check=True)
    assert piped.stdout.startswith(b"\x89PNG\r\n")
    ctl("screenshot", "Machine 2", tmp_path / "no.png", uri=fake(running=1), code=NOT_NOW)
    ctl("screenshot", "Machine 1", tmp_path / "no/no.png", uri=fake(running=1), code=FAILED)
    assert not (tmp_path / "no.png").exists()


def test_type():
    ctl("type", "Machine 1", "echo 'Hello, World!' | sort", "--enter", "--delay=0", uri=fake(running=1))
    ctl("type", "Machine 1", "--keys=ctrl-alt-F1", "-k", "super", uri=fake(running=1))
    subprocess.run([CTL, "-c", fake(running=1), "type", "Machine 1", "-", "--delay=0"], check=True,
                   input="two\nlines\n", text=True, timeout=60)
    ctl("type", "Machine 1", "x", uri=fake(), code=NOT_NOW)
    error = ctl("type", "Machine 1", "naïve ☃", uri=fake(running=1), code=FAILED).stderr
    assert "ï☃" in error and "Nothing was typed" in error


# --- USB --------------------------------------------------------------------------------------------

USB_DEVICE = """P: /devices/pci0000:00/0000:00:14.0/usb1/1-{n}
N: bus/usb/001/00{n}
E: DEVTYPE=usb_device
E: SUBSYSTEM=usb
E: BUSNUM=001
E: DEVNUM=00{n}
A: busnum=1\\n
A: devnum={n}\\n
A: idVendor=0951\\n
A: idProduct=1666\\n
A: bDeviceClass=00\\n
A: manufacturer=Kingston\\n
A: product={product}\\n
A: serial=60A44C{n}\\n

"""


@pytest.fixture
def usb(tmp_path):
    """Runs bulkheadctl on a computer with two USB sticks (umockdev)."""
    if not shutil.which("umockdev-run"):
        pytest.skip("umockdev is not installed")
    devices = tmp_path / "usb.umockdev"
    devices.write_text("".join(USB_DEVICE.format(n=n, product=product) for n, product in
                               ((3, "DataTraveler 3.0"), (4, "DataTraveler Max"))))

    def run(*arguments, uri=fake(running=1), code=OK, env=None):
        result = subprocess.run(["umockdev-run", "-d", devices, "--", CTL, "-c", uri, *arguments],
                                capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL,
                                env={**os.environ, "ASAN_OPTIONS": "verify_asan_link_order=0",
                                     **(env or {})})
        assert result.returncode == code, (result.returncode, result.stdout, result.stderr)
        return result
    return run


def test_usb_list(usb):
    devices = json.loads(usb("--json", "usb", "list").stdout)
    assert [device["id"] for device in devices] == ["0951:1666:60A44C3", "0951:1666:60A44C4"]
    assert set(devices[0]) == {"id", "name", "product", "port", "bus", "address", "node", "usage",
                               "guard", "guard_reason", "can_unmount", "machine"}
    into = json.loads(usb("--json", "usb", "list", "Machine 1").stdout)[0]
    assert into["route"] in ("host", "none") and into["rule"] == "ask"
    assert "0951:1666:60A44C3" in usb("usb", "list").stdout
    assert usb("usb", "list", "--ids").stdout.split() == ["0951:1666:60A44C3", "0951:1666:60A44C4"]
    off = json.loads(usb("--json", "usb", "list", "Machine 2").stdout)[0]
    assert off["route"] == "none" and off["reason"]


def test_usb_attach(usb):
    assert "is in “Machine 1”" in usb("usb", "attach", "Machine 1", "0951:1666:60A44C3").stdout
    assert "is in" in usb("usb", "attach", "Machine 1", "traveler max").stdout
    assert "Several" in usb("usb", "attach", "Machine 1", "traveler", code=FAILED).stderr
    usb("usb", "attach", "Machine 1", "1234:5678", code=NOT_FOUND)
    usb("usb", "attach", "Nobody", "traveler max", code=NOT_FOUND)
    usb("usb", "attach", "Machine 2", "traveler max", code=NOT_NOW)
    failing = fake(running=1, fail="usb-attach:permission:No rights")
    usb("usb", "attach", "Machine 1", "traveler max", uri=failing, code=FAILED)


def test_usb_rules(usb):
    assert json.loads(usb("--json", "usb", "rules").stdout) == []
    usb("usb", "rules", "Machine 1", "traveler max", "never")
    rules = json.loads(usb("--json", "usb", "rules").stdout)
    assert rules == [{"machine": "00000000-0000-4000-8000-000000000001", "machine_name": "Machine 1",
                      "device": "0951:1666:60A44C4", "device_name": rules[0]["device_name"],
                      "rule": "never"}]
    usb("usb", "attach", "Machine 1", "traveler max", code=NOT_NOW)
    usb("usb", "rules", "Machine 1", "0951:1666:60A44C4", "ask")
    assert usb("usb", "rules").stdout == ""
    usb("usb", "rules", "Machine 1", "traveler max", "sometimes", code=USAGE)


def test_usb_list_moves_nothing(usb):
    """A rule "always" is the app's to act on: a command moves what it was told to and nothing else."""
    usb("usb", "rules", "Machine 1", "0951:1666:60A44C4", "always")
    usb("usb", "attach", "Machine 1", "0951:1666:60A44C3")
    devices = json.loads(usb("--json", "usb", "list").stdout)
    assert [device["machine"] for device in devices] == [None, None]


# --- the app ----------------------------------------------------------------------------------------


def with_app(commands, shown=()):
    """Runs shell commands on a session bus with a stand-in for the app: what it was asked."""
    if not FAKE_APP or not shutil.which("dbus-run-session"):
        pytest.skip("no session bus or no stand-in for the app")
    script = f'"{FAKE_APP}" {" ".join(shown)} >asked & app=$!\n' \
             'until grep -qs ready asked; do sleep 0.05; done\n' \
             f'{commands}\ncode=$?\nsleep 0.2\nkill $app\nexit $code'
    result = subprocess.run(["dbus-run-session", "--", "sh", "-c", script], capture_output=True,
                            text=True, timeout=60, cwd=os.environ["HOME"])
    with open(os.path.join(os.environ["HOME"], "asked"), encoding="utf-8") as file:
        return result, file.read().splitlines()[1:]


ID = "00000000-0000-4000-8000-000000000001"


def test_view(tmp_path):
    """A host that was named goes to the app on its command line, which one instance hands on."""
    program = tmp_path / "bin"
    program.mkdir()
    shutil.copy(CTL, program / "bulkheadctl")
    app = program / "bulkhead"
    app.write_text('#!/bin/sh\nprintf "%s\\n" "$@" > spawned\n')
    app.chmod(0o755)
    result, _ = with_app(f'"{program}/bulkheadctl" -c "{fake()}" view "Machine 1"\n'
                         'until [ -s spawned ]; do sleep 0.05; done')
    assert result.returncode == OK, result.stderr
    with open(os.path.join(os.environ["HOME"], "spawned"), encoding="utf-8") as file:
        assert file.read().splitlines() == ["--connect", fake(), "--machine", ID]
    ctl("view", "Machine 1", uri=fake(), code=FAILED)
    ctl("view", "Nobody", uri=fake(), code=NOT_FOUND)


def test_view_of_the_default_host(tmp_path):
    """Without --connect it is the host that the app is set to, and the app's action is used."""
    if not shutil.which("glib-compile-schemas"):
        pytest.skip("no glib-compile-schemas")
    schemas = tmp_path / "schemas"
    schemas.mkdir()
    with open(f"{SOURCE}/data/org.bulkhead.Bulkhead.gschema.xml", encoding="utf-8") as file:
        text = file.read()
    (schemas / "org.bulkhead.Bulkhead.gschema.xml").write_text(
        text.replace("qemu:///session", fake().replace("&", "&amp;")))
    subprocess.run(["glib-compile-schemas", schemas], check=True)
    result, asked = with_app(f'GSETTINGS_SCHEMA_DIR="{schemas}" "{CTL}" view "Machine 1"')
    assert result.returncode == OK, result.stderr
    assert asked == [f"open-machine '{ID}'"]


def redirect_only(usb_file):
    return f'umockdev-run -d {usb_file} -- "{CTL}" -c "' + \
        fake(running=1, features="no-usb-passthrough", spice="/nonexistent") + '"'


def test_usb_through_the_app(usb, tmp_path, monkeypatch):
    monkeypatch.setenv("ASAN_OPTIONS", "verify_asan_link_order=0")
    command = redirect_only(tmp_path / "usb.umockdev")
    result, asked = with_app(f'{command} usb attach "Machine 1" "traveler max"', [ID])
    assert result.returncode == OK, result.stderr
    assert asked == [f"usb-attach ('{ID}', '0951:1666:60A44C4')"]
    result, asked = with_app(f'{command} usb detach "Machine 1" "traveler max"', [ID])
    assert result.returncode == OK and asked == [f"usb-detach ('{ID}', '0951:1666:60A44C4')"]
    result, asked = with_app(f'{command} usb attach "Machine 1" "traveler max"', ["other"])
    assert result.returncode == NOT_NOW and asked == [] and "view" in result.stderr


def test_usb_without_the_app(usb):
    only = fake(running=1, features="no-usb-passthrough", spice="/nonexistent")
    usb("usb", "attach", "Machine 1", "traveler max", uri=only, code=FAILED)


# --- the shell and the manual -----------------------------------------------------------------------


def completion(*words):
    script = f"""source '{SOURCE}/data/bulkheadctl.bash'
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${{#COMP_LINE}}
_bulkheadctl && printf '%s\\n' "${{COMPREPLY[@]}}" """
    result = subprocess.run(["bash", "-c", script, "test", CTL, *words], capture_output=True, text=True,
                            timeout=30, check=True)
    return result.stdout.split("\n")[:-1]


def test_completion_syntax():
    for name in ("bulkheadctl.bash", "bulkhead.bash"):
        subprocess.run(["bash", "-n", f"{SOURCE}/data/{name}"], check=True)


def test_completion():
    assert completion("st") == ["start", "stop"]
    assert completion("usb", "at") == ["attach"]
    assert completion("-c", fake(names="Да 1,Да 2,#"), "start", "Да") == ["Да 1", "Да 2"]
    assert completion("-c", fake(), "start", "Machine 1", "Machine 3") == ["Machine 3"]
    assert completion("-c", fake(deleted=1), "undelete", "") == ["Deleted 1"]
    assert "--force" in completion("stop", "--f")
    assert completion("list", "--state", "sa") == ["saving", "saved"]
    assert completion("usb", "rules", "Machine 1", "dev", "n") == ["never"]
    assert completion("show", "Machine 1", "") == [""]


def test_manual_is_complete():
    with open(f"{SOURCE}/docs/man/bulkheadctl.1.rst", encoding="utf-8") as file:
        manual = file.read()
    for verb in verbs():
        assert f"**{verb}**" in manual, verb
        for option in options_of(verb):
            assert f"**{option}" in manual or f" {option}" in manual, (verb, option)
    for key in MACHINE_KEYS:
        assert f"``{key}``" in manual, key
    for code in (OK, FAILED, USAGE, NOT_FOUND, NOT_NOW, CONNECTION, INTERRUPTED):
        assert re.search(rf"^{code}\n", manual, re.M), code


# --- a real host ------------------------------------------------------------------------------------

SESSION_RUN = f"{SOURCE}/client/host/tests/session-run"


def real(script, env=None):
    if not os.access(SESSION_RUN, os.X_OK) or not shutil.which("libvirtd"):
        pytest.skip("no private libvirt session here")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("XDG_")}
    result = subprocess.run([SESSION_RUN, "sh", "-e", "-c", script], capture_output=True, text=True,
                            timeout=240, env={**environment, "CTL": CTL, **(env or {})})
    assert result.returncode == 0, (result.returncode, result.stdout, result.stderr)
    return result.stdout


def test_real_life():
    """Made, started, seen, typed into, changed, stopped, deleted, had back and purged."""
    out = real("""
        cd
        ctl() { "$CTL" -c qemu:///session "$@"; }
        ctl new --empty --name 'Тест 1' --memory 64M --disk 1G --cpus 1
        ctl start 'Тест 1' --wait
        ctl --json show 'Тест 1' > running.json
        ctl screenshot 'Тест 1' shot.png; head -c 4 shot.png | tail -c 3; echo
        ctl type 'Тест 1' --keys ctrl-alt-delete
        ctl set 'Тест 1' --notes 'two words' --memory 128M
        ctl pause 'Тест 1'; ctl resume 'Тест 1'
        ctl stop --force 'Тест 1'
        ctl delete --yes 'Тест 1'
        ctl list --names | wc -l
        ctl undelete 'Тест 1'
        ctl set 'Тест 1' --name 'Тест 2'
        ctl delete --yes 'Тест 2'
        ctl purge --yes 'Тест 2'
        ctl --json deleted
        cat running.json
    """)
    assert "PNG" in out and "after its restart: memory" in out
    assert '"state" : "running"' in out and '"display" : "spice"' in out
    assert "\n0\n" in out and "[]" in out
