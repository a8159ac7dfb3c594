/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUndoBar: one line per deleted machine, with Undo. A machine that was deleted in this window is
 * removed for good when its line runs out; one that was deleted earlier or elsewhere only when the
 * user says so. Quitting keeps everything.
 */
#pragma once

#include <bulkhead/host.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_UNDO_BAR (bh_undo_bar_get_type())
G_DECLARE_FINAL_TYPE(BhUndoBar, bh_undo_bar, BH, UNDO_BAR, GtkBox)

GtkWidget *bh_undo_bar_new(BhHost *host);

/* The machine with this id is about to be deleted by the user of this program (so its line may run
 * out), or was not after all. */
void bh_undo_bar_expect(const char *machine_id);
void bh_undo_bar_forget(const char *machine_id);

G_END_DECLS
