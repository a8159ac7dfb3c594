/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Tells a person about an error: what happened, what to do, and on request the details of the
 * layer below with a button that copies them.
 *
 * A window makes one bar and packs it anywhere (usually under its header bar). Any code that has a
 * widget of that window then says bh_error_show(widget, error, _("Could not ...")).
 */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_ERROR_BAR (bh_error_bar_get_type())
G_DECLARE_FINAL_TYPE(BhErrorBar, bh_error_bar, BH, ERROR_BAR, GtkRevealer)

/* Hidden while there is nothing to tell. The newest error replaces the one shown. */
GtkWidget *bh_error_bar_new(void);

/* title may be NULL: a short sentence above the error's message. */
void bh_error_bar_show(BhErrorBar *self, const GError *error, const char *title);
/* As above, as a warning or information without an error. hint may be NULL. */
void bh_error_bar_show_message(BhErrorBar *self, GtkMessageType type, const char *message,
                               const char *hint);
void bh_error_bar_hide(BhErrorBar *self);

/* Shows the error in the bar of the window that widget is in; in a message dialog where there is
 * none. Cancellation (G_IO_ERROR_CANCELLED) is not an error and shows nothing. error is borrowed.
 */
void bh_error_show(GtkWidget *widget, const GError *error, const char *title);

G_END_DECLS
