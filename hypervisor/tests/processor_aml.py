# SPDX-License-Identifier: GPL-2.0-or-later
"""What firmware tells of a processor's frequencies and idle states, which QEMU's does not: a table of definitions (ACPI 6.4,
chapters 8.4 and 20.2) for QEMU's -acpitable."""
import struct

FREQUENCIES = (2400, 1800, 1200)  # MHz
IDLE_STATES = 2  # halt, and one behind an I/O port
FIXED_HARDWARE, PORT = 0x7F, 1


def table(processors):
    """The bytes behind the header, for QEMU's names of processors."""
    return b"".join(_scope(number) for number in range(processors))


def _scope(number):
    states = [_package(*map(_number, (mhz, 10000, 10, 10, place, place))) for place, mhz in enumerate(FREQUENCIES)]
    idle = [_package(_register(FIXED_HARDWARE, 0), *map(_number, (1, 1, 1000))),
            _package(_register(PORT, 0x414), *map(_number, (2, 50, 500)))]
    named = {b"_PCT": _package(_register(FIXED_HARDWARE, 0), _register(FIXED_HARDWARE, 0)), b"_PPC": _number(0),
             b"_PSS": _package(*states), b"_CST": _package(_number(IDLE_STATES), *idle)}
    body = b"".join(b"\x08" + name + value for name, value in named.items())
    return b"\x10" + _counted(b"\\\x2f\x03_SB_CPUSC%03X" % number + body)


def _number(value):
    return b"\x0c" + struct.pack("<I", value)


def _package(*elements):
    return b"\x12" + _counted(bytes([len(elements)]) + b"".join(elements))


def _register(space, address):
    """A buffer with one generic register and the end of a resource template."""
    resource = struct.pack("<BHBBBBQ", 0x82, 12, space, 8, 0, 1, address) + b"\x79\x00"
    return b"\x11" + _counted(_number(len(resource)) + resource)


def _counted(body):
    """The body behind its length, which counts itself: two bytes, four bits of it in the first."""
    length = len(body) + 2
    return bytes([0x40 | length & 15, length >> 4]) + body
