# SPDX-License-Identifier: GPL-2.0-or-later
"""Where the loader under test is, and the kernel it starts."""
import os
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parents[1])]

from bench import images  # noqa: E402
from bench.testing import bench  # noqa: E402,F401 (a fixture; the path comes first)


def pytest_configure(config):
    config.addinivalue_line("markers", "machine: boots a virtual PC (minutes); the others are pure")
    config.addinivalue_line("markers", "slow: takes longer than a check may; ./check slow")


@pytest.fixture(scope="session")
def loader():
    """bulkhead.efi with the stub in it, of the build in BULKHEAD_BUILD."""
    path = Path(os.environ.get("BULKHEAD_BUILD", HERE.parents[1] / "build")) / "efi/bulkhead-stub.efi"
    if not path.exists():
        pytest.skip(f"{path} is not built; name the build folder in BULKHEAD_BUILD")
    return path


@pytest.fixture(scope="session")
def image():
    """The bench's control domain: vmlinuz, vmlinux, initrd.img."""
    return images.get("control-domain").folder
