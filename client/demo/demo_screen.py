#!/usr/bin/python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Looks at pictures of the demo desktop: is it there yet?

As a module: desktop_visible(picture). As a program: waits until a machine shows its desktop and the client shows
the machine, then saves a picture of the X screen.

Usage: demo_screen.py --machine NAME --output FILE [--connect URI] [--limit SECONDS]
"""
import argparse
import os
import subprocess
import sys
import tempfile
import time

import gi

gi.require_version("GdkPixbuf", "2.0")
from gi.repository import GdkPixbuf, GLib  # noqa: E402

BACKGROUND = bytes((0x2B, 0x5D, 0x8A))  # desktop_bg in recipe/rootfs/.../desktop-items-0.conf
PANEL = (0x1C, 0x1F, 0x26)  # tintcolor in recipe/rootfs/.../panel
PANEL_HEIGHT = 40


def load(path):
    """The picture as (width, height, bytes per line, bytes per pixel, pixels), or None."""
    try:
        picture = GdkPixbuf.Pixbuf.new_from_file(path)
    except GLib.Error:
        return None
    return (picture.get_width(), picture.get_height(), picture.get_rowstride(),
            picture.get_n_channels(), picture.get_pixels())


def background_share(picture):
    """Which part of the picture is desktop background, 0 to 1."""
    width, height, stride, size, pixels = picture
    found = 0
    for y in range(0, height, 8):
        line = pixels[y * stride:y * stride + width * size]
        found += sum(line[x:x + 3] == BACKGROUND for x in range(0, width * size, 8 * size))
    return found * 64 / (width * height)


def panel_visible(picture):
    """The lower edge has the panel's colour (themes shade it a little), with icons and a clock on it."""
    width, height, stride, size, pixels = picture
    dark = bright = 0
    for y in range(height - PANEL_HEIGHT, height):
        for x in range(y * stride, y * stride + width * size, size):
            colour = pixels[x:x + 3]
            dark += all(abs(colour[i] - PANEL[i]) < 24 for i in range(3))
            bright += sum(colour) > 480
    return dark > width * PANEL_HEIGHT * 0.3 and bright > 200


def desktop_visible(picture):
    return picture is not None and background_share(picture) > 0.1 and panel_visible(picture)


def wait(what, limit, look):
    end = time.monotonic() + limit
    while time.monotonic() < end:
        if look():
            return
        time.sleep(1)
    sys.exit(f"demo_screen: {what} did not happen within {limit} seconds")


def main():
    parser = argparse.ArgumentParser(description=__doc__,
                                     formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--machine", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--connect", default=os.environ.get("LIBVIRT_DEFAULT_URI", "qemu:///session"))
    parser.add_argument("--limit", type=int, default=900)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        shot = os.path.join(folder, "guest.png")

        def guest_ready():
            command = ["bulkheadctl", "--connect", arguments.connect, "screenshot", "--force",
                       arguments.machine, shot]
            subprocess.run(command, capture_output=True, check=False)
            return desktop_visible(load(shot)) if os.path.exists(shot) else False

        def client_ready():
            subprocess.run(["import", "-window", "root", "-trim", "+repage", arguments.output],
                           check=True)
            picture = load(arguments.output)
            return picture is not None and background_share(picture) > 0.1

        wait("the demo desktop's appearance", arguments.limit, guest_ready)
        wait("its appearance in the client", 60, client_ready)
    return 0


if __name__ == "__main__":
    sys.exit(main())
