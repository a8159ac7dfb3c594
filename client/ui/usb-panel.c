/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The USB panel of a machine: a live list of this computer's devices, and of the ISO files that
 * its display shares as USB CDs.
 *
 * spice-gtk's own device widget is not used: it knows one route only, offers no reason or rule per
 * device, and upsets screen readers when a device comes.
 */
#include "usb-panel.h"

#include "prefs.h"
#include "usb-row.h"
#include "util.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#define BH_TYPE_USB_PANEL (bh_usb_panel_get_type())
G_DECLARE_FINAL_TYPE(BhUsbPanel, bh_usb_panel, BH, USB_PANEL, GtkBox)

struct _BhUsbPanel {
    GtkBox parent_instance;
    BhUsbArbiter *arbiter;
    BhMachine *machine;
    GtkFileChooserNative *chooser;
    char *cd_key;  /* what the CD list shows, to leave it alone while nothing changes */
    char *problem; /* of the last sharing: stays until the next one */
    GtkWidget *list, *cds, *footer, *share_button, *share_note, *placeholder;
};

G_DEFINE_TYPE(BhUsbPanel, bh_usb_panel, GTK_TYPE_BOX)

static void update(BhUsbPanel *self);

static void update_placeholder(GListModel *devices, guint position, guint removed, guint added,
                               BhUsbPanel *self)
{
    gboolean empty = g_list_model_get_n_items(devices) == 0;
    gtk_widget_set_visible(self->placeholder, empty);
    gtk_widget_set_visible(self->list, !empty);
}

static GtkWidget *make_row(gpointer item, gpointer data)
{
    BhUsbPanel *self = data;
    return bh_usb_row_new(self->arbiter, self->machine, item);
}

static void on_row_activated(GtkListBox *list, GtkListBoxRow *row, BhUsbPanel *self)
{
    bh_usb_row_activate(BH_USB_ROW(row));
}

/* ---- shared CDs ---- */

static void show_note(BhUsbPanel *self, const char *text, gboolean bad)
{
    gtk_label_set_text(GTK_LABEL(self->share_note), text ? text : "");
    gtk_widget_set_visible(self->share_note, text != NULL);
    bh_toggle_class(self->share_note, "row-error", bad);
}

static void on_shared(GObject *source, GAsyncResult *result, gpointer data)
{
    BhUsbPanel *self = data;
    g_autoptr(GError) error = NULL;
    bh_usb_redirector_share_cd_finish(BH_USB_REDIRECTOR(source), result, &error);
    if (self->arbiter) { /* not closed meanwhile */
        g_clear_pointer(&self->problem, g_free);
        if (error && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            self->problem = bh_error_to_text(error);
        update(self);
    }
    g_object_unref(self);
}

static void share(BhUsbPanel *self, const char *path, gboolean on)
{
    BhUsbRedirector *redirector = bh_usb_arbiter_get_redirector(self->arbiter, self->machine);
    if (redirector)
        bh_usb_redirector_share_cd_async(redirector, path, on, NULL, on_shared, g_object_ref(self));
}

static void on_unshare(GtkButton *button, BhUsbPanel *self)
{
    g_autofree char *path = g_strdup(g_object_get_data(G_OBJECT(button), "path"));
    gtk_widget_set_sensitive(GTK_WIDGET(button), FALSE);
    share(self, path, FALSE);
}

static void on_file_chosen(GtkNativeDialog *chooser, int response, BhUsbPanel *self)
{
    g_autofree char *path = response == GTK_RESPONSE_ACCEPT
                                ? gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(chooser))
                                : NULL;
    g_clear_object(&self->chooser);
    if (path) {
        bh_prefs_set_media_folder(path);
        share(self, path, TRUE);
    }
}

static void on_share(BhUsbPanel *self)
{
    GtkWidget *window = gtk_widget_get_toplevel(GTK_WIDGET(self));
    GtkFileFilter *filter = gtk_file_filter_new();
    g_autofree char *folder = bh_prefs_get_media_folder();
    g_clear_object(&self->chooser);
    self->chooser = gtk_file_chooser_native_new(_("Share an ISO as a USB CD"),
                                                GTK_IS_WINDOW(window) ? GTK_WINDOW(window) : NULL,
                                                GTK_FILE_CHOOSER_ACTION_OPEN, _("_Share"), NULL);
    gtk_file_filter_set_name(filter, _("CD images"));
    gtk_file_filter_add_pattern(filter, "*.iso");
    gtk_file_filter_add_pattern(filter, "*.ISO");
    gtk_file_filter_add_mime_type(filter, "application/x-cd-image");
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(self->chooser), filter);
    /* Without a folder it opens on an empty list of recent files, whose focus is on a widget that
     * is not there: GTK 3 then complains at every key. */
    gtk_file_chooser_set_current_folder(GTK_FILE_CHOOSER(self->chooser), folder);
    g_signal_connect_object(self->chooser, "response", G_CALLBACK(on_file_chosen), self, 0);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(self->chooser));
}

static GtkWidget *make_cd_row(BhUsbPanel *self, const char *path)
{
    GtkWidget *row = gtk_list_box_row_new();
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 10);
    GtkWidget *icon = gtk_image_new_from_icon_name("media-optical-symbolic", GTK_ICON_SIZE_DND);
    GtkWidget *button = gtk_button_new_from_icon_name("media-eject-symbolic", GTK_ICON_SIZE_BUTTON);
    g_autofree char *name = g_filename_display_basename(path);
    g_autofree char *eject = g_strdup_printf(_("Stop sharing %s"), name);
    g_autofree char *full = g_strdup_printf(_("%s, shared as a USB CD"), name);
    GtkWidget *label = gtk_label_new(name);
    g_object_set(label, "xalign", 0.0, "hexpand", TRUE, "ellipsize", PANGO_ELLIPSIZE_MIDDLE, NULL);
    g_object_set(box, "margin-start", 12, "margin-end", 12, "margin-top", 8, "margin-bottom", 8,
                 NULL);
    gtk_widget_set_tooltip_text(label, path);
    gtk_widget_set_tooltip_text(button, eject);
    bh_set_accessible_name(button, eject);
    bh_set_accessible_name(row, full);
    g_object_set_data_full(G_OBJECT(button), "path", g_strdup(path), g_free);
    g_signal_connect(button, "clicked", G_CALLBACK(on_unshare), self);
    gtk_container_add(GTK_CONTAINER(box), icon);
    gtk_container_add(GTK_CONTAINER(box), label);
    gtk_container_add(GTK_CONTAINER(box), button);
    gtk_container_add(GTK_CONTAINER(row), box);
    gtk_list_box_row_set_activatable(GTK_LIST_BOX_ROW(row), FALSE);
    gtk_widget_show_all(row);
    return row;
}

/* The list is made anew only when it differs: a focus in it would be lost. */
static void update_cds(BhUsbPanel *self, GPtrArray *paths)
{
    g_autoptr(GString) key = g_string_new(NULL);
    for (guint i = 0; i < paths->len; i++)
        g_string_append_printf(key, "%s\n", (char *)paths->pdata[i]);
    if (g_strcmp0(key->str, self->cd_key) == 0)
        return;
    g_free(self->cd_key);
    self->cd_key = g_strdup(key->str);
    gtk_container_foreach(GTK_CONTAINER(self->cds), (GtkCallback)(void (*)(void))gtk_widget_destroy,
                          NULL);
    for (guint i = 0; i < paths->len; i++)
        gtk_container_add(GTK_CONTAINER(self->cds), make_cd_row(self, paths->pdata[i]));
    gtk_widget_set_visible(self->cds, paths->len > 0);
}

static void update(BhUsbPanel *self)
{
    BhUsbRedirector *redirector = bh_usb_arbiter_get_redirector(self->arbiter, self->machine);
    gboolean can_share = redirector && bh_usb_redirector_can_share_cd(redirector);
    BhUsbFix fix = BH_USB_FIX_NONE;
    g_autofree char *reason = can_share ? bh_usb_redirector_why_not_cd(redirector, &fix) : NULL;
    g_autoptr(GPtrArray) paths =
        can_share ? bh_usb_redirector_list_cds(redirector) : g_ptr_array_new();
    gtk_widget_set_visible(self->footer, can_share);
    gtk_widget_set_sensitive(self->share_button, reason == NULL);
    show_note(self, reason ? reason : self->problem, !reason);
    update_cds(self, paths);
}

static void bh_usb_panel_dispose(GObject *object)
{
    BhUsbPanel *self = BH_USB_PANEL(object);
    if (self->arbiter)
        g_signal_handlers_disconnect_by_data(self->arbiter, self);
    g_clear_object(&self->chooser);
    g_clear_object(&self->arbiter);
    g_clear_object(&self->machine);
    G_OBJECT_CLASS(bh_usb_panel_parent_class)->dispose(object);
}

static void bh_usb_panel_finalize(GObject *object)
{
    g_free(BH_USB_PANEL(object)->cd_key);
    g_free(BH_USB_PANEL(object)->problem);
    G_OBJECT_CLASS(bh_usb_panel_parent_class)->finalize(object);
}

static void bh_usb_panel_class_init(BhUsbPanelClass *klass)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
    G_OBJECT_CLASS(klass)->dispose = bh_usb_panel_dispose;
    G_OBJECT_CLASS(klass)->finalize = bh_usb_panel_finalize;
    gtk_widget_class_set_template_from_resource(widget_class,
                                                "/org/bulkhead/Bulkhead/usb-panel.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget_class, BhUsbPanel, name)
    CHILD(list);
    CHILD(cds);
    CHILD(footer);
    CHILD(share_button);
    CHILD(share_note);
    CHILD(placeholder);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_row_activated);
    gtk_widget_class_bind_template_callback(widget_class, on_share);
}

static void add_separator(GtkListBoxRow *row, GtkListBoxRow *before, gpointer data)
{
    GtkWidget *line = gtk_list_box_row_get_header(row);
    if (before && !line) {
        line = gtk_separator_new(GTK_ORIENTATION_HORIZONTAL);
        gtk_widget_show(line);
        gtk_list_box_row_set_header(row, line);
    } else if (!before) {
        gtk_list_box_row_set_header(row, NULL);
    }
}

static void bh_usb_panel_init(BhUsbPanel *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    gtk_list_box_set_header_func(GTK_LIST_BOX(self->list), add_separator, NULL, NULL);
}

GtkWidget *bh_usb_panel_new(BhUsbArbiter *arbiter, BhMachine *machine)
{
    BhUsbPanel *self = g_object_new(BH_TYPE_USB_PANEL, NULL);
    GListModel *devices = G_LIST_MODEL(bh_usb_arbiter_get_monitor(arbiter));
    self->arbiter = g_object_ref(arbiter);
    self->machine = g_object_ref(machine);
    g_signal_connect_swapped(arbiter, "changed", G_CALLBACK(update), self);
    gtk_list_box_bind_model(GTK_LIST_BOX(self->list), devices, make_row, self, NULL);
    g_signal_connect_object(devices, "items-changed", G_CALLBACK(update_placeholder), self, 0);
    update_placeholder(devices, 0, 0, 0, self);
    update(self);
    return GTK_WIDGET(self);
}
