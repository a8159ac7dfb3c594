/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One row of the settings. */
#include "settings-row.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#include "util.h"

struct _BhSettingsRow {
    GtkListBoxRow parent_instance;
    GtkWidget *title, *subtitle, *badge, *error;
};

G_DEFINE_TYPE(BhSettingsRow, bh_settings_row, GTK_TYPE_LIST_BOX_ROW)

static GtkWidget *make_label(const char *css_class, gboolean visible)
{
    GtkWidget *label = gtk_label_new(NULL);

    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_line_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_style_context_add_class(gtk_widget_get_style_context(label), css_class);
    gtk_widget_set_no_show_all(label, !visible);
    return label;
}

static void bh_settings_row_class_init(BhSettingsRowClass *klass)
{
}

static void bh_settings_row_init(BhSettingsRow *self)
{
    self->title = make_label("row-title", TRUE);
    self->subtitle = make_label("row-subtitle", FALSE);
    self->badge = make_label("badge", FALSE);
    self->error = make_label("row-error", FALSE);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->subtitle), "dim-label");
    gtk_label_set_use_underline(GTK_LABEL(self->title), TRUE);
    gtk_label_set_text(GTK_LABEL(self->badge), _("After restart"));
    gtk_widget_set_valign(self->badge, GTK_ALIGN_CENTER);
    gtk_widget_set_tooltip_text(
        self->badge, _("Stored; takes effect when the machine is started the next time"));
    gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(self), FALSE);
    gtk_list_box_row_set_selectable(GTK_LIST_BOX_ROW(self), FALSE);
    /* The control has the focus, not the row around it. */
    gtk_widget_set_can_focus(GTK_WIDGET(self), FALSE);
}

static GtkWidget *make_head(BhSettingsRow *self)
{
    GtkWidget *head = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    GtkWidget *texts = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);

    gtk_container_add(GTK_CONTAINER(texts), self->title);
    gtk_container_add(GTK_CONTAINER(texts), self->subtitle);
    gtk_widget_set_valign(texts, GTK_ALIGN_CENTER);
    gtk_widget_set_hexpand(texts, TRUE);
    gtk_container_add(GTK_CONTAINER(head), texts);
    gtk_container_add(GTK_CONTAINER(head), self->badge);
    return head;
}

GtkWidget *bh_settings_row_new(const char *title, const char *subtitle, GtkWidget *control,
                               gboolean wide)
{
    BhSettingsRow *self = g_object_new(BH_TYPE_SETTINGS_ROW, NULL);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, wide ? 6 : 2);
    GtkWidget *head = make_head(self);

    gtk_label_set_text_with_mnemonic(GTK_LABEL(self->title), title);
    gtk_label_set_mnemonic_widget(GTK_LABEL(self->title), control);
    bh_set_accessible_name(control, gtk_label_get_text(GTK_LABEL(self->title)));
    bh_set_accessible_name(GTK_WIDGET(self), gtk_label_get_text(GTK_LABEL(self->title)));
    bh_settings_row_set_subtitle(self, subtitle);
    gtk_widget_set_valign(control, GTK_ALIGN_CENTER);
    gtk_container_add(GTK_CONTAINER(box), head);
    gtk_container_add(GTK_CONTAINER(wide ? box : head), control);
    gtk_container_add(GTK_CONTAINER(box), self->error);
    g_object_set(box, "margin-start", 14, "margin-end", 14, "margin-top", 9, "margin-bottom", 9,
                 NULL);
    gtk_container_add(GTK_CONTAINER(self), box);
    return GTK_WIDGET(self);
}

void bh_settings_row_set_pending(BhSettingsRow *self, gboolean pending)
{
    gtk_widget_set_visible(self->badge, pending);
}

void bh_settings_row_set_error(BhSettingsRow *self, const GError *error)
{
    g_autofree char *text = error ? bh_error_to_text(error) : NULL;

    gtk_label_set_text(GTK_LABEL(self->error), text ? text : "");
    gtk_widget_set_visible(self->error, text != NULL);
}

void bh_settings_row_set_subtitle(BhSettingsRow *self, const char *subtitle)
{
    gtk_label_set_text(GTK_LABEL(self->subtitle), subtitle ? subtitle : "");
    gtk_widget_set_visible(self->subtitle, subtitle && *subtitle);
}
