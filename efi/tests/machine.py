# SPDX-License-Identifier: GPL-2.0-or-later
"""A PC with OVMF and one EFI system partition, for the loader's tests: QEMU without hardware support, one at a time,
ended at the latest with its test."""
import os
import re
import shutil
import subprocess
import time
from pathlib import Path

from bench.images import esp

OVMF = Path("/usr/share/OVMF")
CPU = "EPYC-Rome,+svm,+npt"
GRUB = "/usr/lib/grub/x86_64-efi/monolithic/grubx64.efi"
ANSWERED = 33  # isa-debug-exit: what the stub says when it liked all it was given
KEYS = ("Press a key to return to the firmware", "any other key to continue")  # the loader; the firmware's shell


class Run:
    """What a machine wrote on its first serial line, and QEMU's exit status (None: it was ended)."""

    def __init__(self, text, status):
        # The firmware's terminal moves the cursor between words.
        self.text = re.sub(r"\x1b\[[0-9;=]*[A-Za-z]", "", text).replace("\r", "")
        self.words = " ".join(self.text.split())
        self.status = status

    def value(self, name):
        """The number that the stub shows under this name."""
        return int(re.search(rf"stub: {name} = ([0-9a-f]+)", self.text)[1], 16)

    def __str__(self):
        return f"status {self.status}\n{self.text[-6000:]}"


def make_esp(target, files):
    """The image of an ESP with `files` (path inside: bytes or path)."""
    return esp.make(target, files)


def boot(folder, *images, cpu=CPU, mem="512M", secure=False, stop_at=None, keys=KEYS, timeout=90, variables=None):
    """Boots the first of the disks `images` that the firmware can, until QEMU ends or the text `stop_at` appears;
    types a key each time that one of the texts `keys` appears. `secure`: with Secure Boot and Debian's snakeoil keys."""
    folder = Path(folder)
    log = folder / "serial.log"
    log.write_bytes(b"")
    code = OVMF / ("OVMF_CODE_4M.secboot.fd" if secure else "OVMF_CODE_4M.fd")
    if variables is None:
        variables = folder / "variables.fd"
        shutil.copyfile(OVMF / ("OVMF_VARS_4M.snakeoil.fd" if secure else "OVMF_VARS_4M.fd"), variables)
    machine = "q35,accel=tcg" + (",smm=on" if secure else "")
    command = ["qemu-system-x86_64", "-machine", machine, "-cpu", cpu, "-m", mem, "-nodefaults", "-no-reboot",
               "-global", f"driver=cfi.pflash01,property=secure,value={'on' if secure else 'off'}",
               "-drive", f"if=pflash,unit=0,format=raw,readonly=on,file={code}",
               "-drive", f"if=pflash,unit=1,format=raw,file={variables}",
               "-device", "isa-debug-exit,iobase=0xf4,iosize=4", "-display", "none", "-vga", "std",
               "-chardev", f"stdio,id=c,signal=off,logfile={log}", "-serial", "chardev:c"]
    for image in images:
        command += ["-drive", f"file={image},format=raw,if=ide,snapshot=on"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                               env=dict(os.environ, LC_ALL="C"))
    try:
        return _watch(process, log, stop_at, keys, timeout)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stderr.close()


def _watch(process, log, stop_at, keys, timeout):
    end, typed = time.monotonic() + timeout, 0
    while True:
        status = process.poll()
        run = Run(log.read_text(errors="replace"), status)
        if sum(map(run.words.count, keys)) > typed and status is None:
            process.stdin.write(b"x")
            process.stdin.flush()
            typed += 1
        if status is not None or (stop_at and stop_at in run.words):
            return run
        if time.monotonic() > end:
            raise AssertionError(f"The machine was not done in {timeout} seconds.\n{run}")
        time.sleep(0.2)
