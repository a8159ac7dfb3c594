/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Lines for running jobs. A job that ends at once never shows: a flicker tells nobody anything. */
#include "job-bar.h"

#include <glib/gi18n.h>

#include "util.h"

#define DELAY_MS 600

struct _BhJobBar {
    GtkBox parent_instance;
    GListModel *jobs;
    GPtrArray *lines; /* of Line, in the model's order */
};

G_DEFINE_TYPE(BhJobBar, bh_job_bar, GTK_TYPE_BOX)

typedef struct {
    BhJobBar *bar;
    BhJob *job;
    GtkWidget *widget, *text, *progress, *cancel;
    guint delay, pulse;
} Line;

static void line_free(gpointer data)
{
    Line *line = data;

    g_clear_handle_id(&line->delay, g_source_remove);
    g_clear_handle_id(&line->pulse, g_source_remove);
    g_signal_handlers_disconnect_by_data(line->job, line);
    gtk_widget_destroy(line->widget);
    g_object_unref(line->job);
    g_free(line);
}

static gboolean on_pulse(gpointer data)
{
    Line *line = data;

    gtk_progress_bar_pulse(GTK_PROGRESS_BAR(line->progress));
    return G_SOURCE_CONTINUE;
}

static void on_progress(BhJob *job, GParamSpec *pspec, gpointer data)
{
    Line *line = data;
    double fraction = bh_job_get_fraction(job);
    const char *text = bh_job_get_text(job);

    if (fraction >= 0) {
        g_clear_handle_id(&line->pulse, g_source_remove);
        gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(line->progress), MIN(fraction, 1));
    } else if (!line->pulse) {
        line->pulse = g_timeout_add(120, on_pulse, line);
    }
    if (!g_cancellable_is_cancelled(bh_job_get_cancellable(job)))
        gtk_label_set_text(GTK_LABEL(line->text), text ? text : "");
}

static void on_cancel(GtkButton *button, gpointer data)
{
    Line *line = data;

    gtk_widget_set_sensitive(line->cancel, FALSE);
    gtk_label_set_text(GTK_LABEL(line->text), _("Cancelling…"));
    bh_job_cancel(line->job);
}

static gboolean on_delay(gpointer data)
{
    Line *line = data;

    line->delay = 0;
    gtk_widget_show(line->widget);
    gtk_widget_show(GTK_WIDGET(line->bar));
    return G_SOURCE_REMOVE;
}

static GtkWidget *make_labels(Line *line)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 3);
    GtkWidget *top = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 8);
    GtkWidget *title = gtk_label_new(bh_job_get_title(line->job));

    gtk_label_set_xalign(GTK_LABEL(title), 0);
    gtk_label_set_ellipsize(GTK_LABEL(title), PANGO_ELLIPSIZE_MIDDLE);
    gtk_widget_set_hexpand(title, TRUE);
    line->text = gtk_label_new(NULL);
    gtk_label_set_ellipsize(GTK_LABEL(line->text), PANGO_ELLIPSIZE_END);
    gtk_label_set_xalign(GTK_LABEL(line->text), 1);
    gtk_widget_set_hexpand(line->text, TRUE);
    gtk_style_context_add_class(gtk_widget_get_style_context(line->text), "dim-label");
    gtk_container_add(GTK_CONTAINER(top), title);
    gtk_container_add(GTK_CONTAINER(top), line->text);
    line->progress = gtk_progress_bar_new();
    bh_set_accessible_name(line->progress, bh_job_get_title(line->job));
    gtk_container_add(GTK_CONTAINER(box), top);
    gtk_container_add(GTK_CONTAINER(box), line->progress);
    gtk_widget_set_hexpand(box, TRUE);
    return box;
}

static Line *line_new(BhJobBar *self, BhJob *job)
{
    Line *line = g_new0(Line, 1);
    g_autofree char *name = g_strdup_printf(_("Cancel: %s"), bh_job_get_title(job));

    line->bar = self;
    line->job = g_object_ref(job);
    line->widget = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    line->cancel = gtk_button_new_with_mnemonic(_("_Cancel"));
    bh_set_accessible_name(line->cancel, name);
    gtk_widget_set_valign(line->cancel, GTK_ALIGN_CENTER);
    gtk_style_context_add_class(gtk_widget_get_style_context(line->widget), "job-line");
    gtk_container_add(GTK_CONTAINER(line->widget), make_labels(line));
    gtk_container_add(GTK_CONTAINER(line->widget), line->cancel);
    gtk_widget_show_all(line->widget);
    gtk_widget_hide(line->widget);
    gtk_container_add(GTK_CONTAINER(self), line->widget);
    g_signal_connect(line->cancel, "clicked", G_CALLBACK(on_cancel), line);
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_progress), line);
    g_signal_connect(job, "notify::text", G_CALLBACK(on_progress), line);
    line->delay = g_timeout_add(DELAY_MS, on_delay, line);
    on_progress(job, NULL, line);
    return line;
}

static void update_visible(BhJobBar *self)
{
    gboolean any = FALSE;

    for (guint i = 0; i < self->lines->len; i++)
        any = any || gtk_widget_get_visible(((Line *)self->lines->pdata[i])->widget);
    gtk_widget_set_visible(GTK_WIDGET(self), any);
}

static void on_items_changed(GListModel *model, guint position, guint removed, guint added,
                             gpointer data)
{
    BhJobBar *self = data;

    if (removed)
        g_ptr_array_remove_range(self->lines, position, removed);
    for (guint i = 0; i < added; i++) {
        g_autoptr(BhJob) job = g_list_model_get_item(model, position + i);
        g_ptr_array_insert(self->lines, (int)(position + i), line_new(self, job));
    }
    update_visible(self);
}

static void bh_job_bar_dispose(GObject *object)
{
    BhJobBar *self = BH_JOB_BAR(object);

    if (self->jobs)
        g_signal_handlers_disconnect_by_data(self->jobs, self);
    g_clear_object(&self->jobs);
    g_clear_pointer(&self->lines, g_ptr_array_unref);
    G_OBJECT_CLASS(bh_job_bar_parent_class)->dispose(object);
}

static void bh_job_bar_class_init(BhJobBarClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_job_bar_dispose;
}

static void bh_job_bar_init(BhJobBar *self)
{
    self->lines = g_ptr_array_new_with_free_func(line_free);
    gtk_orientable_set_orientation(GTK_ORIENTABLE(self), GTK_ORIENTATION_VERTICAL);
    gtk_widget_set_no_show_all(GTK_WIDGET(self), TRUE);
}

GtkWidget *bh_job_bar_new(GListModel *jobs)
{
    BhJobBar *self = g_object_new(BH_TYPE_JOB_BAR, NULL);

    self->jobs = g_object_ref(jobs);
    g_signal_connect(jobs, "items-changed", G_CALLBACK(on_items_changed), self);
    on_items_changed(jobs, 0, 0, g_list_model_get_n_items(jobs), self);
    return GTK_WIDGET(self);
}
