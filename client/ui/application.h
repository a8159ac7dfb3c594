/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhApplication: the single instance, its command line, actions and windows. */
#pragma once

#include <gtk/gtk.h>

#include "session.h"

G_BEGIN_DECLS

#define BH_TYPE_APPLICATION (bh_application_get_type())
G_DECLARE_FINAL_TYPE(BhApplication, bh_application, BH, APPLICATION, GtkApplication)

BhApplication *bh_application_new(void);

/* Presents the machine's window, which is made when there is none; a machine that is off is
 * started. from: the window the wish came from, or NULL. */
void bh_application_open_machine(BhMachine *machine, GtkWindow *from);
/* The machine's window if there is one, or NULL. */
GtkWindow *bh_application_find_machine_window(BhMachine *machine);
void bh_application_show_settings(BhMachine *machine, GtkWindow *from);
void bh_application_show_usb(BhMachine *machine, GtkWindow *from);

/* The home window of a session, made when there is none; not presented. */
GtkWindow *bh_application_get_home(BhApplication *self, BhSession *session);

G_END_DECLS
