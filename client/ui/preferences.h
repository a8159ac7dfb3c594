/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The app's preferences, and the dark style they choose. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Shown by the caller. */
GtkWidget *bh_preferences_new(GtkWindow *parent);

/* Sets the style and keeps following the preference and, for "follow", the desktop. Once, at start.
 */
void bh_style_start(GApplication *application);

G_END_DECLS
