# SPDX-License-Identifier: GPL-2.0-or-later
"""The cheap properties of bulkhead-demo-build: everything but the packages.

A stand-in named mmdebstrap, first in PATH, makes a tiny system; all other steps are the real ones.
"""

import os
import pathlib
import shutil
import signal
import subprocess
import time

import pytest

BUILDER = pathlib.Path(__file__).resolve().parent.parent / "bulkhead-demo-build"
TOOLS = ("mmdebstrap", "mke2fs", "mkfs.vfat", "mcopy", "sfdisk", "qemu-img", "unshare", "flock")
PATH = os.environ["PATH"] + ":/usr/sbin:/sbin"

STAND_IN = """#!/bin/sh
for root; do
    case $root in */root) break ;; esac
done
echo started >>"$STAND_IN_LOG"
%s
mkdir -p "$root/boot" "$root/etc" "$root/usr/lib/systemd/boot/efi"
echo kernel >"$root/boot/vmlinuz-1"
echo initrd >"$root/boot/initrd.img-1"
echo loader >"$root/usr/lib/systemd/boot/efi/systemd-bootx64.efi"
"""

pytestmark = pytest.mark.skipif(
    any(shutil.which(tool, path=PATH) is None for tool in TOOLS), reason="the builder's programs are not installed"
)


class Bench:
    def __init__(self, directory):
        self.directory = directory
        self.cache = directory / "cache"
        self.output = self.cache / "demo.qcow2"
        self.log = directory / "stand-in.log"
        (directory / "bin").mkdir()
        self.env = dict(os.environ, PATH=f"{directory}/bin:{PATH}", STAND_IN_LOG=str(self.log))
        self.stand_in("")

    def stand_in(self, behaviour):
        program = self.directory / "bin" / "mmdebstrap"
        program.write_text(STAND_IN % behaviour)
        program.chmod(0o755)

    def start(self, *arguments, builder=BUILDER):
        command = [str(builder), "--output", str(self.output), *arguments]
        return subprocess.Popen(command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *arguments, builder=BUILDER):
        process = self.start(*arguments, builder=builder)
        process.stdout_text, process.stderr_text = process.communicate(timeout=120)
        return process

    def builds(self):
        return self.log.read_text().count("started") if self.log.exists() else 0

    def wait_for_builds(self, number):
        end = time.monotonic() + 60
        while self.builds() < number:
            assert time.monotonic() < end, "the build did not come so far"
            time.sleep(0.05)

    def leftovers(self):
        return list(self.cache.glob(".*.build.*"))


@pytest.fixture
def bench(tmp_path):
    return Bench(tmp_path)


@pytest.mark.parametrize("arguments", (["--wrong"], ["--output"], ["--output", "/"], ["word"]))
def test_wrong_arguments(arguments):
    process = subprocess.run([str(BUILDER), *arguments], capture_output=True, text=True)
    assert process.returncode == 2
    assert "--help" in process.stderr
    assert process.stdout == ""


def test_help():
    process = subprocess.run([str(BUILDER), "--help"], capture_output=True, text=True, check=True)
    assert "--progress" in process.stdout


def test_build_and_cache(bench):
    process = bench.run("--progress")
    assert process.returncode == 0, process.stderr_text
    lines = process.stdout_text.splitlines()
    percents = [int(line.split()[1]) for line in lines]
    assert all(line.startswith("PROGRESS ") for line in lines)
    assert percents == sorted(percents) and percents[-1] == 100
    information = subprocess.run(["qemu-img", "info", bench.output], capture_output=True, text=True, check=True).stdout
    assert "file format: qcow2" in information and "8 GiB" in information
    assert bench.leftovers() == []

    again = bench.run()
    assert again.returncode == 0 and "up to date" in again.stdout_text
    assert bench.builds() == 1
    assert bench.run("--force").returncode == 0
    assert bench.builds() == 2


def test_same_recipe_same_partitions(bench):
    def table():
        raw = bench.directory / "raw"
        subprocess.run(["qemu-img", "convert", "-O", "raw", bench.output, raw], check=True)
        return subprocess.run(
            ["sfdisk", "--dump", raw], env=dict(os.environ, PATH=PATH), capture_output=True, text=True, check=True
        ).stdout

    assert bench.run().returncode == 0
    first = table()
    assert bench.run("--force").returncode == 0
    assert first == table()


def test_changed_recipe_or_disk_is_built_again(bench):
    copy = bench.directory / "demo"
    shutil.copytree(BUILDER.parent, copy, symlinks=True)
    builder = copy / BUILDER.name
    assert bench.run(builder=builder).returncode == 0
    with open(copy / "recipe" / "packages", "a", encoding="utf-8") as packages:
        packages.write("# changed\n")
    assert bench.run(builder=builder).returncode == 0
    assert bench.builds() == 2
    os.truncate(bench.output, 1000)
    assert bench.run(builder=builder).returncode == 0
    assert bench.builds() == 3


@pytest.mark.parametrize("how", (signal.SIGINT, signal.SIGTERM))
def test_cancel_leaves_nothing(bench, how):
    bench.stand_in("sleep 1000")
    process = bench.start()
    bench.wait_for_builds(1)
    process.send_signal(how)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 128 + how
    assert "Cancelled" in errors
    assert bench.leftovers() == [] and not bench.output.exists()


def test_killed_build_is_cleaned_and_redone(bench):
    bench.stand_in("sleep 1000")
    process = bench.start()
    bench.wait_for_builds(1)
    process.kill()
    process.communicate()
    assert len(bench.leftovers()) == 1
    bench.stand_in("")
    assert bench.run().returncode == 0
    assert bench.leftovers() == [] and bench.output.exists()


def test_second_builder_waits_and_finds_it_done(bench):
    bench.stand_in("sleep 3")
    first = bench.start()
    bench.wait_for_builds(1)
    second = bench.run()
    assert second.returncode == 0
    assert "Waiting" in second.stdout_text and "up to date" in second.stdout_text
    first.communicate()
    assert first.returncode == 0 and bench.builds() == 1


@pytest.mark.parametrize(
    "error, message",
    (
        ("No space left on device", "is full"),
        ("Temporary failure resolving 'x'", "cannot be reached"),
        ("NO_PUBKEY 1234", "signature"),
        ("something else", 'the step "Looking up packages" failed'),
    ),
)
def test_failures_are_explained(bench, error, message):
    bench.cache.mkdir()
    bench.output.write_text("an older disk")
    bench.stand_in(f'echo "{error}" >&2; exit 1')
    process = bench.run()
    assert process.returncode == 1
    assert message in process.stderr_text
    assert bench.leftovers() == []
    assert bench.output.read_text() == "an older disk"


def test_too_little_space(bench):
    fake = bench.directory / "bin" / "df"
    fake.write_text("#!/bin/sh\necho Avail\necho ' 100M'\n")
    fake.chmod(0o755)
    process = bench.run()
    assert process.returncode == 3
    assert "only 100 MiB free" in process.stderr_text and "--output" in process.stderr_text
    assert bench.builds() == 0 and bench.leftovers() == []


def test_missing_tool_names_its_package(bench):
    script = f'command() {{ [[ $2 != mcopy ]] && builtin command "$@"; }}; export -f command; exec {BUILDER} "$@"'
    process = subprocess.run(
        ["bash", "-c", script, "x", "--output", str(bench.output)], env=bench.env, capture_output=True, text=True
    )
    assert process.returncode == 3
    assert "mtools" in process.stderr and "apt install" in process.stderr
