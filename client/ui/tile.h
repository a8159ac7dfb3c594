/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhTile: one machine in the home window: its screen in small, name, state, and its menu. */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_TILE (bh_tile_get_type())
G_DECLARE_FINAL_TYPE(BhTile, bh_tile, BH, TILE, GtkOverlay)

GtkWidget *bh_tile_new(void);
/* Tiles are reused for other machines while scrolling; NULL lets go of the machine. */
void bh_tile_set_machine(BhTile *self, BhMachine *machine);
BhMachine *bh_tile_get_machine(BhTile *self);
void bh_tile_update_picture(BhTile *self);
/* Focus goes to the tile's main button. */
void bh_tile_focus(BhTile *self);

G_END_DECLS
