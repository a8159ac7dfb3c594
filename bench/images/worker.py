# SPDX-License-Identifier: GPL-2.0-or-later
"""The process that builds an image: `python3 -m bench.images.worker NAME FOLDER`, as root (see
job.py)."""
import json
import os
import subprocess
import sys
from pathlib import Path

from bench.errors import BenchError
from bench.images import catalog


class Job:
    """What a builder gets: `work` for scratch, `out` for results, and ways to run programs."""

    def __init__(self, name, work):
        self.name, self.work, self.out = name, work, work / "out"

    def step(self, text):
        """Tells people, and the log, what comes next."""
        print(text, flush=True)
        print(f"--- {text}", file=sys.stderr, flush=True)

    def run(self, *command, **options):
        """Runs a program with its output in the log; CalledProcessError when it fails."""
        subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL,
                       stdout=sys.stderr, **options)

    def read(self, *command):
        """The output of a program."""
        return subprocess.run([str(word) for word in command], check=True, stdin=subprocess.DEVNULL,
                              stdout=subprocess.PIPE, text=True).stdout


def main(name, work):
    os.umask(0o022)
    job = Job(name, Path(work))
    try:
        catalog.builder(name).build(job)
    except BenchError as error:
        text = json.dumps({"why": f"{error.what}\n{error.why}".strip(), "remedy": error.remedy})
        (job.work / "error.json").write_text(text, encoding="utf-8")
        return 1
    except subprocess.CalledProcessError as error:
        print(f"{error.cmd[0]} failed with status {error.returncode}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"{error.filename}: {error.strerror}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
