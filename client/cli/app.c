/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * See app.h. The contract, all on the session bus at BH_APP_ID, /org/bulkhead/Bulkhead: the actions
 * "open-machine" (s: id), "usb-attach" and "usb-detach" (ss: machine id, device id), and the
 * read-only state of the action "shown-machines" (as: ids of the machines that have a window; an
 * app without it is asked all the same).
 */
#include "app.h"

#include <glib/gi18n.h>

#define APP_PATH "/org/bulkhead/Bulkhead"
#define CALL_MS 15000
#define START_SECONDS 20

/* NULL with *code set when there is no session bus. */
static GDBusConnection *connect_bus(Cli *cli, int *code)
{
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;
    GDBusConnection *bus;

    g_bus_get(G_BUS_TYPE_SESSION, NULL, cli_done, &result);
    bus = g_bus_get_finish(cli_await(cli, NULL, &result), &error);
    if (bus == NULL)
        *code = cli_error(cli, bh_error_new(BH_ERROR_FAILED,
                                            _("Run this inside a desktop session."), error->message,
                                            _("There is no session bus to reach the app on.")));
    return bus;
}

static GVariant *call(Cli *cli, GDBusConnection *bus, const char *name, const char *path,
                      const char *interface, const char *method, GVariant *parameters,
                      GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    g_dbus_connection_call(bus, name, path, interface, method, parameters, NULL,
                           G_DBUS_CALL_FLAGS_NONE, CALL_MS, NULL, cli_done, &result);
    return g_dbus_connection_call_finish(bus, cli_await(cli, NULL, &result), error);
}

static gboolean is_running(Cli *cli, GDBusConnection *bus)
{
    g_autoptr(GVariant) answer =
        call(cli, bus, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
             "NameHasOwner", g_variant_new("(s)", BH_APP_ID), NULL);
    gboolean owned = FALSE;

    if (answer != NULL)
        g_variant_get(answer, "(b)", &owned);
    return owned;
}

/* Through org.freedesktop.Application, so that the bus starts the app when it is installed. */
static gboolean activate(Cli *cli, GDBusConnection *bus, const char *action, GVariant *parameter,
                         GError **error)
{
    GVariantBuilder list, platform;
    g_autoptr(GVariant) answer = NULL;

    g_variant_builder_init(&list, G_VARIANT_TYPE("av"));
    g_variant_builder_add(&list, "v", parameter);
    g_variant_builder_init(&platform, G_VARIANT_TYPE("a{sv}"));
    answer = call(cli, bus, BH_APP_ID, APP_PATH, "org.freedesktop.Application", "ActivateAction",
                  g_variant_new("(sava{sv})", action, &list, &platform), error);
    return answer != NULL;
}

/* ---- starting the app ourselves, when the bus does not know it ---- */

static void appeared(GDBusConnection *bus, const char *name, const char *owner, gpointer data)
{
    *(gboolean *)data = TRUE;
}

static gboolean expire(gpointer data)
{
    *(gboolean *)data = TRUE;
    return G_SOURCE_CONTINUE; /* removed by who waits */
}

/* Beside this program (also in a build tree), else on the PATH. */
static char *find_app(void)
{
    g_autofree char *self = g_file_read_link("/proc/self/exe", NULL);
    g_autofree char *folder = self != NULL ? g_path_get_dirname(self) : g_strdup(".");
    const char *const places[] = {"bulkhead", "../ui/bulkhead"};

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        g_autofree char *path = g_build_filename(folder, places[i], NULL);

        if (g_file_test(path, G_FILE_TEST_IS_EXECUTABLE) && !g_file_test(path, G_FILE_TEST_IS_DIR))
            return g_steal_pointer(&path);
    }
    return g_find_program_in_path("bulkhead");
}

/* A running instance gets the command line, a new one keeps it: the machine's window opens either
 * way. */
static gboolean spawn_app(Cli *cli, BhMachine *machine, GError **error)
{
    g_autofree char *app = find_app();
    const char *argv[] = {app, "--connect", cli->uri, "--machine", bh_machine_get_id(machine),
                          NULL};

    if (app == NULL) {
        g_propagate_error(error, bh_error_new(BH_ERROR_NOT_SUPPORTED, _("Is it installed?"), NULL,
                                              _("The app “bulkhead” cannot be found.")));
        return FALSE;
    }
    return g_spawn_async(NULL, (char **)argv, NULL,
                         G_SPAWN_STDOUT_TO_DEV_NULL | G_SPAWN_STDERR_TO_DEV_NULL, NULL, NULL, NULL,
                         error);
}

static gboolean start_app(Cli *cli, GDBusConnection *bus, BhMachine *machine, GError **error)
{
    gboolean here = FALSE, expired = FALSE;
    guint watch, timer;

    if (!spawn_app(cli, machine, error))
        return FALSE;
    watch = g_bus_watch_name_on_connection(bus, BH_APP_ID, G_BUS_NAME_WATCHER_FLAGS_NONE, appeared,
                                           NULL, &here, NULL);
    timer = g_timeout_add_seconds(START_SECONDS, expire, &expired);
    while (!here && !expired && cli_turn(cli))
        ;
    g_source_remove(timer);
    g_bus_unwatch_name(watch);
    if (here)
        return TRUE;
    if (cli->interrupted)
        g_set_error_literal(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Cancelled."));
    else
        g_propagate_error(error,
                          bh_error_new(BH_ERROR_FAILED, _("Try to start “bulkhead” by itself."),
                                       NULL, _("The app was started but did not come up.")));
    return FALSE;
}

int app_open_machine(Cli *cli, BhMachine *machine)
{
    int code = CLI_OK;
    g_autoptr(GDBusConnection) bus = connect_bus(cli, &code);
    GVariant *id = g_variant_ref_sink(g_variant_new_string(bh_machine_get_id(machine)));
    g_autoptr(GVariant) parameter = id;
    GError *error = NULL;

    if (bus == NULL)
        return code;
    /* The action is about the app's own host; another one can only be named on a command line. */
    if (!cli->uri_given && activate(cli, bus, "open-machine", parameter, &error))
        return CLI_OK;
    if (error != NULL && !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN) &&
        !g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER))
        return cli_error(cli, error);
    g_clear_error(&error);
    return start_app(cli, bus, machine, &error) ? CLI_OK : cli_error(cli, error);
}

/* ---- USB ---- */

/* Whether the app has a window of the machine. TRUE as well when it does not say. */
static gboolean shows(Cli *cli, GDBusConnection *bus, BhMachine *machine)
{
    g_autoptr(GVariant) answer = call(cli, bus, BH_APP_ID, APP_PATH, "org.gtk.Actions", "Describe",
                                      g_variant_new("(s)", "shown-machines"), NULL);
    g_autoptr(GVariantIter) states = NULL;
    g_autoptr(GVariant) state = NULL;
    g_autofree const char **ids = NULL;

    if (answer == NULL)
        return TRUE;
    g_variant_get(answer, "((bgav))", NULL, NULL, &states);
    if (!g_variant_iter_next(states, "v", &state) ||
        !g_variant_is_of_type(state, G_VARIANT_TYPE_STRING_ARRAY))
        return TRUE;
    ids = g_variant_get_strv(state, NULL);
    return g_strv_contains(ids, bh_machine_get_id(machine));
}

int app_usb(Cli *cli, const char *action, BhMachine *machine, const char *device_id)
{
    int code = CLI_OK;
    g_autoptr(GDBusConnection) bus = connect_bus(cli, &code);
    g_autofree char *hint = NULL;
    GError *error = NULL;

    if (bus == NULL)
        return code;
    hint = g_strdup_printf(_("Open its window first: bulkheadctl view %s"),
                           bh_machine_get_id(machine));
    if (!is_running(cli, bus) || !shows(cli, bus, machine))
        return cli_error(
            cli, bh_error_new(BH_ERROR_BUSY, hint, NULL,
                              _("The device goes through the display of “%s”, and no window of "
                                "Bulkhead shows that machine."),
                              bh_machine_get_name(machine)));
    if (!activate(cli, bus, action, g_variant_new("(ss)", bh_machine_get_id(machine), device_id),
                  &error))
        return cli_error(cli, error);
    cli_say(cli, _("Bulkhead was asked; the window of “%s” shows how it went."),
            bh_machine_get_name(machine));
    return CLI_OK;
}
