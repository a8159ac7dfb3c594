/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The verb new: a machine from an ISO, a disk image, the demo desktop, or nothing. */
#include <stdio.h>

#include <glib/gi18n.h>

#include <bulkhead/create.h>

#include "output.h"

static char *opt_iso, *opt_image, *opt_name, *opt_memory, *opt_disk, *opt_os;
static gboolean opt_demo, opt_empty, opt_in_place, opt_secure_boot, opt_tpm, opt_bios, opt_start;
static int opt_cpus = -1;

static const GOptionEntry new_options[] = {
    {"iso", 0, 0, G_OPTION_ARG_FILENAME, &opt_iso, N_("Install from this ISO"), N_("FILE")},
    {"image", 0, 0, G_OPTION_ARG_FILENAME, &opt_image,
     N_("Import this disk image (qcow2, raw, vmdk, vdi, vhdx)"), N_("FILE")},
    {"demo", 0, 0, G_OPTION_ARG_NONE, &opt_demo, N_("The demo desktop, built when needed"), NULL},
    {"empty", 0, 0, G_OPTION_ARG_NONE, &opt_empty, N_("An empty machine"), NULL},
    {"in-place", 0, 0, G_OPTION_ARG_NONE, &opt_in_place,
     N_("Use the image where it is instead of a copy"), NULL},
    {"name", 0, 0, G_OPTION_ARG_STRING, &opt_name, N_("Its name"), N_("NAME")},
    {"os", 0, 0, G_OPTION_ARG_STRING, &opt_os,
     N_("Its operating system: a libosinfo id such as debian12"), N_("OS")},
    {"cpus", 0, 0, G_OPTION_ARG_INT, &opt_cpus, N_("Number of CPUs"), N_("NUMBER")},
    {"memory", 0, 0, G_OPTION_ARG_STRING, &opt_memory, N_("Memory: 2G, 1536M, or a number of MiB"),
     N_("SIZE")},
    {"disk", 0, 0, G_OPTION_ARG_STRING, &opt_disk,
     N_("Size of its disk: 40G, or a number of GiB; “none” for no disk"), N_("SIZE")},
    {"secure-boot", 0, 0, G_OPTION_ARG_NONE, &opt_secure_boot, N_("With Secure Boot"), NULL},
    {"tpm", 0, 0, G_OPTION_ARG_NONE, &opt_tpm, N_("With an emulated TPM 2.0"), NULL},
    {"bios", 0, 0, G_OPTION_ARG_NONE, &opt_bios, N_("With BIOS instead of EFI"), NULL},
    {"start", 0, 0, G_OPTION_ARG_NONE, &opt_start, N_("Start it at once"), NULL},
    {NULL},
};

/* ---- the proposal ---- */

static gboolean load_systems(Cli *cli)
{
    g_autoptr(GAsyncResult) result = NULL;

    /* Without the database every system is treated as a modern one. */
    bh_os_db_load_async(NULL, cli_done, &result);
    return bh_os_db_load_finish(cli_await(cli, NULL, &result), NULL);
}

static BhMediaInfo *inspect(Cli *cli, const char *file, BhMediaKind kind, int *code)
{
    g_autofree char *path = cli_absolute_path(file);
    g_autoptr(BhJob) job = cli_job(cli, _("Looking at the file"), NULL);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhMediaInfo) info = NULL;
    GError *error = NULL;

    bh_media_inspect_async(path, job, cli_done, &result);
    info = bh_media_inspect_finish(cli_await(cli, job, &result), &error);
    if (info == NULL) {
        *code = cli_error(cli, error);
        return NULL;
    }
    if (info->kind == kind)
        return g_steal_pointer(&info);
    *code = cli_error(cli, kind == BH_MEDIA_ISO
                               ? bh_error_new(BH_ERROR_INVALID, _("Use --image for it."), NULL,
                                              _("“%s” is a disk image, not an ISO."), path)
                               : bh_error_new(BH_ERROR_INVALID, _("Use --iso for it."), NULL,
                                              _("“%s” is an ISO, not a disk image."), path));
    return NULL;
}

static char *prepare_demo(Cli *cli, int *code)
{
    g_autoptr(BhJob) job = cli_job(cli, _("Demo desktop"), NULL);
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;
    char *path;

    bh_demo_prepare_async(job, cli_done, &result);
    path = bh_demo_prepare_finish(cli_await(cli, job, &result), &error);
    if (path == NULL)
        *code = cli_error(cli, error);
    return path;
}

/* The system of --os; NULL with *code set when there is none such. */
static BhOs *chosen_os(Cli *cli, int *code)
{
    g_autoptr(BhOs) os = NULL;

    if (opt_os == NULL)
        return NULL;
    os = bh_os_lookup(opt_os);
    if (os != NULL && os->id != NULL)
        return g_steal_pointer(&os);
    *code = cli_error(cli, bh_error_new(BH_ERROR_NOT_FOUND,
                                        _("“osinfo-query os” lists those that are known."), NULL,
                                        _("There is no operating system “%s”."), opt_os));
    return NULL;
}

static BhMachineSpec *propose(Cli *cli, int *code)
{
    g_autoptr(BhMediaInfo) media = NULL;
    g_autofree char *demo = NULL;
    g_autoptr(BhOs) os = NULL;

    load_systems(cli);
    os = chosen_os(cli, code);
    if (*code != CLI_OK)
        return NULL;
    if (opt_demo) {
        demo = prepare_demo(cli, code);
        return demo != NULL ? bh_spec_for_demo(cli->host, demo) : NULL;
    }
    if (opt_iso != NULL)
        media = inspect(cli, opt_iso, BH_MEDIA_ISO, code);
    else if (opt_image != NULL)
        media = inspect(cli, opt_image, BH_MEDIA_DISK, code);
    return *code == CLI_OK ? bh_spec_from_media(cli->host, media, os) : NULL;
}

/* ---- the options on top of it ---- */

/* The sizes that were given, 0 for none. */
typedef struct {
    guint64 memory, disk;
} Sizes;

/* All that can be wrong on the command line, before anything is done. */
static int check_options(Sizes *sizes)
{
    int sources = (opt_iso != NULL) + (opt_image != NULL) + (opt_demo != 0) + (opt_empty != 0);
    gboolean no_disk = g_strcmp0(opt_disk, "none") == 0;

    if (sources != 1)
        return cli_usage_error(_("Give one of --iso, --image, --demo and --empty."));
    if (opt_in_place && opt_image == NULL)
        return cli_usage_error(_("--in-place goes with --image only."));
    if (opt_bios && opt_secure_boot)
        return cli_usage_error(_("Secure Boot needs EFI: give --bios or --secure-boot."));
    if (no_disk && (opt_image != NULL || opt_demo))
        return cli_usage_error(_("--disk none does not go with an image."));
    if (opt_disk != NULL && !no_disk && !cli_parse_size(opt_disk, 1 << 30, &sizes->disk))
        return cli_usage_error(_("--disk takes a size such as 40G, not “%s”."), opt_disk);
    if (opt_memory != NULL &&
        (!cli_parse_size(opt_memory, 1 << 20, &sizes->memory) || sizes->memory >> 20 > G_MAXUINT))
        return cli_usage_error(_("--memory takes a size such as 2G, not “%s”."), opt_memory);
    return CLI_OK;
}

static void take_options(BhMachineSpec *spec, const Sizes *sizes)
{
    if (opt_name != NULL) {
        g_free(spec->name);
        spec->name = g_strdup(opt_name);
    }
    if (opt_cpus >= 0)
        spec->cpus = (guint)opt_cpus;
    if (sizes->memory > 0)
        spec->memory_mib = (guint)(sizes->memory >> 20);
    if (sizes->disk > 0)
        spec->disk_bytes = sizes->disk;
    if (opt_in_place)
        spec->disk_origin = BH_DISK_IN_PLACE;
    if (g_strcmp0(opt_disk, "none") == 0) {
        spec->disk_origin = BH_DISK_NONE;
        spec->disk_bytes = 0;
    }
    if (opt_bios) {
        spec->firmware = BH_FIRMWARE_BIOS;
        spec->secure_boot = FALSE;
    }
    if (opt_secure_boot)
        spec->secure_boot = TRUE;
    if (opt_tpm)
        spec->tpm = TRUE;
}

static int start(Cli *cli, BhMachine *machine)
{
    g_autoptr(BhJob) job = cli_job(cli, _("Starting"), machine);
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_machine_act_async(machine, BH_VERB_START, job, cli_done, &result);
    if (!bh_machine_act_finish(machine, cli_await(cli, job, &result), &error))
        return cli_error(cli, error);
    cli_say(cli, _("“%s” started."), bh_machine_get_name(machine));
    return CLI_OK;
}

static int create(Cli *cli, const BhMachineSpec *spec)
{
    g_autofree char *title = g_strdup_printf(_("Making “%s”"), spec->name);
    g_autoptr(BhJob) job = cli_job(cli, title, NULL);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhMachine) machine = NULL;
    GError *error = NULL;
    int code = CLI_OK;

    bh_host_create_machine_async(cli->host, spec, job, cli_done, &result);
    machine = bh_host_create_machine_finish(cli->host, cli_await(cli, job, &result), &error);
    if (machine == NULL)
        return cli_error(cli, error);
    cli_say(cli, _("“%s” is made: %s"), bh_machine_get_name(machine), bh_machine_get_id(machine));
    if (opt_start)
        code = start(cli, machine);
    if (cli->json) {
        JsonBuilder *builder = json_builder_new();

        json_machine(builder, machine);
        output_json(builder);
    }
    return code;
}

static int run_new(Cli *cli, char **args, guint n)
{
    g_autoptr(BhMachineSpec) spec = NULL;
    Sizes sizes = {0, 0};
    int code = check_options(&sizes);

    if (code == CLI_OK)
        code = cli_open_host(cli);
    if (code != CLI_OK)
        return code;
    spec = propose(cli, &code);
    if (spec == NULL)
        return code;
    take_options(spec, &sizes);
    return create(cli, spec);
}

const CliVerb cli_new_verbs[] = {
    {"new", "", N_("Make a machine"), new_options, 0, 0, FALSE, run_new,
     N_("What is not given is proposed from the operating system found on the medium.")},
    {NULL},
};
