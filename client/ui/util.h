/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers of the windows: accessible names, sizes in words, style classes. */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* What a screen reader calls the widget. Icon-only controls must have one. */
void bh_set_accessible_name(GtkWidget *widget, const char *name);
void bh_set_accessible_description(GtkWidget *widget, const char *description);

/* GTK leaves the close button of an info bar without a name. */
void bh_name_close_button(GtkWidget *info_bar);

/* Adds the class when on, removes it when off. */
void bh_toggle_class(GtkWidget *widget, const char *css_class, gboolean on);

/* "4.0 GiB"; transfer full. */
char *bh_format_mib(guint mib);

/* Puts text on the clipboard, also for after the program has ended. */
void bh_copy_text(GtkWidget *widget, const char *text);

/* The symbolic icon of a state, and its CSS class ("running", "off", "crashed", ...). */
const char *bh_state_get_icon_name(BhState state);

/* g_object_unref for a closure's data, with the right type. */
void bh_unref_closure_data(gpointer data, GClosure *closure);

G_END_DECLS
