/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs about the host: host, events. */
#include <stdio.h>

#include <glib/gi18n.h>

#include "output.h"
#include "term.h"

static const char *state_name(BhHostState state)
{
    static const char *const names[] = {"closed", "connecting", "connected", "disconnected"};

    return names[state];
}

/* ---- host ---- */

static void host_json(Cli *cli)
{
    BhHost *host = cli->host;
    JsonBuilder *builder = json_builder_new();

    json_builder_begin_object(builder);
    json_string(builder, "uri", bh_host_get_uri(host));
    json_string(builder, "state", state_name(bh_host_get_state(host)));
    json_string(builder, "problem", bh_host_get_problem(host));
    json_string(builder, "accelerator", bh_host_get_accelerator(host));
    json_string(builder, "accelerator_note", bh_host_get_accelerator_note(host));
    json_int(builder, "cpus", bh_host_get_cpus(host));
    json_int(builder, "memory_bytes", (gint64)bh_host_get_memory(host));
    json_int(builder, "machines", g_list_model_get_n_items(bh_host_get_machines(host)));
    json_builder_set_member_name(builder, "features");
    json_builder_begin_array(builder);
    for (guint bit = 0; bit < 32; bit++) {
        const char *name = bh_host_feature_get_name((BhHostFeatures)(1u << bit));

        if (name != NULL && (bh_host_get_features(host) & (1u << bit)))
            json_builder_add_string_value(builder, name);
    }
    json_builder_end_array(builder);
    json_builder_end_object(builder);
    output_json(builder);
}

static char *features_text(BhHost *host)
{
    GString *text = g_string_new(NULL);

    for (guint bit = 0; bit < 32; bit++) {
        const char *name = bh_host_feature_get_name((BhHostFeatures)(1u << bit));

        if (name != NULL && (bh_host_get_features(host) & (1u << bit)))
            g_string_append_printf(text, "%s%s", text->len > 0 ? " " : "", name);
    }
    return g_string_free(text, FALSE);
}

static int run_host(Cli *cli, char **args, guint n)
{
    BhHost *host = cli->host;
    g_autofree char *memory = format_bytes(bh_host_get_memory(host));
    g_autofree char *features = features_text(host);

    cli_await_accelerator(cli);
    if (cli->json) {
        host_json(cli);
        return CLI_OK;
    }
    printf("%s: %s\n", _("Host"), bh_host_get_uri(host));
    printf("%s: %s\n", _("State"), state_name(bh_host_get_state(host)));
    if (bh_host_get_problem(host) != NULL)
        printf("%s: %s\n", _("Problem"), bh_host_get_problem(host));
    printf("%s: %s\n", _("Accelerator"),
           bh_host_get_accelerator(host) != NULL ? bh_host_get_accelerator(host) : _("unknown"));
    if (bh_host_get_accelerator_note(host) != NULL)
        printf("%s: %s\n", _("Because"), bh_host_get_accelerator_note(host));
    printf("%s: %u\n", _("CPUs"), bh_host_get_cpus(host));
    printf("%s: %s\n", _("Memory"), memory);
    printf("%s: %u\n", _("Machines"), g_list_model_get_n_items(bh_host_get_machines(host)));
    printf("%s: %s\n", _("Features"), features);
    return CLI_OK;
}

/* ---- events ---- */

static gboolean opt_follow;

static const GOptionEntry events_options[] = {
    {"follow", 'f', 0, G_OPTION_ARG_NONE, &opt_follow, N_("Print new ones as they come"), NULL},
    {NULL},
};

static void print_event(Cli *cli, BhEvent *event)
{
    static const char *const marks[] = {" ", "!", "E"};
    g_autofree char *time = NULL;
    g_autofree char *text = NULL;
    g_autofree char *detail = NULL;

    if (cli->json) {
        JsonBuilder *builder = json_builder_new();

        json_event(builder, event);
        output_json_line(builder);
        return;
    }
    time = format_time(bh_event_get_time(event) / G_USEC_PER_SEC);
    text = term_clean(bh_event_get_text(event), FALSE);
    detail = term_clean(bh_event_get_detail(event), TRUE);
    printf("%s %s %s\n", time, marks[bh_event_get_severity(event)], text);
    if (*detail != '\0' && cli->verbose)
        printf("    %s\n", detail);
    fflush(stdout);
}

static void print_range(Cli *cli, GListModel *events, guint position, guint n)
{
    for (guint i = position; i < position + n; i++) {
        g_autoptr(BhEvent) event = g_list_model_get_item(events, i);

        print_event(cli, event);
    }
}

static void events_changed(GListModel *events, guint position, guint removed, guint added,
                           gpointer data)
{
    print_range(data, events, position, added);
}

static int run_events(Cli *cli, char **args, guint n)
{
    GListModel *events = bh_host_get_events(cli->host);

    print_range(cli, events, 0, g_list_model_get_n_items(events));
    if (!opt_follow)
        return CLI_OK;
    g_signal_connect(events, "items-changed", G_CALLBACK(events_changed), cli);
    while (cli_turn(cli))
        ;
    g_signal_handlers_disconnect_by_data(events, cli);
    return CLI_INTERRUPTED;
}

const CliVerb cli_host_verbs[] = {
    {"host", "", N_("Show the host: state, accelerator, features"), NULL, 0, 0, TRUE, run_host,
     NULL},
    {"events", "", N_("Show the event log"), events_options, 0, 0, TRUE, run_events,
     N_("With --json each event is one line.")},
    {NULL},
};
