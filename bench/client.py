#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""The client beside GNOME Boxes and virt-manager, measured in one run under Xvfb.

Prints, for each program: launch to first window mapped, idle memory with 10 machines, launch to the
first frame of a running guest in a window, and CPU used while that guest moves a window 30 times a
second (bench/moving-window.S); and the ratio of ours to the better of the others. All three talk to
the same libvirt session with the same machines. Nothing is asserted: the figures depend on the
machine, the ratios much less so.

Usage: bench/client.py [--build DIR] [--runs N] [--json FILE] [--report FILE]
"""
import argparse
import ctypes
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

TOP = Path(__file__).resolve().parent.parent
SESSION_RUN = TOP / "client/host/tests/session-run"
SCREEN = (1280, 1024)
DESKTOP_BGRX = bytes((0x87, 0x4A, 0x20))  # DESKTOP of moving-window.S as X stores it
MACHINES = 10
CPU_SECONDS = 10
LAUNCH_LIMIT = 60

DOMAIN = """<domain type='qemu'><name>{name}</name><uuid>{uuid}</uuid><memory unit='MiB'>64</memory>
<vcpu>1</vcpu><os><type arch='x86_64' machine='q35'>hvm</type></os><features><acpi/></features>
<devices>{disk}<graphics type='spice'><listen type='none'/><image compression='off'/></graphics>
<video><model type='qxl'/></video><input type='tablet' bus='usb'/></devices></domain>"""
DISK = """<disk type='file' device='disk'><driver name='qemu' type='raw'/><source file='{path}'/>
<target dev='sda' bus='sata'/></disk>"""


class XImage(ctypes.Structure):
    """The head of Xlib's XImage, as far as the pixels and the size of a line."""
    _fields_ = [("width", ctypes.c_int), ("height", ctypes.c_int), ("xoffset", ctypes.c_int),
                ("format", ctypes.c_int), ("data", ctypes.c_void_p), ("byte_order", ctypes.c_int),
                ("bitmap_unit", ctypes.c_int), ("bitmap_bit_order", ctypes.c_int),
                ("bitmap_pad", ctypes.c_int), ("depth", ctypes.c_int),
                ("bytes_per_line", ctypes.c_int)]


class Screen:
    """Counts the guest desktop's pixels on the X screen; a few milliseconds a look."""

    def __init__(self):
        self.x = ctypes.CDLL("libX11.so.6")
        self.x.XOpenDisplay.restype = ctypes.c_void_p
        self.x.XDefaultRootWindow.restype = ctypes.c_ulong
        self.x.XDefaultRootWindow.argtypes = [ctypes.c_void_p]
        self.x.XGetImage.restype = ctypes.POINTER(XImage)
        self.x.XGetImage.argtypes = [ctypes.c_void_p, ctypes.c_ulong, ctypes.c_int, ctypes.c_int,
                                     ctypes.c_uint, ctypes.c_uint, ctypes.c_ulong, ctypes.c_int]
        self.display = self.x.XOpenDisplay(None)
        self.root = self.x.XDefaultRootWindow(self.display)

    def desktop_pixels(self):
        image = self.x.XGetImage(self.display, self.root, 0, 0, *SCREEN, ~0 & 0xFFFFFFFF, 2).contents
        data = ctypes.string_at(image.data, image.bytes_per_line * image.height)
        ctypes.CDLL(None).free(ctypes.c_void_p(image.data))
        return data.count(DESKTOP_BGRX)


def programs(build):
    """name: (argv, argv to show a machine)"""
    ours = [str(build / "client/ui/bulkhead"), "--connect", "qemu:///session"]
    manager = ["virt-manager", "--no-fork", "--connect", "qemu:///session"]
    return {
        "bulkhead": (ours, ours + ["--machine", "moving"]),
        "virt-manager": (manager, manager + ["--show-domain-console", "moving"]),
        "gnome-boxes": (["gnome-boxes"], ["gnome-boxes", "--open-uuid", uuid(0)]),
    }


def uuid(number):
    return f"b0000000-0000-4000-8000-{number:012d}"


class Client:
    """One launch of a program; ends it whatever happens."""

    def __init__(self, argv):
        self.start = time.monotonic()
        self.process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                        start_new_session=True)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
        self.process.wait()

    def elapsed(self):
        return time.monotonic() - self.start

    def _field(self, file, name):
        for line in Path(f"/proc/{self.process.pid}/{file}").read_text().splitlines():
            if line.startswith(name):
                return int(line.split()[1])
        return 0

    def memory(self):
        """Resident and proportional size in MB once it has been steady for three seconds."""
        steady, last = time.monotonic(), 0
        while time.monotonic() - steady < 3 and self.elapsed() < 40:
            now = self._field("status", "VmRSS:")
            if abs(now - last) > 512:
                steady, last = time.monotonic(), now
            time.sleep(0.2)
        return last / 1024, self._field("smaps_rollup", "Pss:") / 1024

    def cpu(self):
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def wait_mapped(client):
    """Seconds from launch until the X server maps the first ordinary top-level window."""
    xev = subprocess.Popen(["stdbuf", "-oL", "xev", "-root", "-event", "substructure"],
                           stdout=subprocess.PIPE)
    try:
        os.set_blocking(xev.stdout.fileno(), False)
        text = b""
        while client.elapsed() < LAUNCH_LIMIT:
            text += xev.stdout.read() or b""
            events = text.decode().split("\n\n")
            if any("MapNotify" in event and "override NO" in event for event in events):
                return client.elapsed()
            time.sleep(0.002)
    finally:
        xev.kill()
        xev.wait()
    return float("nan")


def launch_and_idle(argv):
    # xev must listen before the program starts
    client = Client(["sh", "-c", 'sleep 0.3; exec "$@"', "sh"] + argv)
    with client:
        mapped = wait_mapped(client) - 0.3
        return (mapped, *client.memory())


def show_guest(argv, screen):
    with Client(argv) as client:
        while screen.desktop_pixels() < 100000:
            if client.elapsed() > LAUNCH_LIMIT or client.process.poll() is not None:
                return float("nan"), float("nan")
            time.sleep(0.01)
        first = client.elapsed()
        time.sleep(3)
        before = client.cpu()
        time.sleep(CPU_SECONDS)
        return first, 100 * (client.cpu() - before) / CPU_SECONDS


def build_guest(folder):
    image = folder / "moving.img"
    source = TOP / "bench/moving-window.S"
    subprocess.run(["gcc", "-c", "-m32", source, "-o", folder / "moving.o"], check=True)
    subprocess.run(["ld", "-m", "elf_i386", "-Ttext", "0x7c00", "--oformat", "binary", "-o", image,
                    folder / "moving.o"], check=True)
    os.truncate(image, 1 << 20)
    return image


def define_machines(folder):
    image = build_guest(folder)
    for number in range(MACHINES):
        disk = DISK.format(path=image) if number == 0 else ""
        name = "moving" if number == 0 else f"machine {number}"
        (folder / "domain.xml").write_text(DOMAIN.format(name=name, uuid=uuid(number), disk=disk))
        subprocess.run(["virsh", "-q", "define", folder / "domain.xml"], check=True,
                       stdout=subprocess.DEVNULL)


def measure(build, runs):
    results = {}
    with tempfile.TemporaryDirectory() as name:
        define_machines(Path(name))
        # Boxes' tutorial of the first run would cover the guest
        subprocess.run(["gsettings", "set", "org.gnome.boxes", "first-run", "false"], check=True)
        all_programs = programs(build)
        rows = {program: [] for program in all_programs}
        for _ in range(runs):
            for program, (argv, _show) in all_programs.items():
                rows[program].append(launch_and_idle(argv))
        subprocess.run(["virsh", "-q", "start", "moving"], check=True)
        screen = Screen()
        for program, (_argv, show) in all_programs.items():
            shown = [show_guest(show, screen) for _ in range(runs)]
            median = [statistics.median(values) for values in zip(*rows[program])]
            median += [statistics.median(values) for values in zip(*shown)]
            results[program] = dict(zip(("window_s", "rss_mb", "pss_mb", "frame_s", "cpu_percent"),
                                        median))
    return results


def report(results, out):
    columns = {"window_s": "window, s", "rss_mb": "RSS, MB", "pss_mb": "PSS, MB",
               "frame_s": "guest frame, s", "cpu_percent": "CPU, %"}
    print(f"{'':14}" + "".join(f"{title:>16}" for title in columns.values()), file=out)
    for program, row in results.items():
        print(f"{program:14}" + "".join(f"{row[key]:16.2f}" for key in columns), file=out)
    others = [row for program, row in results.items() if program != "bulkhead"]
    best = {key: min(row[key] for row in others) for key in columns}
    ratios = {key: results["bulkhead"][key] / best[key] for key in columns}
    print(f"{'ours / best':14}" + "".join(f"{ratios[key]:16.2f}" for key in columns), file=out)


def inside(arguments):
    results = measure(Path(arguments.build), arguments.runs)
    report(results, sys.stdout)
    if arguments.report:
        with open(arguments.report, "w", encoding="utf-8") as out:
            report(results, out)
    if arguments.json:
        Path(arguments.json).write_text(json.dumps(results, indent=1))


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=str(TOP / "build"))
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("--report", help="also write the table to this file")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.inside:
        inside(arguments)
        return 0
    build = Path(arguments.build).resolve()
    # Xvfb has no GL: without GDK_GL=disable the others would load a software one of 40 MB
    environment = dict(os.environ, GSETTINGS_BACKEND="keyfile", GDK_BACKEND="x11", LC_ALL="C.UTF-8",
                       GDK_GL="disable", BULKHEAD_LIBEXECDIR=str(TOP / "client/demo"))
    return subprocess.run(
        [SESSION_RUN, "xvfb-run", "-a", "-s", f"-screen 0 {SCREEN[0]}x{SCREEN[1]}x24 -nolisten tcp -noreset",
         "dbus-run-session", "--", "env", "LIBVIRT_DEFAULT_URI=qemu:///session", __file__, "--inside",
         "--build", build, "--runs", str(arguments.runs),
         *(["--json", os.path.abspath(arguments.json)] if arguments.json else []),
         *(["--report", os.path.abspath(arguments.report)] if arguments.report else [])],
        env=environment, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
