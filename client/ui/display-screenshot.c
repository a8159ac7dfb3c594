/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest's screen as a PNG file or on the clipboard.
 *
 * The file is encoded in a worker and written by GIO to a temporary name that replaces the target
 * when it is complete, so a full disk never leaves half a picture over an old one.
 */
#include "display-private.h"
#include "util.h"

#include <glib/gi18n.h>

#include <bulkhead/error.h>

#define BAR_SECONDS 12

typedef struct {
    BhDisplayWindow *window;
    GdkPixbuf *pixbuf;
    GFile *file;
    GOutputStream *stream;
} Shot;

static void shot_free(Shot *shot)
{
    g_clear_object(&shot->window);
    g_clear_object(&shot->pixbuf);
    g_clear_object(&shot->file);
    g_clear_object(&shot->stream);
    g_free(shot);
}
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Shot, shot_free)

static void shot_failed(Shot *shot, const GError *error)
{
    if (!shot->window->closing)
        bh_error_show(GTK_WIDGET(shot->window), error, _("The screenshot could not be saved."));
}

/* --- the bar that tells where it is --- */

static void on_bar_response(GtkInfoBar *bar, int response, BhDisplayWindow *window)
{
    const char *uri = g_object_get_data(G_OBJECT(bar), "uri");
    g_autoptr(GError) error = NULL;

    if (response == GTK_RESPONSE_ACCEPT &&
        !gtk_show_uri_on_window(GTK_WINDOW(window), uri, GDK_CURRENT_TIME, &error))
        bh_error_show(GTK_WIDGET(window), error, _("The folder could not be opened."));
    gtk_widget_destroy(GTK_WIDGET(bar));
}

static gboolean on_bar_timeout(gpointer bar)
{
    gtk_widget_destroy(GTK_WIDGET(bar));
    return G_SOURCE_REMOVE;
}

static void on_bar_destroyed(GtkWidget *bar, gpointer source)
{
    g_source_destroy(g_main_context_find_source_by_id(NULL, GPOINTER_TO_UINT(source)));
}

static void show_saved_bar(BhDisplayWindow *window, const char *text, GFile *folder)
{
    GtkWidget *bar = gtk_info_bar_new();
    GtkWidget *label = gtk_label_new(text);
    guint source = g_timeout_add_seconds(BAR_SECONDS, on_bar_timeout, bar);

    gtk_label_set_line_wrap(GTK_LABEL(label), TRUE);
    gtk_container_add(GTK_CONTAINER(gtk_info_bar_get_content_area(GTK_INFO_BAR(bar))), label);
    gtk_info_bar_set_show_close_button(GTK_INFO_BAR(bar), TRUE);
    gtk_info_bar_add_button(GTK_INFO_BAR(bar), _("_Open Folder"), GTK_RESPONSE_ACCEPT);
    g_object_set_data_full(G_OBJECT(bar), "uri", g_file_get_uri(folder), g_free);
    g_signal_connect(bar, "response", G_CALLBACK(on_bar_response), window);
    g_signal_connect(bar, "destroy", G_CALLBACK(on_bar_destroyed), GUINT_TO_POINTER(source));
    gtk_widget_set_valign(bar, GTK_ALIGN_END);
    gtk_overlay_add_overlay(GTK_OVERLAY(window->overlay), bar);
    gtk_widget_show_all(bar);
}

static void tell_saved(Shot *shot)
{
    g_autofree char *base = g_file_get_basename(shot->file);
    g_autofree char *name = g_filename_display_name(base);
    g_autofree char *text = g_strdup_printf(_("The screenshot was saved as “%s”."), name);
    g_autoptr(GFile) folder = g_file_get_parent(shot->file);

    if (!shot->window->closing)
        show_saved_bar(shot->window, text, folder);
}

static void on_closed(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Shot) shot = data;
    g_autoptr(GError) error = NULL;

    if (g_output_stream_close_finish(G_OUTPUT_STREAM(source), result, &error))
        tell_saved(shot);
    else
        shot_failed(shot, error);
}

static void on_written(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Shot) shot = data;
    GOutputStream *stream = shot->stream;
    g_autoptr(GError) error = NULL;

    if (gdk_pixbuf_save_to_stream_finish(result, &error)) {
        g_output_stream_close_async(stream, G_PRIORITY_DEFAULT, NULL, on_closed,
                                    g_steal_pointer(&shot));
    } else {
        /* Closing with a cancelled cancellable discards what was written. */
        g_autoptr(GCancellable) cancelled = g_cancellable_new();
        g_cancellable_cancel(cancelled);
        g_output_stream_close_async(stream, G_PRIORITY_DEFAULT, cancelled, NULL, NULL);
        shot_failed(shot, error);
    }
}

static void on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(Shot) shot = data;
    g_autoptr(GError) error = NULL;
    GFileOutputStream *stream = g_file_replace_finish(G_FILE(source), result, &error);

    if (!stream) {
        shot_failed(shot, error);
        return;
    }
    shot->stream = G_OUTPUT_STREAM(stream);
    gdk_pixbuf_save_to_stream_async(shot->pixbuf, shot->stream, "png", NULL, on_written, shot,
                                    NULL);
    shot = NULL;
}

static void on_chosen(GtkNativeDialog *dialog, int response, gpointer data)
{
    g_autoptr(Shot) shot = data;

    if (response == GTK_RESPONSE_ACCEPT) {
        GFile *file = gtk_file_chooser_get_file(GTK_FILE_CHOOSER(dialog));
        shot->file = file;
        g_file_replace_async(file, NULL, FALSE, G_FILE_CREATE_NONE, G_PRIORITY_DEFAULT, NULL,
                             on_opened, g_steal_pointer(&shot));
    }
    g_object_unref(dialog);
}

/* "Debian 12, 2026-11-20 10.15.00.png": no colon, which other systems cannot store. */
static char *propose_name(BhMachine *machine)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_local();
    g_autofree char *time = g_date_time_format(now, "%Y-%m-%d %H.%M.%S");
    g_autofree char *name = g_strdup_printf("%s, %s.png", bh_machine_get_name(machine), time);

    return g_strdelimit(g_steal_pointer(&name), "/\\:", '-');
}

static GdkPixbuf *take(BhDisplayWindow *self)
{
    GdkPixbuf *pixbuf = bh_display_screen_get_pixbuf(self->screen);

    if (!pixbuf)
        bh_error_bar_show_message(self->errors, GTK_MESSAGE_WARNING,
                                  _("There is no picture to take a screenshot of."), NULL);
    return pixbuf;
}

void bh_display_screenshot_save(BhDisplayWindow *self)
{
    /* Taken now, not when the dialog is closed: the moment counts. */
    GdkPixbuf *pixbuf = take(self);
    g_autofree char *name = propose_name(self->machine);
    const char *folder = g_get_user_special_dir(G_USER_DIRECTORY_PICTURES);
    GtkFileChooserNative *dialog;
    GtkFileChooser *chooser;
    Shot *shot;

    if (!pixbuf)
        return;
    shot = g_new0(Shot, 1);
    shot->window = g_object_ref(self);
    shot->pixbuf = pixbuf;
    dialog = gtk_file_chooser_native_new(_("Save the Screenshot"), GTK_WINDOW(self),
                                         GTK_FILE_CHOOSER_ACTION_SAVE, _("_Save"), _("_Cancel"));
    chooser = GTK_FILE_CHOOSER(dialog);
    gtk_file_chooser_set_do_overwrite_confirmation(chooser, TRUE);
    gtk_file_chooser_set_current_folder(chooser, folder ? folder : g_get_home_dir());
    gtk_file_chooser_set_current_name(chooser, name);
    gtk_native_dialog_set_modal(GTK_NATIVE_DIALOG(dialog), TRUE);
    g_signal_connect(dialog, "response", G_CALLBACK(on_chosen), shot);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(dialog));
}

void bh_display_screenshot_copy(BhDisplayWindow *self)
{
    g_autoptr(GdkPixbuf) pixbuf = take(self);

    if (pixbuf)
        gtk_clipboard_set_image(gtk_widget_get_clipboard(GTK_WIDGET(self), GDK_SELECTION_CLIPBOARD),
                                pixbuf);
}
