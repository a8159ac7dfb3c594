/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Preferences: the style and the default host. The desktop's own dark preference is asked of the
 * settings portal, without starting one that does not run. */
#include "preferences.h"

#include <glib/gi18n.h>

#include "prefs.h"
#include "util.h"

#define PORTAL "org.freedesktop.portal.Desktop"
#define PORTAL_PATH "/org/freedesktop/portal/desktop"
#define PORTAL_SETTINGS "org.freedesktop.portal.Settings"
#define APPEARANCE "org.freedesktop.appearance"
#define PREFERS_DARK 1 /* value of color-scheme */

static gboolean desktop_dark;       /* what the portal says */
static gboolean theme_default_dark; /* what GTK was configured with */

static void apply_style(void)
{
    g_autofree char *style = bh_prefs_get_string(bh_prefs_get(), "style", "follow");
    gboolean dark = theme_default_dark || desktop_dark;

    if (!g_str_equal(style, "follow"))
        dark = g_str_equal(style, "dark");
    g_object_set(gtk_settings_get_default(), "gtk-application-prefer-dark-theme", dark, NULL);
}

static void take_scheme(GVariant *value)
{
    g_autoptr(GVariant) inner = g_variant_ref(value);

    /* Read wraps its answer in a variant more than the signal does. */
    while (g_variant_is_of_type(inner, G_VARIANT_TYPE_VARIANT)) {
        GVariant *next = g_variant_get_variant(inner);
        g_variant_unref(inner);
        inner = next;
    }
    if (!g_variant_is_of_type(inner, G_VARIANT_TYPE_UINT32))
        return;
    desktop_dark = g_variant_get_uint32(inner) == PREFERS_DARK;
    apply_style();
}

static void on_setting_changed(GDBusConnection *bus, const char *sender, const char *path,
                               const char *interface, const char *signal, GVariant *parameters,
                               gpointer data)
{
    const char *group, *key;
    g_autoptr(GVariant) value = NULL;

    if (!g_variant_is_of_type(parameters, G_VARIANT_TYPE("(ssv)")))
        return;
    g_variant_get(parameters, "(&s&sv)", &group, &key, &value);
    if (g_str_equal(group, APPEARANCE) && g_str_equal(key, "color-scheme"))
        take_scheme(value);
}

static void on_scheme_read(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GVariant) answer =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, NULL);
    g_autoptr(GVariant) value = answer ? g_variant_get_child_value(answer, 0) : NULL;

    if (value)
        take_scheme(value);
}

void bh_style_start(GApplication *application)
{
    GDBusConnection *bus = g_application_get_dbus_connection(application);
    GSettings *prefs = bh_prefs_get();

    g_object_get(gtk_settings_get_default(), "gtk-application-prefer-dark-theme",
                 &theme_default_dark, NULL);
    apply_style();
    if (prefs)
        g_signal_connect(prefs, "changed::style", G_CALLBACK(apply_style), NULL);
    if (!bus)
        return;
    g_dbus_connection_signal_subscribe(bus, PORTAL, PORTAL_SETTINGS, "SettingChanged", PORTAL_PATH,
                                       APPEARANCE, G_DBUS_SIGNAL_FLAGS_NONE, on_setting_changed,
                                       NULL, NULL);
    g_dbus_connection_call(bus, PORTAL, PORTAL_PATH, PORTAL_SETTINGS, "Read",
                           g_variant_new("(ss)", APPEARANCE, "color-scheme"), G_VARIANT_TYPE("(v)"),
                           G_DBUS_CALL_FLAGS_NO_AUTO_START, -1, NULL, on_scheme_read, NULL);
}

static GtkWidget *add_row(GtkWidget *grid, int row, const char *text, GtkWidget *control)
{
    GtkWidget *label = gtk_label_new_with_mnemonic(text);

    gtk_label_set_xalign(GTK_LABEL(label), 1);
    gtk_label_set_mnemonic_widget(GTK_LABEL(label), control);
    bh_set_accessible_name(control, gtk_label_get_text(GTK_LABEL(label)));
    gtk_style_context_add_class(gtk_widget_get_style_context(label), "dim-label");
    gtk_widget_set_hexpand(control, TRUE);
    gtk_grid_attach(GTK_GRID(grid), label, 0, row, 1, 1);
    gtk_grid_attach(GTK_GRID(grid), control, 1, row, 1, 1);
    return control;
}

static GtkWidget *make_style_choice(void)
{
    GtkWidget *combo = gtk_combo_box_text_new();

    gtk_combo_box_text_append(GTK_COMBO_BOX_TEXT(combo), "follow", _("As the desktop"));
    gtk_combo_box_text_append(GTK_COMBO_BOX_TEXT(combo), "light", _("Light"));
    gtk_combo_box_text_append(GTK_COMBO_BOX_TEXT(combo), "dark", _("Dark"));
    return combo;
}

GtkWidget *bh_preferences_new(GtkWindow *parent)
{
    GtkWidget *dialog = gtk_dialog_new_with_buttons(
        _("Preferences"), parent, GTK_DIALOG_USE_HEADER_BAR | GTK_DIALOG_DESTROY_WITH_PARENT, NULL,
        NULL);
    GtkWidget *content = gtk_dialog_get_content_area(GTK_DIALOG(dialog));
    GtkWidget *grid = gtk_grid_new();
    GtkWidget *style = add_row(grid, 0, _("_Style"), make_style_choice());
    GtkWidget *uri = add_row(grid, 1, _("_Host opened at start"), gtk_entry_new());
    GSettings *prefs = bh_prefs_get();

    gtk_grid_set_row_spacing(GTK_GRID(grid), 12);
    gtk_grid_set_column_spacing(GTK_GRID(grid), 12);
    g_object_set(grid, "margin", 18, NULL);
    gtk_entry_set_width_chars(GTK_ENTRY(uri), 30);
    gtk_widget_set_tooltip_text(uri, _("A libvirt URI, for instance qemu:///session"));
    gtk_container_add(GTK_CONTAINER(content), grid);
    gtk_widget_set_sensitive(grid, prefs != NULL);
    if (prefs) {
        g_settings_bind(prefs, "style", style, "active-id", G_SETTINGS_BIND_DEFAULT);
        g_settings_bind(prefs, "uri", uri, "text", G_SETTINGS_BIND_DEFAULT);
    } else {
        gtk_widget_set_tooltip_text(grid, _("Bulkhead’s settings schema is not installed, so "
                                            "nothing can be remembered."));
    }
    gtk_window_set_resizable(GTK_WINDOW(dialog), FALSE);
    g_signal_connect(dialog, "response", G_CALLBACK(gtk_widget_destroy), NULL);
    gtk_widget_show_all(grid);
    return dialog;
}
