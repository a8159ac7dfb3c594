# SPDX-License-Identifier: GPL-2.0-or-later
"""Disks and kernels that the bench boots: built once from Debian packages, kept in the cache, never
modified.

`get(name)` is the way in; docs of each image are in its builder (control_domain, tiny_guest,
efi_guest, bios_boot).
"""
from bench.images import cache, esp, stage
from bench.images.cache import Image, get
from bench.images.catalog import names

__all__ = ["Image", "cache", "esp", "get", "names", "stage"]
