# SPDX-License-Identifier: GPL-2.0-or-later
"""Reads what the measuring guest (bench/guest) printed. Pure; a guest's output is hostile."""
import re
from dataclasses import dataclass

from bench.errors import BenchError

LINE = re.compile(r"^MEASURE ([a-z0-9_]{1,40}) (?:(skipped|failed) reason=(\S{1,80})|min=(\d{1,18}) "
                  r"median=(\d{1,18}) max=(\d{1,18}))")
END = re.compile(r"^MEASURE-END (ok|failed)", re.MULTILINE)


@dataclass(frozen=True)
class Figure:
    """A measured value, or why there is none. `unit` is 'instructions', 'MiB', ..."""
    value: float = None
    least: float = None
    most: float = None
    unit: str = "instructions"
    reason: str = ""


def parse(text):
    """{row: Figure} of a whole run. BenchError when the guest did not get to its end; later lines win."""
    rows = {}
    for line in text.replace("\r", "").split("\n"):
        match = LINE.match(line.strip())
        if not match:
            continue
        name, bad, reason, least, median, most = match.groups()
        rows[name] = Figure(reason=f"{bad}: {reason}") if bad else \
            Figure(int(median), int(least), int(most))
    if not END.search(text.replace("\r", "")):
        last = "\n".join("    " + line for line in text.splitlines()[-8:])
        raise BenchError("The measuring guest did not get to its end.", last)
    return rows
