/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The home window. It owns no state of machines: it shows what the host's lists say, and hands
 * every wish to the machines' actions or to the New machine window.
 */
#include "home-window.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#include "application.h"
#include "error-bar.h"
#include "event-log.h"
#include "job-bar.h"
#include "machine-grid.h"
#include "machine-list.h"
#include "new-machine.h"
#include "prefs.h"
#include "stall.h"
#include "thumbnail.h"
#include "undo-bar.h"
#include "util.h"

struct _BhHomeWindow {
    GtkApplicationWindow parent_instance;
    BhSession *session;
    BhHost *host; /* the session's */
    BhMachineList *list;
    BhThumbnailer *thumbnailer;
    GtkWidget *box, *header, *stack, *scroll, *spinner, *grid, *error_bar;
    GtkWidget *search_button, *search_bar, *search_entry, *no_result_label;
    GtkWidget *connection_bar, *connection_label, *connection_spinner;
    GtkWidget *accelerator_bar, *accelerator_label;
    GtkWidget *offline_label, *offline_expander, *offline_detail;
    gboolean shown, obscured, iconified, ready, closing;
};

G_DEFINE_TYPE(BhHomeWindow, bh_home_window, GTK_TYPE_APPLICATION_WINDOW)

/* --- what is shown --- */

static const char *choose_page(BhHomeWindow *self)
{
    BhHostState state = bh_host_get_state(self->host);
    guint total = bh_machine_list_get_n_total(self->list);

    if (total == 0 && bh_session_get_open_error(self->session))
        return "offline";
    if (total == 0 && (state == BH_HOST_CONNECTING || state == BH_HOST_CLOSED))
        return "loading";
    if (total == 0)
        return "empty";
    return bh_machine_list_get_n(self->list) > 0 ? "machines" : "no-result";
}

static void update_page(BhHomeWindow *self)
{
    const char *page = choose_page(self);
    const char *text = gtk_entry_get_text(GTK_ENTRY(self->search_entry));
    g_autofree char *no_result = g_strdup_printf(_("No name has “%s” in it."), text);

    g_object_set(self->spinner, "active", g_str_equal(page, "loading"), NULL);
    gtk_label_set_text(GTK_LABEL(self->no_result_label), no_result);
    gtk_stack_set_visible_child_name(GTK_STACK(self->stack), page);
    if (!self->ready && !g_str_equal(page, "loading")) {
        self->ready = TRUE;
        bh_stall_mark("ready");
    }
}

static void update_subtitle(BhHomeWindow *self)
{
    gboolean local = bh_host_get_features(self->host) & BH_FEATURE_LOCAL;
    const char *where = local ? _("This computer") : bh_host_get_uri(self->host);
    const char *accelerator = bh_host_get_accelerator(self->host);
    g_autofree char *text = NULL;

    if (bh_host_get_state(self->host) == BH_HOST_CLOSED || !accelerator)
        text = g_strdup(where);
    else if (g_str_equal(accelerator, "tcg"))
        /* Translators: where machines run, and that the processor is emulated. */
        text = g_strdup_printf(_("%s · software emulation"), where);
    else /* Translators: where machines run, and the accelerator's name. */
        text = g_strdup_printf(_("%s · %s"), where,
                               g_str_equal(accelerator, "kvm") ? "KVM" : accelerator);
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(self->header), text);
}

static void update_connection(BhHomeWindow *self)
{
    BhHostState state = bh_host_get_state(self->host);
    const char *problem = bh_host_get_problem(self->host);
    gboolean lost = state == BH_HOST_DISCONNECTED ||
                    (state == BH_HOST_CONNECTING && bh_machine_list_get_n_total(self->list) > 0);
    g_autofree char *text = NULL;

    if (lost)
        text = g_strdup_printf("%s %s", _("The connection to the host was lost; reconnecting…"),
                               problem ? problem : "");
    else
        text = g_strdup(state == BH_HOST_CONNECTED && problem ? problem : "");
    g_strstrip(text);
    gtk_label_set_text(GTK_LABEL(self->connection_label), text);
    g_object_set(self->connection_spinner, "active", lost, "visible", lost, NULL);
    bh_set_accessible_name(self->connection_bar, text);
    gtk_widget_set_visible(self->connection_bar, *text);
}

/* Told once per note: a person who has read it knows. The subtitle keeps saying it. */
static void update_accelerator(BhHomeWindow *self)
{
    const char *note = bh_host_get_accelerator_note(self->host);
    g_autofree char *seen = bh_prefs_get_string(bh_prefs_get(), "accelerator-note-seen", "");
    gboolean show = bh_host_get_state(self->host) == BH_HOST_CONNECTED && note && *note &&
                    !g_str_equal(note, seen);
    g_autofree char *text = NULL;

    if (show)
        text =
            g_strdup_printf("%s %s", _("Machines run slowly here, by software emulation."), note);
    gtk_label_set_text(GTK_LABEL(self->accelerator_label), text ? text : "");
    gtk_widget_set_visible(self->accelerator_bar, show);
    update_subtitle(self);
}

static void update_actions(BhHomeWindow *self)
{
    gboolean create = bh_host_get_state(self->host) == BH_HOST_CONNECTED &&
                      (bh_host_get_features(self->host) & BH_FEATURE_CREATE);
    static const char *const names[] = {"new", "demo"};

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        GAction *action = g_action_map_lookup_action(G_ACTION_MAP(self), names[i]);
        g_simple_action_set_enabled(G_SIMPLE_ACTION(action), create);
    }
}

static void on_host_changed(GObject *host, GParamSpec *pspec, gpointer data)
{
    BhHomeWindow *self = data;

    update_page(self);
    update_connection(self);
    update_accelerator(self);
    update_actions(self);
}

static void on_open_failed(BhSession *session, GError *error, gpointer data)
{
    BhHomeWindow *self = data;
    g_autofree char *text = bh_error_to_text(error);
    const char *detail = bh_error_get_detail(error);

    gtk_label_set_text(GTK_LABEL(self->offline_label), text);
    gtk_label_set_text(GTK_LABEL(self->offline_detail), detail ? detail : "");
    gtk_widget_set_visible(self->offline_expander, detail && *detail);
    update_page(self);
}

static void on_job_failed(BhSession *session, BhJob *job, GError *error, gpointer data)
{
    bh_error_show(data, error, bh_job_get_title(job));
}

/* The machine's own window tells by itself; without one, this is the place. */
static void on_usb_failed(BhSession *session, BhMachine *machine, BhUsbDevice *device,
                          GError *error, gpointer data)
{
    g_autofree char *title = NULL;

    if (bh_application_find_machine_window(machine))
        return;
    /* Translators: a USB device and the machine it should have gone to. */
    title = g_strdup_printf(_("%s could not be given to “%s”"), bh_usb_device_get_name(device),
                            bh_machine_get_name(machine));
    bh_error_show(data, error, title);
}

static void on_list_changed(BhMachineList *list, gpointer data)
{
    update_page(data);
}

static void on_accelerator_closed(GtkInfoBar *bar, int response, BhHomeWindow *self)
{
    const char *note = bh_host_get_accelerator_note(self->host);

    bh_prefs_set_string(bh_prefs_get(), "accelerator-note-seen", note ? note : "");
    gtk_widget_hide(self->accelerator_bar);
}

static void on_retry(GtkButton *button, BhHomeWindow *self)
{
    bh_session_open(self->session);
    update_page(self);
}

/* --- search --- */

static void on_search_changed(GtkEntry *entry, BhHomeWindow *self)
{
    bh_machine_list_set_filter(self->list, gtk_entry_get_text(entry));
}

static void on_search_activate(GtkEntry *entry, BhHomeWindow *self)
{
    bh_machine_grid_focus(BH_MACHINE_GRID(self->grid), 0);
}

static gboolean on_search_key(GtkWidget *entry, GdkEventKey *event, BhHomeWindow *self)
{
    if (event->keyval != GDK_KEY_Down && event->keyval != GDK_KEY_KP_Down)
        return GDK_EVENT_PROPAGATE;
    bh_machine_grid_focus(BH_MACHINE_GRID(self->grid), 0);
    return GDK_EVENT_STOP;
}

static void on_show_all(GtkButton *button, BhHomeWindow *self)
{
    gtk_search_bar_set_search_mode(GTK_SEARCH_BAR(self->search_bar), FALSE);
    bh_machine_grid_focus(BH_MACHINE_GRID(self->grid), 0);
}

/* Typing searches, but only what no focused control wanted for itself. */
static gboolean bh_home_window_key_press(GtkWidget *widget, GdkEventKey *event)
{
    BhHomeWindow *self = BH_HOME_WINDOW(widget);

    if (GTK_WIDGET_CLASS(bh_home_window_parent_class)->key_press_event(widget, event))
        return GDK_EVENT_STOP;
    if (bh_machine_list_get_n_total(self->list) == 0)
        return GDK_EVENT_PROPAGATE;
    return gtk_search_bar_handle_event(GTK_SEARCH_BAR(self->search_bar), (GdkEvent *)event);
}

/* --- actions --- */

static void on_new(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    bh_home_window_new_machine(data, NULL);
}

static void on_demo(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhHomeWindow *self = data;

    bh_new_machine_demo(GTK_WINDOW(self), self->session);
}

static void on_events(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhHomeWindow *self = data;

    gtk_window_present(GTK_WINDOW(bh_event_log_new(GTK_WINDOW(self), self->host)));
}

static void on_search(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhHomeWindow *self = data;

    gtk_search_bar_set_search_mode(GTK_SEARCH_BAR(self->search_bar), TRUE);
    gtk_widget_grab_focus(self->search_entry);
}

static void on_close(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    gtk_window_close(data);
}

void bh_home_window_new_machine(BhHomeWindow *self, GFile *file)
{
    GtkWidget *window = bh_new_machine_new(GTK_WINDOW(self), self->session);
    g_autofree char *path = file ? g_file_get_path(file) : NULL;

    gtk_window_present(GTK_WINDOW(window));
    if (path)
        bh_new_machine_take_file(BH_NEW_MACHINE(window), path);
    else if (file)
        bh_error_bar_show_message(BH_ERROR_BAR(self->error_bar), GTK_MESSAGE_ERROR,
                                  _("Only files on this computer can be used."),
                                  _("Download or copy the file first."));
}

static void on_drop(GtkWidget *widget, GdkDragContext *context, int x, int y,
                    GtkSelectionData *selection, guint info, guint time, gpointer data)
{
    BhHomeWindow *self = data;
    g_auto(GStrv) uris = gtk_selection_data_get_uris(selection);

    if (uris && uris[0]) {
        g_autoptr(GFile) file = g_file_new_for_uri(uris[0]);
        bh_home_window_new_machine(self, file);
    }
    gtk_drag_finish(context, uris && uris[0], FALSE, time);
}

/* --- thumbnails: only while somebody can see them --- */

static void update_thumbnailer(BhHomeWindow *self)
{
    bh_thumbnailer_set_active(self->thumbnailer,
                              self->shown && !self->obscured && !self->iconified);
}

static void on_collect(BhThumbnailer *thumbnailer, GPtrArray *machines, gpointer data)
{
    BhHomeWindow *self = data;

    if (bh_host_get_features(self->host) & BH_FEATURE_SCREENSHOT)
        bh_machine_grid_collect(BH_MACHINE_GRID(self->grid), machines);
}

static void on_updated(BhThumbnailer *thumbnailer, BhMachine *machine, gpointer data)
{
    BhHomeWindow *self = data;

    bh_machine_grid_update_picture(BH_MACHINE_GRID(self->grid), machine);
}

static void on_tile_width(BhMachineGrid *grid, int width, gpointer data)
{
    BhHomeWindow *self = data;

    bh_thumbnailer_set_width(self->thumbnailer,
                             width * gtk_widget_get_scale_factor(GTK_WIDGET(self)));
}

static void bh_home_window_map(GtkWidget *widget)
{
    BH_HOME_WINDOW(widget)->shown = TRUE;
    GTK_WIDGET_CLASS(bh_home_window_parent_class)->map(widget);
    update_thumbnailer(BH_HOME_WINDOW(widget));
}

static void bh_home_window_unmap(GtkWidget *widget)
{
    BH_HOME_WINDOW(widget)->shown = FALSE;
    update_thumbnailer(BH_HOME_WINDOW(widget));
    GTK_WIDGET_CLASS(bh_home_window_parent_class)->unmap(widget);
}

static gboolean bh_home_window_visibility(GtkWidget *widget, GdkEventVisibility *event)
{
    BH_HOME_WINDOW(widget)->obscured = event->state == GDK_VISIBILITY_FULLY_OBSCURED;
    update_thumbnailer(BH_HOME_WINDOW(widget));
    return GDK_EVENT_PROPAGATE;
}

static gboolean bh_home_window_state(GtkWidget *widget, GdkEventWindowState *event)
{
    BhHomeWindow *self = BH_HOME_WINDOW(widget);
    gboolean maximized = event->new_window_state & GDK_WINDOW_STATE_MAXIMIZED;

    self->iconified =
        (event->new_window_state & (GDK_WINDOW_STATE_ICONIFIED | GDK_WINDOW_STATE_WITHDRAWN)) != 0;
    update_thumbnailer(self);
    if (event->changed_mask & GDK_WINDOW_STATE_MAXIMIZED)
        bh_prefs_set_boolean(bh_prefs_get(), "window-maximized", maximized);
    return GTK_WIDGET_CLASS(bh_home_window_parent_class)->window_state_event(widget, event);
}

/* --- closing --- */

static void save_size(BhHomeWindow *self)
{
    int width, height;

    if (gtk_window_is_maximized(GTK_WINDOW(self)))
        return;
    gtk_window_get_size(GTK_WINDOW(self), &width, &height);
    bh_prefs_set_int(bh_prefs_get(), "window-width", width);
    bh_prefs_set_int(bh_prefs_get(), "window-height", height);
}

static void on_close_response(GtkDialog *dialog, int response, gpointer data)
{
    BhHomeWindow *self = data;
    GListModel *jobs = bh_session_get_jobs(self->session);

    gtk_widget_destroy(GTK_WIDGET(dialog));
    if (response != GTK_RESPONSE_ACCEPT)
        return;
    for (guint i = 0; i < g_list_model_get_n_items(jobs); i++) {
        g_autoptr(BhJob) job = g_list_model_get_item(jobs, i);
        bh_job_cancel(job);
    }
    self->closing = TRUE;
    gtk_window_close(GTK_WINDOW(self));
}

/* Work under way ends with the app, so closing says what it would end. */
static gboolean bh_home_window_delete(GtkWidget *widget, GdkEventAny *event)
{
    BhHomeWindow *self = BH_HOME_WINDOW(widget);
    GListModel *jobs = bh_session_get_jobs(self->session);
    g_autoptr(BhJob) job = g_list_model_get_item(jobs, 0);
    GtkWidget *dialog, *button;

    save_size(self);
    if (!job || self->closing)
        return GDK_EVENT_PROPAGATE;
    dialog = gtk_message_dialog_new(GTK_WINDOW(self), GTK_DIALOG_MODAL, GTK_MESSAGE_QUESTION,
                                    GTK_BUTTONS_NONE, _("“%s” is still under way"),
                                    bh_job_get_title(job));
    gtk_message_dialog_format_secondary_text(
        GTK_MESSAGE_DIALOG(dialog),
        _("Closing the window cancels it. Nothing half-made is left behind."));
    gtk_dialog_add_button(GTK_DIALOG(dialog), _("_Keep Open"), GTK_RESPONSE_CANCEL);
    button = gtk_dialog_add_button(GTK_DIALOG(dialog), _("Cancel and _Close"), GTK_RESPONSE_ACCEPT);
    gtk_style_context_add_class(gtk_widget_get_style_context(button), "destructive-action");
    gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_CANCEL);
    g_signal_connect(dialog, "response", G_CALLBACK(on_close_response), self);
    gtk_window_present(GTK_WINDOW(dialog));
    return GDK_EVENT_STOP;
}

static void bh_home_window_dispose(GObject *object)
{
    BhHomeWindow *self = BH_HOME_WINDOW(object);

    if (self->thumbnailer) {
        bh_thumbnailer_set_active(self->thumbnailer, FALSE);
        g_signal_handlers_disconnect_by_data(self->thumbnailer, self);
    }
    if (self->list)
        g_signal_handlers_disconnect_by_data(self->list, self);
    if (self->session) {
        g_signal_handlers_disconnect_by_data(self->host, self);
        g_signal_handlers_disconnect_by_data(self->session, self);
    }
    G_OBJECT_CLASS(bh_home_window_parent_class)->dispose(object);
    g_clear_object(&self->thumbnailer);
    g_clear_object(&self->list);
    g_clear_object(&self->session);
}

/* --- construction --- */

static void bind_template(GtkWidgetClass *klass)
{
    gtk_widget_class_set_template_from_resource(klass, "/org/bulkhead/Bulkhead/home-window.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(klass, BhHomeWindow, name)
    CHILD(box);
    CHILD(header);
    CHILD(stack);
    CHILD(scroll);
    CHILD(spinner);
    CHILD(search_button);
    CHILD(search_bar);
    CHILD(search_entry);
    CHILD(no_result_label);
    CHILD(connection_bar);
    CHILD(connection_label);
    CHILD(connection_spinner);
    CHILD(accelerator_bar);
    CHILD(accelerator_label);
    CHILD(offline_label);
    CHILD(offline_expander);
    CHILD(offline_detail);
#undef CHILD
    gtk_widget_class_bind_template_callback(klass, on_accelerator_closed);
    gtk_widget_class_bind_template_callback(klass, on_search_changed);
    gtk_widget_class_bind_template_callback(klass, on_search_activate);
    gtk_widget_class_bind_template_callback(klass, on_search_key);
    gtk_widget_class_bind_template_callback(klass, on_retry);
    gtk_widget_class_bind_template_callback(klass, on_show_all);
}

static void bh_home_window_class_init(BhHomeWindowClass *klass)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = bh_home_window_dispose;
    widget_class->key_press_event = bh_home_window_key_press;
    widget_class->delete_event = bh_home_window_delete;
    widget_class->map = bh_home_window_map;
    widget_class->unmap = bh_home_window_unmap;
    widget_class->visibility_notify_event = bh_home_window_visibility;
    widget_class->window_state_event = bh_home_window_state;
    bind_template(widget_class);
}

static void bh_home_window_init(BhHomeWindow *self)
{
    static const GActionEntry entries[] = {
        {.name = "new", .activate = on_new},       {.name = "demo", .activate = on_demo},
        {.name = "events", .activate = on_events}, {.name = "search", .activate = on_search},
        {.name = "close", .activate = on_close},
    };

    gtk_widget_init_template(GTK_WIDGET(self));
    g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
    gtk_widget_add_events(GTK_WIDGET(self), GDK_VISIBILITY_NOTIFY_MASK);
    gtk_search_bar_connect_entry(GTK_SEARCH_BAR(self->search_bar), GTK_ENTRY(self->search_entry));
    g_object_bind_property(self->search_button, "active", self->search_bar, "search-mode-enabled",
                           G_BINDING_BIDIRECTIONAL);
    bh_name_close_button(self->accelerator_bar);
    self->error_bar = bh_error_bar_new();
    gtk_box_pack_start(GTK_BOX(self->box), self->error_bar, FALSE, FALSE, 0);
    gtk_box_reorder_child(GTK_BOX(self->box), self->error_bar, 0);
    self->grid = bh_machine_grid_new();
    gtk_widget_show(self->grid);
    gtk_container_add(GTK_CONTAINER(self->scroll), self->grid);
    self->thumbnailer = bh_thumbnailer_new();
    g_signal_connect(self->thumbnailer, "collect", G_CALLBACK(on_collect), self);
    g_signal_connect(self->thumbnailer, "updated", G_CALLBACK(on_updated), self);
    g_signal_connect(self->grid, "tile-width", G_CALLBACK(on_tile_width), self);
    gtk_drag_dest_set(GTK_WIDGET(self), GTK_DEST_DEFAULT_ALL, NULL, 0, GDK_ACTION_COPY);
    gtk_drag_dest_add_uri_targets(GTK_WIDGET(self));
    g_signal_connect(self, "drag-data-received", G_CALLBACK(on_drop), self);
}

static void restore_size(BhHomeWindow *self)
{
    GSettings *prefs = bh_prefs_get();

    gtk_window_set_default_size(GTK_WINDOW(self), bh_prefs_get_int(prefs, "window-width", 920),
                                bh_prefs_get_int(prefs, "window-height", 640));
    if (bh_prefs_get_boolean(prefs, "window-maximized", FALSE))
        gtk_window_maximize(GTK_WINDOW(self));
}

GtkWidget *bh_home_window_new(GtkApplication *application, BhSession *session)
{
    BhHomeWindow *self = g_object_new(BH_TYPE_HOME_WINDOW, "application", application, NULL);
    const GError *error = bh_session_get_open_error(session);

    self->session = g_object_ref(session);
    self->host = bh_session_get_host(session);
    self->list = bh_machine_list_new(bh_host_get_machines(self->host));
    g_signal_connect(self->list, "changed", G_CALLBACK(on_list_changed), self);
    bh_machine_grid_set_list(BH_MACHINE_GRID(self->grid), self->list);
    gtk_box_pack_end(GTK_BOX(self->box), bh_job_bar_new(bh_session_get_jobs(session)), FALSE, FALSE,
                     0);
    gtk_box_pack_end(GTK_BOX(self->box), bh_undo_bar_new(self->host), FALSE, FALSE, 0);
    g_signal_connect(self->host, "notify", G_CALLBACK(on_host_changed), self);
    g_signal_connect(session, "open-failed", G_CALLBACK(on_open_failed), self);
    g_signal_connect(session, "job-failed", G_CALLBACK(on_job_failed), self);
    g_signal_connect(session, "usb-failed", G_CALLBACK(on_usb_failed), self);
    if (error)
        on_open_failed(session, (GError *)error, self);
    restore_size(self);
    on_host_changed(G_OBJECT(self->host), NULL, self);
    return GTK_WIDGET(self);
}

BhSession *bh_home_window_get_session(BhHomeWindow *self)
{
    return self->session;
}
