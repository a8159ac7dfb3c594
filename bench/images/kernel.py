# SPDX-License-Identifier: GPL-2.0-or-later
"""The ELF kernel inside a bzImage: QEMU starts it through its PVH entry, without the ten seconds
that an emulated processor needs to unpack it."""
import lzma
import struct

from bench.errors import BenchError

# Offsets from Linux's boot protocol (Documentation/x86/boot.rst).
SETUP_SECTORS, MAGIC, PAYLOAD_OFFSET, PAYLOAD_LENGTH = 0x1F1, 0x202, 0x248, 0x24C


def extract_elf(bzimage):
    """The bytes of the ELF file in the bytes of a bzImage packed with xz; BenchError when that is
    not what it is."""
    try:
        packed = _payload(bzimage)
        elf = lzma.LZMADecompressor(lzma.FORMAT_XZ).decompress(packed)
    except (struct.error, IndexError, lzma.LZMAError) as error:
        raise BenchError("Debian's kernel is not packed as expected.", str(error)) from error
    if elf[:4] != b"\x7fELF":
        raise BenchError("Debian's kernel is not packed as expected.",
                         "There is no ELF file in it.")
    return elf


def _payload(bzimage):
    if bzimage[MAGIC:MAGIC + 4] != b"HdrS":
        raise BenchError("Debian's kernel is not packed as expected.", "It is not a bzImage.")
    start = ((bzimage[SETUP_SECTORS] or 4) + 1) * 512 + struct.unpack_from("<I", bzimage,
                                                                           PAYLOAD_OFFSET)[0]
    return bzimage[start:start + struct.unpack_from("<I", bzimage, PAYLOAD_LENGTH)[0]]


def copy_kernels(boot, version, out):
    """vmlinuz, and vmlinux from it, from the folder `boot` into the folder `out`."""
    bzimage = (boot / f"vmlinuz-{version}").read_bytes()
    (out / "vmlinuz").write_bytes(bzimage)
    (out / "vmlinux").write_bytes(extract_elf(bzimage))
