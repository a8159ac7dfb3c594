#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""For meson: a line for each test in a folder: its name, then the files it says it needs ("sources:" in its first lines)."""
import re
import sys
from pathlib import Path

for path in sorted(Path(sys.argv[1]).glob("*.c")):
    found = re.findall(r"/\* sources:(.*?)\*/", path.read_text(encoding="utf-8"), re.DOTALL)
    print(path.stem, *" ".join(found).split())
