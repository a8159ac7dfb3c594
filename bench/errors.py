# SPDX-License-Identifier: GPL-2.0-or-later
"""The one error people see: what happened, why, and what to do."""


class BenchError(Exception):
    """`what` happened, `why` (or the lines that matter), and the `remedy`: a thing to do."""

    def __init__(self, what, why="", remedy=""):
        super().__init__(what, why, remedy)
        self.what, self.why, self.remedy = what, why, remedy

    def __str__(self):
        return "\n".join(part for part in (self.what, self.why, self.remedy) if part)


class BenchTimeout(BenchError):
    """Something did not happen within its bound."""


class BenchClosed(BenchError):
    """The other end of a connection is gone: the machine ended."""
