/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Stands for the app in the tests of bulkheadctl: has its name and actions on the session bus and
 * prints what is asked of it. Arguments: the ids of the machines it pretends to show.
 */
#include <stdio.h>

#include <gio/gio.h>

static void on_action(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    g_autofree char *text = g_variant_print(parameter, FALSE);

    printf("%s %s\n", g_action_get_name(G_ACTION(action)), text);
    fflush(stdout);
}

static void on_activate(GApplication *application, gpointer data)
{
    g_application_hold(application);
    puts("ready");
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const GActionEntry entries[] = {
        {.name = "open-machine", .activate = on_action, .parameter_type = "s"},
        {.name = "usb-attach", .activate = on_action, .parameter_type = "(ss)"},
        {.name = "usb-detach", .activate = on_action, .parameter_type = "(ss)"},
    };
    g_autoptr(GApplication) application = g_application_new(BH_APP_ID, G_APPLICATION_DEFAULT_FLAGS);
    g_autoptr(GSimpleAction) shown = g_simple_action_new_stateful(
        "shown-machines", NULL, g_variant_new_strv((const char *const *)argv + 1, argc - 1));

    g_action_map_add_action_entries(G_ACTION_MAP(application), entries, G_N_ELEMENTS(entries),
                                    NULL);
    g_action_map_add_action(G_ACTION_MAP(application), G_ACTION(shown));
    g_signal_connect(application, "activate", G_CALLBACK(on_activate), NULL);
    return g_application_run(application, 1, argv);
}
