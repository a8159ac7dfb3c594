# SPDX-License-Identifier: GPL-2.0-or-later
"""Runs inside the machine, as root, fed to python3: has QEMU's `edu` device do DMA, as a device gone bad would.

    python3 - own             to and from a page of this program: prints "works" if the bytes arrive
    python3 - write ADDRESS [VALUE]      4 bytes from the device to memory
    python3 - read ADDRESS    from memory to the device: prints the 8 bytes the device then holds
"""
import ctypes
import glob
import mmap
import os
import struct
import sys

SOURCE, TARGET, COUNT, COMMAND = 0x80, 0x88, 0x90, 0x98
START, TO_MEMORY, INSIDE = 1, 2, 0x40000


def edu():
    """Its registers, with memory decoding and bus mastering on."""
    for vendor in glob.glob("/sys/bus/pci/devices/*/vendor"):
        folder = os.path.dirname(vendor)
        if open(vendor).read().strip() == "0x1234" and open(folder + "/device").read().strip() == "0x11e8":
            with open(folder + "/config", "r+b", buffering=0) as config:
                config.seek(4)
                config.write(struct.pack("<H", 6))
            file = os.open(folder + "/resource0", os.O_RDWR | os.O_SYNC)
            return mmap.mmap(file, 0x1000)
    sys.exit("There is no edu device.")


REGISTERS = edu()


def register(offset):
    return ctypes.c_uint32.from_buffer(REGISTERS, offset)


def transfer(address, count, to_memory):
    outside, inside = (TARGET, SOURCE) if to_memory else (SOURCE, TARGET)
    # 64-bit registers: the device takes them in one piece only.
    ctypes.c_uint64.from_buffer(REGISTERS, outside).value = address
    ctypes.c_uint64.from_buffer(REGISTERS, inside).value = INSIDE
    ctypes.c_uint64.from_buffer(REGISTERS, COUNT).value = count
    ctypes.c_uint64.from_buffer(REGISTERS, COMMAND).value = START | (TO_MEMORY if to_memory else 0)
    while register(COMMAND).value & START:
        pass


class Page:
    """Of this program, and where devices find it: control domains have their memory one to one."""

    def __init__(self):
        self.bytes = mmap.mmap(-1, mmap.PAGESIZE)
        self.bytes[:8] = bytes(8)
        place = ctypes.addressof(ctypes.c_char.from_buffer(self.bytes))
        assert ctypes.CDLL(None).mlock(ctypes.c_void_p(place), mmap.PAGESIZE) == 0
        with open("/proc/self/pagemap", "rb") as pagemap:
            pagemap.seek(place // mmap.PAGESIZE * 8)
            entry = struct.unpack("<Q", pagemap.read(8))[0]
        self.address = (entry & (1 << 55) - 1) * mmap.PAGESIZE


def main(what, address="0", value="0x5a5a5a5a"):
    page, address = Page(), int(address, 0)
    page.bytes[:4] = struct.pack("<I", int(value, 0))
    transfer(page.address, 8, False)
    if what == "write":
        transfer(address, 4, True)
        return
    if what == "read":
        transfer(address, 8, False)
    page.bytes[:8] = b"\xee" * 8
    transfer(page.address, 8, True)
    held = struct.unpack("<Q", page.bytes[:8])[0]
    if what == "own":
        assert held == int(value, 0), hex(held)
        print("works")
    else:
        print(hex(held))


main(*sys.argv[1:])
