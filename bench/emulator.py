# SPDX-License-Identifier: GPL-2.0-or-later
"""Which QEMU is run: Debian's, with two instructions mended that break nested SVM.

1. QEMU's VMRUN, when it injects an external interrupt, leaves the vector in the CPU's exception_index after it
   has delivered it. If the CPU's thread is asked to leave the guest (a timer, another processor's turn, the
   control connection) before the next exception or exit, the main loop finds the vector there and delivers it
   again. A guest that had just come from user space then swaps GS twice and dies.
2. Whichever CPU loads an x87 status word without pending errors (FXRSTOR, XRSTOR, FLDENV: a switch of tasks), QEMU
   clears IGNNE# in the flags of the *first* CPU, by an AND that is not atomic. What the first CPU does to these
   flags at that moment is undone: leaving a guest does not switch nested paging off, and the hypervisor's own
   state ends up in the VMCB; STGI or CLGI is forgotten; an NMI stays masked. Nobody needs IGNNE#: it is for
   floating-point errors reported as in the PC/AT.

Either way a control domain on the bench lived some minutes (bench/quirks.py recognises such deaths). The
instructions are found by what is around them, and a copy of the program without them is kept in the cache.
Where one is not found exactly once, the program is another than the one this was made for, and runs as it
is.
"""
import fcntl
import hashlib
import os
import re
import shutil
from functools import cache
from pathlib import Path

from bench.errors import BenchError
from bench.images import cache as image_cache

PROGRAM = "qemu-system-x86_64"

# What to leave out, each with the instructions around it.
INJECTED_VECTOR = re.compile(  # movzbl %r12b,%esi; mov %r13d,error_code(%rbx); mov %esi,exception_index(%rbx);
    # movl $0,exception_is_int(%rbx); movq $-1,exception_next_eip(%rbx)
    rb"\x41\x0f\xb6\xf4\x44\x89\xab....(?P<out>\x89\xb3....)\xc7\x83....\x00\x00\x00\x00"
    rb"\x48\xc7\x83....\xff\xff\xff\xff", re.DOTALL)
IGNNE = re.compile(  # call object_dynamic_cast_assert; andl $~HF2_IGNNE_MASK,hflags2(%rax); add $8,%rsp
    rb"\xe8....(?P<out>\x81\xa0....\x7f\xff\xff\xff)\x48\x83\xc4\x08", re.DOTALL)
MENDS = (INJECTED_VECTOR, IGNNE)
NOPS = {6: bytes.fromhex("660f1f440000"), 10: bytes.fromhex("662e0f1f840000000000")}
FOLDERS = ("/usr/share/qemu", "/usr/share/seabios", "/usr/lib/ipxe/qemu")
MODULES = "/usr/lib/x86_64-linux-gnu/qemu"


def mend(program):
    """The bytes of a QEMU without the faults; None when it is not known to have them. Pure."""
    for pattern in MENDS:
        found = list(pattern.finditer(program))
        if len(found) != 1:
            return None
        start, end = found[0].span("out")
        program = program[:start] + NOPS[end - start] + program[end:]
    return program


@cache
def command():
    """The first words of QEMU's command line. BenchError when it is not installed."""
    original = shutil.which(PROGRAM)
    if not original:
        raise BenchError(f"{PROGRAM} is not installed.", "The AMD bench runs in it.",
                         "Install the package qemu-system-x86.")
    mended = _mended_copy(Path(original))
    return (str(mended), *(word for folder in FOLDERS for word in ("-L", folder))) if mended else (original,)


def environment():
    """Where a copy outside of /usr/bin finds QEMU's modules."""
    return {**os.environ, "QEMU_MODULE_DIR": os.environ.get("QEMU_MODULE_DIR", MODULES)}


def is_mended():
    return len(command()) > 1


def _mended_copy(original):
    data = original.read_bytes()
    folder = image_cache.root().parent / "emulator"
    mends = b"".join(pattern.pattern for pattern in MENDS)
    target = folder / f"{PROGRAM}-{hashlib.sha256(data + mends).hexdigest()[:16]}"
    if target.exists():
        return target
    mended = mend(data)
    if mended is None:
        return None
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / ".lock", "w", encoding="ascii") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            part = target.with_suffix(".part")
            part.write_bytes(mended)
            part.chmod(0o755)
            os.replace(part, target)
    except OSError as error:
        raise BenchError(f"The bench's copy of {PROGRAM} could not be made in {folder}.", str(error),
                         "Free some space there.") from error
    return target
