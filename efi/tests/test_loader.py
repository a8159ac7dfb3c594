# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead.efi in OVMF: from the power button to a hypervisor (the stub), and every way to fail before.

A boot takes seconds, so what can share one does: the firmware's shell starts the loader from one folder after another,
and the boot manager goes from one disk to the next."""
import struct
import subprocess
from pathlib import Path

import machine
import pytest
from test_install import VERSION, install, make_system

pytestmark = pytest.mark.machine
BOOT, CONF = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/bulkhead.conf"
BACK = "BdsDxe: failed to start"  # OVMF, when a boot entry came back
KEY = machine.KEYS[0]
SNAKEOIL = "/usr/share/ovmf/PkKek-1-snakeoil"


def note(kind=18, name=b"Xen\0", data=struct.pack("<I", 0x1000000)):
    return struct.pack("<III", len(name), len(data), kind) + name + data


def kernel(notes=None, size=4096):
    """The smallest ELF file with a PVH note that the loader takes."""
    notes = note() if notes is None else notes
    start = 64 + 2 * 56
    header = b"\x7fELF\x02\x01\x01" + bytes(9) + struct.pack("<HHIQQQIHHHHHH", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 2,
                                                           0, 0, 0)
    load = struct.pack("<IIQQQQQQ", 1, 7, start, 0x1000000, 0x1000000, size, size, 4096)
    notes_at = struct.pack("<IIQQQQQQ", 4, 4, start, 0, 0, len(notes), len(notes), 4)
    return (header + load + notes_at + notes).ljust(start + size, b"\0")


def conf(text="", **keys):
    keys = {"kernel": "linux", "initrd": "initrd", "options": "root=/dev/sda2 quiet", **keys}
    return (text + "[debian]\n" + "".join(f"{k} = {v}\n" for k, v in keys.items() if v is not None)).encode()


def esp(tmp_path, loader, config=None, name="esp.img", **files):
    """An ESP with the loader, a configuration, a kernel and an initrd; `files`: others (None: left out)."""
    found = {"linux": kernel(), "initrd": b"INITRD..", **files}
    contents = {f"EFI/BOOT/{name}": data for name, data in found.items() if data is not None}
    contents.update({} if config is False else {CONF: conf() if config is None else config})
    return machine.make_esp(tmp_path / name, {BOOT: loader, **contents})


def sparse(path, mib):
    with open(path, "wb") as file:
        file.truncate(mib << 20)
    return path


def test_debian_kernel(tmp_path, loader, image):
    files = {"linux": image / "vmlinux", "initrd": image / "initrd.img"}
    config = conf("# a comment\ndefault = debian\n\n[other]\nkernel=none\n", dom0_mem="256M", console="com1",
                  hypervisor="loglvl=all")
    run = machine.boot(tmp_path, esp(tmp_path, loader, config, **files), mem="1G")
    assert run.status == machine.ANSWERED, run
    assert run.value("kernel entry") >= 16 << 20 and run.value("kernel segments") >= 4
    assert run.value("initrd size") == (image / "initrd.img").stat().st_size
    assert "hypervisor options = 'dom0_mem=256M console=com1 loglvl=all'" in run.text
    assert "kernel options = 'root=/dev/sda2 quiet'" in run.text
    assert run.value("ram") > 1000 << 20
    assert (run.value("framebuffer width"), run.value("framebuffer format")) == (1280, 1)
    assert run.text.count("Starting the hypervisor.") == 1, "messages are not doubled"


def test_memory_above_4_gib(tmp_path, loader):
    run = machine.boot(tmp_path, esp(tmp_path, loader), cpu="max", mem="6G")
    assert run.status == machine.ANSWERED and 1 << 30 < run.value("image_start") < 4 << 30, run
    assert run.value("ram") > 5 << 30


# Name: configuration (None: a good one, False: none), kernel, words of the message.
BAD = {
    "no configuration": (False, None, ["bulkhead.conf cannot be opened", "bulkhead-install"]),
    "empty configuration": (b"", None, ["It is empty", "bulkhead-install"]),
    "nothing in it": (b"# nothing\n", None, ["There is no entry in it"]),
    "UTF-16": (b"\xff\xfe[\0d\0]\0", None, ["not ASCII"]),
    "broken entry": (b"[debian\nkernel=linux\n", None, ["Line 1 is not the beginning of an entry"]),
    "misspelt key": (b"# c\n\n[debian]\nkernle = linux\n", None, ["Line 4: there is no key 'kernle'", "kernel, initrd"]),
    "no such entry": (conf("default = other\n"), None, ["There is no entry 'other'", "default = NAME"]),
    "no kernel named": (conf(kernel=None), None, ["The entry 'debian' cannot be started", "kernel = FILE"]),
    "no size": (conf(dom0_mem="much"), None, ["dom0_mem = much cannot be used", "not a size", "1536M"]),
    "dom0_mem too large": (conf(dom0_mem="64G"), None, ["dom0_mem of 65536 MiB cannot be had", "smaller dom0_mem"]),
    "dom0_mem of the hypervisor's options": (conf(dom0_mem="150M", hypervisor="dom0_mem=1T"), None,
                                             ["dom0_mem of 1048576 MiB cannot be had"]),
    "too many options": (conf(dom0_mem="150M", hypervisor=1003 * "x" + " dom0_mem=1T"), None,
                         ["takes 1023 characters", "too long together"]),
    "dom0_mem of nothing": (conf(dom0_mem="0"), None, ["The control domain needs 128 MiB, of", "larger dom0_mem"]),
    "dom0_mem too small": (conf(dom0_mem="100M"), None, ["The control domain needs 128 MiB, of", "larger dom0_mem"]),
    "initrd too large": (conf(initrd="/no-kernel"), None, ["The control domain needs 198 MiB, of", "smaller initrd"]),
    "kernel missing": (conf(kernel="nowhere"), None, ["\\nowhere cannot be opened", "bulkhead-install"]),
    "initrd missing": (conf(initrd="/nowhere"), None, ["The file \\nowhere cannot be opened"]),
    "a folder": (conf(kernel="/EFI"), None, ["\\EFI cannot be used"]),
    "too little memory": (conf(initrd="/large"), None, ["There are no 300 MiB of memory for \\large", "more memory"]),
    "kernel without PVH note": (None, kernel(note(kind=17)), ["no PVH entry", "CONFIG_PVH"]),
    "truncated ELF": (None, kernel(size=100000)[:5000], ["cut short", "Copy the file again"]),
    "only a header": (None, kernel()[:40], ["ends within its headers"]),
    "bzImage": (None, bytes(0x202) + b"HdrS" + bytes(4096), ["bzImage", "extract-vmlinux", "bulkhead-install"]),
    "gzip": (None, b"\x1f\x8b" + bytes(1000), ["packed (bzImage, gzip"]),
    "text": (None, b"hello world, this is no kernel", ["not an ELF file"]),
    "empty kernel": (None, b"", ["It is empty, or not a file"]),
    "wrong entry asked for": (None, None, ["There is no entry 'none'", "entry=NAME"]),
    "SVM locked": (None, None, ["turned AMD-V (SVM) off and locked it", "then switch the computer off and on"]),
}
# No machine here has it locked, so the loader is changed: mov $VM_CR, %ecx; rdmsr -> mov $VM_CR, %ecx; mov $0x10, %al
READ_VM_CR, LOCKED = (b"\xb9\x14\x01\x01\xc0" + end for end in (b"\x0f\x32", b"\xb0\x10"))
# Each takes 70 of the 256 MiB, which must all be there again for the next one.
LARGE = [f"no kernel, time {n}" for n in range(4)]


class TestBadInput:
    """One boot: the shell starts the loader from a folder for each case, and a good one at last, on a serial line that
    the firmware's console does not use."""

    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, loader):
        folder = tmp_path_factory.mktemp("bad")
        cases = {**BAD, **{name: (conf(kernel="/no-kernel"), None, []) for name in LARGE}}
        files = {"large": sparse(folder / "large", 300), "no-kernel": sparse(folder / "no-kernel", 70),
                 "EFI/good/bulkhead.efi": loader, "EFI/good/linux": kernel(),
                 "EFI/good/bulkhead.conf": conf(initrd=None) + b"[other]\nkernel=linux\noptions=the other\n"}
        lines = ["@echo -off", "fs0:"]
        for number, (name, (config, linux, _words)) in enumerate(cases.items()):
            place = f"EFI/{number}"
            program = loader.read_bytes()
            if name == "SVM locked":
                assert program.count(READ_VM_CR) == 1
                program = program.replace(READ_VM_CR, LOCKED)
            files.update({f"{place}/bulkhead.efi": program, f"{place}/initrd": b"INITRD..",
                          f"{place}/linux": kernel() if linux is None else linux})
            if config is not False:
                files[f"{place}/bulkhead.conf"] = conf() if config is None else config
            options = " entry=none" if name == "wrong entry asked for" else ""
            lines += [f"echo case {name}:", f"\\EFI\\{number}\\bulkhead.efi{options}", "echo back %lasterror%"]
        lines += ["echo case good:", "setvar ConOut -guid 8be4df61-93ca-11d2-aa0d-00e098032b8c -nv -bs -rt =",
                  "\\EFI\\good\\bulkhead.efi quiet entry=other x=y"]
        files["startup.nsh"] = "\r\n".join([*lines, ""]).encode()
        return machine.boot(folder, machine.make_esp(folder / "esp.img", files), mem="256M", timeout=240)

    def part(self, run, name):
        """What was said of one case."""
        parts = run.words.split(f"case {name}:")
        assert len(parts) == 2, (name, str(run))
        return parts[1].split("case ")[0]

    @pytest.mark.parametrize("name", BAD)
    def test_message(self, run, name):
        said = self.part(run, name)
        for word in ("Why:", "What to do:", KEY, "back 0x", *BAD[name][2]):
            assert word in said, (word, said)
        assert "stub:" not in said and "back 0x0 " not in said

    @pytest.mark.parametrize("name", LARGE)
    def test_memory_is_given_back(self, run, name):
        assert "It is not an ELF file." in self.part(run, name)

    def test_entry_by_boot_options(self, run):
        assert run.status == machine.ANSWERED and "kernel options = 'the other'" in run.text, run

    def test_serial_line_without_the_firmware(self, run):
        """Without a UART in ConOut the loader writes to the 16550 itself; the running console is one there still."""
        assert self.part(run, "good").count("Starting the hypervisor.") == 2


@pytest.mark.parametrize("cpu, words, keys", [
    ("EPYC-Rome,-svm", ["no AMD-V (SVM)", "Turn on"], machine.KEYS),
    ("EPYC-Rome,+svm,-npt", ["no nested paging"], machine.KEYS),
    pytest.param("EPYC-Rome,-svm", ["no AMD-V (SVM)"], (), marks=pytest.mark.slow, id="no-key"),
])
def test_processor(tmp_path, loader, cpu, words, keys):
    """And back to the boot manager, after a key or by itself half a minute later."""
    run = machine.boot(tmp_path, esp(tmp_path, loader), cpu=cpu, stop_at=BACK, keys=keys)
    assert "stub:" not in run.text, run
    for word in ("Why:", "What to do:", KEY, *words):
        assert word in run.words, (word, str(run))


class TestSecureBoot:
    """With Debian's snakeoil keys. One boot: the boot manager tries the disks in order; the last one is good."""

    @pytest.fixture(scope="class")
    def run(self, tmp_path_factory, loader):
        folder = tmp_path_factory.mktemp("secure")
        key = folder / "key.pem"
        subprocess.run(["openssl", "rsa", "-in", SNAKEOIL + ".key", "-passin", "pass:snakeoil", "-out", key],
                       check=True, capture_output=True)
        (folder / "linux").write_bytes(kernel())
        system = make_system(folder, loader, linux=folder / "linux")
        install(system, "install", "--sign", key, SNAKEOIL + ".pem", "--no-boot-entry")
        unified = (system / "esp/EFI/bulkhead/bulkhead.efi").read_bytes()
        changed = unified.replace(b"root=/dev/sda1", b"root=/dev/sdb1")
        assert changed != unified
        signed = folder / "signed.efi"
        subprocess.run(["sbsign", "--key", key, "--cert", SNAKEOIL + ".pem", "--output", signed, loader], check=True,
                       capture_output=True)
        images = [esp(folder, loader, name="unsigned.img"),
                  machine.make_esp(folder / "changed.img", {BOOT: changed}),
                  esp(folder, signed, name="files.img"),
                  machine.make_esp(folder / "unified.img", {BOOT: unified})]
        return machine.boot(folder, *images, secure=True)

    def test_unsigned_and_changed_are_refused_by_the_firmware(self, run):
        before = run.words.split("bulkhead.efi 0")[0]
        assert before.count("BdsDxe: failed to load") == 2 and "Access Denied" in before, run

    def test_files_are_refused(self, run):
        assert run.words.split("stub:")[0].count("bulkhead.efi 0") == 2, run
        said = run.words.split("bulkhead.efi 0")[1]
        for word in ("Secure Boot is on", "--unified --sign KEY CERT", "Why:", KEY, BACK):
            assert word in said, (word, said)

    def test_unified_signed_starts(self, run):
        assert run.status == machine.ANSWERED, run
        assert "kernel options = 'root=/dev/sda1 ro'" in run.text


@pytest.mark.slow
def test_unified_of_debian(tmp_path, loader, image):
    system = make_system(tmp_path, loader, image / "vmlinuz", image / "initrd.img")
    install(system, "install", "--no-boot-entry", "--unified")
    made = machine.make_esp(tmp_path / "esp.img", {BOOT: system / "esp/EFI/bulkhead/bulkhead.efi"})
    run = machine.boot(tmp_path, made, mem="1G")
    assert run.status == machine.ANSWERED and "kernel options = 'root=/dev/sda1 ro'" in run.text, run
    assert run.value("initrd size") == (image / "initrd.img").stat().st_size


def test_chainloader_of_grub(tmp_path, loader):
    """What was installed, started by GRUB from its own folder: files are still those beside the loader."""
    (tmp_path / "linux").write_bytes(kernel())
    system = make_system(tmp_path, loader, linux=tmp_path / "linux")
    install(system, "install", "--no-boot-entry")
    files = {f"EFI/bulkhead/{p.name}": p for p in (system / "esp/EFI/bulkhead").iterdir()}
    menu = f"chainloader /EFI/bulkhead/bulkhead.efi entry={VERSION}\nboot\n"
    made = machine.make_esp(tmp_path / "esp.img", {BOOT: Path(machine.GRUB), "EFI/debian/grub.cfg": menu.encode(), **files})
    run = machine.boot(tmp_path, made)
    assert run.status == machine.ANSWERED and f"Entry: {VERSION}" in run.words, run
    assert f"\\EFI\\bulkhead\\vmlinux-{VERSION}" in run.words
    assert "kernel options = 'root=/dev/sda1 ro'" in run.text
