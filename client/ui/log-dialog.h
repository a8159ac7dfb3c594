/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Shows why a machine went away, and the last lines of its log, with a button that copies them. */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Shown by the caller. parent may be NULL. */
GtkWidget *bh_log_dialog_new(GtkWindow *parent, BhMachine *machine);

G_END_DECLS
