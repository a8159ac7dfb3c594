/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayBar: the buttons of a machine's window. One is the window's title bar, a second one
 * hides at the top edge in full screen. Everything in it acts through "win.*" and "machine.*"
 * actions.
 */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_BAR (bh_display_bar_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayBar, bh_display_bar, BH, DISPLAY_BAR, GtkHeaderBar)

/* arbiter may be NULL: no USB button. actions: those of the window, for "volume" and "muted".
 * floating: for full screen, without the window manager's buttons. */
BhDisplayBar *bh_display_bar_new(BhMachine *machine, BhUsbArbiter *arbiter, GActionMap *actions,
                                 GMenuModel *menu, gboolean floating);

void bh_display_bar_popup_usb(BhDisplayBar *self);
void bh_display_bar_popup_menu(BhDisplayBar *self);
gboolean bh_display_bar_has_popup(BhDisplayBar *self); /* one is open: do not hide */
/* Sound can be heard at all: the machine has a playback channel. */
void bh_display_bar_set_sound(BhDisplayBar *self, gboolean available);
/* Gives the keyboard to the bar, when it is taken from the guest. */
void bh_display_bar_focus(BhDisplayBar *self);

G_END_DECLS
