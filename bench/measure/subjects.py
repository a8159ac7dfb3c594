# SPDX-License-Identifier: GPL-2.0-or-later
"""What is measured, each as a function of a column that returns {row: Figure}."""
import re

from bench import boot
from bench.errors import BenchError
from bench.measure.columns import run_on_xen, run_pair_on_xen
from bench.measure.guest_log import Figure, parse

# Rows that the device model answers; everything else is the hypervisor's own.
DEVICE_MODEL = ("port_qemu_fwcfg", "port_qemu_pcicfg", "mmio_qemu", "rtc_read", "port80_write")
BOOT_MEMORY = 6144


def exits(column):
    """exits and hypercalls, one operation at a time"""
    with column.machine() as machine:
        rows = parse(column.run(machine, "pvh", "tests=cpu,apic,hypercall,grant,touch,timer,board"))
        if column.config.smp > 1:
            rows.update(parse(column.run(machine, "pvh", "tests=smp", 2)))
        if column.run is run_on_xen:
            rows.update(_pair(machine))
    return {name: figure for name, figure in rows.items() if name not in DEVICE_MODEL}


def _pair(machine):
    """Between two guests: on two processors, and (a switch of guests) on one."""
    rows = parse(run_pair_on_xen(machine, "0"))
    together = parse(run_pair_on_xen(machine, "1"))
    found = {name: figure for name, figure in rows.items() if figure.value is not None}
    if "evtchn_roundtrip" in together:
        found["guest_switch_pair"] = together["evtchn_roundtrip"]
    return found


def dm(column):
    """registers that QEMU serves, seen from a guest: port, MMIO, and the board's own beside them"""
    with column.machine() as machine:
        return parse(column.run(machine, "hvm", "tests=board,qemu"))


def boot_phases(column):
    """from power-on to the control domain's userspace, by phase"""
    with boot.boot(_talkative(column.config.replace(mem=BOOT_MEMORY), column), f"boot-{column.name}") as machine:
        text = machine.consoles["main"].text
        times = machine.run("systemctl is-system-running --wait >/dev/null; systemd-analyze time",
                            timeout=600, check=False).out
    return phases(text, times)


def start(column):
    """from the hypervisor's entry to the kernel's, and on to the first program: no disk is waited for, and every
    kernel has 2 GiB"""
    with boot.boot(_talkative(column.config, column), f"start-{column.name}", wait=False) as machine:
        machine.wait(r"\] Run /init as init process", boot.limit(column.config))
        return phases(machine.consoles["main"].text)


def _talkative(config, column):
    """The machine, telling when what starts."""
    return config.replace(hypervisor_options=f"{config.hypervisor_options} {column.boot_options}".strip())


def phases(console, analysis=None):
    """Phases from the main console and the output of systemd-analyze; pure. Times are virtual: a second is
    10^9 instructions, but while all processors wait for a disk it is as long as the computer takes."""
    rows = {}
    stamps = [int(stamp, 16) for stamp in re.findall(r"^\(XEN\) \[([0-9a-f]{12,16})\]", console, re.MULTILINE)]
    dom0 = re.search(r"^\(XEN\) \[([0-9a-f]{12,16})\].*Freed \d+kB init memory", console, re.MULTILINE)
    if stamps and dom0:
        rows["firmware and loader"] = Figure(stamps[0])
        rows["hypervisor"] = Figure(int(dom0[1], 16) - stamps[0])
    ours = re.search(r"The control domain starts, (\d+) thousand ticks after the hypervisor", console)
    if ours:
        rows["hypervisor"] = Figure(int(ours[1]) * 1000)
    init = re.search(r"\[ *(\d+)\.(\d{6})\] Run /init as init process", console)
    if init:
        rows["kernel to initrd"] = Figure(int(init[1]) * 10 ** 9 + int(init[2]) * 1000)
    return rows if analysis is None else {**rows, **_told_by_systemd(analysis)}


def _told_by_systemd(analysis):
    found = re.search(r"([\d.]+)s \(kernel\)(?: \+ ([\d.]+)s \(initrd\))? \+ (?:(\d+)min )?([\d.]+)s \(userspace\)",
                      analysis)
    if not found:
        raise BenchError("systemd-analyze did not tell how long the boot took.", analysis)
    kernel, userspace = float(found[1]) + float(found[2] or 0), 60 * int(found[3] or 0) + float(found[4])
    return {"kernel to userspace": Figure(int(kernel * 1000) * 10 ** 6),
            "userspace": Figure(int(userspace * 1000) * 10 ** 6)}


def memory(column):
    """memory the hypervisor keeps for itself, of 6 GiB"""
    config = column.config.replace(mem=BOOT_MEMORY)
    with boot.boot(config, f"memory-{column.name}") as machine:
        if config.hypervisor == "none":
            text = machine.run("grep MemTotal /proc/meminfo").out
            kept = BOOT_MEMORY - int(text.split()[1]) / 1024
            return {"kept by the kernel at boot": Figure(round(kept, 1), unit="MiB")}
        text = machine.run("xl info; xl list 0").out
        return kept_by_xen(text)


def kept_by_xen(text):
    """From the output of `xl info` and `xl list 0`; pure."""
    total, free = (re.search(rf"^{name}_memory +: (\d+)", text, re.MULTILINE) for name in ("total", "free"))
    dom0 = re.search(r"^Domain-0 +0 +(\d+)", text, re.MULTILINE)
    if not (total and free and dom0):
        raise BenchError("xl did not tell how memory is used.", text[-600:])
    kept = BOOT_MEMORY - int(free[1]) - int(dom0[1])
    return {"kept by the hypervisor": Figure(kept, unit="MiB"),
            "control domain": Figure(int(dom0[1]), unit="MiB"),
            "free": Figure(int(free[1]), unit="MiB")}


SUBJECTS = {"exits": exits, "dm": dm, "boot": boot_phases, "start": start, "memory": memory}
