# SPDX-License-Identifier: GPL-2.0-or-later
"""The bench: a whole virtual PC in which hypervisors, control domains and guests run for real and
are measured. docs/bench.md tells how to use it; each module's first lines say what it owns."""
import os

# Ordinary users' paths do not name where mke2fs, sfdisk and mkfs.vfat are.
os.environ["PATH"] = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin:/sbin"
