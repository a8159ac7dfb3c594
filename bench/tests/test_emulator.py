# SPDX-License-Identifier: GPL-2.0-or-later
"""The mended copy of QEMU: two instructions differ, and only where they are known."""
import shutil
import subprocess
from pathlib import Path

import pytest

from bench import emulator

VECTOR = (bytes.fromhex("410fb6f4 4489ab80330000"), bytes.fromhex("89b354efffff"),
          bytes.fromhex("c7838433000000000000 48c78388330000ffffffff"))
IGNNE = (bytes.fromhex("e876e11a00"), bytes.fromhex("81a0641400007fffffff"), bytes.fromhex("4883c408c3"))
KNOWN = b"before" + b"".join(VECTOR) + b"between" + b"".join(IGNNE) + b"after"


def test_the_stores_become_nops():
    mended = emulator.mend(KNOWN)
    assert mended == KNOWN.replace(VECTOR[1], emulator.NOPS[6]).replace(IGNNE[1], emulator.NOPS[10])
    assert emulator.mend(mended) is None


@pytest.mark.parametrize("program", [b"", b"something else", KNOWN + KNOWN, KNOWN.replace(b"\x41\x0f", b"\x41\x0e"),
                                     KNOWN.replace(IGNNE[1], b"\xf0" + IGNNE[1]), KNOWN + b"".join(IGNNE)])
def test_what_is_not_known_stays_as_it_is(program):
    assert emulator.mend(program) is None


def test_the_installed_one_is_mended_and_runs():
    """Debian 12's QEMU 7.2; with another this says that the fix must be looked at."""
    original = Path(shutil.which(emulator.PROGRAM)).read_bytes()
    mended = Path(emulator.command()[0]).read_bytes()
    assert len(original) == len(mended)
    assert sum(a != b for a, b in zip(original, mended)) <= 6 + 10
    assert emulator.mend(mended) is None
    done = subprocess.run([*emulator.command(), "--version"], env=emulator.environment(), capture_output=True)
    assert done.returncode == 0 and b"version 7.2" in done.stdout
