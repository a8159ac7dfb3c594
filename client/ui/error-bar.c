/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The error bar of a window. A window has one; code finds it from any of the window's widgets.
 * Errors are shown until they are closed or replaced: nothing a person must read disappears by
 * time.
 */
#include "error-bar.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#include "util.h"

struct _BhErrorBar {
    GtkRevealer parent_instance;
    GtkWidget *info_bar;
    GtkWidget *title, *message, *hint, *expander, *detail;
};

G_DEFINE_TYPE(BhErrorBar, bh_error_bar, GTK_TYPE_REVEALER)

static void on_response(GtkInfoBar *info_bar, int response, gpointer data)
{
    bh_error_bar_hide(data);
}

static void on_copy(GtkButton *button, gpointer data)
{
    BhErrorBar *self = data;
    g_autoptr(GString) text = g_string_new(NULL);
    GtkWidget *const labels[] = {self->title, self->message, self->hint, self->detail};

    for (gsize i = 0; i < G_N_ELEMENTS(labels); i++) {
        const char *line = gtk_label_get_text(GTK_LABEL(labels[i]));
        if (*line)
            g_string_append_printf(text, "%s\n", line);
    }
    bh_copy_text(GTK_WIDGET(self), text->str);
}

static GtkWidget *add_label(GtkWidget *box, const char *css_class)
{
    GtkWidget *label = gtk_label_new(NULL);

    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_line_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_selectable(GTK_LABEL(label), FALSE);
    if (css_class)
        gtk_style_context_add_class(gtk_widget_get_style_context(label), css_class);
    gtk_container_add(GTK_CONTAINER(box), label);
    return label;
}

static GtkWidget *make_details(BhErrorBar *self)
{
    GtkWidget *expander = gtk_expander_new_with_mnemonic(_("_Details"));
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);
    GtkWidget *copy = gtk_button_new_with_mnemonic(_("_Copy"));

    self->detail = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(self->detail), 0);
    gtk_label_set_yalign(GTK_LABEL(self->detail), 0);
    gtk_label_set_line_wrap(GTK_LABEL(self->detail), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(self->detail), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_selectable(GTK_LABEL(self->detail), TRUE);
    bh_set_accessible_name(self->detail, _("Details of the error"));
    gtk_style_context_add_class(gtk_widget_get_style_context(self->detail), "monospace");
    gtk_scrolled_window_set_max_content_height(GTK_SCROLLED_WINDOW(scroll), 160);
    gtk_scrolled_window_set_propagate_natural_height(GTK_SCROLLED_WINDOW(scroll), TRUE);
    gtk_container_add(GTK_CONTAINER(scroll), self->detail);
    gtk_widget_set_halign(copy, GTK_ALIGN_START);
    gtk_widget_set_tooltip_text(copy, _("Copy the whole message"));
    g_signal_connect(copy, "clicked", G_CALLBACK(on_copy), self);
    gtk_container_add(GTK_CONTAINER(box), scroll);
    gtk_container_add(GTK_CONTAINER(box), copy);
    gtk_container_add(GTK_CONTAINER(expander), box);
    return expander;
}

static void bh_error_bar_class_init(BhErrorBarClass *klass)
{
}

static void bh_error_bar_init(BhErrorBar *self)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 2);
    GtkWidget *content;

    self->info_bar = gtk_info_bar_new();
    gtk_info_bar_set_show_close_button(GTK_INFO_BAR(self->info_bar), TRUE);
    bh_name_close_button(self->info_bar);
    content = gtk_info_bar_get_content_area(GTK_INFO_BAR(self->info_bar));
    self->title = add_label(box, "error-title");
    self->message = add_label(box, NULL);
    self->hint = add_label(box, "error-hint");
    self->expander = make_details(self);
    gtk_container_add(GTK_CONTAINER(box), self->expander);
    gtk_widget_set_hexpand(box, TRUE);
    gtk_container_add(GTK_CONTAINER(content), box);
    gtk_widget_show_all(self->info_bar);
    gtk_container_add(GTK_CONTAINER(self), self->info_bar);
    g_signal_connect(self->info_bar, "response", G_CALLBACK(on_response), self);
    gtk_revealer_set_transition_duration(GTK_REVEALER(self), 150);
    /* A revealer that is closed still has its child in the focus chain: hide it then. */
    gtk_widget_set_no_show_all(GTK_WIDGET(self), TRUE);
}

GtkWidget *bh_error_bar_new(void)
{
    return g_object_new(BH_TYPE_ERROR_BAR, NULL);
}

static void set_label(GtkWidget *label, const char *text)
{
    gtk_label_set_text(GTK_LABEL(label), text ? text : "");
    gtk_widget_set_visible(label, text && *text);
}

static void present(BhErrorBar *self, GtkMessageType type, const char *title, const char *message,
                    const char *hint, const char *detail)
{
    g_autofree char *name = NULL;

    gtk_info_bar_set_message_type(GTK_INFO_BAR(self->info_bar), type);
    set_label(self->title, title);
    set_label(self->message, message);
    set_label(self->hint, hint);
    set_label(self->detail, detail);
    gtk_widget_set_visible(self->expander, detail && *detail);
    gtk_expander_set_expanded(GTK_EXPANDER(self->expander), FALSE);
    name = g_strjoin(" ", title ? title : "", message, hint ? hint : "", NULL);
    bh_set_accessible_name(self->info_bar, g_strstrip(name));
    gtk_widget_show(GTK_WIDGET(self));
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), TRUE);
}

void bh_error_bar_show(BhErrorBar *self, const GError *error, const char *title)
{
    present(self, GTK_MESSAGE_ERROR, title, error->message, bh_error_get_hint(error),
            bh_error_get_detail(error));
}

void bh_error_bar_show_message(BhErrorBar *self, GtkMessageType type, const char *message,
                               const char *hint)
{
    present(self, type, NULL, message, hint, NULL);
}

void bh_error_bar_hide(BhErrorBar *self)
{
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), FALSE);
    gtk_widget_hide(GTK_WIDGET(self));
}

static void find_bar(GtkWidget *widget, gpointer data)
{
    BhErrorBar **found = data;

    if (*found)
        return;
    if (BH_IS_ERROR_BAR(widget))
        *found = BH_ERROR_BAR(widget);
    else if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), find_bar, data);
}

static void show_dialog(GtkWidget *toplevel, const GError *error, const char *title)
{
    GtkWindow *parent = toplevel && GTK_IS_WINDOW(toplevel) ? GTK_WINDOW(toplevel) : NULL;
    const char *hint = bh_error_get_hint(error);
    GtkWidget *dialog =
        gtk_message_dialog_new(parent, GTK_DIALOG_DESTROY_WITH_PARENT, GTK_MESSAGE_ERROR,
                               GTK_BUTTONS_CLOSE, "%s", title ? title : error->message);

    gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog), "%s%s%s",
                                             title ? error->message : "", title && hint ? "\n" : "",
                                             hint ? hint : "");
    g_signal_connect(dialog, "response", G_CALLBACK(gtk_widget_destroy), NULL);
    gtk_window_present(GTK_WINDOW(dialog));
}

void bh_error_show(GtkWidget *widget, const GError *error, const char *title)
{
    GtkWidget *toplevel = widget ? gtk_widget_get_toplevel(widget) : NULL;
    BhErrorBar *bar = NULL;

    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    if (toplevel)
        find_bar(toplevel, &bar);
    if (bar)
        bh_error_bar_show(bar, error, title);
    else
        show_dialog(toplevel, error, title);
}
