# SPDX-License-Identifier: GPL-2.0-or-later
"""Names of keys: 'ctrl-alt-f1', and text as a US keyboard types it, in QEMU's key codes (qcodes)."""
from bench.errors import BenchError

PLAIN = dict(zip("`-=[]\\;',./ \n\t", (
    "grave_accent minus equal bracket_left bracket_right backslash semicolon apostrophe comma dot "
    "slash spc ret tab").split()))
SHIFTED = dict(zip('~!@#$%^&*()_+{}|:"<>?', (
    "grave_accent 1 2 3 4 5 6 7 8 9 0 minus equal bracket_left bracket_right backslash semicolon "
    "apostrophe comma dot slash").split()))
OTHER_NAMES = {"enter": "ret", "return": "ret", "space": "spc", "super": "meta_l", "win": "meta_l",
               "del": "delete", "ins": "insert", "escape": "esc", "pageup": "pgup", "pagedown": "pgdn"}


def chord(name):
    """'ctrl-alt-f1' as a list of key codes."""
    if not name or name.startswith("-") or "--" in name:
        raise BenchError(f"'{name}' is no key.", "", "Write keys like a, ret or ctrl-alt-f1.")
    return [OTHER_NAMES.get(key, key) for key in name.lower().split("-")]


def text(characters):
    """Chords that type the characters. BenchError for what a US keyboard does not have."""
    return [_character(character) for character in characters]


def _character(character):
    if character in PLAIN:
        return [PLAIN[character]]
    if character in SHIFTED:
        return ["shift", SHIFTED[character]]
    if character.isascii() and character.isalnum():
        return ["shift", character.lower()] if character.isupper() else [character]
    raise BenchError(f"A US keyboard has no '{character}'.")
