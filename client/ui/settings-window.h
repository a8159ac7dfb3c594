/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The settings of one machine: each applies when it is changed, live where that is possible. */
#pragma once

#include <bulkhead/host.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Shown by the caller (gtk_window_present). Closes itself when the machine goes away. */
GtkWidget *bh_settings_window_new(GtkWindow *parent, BhMachine *machine, BhHost *host);

G_END_DECLS
