/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Lines for deleted machines. The time limit is counted in ticks, not by one timer, so that it
 * stands still while the pointer or the focus is on the line.
 */
#include "undo-bar.h"

#include <glib/gi18n.h>

#include "error-bar.h"
#include "util.h"

#define TICK_MS 100
#define TICKS 100       /* 10 s */
#define MAX_OLD_LINES 3 /* more would push the machines off the window */

struct _BhUndoBar {
    GtkBox parent_instance;
    BhHost *host;
    GHashTable *lines; /* BhDeleted to Line, borrowed: the line's widget owns it */
};

G_DEFINE_TYPE(BhUndoBar, bh_undo_bar, GTK_TYPE_BOX)

typedef struct {
    BhUndoBar *bar;
    BhDeleted *deleted;
    GtkWidget *widget, *progress, *undo, *purge;
    guint timer; /* 0: no time limit, or being worked on */
    int ticks;
    gboolean hovered;
} Line;

static GHashTable *expected; /* ids: deleted by this program's user */

void bh_undo_bar_expect(const char *machine_id)
{
    if (!expected)
        expected = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_hash_table_add(expected, g_strdup(machine_id));
}

void bh_undo_bar_forget(const char *machine_id)
{
    if (expected)
        g_hash_table_remove(expected, machine_id);
}

static gboolean is_expected(BhDeleted *deleted)
{
    return expected && g_hash_table_contains(expected, bh_deleted_get_id(deleted));
}

static void line_free(gpointer data)
{
    Line *line = data;

    g_clear_handle_id(&line->timer, g_source_remove);
    g_object_unref(line->deleted);
    g_free(line);
}

/* --- undo and purge --- */

typedef struct {
    BhUndoBar *bar;
    BhDeleted *deleted;
} Work;

static Work *start_work(Line *line)
{
    Work *work = g_new0(Work, 1);

    g_clear_handle_id(&line->timer, g_source_remove);
    gtk_widget_set_sensitive(line->undo, FALSE);
    gtk_widget_set_sensitive(line->purge, FALSE);
    work->bar = g_object_ref(line->bar);
    work->deleted = g_object_ref(line->deleted);
    return work;
}

/* On success the host takes the record off its list and the line goes with it. */
static void end_work(Work *work, GError *error, const char *title)
{
    Line *line = work->bar->lines ? g_hash_table_lookup(work->bar->lines, work->deleted) : NULL;

    if (error && line) {
        gtk_widget_set_sensitive(line->undo, TRUE);
        gtk_widget_set_sensitive(line->purge, TRUE);
        gtk_widget_hide(line->progress);
        bh_error_show(GTK_WIDGET(work->bar), error, title);
    }
    if (!error)
        bh_undo_bar_forget(bh_deleted_get_id(work->deleted));
    g_object_unref(work->bar);
    g_object_unref(work->deleted);
    g_free(work);
    g_clear_error(&error);
}

static void on_restored(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;

    bh_deleted_restore_finish(BH_DELETED(source), result, &error);
    end_work(data, error, _("The machine could not be brought back"));
}

static void on_purged(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;

    bh_deleted_purge_finish(BH_DELETED(source), result, &error);
    end_work(data, error, _("The machine’s disks could not be removed"));
}

static void on_undo(GtkButton *button, gpointer data)
{
    Line *line = data;
    Work *work = start_work(line);

    bh_deleted_restore_async(line->deleted, NULL, on_restored, work);
}

static void on_purge(GtkButton *button, gpointer data)
{
    Line *line = data;
    Work *work = start_work(line);

    bh_deleted_purge_async(line->deleted, NULL, on_purged, work);
}

static gboolean line_has_focus(Line *line)
{
    return gtk_widget_is_focus(line->undo) || gtk_widget_is_focus(line->purge);
}

static gboolean on_tick(gpointer data)
{
    Line *line = data;

    if (line->hovered || line_has_focus(line))
        return G_SOURCE_CONTINUE;
    line->ticks--;
    gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(line->progress),
                                  MAX(line->ticks, 0) / (double)TICKS);
    if (line->ticks > 0)
        return G_SOURCE_CONTINUE;
    line->timer = 0;
    on_purge(NULL, line);
    return G_SOURCE_REMOVE;
}

static gboolean on_crossing(GtkWidget *widget, GdkEventCrossing *event, gpointer data)
{
    Line *line = data;

    if (event->detail != GDK_NOTIFY_INFERIOR)
        line->hovered = event->type == GDK_ENTER_NOTIFY;
    return GDK_EVENT_PROPAGATE;
}

/* --- lines --- */

static char *line_text(BhDeleted *deleted)
{
    g_autoptr(GDateTime) when = NULL;
    g_autofree char *date = NULL;

    if (is_expected(deleted))
        return g_strdup_printf(_("“%s” was deleted"), bh_deleted_get_name(deleted));
    when = g_date_time_new_from_unix_local(bh_deleted_get_time(deleted));
    date = when ? g_date_time_format(when, "%x %H:%M") : g_strdup("");
    /* Translators: name of a machine and when it was deleted. */
    return g_strdup_printf(_("“%s” was deleted on %s and can still be brought back"),
                           bh_deleted_get_name(deleted), date);
}

static GtkWidget *make_row(Line *line)
{
    GtkWidget *row = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 8);
    g_autofree char *text = line_text(line->deleted);
    g_autofree char *undo_name =
        g_strdup_printf(_("Undo: bring “%s” back"), bh_deleted_get_name(line->deleted));
    GtkWidget *label = gtk_label_new(text);

    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_MIDDLE);
    gtk_widget_set_hexpand(label, TRUE);
    line->undo = gtk_button_new_with_mnemonic(_("_Undo"));
    line->purge = gtk_button_new_with_mnemonic(_("_Remove for Good"));
    bh_set_accessible_description(line->undo, undo_name);
    gtk_widget_set_tooltip_text(
        line->purge, _("Removes the disks that were made for it; this cannot be undone"));
    gtk_container_add(GTK_CONTAINER(row), label);
    gtk_container_add(GTK_CONTAINER(row), line->undo);
    gtk_container_add(GTK_CONTAINER(row), line->purge);
    g_signal_connect(line->undo, "clicked", G_CALLBACK(on_undo), line);
    g_signal_connect(line->purge, "clicked", G_CALLBACK(on_purge), line);
    return row;
}

static void add_line(BhUndoBar *self, BhDeleted *deleted)
{
    Line *line = g_new0(Line, 1);
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);

    line->bar = self;
    line->deleted = g_object_ref(deleted);
    line->ticks = TICKS;
    line->widget = gtk_event_box_new();
    gtk_style_context_add_class(gtk_widget_get_style_context(line->widget), "undo-line");
    g_object_set(box, "margin-start", 14, "margin-end", 14, "margin-top", 8, "margin-bottom", 8,
                 NULL);
    gtk_container_add(GTK_CONTAINER(box), make_row(line));
    line->progress = gtk_progress_bar_new();
    gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(line->progress), 1);
    bh_set_accessible_name(line->progress, _("Time left to undo"));
    gtk_widget_set_no_show_all(line->progress, TRUE);
    gtk_container_add(GTK_CONTAINER(box), line->progress);
    gtk_container_add(GTK_CONTAINER(line->widget), box);
    g_signal_connect(line->widget, "enter-notify-event", G_CALLBACK(on_crossing), line);
    g_signal_connect(line->widget, "leave-notify-event", G_CALLBACK(on_crossing), line);
    if (is_expected(deleted)) {
        gtk_widget_show(line->progress);
        line->timer = g_timeout_add(TICK_MS, on_tick, line);
    }
    g_object_set_data_full(G_OBJECT(line->widget), "bh-line", line, line_free);
    g_hash_table_insert(self->lines, deleted, line);
    gtk_widget_show_all(line->widget);
    gtk_container_add(GTK_CONTAINER(self), line->widget);
}

static gboolean in_model(GListModel *model, BhDeleted *deleted)
{
    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        g_autoptr(BhDeleted) item = g_list_model_get_item(model, i);
        if (item == deleted)
            return TRUE;
    }
    return FALSE;
}

static void drop_lines(BhUndoBar *self, GListModel *model)
{
    GHashTableIter iter;
    gpointer deleted, value;

    g_hash_table_iter_init(&iter, self->lines);
    while (g_hash_table_iter_next(&iter, &deleted, &value)) {
        Line *line = value;
        if (in_model(model, deleted))
            continue;
        g_clear_handle_id(&line->timer, g_source_remove);
        g_hash_table_iter_remove(&iter);
        gtk_widget_destroy(line->widget);
    }
}

/* New deletions always get a line; old ones only up to a limit, the newest first. */
static void refill(BhUndoBar *self)
{
    GListModel *model = bh_host_get_deleted(self->host);
    guint old = 0;

    drop_lines(self, model);
    for (guint i = g_list_model_get_n_items(model); i-- > 0;) {
        g_autoptr(BhDeleted) deleted = g_list_model_get_item(model, i);
        gboolean mine = is_expected(deleted);
        if (!mine && old++ >= MAX_OLD_LINES)
            continue;
        if (!g_hash_table_contains(self->lines, deleted))
            add_line(self, deleted);
    }
    gtk_widget_set_visible(GTK_WIDGET(self), g_hash_table_size(self->lines) > 0);
}

static void on_items_changed(GListModel *model, guint position, guint removed, guint added,
                             gpointer data)
{
    refill(data);
}

static void bh_undo_bar_dispose(GObject *object)
{
    BhUndoBar *self = BH_UNDO_BAR(object);

    if (self->host)
        g_signal_handlers_disconnect_by_data(bh_host_get_deleted(self->host), self);
    g_clear_object(&self->host);
    G_OBJECT_CLASS(bh_undo_bar_parent_class)->dispose(object);
    g_clear_pointer(&self->lines, g_hash_table_unref);
}

static void bh_undo_bar_class_init(BhUndoBarClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_undo_bar_dispose;
}

static void bh_undo_bar_init(BhUndoBar *self)
{
    self->lines = g_hash_table_new(NULL, NULL);
    gtk_orientable_set_orientation(GTK_ORIENTABLE(self), GTK_ORIENTATION_VERTICAL);
    gtk_widget_set_no_show_all(GTK_WIDGET(self), TRUE);
}

GtkWidget *bh_undo_bar_new(BhHost *host)
{
    BhUndoBar *self = g_object_new(BH_TYPE_UNDO_BAR, NULL);

    self->host = g_object_ref(host);
    g_signal_connect(bh_host_get_deleted(host), "items-changed", G_CALLBACK(on_items_changed),
                     self);
    refill(self);
    return GTK_WIDGET(self);
}
