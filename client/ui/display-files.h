/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayFiles: files dropped on the screen go to the guest (its Downloads folder, where
 * spice-vdagent puts them). A bar shows progress and rate, and cancels.
 */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>
#include <spice-client.h>

#include "error-bar.h"

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_FILES (bh_display_files_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayFiles, bh_display_files, BH, DISPLAY_FILES, GtkRevealer)

/* The widget is the progress bar, to be laid over the screen. */
BhDisplayFiles *bh_display_files_new(BhMachine *machine, BhErrorBar *errors);
/* The main channel that carries files, or NULL; agent: it can take them. */
void bh_display_files_set_channel(BhDisplayFiles *self, SpiceMainChannel *channel, gboolean agent);
/* Files can be dropped on this widget from now on; replaces what it did with drops before. */
void bh_display_files_accept_drops(BhDisplayFiles *self, GtkWidget *widget);
/* Lets the user choose files to send. */
void bh_display_files_choose(BhDisplayFiles *self);
/* files: of GFile. */
void bh_display_files_send(BhDisplayFiles *self, GPtrArray *files);

G_END_DECLS
