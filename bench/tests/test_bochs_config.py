# SPDX-License-Identifier: GPL-2.0-or-later
"""The pure parts of the Intel bench: Bochs's configuration, the kernel's EFI program, keys and pictures."""
import struct
import threading

import pytest

from bench import bochs_config, efi_linux, bochs_screen, keyboard
from bench.agent import Agent
from bench.bochs_line import Line, LineAgent
from bench.config import Config
from bench.errors import BenchError

TERMINALS = ["/dev/pts/7", "/dev/pts/8"]


def make(disks=("disks/esp.img", "disks/root.img"), **options):
    return bochs_config.bochsrc(Config(cpu="intel", **options), list(disks), TERMINALS, "bochs.log")


def lines_of(text):
    return dict(line.split(": ", 1) for line in text.splitlines())


def test_the_machine_of_a_config():
    lines = lines_of(make(mem=1024))
    assert "model=corei7_haswell_4770" in lines["cpu"] and "reset_on_triple_fault=1" in lines["cpu"]
    assert lines["memory"] == "guest=1024, host=1024"
    assert lines["romimage"] == "file=/usr/share/ovmf/OVMF.fd"
    assert lines["com1"].endswith("dev=/dev/pts/7") and lines["com2"].endswith("dev=/dev/pts/8")
    assert lines["log"] == "bochs.log"


def test_nobody_is_asked_when_bochs_panics():
    assert lines_of(make())["panic"] == "action=fatal"


def test_another_processor():
    assert "model=tigerlake" in make(cpu_model="tigerlake")


def test_disks_in_their_places():
    lines = lines_of(make([f"disks/{number}.img" for number in range(4)]))
    for number, place in enumerate(("ata0-master", "ata0-slave", "ata1-master", "ata1-slave")):
        assert f'path="disks/{number}.img"' in lines[place]


def test_a_fifth_disk_has_no_place():
    with pytest.raises(BenchError, match="more than 4 disks"):
        make(["disk"] * 5)


@pytest.mark.parametrize("options, lacks", [
    ({"nic": "e1000e"}, "e1000e network card"),
    ({"screen": "qxl"}, "qxl screen"),
    ({"mem": 4096}, "memory"),
    ({"usb": ["keyboard"]}, "USB devices"),
])
def test_what_bochs_has_not(options, lacks):
    with pytest.raises(BenchError, match=lacks) as error:
        make(**options)
    assert "Bochs" in error.value.why and "amd" in error.value.remedy


@pytest.mark.parametrize("name", ['a"b', "$HOME", "a,b", "a\nb"])
def test_a_name_bochs_cannot_read(name):
    with pytest.raises(BenchError, match="cannot open"):
        make([name])


def test_whole_cylinders():
    cylinder = bochs_config.CYLINDER
    assert [bochs_config.whole_cylinders(size) for size in (1, cylinder, cylinder + 1)] == [
        cylinder, cylinder, 2 * cylinder]


# --- the kernel's EFI program ---------------------------------------------------------------------

def elf_of(*segments, entry=0x1000000):
    """A vmlinux with segments of (physical address, content, size in memory)."""
    header = bytearray(64)
    struct.pack_into("<4sB", header, 0, b"\x7fELF", 2)
    struct.pack_into("<QQ", header, 24, entry, 64)
    struct.pack_into("<H", header, 56, len(segments))
    place, table, contents = 64 + 56 * len(segments), b"", b""
    for address, content, memory in segments:
        table += struct.pack("<IIQQQQQQ", 1, 7, place + len(contents), 0, address, len(content), memory, 0)
        contents += content
    return bytes(header) + table + contents


def test_the_plan_finds_everything():
    elf = elf_of((0x1000000, b"code" * 1000, 8192), (0x1200000, b"data\0\0", 0x5000))
    program = efi_linux.wrap(b"\x90" * 32, elf, b"INITRD", "console=ttyS0")
    start = efi_linux.PAGE
    options, initrd, initrd_size, low, high, entry, count = struct.unpack_from("<7Q", program, start + 32)
    assert program[start + options:].startswith(b"console=ttyS0\0")
    assert program[start + initrd:start + initrd + initrd_size] == b"INITRD"
    assert (low, high, entry, count) == (0x1000000, 0x1205000, 0x1000000, 2)
    second = struct.unpack_from("<4Q", program, start + 32 + 56 + 32)
    assert second[:2] == (0x1200000, 0x5000) and second[3] == 4  # the zeros at its end are left out
    assert program[start + second[2]:].startswith(b"data")


def test_the_program_is_a_pe_file_for_efi():
    program = efi_linux.wrap(b"\x90" * 32, elf_of((0x1000000, b"x", 1)), b"", "")
    place, = struct.unpack_from("<I", program, 60)
    assert program[:2] == b"MZ" and program[place:place + 4] == b"PE\0\0"
    machine, sections = struct.unpack_from("<HH", program, place + 4)
    assert (machine, sections) == (0x8664, 1)
    size_of_image, = struct.unpack_from("<I", program, place + 24 + 56)
    subsystem, = struct.unpack_from("<H", program, place + 24 + 68)
    assert size_of_image == len(program) and len(program) % 4096 == 0 and subsystem == 10


@pytest.mark.parametrize("elf", [b"", b"\x7fELF", b"MZ" + bytes(100), elf_of(),
                                 elf_of((0x1000000, b"code", 100))[:-2],
                                 elf_of(*[(0x1000000, b"x", 1)] * 9)])
def test_a_kernel_that_is_none(elf):
    with pytest.raises(BenchError, match="unpacked kernel"):
        efi_linux.read_elf(elf)


# --- screen and keys ------------------------------------------------------------------------------

def xwd(width, height, pixels, order=0):
    fields = [0] * 25
    fields[:8] = [108, 7, 2, 24, width, height, 0, order]
    fields[11], fields[12], fields[19] = 32, 4 * width, 2
    return struct.pack(">25I", *fields).ljust(108, b"\0") + bytes(24) + pixels


def test_a_window_dump_is_read():
    blue_green_red = bytes([3, 2, 1, 0, 6, 5, 4, 0])
    assert bochs_screen.read_xwd(xwd(2, 1, blue_green_red)).rgb == bytes([1, 2, 3, 4, 5, 6])
    assert bochs_screen.read_xwd(xwd(1, 1, bytes([0, 1, 2, 3]), order=1)).rgb == bytes([1, 2, 3])


@pytest.mark.parametrize("data", [b"", b"x" * 50, bytes(200), xwd(2, 2, bytes(15))])
def test_a_broken_window_dump(data):
    with pytest.raises(BenchError, match="screen"):
        bochs_screen.read_xwd(data)


def test_a_part_of_a_picture():
    picture = bochs_screen.read_xwd(xwd(2, 2, bytes(range(16))))
    assert bochs_screen.crop(picture, 1, 1, 1, 1).rgb == picture.rgb[9:12]


def test_every_character_has_a_key_of_x():
    for chord in keyboard.text("aZ09 -=[]\\;',./`!@#$%^&*()_+{}|:\"<>?~\n\t"):
        assert all(bochs_screen.keysym(key) for key in chord)
    assert [bochs_screen.keysym(key) for key in keyboard.chord("ctrl-alt-f1")] == ["Control_L", "Alt_L", "F1"]


def test_a_key_that_is_none():
    with pytest.raises(BenchError, match="is no key"):
        bochs_screen.keysym("hyper")


# --- the serial line ------------------------------------------------------------------------------

def test_a_line_passes_every_byte_and_hangs_up():
    line, got = Line(), []
    with open(line.path, "r+b", buffering=0) as far:
        everything = bytes(range(256))
        line.send(everything)
        assert far.read(256) == everything
        far.write(everything)
        while len(b"".join(got)) < 256:
            got.append(line.recv(1000))
        assert b"".join(got) == everything
    line.release()
    assert line.recv(10) == b""
    line.close()


def test_questions_nobody_heard_are_forgotten():
    """Four kilobytes fit into the line; an agent that takes long to come must find it usable."""
    line = Line()
    agent = LineAgent(line)
    for _ in range(200):
        with pytest.raises(BenchError):
            agent.sync(0.001)
    answers = threading.Thread(target=_answer, args=(line.path,), daemon=True)
    answers.start()
    Agent.wait(agent, 30)
    line.close()


def _answer(path):
    """Answers each question until the line hangs up."""
    with open(path, "r+b", buffering=0) as far:
        heard = b""
        while True:
            try:
                heard += far.read(4096)
            except OSError:
                return
            *questions, heard = heard.split(b"\n")
            for question in questions:
                number = question.rpartition(b'"id": ')[2].partition(b"}")[0]
                if number.isdigit():
                    far.write(b'\xff{"return": ' + number + b"}\n")
