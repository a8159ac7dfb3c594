/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The application object. A second start of the program hands its command line to the first one,
 * which opens what was asked for; the same verbs are actions on the session bus.
 */
#include "application.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#include "display-window.h"
#include "error-bar.h"
#include "home-window.h"
#include "machine-actions.h"
#include "preferences.h"
#include "prefs.h"
#include "settings-window.h"
#include "stall.h"
#include "usb-panel.h"

struct _BhApplication {
    GtkApplication parent_instance;
};

G_DEFINE_TYPE(BhApplication, bh_application, GTK_TYPE_APPLICATION)

#define DEFAULT_URI "qemu:///session"
/* The windows that the user has for one machine are found again by these. */
#define KIND_KEY "bh-window-kind"
#define MACHINE_KEY "bh-window-machine"
/* Auto-attach rules must work without any machine window, but the first window comes first. */
#define ARBITER_DELAY_S 2

/* --- windows --- */

static GtkWindow *find_window(const char *kind, BhMachine *machine)
{
    GtkApplication *application = GTK_APPLICATION(g_application_get_default());
    GList *windows = gtk_application_get_windows(application);

    for (GList *l = windows; l; l = l->next)
        if (g_strcmp0(g_object_get_data(l->data, KIND_KEY), kind) == 0 &&
            g_object_get_data(l->data, MACHINE_KEY) == machine)
            return l->data;
    return NULL;
}

/* The state of "shown-machines": for programs that want to know whether a window has a machine. */
static void update_shown_machines(GtkApplication *application)
{
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(application), "shown-machines");
    GVariantBuilder ids;

    g_variant_builder_init(&ids, G_VARIANT_TYPE_STRING_ARRAY);
    for (GList *l = gtk_application_get_windows(application); l; l = l->next)
        if (g_strcmp0(g_object_get_data(l->data, KIND_KEY), "display") == 0)
            g_variant_builder_add(&ids, "s",
                                  bh_machine_get_id(g_object_get_data(l->data, MACHINE_KEY)));
    g_simple_action_set_state(G_SIMPLE_ACTION(action), g_variant_builder_end(&ids));
}

static void on_change_shown_machines(GSimpleAction *action, GVariant *value, gpointer data)
{
    /* read-only: windows decide, not callers */
}

/* The window keeps its machine and the session alive; kind is a literal. */
static void adopt_window(GtkWidget *window, const char *kind, BhMachine *machine,
                         BhSession *session)
{
    GtkApplication *application = GTK_APPLICATION(g_application_get_default());

    g_object_set_data(G_OBJECT(window), KIND_KEY, (gpointer)kind);
    g_object_set_data_full(G_OBJECT(window), MACHINE_KEY, g_object_ref(machine), g_object_unref);
    if (session)
        g_object_set_data_full(G_OBJECT(window), "bh-session", g_object_ref(session),
                               g_object_unref);
    gtk_window_set_application(GTK_WINDOW(window), application);
    update_shown_machines(application);
}

GtkWindow *bh_application_find_machine_window(BhMachine *machine)
{
    return find_window("display", machine);
}

static void present_machine(GtkWindow *window, BhMachine *machine)
{
    gtk_window_present(window);
    if (bh_machine_can(machine, BH_VERB_START, NULL))
        bh_machine_act(machine, BH_VERB_START, window);
}

static gboolean on_present(gpointer data)
{
    GtkWindow *window = data;

    /* Without an application it was closed in the meantime. */
    if (gtk_window_get_application(window))
        present_machine(window, g_object_get_data(data, MACHINE_KEY));
    return G_SOURCE_REMOVE;
}

/* A new window is built now and mapped in the next turn of the main loop: each takes tens of
 * milliseconds the first time, and together they would be felt. */
void bh_application_open_machine(BhMachine *machine, GtkWindow *from)
{
    GtkApplication *application = GTK_APPLICATION(g_application_get_default());
    BhSession *session = bh_session_find(machine);
    GtkWindow *window = find_window("display", machine);
    BhUsbArbiter *arbiter;

    if (window) {
        present_machine(window, machine);
        return;
    }
    arbiter = session ? bh_session_get_arbiter(session) : NULL;
    window = GTK_WINDOW(bh_display_window_new(application, machine, arbiter));
    adopt_window(GTK_WIDGET(window), "display", machine, session);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_present, g_object_ref(window), g_object_unref);
}

void bh_application_show_settings(BhMachine *machine, GtkWindow *from)
{
    BhSession *session = bh_session_find(machine);
    GtkWindow *window = find_window("settings", machine);

    if (!session)
        return;
    if (!window) {
        window = GTK_WINDOW(bh_settings_window_new(from, machine, bh_session_get_host(session)));
        adopt_window(GTK_WIDGET(window), "settings", machine, session);
    }
    gtk_window_present(window);
}

static GtkWindow *make_usb_window(BhMachine *machine, BhSession *session)
{
    GtkWidget *window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    GtkWidget *header = gtk_header_bar_new();
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);

    gtk_header_bar_set_title(GTK_HEADER_BAR(header), _("USB Devices"));
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(header), bh_machine_get_name(machine));
    gtk_header_bar_set_show_close_button(GTK_HEADER_BAR(header), TRUE);
    gtk_window_set_titlebar(GTK_WINDOW(window), header);
    gtk_window_set_title(GTK_WINDOW(window), _("USB Devices"));
    gtk_window_set_default_size(GTK_WINDOW(window), 560, 440);
    gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scroll), GTK_POLICY_NEVER,
                                   GTK_POLICY_AUTOMATIC);
    gtk_container_add(GTK_CONTAINER(scroll),
                      bh_usb_panel_new(bh_session_get_arbiter(session), machine));
    gtk_container_add(GTK_CONTAINER(box), bh_error_bar_new());
    gtk_box_pack_start(GTK_BOX(box), scroll, TRUE, TRUE, 0);
    gtk_container_add(GTK_CONTAINER(window), box);
    gtk_widget_show_all(header);
    gtk_widget_show_all(box);
    return GTK_WINDOW(window);
}

void bh_application_show_usb(BhMachine *machine, GtkWindow *from)
{
    BhSession *session = bh_session_find(machine);
    GtkWindow *window = find_window("usb", machine);

    if (!session)
        return;
    if (!window) {
        window = make_usb_window(machine, session);
        adopt_window(GTK_WIDGET(window), "usb", machine, session);
        gtk_window_set_transient_for(window, from);
    }
    gtk_window_present(window);
}

static gboolean on_arbiter_time(gpointer data)
{
    bh_session_get_arbiter(data);
    return G_SOURCE_REMOVE;
}

GtkWindow *bh_application_get_home(BhApplication *self, BhSession *session)
{
    GList *windows = gtk_application_get_windows(GTK_APPLICATION(self));

    for (GList *l = windows; l; l = l->next)
        if (BH_IS_HOME_WINDOW(l->data) && bh_home_window_get_session(l->data) == session)
            return l->data;
    g_timeout_add_seconds_full(G_PRIORITY_LOW, ARBITER_DELAY_S, on_arbiter_time,
                               g_object_ref(session), g_object_unref);
    return GTK_WINDOW(bh_home_window_new(GTK_APPLICATION(self), session));
}

/* --- what a command line or an action wants of a host that may not be connected yet --- */

typedef enum { WANT_OPEN, WANT_START, WANT_ATTACH, WANT_DETACH } Want;

typedef struct {
    BhApplication *application;
    BhSession *session;
    Want want;
    char *machine, *device;
    gulong opened, failed;
} Wish;

static void wish_free(Wish *wish)
{
    g_signal_handler_disconnect(bh_session_get_host(wish->session), wish->opened);
    g_signal_handler_disconnect(wish->session, wish->failed);
    g_application_release(G_APPLICATION(wish->application));
    g_object_unref(wish->session);
    g_free(wish->machine);
    g_free(wish->device);
    g_free(wish);
}

static void report(BhApplication *self, BhSession *session, const GError *error, const char *title)
{
    GtkWindow *home = bh_application_get_home(self, session);

    gtk_window_present(home);
    bh_error_show(GTK_WIDGET(home), error, title);
}

static void on_attached(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhSession) session = data;
    g_autoptr(GError) error = NULL;

    if (!bh_usb_arbiter_attach_finish(BH_USB_ARBITER(source), result, &error))
        report(BH_APPLICATION(g_application_get_default()), session, error,
               _("The USB device could not be moved"));
}

static void on_detached(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhSession) session = data;
    g_autoptr(GError) error = NULL;

    if (!bh_usb_arbiter_detach_finish(BH_USB_ARBITER(source), result, &error))
        report(BH_APPLICATION(g_application_get_default()), session, error,
               _("The USB device could not be moved"));
}

static void grant_usb(Wish *wish, BhMachine *machine)
{
    BhUsbArbiter *arbiter = bh_session_get_arbiter(wish->session);
    BhUsbDevice *device = bh_usb_monitor_find(bh_usb_arbiter_get_monitor(arbiter), wish->device);
    g_autoptr(GError) error = NULL;

    if (!device) {
        error = bh_error_new(BH_ERROR_NOT_FOUND, _("Look whether it is still plugged in."), NULL,
                             _("There is no USB device “%s”."), wish->device);
        report(wish->application, wish->session, error, NULL);
        return;
    }
    if (wish->want == WANT_ATTACH)
        bh_usb_arbiter_attach_async(arbiter, machine, device, FALSE, NULL, on_attached,
                                    g_object_ref(wish->session));
    else
        bh_usb_arbiter_detach_async(arbiter, device, NULL, on_detached,
                                    g_object_ref(wish->session));
}

static void grant(Wish *wish)
{
    BhHost *host = bh_session_get_host(wish->session);
    BhMachine *machine = bh_host_find_machine(host, wish->machine);
    g_autoptr(GError) error = NULL;

    if (!machine) {
        error = bh_error_new(BH_ERROR_NOT_FOUND, _("Look for its name in the list."), NULL,
                             _("There is no machine “%s” on this host."), wish->machine);
        report(wish->application, wish->session, error, NULL);
        return;
    }
    if (wish->want == WANT_OPEN)
        bh_application_open_machine(machine, NULL);
    else if (wish->want == WANT_START)
        bh_machine_act(machine, BH_VERB_START,
                       bh_application_get_home(wish->application, wish->session));
    else
        grant_usb(wish, machine);
}

static void on_wish_host(BhHost *host, GParamSpec *pspec, gpointer data)
{
    if (bh_host_get_state(host) != BH_HOST_CONNECTED)
        return;
    grant(data);
    wish_free(data);
}

static void on_wish_failed(BhSession *session, GError *error, gpointer data)
{
    Wish *wish = data;

    gtk_window_present(bh_application_get_home(wish->application, session));
    wish_free(wish);
}

static void make_wish(BhApplication *self, BhSession *session, Want want, const char *machine,
                      const char *device)
{
    BhHost *host = bh_session_get_host(session);
    Wish *wish = g_new0(Wish, 1);

    wish->application = self;
    wish->session = g_object_ref(session);
    wish->want = want;
    wish->machine = g_strdup(machine);
    wish->device = g_strdup(device);
    /* Held, or the program would end for want of windows before the host has answered. */
    g_application_hold(G_APPLICATION(self));
    wish->opened = g_signal_connect(host, "notify::state", G_CALLBACK(on_wish_host), wish);
    wish->failed = g_signal_connect(session, "open-failed", G_CALLBACK(on_wish_failed), wish);
    if (bh_host_get_state(host) == BH_HOST_CONNECTED)
        on_wish_host(host, NULL, wish);
    else if (bh_session_get_open_error(session))
        on_wish_failed(session, NULL, wish);
}

/* The session of the window in use, else of the preferred host. Transfer full. */
static BhSession *current_session(BhApplication *self)
{
    GList *windows = gtk_application_get_windows(GTK_APPLICATION(self));
    g_autofree char *uri = NULL;

    for (GList *l = windows; l; l = l->next)
        if (BH_IS_HOME_WINDOW(l->data))
            return g_object_ref(bh_home_window_get_session(l->data));
    for (GList *l = windows; l; l = l->next) {
        BhSession *session = g_object_get_data(l->data, "bh-session");
        if (session)
            return g_object_ref(session);
    }
    uri = bh_prefs_get_string(bh_prefs_get(), "uri", DEFAULT_URI);
    return bh_session_get(uri, NULL);
}

/* --- actions --- */

static void wish_action(gpointer data, Want want, const char *machine, const char *device)
{
    BhApplication *self = data;
    g_autoptr(BhSession) session = current_session(self);

    if (session)
        make_wish(self, session, want, machine, device);
}

static void on_open_machine(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    wish_action(data, WANT_OPEN, g_variant_get_string(parameter, NULL), NULL);
}

static void on_start(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    wish_action(data, WANT_START, g_variant_get_string(parameter, NULL), NULL);
}

static void on_usb(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    const char *machine, *device;
    gboolean attach = g_str_equal(g_action_get_name(G_ACTION(action)), "usb-attach");

    g_variant_get(parameter, "(&s&s)", &machine, &device);
    wish_action(data, attach ? WANT_ATTACH : WANT_DETACH, machine, device);
}

static GtkWindow *present_home(BhApplication *self)
{
    g_autoptr(BhSession) session = current_session(self);
    GtkWindow *home = session ? bh_application_get_home(self, session) : NULL;

    if (home)
        gtk_window_present(home);
    return home;
}

static void on_new(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    GtkWindow *home = present_home(data);

    if (home)
        bh_home_window_new_machine(BH_HOME_WINDOW(home), NULL);
}

static void on_events(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    GtkWindow *home = present_home(data);

    if (home)
        g_action_group_activate_action(G_ACTION_GROUP(home), "events", NULL);
}

static void on_preferences(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    GtkWindow *parent = gtk_application_get_active_window(GTK_APPLICATION(data));

    gtk_window_present(GTK_WINDOW(bh_preferences_new(parent)));
}

static void on_about(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    GtkWindow *parent = gtk_application_get_active_window(GTK_APPLICATION(data));

    gtk_show_about_dialog(parent, "program-name", _("Bulkhead"), "version", BH_VERSION,
                          "logo-icon-name", BH_APP_ID, "license-type", GTK_LICENSE_GPL_2_0,
                          "comments",
                          _("Several desktops on one computer, each in its own machine"),
                          "copyright", _("The Bulkhead authors"), NULL);
}

/* Windows are closed one by one, so that each can ask or save what it has. */
static void on_quit(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    g_autoptr(GList) windows = g_list_copy(gtk_application_get_windows(GTK_APPLICATION(data)));

    for (GList *l = windows; l; l = l->next)
        if (BH_IS_HOME_WINDOW(l->data) || g_object_get_data(l->data, KIND_KEY))
            gtk_window_close(l->data);
}

static void add_actions(BhApplication *self)
{
    static const GActionEntry entries[] = {
        {.name = "open-machine", .activate = on_open_machine, .parameter_type = "s"},
        {.name = "start", .activate = on_start, .parameter_type = "s"},
        {.name = "usb-attach", .activate = on_usb, .parameter_type = "(ss)"},
        {.name = "usb-detach", .activate = on_usb, .parameter_type = "(ss)"},
        {.name = "new", .activate = on_new},
        {.name = "events", .activate = on_events},
        {.name = "preferences", .activate = on_preferences},
        {.name = "about", .activate = on_about},
        {.name = "quit", .activate = on_quit},
        {.name = "shown-machines", .state = "@as []", .change_state = on_change_shown_machines},
    };
    static const struct {
        const char *action;
        const char *accels[3];
    } accels[] = {
        {"app.quit", {"<Primary>q"}},
        {"app.preferences", {"<Primary>comma"}},
        {"win.new", {"<Primary>n"}},
        {"win.search", {"<Primary>f"}},
        {"win.close", {"<Primary>w"}},
        {"win.events", {"<Primary>e"}},
        {"win.show-help-overlay", {"<Primary>question", "F1"}},
    };

    g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
    for (gsize i = 0; i < G_N_ELEMENTS(accels); i++)
        gtk_application_set_accels_for_action(GTK_APPLICATION(self), accels[i].action,
                                              (const char **)accels[i].accels);
}

/* --- GApplication --- */

static void load_css(void)
{
    g_autoptr(GtkCssProvider) provider = gtk_css_provider_new();

    gtk_css_provider_load_from_resource(provider, "/org/bulkhead/Bulkhead/style.css");
    gtk_style_context_add_provider_for_screen(gdk_screen_get_default(),
                                              GTK_STYLE_PROVIDER(provider),
                                              GTK_STYLE_PROVIDER_PRIORITY_APPLICATION);
}

static void bh_application_startup(GApplication *application)
{
    G_APPLICATION_CLASS(bh_application_parent_class)->startup(application);
    g_unsetenv("GDK_GL"); /* set in main, read by GDK by now */
    gtk_window_set_default_icon_name(BH_APP_ID);
    load_css();
    bh_style_start(application);
    add_actions(BH_APPLICATION(application));
    g_signal_connect(application, "window-removed", G_CALLBACK(update_shown_machines), NULL);
}

static void bh_application_activate(GApplication *application)
{
    present_home(BH_APPLICATION(application));
}

static void bh_application_open(GApplication *application, GFile **files, int n, const char *hint)
{
    GtkWindow *home = present_home(BH_APPLICATION(application));

    for (int i = 0; home && i < n; i++)
        bh_home_window_new_machine(BH_HOME_WINDOW(home), files[i]);
}

static BhSession *session_for(BhApplication *self, GApplicationCommandLine *line, const char *uri)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;
    BhSession *session;

    if (!uri)
        return current_session(self);
    session = bh_session_get(uri, &error);
    if (session)
        return session;
    text = bh_error_to_text(error);
    g_application_command_line_printerr(line, "bulkhead: %s\n", text);
    return NULL;
}

static int bh_application_command_line(GApplication *application, GApplicationCommandLine *line)
{
    BhApplication *self = BH_APPLICATION(application);
    GVariantDict *options = g_application_command_line_get_options_dict(line);
    const char *uri = NULL, *machine = NULL;
    g_autofree const char **files = NULL;
    g_autoptr(BhSession) session = NULL;
    GtkWindow *home;

    g_variant_dict_lookup(options, "connect", "&s", &uri);
    g_variant_dict_lookup(options, "machine", "&s", &machine);
    g_variant_dict_lookup(options, G_OPTION_REMAINING, "^a&ay", &files);
    session = session_for(self, line, uri);
    if (!session)
        return 1;
    if (machine)
        make_wish(self, session, WANT_OPEN, machine, NULL);
    if (machine && !files)
        return 0;
    home = bh_application_get_home(self, session);
    gtk_window_present(home);
    for (int i = 0; files && files[i]; i++) {
        g_autoptr(GFile) file = g_application_command_line_create_file_for_arg(line, files[i]);
        bh_home_window_new_machine(BH_HOME_WINDOW(home), file);
    }
    return 0;
}

static int bh_application_handle_local_options(GApplication *application, GVariantDict *options)
{
    if (!g_variant_dict_contains(options, "version"))
        return -1;
    g_print("bulkhead %s\n", BH_VERSION);
    return 0;
}

static void bh_application_window_added(GtkApplication *application, GtkWindow *window)
{
    GTK_APPLICATION_CLASS(bh_application_parent_class)->window_added(application, window);
    bh_stall_mark("window");
}

static void bh_application_class_init(BhApplicationClass *klass)
{
    GApplicationClass *application_class = G_APPLICATION_CLASS(klass);

    application_class->startup = bh_application_startup;
    application_class->activate = bh_application_activate;
    application_class->open = bh_application_open;
    application_class->command_line = bh_application_command_line;
    application_class->handle_local_options = bh_application_handle_local_options;
    GTK_APPLICATION_CLASS(klass)->window_added = bh_application_window_added;
}

static void bh_application_init(BhApplication *self)
{
    static const GOptionEntry options[] = {
        {"connect", 'c', 0, G_OPTION_ARG_STRING, NULL, N_("The host to use"), N_("URI")},
        {"machine", 'm', 0, G_OPTION_ARG_STRING, NULL, N_("Open the window of this machine"),
         N_("NAME|UUID")},
        {"version", 0, 0, G_OPTION_ARG_NONE, NULL, N_("Print the version and end"), NULL},
        {G_OPTION_REMAINING, 0, 0, G_OPTION_ARG_FILENAME_ARRAY, NULL, NULL, N_("[FILE…]")},
        {NULL},
    };

    g_application_add_main_option_entries(G_APPLICATION(self), options);
    g_application_set_option_context_summary(
        G_APPLICATION(self),
        _("Shows and runs the machines of a host. A FILE is an installation medium or a disk\n"
          "image that a new machine is made from."));
}

BhApplication *bh_application_new(void)
{
    return g_object_new(BH_TYPE_APPLICATION, "application-id", BH_APP_ID, "flags",
                        G_APPLICATION_HANDLES_COMMAND_LINE | G_APPLICATION_HANDLES_OPEN,
                        "resource-base-path", "/org/bulkhead/Bulkhead", NULL);
}
