/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The log of one machine: read once when opened, again on request. */
#include "log-dialog.h"

#include <glib/gi18n.h>

#include "error-bar.h"
#include "util.h"

#define LOG_LINES 200

typedef struct {
    GtkWidget *window, *bar, *view;
    GtkTextBuffer *buffer;
    BhMachine *machine;
    BhJob *job; /* the read under way, or NULL */
} Log;

static void log_free(gpointer data)
{
    Log *self = data;

    g_clear_object(&self->job);
    g_object_unref(self->machine);
    g_free(self);
}

/* The read holds a reference on the window until it ends, so closing has to cancel it here. */
static void on_destroy(GtkWidget *window, gpointer data)
{
    Log *self = data;

    self->buffer = NULL;
    if (self->job)
        bh_job_cancel(self->job);
}

static void on_read(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GtkWidget) window = data;
    g_autoptr(GError) error = NULL;
    g_autofree char *text = bh_machine_read_log_finish(BH_MACHINE(source), result, &error);
    Log *self = g_object_get_data(G_OBJECT(window), "bh-log");
    GtkTextIter end;

    g_clear_object(&self->job);
    if (!self->buffer)
        return;
    if (!text) {
        bh_error_show(window, error, _("The log could not be read"));
        return;
    }
    gtk_text_buffer_set_text(self->buffer, *text ? text : _("The log is empty."), -1);
    gtk_text_buffer_get_end_iter(self->buffer, &end);
    gtk_text_buffer_place_cursor(self->buffer, &end);
    gtk_text_view_scroll_mark_onscreen(GTK_TEXT_VIEW(self->view),
                                       gtk_text_buffer_get_insert(self->buffer));
}

static void read_log(Log *self)
{
    if (self->job)
        return;
    self->job = bh_job_new(_("Reading the log"), bh_machine_get_id(self->machine));
    bh_machine_read_log_async(self->machine, LOG_LINES, self->job, on_read,
                              g_object_ref(self->window));
}

static void on_reload(GtkButton *button, gpointer data)
{
    read_log(data);
}

static void on_copy(GtkButton *button, gpointer data)
{
    Log *self = data;
    GtkTextIter start, end;
    g_autofree char *text = NULL;

    gtk_text_buffer_get_bounds(self->buffer, &start, &end);
    text = gtk_text_buffer_get_text(self->buffer, &start, &end, FALSE);
    bh_copy_text(self->window, text);
}

static GtkWidget *make_header(Log *self)
{
    GtkWidget *header = gtk_header_bar_new();
    GtkWidget *copy = gtk_button_new_with_mnemonic(_("_Copy"));
    GtkWidget *reload =
        gtk_button_new_from_icon_name("view-refresh-symbolic", GTK_ICON_SIZE_BUTTON);
    /* Translators: the title of a window with a machine's log. */
    g_autofree char *title = g_strdup_printf(_("Log of %s"), bh_machine_get_name(self->machine));

    bh_set_accessible_name(reload, _("Read again"));
    gtk_widget_set_tooltip_text(reload, _("Read again"));
    g_signal_connect(reload, "clicked", G_CALLBACK(on_reload), self);
    g_signal_connect(copy, "clicked", G_CALLBACK(on_copy), self);
    gtk_header_bar_pack_start(GTK_HEADER_BAR(header), copy);
    gtk_header_bar_pack_end(GTK_HEADER_BAR(header), reload);
    gtk_header_bar_set_title(GTK_HEADER_BAR(header), title);
    gtk_header_bar_set_show_close_button(GTK_HEADER_BAR(header), TRUE);
    gtk_window_set_title(GTK_WINDOW(self->window), title);
    return header;
}

static GtkWidget *make_view(Log *self)
{
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);

    self->view = gtk_text_view_new();
    self->buffer = gtk_text_view_get_buffer(GTK_TEXT_VIEW(self->view));
    gtk_text_view_set_editable(GTK_TEXT_VIEW(self->view), FALSE);
    gtk_text_view_set_monospace(GTK_TEXT_VIEW(self->view), TRUE);
    gtk_text_view_set_wrap_mode(GTK_TEXT_VIEW(self->view), GTK_WRAP_CHAR);
    gtk_text_view_set_left_margin(GTK_TEXT_VIEW(self->view), 10);
    gtk_text_view_set_right_margin(GTK_TEXT_VIEW(self->view), 10);
    gtk_text_view_set_top_margin(GTK_TEXT_VIEW(self->view), 8);
    gtk_text_view_set_accepts_tab(GTK_TEXT_VIEW(self->view), FALSE);
    bh_set_accessible_name(self->view, _("Log"));
    gtk_container_add(GTK_CONTAINER(scroll), self->view);
    gtk_widget_set_vexpand(scroll, TRUE);
    return scroll;
}

GtkWidget *bh_log_dialog_new(GtkWindow *parent, BhMachine *machine)
{
    Log *self = g_new0(Log, 1);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    const char *why = bh_machine_get_state_detail(machine);

    self->machine = g_object_ref(machine);
    self->window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    self->bar = bh_error_bar_new();
    gtk_window_set_titlebar(GTK_WINDOW(self->window), make_header(self));
    gtk_window_set_default_size(GTK_WINDOW(self->window), 720, 420);
    gtk_window_set_transient_for(GTK_WINDOW(self->window), parent);
    gtk_window_set_destroy_with_parent(GTK_WINDOW(self->window), TRUE);
    gtk_container_add(GTK_CONTAINER(box), self->bar);
    gtk_container_add(GTK_CONTAINER(box), make_view(self));
    gtk_container_add(GTK_CONTAINER(self->window), box);
    g_object_set_data_full(G_OBJECT(self->window), "bh-log", self, log_free);
    g_signal_connect(self->window, "destroy", G_CALLBACK(on_destroy), self);
    gtk_widget_show_all(self->window);
    if (bh_machine_get_state(machine) == BH_STATE_CRASHED && why)
        bh_error_bar_show_message(BH_ERROR_BAR(self->bar), GTK_MESSAGE_WARNING, why, NULL);
    read_log(self);
    return self->window;
}
