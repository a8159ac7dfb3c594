# SPDX-License-Identifier: GPL-2.0-or-later
"""A real power cut for the data disk: what was written but not flushed is lost, wholly or in part.

While the machine runs, QEMU's blklogwrites driver logs every write and flush (the format of Linux's
dm-log-writes). After the cut the disk is made anew: all writes up to the last flush, and of the later
ones an arbitrary half, as a disk with a volatile cache may leave it. A log that was cut short ends
at its last whole entry.
"""
import os
import random
import struct

from bench.errors import BenchError
from bench.files import copy_sparse

MAGIC, VERSION = 0x6A736677736872, 1
FLUSH, FUA, DISCARD = 1, 2, 4
SUPER = struct.Struct("<QQQI")
ENTRY = struct.Struct("<QQQQ")


def entries(log):
    """(sector, number of sectors, flags, place of the data in the file) of each whole entry; first yields
    nothing but checks the head. `log`: a file opened for reading bytes."""
    size = os.fstat(log.fileno()).st_size
    head = log.read(SUPER.size)
    if len(head) < SUPER.size:
        return
    magic, version, _, sector_size = SUPER.unpack(head)
    if magic != MAGIC or version != VERSION or sector_size not in (512, 4096):
        raise BenchError("The log of the data disk is damaged.", "Its head is not a write log's.")
    at = sector_size
    while at + sector_size <= size:
        log.seek(at)
        sector, count, flags, _ = ENTRY.unpack(log.read(ENTRY.size))
        if count == 0 and flags == 0:
            return
        data = at + sector_size
        length = 0 if flags & DISCARD else count * sector_size
        if data + length > size:
            return
        yield sector * sector_size, count * sector_size, flags, data
        at = data + length


def surviving(log, chance):
    """The entries that reached the disk, in order: all up to the last flush; later ones when chance()
    is true, or when they were written through (FUA)."""
    found = list(entries(log))
    last = max((number for number, entry in enumerate(found) if entry[2] & FLUSH), default=-1)
    return [entry for number, entry in enumerate(found)
            if number <= last or entry[2] & FUA or chance()]


def replay(log_path, disk_path, note=lambda text: None, seed=None):
    """Makes the disk at `disk_path` what the power cut left, from DISK.base (its state at power-on) and
    the log. `seed` chooses among the unflushed writes; it is noted, to repeat a failure."""
    seed = random.randrange(1 << 32) if seed is None else seed
    chance = random.Random(seed)
    part = f"{disk_path}.part"
    copy_sparse(f"{disk_path}.base", part)
    with open(log_path, "rb") as log, open(part, "r+b") as disk:
        kept = surviving(log, lambda: chance.random() < 0.5)
        for start, length, flags, data in kept:
            if length and not flags & DISCARD:
                log.seek(data)
                disk.seek(start)
                disk.write(log.read(length))
        log.seek(0)
        total = sum(1 for _ in entries(log))
    os.replace(part, disk_path)
    note(f"data disk after the power cut: {len(kept)} of {total} writes survived (seed {seed})")
