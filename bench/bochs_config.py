# SPDX-License-Identifier: GPL-2.0-or-later
"""The configuration file of the Intel bench: an i440FX PC in Bochs. Pure: no files, no processes.

The PC has one processor (OVMF gives it no ACPI tables on Bochs, so no system finds a second one), four
IDE disks at most (the ESP is the first), and two serial lines: the console and the agent's.
"""
from bench.errors import BenchError

FIRMWARE = "/usr/share/ovmf/OVMF.fd"
VIDEO_ROM = "/usr/share/seabios/vgabios-stdvga.bin"
PLACES = ("ata0-master", "ata0-slave", "ata1-master", "ata1-slave")
# Bochs takes disks of whole cylinders only.
CYLINDER = 16 * 63 * 512
# Instructions a second of the machine's own clock. Bochs does 30 to 80 million in a real second, but a
# test guest in QEMU must get far enough within the two seconds that the client's probe grants it. The
# firmware's waits get longer with it.
SPEED = 100_000_000
MOST_MEMORY = 2048
# Not for the reference's sake but for the emulator's: no self-tests of the kernel's ciphers (ten
# seconds), no registers that Bochs lacks and complains about for ever, no drivers of what it lacks.
KERNEL_OPTIONS = ("cryptomgr.notests=1 clearcpuid=aperfmperf tsc=reliable "
                  "modprobe.blacklist=psmouse,i2c_piix4,intel_rapl_msr")
LACKING = "It is Bochs 2.7: an i440FX PC with IDE disks, a PS/2 keyboard and two serial lines."


def check(config, disks):
    """BenchError for what a Config asks for and Bochs has not. `disks`: how many there are."""
    lacks = [(f"a {config.nic} network card", config.nic != "none"),
             (f"a {config.screen} screen", config.screen not in ("std", "none")),
             ("USB devices", bool(config.usb)),
             (f"more than {len(PLACES)} disks", disks > len(PLACES)),
             (f"more than {MOST_MEMORY} MiB of memory", config.mem > MOST_MEMORY)]
    for what, wanted in lacks:
        if wanted:
            raise BenchError(f"The Intel bench has no {what.removeprefix('a ')}."
                             if what.startswith("a ") else f"The Intel bench cannot have {what}.",
                             LACKING, "Use --cpu amd for that.")


def whole_cylinders(size):
    """The size a disk image must be given, in bytes."""
    return -(-size // CYLINDER) * CYLINDER


def kernel_options(options):
    """A kernel command line with what a slow processor needs."""
    return f"{options} {KERNEL_OPTIONS}"


def bochsrc(config, disks, terminals, log):
    """The text of the file. `disks`: names of images, relative to the folder Bochs is started in, in
    the order of PLACES; `terminals`: ptys of com1, com2, ...; `log`: name of Bochs's log."""
    check(config, len(disks))
    lines = ["plugin_ctrl: speaker=0",
             "config_interface: textconfig",
             'display_library: x, options="hideIPS, nokeyrepeat, cmdmode"',
             f"cpu: model={config.model}, count=1, ips={SPEED}, reset_on_triple_fault=1, ignore_bad_msrs=1",
             f"memory: guest={config.mem}, host={config.mem}",
             f"romimage: file={FIRMWARE}",
             f"vgaromimage: file={VIDEO_ROM}",
             "vga: extension=vbe, update_freq=5",
             "pci: enabled=1, chipset=i440fx, slot1=pcivga"]
    for place, name in zip(PLACES, disks):
        lines.append(f'{place}: type=disk, mode=flat, path="{_name(name)}", cylinders=0')
    for number, terminal in enumerate(terminals, 1):
        lines.append(f"com{number}: enabled=1, mode=term, dev={_name(terminal)}")
    lines += ["boot: disk",
              f"log: {_name(log)}",
              # It would ask at a prompt otherwise; nobody answers there.
              "panic: action=fatal", "error: action=report", "info: action=report",
              "debug: action=ignore",
              # The machine's clock counts instructions and jumps over idle time.
              "clock: sync=none, time0=utc",
              # Its ALSA output crashes.
              "sound: driver=dummy, waveoutdrv=dummy, waveindrv=dummy, midioutdrv=dummy",
              "mouse: enabled=0"]
    return "\n".join(lines) + "\n"


def _name(name):
    """Bochs expands $ in names and has no way to write a quote."""
    if any(character in '"$,\n' for character in str(name)):
        raise BenchError(f"Bochs cannot open a file called '{name}'.", "", "Rename it.")
    return name
