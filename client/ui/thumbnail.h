/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhThumbnail: draws a machine's screen in small, or what stands for it while it has none.
 * BhThumbnailer: fetches the pictures of the machines that can be seen, and only of those.
 */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_THUMBNAIL (bh_thumbnail_get_type())
G_DECLARE_FINAL_TYPE(BhThumbnail, bh_thumbnail, BH, THUMBNAIL, GtkDrawingArea)

void bh_thumbnail_set_machine(BhThumbnail *self, BhMachine *machine);

#define BH_TYPE_THUMBNAILER (bh_thumbnailer_get_type())
G_DECLARE_FINAL_TYPE(BhThumbnailer, bh_thumbnailer, BH, THUMBNAILER, GObject)

/* Signals: "collect" (GPtrArray): adds the machines on screen now, in order; "updated" (BhMachine).
 */
BhThumbnailer *bh_thumbnailer_new(void);
/* Nothing is fetched while it is off (the window is hidden). */
void bh_thumbnailer_set_active(BhThumbnailer *self, gboolean active);
/* Pictures are made for this width in device pixels. */
void bh_thumbnailer_set_width(BhThumbnailer *self, int width);

G_END_DECLS
