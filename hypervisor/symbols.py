#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of functions for crash dumps: symbols.py NM IMAGE OUT.S writes a table of what `nm` finds in the linked image.

The image is linked twice, without and with this table; it lies behind the code, so addresses of functions stay as they are."""
import subprocess
import sys

BASE = 0xFFFFFFFF80000000


def functions(nm, image):
    lines = subprocess.run([nm, "-n", image], check=True, capture_output=True, text=True).stdout.splitlines()
    for line in lines:
        address, kind, name = line.split()
        if kind in "tT":
            yield int(address, 16) - BASE, name


def main():
    nm, image, out = sys.argv[1:]
    found = list(functions(nm, image))
    names, offsets = b"", []
    for _offset, name in found:
        offsets.append(len(names))
        names += name.encode() + b"\0"
    with open(out, "w", encoding="ascii") as file:
        file.write('        .section .symbols, "a"\n        .balign 8\n        .globl hv_symbol_table, hv_symbol_count, hv_symbol_names\n')
        file.write("hv_symbol_table:\n")
        for (offset, _name), at in zip(found, offsets):
            file.write(f"        .long {offset:#x}, {at:#x}\n")
        file.write(f"hv_symbol_count: .long {len(found)}\nhv_symbol_names:\n")
        for _offset, name in found:
            file.write(f'        .asciz "{name}"\n')
        file.write('        .section .note.GNU-stack, "", @progbits\n')


main()
