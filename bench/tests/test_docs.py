# SPDX-License-Identifier: GPL-2.0-or-later
"""What docs/bench.md tells a newcomer to type, typed: its ten lines, on the machine that boots soonest."""
import os
import re
import subprocess
from pathlib import Path

import pytest

TREE = Path(__file__).resolve().parents[2]
# The tests' own ways to Xen and to the figures are test_xen.py and test_measure.py.
ELSEWHERE = ("./check bench", "bench/bench measure")
INSTEAD = {"--hypervisor xen ": "", "xl info": "uname -a", " ready": " typed-from-docs", "shot.png": "{folder}/shot.png"}
ENDLESS = "bench/bench console -f"


def ten_lines():
    block = re.search(r"## In ten lines\n\n```\n(.*?)```", (TREE / "docs/bench.md").read_text("utf-8"), re.DOTALL)[1]
    lines = [line.partition("#")[0].strip() for line in block.splitlines()]
    return [command.strip() for line in lines for command in line.split(";")]


@pytest.fixture
def shell(tmp_path):
    """Runs a command as a newcomer would; its output. Machines are in a runtime folder of their own."""
    env = dict(os.environ, XDG_RUNTIME_DIR=str(tmp_path))

    def run(command):
        for old, new in INSTEAD.items():
            command = command.replace(old, new.format(folder=tmp_path))
        bound = ["timeout", "-k", "5", "3" if command == ENDLESS else "200"]
        found = subprocess.run([*bound, "sh", "-c", command], cwd=TREE, env=env, capture_output=True, text=True,
                               stdin=subprocess.DEVNULL, check=False)
        if command == ENDLESS:
            assert found.returncode == 124 and found.stdout, found
        else:
            assert found.returncode == 0, f"{command}\n{found.stdout}{found.stderr}"
        return found.stdout

    yield run
    subprocess.run([TREE / "bench/bench", "off"], env=env, capture_output=True, check=False)


@pytest.mark.machine
def test_the_ten_lines_of_the_manual(shell, tmp_path):
    commands = [command for command in ten_lines() if command not in ELSEWHERE and not command.startswith(ELSEWHERE)]
    assert len(commands) >= 10
    said = {}
    for command in commands:
        said[command] = shell(command)
        if command.startswith("bench/bench snapshot"):
            shell(command)  # again: the newer one takes the older one's place
    assert "control-domain" in said["bench/bench run xl info"]
    assert (tmp_path / "shot.png").read_bytes().startswith(b"\x89PNG")
    assert "typed-from-docs" in said["bench/bench list"]
    assert "storage1" in said["bench/bench plug storage port=3 size=64"]
