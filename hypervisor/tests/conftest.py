# SPDX-License-Identifier: GPL-2.0-or-later
"""Tests on the machine: whole PCs in the bench. The fixture `bench` and the reports of its machines are the bench's own."""
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from bench.tests.conftest import *  # noqa: E402,F401,F403
