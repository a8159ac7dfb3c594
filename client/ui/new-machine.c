/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The New machine window. While the machine is being made the window is only hidden: should that
 * fail, it comes back with the error and everything the user has entered.
 */
#include "new-machine.h"

#include <bulkhead/create.h>
#include <glib/gi18n.h>

#include "error-bar.h"
#include "new-machine-create.h"
#include "new-machine-form.h"
#include "prefs.h"
#include "util.h"

struct _BhNewMachine {
    GtkWindow parent_instance;
    BhSession *session;
    BhMediaInfo *media; /* NULL: an empty machine */
    BhJob *job;         /* looking at a file, or NULL */
    GtkFileChooserNative *chooser;
    gboolean os_loaded, media_ready, closed;
    GtkWidget *box, *stack, *error_bar, *form;
    GtkWidget *back_button, *create_button, *file_button, *spinner, *wait_label;
    GtkWidget *form_box, *problem_label, *run_check;
};

G_DEFINE_TYPE(BhNewMachine, bh_new_machine, GTK_TYPE_WINDOW)

static void show_page(BhNewMachine *self, const char *name)
{
    gboolean form = g_str_equal(name, "form"), source = g_str_equal(name, "source");

    gtk_stack_set_visible_child_name(GTK_STACK(self->stack), name);
    gtk_widget_set_visible(self->create_button, form);
    gtk_button_set_label(GTK_BUTTON(self->back_button), source ? _("_Cancel") : _("_Back"));
    g_object_set(self->spinner, "active", g_str_equal(name, "wait"), NULL);
    if (source)
        gtk_widget_grab_focus(self->file_button);
    if (!form)
        return;
    gtk_widget_grab_default(self->create_button);
    bh_machine_form_focus(BH_MACHINE_FORM(self->form));
}

static void on_form_changed(BhMachineForm *form, gpointer data)
{
    BhNewMachine *self = data;
    g_autoptr(GError) error = NULL;
    gboolean valid = bh_machine_form_check(form, &error);

    gtk_widget_set_sensitive(self->create_button, valid);
    gtk_widget_set_visible(self->problem_label, !valid);
    gtk_label_set_text(GTK_LABEL(self->problem_label), valid ? "" : error->message);
}

static void fail(BhNewMachine *self, const GError *error, const char *title)
{
    if (self->closed || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    self->media_ready = FALSE;
    show_page(self, "source");
    bh_error_bar_show(BH_ERROR_BAR(self->error_bar), error, title);
}

/* The form appears when the medium is known, the systems' database is loaded and the host has
 * answered: what is proposed depends on all three. */
static void maybe_show_form(BhNewMachine *self)
{
    BhHost *host = bh_session_get_host(self->session);
    const GError *error = bh_session_get_open_error(self->session);
    g_autoptr(BhMachineSpec) spec = NULL;

    if (!self->os_loaded || !self->media_ready || self->closed)
        return;
    if (bh_host_get_state(host) != BH_HOST_CONNECTED) {
        if (error)
            fail(self, error, _("The host does not answer"));
        return;
    }
    if (g_str_equal(gtk_stack_get_visible_child_name(GTK_STACK(self->stack)), "form"))
        return;
    spec = bh_spec_from_media(host, self->media, NULL);
    bh_machine_form_set(BH_MACHINE_FORM(self->form), spec, self->media);
    show_page(self, "form");
}

static void on_os_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhNewMachine) self = data;
    g_autoptr(GError) error = NULL;

    /* Without the database nothing is detected, but a machine can still be made. */
    if (!bh_os_db_load_finish(result, &error) && !self->closed)
        g_warning("%s", error->message);
    self->os_loaded = TRUE;
    maybe_show_form(self);
}

static void on_inspected(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhNewMachine) self = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhMediaInfo) media = bh_media_inspect_finish(result, &error);

    /* A cancelled look belongs to a page that the user has left. */
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    g_clear_object(&self->job);
    if (!media) {
        fail(self, error, _("No machine can be made from this file"));
        return;
    }
    g_clear_pointer(&self->media, bh_media_info_free);
    self->media = g_steal_pointer(&media);
    self->media_ready = TRUE;
    maybe_show_form(self);
}

static void stop_looking(BhNewMachine *self)
{
    if (self->job)
        bh_job_cancel(self->job);
    g_clear_object(&self->job);
    self->media_ready = FALSE;
}

static void start_waiting(BhNewMachine *self, const char *text)
{
    stop_looking(self);
    g_clear_pointer(&self->media, bh_media_info_free);
    bh_error_bar_hide(BH_ERROR_BAR(self->error_bar));
    gtk_label_set_text(GTK_LABEL(self->wait_label), text);
    show_page(self, "wait");
    if (!self->os_loaded)
        bh_os_db_load_async(NULL, on_os_loaded, g_object_ref(self));
}

void bh_new_machine_take_file(BhNewMachine *self, const char *path)
{
    g_autofree char *base = g_path_get_basename(path);
    g_autofree char *shown = g_filename_display_name(base);
    g_autofree char *text = g_strdup_printf(_("Looking at %s…"), shown);

    start_waiting(self, text);
    self->job = bh_job_new(text, NULL);
    bh_media_inspect_async(path, self->job, on_inspected, g_object_ref(self));
}

static void on_empty(GtkButton *button, BhNewMachine *self)
{
    start_waiting(self, _("Reading the list of systems…"));
    self->media_ready = TRUE;
    maybe_show_form(self);
}

/* --- choosing a file --- */

static void on_chosen(GtkNativeDialog *dialog, int response, gpointer data)
{
    BhNewMachine *self = data;
    g_autofree char *path = gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(dialog));

    if (response == GTK_RESPONSE_ACCEPT && path) {
        bh_prefs_set_media_folder(path);
        bh_new_machine_take_file(self, path);
    }
    g_clear_object(&self->chooser);
}

static GtkFileFilter *make_filter(void)
{
    static const char *const patterns[] = {"*.iso",  "*.img", "*.qcow2", "*.raw",
                                           "*.vmdk", "*.vdi", "*.vhdx",  "*.qcow"};
    GtkFileFilter *filter = gtk_file_filter_new();

    gtk_file_filter_set_name(filter, _("Installation media and disk images"));
    for (gsize i = 0; i < G_N_ELEMENTS(patterns); i++) {
        g_autofree char *upper = g_ascii_strup(patterns[i], -1);
        gtk_file_filter_add_pattern(filter, patterns[i]);
        gtk_file_filter_add_pattern(filter, upper);
    }
    return filter;
}

static void on_choose_file(GtkButton *button, BhNewMachine *self)
{
    g_autofree char *folder = bh_prefs_get_media_folder();
    GtkFileFilter *all = gtk_file_filter_new();

    g_clear_object(&self->chooser);
    self->chooser = gtk_file_chooser_native_new(_("Choose a Medium or an Image"), GTK_WINDOW(self),
                                                GTK_FILE_CHOOSER_ACTION_OPEN, NULL, NULL);
    gtk_file_filter_set_name(all, _("All files"));
    gtk_file_filter_add_pattern(all, "*");
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(self->chooser), make_filter());
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(self->chooser), all);
    gtk_file_chooser_set_current_folder(GTK_FILE_CHOOSER(self->chooser), folder);
    g_signal_connect(self->chooser, "response", G_CALLBACK(on_chosen), self);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(self->chooser));
}

static void on_drop(GtkWidget *widget, GdkDragContext *context, int x, int y,
                    GtkSelectionData *selection, guint info, guint time, gpointer data)
{
    g_auto(GStrv) uris = gtk_selection_data_get_uris(selection);
    g_autofree char *path = uris && uris[0] ? g_filename_from_uri(uris[0], NULL, NULL) : NULL;

    if (path)
        bh_new_machine_take_file(data, path);
    gtk_drag_finish(context, path != NULL, FALSE, time);
}

/* --- going back, creating --- */

static void on_back(GtkButton *button, BhNewMachine *self)
{
    gboolean source =
        g_str_equal(gtk_stack_get_visible_child_name(GTK_STACK(self->stack)), "source");

    stop_looking(self);
    bh_error_bar_hide(BH_ERROR_BAR(self->error_bar));
    if (source)
        gtk_window_close(GTK_WINDOW(self));
    else
        show_page(self, "source");
}

static void on_created(const GError *error, gpointer data)
{
    g_autoptr(BhNewMachine) self = data;

    if (self->closed)
        return;
    if (!error || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)) {
        gtk_widget_destroy(GTK_WIDGET(self));
        return;
    }
    gtk_window_present(GTK_WINDOW(self));
    bh_error_bar_show(BH_ERROR_BAR(self->error_bar), error, _("The machine could not be made"));
}

static void on_create(GtkButton *button, BhNewMachine *self)
{
    g_autoptr(BhMachineSpec) spec = bh_machine_form_get(BH_MACHINE_FORM(self->form));
    gboolean run = gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(self->run_check));

    bh_error_bar_hide(BH_ERROR_BAR(self->error_bar));
    gtk_widget_hide(GTK_WIDGET(self));
    bh_create_machine(self->session, spec, run, on_created, g_object_ref(self));
}

typedef struct {
    GtkWindow *window; /* weak */
} Demo;

static void on_demo_made(const GError *error, gpointer data)
{
    Demo *demo = data;

    if (error && demo->window)
        bh_error_show(GTK_WIDGET(demo->window), error, _("The demo desktop could not be made"));
    g_clear_weak_pointer(&demo->window);
    g_free(demo);
}

void bh_new_machine_demo(GtkWindow *window, BhSession *session)
{
    Demo *demo = g_new0(Demo, 1);

    g_set_weak_pointer(&demo->window, window);
    bh_create_demo(session, on_demo_made, demo);
}

static void on_demo(GtkButton *button, BhNewMachine *self)
{
    GtkWindow *parent = gtk_window_get_transient_for(GTK_WINDOW(self));

    bh_new_machine_demo(parent, self->session);
    gtk_window_close(GTK_WINDOW(self));
}

static gboolean bh_new_machine_key_press(GtkWidget *widget, GdkEventKey *event)
{
    if (GTK_WIDGET_CLASS(bh_new_machine_parent_class)->key_press_event(widget, event))
        return GDK_EVENT_STOP;
    if (event->keyval != GDK_KEY_Escape)
        return GDK_EVENT_PROPAGATE;
    on_back(NULL, BH_NEW_MACHINE(widget));
    return GDK_EVENT_STOP;
}

/* --- construction --- */

static void on_host_state(BhHost *host, GParamSpec *pspec, gpointer data)
{
    maybe_show_form(data);
}

static void on_open_failed(BhSession *session, GError *error, gpointer data)
{
    maybe_show_form(data);
}

static void bh_new_machine_destroy(GtkWidget *widget)
{
    BhNewMachine *self = BH_NEW_MACHINE(widget);

    if (!self->closed)
        stop_looking(self);
    self->closed = TRUE;
    g_clear_object(&self->chooser);
    GTK_WIDGET_CLASS(bh_new_machine_parent_class)->destroy(widget);
}

static void bh_new_machine_finalize(GObject *object)
{
    BhNewMachine *self = BH_NEW_MACHINE(object);

    g_clear_pointer(&self->media, bh_media_info_free);
    g_clear_object(&self->session);
    G_OBJECT_CLASS(bh_new_machine_parent_class)->finalize(object);
}

static void bh_new_machine_class_init(BhNewMachineClass *klass)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->finalize = bh_new_machine_finalize;
    widget_class->destroy = bh_new_machine_destroy;
    widget_class->key_press_event = bh_new_machine_key_press;
    gtk_widget_class_set_template_from_resource(widget_class,
                                                "/org/bulkhead/Bulkhead/new-machine.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget_class, BhNewMachine, name)
    CHILD(box);
    CHILD(stack);
    CHILD(back_button);
    CHILD(create_button);
    CHILD(file_button);
    CHILD(spinner);
    CHILD(wait_label);
    CHILD(form_box);
    CHILD(problem_label);
    CHILD(run_check);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_back);
    gtk_widget_class_bind_template_callback(widget_class, on_create);
    gtk_widget_class_bind_template_callback(widget_class, on_choose_file);
    gtk_widget_class_bind_template_callback(widget_class, on_demo);
    gtk_widget_class_bind_template_callback(widget_class, on_empty);
}

static void bh_new_machine_init(BhNewMachine *self)
{
    gtk_widget_init_template(GTK_WIDGET(self));
    self->error_bar = bh_error_bar_new();
    gtk_box_pack_start(GTK_BOX(self->box), self->error_bar, FALSE, FALSE, 0);
    gtk_box_reorder_child(GTK_BOX(self->box), self->error_bar, 0);
    gtk_drag_dest_set(GTK_WIDGET(self), GTK_DEST_DEFAULT_ALL, NULL, 0, GDK_ACTION_COPY);
    gtk_drag_dest_add_uri_targets(GTK_WIDGET(self));
    g_signal_connect(self, "drag-data-received", G_CALLBACK(on_drop), self);
}

GtkWidget *bh_new_machine_new(GtkWindow *parent, BhSession *session)
{
    BhNewMachine *self = g_object_new(BH_TYPE_NEW_MACHINE, "transient-for", parent, NULL);

    self->session = g_object_ref(session);
    self->form = bh_machine_form_new(bh_session_get_host(session));
    g_signal_connect(self->form, "changed", G_CALLBACK(on_form_changed), self);
    g_signal_connect_object(bh_session_get_host(session), "notify::state",
                            G_CALLBACK(on_host_state), self, 0);
    g_signal_connect_object(session, "open-failed", G_CALLBACK(on_open_failed), self, 0);
    gtk_box_pack_start(GTK_BOX(self->form_box), self->form, FALSE, FALSE, 0);
    show_page(self, "source");
    return GTK_WIDGET(self);
}
