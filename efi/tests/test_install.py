# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead-install on a system in a folder, with efibootmgr pretended; the machines that boot it are in test_loader."""
import gzip
import importlib.machinery
import importlib.util
import lzma
import os
import stat
import struct
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).resolve().parents[1] / "bulkhead-install"
VERSION = "6.1.0-28-amd64"
ELF = b"\x7fELF" + bytes(60) + struct.pack("<III", 4, 4, 18) + b"Xen\0" + bytes(4096)
EFIBOOTMGR = """#!/bin/sh
# A pretended firmware: its entries are lines of $ENTRIES.
case "$*" in
-v) cat "$ENTRIES" ;;
-c*)
    [ -z "$FAIL" ] || { echo "No space left on device" >&2; exit 1; }
    printf 'Boot0007* Bulkhead\\tHD(1)/File(%s)\\n' "$*" >>"$ENTRIES" ;;
*-b*) sed -i '/^Boot0007/d' "$ENTRIES" ;;
esac
"""


def bzimage(payload):
    """A file that has only what the boot protocol says of the payload."""
    header = bytearray(1024)
    header[0x1F1], header[0x202:0x206] = 1, b"HdrS"
    struct.pack_into("<H", header, 0x206, 0x20F)
    struct.pack_into("<II", header, 0x248, 16, len(payload))
    return bytes(header) + bytes(16) + payload + b"trailer"


def make_system(folder, loader=None, linux=None, initrd=None):
    """A system's root with a kernel, an initrd, a loader and an ESP; files, or pretended ones."""
    root = folder / "root"
    for name in ("boot", "etc/kernel/postinst.d", "etc/kernel/postrm.d", "etc/initramfs-tools", "esp",
                 "usr/lib/bulkhead", "bin"):
        (root / name).mkdir(parents=True)
    kernel = linux.read_bytes() if linux else bzimage(gzip.compress(ELF))
    (root / "boot" / f"vmlinuz-{VERSION}").write_bytes(kernel)
    (root / "boot" / f"initrd.img-{VERSION}").write_bytes(initrd.read_bytes() if initrd else b"initrd..")
    (root / "etc/kernel/cmdline").write_text("BOOT_IMAGE=/vmlinuz root=/dev/sda1 ro\n")
    (root / "usr/lib/bulkhead/bulkhead.efi").write_bytes(Path(loader).read_bytes() if loader else b"MZ")
    (root / "bin/efibootmgr").write_text(EFIBOOTMGR)
    (root / "bin/efibootmgr").chmod(stat.S_IRWXU)
    (root / "entries").write_text("Boot0001* debian\tHD(1)\n")
    return root


def call(root, *arguments, **env):
    env = dict(os.environ, PATH=f"{root}/bin:{os.environ['PATH']}", ENTRIES=str(root / "entries"), **env)
    return subprocess.run([PROGRAM, "--root", root, *map(str, arguments)], text=True, env=env, capture_output=True)


def install(root, verb, *arguments, esp=True):
    done = call(root, verb, *(["--esp", root / "esp"] if esp else []), *arguments)
    assert done.returncode == 0, done.stderr
    return done.stdout


def tree(root):
    """Everything in the system, to see that nothing changed."""
    return {p.relative_to(root): p.read_bytes() if p.is_file() else None for p in sorted(root.rglob("*"))}


@pytest.fixture
def system(tmp_path):
    return make_system(tmp_path)


@pytest.fixture(scope="module")
def program():
    """The installer as a module."""
    loader = importlib.machinery.SourceFileLoader("bulkhead_install", str(PROGRAM))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("bulkhead_install", loader))
    loader.exec_module(module)
    return module


def tool(*command):
    return lambda data: subprocess.run(command, input=data, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("pack, tail", [(gzip.compress, b""), (lzma.compress, b"size"), (tool("zstd", "-c"), b"size"),
                                        (tool("lz4", "-lc"), b"size"),
                                        (lambda data: lzma.compress(data, lzma.FORMAT_ALONE), b"size")])
def test_every_packing(program, pack, tail):
    assert program.unpack_kernel(bzimage(pack(ELF) + tail), "k") == ELF


def test_unpacked_kernel_is_taken(program):
    assert program.unpack_kernel(ELF, "k") == ELF


@pytest.mark.parametrize("kernel, word", [
    (b"", "not a Linux kernel"), (bytes(4096), "not a Linux kernel"), (bzimage(b"\0" * 50), "unknown way"),
    (bzimage(gzip.compress(ELF))[:1080], "cut short"), (bzimage(gzip.compress(ELF)[:30]), "cannot be unpacked"),
    (bzimage(gzip.compress(b"\x7fELF" + bytes(100))), "no PVH"), (bzimage(gzip.compress(b"text")), "no ELF"),
    (bzimage(b"\xfd7zXZ\0garbage"), "cannot be unpacked"), (bzimage(b"\x28\xb5\x2f\xfdgarbage"), "zstd failed"),
], ids=range(9))
def test_bad_kernels(system, kernel, word):
    (system / "boot" / f"vmlinuz-{VERSION}").write_bytes(kernel)
    before = tree(system)
    done = call(system, "install", "--esp", system / "esp", "--no-boot-entry")
    assert done.returncode == 1 and any(w in done.stderr for w in word.split("|")), done.stderr
    assert "What to do:" in done.stderr and tree(system) == before


def test_install_and_remove_leave_nothing(system):
    before = tree(system)
    install(system, "install", "--no-boot-entry")
    folder = system / "esp/EFI/bulkhead"
    assert sorted(p.name for p in folder.iterdir()) == [
        "bulkhead.conf", "bulkhead.efi", f"initrd-{VERSION}", f"vmlinux-{VERSION}"]
    assert (folder / f"vmlinux-{VERSION}").read_bytes() == ELF
    for place in ("kernel/postinst.d", "kernel/postrm.d", "initramfs/post-update.d"):
        assert os.access(system / "etc" / place / "zz-bulkhead", os.X_OK)
    text = (folder / "bulkhead.conf").read_text()
    assert f"[{VERSION}]\nkernel = vmlinux-{VERSION}\n" in text and "options = root=/dev/sda1 ro\n" in text
    assert "Bulkhead is installed." in install(system, "status", esp=False)
    install(system, "remove", esp=False)
    after = tree(system)
    after.pop(Path("esp/EFI"), None)
    assert after == before


def test_status_of_nothing(system):
    assert call(system, "status", "--esp", system / "esp").returncode == 1
    assert call(system, "update").returncode == 1


def test_new_kernel_takes_the_place_of_the_old(system):
    install(system, "install", "--no-boot-entry")
    new = "6.1.0-100-amd64"  # by text it is smaller
    (system / "boot" / f"vmlinuz-{new}").write_bytes(bzimage(lzma.compress(ELF) + b"size"))
    (system / "boot" / f"initrd.img-{new}").write_bytes(b"new")
    (system / "esp/EFI/bulkhead/mine.txt").write_text("kept")
    install(system, "update", esp=False)
    assert sorted(p.name for p in (system / "esp/EFI/bulkhead").iterdir()) == [
        "bulkhead.conf", "bulkhead.efi", f"initrd-{new}", "mine.txt", f"vmlinux-{new}"]
    assert "up to date" in install(system, "update", esp=False)


def test_settings_are_kept(system):
    install(system, "install", "--no-boot-entry")
    conf = system / "etc/bulkhead/install.conf"
    conf.write_text(conf.read_text().replace("dom0_mem = \n", "dom0_mem = 3G\n"))
    install(system, "update", esp=False)
    install(system, "install", "--no-boot-entry")
    assert "dom0_mem = 3G\n" in (system / "esp/EFI/bulkhead/bulkhead.conf").read_text()


def test_secure_boot_is_noticed(system):
    variables = system / "sys/firmware/efi/efivars"
    variables.mkdir(parents=True)
    (variables / "SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c").write_bytes(b"\6\0\0\0\1")
    done = call(system, "install", "--esp", system / "esp", "--no-boot-entry")
    assert done.returncode == 0 and "--sign KEY CERT" in done.stderr


def test_no_initrd_yet(system):
    (system / "boot" / f"initrd.img-{VERSION}").unlink()
    done = call(system, "install", "--esp", system / "esp", "--no-boot-entry")
    assert done.returncode == 1 and "update-initramfs" in done.stderr


@pytest.mark.parametrize("arguments, word", [
    (["--kernel", "5.0"], "There is no kernel 5.0"), (["--loader", "/nowhere"], "bulkhead.efi was not found"),
    (["--esp", "/nowhere"], "no EFI system partition"), (["--unified"], "")])
def test_wrong_arguments_change_nothing(system, arguments, word):
    before = tree(system)
    done = call(system, "install", "--no-boot-entry", *(["--esp", system / "esp"] if "--esp" not in arguments else []),
                *arguments)
    assert done.returncode == 1 and word in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert tree(system) == before


def test_without_room_nothing_is_touched(program, system, monkeypatch, capsys):
    before = tree(system)
    real = os.statvfs
    monkeypatch.setattr(os, "statvfs", lambda p: os.statvfs_result((*real(p)[:3], 1, 1, *real(p)[5:])))
    monkeypatch.setattr("sys.argv", ["x", "--root", str(system), "--esp", str(system / "esp"), "--no-boot-entry",
                                     "install"])
    assert program.main() == 1
    assert "not enough room" in capsys.readouterr().err and tree(system) == before


@pytest.mark.parametrize("number", range(8))
def test_a_failing_write_is_undone(program, system, monkeypatch, capsys, number):
    before, real, calls = tree(system), os.replace, []

    def replace(old, new):
        calls.append(new)
        if len(calls) == number + 1:
            raise OSError(5, "Input/output error", str(new))
        real(old, new)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("sys.argv", ["x", "--root", str(system), "--esp", str(system / "esp"), "--no-boot-entry",
                                     "install"])
    assert program.main() == 1
    assert "Input/output error" in capsys.readouterr().err
    assert tree(system) == before


def test_boot_entry(program, system, monkeypatch, capsys):
    """On a pretended partition: added once, removed; and when it cannot be added, all is undone."""
    disk = system / "sys/sda/sda1"
    disk.mkdir(parents=True)
    (system / "sys/firmware/efi").mkdir(parents=True)
    (disk / "partition").write_text("1\n")
    real = os.path.realpath
    monkeypatch.setattr(os.path, "realpath",
                        lambda p, **k: str(disk) if str(p).startswith("/sys/dev") else real(p, **k))
    monkeypatch.setenv("PATH", f"{system}/bin:{os.environ['PATH']}")
    monkeypatch.setenv("ENTRIES", str(system / "entries"))

    def main(*arguments):
        monkeypatch.setattr("sys.argv", ["x", "--root", str(system), "--esp", str(system / "esp"), *arguments])
        return program.main()

    before = tree(system)
    assert main("install") == 1 and "No partition with a FAT file system" in capsys.readouterr().err
    monkeypatch.setattr(program, "file_system", lambda device: "vfat")
    monkeypatch.setenv("FAIL", "1")
    assert main("install") == 1 and "No space left" in capsys.readouterr().err
    assert tree(system) == before
    monkeypatch.setenv("FAIL", "")
    assert main("install") == main("install") == main("status") == 0
    entries = (system / "entries").read_text()
    assert entries.count("Bulkhead\t") == 1
    assert r"-d /dev/sda -p 1" in entries and r"\EFI\bulkhead\bulkhead.efi" in entries
    assert main("remove") == 0 and "Bulkhead" not in (system / "entries").read_text()


@pytest.mark.parametrize("efi", [False, True])
def test_no_way_to_the_firmware(system, efi):
    """Not started by EFI, or no efibootmgr: found before anything is written."""
    if efi:
        (system / "sys/firmware/efi").mkdir(parents=True)
    before = tree(system)
    done = subprocess.run([sys.executable, PROGRAM, "--root", system, "--esp", system / "esp", "install"], text=True,
                          env={"PATH": "/nowhere"} if efi else None, capture_output=True)
    assert done.returncode == 1 and tree(system) == before
    assert ("efibootmgr" if efi else "was not started by EFI") in done.stderr, done.stderr


@pytest.mark.parametrize("number", range(6))
def test_a_power_cut_leaves_a_start(program, system, monkeypatch, number):
    """Killed before each of its renames while a new kernel comes: what the configuration names is there, whole; the next
    update ends it and clears up."""
    install(system, "install", "--no-boot-entry")
    new = "6.1.0-29-amd64"
    (system / "boot" / f"vmlinuz-{new}").write_bytes(bzimage(gzip.compress(ELF + b"new")))
    (system / "boot" / f"initrd.img-{new}").write_bytes(b"new")
    (system / "usr/lib/bulkhead/bulkhead.efi").write_bytes(b"MZ new")
    real, left = os.replace, [number]

    def replace(old, path):
        if not left[0]:
            os._exit(9)
        left[0] -= 1
        real(old, path)

    monkeypatch.setattr(os, "replace", replace)
    monkeypatch.setattr("sys.argv", ["x", "--root", str(system), "update"])
    child = os.fork()
    if not child:
        os._exit(program.main())
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    folder = system / "esp/EFI/bulkhead"
    version = (folder / "bulkhead.conf").read_text().split("default = ")[1].split("\n")[0]
    assert status == 9 or version == new
    assert (folder / f"vmlinux-{version}").read_bytes() == ELF + (b"new" if version == new else b"")
    assert (folder / f"initrd-{version}").read_bytes() == (b"new" if version == new else b"initrd..")
    assert (folder / "bulkhead.efi").read_bytes() in (b"MZ", b"MZ new")
    monkeypatch.setattr(os, "replace", real)
    install(system, "update", esp=False)
    assert sorted(p.name for p in folder.iterdir()) == [
        "bulkhead.conf", "bulkhead.efi", f"initrd-{new}", f"vmlinux-{new}"]


def test_hooks(system):
    """Without an installation they do nothing; they are valid shell."""
    for hook in ("kernel-postinst", "kernel-postrm", "system-sleep"):
        path = PROGRAM.with_name(hook)
        assert subprocess.run(["sh", "-n", path]).returncode == 0
        assert os.access(path, os.X_OK)
        if not Path("/etc/bulkhead/install.conf").exists():
            assert subprocess.run([path, VERSION]).returncode == 0
