# SPDX-License-Identifier: GPL-2.0-or-later
"""The hypervisors that are measured: how each is booted under icount, and how the measuring guest runs on it.

On Xen the guest runs alone on processor 1, the control domain on processor 0, and nothing else happens
meanwhile: the emulated processors share one clock, so a figure counts the work of both. On Bulkhead's
hypervisor it is the control domain itself, and each run boots a machine for it.
"""
import contextlib
from dataclasses import dataclass

from bench import boot, snapshot, staging
from bench.config import Config
from bench.errors import BenchError

GUEST = "/usr/local/lib/bulkhead/measure.elf"
XEN_PINNED = "dom0_max_vcpus=1 dom0_vcpus_pin"
XEN_GUEST = """name="{name}"
type="{type}"
kernel="{guest}"
cmdline="{options}"
memory=256
vcpus={vcpus}
cpus={cpus}
tsc_mode="native"
on_poweroff="destroy"
on_reboot="destroy"
on_crash="destroy"
{more}
"""
# Without the platform device: QEMU's machine with it does not start a PVH kernel.
XEN_HVM = 'vnc=0\nsdl=0\nnographic=1\nvga="stdvga"\nxen_platform_pci=0\n'
GUEST_LIMIT = 900
# The control domain's usual command line switches them off; a figure is of what people run.
AS_INSTALLED = "mitigations=auto"


@dataclass(frozen=True)
class Column:
    """A hypervisor. `config`: the machine; `run(machine, kind, options, vcpus)` runs the measuring guest as
    'pvh' or 'hvm' and returns what it printed; `boot_options`: with these it tells when it starts the kernel."""
    name: str
    title: str
    config: Config
    run: object
    boot_options: str = ""

    def machine(self):
        """A booted, pinned, idle machine, from the shared snapshot; nothing where the guest is the control domain."""
        if self.run is run_as_control_domain:
            return contextlib.nullcontext()
        return snapshot.resume(self.config, f"measure-{self.name}", settle)


def settle(machine):
    """Waits until the control domain has nothing left to do."""
    machine.run("systemctl is-system-running --wait || true; "
                "systemctl list-jobs | grep -q 'No jobs' || sleep 1", timeout=300)


def run_on_xen(machine, kind, options, vcpus=1):
    """One measuring guest, alone on processor 1 (a second vCPU on processor 0); what it printed."""
    _write(machine, "measure", kind, options, vcpus)
    # -F: xl stays until the guest ends, asleep, so that nothing polls meanwhile.
    machine.run("xl create -q -F /run/measure.cfg", timeout=GUEST_LIMIT)
    return _said(machine, "measure")


def run_pair_on_xen(machine, ping_cpu):
    """Two guests that measure what goes between them: what 'ping' printed. With `ping_cpu` "1" both share a
    processor, so that each round trip is two switches between guests."""
    _write(machine, "pong", "pvh", "role=pong", 1)
    _write(machine, "ping", "pvh", "role=ping", 1, ping_cpu)
    machine.run("xl create -q /run/pong.cfg && xl create -q -p /run/ping.cfg")
    pong, ping = (int(machine.run(f"xl domid {name}").out) for name in ("pong", "ping"))
    machine.run(f"xenstore-write /local/domain/{pong}/data/peer {ping} "
                f"/local/domain/{ping}/data/peer {pong} && xl unpause ping && "
                "while xl domid ping >/dev/null 2>&1; do sleep 5; done", timeout=GUEST_LIMIT, check=False)
    machine.run("xl destroy pong 2>/dev/null || true")
    return _said(machine, "ping")


def _write(machine, name, kind, options, vcpus, cpu="1"):
    """Its configuration, and no console of an earlier one."""
    cpus = f'"{cpu}"' if vcpus == 1 else '["1", "0"]'
    text = XEN_GUEST.format(name=name, type=kind, guest=GUEST, options=options, vcpus=vcpus, cpus=cpus,
                            more=XEN_HVM if kind == "hvm" else "")
    machine.run(f"rm -f /var/log/xen/console/guest-{name}.log*; kill -HUP $(pidof xenconsoled)")
    machine.push(text.encode(), f"/run/{name}.cfg")


def _said(machine, name):
    return machine.run(f"cat /var/log/xen/console/guest-{name}.log").out


def run_on_kvm(machine, kind, options, vcpus=1):
    """QEMU with KVM in the control domain. There is but one kind of guest, and no TPR reports to QEMU, which
    would make each write of that register cost twenty times as much."""
    machine.run("rm -f /run/measure.log")
    machine.run(f"qemu-system-x86_64 -machine q35,accel=kvm -global kvm-apic.vapic=off -vga std -cpu host "
                f"-smp {vcpus} -m 256 -nodefaults -display none -monitor none -no-reboot -kernel {GUEST} "
                f"-append '{options}' -serial file:/run/measure.log", timeout=GUEST_LIMIT, check=False)
    return machine.run("cat /run/measure.log").out


def run_as_control_domain(_machine, _kind, options, vcpus=1):
    """The measuring guest on Bulkhead's hypervisor, in the control domain's place; what it printed."""
    config = Config(hypervisor="bulkhead", icount=True, screen="none", stage=False, smp=vcpus, kernel_options=options,
                    program=str(staging.build_folder() / "bench/guest/measure-64.elf"))
    with boot.boot(config, "measure-bulkhead", wait=False) as machine:
        machine.wait(r"^MEASURE-END .*\n|Stopped\. Reset or switch off", GUEST_LIMIT)
        return machine.consoles["main"].text


COLUMNS = {
    "xen": Column("xen", "Xen 4.17", Config(hypervisor="xen", icount=True, screen="none",
                                            kernel_options=AS_INSTALLED, hypervisor_options=XEN_PINNED),
                  run_on_xen, "console_timestamps=raw"),
    "kvm": Column("kvm", "Linux 6.1 KVM + QEMU 7.2",
                  # Linux 6.1 hangs bringing up a second processor under icount.
                  Config(icount=True, screen="none", smp=1, kernel_options=AS_INSTALLED), run_on_kvm),
    "bulkhead": Column("bulkhead", "Bulkhead", Config(hypervisor="bulkhead", icount=True, screen="none",
                                                      kernel_options=AS_INSTALLED, hypervisor_options="dom0_max_vcpus=1"),
                       run_as_control_domain),
}


def choose(text):
    """Columns by their names, 'xen,kvm'."""
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            raise BenchError(f"There is no column '{name}'.", "", f"There are: {', '.join(COLUMNS)}.")
    if not names:
        raise BenchError("No column is named.", "", f"There are: {', '.join(COLUMNS)}.")
    return [COLUMNS[name] for name in names]
