# SPDX-License-Identifier: GPL-2.0-or-later
"""An EFI program that starts Linux from an unpacked kernel, for emulators so slow that unpacking a
bzImage takes a minute: efi_linux.c, with the ELF file's segments, the initrd and the options behind it.
"""
import functools
import struct
import tempfile
from pathlib import Path

from bench.errors import BenchError
from bench.files import tool

HERE = Path(__file__).resolve().parent
PAGE = 4096
MAX_SEGMENTS = 8
PLAN = 7 * 8 + MAX_SEGMENTS * 32  # struct plan in efi_linux.c
LOAD = 1
MACHINE_X86_64, EFI_APPLICATION = 0x8664, 10
FLAGS = ["-std=gnu11", "-O2", "-m64", "-ffreestanding", "-fpie", "-fvisibility=hidden", "-nostdlib",
         "-static", "-mno-red-zone", "-mgeneral-regs-only", "-fno-stack-protector",
         "-fcf-protection=none", "-fno-tree-loop-distribute-patterns", "-ffunction-sections",
         "-fno-asynchronous-unwind-tables", "-Wl,--build-id=none,-z,noexecstack,--no-warn-rwx-segments"]


def make(elf, initrd, options):
    """The EFI program's bytes, from those of a vmlinux and of an initrd, and a kernel command line."""
    return wrap(loader_code(), elf, initrd, options)


@functools.cache
def loader_code():
    """efi_linux.c as machine code without a header, up to the plan."""
    with tempfile.TemporaryDirectory() as folder:
        elf, code = f"{folder}/loader.elf", f"{folder}/loader.bin"
        tool(["gcc", *FLAGS, f"-Wl,-T,{HERE}/efi_linux.lds", "-o", elf, str(HERE / "efi_linux.c")],
             "build the kernel's loader", "gcc")
        tool(["objcopy", "-O", "binary", "-j", ".text", "-j", ".rodata", "-j", ".plan", elf, code],
             "build the kernel's loader", "binutils")
        return Path(code).read_bytes()[:-8]  # the plan's place is marked by 8 bytes


def wrap(code, elf, initrd, options):
    """`code` with a plan of the segments, and all that the plan points at, as a PE file."""
    entry, segments = read_elf(elf)
    body = bytearray(code) + bytes(PLAN)

    def add(content):
        body.extend(bytes(-len(body) % PAGE))
        body.extend(content)
        return len(body) - len(content)

    options_place = add(options.encode() + b"\0")
    table = [(address, memory, add(content), len(content)) for address, memory, content in segments]
    initrd_place = add(initrd)
    low = min(address for address, *_ in table)
    high = max(address + memory for address, memory, *_ in table)
    plan = struct.pack("<7Q", options_place, initrd_place, len(initrd), low, high, entry, len(table))
    plan += b"".join(struct.pack("<4Q", *segment) for segment in table)
    body[len(code):len(code) + len(plan)] = plan
    body.extend(bytes(-len(body) % PAGE))
    return _pe_header(len(body)) + bytes(body)


def read_elf(elf):
    """The entry and (physical address, size in memory, content) of each segment of a vmlinux."""
    try:
        if elf[:5] != b"\x7fELF\x02":
            raise ValueError("It is not a 64-bit ELF file.")
        entry, start = struct.unpack_from("<QQ", elf, 24)
        count, = struct.unpack_from("<H", elf, 56)
        found = []
        for number in range(count):
            kind, _, place, _, address, size, memory, _ = struct.unpack_from("<IIQQQQQQ", elf, start + 56 * number)
            if kind == LOAD:
                if place + size > len(elf) or size > memory:
                    raise ValueError("It is cut short.")
                found.append((address, memory, elf[place:place + size].rstrip(b"\0")))
        if not 0 < len(found) <= MAX_SEGMENTS:
            raise ValueError(f"It has {len(found)} segments.")
    except (struct.error, ValueError) as error:
        raise BenchError("The unpacked kernel cannot be used.", str(error), "Build the image again.") from error
    return entry, found


def _pe_header(size):
    """One section with everything, loaded one page behind the header. It needs no relocation."""
    optional = struct.pack("<HBBIIIII", 0x20B, 0, 0, size, 0, 0, PAGE, PAGE)
    optional += struct.pack("<QIIHHHHHHIIIIHHQQQQII", 0, PAGE, 512, 0, 0, 0, 0, 0, 0, 0, PAGE + size,
                            PAGE, 0, EFI_APPLICATION, 0, 0, 0, 0, 0, 0, 16) + bytes(16 * 8)
    executable_large_addresses = 0x22
    header = b"MZ" + bytes(58) + struct.pack("<I", 64) + b"PE\0\0"
    header += struct.pack("<HHIIIHH", MACHINE_X86_64, 1, 0, 0, 0, len(optional), executable_large_addresses)
    code_read_write_execute = 0xE0000020
    header += optional + struct.pack("<8sIIIIIIHHI", b".text", size, PAGE, size, PAGE, 0, 0, 0, 0,
                                     code_read_write_execute)
    return header.ljust(PAGE, b"\0")
