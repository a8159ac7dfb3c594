# SPDX-License-Identifier: GPL-2.0-or-later
"""What a power cut leaves of the data disk: flushed writes always, later ones perhaps, nothing else."""
import json
import subprocess

import pytest

from bench import powercut
from bench.errors import BenchError

SECTOR = 512


def write_log(path, entries, cut=0):
    """entries: (sector, data or None, flags)."""
    data = powercut.SUPER.pack(powercut.MAGIC, powercut.VERSION, len(entries), SECTOR).ljust(SECTOR, b"\0")
    for sector, payload, flags in entries:
        payload = payload or b""
        count = len(payload) // SECTOR
        data += powercut.ENTRY.pack(sector, count, flags, 0).ljust(SECTOR, b"\0") + payload
    path.write_bytes(data[:len(data) - cut])


@pytest.fixture
def disk(tmp_path):
    path = tmp_path / "data.img"
    (tmp_path / "data.img.base").write_bytes(b"o" * 8 * SECTOR)
    return path


def sectors(path):
    return "".join(chr(byte) for byte in path.read_bytes()[::SECTOR])


def test_flushed_writes_survive_and_the_base_is_kept(disk, tmp_path):
    write_log(tmp_path / "log", [(1, b"a" * SECTOR, 0), (2, b"b" * SECTOR, 0), (0, None, powercut.FLUSH)])
    powercut.replay(tmp_path / "log", disk)
    assert sectors(disk) == "oabooooo"
    assert sectors(tmp_path / "data.img.base") == "oooooooo"


def test_unflushed_writes_survive_by_chance_only(disk, tmp_path):
    write_log(tmp_path / "log", [(0, b"a" * SECTOR, 0), (0, None, powercut.FLUSH)] +
              [(number, b"x" * SECTOR, 0) for number in range(1, 8)])
    seen = set()
    for seed in range(40):
        powercut.replay(tmp_path / "log", disk, seed=seed)
        seen.add(sectors(disk))
    assert len(seen) > 20 and all(text[0] == "a" for text in seen)


def test_written_through_counts_as_flushed(disk, tmp_path):
    write_log(tmp_path / "log", [(3, b"f" * SECTOR, powercut.FUA)])
    powercut.replay(tmp_path / "log", disk, seed=1)
    assert sectors(disk) == "ooofoooo"


def test_a_log_that_was_cut_short_ends_at_its_last_whole_entry(disk, tmp_path):
    write_log(tmp_path / "log", [(1, b"a" * SECTOR, powercut.FUA), (2, b"b" * SECTOR, powercut.FUA)], cut=1)
    powercut.replay(tmp_path / "log", disk)
    assert sectors(disk) == "oaoooooo"


def test_an_empty_log_changes_nothing(disk, tmp_path):
    (tmp_path / "log").write_bytes(b"")
    powercut.replay(tmp_path / "log", disk)
    assert sectors(disk) == "oooooooo"


def test_a_damaged_log_is_told(disk, tmp_path):
    (tmp_path / "log").write_bytes(b"\xff" * 4096)
    with pytest.raises(BenchError, match="damaged"):
        powercut.replay(tmp_path / "log", disk)
    assert not disk.exists()


def test_qemus_own_log_is_read(tmp_path):
    """The real writer: qemu-io through blklogwrites."""
    disk, log = tmp_path / "data.img", tmp_path / "log"
    for path in (disk, tmp_path / "data.img.base"):
        path.write_bytes(b"\0" * (1 << 20))
    log.write_bytes(b"")
    raw = {"driver": "raw", "file": {"driver": "file", "filename": str(disk)}}
    options = {"driver": "blklogwrites", "file": raw, "log-sector-size": 512,
               "log": {"driver": "raw", "file": {"driver": "file", "filename": str(log)}}}
    subprocess.run(["qemu-io", "-c", "write -P 0x41 4096 4096", "-c", "flush", "-c",
                    "write -P 0x42 65536 4096", "json:" + json.dumps(options)], check=True,
                   stdout=subprocess.DEVNULL)
    with open(log, "rb") as file:
        kinds = [(start, length, bool(flags & powercut.FLUSH))
                 for start, length, flags, _ in powercut.entries(file)]
    assert (4096, 4096, False) in kinds and (65536, 4096, False) in kinds
    powercut.replay(log, disk, seed=0)
    assert disk.read_bytes()[4096:8192] == b"A" * 4096
