/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs that look at machines and change their state: list, show, start, stop, ..., log. */
#include <stdio.h>
#include <string.h>

#include <glib/gi18n.h>

#include "output.h"
#include "term.h"

/* ---- list, show ---- */

static gboolean opt_names;
static char *opt_state;

static const GOptionEntry list_options[] = {
    {"names", 0, 0, G_OPTION_ARG_NONE, &opt_names, N_("Print only the names, one a line"), NULL},
    {"state", 0, 0, G_OPTION_ARG_STRING, &opt_state, N_("Only machines in this state"),
     N_("STATE")},
    {NULL},
};

static int by_name(gconstpointer a, gconstpointer b)
{
    BhMachine *left = *(BhMachine *const *)a;
    BhMachine *right = *(BhMachine *const *)b;
    g_autofree char *left_key = g_utf8_collate_key_for_filename(bh_machine_get_name(left), -1);
    g_autofree char *right_key = g_utf8_collate_key_for_filename(bh_machine_get_name(right), -1);

    return strcmp(left_key, right_key);
}

/* Of BhMachine, sorted as a person would ("Machine 2" before "Machine 10"). */
static GPtrArray *sorted_machines(Cli *cli)
{
    GListModel *model = bh_host_get_machines(cli->host);
    GPtrArray *machines = g_ptr_array_new_with_free_func(g_object_unref);

    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        BhMachine *machine = g_list_model_get_item(model, i);

        if (opt_state == NULL ||
            g_str_equal(opt_state, bh_state_get_name(bh_machine_get_state(machine))))
            g_ptr_array_add(machines, machine);
        else
            g_object_unref(machine);
    }
    g_ptr_array_sort(machines, by_name);
    return machines;
}

static gboolean is_state(const char *name)
{
    for (int state = BH_STATE_OFF; state < BH_STATE_GONE; state++)
        if (g_str_equal(name, bh_state_get_name((BhState)state)))
            return TRUE;
    return FALSE;
}

static void list_table(GPtrArray *machines)
{
    Table *table = table_new(5, _("NAME"), _("STATE"), _("CPUS"), _("MEMORY"), _("ID"));

    for (guint i = 0; i < machines->len; i++) {
        BhMachine *machine = g_ptr_array_index(machines, i);
        const BhMachineSpec *spec = bh_machine_get_spec(machine);
        g_autofree char *cpus = g_strdup_printf("%u", spec->cpus);
        g_autofree char *memory = format_bytes((guint64)spec->memory_mib << 20);

        table_row(table, bh_machine_get_name(machine),
                  bh_state_get_name(bh_machine_get_state(machine)), cpus, memory,
                  bh_machine_get_id(machine));
    }
    table_print_free(table);
}

static int run_list(Cli *cli, char **args, guint n)
{
    g_autoptr(GPtrArray) machines = NULL;
    JsonBuilder *builder;

    if (opt_state != NULL && !is_state(opt_state))
        return cli_usage_error(_("“%s” is not a state."), opt_state);
    machines = sorted_machines(cli);
    if (opt_names) {
        for (guint i = 0; i < machines->len; i++)
            puts(bh_machine_get_name(g_ptr_array_index(machines, i)));
        return CLI_OK;
    }
    if (!cli->json) {
        list_table(machines);
        return CLI_OK;
    }
    builder = json_builder_new();
    json_builder_begin_array(builder);
    for (guint i = 0; i < machines->len; i++)
        json_machine(builder, g_ptr_array_index(machines, i));
    json_builder_end_array(builder);
    output_json(builder);
    return CLI_OK;
}

static void show_line(const char *label, const char *value)
{
    g_autofree char *clean = term_clean(value, TRUE);
    g_auto(GStrv) lines = g_strsplit(clean, "\n", -1);

    if (*clean == '\0')
        return;
    printf("%s:%*s", label, (int)(18 - MIN(17, term_width(label) + 1)), "");
    for (guint i = 0; lines[i] != NULL; i++)
        printf("%*s%s\n", i > 0 ? 19 : 0, "", lines[i]);
}

static const char *yes_no(gboolean value)
{
    return value ? _("yes") : _("no");
}

static void show_spec(const BhMachineSpec *spec)
{
    g_autofree char *cpus = g_strdup_printf("%u", spec->cpus);
    g_autofree char *memory = format_bytes((guint64)spec->memory_mib << 20);
    g_autofree char *channels = g_strdup_printf("%u", spec->usb_channels);

    show_line(_("System"), spec->os_id);
    show_line(_("CPUs"), cpus);
    show_line(_("Memory"), memory);
    show_line(_("Firmware"), spec->firmware == BH_FIRMWARE_EFI ? "EFI" : "BIOS");
    show_line(_("Secure Boot"), yes_no(spec->secure_boot));
    show_line(_("TPM"), yes_no(spec->tpm));
    show_line(_("Disk"), spec->disk_path);
    show_line(_("CD"), spec->cdrom != NULL ? spec->cdrom : _("empty"));
    show_line(_("Video"), video_names[spec->video]);
    show_line(_("Network"), nic_names[spec->nic]);
    show_line(_("Sound"), yes_no(spec->sound));
    show_line(_("Clipboard"), yes_no(spec->clipboard));
    show_line(_("USB channels"), channels);
    show_line(_("Notes"), spec->notes);
}

static int run_show(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autofree char *pending = NULL;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (cli->json) {
        JsonBuilder *builder = json_builder_new();

        json_machine(builder, machine);
        output_json(builder);
        return CLI_OK;
    }
    pending = fields_to_text(bh_machine_get_restart_pending(machine));
    show_line(_("Name"), bh_machine_get_name(machine));
    show_line(_("ID"), bh_machine_get_id(machine));
    show_line(_("State"), bh_state_get_name(bh_machine_get_state(machine)));
    show_line(_("Because"), bh_machine_get_state_detail(machine));
    show_line(_("Accelerator"), bh_machine_get_accelerator(machine));
    show_spec(bh_machine_get_spec(machine));
    show_line(_("After restart"), pending);
    return CLI_OK;
}

/* ---- verbs that are a BhVerb ---- */

static gboolean opt_force;
static gboolean opt_wait;
static int opt_timeout = -1;

static int act(Cli *cli, BhMachine *machine, BhVerb verb, const char *title)
{
    g_autoptr(BhJob) job = cli_job(cli, title, machine);
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_machine_act_async(machine, verb, job, cli_done, &result);
    if (bh_machine_act_finish(machine, cli_await(cli, job, &result), &error))
        return CLI_OK;
    return cli_error(cli, error);
}

typedef struct {
    gboolean expired;
    guint source;
} Deadline;

static gboolean expire(gpointer data)
{
    Deadline *deadline = data;

    deadline->expired = TRUE;
    deadline->source = 0;
    return G_SOURCE_REMOVE;
}

static gboolean is_down(BhState state)
{
    return state == BH_STATE_OFF || state == BH_STATE_SAVED || state == BH_STATE_CRASHED ||
           state == BH_STATE_GONE;
}

/* Waits for running, or for down; seconds < 0: for ever. */
static int wait_for(Cli *cli, BhMachine *machine, gboolean down, int seconds)
{
    Deadline deadline = {FALSE, 0};
    BhState state;

    if (seconds >= 0)
        deadline.source = g_timeout_add_seconds((guint)seconds, expire, &deadline);
    do {
        state = bh_machine_get_state(machine);
        if (down ? is_down(state) : state == BH_STATE_RUNNING)
            break;
        /* A machine that goes down while it starts never gets there. */
        if (!down && is_down(state))
            deadline.expired = TRUE;
    } while (!deadline.expired && cli_turn(cli));
    g_clear_handle_id(&deadline.source, g_source_remove);
    if (cli->interrupted)
        return CLI_INTERRUPTED;
    if (down ? is_down(state) : state == BH_STATE_RUNNING)
        return CLI_OK;
    return cli_error(cli, bh_error_new(BH_ERROR_BUSY,
                                       down ? _("The guest may ignore the power button; "
                                                "“bulkheadctl stop --force” switches it off.")
                                            : NULL,
                                       bh_machine_get_state_detail(machine), _("“%s” is still %s."),
                                       bh_machine_get_name(machine), bh_state_get_name(state)));
}

/* Each machine in turn; the first that fails gives the exit code, the others are still tried. */
static int for_each(Cli *cli, char **args, guint n, int (*one)(Cli *cli, BhMachine *machine))
{
    int code = CLI_OK;

    for (guint i = 0; i < n && !cli->interrupted; i++) {
        BhMachine *machine = cli_find_machine(cli, args[i]);
        int this_code = machine != NULL ? one(cli, machine) : CLI_NOT_FOUND;

        if (code == CLI_OK)
            code = this_code;
    }
    return cli->interrupted ? CLI_INTERRUPTED : code;
}

static int start_one(Cli *cli, BhMachine *machine)
{
    int code = act(cli, machine, BH_VERB_START, _("Starting"));

    if (code == CLI_OK && opt_wait)
        code = wait_for(cli, machine, FALSE, opt_timeout);
    if (code == CLI_OK)
        cli_say(cli, _("“%s” started."), bh_machine_get_name(machine));
    return code;
}

static int run_start(Cli *cli, char **args, guint n)
{
    return for_each(cli, args, n, start_one);
}

static const GOptionEntry start_options[] = {
    {"wait", 0, 0, G_OPTION_ARG_NONE, &opt_wait, N_("Wait until it runs"), NULL},
    {"timeout", 0, 0, G_OPTION_ARG_INT, &opt_timeout, N_("Wait at most this long"), N_("SECONDS")},
    {NULL},
};

static int stop_one(Cli *cli, BhMachine *machine)
{
    int code;

    if (opt_force)
        code = act(cli, machine, BH_VERB_FORCE_OFF, _("Switching off"));
    else
        code = act(cli, machine, BH_VERB_SHUTDOWN, _("Shutting down"));
    if (code == CLI_OK && (opt_wait || opt_timeout >= 0))
        code = wait_for(cli, machine, TRUE, opt_timeout);
    if (code != CLI_OK)
        return code;
    if (is_down(bh_machine_get_state(machine)))
        cli_say(cli, _("“%s” is off."), bh_machine_get_name(machine));
    else
        cli_say(cli, _("“%s” was asked to shut down."), bh_machine_get_name(machine));
    return CLI_OK;
}

static int run_stop(Cli *cli, char **args, guint n)
{
    return for_each(cli, args, n, stop_one);
}

static const GOptionEntry stop_options[] = {
    {"force", 0, 0, G_OPTION_ARG_NONE, &opt_force,
     N_("Switch it off at once; unsaved work in the guest is lost"), NULL},
    {"wait", 0, 0, G_OPTION_ARG_NONE, &opt_wait, N_("Wait until it is off"), NULL},
    {"timeout", 0, 0, G_OPTION_ARG_INT, &opt_timeout, N_("Wait at most this long"), N_("SECONDS")},
    {NULL},
};

#define SIMPLE_VERB(function, verb, title, done)                                                   \
    static int function##_one(Cli *cli, BhMachine *machine)                                        \
    {                                                                                              \
        int code = act(cli, machine, verb, title);                                                 \
                                                                                                   \
        if (code == CLI_OK)                                                                        \
            cli_say(cli, done, bh_machine_get_name(machine));                                      \
        return code;                                                                               \
    }                                                                                              \
    static int function(Cli *cli, char **args, guint n)                                            \
    {                                                                                              \
        return for_each(cli, args, n, function##_one);                                             \
    }

SIMPLE_VERB(run_reboot, BH_VERB_REBOOT, _("Rebooting"), _("“%s” was asked to reboot."))
SIMPLE_VERB(run_reset, BH_VERB_RESET, _("Resetting"), _("“%s” was reset."))
SIMPLE_VERB(run_pause, BH_VERB_PAUSE, _("Pausing"), _("“%s” is paused."))
SIMPLE_VERB(run_resume, BH_VERB_RESUME, _("Resuming"), _("“%s” runs on."))
SIMPLE_VERB(run_save, BH_VERB_SAVE, _("Saving"), _("“%s” is saved; “start” continues it."))
SIMPLE_VERB(run_discard, BH_VERB_DISCARD_SAVE, _("Discarding"),
            _("The saved state of “%s” is discarded."))

/* ---- log ---- */

static int opt_lines = 50;

static const GOptionEntry log_options[] = {
    {"lines", 'n', 0, G_OPTION_ARG_INT, &opt_lines, N_("How many lines (50)"), N_("NUMBER")},
    {NULL},
};

static int run_log(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(GAsyncResult) result = NULL;
    g_autofree char *text = NULL;
    g_autofree char *clean = NULL;
    GError *error = NULL;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (opt_lines < 1)
        return cli_usage_error(_("--lines takes a number from 1 on."));
    bh_machine_read_log_async(machine, (guint)opt_lines, NULL, cli_done, &result);
    text = bh_machine_read_log_finish(machine, cli_await(cli, NULL, &result), &error);
    if (text == NULL)
        return cli_error(cli, error);
    if (cli->json) {
        JsonBuilder *builder = json_builder_new();

        json_builder_begin_object(builder);
        json_string(builder, "id", bh_machine_get_id(machine));
        json_string(builder, "log", text);
        json_builder_end_object(builder);
        output_json(builder);
        return CLI_OK;
    }
    clean = term_clean(text, TRUE);
    fputs(clean, stdout);
    return CLI_OK;
}

#define MACHINES N_("MACHINE...")

const CliVerb cli_machine_verbs[] = {
    {"list", "", N_("List the machines"), list_options, 0, 0, TRUE, run_list, NULL},
    {"show", N_("MACHINE"), N_("Show everything about a machine"), NULL, 1, 1, TRUE, run_show,
     NULL},
    {"start", MACHINES, N_("Start machines, or continue saved ones"), start_options, 1, G_MAXUINT,
     TRUE, run_start, NULL},
    {"stop", MACHINES, N_("Shut machines down"), stop_options, 1, G_MAXUINT, TRUE, run_stop, NULL},
    {"reboot", MACHINES, N_("Ask the guests to reboot"), NULL, 1, G_MAXUINT, TRUE, run_reboot,
     NULL},
    {"reset", MACHINES, N_("Press the reset button; unsaved work is lost"), NULL, 1, G_MAXUINT,
     TRUE, run_reset, NULL},
    {"pause", MACHINES, N_("Freeze machines"), NULL, 1, G_MAXUINT, TRUE, run_pause, NULL},
    {"resume", MACHINES, N_("Let frozen machines run on"), NULL, 1, G_MAXUINT, TRUE, run_resume,
     NULL},
    {"save", MACHINES, N_("Keep the memory on disk and switch off"), NULL, 1, G_MAXUINT, TRUE,
     run_save, NULL},
    {"discard-save", MACHINES, N_("Throw a saved state away; unsaved work is lost"), NULL, 1,
     G_MAXUINT, TRUE, run_discard, NULL},
    {"log", N_("MACHINE"), N_("Show the end of a machine's log"), log_options, 1, 1, TRUE, run_log,
     NULL},
    {NULL},
};
