# SPDX-License-Identifier: GPL-2.0-or-later
"""Guests under Xen's toolstack in a machine's control domain: `xl create`, their consoles, their screens.

Works the same on Xen and on anything that speaks its ABI.
"""
import shlex
import time

from bench.errors import BenchError, BenchTimeout
from bench.screen import parse_ppm

TINY = "/usr/local/share/bulkhead/tiny"
SLOWNESS = 10
CONSOLES = "/var/log/xen/console"
BASE = """name="{name}"
type="{type}"
memory={memory}
vcpus=1
on_crash="preserve"
{more}
"""
PVH_TINY = """kernel="{tiny}/vmlinux"
ramdisk="{tiny}/initrd.img"
cmdline="console=hvc0 mitigations=off bench.ip={ip}/24 {options}"
vif=["bridge=xenbr0"]
"""
NETWORK = 'vif=["bridge=xenbr0,model=e1000"]\n'
HVM = """vnc=0
sdl=0
spice=1
spicehost="127.0.0.1"
spiceport={spice}
spicedisable_ticketing=1
vga="qxl"
videoram=128
{firmware}
"""


class XlGuest:
    """A guest made by `create`. Its console is read from `log`: xenconsoled's of the PV console, or the
    file behind an emulated serial port.

    Timeouts are seconds of the machine's clock, which under icount is slower than ours: SLOWNESS times as
    many of our seconds are allowed.
    """

    def __init__(self, machine, name, spice=0, log=""):
        self.machine, self.name, self.spice = machine, name, spice
        self.log = log or f"{CONSOLES}/guest-{name}.log"

    def console(self):
        """All it said."""
        return self.machine.run(f"cat {self.log} 2>/dev/null || true").out

    def wait(self, pattern, timeout):
        """Waits until a line of its console matches (grep -E)."""
        found = self.machine.run(["/usr/bin/timeout", str(timeout), "/bin/sh", "-c",
                                  'until grep -aEq "$1" "$2"; do sleep 0.5; done', "sh", pattern, self.log],
                                 timeout=SLOWNESS * timeout + 60, check=False)
        if found.status:
            last = "\n".join("    " + line for line in self.console().splitlines()[-12:])
            raise BenchTimeout(f"'{pattern}' did not appear on the console of guest {self.name} within "
                               f"{timeout} seconds.", last)

    def type(self, line):
        """Types a line on its first console."""
        self.machine.run(f'printf "%s\\n" {shlex.quote(line)} > '
                         f'$(xenstore-read /local/domain/$(xl domid {self.name})/console/tty)')

    def run(self, command, timeout=60):
        """Runs a shell line on its console; its output. BenchError when it fails."""
        mark = f"BENCH-{time.monotonic_ns()}"
        self.type(f"({command}) 2>&1; echo {mark[:6]}''{mark[6:]} $?")
        self.wait(f"^{mark} [0-9]+", timeout)
        before, _, after = self.console().replace("\r", "").partition(f"\n{mark} ")
        output = before.rpartition(f"{mark[6:]} $?\n")[2]
        if after.split()[0] != "0":
            raise BenchError(f"A command in guest {self.name} failed: {command}", output)
        return output

    def picture(self):
        """Its screen, over SPICE."""
        self.machine.run("cd /run && timeout 60 spicy-screenshot --uri=spice://127.0.0.1:"
                         f"{self.spice} --out-file=/run/{self.name}.ppm", timeout=90)
        return parse_ppm(self.machine.pull(f"/run/{self.name}.ppm"))

    def screenshot(self):
        """Stores its screen as a PNG in the run folder; the Picture."""
        picture = self.picture()
        path = self.machine.folder.path / "screenshots" / f"{self.name}.png"
        path.write_bytes(picture.png())
        return picture

    def wait_gone(self, timeout):
        """Waits until it does not exist any more."""
        found = self.machine.run(["/usr/bin/timeout", str(timeout), "/bin/sh", "-c",
                                  'while xl domid "$1" 2>/dev/null; do sleep 0.5; done', "sh", self.name],
                                 timeout=SLOWNESS * timeout + 60, check=False)
        if found.status:
            raise BenchTimeout(f"Guest {self.name} did not end within {timeout} seconds.",
                               self.machine.run("xl list").out)

    def shutdown(self, timeout=120, trigger=False):
        """Asks it to shut down, by xenbus or (`trigger`) by its ACPI power button; waits for its end."""
        self.machine.run(f"xl shutdown {'-F' if trigger else ''} {self.name}", timeout=120)
        self.wait_gone(timeout)


def create(machine, name, kind, more, memory=256, spice=0, log=""):
    """A guest from the lines `more` of an xl configuration; kind 'pvh' or 'hvm'."""
    text = BASE.format(name=name, type=kind, memory=memory, more=more)
    machine.push(text.encode(), f"/run/xl-{name}.cfg")
    machine.run(f"xl create -q /run/xl-{name}.cfg", timeout=400)
    return XlGuest(machine, name, spice, log)


def create_tiny(machine, name, ip, disk="", options=""):
    """The tiny guest as PVH, with an address on the bridge and perhaps a disk (an xl disk specification)."""
    more = PVH_TINY.format(tiny=TINY, ip=ip, options=options)
    return create(machine, name, "pvh", more + (f'disk=["{disk}"]\n' if disk else ""))


def create_hvm(machine, name, spice, firmware, memory=640, serial=False):
    """An HVM guest with QXL and SPICE on loopback port `spice`; `firmware`: further lines. With `serial` its
    console is an emulated serial port, which can only be read."""
    more, log = HVM.format(spice=spice, firmware=firmware), ""
    if serial:
        log = f"{CONSOLES}/serial-{name}.log"
        more += f'serial="file:{log}"\n'
    return create(machine, name, "hvm", more, memory, spice, log)
