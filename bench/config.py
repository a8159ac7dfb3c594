# SPDX-License-Identifier: GPL-2.0-or-later
"""What machine to boot: one frozen description, checked when it is made."""
import dataclasses
import hashlib
import json
import re
from dataclasses import dataclass

from bench.errors import BenchError

CHOICES = {
    "hypervisor": ("none", "xen", "bulkhead"),
    "cpu": ("amd", "intel"),
    "iommu": ("amd", "intel", "partial", "none"),
    "disk": ("ahci", "nvme", "virtio"),
    "nic": ("e1000e", "virtio", "usb", "none"),
    "screen": ("std", "qxl", "virtio", "none"),
    "boot": ("auto", "direct", "efi"),
}
# What QEMU loads itself, without firmware's waiting: Linux by PVH, Xen by Multiboot.
DIRECT = ("none", "xen")
UNITS = {"": 1, "M": 1, "G": 1 << 10, "T": 1 << 20}
# The flags without which Xen 4.17 boots on QEMU 7.2's TCG; the same everywhere, to compare like with like.
AMD_MODEL = "EPYC-Rome,+svm,+npt,-xsave,-monitor,-rdtscp"
INTEL_MODEL = "corei7_haswell_4770"


def parse_size(text):
    """'1536M', '6G', '16T' (or plain MiB) in MiB."""
    match = re.fullmatch(r"(\d+)([MGT]?)(?:i?B)?", text.strip(), re.IGNORECASE)
    if not match or int(match[1]) == 0:
        raise BenchError(f"'{text}' is not a size.", "", "Write it like 1536M, 6G or 1T.")
    return int(match[1]) * UNITS[match[2].upper()]


@dataclass(frozen=True)
class Config:
    """`mem` is in MiB, `smp` the number of processors; 0 is a sensible one.

    `iommu` 'auto' is what the hypervisor needs: VT-d for Xen (QEMU's AMD-Vi cannot be
    saved in a snapshot), none without a hypervisor; 'partial' is VT-d but for one bus, on which is QEMU's
    edu device. `disks` are names of cached images attached as further disks, copy-on-write; `data` is the
    size in MiB of an empty data disk, kept in a power cut's sense: what the machine did not flush is lost
    (see powercut.py). `program` is an ELF with a PVH note
    that Bulkhead's hypervisor runs as control domain instead of Debian; no agent answers in it."""
    hypervisor: str = "none"
    cpu: str = "amd"
    cpu_model: str = ""
    iommu: str = "auto"
    smp: int = 0
    mem: int = 0
    icount: bool = False
    single_thread: bool = False
    disk: str = "ahci"
    nic: str = "none"
    screen: str = "std"
    usb: tuple = ()
    boot: str = "auto"
    image: str = "control-domain"
    disks: tuple = ()
    data: int = 0
    stage: bool = True
    kernel_options: str = ""
    hypervisor_options: str = ""
    loader: str = ""
    program: str = ""
    window: bool = False

    def __post_init__(self):
        defaults = {"iommu": "intel" if self.hypervisor != "none" else "none",
                    "boot": "direct" if self.hypervisor in DIRECT and self.cpu == "amd" else "efi"}
        for name, value in defaults.items():
            if getattr(self, name) == "auto":
                object.__setattr__(self, name, value)
        if not self.mem:
            object.__setattr__(self, "mem", 2048 if self.hypervisor == "none" else 4096)
        if not self.smp:
            object.__setattr__(self, "smp", 2 if self.cpu == "amd" else 1)
        for name in ("usb", "disks"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        self._check()

    def _check(self):
        for name, choices in CHOICES.items():
            if getattr(self, name) not in choices:
                raise BenchError(f"There is no {name} '{getattr(self, name)}' on the bench.", "",
                                 f"Choose one of: {', '.join(choices)}.")
        if not 1 <= self.smp <= 255:
            raise BenchError(f"The bench cannot have {self.smp} processors.", "", "Choose 1 to 255.")
        if self.mem < 64:
            raise BenchError(f"{self.mem} MiB of memory is too little.", "", "Write sizes like 2G.")
        if self.hypervisor not in DIRECT and self.boot == "direct":
            raise BenchError(f"{self.hypervisor} is booted by EFI, not directly.", "", "Use --boot efi.")
        if self.loader and self.boot == "direct":
            raise BenchError("A loader is started by EFI.", "", "Use --boot efi.")
        if self.program and self.hypervisor != "bulkhead":
            raise BenchError(f"Hypervisor {self.hypervisor} is not given a program.", "", "Use --hypervisor bulkhead.")
        if self.cpu == "intel":
            self._check_intel()

    def _check_intel(self):
        """Bochs, the Intel bench, has none of these."""
        lacks = [("icount", self.icount), ("second processor", self.smp > 1), ("an IOMMU", self.iommu != "none"),
                 ("--boot direct", self.boot == "direct"), ("a data disk with power cuts", self.data),
                 (f"a {self.disk} disk", self.disk in ("nvme", "virtio")),
                 ("a window of its own here", self.window)]
        for what, wanted in lacks:
            if wanted:
                raise BenchError(f"The Intel bench has no {what}.",
                                 "It is Bochs: an i440FX PC with IDE disks.", "Use --cpu amd for that.")

    @property
    def model(self):
        """The processor model given to the emulator."""
        return self.cpu_model or (AMD_MODEL if self.cpu == "amd" else INTEL_MODEL)

    @property
    def virtio_agent(self):
        """Whether the control domain's agent has a virtio port; else it is on the second serial."""
        return self.cpu == "amd"

    def as_dict(self):
        return dataclasses.asdict(self)

    @classmethod
    def from_dict(cls, values):
        return cls(**values)

    def replace(self, **values):
        return dataclasses.replace(self, **values)

    def hash(self):
        """Names the description, for the cache of snapshots."""
        return hashlib.sha256(json.dumps(self.as_dict(), sort_keys=True).encode()).hexdigest()[:16]
