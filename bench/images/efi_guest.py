# SPDX-License-Identifier: GPL-2.0-or-later
"""The EFI guest: disk.qcow2 with a GPT, an EFI partition that boots the tiny guest, and an ext4
partition "guest-data"."""
from bench.images import cache, esp, filesystem

NEEDS = ("tiny-guest",)
# Quiet: under Xen each character on an emulated serial port is half a million instructions.
COMMAND_LINE = b"console=tty0 console=ttyS0 mitigations=off quiet"
DATA_MIB = 64
# The stub wants the sections behind its own, in this order, each at a page.
FIRST_ADDRESS = 0x30000


def files(_name):
    return ["esp.py"]


def build(job):
    tiny = cache.get("tiny-guest")
    job.step("Joining kernel and initrd to one EFI program")
    program = job.work / "linux.efi"
    _join(job, tiny, program)
    job.step("Making the partitions")
    esp_image, data_image = job.work / "esp.img", job.work / "data.img"
    esp.make(esp_image, {esp.LOADER: program})
    content = job.work / "content"
    content.mkdir()
    (content / "HELLO").write_text("This file is on the partition guest-data.\n", encoding="ascii")
    filesystem.make_ext4(job, content, data_image, "guest-data", DATA_MIB)
    raw = job.work / "disk.raw"
    _partition(job, raw, [("uefi", "EFI", esp_image), ("linux", "guest-data", data_image)])
    filesystem.make_qcow2(job, raw, job.out / "disk.qcow2")


def _join(job, tiny, program):
    """A unified kernel image, from systemd's stub."""
    line = job.work / "cmdline"
    line.write_bytes(COMMAND_LINE + b"\0")
    release = job.work / "os-release"
    release.write_bytes(b'ID=tiny-guest\nPRETTY_NAME="Tiny guest"\n\0')
    options, address = [], FIRST_ADDRESS
    for section, file in ((".osrel", release), (".cmdline", line), (".linux", tiny.file("vmlinuz")),
                          (".initrd", tiny.file("initrd.img"))):
        options += ["--add-section", f"{section}={file}", "--change-section-vma",
                    f"{section}={address:#x}"]
        address += -(-file.stat().st_size // 4096) * 4096
    job.run("objcopy", *options, tiny.file("linuxx64.efi.stub"), program)


def _partition(job, raw, partitions):
    """A GPT with the images as partitions, each at a whole MiB."""
    start, lines = 1, ["label: gpt"]
    for kind, name, image in partitions:
        size = image.stat().st_size >> 20
        lines.append(f"start={start}MiB, size={size}MiB, type={kind}, name={name}")
        start += size
    with open(raw, "wb") as file:
        file.truncate((start + 1) << 20)
    script = job.work / "partitions"
    script.write_text("\n".join(lines) + "\n", encoding="ascii")
    job.run("sh", "-c", 'sfdisk --quiet "$1" <"$2"', "sh", raw, script)
    start = 1
    for _kind, _name, image in partitions:
        job.run("dd", f"if={image}", f"of={raw}", "bs=1M", f"seek={start}", "conv=notrunc,sparse",
                "status=none")
        start += image.stat().st_size >> 20
