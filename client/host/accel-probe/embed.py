#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
# Turns the probe guest into a C array, so that the library needs no file at run time.
import sys

source, target = sys.argv[1:3]
with open(source, "rb") as f:
    data = f.read()
lines = [", ".join("0x%02x" % b for b in data[i:i + 16]) for i in range(0, len(data), 16)]
with open(target, "w") as f:
    f.write("/* Made from probe.S by embed.py. */\n")
    f.write("static const unsigned char bh_accel_guest[] = {\n    %s,\n};\n" % ",\n    ".join(lines))
