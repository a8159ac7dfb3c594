/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Small helpers of the windows: accessible names, sizes in words, style classes. */
#include "util.h"

#include <glib/gi18n.h>

void bh_set_accessible_name(GtkWidget *widget, const char *name)
{
    AtkObject *accessible = gtk_widget_get_accessible(widget);

    if (accessible)
        atk_object_set_name(accessible, name);
}

void bh_set_accessible_description(GtkWidget *widget, const char *description)
{
    AtkObject *accessible = gtk_widget_get_accessible(widget);

    if (accessible)
        atk_object_set_description(accessible, description ? description : "");
}

static void name_button(GtkWidget *widget, gpointer data)
{
    if (GTK_IS_BUTTON(widget) && !gtk_button_get_label(GTK_BUTTON(widget)))
        bh_set_accessible_name(widget, _("Close"));
    else if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), name_button, data);
}

void bh_name_close_button(GtkWidget *info_bar)
{
    gtk_container_forall(GTK_CONTAINER(info_bar), name_button, NULL);
}

void bh_toggle_class(GtkWidget *widget, const char *css_class, gboolean on)
{
    GtkStyleContext *style = gtk_widget_get_style_context(widget);

    if (on)
        gtk_style_context_add_class(style, css_class);
    else
        gtk_style_context_remove_class(style, css_class);
}

char *bh_format_mib(guint mib)
{
    if (mib < 1024)
        return g_strdup_printf(_("%u MiB"), mib);
    /* Whole numbers are written as such: "4 GiB", else "1.5 GiB". */
    if (mib % 1024 == 0)
        return g_strdup_printf(_("%u GiB"), mib / 1024);
    return g_strdup_printf(_("%.1f GiB"), mib / 1024.0);
}

void bh_copy_text(GtkWidget *widget, const char *text)
{
    GtkClipboard *clipboard = gtk_widget_get_clipboard(widget, GDK_SELECTION_CLIPBOARD);

    gtk_clipboard_set_text(clipboard, text, -1);
    gtk_clipboard_store(clipboard);
}

const char *bh_state_get_icon_name(BhState state)
{
    switch (state) {
    case BH_STATE_STARTING:
    case BH_STATE_RUNNING:
    case BH_STATE_STOPPING:
        return "media-playback-start-symbolic";
    case BH_STATE_PAUSED:
        return "media-playback-pause-symbolic";
    case BH_STATE_SAVING:
    case BH_STATE_SAVED:
        return "document-save-symbolic";
    case BH_STATE_CRASHED:
        return "dialog-warning-symbolic";
    case BH_STATE_OFF:
    case BH_STATE_GONE:
        return "system-shutdown-symbolic";
    }
    return "computer-symbolic";
}

void bh_unref_closure_data(gpointer data, GClosure *closure)
{
    g_object_unref(data);
}
