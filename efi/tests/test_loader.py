# SPDX-License-Identifier: GPL-2.0-or-later
"""bulkhead.efi in OVMF: from the power button to a hypervisor (the stub), and every way to fail before."""
import struct
import subprocess

import machine
import pytest
from test_install import install, make_system  # noqa: F401

pytestmark = pytest.mark.machine
BOOT, CONF = "EFI/BOOT/BOOTX64.EFI", "EFI/BOOT/bulkhead.conf"
BACK = "BdsDxe: failed to start"  # OVMF, when a boot entry came back
KEY = "Press a key to return to the firmware"
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


def esp(tmp_path, loader, config=None, **files):
    """An ESP with the loader, a configuration, a kernel and an initrd; `files`: others (None: left out)."""
    found = {"linux": kernel(), "initrd": b"INITRD..", **files}
    contents = {f"EFI/BOOT/{name}": data for name, data in found.items() if data is not None}
    contents.update({} if config is False else {CONF: conf() if config is None else config})
    return machine.make_esp(tmp_path / "esp.img", {BOOT: loader, **contents})


def fails(tmp_path, image, *words, **options):
    """Boots and expects a message with these words, then the firmware again after a key."""
    run = machine.boot(tmp_path, image, stop_at=BACK, key=KEY, **options)
    assert "stub:" not in run.text, run
    for word in ("Why:", "What to do:", KEY, *words):
        assert word in run.words, (word, str(run))
    return run


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
    assert (run.value("framebuffer width"), run.value("framebuffer red")) == (1280, 0xff0000)


@pytest.mark.parametrize("cpu", [machine.CPU, machine.CPU + ",-pdpe1gb", "max"])
def test_memory_above_4_gib(tmp_path, loader, cpu):
    run = machine.boot(tmp_path, esp(tmp_path, loader), cpu=cpu, mem="6G")
    assert run.status == machine.ANSWERED, run
    assert 1 << 30 < run.value("image_start") < 4 << 30


def shell(tmp_path, loader, *commands, config=None):
    """An ESP from which OVMF's shell runs commands, in the folder an installation has."""
    files = {"EFI/bulkhead/bulkhead.efi": loader, "EFI/bulkhead/linux": kernel(),
             "EFI/bulkhead/bulkhead.conf": config or conf(initrd=None),
             "startup.nsh": "\r\n".join(["@echo -off", "fs0:", *commands, ""]).encode()}
    return machine.make_esp(tmp_path / "esp.img", files)


def test_messages_are_not_doubled(tmp_path, loader):
    run = machine.boot(tmp_path, esp(tmp_path, loader))
    assert run.text.count("Starting the hypervisor.") == 1, run


def test_serial_io(tmp_path, loader):
    """Without a UART in ConOut the loader writes to the 16550 itself; here it is then told twice."""
    image = shell(tmp_path, loader, "setvar ConOut -guid 8be4df61-93ca-11d2-aa0d-00e098032b8c -nv -bs -rt =",
                  "\\EFI\\bulkhead\\bulkhead.efi")
    run = machine.boot(tmp_path, image)
    assert run.status == machine.ANSWERED and run.text.count("Starting the hypervisor.") == 2, run


def test_entry_by_boot_options(tmp_path, loader):
    config = conf("default=debian\n", initrd=None) + b"[other]\nkernel=linux\noptions=the other\n"
    image = shell(tmp_path, loader, "\\EFI\\bulkhead\\bulkhead.efi entry=none", "echo back %lasterror%",
                  "\\EFI\\bulkhead\\bulkhead.efi quiet entry=other x=y", config=config)
    run = machine.boot(tmp_path, image, key=KEY)
    assert "There is no entry 'none'" in run.words and "back 0x1" in run.words, run
    assert run.status == machine.ANSWERED and "kernel options = 'the other'" in run.text, run


def test_memory_is_given_back(tmp_path, loader):
    """A start that fails after 150 of 256 MiB were taken can be tried again."""
    with open(tmp_path / "large", "wb") as file:
        file.truncate(100 << 20)
    files = {"EFI/bulkhead/bulkhead.efi": loader, "EFI/bulkhead/large": tmp_path / "large",
             "EFI/bulkhead/linux": b"no kernel" + bytes(20 << 20),
             "EFI/bulkhead/bulkhead.conf": conf(kernel="large", initrd=None),
             "startup.nsh": b"@echo -off\r\nfs0:\r\n" + b"\\EFI\\bulkhead\\bulkhead.efi\r\n" * 3 +
                            b"echo all done\r\n"}
    run = machine.boot(tmp_path, machine.make_esp(tmp_path / "esp.img", files), mem="256M", stop_at="all done",
                       key=KEY)
    assert run.text.count("It is not an ELF file.") == 3, run


@pytest.mark.parametrize("config, words", [
    (b"", ["It is empty", "bulkhead-install"]),
    (b"# nothing\n", ["There is no entry in it"]),
    (b"[debian\nkernel=linux\n", ["Line 1 is not the beginning of an entry"]),
    (b"# c\n\n[debian]\nkernle = linux\n", ["Line 4: there is no key 'kernle'", "kernel, initrd, options"]),
    (conf("default = other\n"), ["There is no entry 'other'", "default = NAME"]),
    (conf(kernel=None), ["The entry 'debian' cannot be started", "kernel = FILE"]),
    (conf(dom0_mem="much"), ["'much' is not a size", "1536M"]),
    (conf(dom0_mem="64G"), ["dom0_mem = 64G cannot be had", "smaller dom0_mem"]),
    (conf(kernel="nowhere"), ["\\EFI\\BOOT\\nowhere cannot be opened", "bulkhead-install"]),
    (conf(initrd="/nowhere"), ["\\nowhere cannot be opened"]),
    (conf(kernel="../BOOT"), ["cannot be used"]),
    (False, ["\\EFI\\BOOT\\bulkhead.conf cannot be opened", "bulkhead-install"]),
    (b"\xff\xfe[\0d\0]\0", ["not ASCII"]),
])
def test_bad_configuration(tmp_path, loader, config, words):
    fails(tmp_path, esp(tmp_path, loader, config), *words)


@pytest.mark.parametrize("data, words", [
    (kernel(note(kind=17)), ["no PVH entry", "CONFIG_PVH"]),
    (kernel(size=100000)[:5000], ["cut short", "Copy the file again"]),
    (kernel()[:40], ["ends within its header"]),
    (bytes(0x202) + b"HdrS" + bytes(4096), ["bzImage", "extract-vmlinux", "bulkhead-install"]),
    (b"\x1f\x8b" + bytes(100), ["packed"]),
    (b"hello world, this is no kernel", ["not an ELF file"]),
    (b"", ["It is empty"]),
])
def test_bad_kernel(tmp_path, loader, data, words):
    fails(tmp_path, esp(tmp_path, loader, linux=data), *words)


def test_too_little_memory(tmp_path, loader):
    with open(tmp_path / "large", "wb") as file:
        file.truncate(200 << 20)
    fails(tmp_path, esp(tmp_path, loader, initrd=tmp_path / "large"), "There are no 200 MiB of memory for",
          "more memory", mem="256M")


@pytest.mark.parametrize("cpu, words", [
    ("EPYC-Rome,-svm", ["no AMD-V (SVM)", "Turn on"]),
    ("EPYC-Rome,+svm,-npt", ["no nested paging"]),
])
def test_processor(tmp_path, loader, cpu, words):
    fails(tmp_path, esp(tmp_path, loader), *words, cpu=cpu)


def test_goes_on_without_a_key(tmp_path, loader):
    run = machine.boot(tmp_path, esp(tmp_path, loader, False), stop_at=BACK, timeout=120)
    assert KEY in run.words and BACK in run.words


class TestSecureBoot:
    @pytest.fixture(scope="class")
    def key(self, tmp_path_factory):
        """Debian's snakeoil key, without its passphrase."""
        path = tmp_path_factory.mktemp("key") / "key.pem"
        subprocess.run(["openssl", "rsa", "-in", SNAKEOIL + ".key", "-passin", "pass:snakeoil", "-out", path],
                       check=True, capture_output=True)
        return path

    def sign(self, key, loader, to):
        subprocess.run(["sbsign", "--key", key, "--cert", SNAKEOIL + ".pem", "--output", to, loader], check=True,
                       capture_output=True)
        return to

    def test_files_are_refused(self, tmp_path, loader, key):
        signed = self.sign(key, loader, tmp_path / "signed.efi")
        fails(tmp_path, esp(tmp_path, signed), "Secure Boot is on", "--unified --sign KEY CERT", secure=True)

    def test_unsigned_is_refused_by_the_firmware(self, tmp_path, loader):
        run = machine.boot(tmp_path, esp(tmp_path, loader), secure=True, stop_at="BdsDxe: failed to load")
        assert "bulkhead.efi 0" not in run.text

    def test_unified_signed(self, tmp_path, loader, image, key):
        system = make_system(tmp_path, loader, image)
        install(system, "install", "--unified", "--sign", key, SNAKEOIL + ".pem", "--no-boot-entry")
        made = machine.make_esp(tmp_path / "esp.img", {BOOT: system / "esp/EFI/bulkhead/bulkhead.efi"})
        run = machine.boot(tmp_path, made, secure=True, mem="1G")
        assert run.status == machine.ANSWERED, run
        assert run.value("secure_boot") == 1
        assert run.value("kernel segments") >= 4

    def test_changed_image_is_refused(self, tmp_path, loader, image, key):
        system = make_system(tmp_path, loader, image)
        install(system, "install", "--unified", "--sign", key, SNAKEOIL + ".pem", "--no-boot-entry")
        path = system / "esp/EFI/bulkhead/bulkhead.efi"
        data = path.read_bytes()
        path.write_bytes(data.replace(b"root=/dev/sda1", b"root=/dev/sdb1"))
        assert path.read_bytes() != data
        run = machine.boot(tmp_path, machine.make_esp(tmp_path / "esp.img", {BOOT: path}), secure=True,
                           stop_at="BdsDxe: failed to load")
        assert "bulkhead.efi 0" not in run.text


class TestInstalled:
    @pytest.mark.parametrize("options", [[], ["--unified"]])
    def test_what_was_installed_starts(self, tmp_path, loader, image, options):
        system = make_system(tmp_path, loader, image)
        install(system, "install", "--no-boot-entry", *options)
        files = {f"EFI/BOOT/{p.name}": p for p in (system / "esp/EFI/bulkhead").iterdir()}
        files[BOOT] = files.pop("EFI/BOOT/bulkhead.efi")
        run = machine.boot(tmp_path, machine.make_esp(tmp_path / "esp.img", files), mem="1G")
        assert run.status == machine.ANSWERED, run
        assert "kernel options = 'root=/dev/sda1 ro'" in run.text
