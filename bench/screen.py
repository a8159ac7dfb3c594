# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures of screens: read as PPM, looked at by tests, written as PNG for people."""
import re
import struct
import zlib
from dataclasses import dataclass

from bench.errors import BenchError


@dataclass(frozen=True)
class Picture:
    """`rgb`: 3 bytes a pixel, rows from the top."""
    width: int
    height: int
    rgb: bytes

    def pixel(self, x, y):
        start = 3 * (y * self.width + x)
        return tuple(self.rgb[start:start + 3])

    def share(self, colour, tolerance=8):
        """How much of the picture (0 to 1) has about this colour; looks at every 16th pixel."""
        step = 3 * 16
        near = sum(1 for at in range(0, len(self.rgb) - 2, step)
                   if all(abs(self.rgb[at + i] - colour[i]) <= tolerance for i in range(3)))
        return near / max(1, len(range(0, len(self.rgb) - 2, step)))

    def colours(self):
        """The number of different colours among every 16th pixel."""
        return len({self.rgb[at:at + 3] for at in range(0, len(self.rgb) - 2, 48)})

    def png(self):
        rows = b"".join(b"\0" + self.rgb[y * self.width * 3:(y + 1) * self.width * 3]
                        for y in range(self.height))
        return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", struct.pack(
            ">IIBBBBB", self.width, self.height, 8, 2, 0, 0, 0)) + _chunk(
            b"IDAT", zlib.compress(rows, 1)) + _chunk(b"IEND", b"")


def _chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def parse_ppm(data):
    """A binary PPM (P6, 8 bits). BenchError when it is something else or cut short."""
    match = re.match(rb"P6\s+(?:#[^\n]*\n\s*)*(\d{1,5})\s+(\d{1,5})\s+255\s", data)
    if not match:
        raise BenchError("The screenshot is no PPM picture.")
    width, height = int(match[1]), int(match[2])
    rgb = data[match.end():match.end() + 3 * width * height]
    if len(rgb) != 3 * width * height or not rgb:
        raise BenchError("The screenshot is cut short.")
    return Picture(width, height, rgb)
