/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhHomeWindow: the machines of one host. */
#pragma once

#include <gtk/gtk.h>

#include "session.h"

G_BEGIN_DECLS

#define BH_TYPE_HOME_WINDOW (bh_home_window_get_type())
G_DECLARE_FINAL_TYPE(BhHomeWindow, bh_home_window, BH, HOME_WINDOW, GtkApplicationWindow)

GtkWidget *bh_home_window_new(GtkApplication *application, BhSession *session);
BhSession *bh_home_window_get_session(BhHomeWindow *self);
/* Opens New machine; file may be NULL. */
void bh_home_window_new_machine(BhHomeWindow *self, GFile *file);

G_END_DECLS
