/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayScreen: the guest's picture, and how it fits its place.
 *
 * Either the whole picture is fitted into the room there is (the guest may be asked to change its
 * resolution to that room), or it has a fixed zoom and can be scrolled. Sizes are counted in device
 * pixels, so 100 % is one guest pixel on one screen pixel also on a HiDPI screen.
 */
#pragma once

#include <gtk/gtk.h>
#include <spice-client-gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_SCREEN (bh_display_screen_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayScreen, bh_display_screen, BH, DISPLAY_SCREEN, GtkBin)

/* Signals: "changed": the picture came, went or changed its size. "display" (SpiceDisplay or NULL):
 * the widget was made (to connect to its input signals), or is gone. */
BhDisplayScreen *bh_display_screen_new(void);

/* The session to show, or NULL for none. */
void bh_display_screen_set_session(BhDisplayScreen *self, SpiceSession *session);

SpiceDisplay *bh_display_screen_get_display(BhDisplayScreen *self); /* borrowed, or NULL */
gboolean bh_display_screen_is_ready(BhDisplayScreen *self);         /* there is a picture */
gboolean bh_display_screen_get_size(BhDisplayScreen *self, int *width, int *height); /* guest's */
GdkPixbuf *bh_display_screen_get_pixbuf(BhDisplayScreen *self); /* transfer full, or NULL */

/* fit: the room decides. Else zoom does. resize_guest counts only with fit and with an agent. */
void bh_display_screen_set_fit(BhDisplayScreen *self, gboolean fit);
void bh_display_screen_set_resize_guest(BhDisplayScreen *self, gboolean resize_guest);
void bh_display_screen_set_zoom(BhDisplayScreen *self, int percent);
int bh_display_screen_get_zoom(BhDisplayScreen *self); /* what is seen now, also when fitted */

#define BH_ZOOM_MIN 10
#define BH_ZOOM_MAX 400
/* The next step up (direction 1) or down (-1) from percent. */
int bh_display_zoom_step(int percent, int direction);

G_END_DECLS
