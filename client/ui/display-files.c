/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sending files through the agent, one after the other.
 *
 * One at a time, because spice-gtk reports one error for a whole batch and the user wants to know
 * which file did not arrive. A failed file does not stop the next one.
 */
#include "display-files.h"
#include "util.h"

#include <glib/gi18n.h>
#include <spice/vd_agent.h>

#include <bulkhead/error.h>

struct _BhDisplayFiles {
    GtkRevealer parent_instance;
    BhMachine *machine;
    BhErrorBar *errors; /* weak */
    SpiceMainChannel *channel;
    gboolean agent;
    GtkWidget *label, *progress;

    GQueue files; /* of GFile still to send; the head is under way */
    BhJob *job;   /* of the whole queue; NULL while idle */
    guint total_files, sent_files;
    GString *failures; /* a line for each file that did not arrive */
    guint n_failures;
};

G_DEFINE_TYPE(BhDisplayFiles, bh_display_files, GTK_TYPE_REVEALER)

static void send_next(BhDisplayFiles *self);

static void show_message(BhDisplayFiles *self, GtkMessageType type, const char *message,
                         const char *hint)
{
    if (self->errors)
        bh_error_bar_show_message(self->errors, type, message, hint);
}

static char *head_name(BhDisplayFiles *self)
{
    GFile *file = g_queue_peek_head(&self->files);

    return file ? g_file_get_basename(file) : NULL;
}

static void update_bar(BhDisplayFiles *self)
{
    g_autofree char *base = head_name(self);
    g_autofree char *name = base ? g_filename_display_name(base) : g_strdup("");
    g_autofree char *text = NULL;
    const char *rate = self->job ? bh_job_get_text(self->job) : NULL;
    double fraction = self->job ? bh_job_get_fraction(self->job) : 0;

    text = g_strdup_printf(
        ngettext("Sending “%s” (file %u of %u)", "Sending “%s” (file %u of %u)", self->total_files),
        name, self->sent_files + 1, self->total_files);
    gtk_label_set_text(GTK_LABEL(self->label), text);
    gtk_progress_bar_set_text(GTK_PROGRESS_BAR(self->progress), rate ? rate : "");
    gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(self->progress), CLAMP(fraction, 0, 1));
}

static void queue_end(BhDisplayFiles *self)
{
    gboolean cancelled = g_cancellable_is_cancelled(bh_job_get_cancellable(self->job));

    g_signal_handlers_disconnect_by_data(self->job, self);
    bh_job_end(self->job, NULL);
    g_clear_object(&self->job);
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), FALSE);
    if (self->n_failures && !cancelled) {
        g_autofree char *message =
            g_strdup_printf(ngettext("%u file did not reach the guest:\n%s",
                                     "%u files did not reach the guest:\n%s", self->n_failures),
                            self->n_failures, self->failures->str);
        show_message(self, GTK_MESSAGE_ERROR, message, NULL);
    }
    g_string_truncate(self->failures, 0);
    self->n_failures = self->total_files = self->sent_files = 0;
}

static void note_failure(BhDisplayFiles *self, const GError *error)
{
    g_autofree char *base = head_name(self);
    g_autofree char *name = base ? g_filename_display_name(base) : g_strdup("?");

    self->n_failures++;
    g_string_append_printf(self->failures, "%s%s: %s", self->failures->len ? "\n" : "", name,
                           error->message);
}

static void on_progress(goffset done, goffset total, gpointer data)
{
    BhDisplayFiles *self = BH_DISPLAY_FILES(data);

    bh_job_report_bytes(self->job, done, total);
}

/* The head has arrived, failed or been cancelled. */
static void head_done(BhDisplayFiles *self, const GError *error)
{
    g_autoptr(GFile) file = NULL;

    if (error && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        note_failure(self, error);
    file = g_queue_pop_head(&self->files);
    self->sent_files++;
    if (g_cancellable_is_cancelled(bh_job_get_cancellable(self->job)))
        g_queue_clear_full(&self->files, g_object_unref);
    send_next(self);
}

static void on_sent(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhDisplayFiles) self = BH_DISPLAY_FILES(data);
    g_autoptr(GError) error = NULL;

    spice_main_channel_file_copy_finish(SPICE_MAIN_CHANNEL(source), result, &error);
    if (self->job)
        head_done(self, error);
}

/* spice-gtk waits for ever with a folder or a pipe, so only plain files are let through. */
static void on_info(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhDisplayFiles) self = BH_DISPLAY_FILES(data);
    g_autoptr(GError) error = NULL;
    g_autoptr(GFileInfo) info = g_file_query_info_finish(G_FILE(source), result, &error);
    GFile *files[] = {G_FILE(source), NULL};

    if (!self->job)
        return;
    if (info && g_file_info_get_file_type(info) != G_FILE_TYPE_REGULAR)
        error = g_error_new_literal(BH_ERROR, BH_ERROR_INVALID,
                                    _("only files can be sent, not folders or devices"));
    if (!error && !self->channel)
        error = g_error_new_literal(BH_ERROR, BH_ERROR_DISCONNECTED,
                                    _("the connection to the guest was lost"));
    if (error)
        head_done(self, error);
    else
        spice_main_channel_file_copy_async(self->channel, files, G_FILE_COPY_NONE,
                                           bh_job_get_cancellable(self->job), on_progress, self,
                                           on_sent, g_object_ref(self));
}

static void send_next(BhDisplayFiles *self)
{
    GFile *file = g_queue_peek_head(&self->files);

    if (!file) {
        queue_end(self);
        return;
    }
    update_bar(self);
    g_file_query_info_async(file, G_FILE_ATTRIBUTE_STANDARD_TYPE, G_FILE_QUERY_INFO_NONE,
                            G_PRIORITY_DEFAULT, bh_job_get_cancellable(self->job), on_info,
                            g_object_ref(self));
}

static gboolean agent_takes_files(BhDisplayFiles *self)
{
    return self->channel && self->agent &&
           !spice_main_channel_agent_test_capability(self->channel,
                                                     VD_AGENT_CAP_FILE_XFER_DISABLED);
}

void bh_display_files_send(BhDisplayFiles *self, GPtrArray *files)
{
    if (!agent_takes_files(self)) {
        show_message(self, GTK_MESSAGE_WARNING,
                     self->agent
                         ? _("The guest does not accept files.")
                         : _("The guest cannot take files: spice-vdagent does not run there."),
                     self->agent ? _("File transfer is switched off in the guest's spice-vdagent.")
                                 : _("Install the package spice-vdagent in the guest and log in."));
        return;
    }
    for (guint i = 0; i < files->len; i++)
        g_queue_push_tail(&self->files, g_object_ref(g_ptr_array_index(files, i)));
    self->total_files += files->len;
    if (self->job || !files->len)
        return;
    self->job = bh_job_new(_("Sending files"), bh_machine_get_id(self->machine));
    g_signal_connect_swapped(self->job, "notify::text", G_CALLBACK(update_bar), self);
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), TRUE);
    send_next(self);
}

/* --- drops --- */

static void on_drop(GtkWidget *widget, GdkDragContext *context, int x, int y,
                    GtkSelectionData *selection, guint info, guint time, gpointer data)
{
    BhDisplayFiles *self = BH_DISPLAY_FILES(data);
    g_auto(GStrv) uris = gtk_selection_data_get_uris(selection);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_object_unref);

    for (char **uri = uris; uri && *uri; uri++)
        g_ptr_array_add(files, g_file_new_for_uri(*uri));
    gtk_drag_finish(context, files->len > 0, FALSE, time);
    if (files->len)
        bh_display_files_send(self, files);
}

void bh_display_files_accept_drops(BhDisplayFiles *self, GtkWidget *widget)
{
    guint signal_id = g_signal_lookup("drag-data-received", GTK_TYPE_WIDGET);

    /* SpiceDisplay has a handler of its own (with NULL data; GLib wants more than the id to match),
     * which tells nobody when a file does not arrive. */
    g_signal_handlers_disconnect_matched(widget, G_SIGNAL_MATCH_ID | G_SIGNAL_MATCH_DATA, signal_id,
                                         0, NULL, NULL, NULL);
    gtk_drag_dest_set(widget, GTK_DEST_DEFAULT_ALL, NULL, 0, GDK_ACTION_COPY);
    gtk_drag_dest_add_uri_targets(widget);
    g_signal_connect_object(widget, "drag-data-received", G_CALLBACK(on_drop), self, 0);
}

static void on_chosen(GtkNativeDialog *dialog, int response, gpointer data)
{
    g_autoptr(BhDisplayFiles) self = BH_DISPLAY_FILES(data);
    GSList *chosen = NULL;

    if (response == GTK_RESPONSE_ACCEPT)
        chosen = gtk_file_chooser_get_files(GTK_FILE_CHOOSER(dialog));
    if (chosen) {
        g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_object_unref);
        for (GSList *link = chosen; link; link = link->next)
            g_ptr_array_add(files, link->data);
        g_slist_free(chosen);
        bh_display_files_send(self, files);
    }
    g_object_unref(dialog);
}

void bh_display_files_choose(BhDisplayFiles *self)
{
    GtkWidget *window = gtk_widget_get_toplevel(GTK_WIDGET(self));
    GtkFileChooserNative *dialog;

    if (!agent_takes_files(self)) { /* say so before the user has chosen, not after */
        g_autoptr(GPtrArray) none = g_ptr_array_new();
        bh_display_files_send(self, none);
        return;
    }
    dialog = gtk_file_chooser_native_new(_("Send Files to the Guest"), GTK_WINDOW(window),
                                         GTK_FILE_CHOOSER_ACTION_OPEN, _("_Send"), _("_Cancel"));
    gtk_file_chooser_set_select_multiple(GTK_FILE_CHOOSER(dialog), TRUE);
    gtk_file_chooser_set_current_folder(GTK_FILE_CHOOSER(dialog), g_get_home_dir());
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect(dialog, "response", G_CALLBACK(on_chosen), g_object_ref(self));
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

void bh_display_files_set_channel(BhDisplayFiles *self, SpiceMainChannel *channel, gboolean agent)
{
    g_set_object(&self->channel, channel);
    self->agent = agent;
    /* spice-gtk may never end a transfer whose connection died. */
    if (!channel && self->job)
        bh_job_cancel(self->job);
}

static void on_cancel(GtkButton *button, BhDisplayFiles *self)
{
    if (self->job)
        bh_job_cancel(self->job);
}

static void bh_display_files_destroy(GtkWidget *widget)
{
    BhDisplayFiles *self = BH_DISPLAY_FILES(widget);

    if (self->job) {
        bh_job_cancel(self->job);
        g_signal_handlers_disconnect_by_data(self->job, self);
    }
    g_clear_weak_pointer(&self->errors);
    g_clear_object(&self->channel);
    GTK_WIDGET_CLASS(bh_display_files_parent_class)->destroy(widget);
}

static void bh_display_files_finalize(GObject *object)
{
    BhDisplayFiles *self = BH_DISPLAY_FILES(object);

    g_queue_clear_full(&self->files, g_object_unref);
    g_clear_object(&self->job);
    g_clear_object(&self->machine);
    g_string_free(self->failures, TRUE);
    G_OBJECT_CLASS(bh_display_files_parent_class)->finalize(object);
}

static void bh_display_files_class_init(BhDisplayFilesClass *class)
{
    GTK_WIDGET_CLASS(class)->destroy = bh_display_files_destroy;
    G_OBJECT_CLASS(class)->finalize = bh_display_files_finalize;
}

static void bh_display_files_init(BhDisplayFiles *self)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);
    GtkWidget *column = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *cancel = gtk_button_new_with_mnemonic(_("_Cancel"));

    g_queue_init(&self->files);
    self->failures = g_string_new(NULL);
    self->label = gtk_label_new(NULL);
    gtk_label_set_ellipsize(GTK_LABEL(self->label), PANGO_ELLIPSIZE_MIDDLE);
    gtk_label_set_xalign(GTK_LABEL(self->label), 0);
    self->progress = gtk_progress_bar_new();
    gtk_progress_bar_set_show_text(GTK_PROGRESS_BAR(self->progress), TRUE);
    bh_set_accessible_name(self->progress, _("Progress of the files"));
    gtk_widget_set_hexpand(column, TRUE);
    gtk_widget_set_valign(cancel, GTK_ALIGN_CENTER);
    g_signal_connect(cancel, "clicked", G_CALLBACK(on_cancel), self);
    gtk_container_add(GTK_CONTAINER(column), self->label);
    gtk_container_add(GTK_CONTAINER(column), self->progress);
    gtk_container_add(GTK_CONTAINER(box), column);
    gtk_container_add(GTK_CONTAINER(box), cancel);
    bh_toggle_class(box, "bh-over-screen", TRUE);
    bh_toggle_class(box, GTK_STYLE_CLASS_BACKGROUND, TRUE);
    gtk_container_set_border_width(GTK_CONTAINER(box), 0);
    g_object_set(box, "width-request", 420, NULL);
    gtk_container_add(GTK_CONTAINER(self), box);
    g_object_set(self, "halign", GTK_ALIGN_CENTER, "valign", GTK_ALIGN_END, "margin-bottom", 24,
                 "transition-type", GTK_REVEALER_TRANSITION_TYPE_SLIDE_UP, NULL);
    gtk_widget_show_all(box);
}

BhDisplayFiles *bh_display_files_new(BhMachine *machine, BhErrorBar *errors)
{
    BhDisplayFiles *self = g_object_new(BH_TYPE_DISPLAY_FILES, NULL);

    self->machine = g_object_ref(machine);
    g_set_weak_pointer(&self->errors, errors);
    return self;
}
