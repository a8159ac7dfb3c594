# SPDX-License-Identifier: GPL-2.0-or-later
"""What each hypervisor's ESP holds, and the options its control domain is started with."""
import os
from pathlib import Path

from bench import efi_linux, staging
from bench.errors import BenchError

ROOT = "root=LABEL=control-domain rw mitigations=off"
XEN_OPTIONS = ("console=com1 com1=115200,8n1 dom0=pvh iommu=verbose loglvl=all guest_loglvl=all "
               "sched=credit2")
LOADER_PLACE = "EFI/BOOT/BOOTX64.EFI"


def kernel_options(config):
    """The control domain's kernel command line."""
    console = "console=ttyS0" if config.hypervisor == "none" else "console=hvc0"
    agent = "" if config.virtio_agent else "bench.agent=ttyS1"
    return " ".join(filter(None, (ROOT, console, agent, config.kernel_options)))


def control_domain_memory(config):
    """MiB for the control domain: half of the machine, the rest is for guests."""
    return config.mem // 2


def esp_files(config, image):
    """{path on the ESP: local path or bytes} for `config.hypervisor`, with the control domain of `image`
    (an images.Image)."""
    if config.loader:
        return _own_loader(config, image)
    return {"none": _no_hypervisor, "xen": _xen, "bulkhead": _bulkhead}[config.hypervisor](config, image)


def _kernel_and_initrd(image):
    return {"vmlinuz": image.folder / "vmlinuz", "initrd.img": image.folder / "initrd.img"}


def _own_loader(config, image):
    """Any loader, beside the control domain's kernel and initrd."""
    if not os.path.isfile(config.loader):
        raise BenchError(f"The loader {config.loader} does not exist.", "", "Check the name.")
    return {LOADER_PLACE: Path(config.loader), **_kernel_and_initrd(image)}


def _no_hypervisor(config, image):
    kernel, initrd = ((image.folder / name).read_bytes() for name in ("vmlinux", "initrd.img"))
    return {LOADER_PLACE: efi_linux.make(kernel, initrd, kernel_options(config))}


def xen_options(config):
    """Xen's command line."""
    # Xen would let VT-d walk the processor's own tables, and these are AMD's here.
    separate = "iommu=no-sharept" if config.iommu == "intel" else ""
    return " ".join(filter(None, (XEN_OPTIONS, separate, f"dom0_mem={control_domain_memory(config)}M",
                                  config.hypervisor_options)))


def _xen(config, image):
    text = (f"[global]\ndefault=control\n[control]\noptions={xen_options(config)}\n"
            f"kernel=vmlinuz {kernel_options(config)}\nramdisk=initrd.img\n")
    folder = "EFI/BOOT/"
    files = {folder + name: path for name, path in _kernel_and_initrd(image).items()}
    return {LOADER_PLACE: image.folder / "xen.efi", folder + "BOOTX64.cfg": text.encode(), **files}


def direct(config, image):
    """What QEMU loads itself: (kernel, its modules, its command line)."""
    # Linux is unpacked, so that the machine need not do it.
    linux, initrd, options = image.folder / "vmlinux", image.folder / "initrd.img", kernel_options(config)
    if config.hypervisor == "none":
        return linux, str(initrd), options
    # QEMU takes a comma for the end of a module, and doubled for itself.
    module = f"{linux} {options}".replace(",", ",,")
    return image.folder / "xen", f"{module},{initrd}", xen_options(config)


def _bulkhead(config, image):
    loader = staging.build_folder() / "efi/bulkhead.efi"
    if not loader.exists():
        raise BenchError("Bulkhead's hypervisor is not built.", f"There is no {loader}.",
                         f"Build it:  ninja -C {loader.parent.parent}\n(or give any loader with --loader).")
    files = {"kernel": Path(config.program)} if config.program else \
        {"kernel": image.folder / "vmlinux", "initrd": image.folder / "initrd.img"}
    lines = ["[control]", *(f"{key} = {path.name}" for key, path in files.items()),
             f"options = {config.kernel_options if config.program else kernel_options(config)}",
             f"dom0_mem = {control_domain_memory(config)}M", "console = com1"]
    if config.hypervisor_options:
        lines.append(f"hypervisor = {config.hypervisor_options}")
    folder = "EFI/BOOT/"
    return {LOADER_PLACE: loader, folder + "bulkhead.conf": "\n".join([*lines, ""]).encode(),
            **{folder + path.name: path for path in files.values()}}
