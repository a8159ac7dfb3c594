/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Verbs that change what machines are: set, cd, delete, undelete, purge, deleted. */
#include <stdio.h>

#include <glib/gi18n.h>

#include "output.h"

/* ---- set ---- */

static char *opt_name, *opt_memory, *opt_notes, *opt_sound, *opt_clipboard, *opt_video, *opt_nic,
    *opt_tpm, *opt_secure_boot;
static int opt_cpus = -1, opt_usb_channels = -1;

static const GOptionEntry set_options[] = {
    {"name", 0, 0, G_OPTION_ARG_STRING, &opt_name, N_("A new name"), N_("NAME")},
    {"cpus", 0, 0, G_OPTION_ARG_INT, &opt_cpus, N_("Number of CPUs"), N_("NUMBER")},
    {"memory", 0, 0, G_OPTION_ARG_STRING, &opt_memory, N_("Memory: 2G, 1536M, or a number of MiB"),
     N_("SIZE")},
    {"notes", 0, 0, G_OPTION_ARG_STRING, &opt_notes, N_("Free text"), N_("TEXT")},
    {"sound", 0, 0, G_OPTION_ARG_STRING, &opt_sound, N_("Sound: on or off"), N_("SWITCH")},
    {"clipboard", 0, 0, G_OPTION_ARG_STRING, &opt_clipboard, N_("Share the clipboard: on or off"),
     N_("SWITCH")},
    {"video", 0, 0, G_OPTION_ARG_STRING, &opt_video, N_("Graphics card: auto, qxl, virtio, vga"),
     N_("CARD")},
    {"nic", 0, 0, G_OPTION_ARG_STRING, &opt_nic, N_("Network card: auto, virtio, e1000e, none"),
     N_("CARD")},
    {"usb-channels", 0, 0, G_OPTION_ARG_INT, &opt_usb_channels,
     N_("Devices that can be redirected at a time, 0 to 8"), N_("NUMBER")},
    {"tpm", 0, 0, G_OPTION_ARG_STRING, &opt_tpm, N_("An emulated TPM 2.0: on or off"),
     N_("SWITCH")},
    {"secure-boot", 0, 0, G_OPTION_ARG_STRING, &opt_secure_boot, N_("Secure Boot: on or off"),
     N_("SWITCH")},
    {NULL},
};

static gboolean take_name(const char *option, const char *const *names, const char *text,
                          guint *value)
{
    g_autofree char *all = NULL;

    for (guint i = 0; names[i] != NULL; i++) {
        if (g_str_equal(names[i], text)) {
            *value = i;
            return TRUE;
        }
    }
    all = g_strjoinv(", ", (char **)names);
    cli_usage_error(_("--%s takes one of: %s."), option, all);
    return FALSE;
}

static gboolean take_switches(BhMachineSpec *spec, BhSpecFields *fields)
{
    const struct {
        const char *option;
        char *text;
        gboolean *target;
        BhSpecFields field;
    } switches[] = {
        {"sound", opt_sound, &spec->sound, BH_SPEC_SOUND},
        {"clipboard", opt_clipboard, &spec->clipboard, BH_SPEC_CLIPBOARD},
        {"tpm", opt_tpm, &spec->tpm, BH_SPEC_TPM},
        {"secure-boot", opt_secure_boot, &spec->secure_boot, BH_SPEC_SECURE_BOOT},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(switches); i++) {
        if (switches[i].text == NULL)
            continue;
        if (!cli_parse_switch(switches[i].option, switches[i].text, switches[i].target))
            return FALSE;
        *fields |= switches[i].field;
    }
    return TRUE;
}

static gboolean take_numbers(BhMachineSpec *spec, BhSpecFields *fields)
{
    guint64 bytes;

    if (opt_cpus >= 0) {
        spec->cpus = (guint)opt_cpus;
        *fields |= BH_SPEC_CPUS;
    }
    if (opt_usb_channels >= 0) {
        spec->usb_channels = (guint)opt_usb_channels;
        *fields |= BH_SPEC_USB_CHANNELS;
    }
    if (opt_memory == NULL)
        return TRUE;
    if (!cli_parse_size(opt_memory, 1 << 20, &bytes) || bytes >> 20 > G_MAXUINT) {
        cli_usage_error(_("--memory takes a size such as 2G, not “%s”."), opt_memory);
        return FALSE;
    }
    spec->memory_mib = (guint)(bytes >> 20);
    *fields |= BH_SPEC_MEMORY;
    return TRUE;
}

static gboolean take_texts(BhMachineSpec *spec, BhSpecFields *fields)
{
    guint value = 0;

    if (opt_name != NULL) {
        g_free(spec->name);
        spec->name = g_strdup(opt_name);
        *fields |= BH_SPEC_NAME;
    }
    if (opt_notes != NULL) {
        g_free(spec->notes);
        spec->notes = *opt_notes != '\0' ? g_strdup(opt_notes) : NULL;
        *fields |= BH_SPEC_NOTES;
    }
    if (opt_video != NULL) {
        if (!take_name("video", video_names, opt_video, &value))
            return FALSE;
        spec->video = (BhVideo)value;
        *fields |= BH_SPEC_VIDEO;
    }
    if (opt_nic != NULL) {
        if (!take_name("nic", nic_names, opt_nic, &value))
            return FALSE;
        spec->nic = (BhNic)value;
        *fields |= BH_SPEC_NIC;
    }
    return TRUE;
}

static int apply(Cli *cli, BhMachine *machine, const BhMachineSpec *spec, BhSpecFields fields)
{
    g_autoptr(BhJob) job = cli_job(cli, _("Changing"), machine);
    g_autoptr(GAsyncResult) result = NULL;
    g_autofree char *waiting = NULL;
    BhSpecFields after_restart = 0;
    GError *error = NULL;

    bh_machine_apply_async(machine, spec, fields, job, cli_done, &result);
    if (!bh_machine_apply_finish(machine, cli_await(cli, job, &result), &after_restart, &error))
        return cli_error(cli, error);
    waiting = fields_to_text(after_restart);
    if (after_restart != 0)
        cli_say(cli, _("“%s” changed; after its restart: %s."), bh_machine_get_name(machine),
                waiting);
    else
        cli_say(cli, _("“%s” changed."), bh_machine_get_name(machine));
    return CLI_OK;
}

static int run_set(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(BhMachineSpec) spec = NULL;
    BhSpecFields fields = 0;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    if (!take_texts(spec, &fields) || !take_numbers(spec, &fields) || !take_switches(spec, &fields))
        return CLI_USAGE;
    if (fields == 0)
        return cli_usage_error(_("Nothing to change was given."));
    return apply(cli, machine, spec, fields);
}

/* ---- cd ---- */

static gboolean opt_eject;

static const GOptionEntry cd_options[] = {
    {"eject", 0, 0, G_OPTION_ARG_NONE, &opt_eject, N_("Empty the drive"), NULL},
    {NULL},
};

static int show_cd(Cli *cli, BhMachine *machine)
{
    const char *cdrom = bh_machine_get_spec(machine)->cdrom;

    if (cli->json) {
        JsonBuilder *builder = json_builder_new();

        json_builder_begin_object(builder);
        json_string(builder, "id", bh_machine_get_id(machine));
        json_string(builder, "cdrom", cdrom);
        json_builder_end_object(builder);
        output_json(builder);
    } else {
        puts(cdrom != NULL ? cdrom : _("The drive is empty."));
    }
    return CLI_OK;
}

static int run_cd(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(BhMachineSpec) spec = NULL;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (n == 2 && opt_eject)
        return cli_usage_error(_("Give either a file or --eject."));
    if (n == 1 && !opt_eject)
        return show_cd(cli, machine);
    spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    g_free(spec->cdrom);
    spec->cdrom = n == 2 ? cli_absolute_path(args[1]) : NULL;
    return apply(cli, machine, spec, BH_SPEC_CDROM);
}

/* ---- delete, deleted, undelete, purge ---- */

static gboolean opt_yes;

static const GOptionEntry yes_options[] = {
    {"yes", 'y', 0, G_OPTION_ARG_NONE, &opt_yes, N_("Do not ask"), NULL},
    {NULL},
};

static int delete_one(Cli *cli, const char *name)
{
    BhMachine *machine = cli_find_machine(cli, name);
    g_autofree char *question = NULL;
    g_autoptr(BhJob) job = NULL;
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhDeleted) deleted = NULL;
    GError *error = NULL;
    int code;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    question = g_strdup_printf(_("Delete “%s”? It can be had back until it is purged."),
                               bh_machine_get_name(machine));
    if (!opt_yes && !cli_confirm(cli, question, &code))
        return code;
    job = cli_job(cli, _("Deleting"), machine);
    bh_machine_delete_async(machine, job, cli_done, &result);
    deleted = bh_machine_delete_finish(machine, cli_await(cli, job, &result), &error);
    if (deleted == NULL)
        return cli_error(cli, error);
    cli_say(cli, _("“%s” is deleted. To have it back: bulkheadctl undelete %s"),
            bh_deleted_get_name(deleted), bh_deleted_get_id(deleted));
    return CLI_OK;
}

static int run_delete(Cli *cli, char **args, guint n)
{
    int code = CLI_OK;

    for (guint i = 0; i < n && !cli->interrupted; i++) {
        int this_code = delete_one(cli, args[i]);

        if (code == CLI_OK)
            code = this_code;
    }
    return cli->interrupted ? CLI_INTERRUPTED : code;
}

static gboolean opt_names;

static const GOptionEntry deleted_options[] = {
    {"names", 0, 0, G_OPTION_ARG_NONE, &opt_names, N_("Print only the names, one a line"), NULL},
    {NULL},
};

static void print_deleted_names(GListModel *model)
{
    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        g_autoptr(BhDeleted) deleted = g_list_model_get_item(model, i);

        puts(bh_deleted_get_name(deleted));
    }
}

static int run_deleted(Cli *cli, char **args, guint n)
{
    GListModel *model = bh_host_get_deleted(cli->host);
    JsonBuilder *builder;
    Table *table;

    if (opt_names) {
        print_deleted_names(model);
        return CLI_OK;
    }
    builder = cli->json ? json_builder_new() : NULL;
    table = cli->json ? NULL : table_new(3, _("NAME"), _("DELETED"), _("ID"));
    if (builder != NULL)
        json_builder_begin_array(builder);
    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        g_autoptr(BhDeleted) deleted = g_list_model_get_item(model, i);
        g_autofree char *when = format_time(bh_deleted_get_time(deleted));

        if (builder != NULL)
            json_deleted(builder, deleted);
        else
            table_row(table, bh_deleted_get_name(deleted), when, bh_deleted_get_id(deleted));
    }
    if (table != NULL) {
        table_print_free(table);
        return CLI_OK;
    }
    json_builder_end_array(builder);
    output_json(builder);
    return CLI_OK;
}

/* By id, or by name when only one has it. Transfer full; NULL after telling why. */
static BhDeleted *find_deleted(Cli *cli, const char *id_or_name, int *code)
{
    GListModel *model = bh_host_get_deleted(cli->host);
    g_autoptr(BhDeleted) found = NULL;
    guint matches = 0;

    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        g_autoptr(BhDeleted) deleted = g_list_model_get_item(model, i);

        if (g_str_equal(bh_deleted_get_id(deleted), id_or_name))
            return g_steal_pointer(&deleted);
        if (!g_str_equal(bh_deleted_get_name(deleted), id_or_name))
            continue;
        matches++;
        g_set_object(&found, deleted);
    }
    if (matches == 1)
        return g_steal_pointer(&found);
    *code = cli_error(
        cli,
        matches == 0
            ? bh_error_new(BH_ERROR_NOT_FOUND, _("“bulkheadctl deleted” shows what there is."),
                           NULL, _("There is no deleted machine “%s”."), id_or_name)
            : bh_error_new(BH_ERROR_INVALID, _("Give its id; “bulkheadctl deleted” shows them."),
                           NULL, _("Several deleted machines are named “%s”."), id_or_name));
    return NULL;
}

static int run_undelete(Cli *cli, char **args, guint n)
{
    int code = CLI_OK;
    g_autoptr(BhDeleted) deleted = find_deleted(cli, args[0], &code);
    g_autoptr(BhJob) job = cli_job(cli, _("Bringing back"), NULL);
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    if (deleted == NULL)
        return code;
    bh_deleted_restore_async(deleted, job, cli_done, &result);
    if (!bh_deleted_restore_finish(deleted, cli_await(cli, job, &result), &error))
        return cli_error(cli, error);
    cli_say(cli, _("“%s” is back."), bh_deleted_get_name(deleted));
    return CLI_OK;
}

static int run_purge(Cli *cli, char **args, guint n)
{
    int code = CLI_OK;
    g_autoptr(BhDeleted) deleted = find_deleted(cli, args[0], &code);
    g_autoptr(BhJob) job = cli_job(cli, _("Removing"), NULL);
    g_autoptr(GAsyncResult) result = NULL;
    g_autofree char *question = NULL;
    GError *error = NULL;

    if (deleted == NULL)
        return code;
    question =
        g_strdup_printf(_("Remove “%s” and its disk for good?"), bh_deleted_get_name(deleted));
    if (!opt_yes && !cli_confirm(cli, question, &code))
        return code;
    bh_deleted_purge_async(deleted, job, cli_done, &result);
    if (!bh_deleted_purge_finish(deleted, cli_await(cli, job, &result), &error))
        return cli_error(cli, error);
    cli_say(cli, _("“%s” is removed for good."), bh_deleted_get_name(deleted));
    return CLI_OK;
}

const CliVerb cli_manage_verbs[] = {
    {"set", N_("MACHINE"), N_("Change a machine"), set_options, 1, 1, TRUE, run_set,
     N_("What cannot change while the machine runs is kept for its next start.")},
    {"cd", N_("MACHINE [FILE]"), N_("Show, insert or eject the CD"), cd_options, 1, 2, TRUE, run_cd,
     NULL},
    {"delete", N_("MACHINE..."), N_("Delete machines, in a way that can be undone"), yes_options, 1,
     G_MAXUINT, TRUE, run_delete, NULL},
    {"deleted", "", N_("List deleted machines"), deleted_options, 0, 0, TRUE, run_deleted, NULL},
    {"undelete", N_("DELETED-MACHINE"), N_("Have a deleted machine back"), NULL, 1, 1, TRUE,
     run_undelete, NULL},
    {"purge", N_("DELETED-MACHINE"), N_("Remove a deleted machine and its disk for good"),
     yes_options, 1, 1, TRUE, run_purge, NULL},
    {NULL},
};
