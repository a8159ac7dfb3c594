/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhMachineGrid: a scrollable grid of tiles that has widgets only for what is on screen, so that
 * 1,000 machines cost no more than a dozen. Put it into a GtkScrolledWindow.
 */
#pragma once

#include <gtk/gtk.h>

#include "machine-list.h"

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_GRID (bh_machine_grid_get_type())
G_DECLARE_FINAL_TYPE(BhMachineGrid, bh_machine_grid, BH, MACHINE_GRID, GtkContainer)

/* Signal "tile-width" (int): the tiles' width changed. */

GtkWidget *bh_machine_grid_new(void);
void bh_machine_grid_set_list(BhMachineGrid *self, BhMachineList *list);
/* Moves the focus to the machine of this index (clamped) and scrolls to it. */
void bh_machine_grid_focus(BhMachineGrid *self, int index);
/* Appends the machines whose tiles are on screen, in order, with a reference each. */
void bh_machine_grid_collect(BhMachineGrid *self, GPtrArray *machines);
void bh_machine_grid_update_picture(BhMachineGrid *self, BhMachine *machine);

G_END_DECLS
