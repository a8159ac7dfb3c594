/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The New machine window: choose a medium, look at what is proposed, create. */
#pragma once

#include <gtk/gtk.h>

#include "session.h"

G_BEGIN_DECLS

#define BH_TYPE_NEW_MACHINE (bh_new_machine_get_type())
G_DECLARE_FINAL_TYPE(BhNewMachine, bh_new_machine, BH, NEW_MACHINE, GtkWindow)

/* Shown by the caller. The work it starts belongs to the session and outlives the window. */
GtkWidget *bh_new_machine_new(GtkWindow *parent, BhSession *session);
/* Goes on with this file, as if it had been chosen. */
void bh_new_machine_take_file(BhNewMachine *self, const char *path);

/* Prepares the demo desktop when that has not been done, makes a machine of it, starts and opens
 * it: what the first-run button does. Progress is one of the session's jobs; errors are shown by
 * window. */
void bh_new_machine_demo(GtkWindow *window, BhSession *session);

G_END_DECLS
