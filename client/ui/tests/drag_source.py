# SPDX-License-Identifier: GPL-2.0-or-later
"""A window to drag a file from: drag_source.py URI. Stands in for a file manager in tests. Prints
"shown", "accepted" or "refused" as what is under the pointer would take the file or not."""
import sys

import gi

gi.require_version("Gtk", "3.0")
from gi.repository import Gdk, Gtk  # noqa: E402

window = Gtk.Window(title="Drag source")
window.set_default_size(200, 120)
box = Gtk.EventBox()
box.add(Gtk.Label(label="file"))
box.drag_source_set(Gdk.ModifierType.BUTTON1_MASK, [], Gdk.DragAction.COPY)
box.drag_source_add_uri_targets()
box.connect("drag-data-get", lambda w, c, data, i, t: data.set_uris([sys.argv[1]]))


def tell(word):
    print(word, flush=True)


def on_begin(_widget, context):
    context.connect("action-changed", lambda _c, action: tell("accepted" if action else "refused"))


box.connect("drag-begin", on_begin)
window.connect("map-event", lambda *_: tell("shown"))
window.add(box)
window.connect("destroy", Gtk.main_quit)
window.show_all()
window.move(1000, 800)
Gtk.main()
