# SPDX-License-Identifier: GPL-2.0-or-later
"""Pictures and keys: what comes from outside is checked, what people get is right."""
import pytest

from bench import keyboard
from bench.errors import BenchError
from bench.screen import Picture, parse_ppm


def test_a_picture_is_read_and_looked_at():
    picture = parse_ppm(b"P6\n# made by hand\n2 1\n255\n" + bytes((1, 2, 3, 200, 100, 0)))
    assert (picture.width, picture.height, picture.pixel(1, 0)) == (2, 1, (200, 100, 0))


def test_share_of_a_colour():
    picture = Picture(64, 64, bytes((10, 20, 30)) * 64 * 32 + bytes((255, 255, 255)) * 64 * 32)
    assert picture.share((12, 18, 30)) == pytest.approx(0.5, abs=0.01)
    assert picture.colours() == 2


@pytest.mark.parametrize("data", [b"", b"P5\n2 1\n255\n12", b"P6\n2 2\n255\n123", b"P6\n0 0\n255\n",
                                  b"P6\n99999999 1\n255\n", b"P6\n2 1\n65535\n" + b"x" * 12])
def test_a_broken_picture_is_refused(data):
    with pytest.raises(BenchError):
        parse_ppm(data)


def test_png_is_what_other_programs_read(tmp_path):
    pixbuf = pytest.importorskip("gi.repository.GdkPixbuf")
    path = tmp_path / "a.png"
    path.write_bytes(Picture(3, 2, bytes(range(18))).png())
    loaded = pixbuf.Pixbuf.new_from_file(str(path))
    assert (loaded.get_width(), loaded.get_height(), loaded.get_pixels()[:9]) == (3, 2, bytes(range(9)))


def test_keys():
    assert keyboard.chord("Ctrl-Alt-F1") == ["ctrl", "alt", "f1"]
    assert keyboard.chord("enter") == ["ret"]
    assert keyboard.text("aB1!/ \n") == [["a"], ["shift", "b"], ["1"], ["shift", "1"], ["slash"],
                                         ["spc"], ["ret"]]


@pytest.mark.parametrize("name", ["", "-", "ctrl--a"])
def test_no_key(name):
    with pytest.raises(BenchError):
        keyboard.chord(name)


def test_what_no_us_keyboard_has_is_refused():
    with pytest.raises(BenchError, match="ü"):
        keyboard.text("für")
