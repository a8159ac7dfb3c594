# SPDX-License-Identifier: GPL-2.0-or-later
"""The command line of the AMD bench: a q35 PC in qemu-system-x86_64 under TCG. Pure: no files, no processes.

Every device has a fixed place, so that a snapshot fits the machine that resumes it and a test can
name a port. PCI slots of bus 0: 1 AMD-Vi (QEMU puts it there), 2 agent, 3 disk, 4 NIC, 5 xHCI, 6
screen; 10 to 13 are root ports (rp0 to rp3) for hot-plugged PCI devices; the AHCI controller is the chipset's, with the CD drive on
its port 2, the ESP on port 1 and, with --disk ahci, the root disk on port 0.
"""
import json
from dataclasses import dataclass, field

OVMF_CODE = "/usr/share/OVMF/OVMF_CODE_4M.fd"
OVMF_VARS = "/usr/share/OVMF/OVMF_VARS_4M.fd"
# As a PVH control domain Linux claims address space for grants ("Xen scratch") before it looks at PCI, in
# the larger part of the hole below 4 GiB that ECAM (0xb0000000) cuts in two. It must not be the upper
# part, where OVMF puts the 32-bit BARs: AHCI, e1000e and MSI-X tables would be lost.
MACHINE = "q35,max-ram-below-4g=1792M"
ROOT_PORTS = 4
SCREENS = {"std": {"driver": "VGA"}, "qxl": {"driver": "qxl-vga"}, "virtio": {"driver": "virtio-vga"}}
AGENT_PORT = "org.qemu.guest_agent.0"
# Gives back what it is sent, to load and check a network.
ECHO_SERVER = "10.0.2.100:7"


@dataclass
class Parts:
    """What a command line is made of besides the Config. Descriptors are inherited by QEMU.

    `disks`: (node name, blockdev description) in the order of attachment, the first is the root disk;
    `direct`: (kernel, initrd, command line) when there is no firmware; `variables`: the copy of OVMF's
    variable store; `plugged`: (blockdevs, device) of what was hot-plugged before a snapshot;
    `incoming`: a shell command whose output is the saved state.
    """
    qmp_fd: int
    console_fds: dict
    agent_fd: int
    disks: list
    esp: dict = None
    direct: tuple = None
    variables: str = ""
    sound: str = ""
    plugged: list = field(default_factory=list)
    incoming: str = ""


def command(config, parts, program=("qemu-system-x86_64",)):
    """The words of the command line; `program` are the first."""
    words = [*program, "-name", "bench,debug-threads=on", "-nodefaults", "-no-user-config", "-S",
             "-display", "gtk,zoom-to-fit=off" if config.window else "none", *_machine(config), *_monitor(parts)]
    words += _firmware(parts) if not parts.direct else _kernel(parts.direct)
    # The IOMMU comes first: QEMU asks for it before the devices behind it.
    words += _iommu(config) + _buses(config)
    words += _disks(config, parts) + _console(config, parts) + _network(config) + _screen(config)
    words += ["-audiodev", f"driver=wav,id=sound,path={parts.sound}" if parts.sound
              else "driver=none,id=sound"]
    for blockdevs, device in parts.plugged:
        for blockdev in blockdevs:
            words += ["-blockdev", json.dumps(blockdev)]
        words += ["-device", json.dumps(device)]
    words += _loose_bus() if config.iommu == "partial" else []  # last: devices without a bus would go there
    if parts.incoming:
        words += ["-incoming", "defer"]
    return words


def device(driver, **properties):
    """A device as QEMU's JSON; `_` in names is written `-`, but for the few it spells with `_`."""
    return ["-device", json.dumps({"driver": driver, **properties})]


def behind_iommu(config):
    """Properties of a virtio device, so that its DMA goes through the IOMMU like a real device's."""
    if config.iommu == "none":
        return {}
    return {"iommu_platform": True, "disable-legacy": "on", "disable-modern": False}


def _machine(config):
    accel = "tcg,thread=single" if config.single_thread or config.icount else "tcg,thread=multi"
    words = ["-machine", MACHINE, "-accel", accel, "-cpu", config.model, "-smp", str(config.smp),
             "-m", f"{config.mem}M", "-rtc", "base=utc"]
    if config.mem >= 64 << 10:
        # More than the computer has: memory is taken when it is touched.
        words += ["-object", f"memory-backend-ram,id=ram,size={config.mem}M,reserve=off",
                  "-machine", "memory-backend=ram"]
    if config.icount:
        # Idle time passes at once; else the clock would follow real time while all processors sleep.
        words += ["-icount", "shift=0,sleep=off"]
    return words


def _monitor(parts):
    return ["-chardev", f"socket,id=qmp,fd={parts.qmp_fd}", "-mon", "chardev=qmp,mode=control"]


def _firmware(parts):
    return ["-drive", f"if=pflash,format=raw,readonly=on,file={OVMF_CODE}",
            "-drive", f"if=pflash,format=raw,file={parts.variables}"]


def _kernel(direct):
    kernel, initrd, options = direct
    return ["-kernel", str(kernel), "-initrd", str(initrd), "-append", options]


def _iommu(config):
    if config.iommu in ("intel", "partial"):
        # By default it translates 39 bits, which is 512 GiB.
        return device("intel-iommu", intremap="on", **({"aw-bits": 48} if config.mem >= 500 << 10 else {}))
    return device("amd-iommu", intremap="on") if config.iommu == "amd" else []


def _buses(config):
    words = device("qemu-xhci", id="xhci", p2=15, p3=15, addr="5")
    for number in range(ROOT_PORTS):
        words += device("pcie-root-port", id=f"rp{number}", chassis=number + 1, slot=number + 1,
                        addr=f"{10 + number:x}")
    return words + device("ide-cd", id="cd0", bus="ide.2")


def _loose_bus():
    """With a device whose DMA goes past the IOMMU."""
    return (device("pxb-pcie", id="loose", bus="pcie.0", bus_nr=128, bypass_iommu=True) +
            device("pcie-root-port", id="loose-port", bus="loose", chassis=90, slot=90) +
            device("edu", bus="loose-port", dma_mask=(1 << 64) - 1))


def _disks(config, parts):
    words = []
    for number, (name, blockdev) in enumerate(parts.disks):
        words += _blockdev(blockdev)
        kind = config.disk if number == 0 else "virtio"
        words += disk_device(config, kind, name, 3 if number == 0 else 20 + number)
    if parts.esp:
        words += _blockdev(parts.esp) + device("ide-hd", id="esp", bus="ide.1",
                                               drive=parts.esp["node-name"], bootindex=0)
    return words


def _blockdev(description):
    return ["-blockdev", json.dumps(description)]


def disk_device(config, kind, name, slot):
    """A disk showing block node `name`, at PCI slot `slot` unless it is on the AHCI controller."""
    common = {"id": f"disk-{name}", "drive": name}
    if kind == "ahci":
        return device("ide-hd", bus="ide.0", **common)
    if kind == "nvme":
        return device("nvme", serial=name, addr=f"{slot:x}", **common)
    # blklogwrites adds to each request, and merged ones would become longer than the host takes.
    merging = {"request-merging": False} if name == "data" else {}
    return device("virtio-blk-pci", addr=f"{slot:x}", serial=name, **merging, **behind_iommu(config),
                  **common)


def _console(config, parts):
    words = []
    for number, (name, fd) in enumerate(parts.console_fds.items()):
        words += ["-chardev", f"socket,id=console-{name},fd={fd}"]
        words += device("isa-serial", id=f"serial-{name}", chardev=f"console-{name}", index=number)
    words += ["-chardev", f"socket,id=agent,fd={parts.agent_fd}"]
    words += device("virtio-serial-pci", id="agent-bus", addr="2", **behind_iommu(config))
    return words + device("virtserialport", bus="agent-bus.0", chardev="agent", name=AGENT_PORT)


def _network(config):
    if config.nic == "none":
        return []
    # "restrict": the machine reaches the bench's own DHCP and echo server, and nothing of this computer's.
    words = ["-netdev", f"user,id=net0,restrict=on,guestfwd=tcp:{ECHO_SERVER}-cmd:cat"]
    if config.nic == "usb":
        return words + device("usb-net", id="nic0", netdev="net0", bus="xhci.0", port="15")
    driver = "e1000e" if config.nic == "e1000e" else "virtio-net-pci"
    extra = behind_iommu(config) if config.nic == "virtio" else {}
    return words + device(driver, id="nic0", netdev="net0", addr="4", romfile="", **extra)


def _screen(config):
    if config.screen == "none":
        return []
    extra = behind_iommu(config) if config.screen == "virtio" else {}
    driver = dict(SCREENS[config.screen], id="screen", addr="6", **extra)
    return ["-device", json.dumps(driver)]
