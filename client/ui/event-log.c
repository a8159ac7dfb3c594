/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event log window: a table, the details of the selected line, and a button that copies all. */
#include "event-log.h"

#include <glib/gi18n.h>

#include "util.h"

enum {
    COLUMN_TIME,
    COLUMN_ICON,
    COLUMN_KIND,
    COLUMN_MACHINE,
    COLUMN_TEXT,
    COLUMN_DETAIL,
    N_COLUMNS
};

typedef struct {
    GtkWidget *window, *tree, *detail;
    GtkListStore *store;
    BhHost *host;
} Log;

static void log_free(gpointer data)
{
    Log *self = data;

    g_signal_handlers_disconnect_by_data(bh_host_get_events(self->host), self);
    g_object_unref(self->store);
    g_object_unref(self->host);
    g_free(self);
}

static const char *severity_icon(BhSeverity severity)
{
    switch (severity) {
    case BH_SEVERITY_WARNING:
        return "dialog-warning-symbolic";
    case BH_SEVERITY_ERROR:
        return "dialog-error-symbolic";
    default:
        return "dialog-information-symbolic";
    }
}

static const char *severity_name(BhSeverity severity)
{
    switch (severity) {
    case BH_SEVERITY_WARNING:
        return _("Warning");
    case BH_SEVERITY_ERROR:
        return _("Error");
    default:
        return _("Information");
    }
}

static void prepend(Log *self, BhEvent *event)
{
    g_autoptr(GDateTime) utc =
        g_date_time_new_from_unix_utc(bh_event_get_time(event) / G_USEC_PER_SEC);
    g_autoptr(GDateTime) local = g_date_time_to_local(utc);
    g_autofree char *time = g_date_time_format(local, "%x %X");
    const char *id = bh_event_get_machine_id(event);
    BhMachine *machine = id ? bh_host_find_machine(self->host, id) : NULL;

    gtk_list_store_insert_with_values(self->store, NULL, 0, COLUMN_TIME, time, COLUMN_ICON,
                                      severity_icon(bh_event_get_severity(event)), COLUMN_KIND,
                                      severity_name(bh_event_get_severity(event)), COLUMN_MACHINE,
                                      machine ? bh_machine_get_name(machine) : "", COLUMN_TEXT,
                                      bh_event_get_text(event), COLUMN_DETAIL,
                                      bh_event_get_detail(event), -1);
}

static void on_items_changed(GListModel *model, guint position, guint removed, guint added,
                             gpointer data)
{
    Log *self = data;

    /* The log drops its oldest lines, which are the last here; what is read stays in the window. */
    for (guint i = 0; i < added; i++) {
        g_autoptr(BhEvent) event = g_list_model_get_item(model, position + i);
        prepend(self, event);
    }
}

static void on_selected(GtkTreeSelection *selection, gpointer data)
{
    Log *self = data;
    GtkTreeIter iter;
    g_autofree char *detail = NULL;

    if (gtk_tree_selection_get_selected(selection, NULL, &iter))
        gtk_tree_model_get(GTK_TREE_MODEL(self->store), &iter, COLUMN_DETAIL, &detail, -1);
    gtk_label_set_text(GTK_LABEL(self->detail), detail ? detail : "");
    gtk_widget_set_visible(self->detail, detail && *detail);
}

static gboolean append_line(GtkTreeModel *model, GtkTreePath *path, GtkTreeIter *iter,
                            gpointer data)
{
    g_autofree char *time = NULL, *kind = NULL, *machine = NULL, *text = NULL, *detail = NULL;

    gtk_tree_model_get(model, iter, COLUMN_TIME, &time, COLUMN_KIND, &kind, COLUMN_MACHINE,
                       &machine, COLUMN_TEXT, &text, COLUMN_DETAIL, &detail, -1);
    g_string_append_printf(data, "%s\t%s\t%s\t%s\n", time, kind, machine, text);
    if (detail && *detail)
        g_string_append_printf(data, "\t%s\n", detail);
    return FALSE;
}

static void on_copy(GtkButton *button, gpointer data)
{
    Log *self = data;
    g_autoptr(GString) text = g_string_new(NULL);

    gtk_tree_model_foreach(GTK_TREE_MODEL(self->store), append_line, text);
    bh_copy_text(self->window, text->str);
}

static void add_column(Log *self, const char *title, int column, gboolean expand)
{
    GtkCellRenderer *cell = gtk_cell_renderer_text_new();
    GtkTreeViewColumn *view =
        gtk_tree_view_column_new_with_attributes(title, cell, "text", column, NULL);

    if (expand)
        g_object_set(cell, "ellipsize", PANGO_ELLIPSIZE_END, NULL);
    gtk_tree_view_column_set_resizable(view, TRUE);
    gtk_tree_view_column_set_expand(view, expand);
    gtk_tree_view_append_column(GTK_TREE_VIEW(self->tree), view);
}

static GtkWidget *make_tree(Log *self)
{
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);
    GtkTreeSelection *selection;

    self->tree = gtk_tree_view_new_with_model(GTK_TREE_MODEL(self->store));
    gtk_tree_view_insert_column_with_attributes(GTK_TREE_VIEW(self->tree), -1, "",
                                                gtk_cell_renderer_pixbuf_new(), "icon-name",
                                                COLUMN_ICON, NULL);
    add_column(self, _("Time"), COLUMN_TIME, FALSE);
    add_column(self, _("Machine"), COLUMN_MACHINE, FALSE);
    add_column(self, _("Event"), COLUMN_TEXT, TRUE);
    gtk_tree_view_set_search_column(GTK_TREE_VIEW(self->tree), COLUMN_TEXT);
    bh_set_accessible_name(self->tree, _("Events"));
    selection = gtk_tree_view_get_selection(GTK_TREE_VIEW(self->tree));
    g_signal_connect(selection, "changed", G_CALLBACK(on_selected), self);
    gtk_container_add(GTK_CONTAINER(scroll), self->tree);
    gtk_widget_set_vexpand(scroll, TRUE);
    return scroll;
}

static void make_header(Log *self)
{
    GtkWidget *header = gtk_header_bar_new();
    GtkWidget *copy = gtk_button_new_with_mnemonic(_("_Copy All"));

    gtk_header_bar_set_title(GTK_HEADER_BAR(header), _("Event Log"));
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(header), bh_host_get_uri(self->host));
    gtk_header_bar_set_show_close_button(GTK_HEADER_BAR(header), TRUE);
    gtk_header_bar_pack_start(GTK_HEADER_BAR(header), copy);
    g_signal_connect(copy, "clicked", G_CALLBACK(on_copy), self);
    gtk_window_set_titlebar(GTK_WINDOW(self->window), header);
    gtk_window_set_title(GTK_WINDOW(self->window), _("Event Log"));
    gtk_widget_show_all(header);
}

GtkWidget *bh_event_log_new(GtkWindow *parent, BhHost *host)
{
    Log *self = g_new0(Log, 1);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    GListModel *events = bh_host_get_events(host);

    self->host = g_object_ref(host);
    self->store = gtk_list_store_new(N_COLUMNS, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING,
                                     G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING);
    self->window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    gtk_window_set_default_size(GTK_WINDOW(self->window), 760, 420);
    gtk_window_set_transient_for(GTK_WINDOW(self->window), parent);
    gtk_window_set_destroy_with_parent(GTK_WINDOW(self->window), TRUE);
    make_header(self);
    self->detail = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(self->detail), 0);
    gtk_label_set_line_wrap(GTK_LABEL(self->detail), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(self->detail), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_selectable(GTK_LABEL(self->detail), TRUE);
    bh_set_accessible_name(self->detail, _("Details"));
    gtk_style_context_add_class(gtk_widget_get_style_context(self->detail), "log-detail");
    gtk_container_add(GTK_CONTAINER(box), make_tree(self));
    gtk_container_add(GTK_CONTAINER(box), self->detail);
    gtk_container_add(GTK_CONTAINER(self->window), box);
    on_items_changed(events, 0, 0, g_list_model_get_n_items(events), self);
    g_signal_connect(events, "items-changed", G_CALLBACK(on_items_changed), self);
    g_object_set_data_full(G_OBJECT(self->window), "bh-event-log", self, log_free);
    gtk_widget_show_all(box);
    gtk_widget_hide(self->detail);
    return self->window;
}
