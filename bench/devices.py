# SPDX-License-Identifier: GPL-2.0-or-later
"""Devices that can be plugged into the running AMD bench: their description for QEMU. Pure.

    storage   USB stick            image=FILE (changed in place) or size=MiB; serial=, readonly=
    keyboard, mouse, tablet        USB
    audio     USB sound card       what it plays is in the run folder's sound.wav
    serial    USB serial adapter   its other end becomes a console named as the device
    hub       USB hub              plug behind it with port "1.2"
    net       USB network adapter  no network behind it
    disk      virtio disk          image=FILE or size=MiB (on a PCI root port)
    pci       any PCI device       device=NAME, such as edu or e1000e (on a PCI root port); other options
                                   are its properties, such as dma_mask=0xffffffff of edu
"""
from dataclasses import dataclass, field

from bench.errors import BenchError
from bench.qemu_command import ROOT_PORTS, behind_iommu

USB = {"storage": "usb-storage", "keyboard": "usb-kbd", "mouse": "usb-mouse", "tablet": "usb-tablet",
       "audio": "usb-audio", "serial": "usb-serial", "hub": "usb-hub", "net": "usb-net"}
KINDS = (*USB, "disk", "pci")
USB_PORTS = 14  # the 15th is the network adapter's, see qemu_command
OPTIONS = {"storage": {"image", "size", "serial", "readonly"}, "disk": {"image", "size"},
           "keyboard": {"serial"}, "mouse": {"serial"}, "tablet": {"serial"},
           "audio": {"serial"}, "serial": {"serial"}, "hub": {"serial"}, "net": set()}


@dataclass
class Plug:
    """A device on its way in: what QEMU must add first, and the device. `image` is the file of a
    storage device, or None with the `size` in MiB of an empty one to be made."""
    kind: str
    id: str
    device: dict
    blockdevs: list = field(default_factory=list)
    image: str = None
    size: int = 0

    @property
    def is_usb(self):
        return self.kind in USB


def describe(config, kind, id, port, options, taken):
    """A Plug. `taken`: the Plugs already there, for free ports and names. BenchError for what the bench
    does not have, a port in use, or an option the device has not."""
    if kind not in KINDS:
        raise BenchError(f"The bench has no device '{kind}'.", "", f"There are: {', '.join(KINDS)}.")
    wrong = set(options) - OPTIONS.get(kind, set(options))
    if wrong:
        raise BenchError(f"A {kind} device has no option '{sorted(wrong)[0]}'.", "",
                         f"It has: {', '.join(sorted(OPTIONS[kind])) or 'none'}.")
    if any(plug.id == id for plug in taken):
        raise BenchError(f"There is a device '{id}' already.", "", "Choose another id, or unplug it.")
    if kind in USB:
        return _usb(kind, id, port, options, taken)
    return _pci(config, kind, id, port, options, taken)


def _usb(kind, id, port, options, taken):
    device = {"driver": USB[kind], "id": id, "bus": "xhci.0",
              "port": _free_port(port, [plug.device["port"] for plug in taken if plug.is_usb])}
    if "serial" in options:
        device["serial"] = str(options["serial"])
    plug = Plug(kind, id, device)
    if kind == "storage":
        _add_image(plug, options)
        device["drive"] = f"drive-{id}"
    elif kind == "audio":
        device["audiodev"] = "sound"
    elif kind == "serial":
        device["chardev"] = f"console-{id}"
    return plug


def _free_port(port, used):
    if port is not None:
        if str(port) in used:
            raise BenchError(f"USB port {port} is taken.", "", "Unplug that device, or use another port.")
        return str(port)
    for number in range(1, USB_PORTS + 1):
        if str(number) not in used:
            return str(number)
    raise BenchError(f"All {USB_PORTS} USB ports are taken.", "", "Plug a hub and use its ports.")


def _pci(config, kind, id, port, options, taken):
    used = [plug.device["bus"] for plug in taken if not plug.is_usb]
    names = [f"rp{port}"] if port is not None else [f"rp{number}" for number in range(ROOT_PORTS)]
    free = [name for name in names if name not in used]
    if not free or (port is not None and str(port) not in map(str, range(ROOT_PORTS))):
        raise BenchError(f"No free PCI slot{'' if port is None else f' {port}'}.", "",
                         f"There are {ROOT_PORTS}, numbered from 0; unplug a device first.")
    if kind == "disk":
        plug = Plug(kind, id, {"driver": "virtio-blk-pci", "id": id, "bus": free[0],
                               "drive": f"drive-{id}", "serial": id, **behind_iommu(config)})
        _add_image(plug, options)
        return plug
    if not options.get("device"):
        raise BenchError("Which PCI device?", "", "Name it: device=edu, device=e1000e, ...")
    properties = {name: _number(value) for name, value in options.items() if name != "device"}
    return Plug(kind, id, {"driver": options["device"], "id": id, "bus": free[0], **properties})


def _number(text):
    """QEMU wants numbers as such."""
    try:
        return int(text, 0)
    except (TypeError, ValueError):
        return text


def _add_image(plug, options):
    try:
        plug.size = int(options.get("size", 64))
    except ValueError:
        raise BenchError(f"'{options['size']}' is no size in MiB.")
    plug.image = options.get("image")
    plug.blockdevs.append({"driver": "raw", "node-name": f"drive-{plug.id}",
                           "read-only": str(options.get("readonly", "")).lower() in ("1", "true", "yes"),
                           "file": {"driver": "file", "filename": plug.image}})
