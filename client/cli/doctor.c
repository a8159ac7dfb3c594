/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The verb doctor: what works on this computer and what does not, and what to do about it. What the
 * host interface knows is asked there; only what no driver needs to know is looked at here.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n.h>

#include <bulkhead/os.h>
#include <bulkhead/usb.h>

#include "output.h"

typedef enum { CHECK_OK, CHECK_WARNING, CHECK_PROBLEM } CheckStatus;

typedef struct {
    const char *name; /* stable */
    CheckStatus status;
    char *text;
    char *hint;
} Check;

static void check_free(gpointer data)
{
    Check *check = data;

    g_free(check->text);
    g_free(check->hint);
    g_free(check);
}

static void add(GPtrArray *checks, const char *name, CheckStatus status, const char *text,
                const char *hint)
{
    Check *check = g_new0(Check, 1);

    check->name = name;
    check->status = status;
    check->text = g_strdup(text);
    check->hint = status != CHECK_OK ? g_strdup(hint) : NULL;
    g_ptr_array_add(checks, check);
}

/* ---- the host ---- */

static gboolean check_connection(Cli *cli, GPtrArray *checks)
{
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(BhJob) job = cli_job(cli, _("Connecting"), NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *text = NULL;

    cli->host = bh_host_new(cli->uri, &error);
    if (cli->host != NULL) {
        bh_host_open_async(cli->host, job, cli_done, &result);
        bh_host_open_finish(cli->host, cli_await(cli, job, &result), &error);
    }
    if (error == NULL) {
        text = g_strdup_printf(_("%s answers"), cli->uri);
        add(checks, "connection", CHECK_OK, text, NULL);
        return TRUE;
    }
    text = g_strdup_printf(_("%s does not answer: %s"), cli->uri, error->message);
    add(checks, "connection", CHECK_PROBLEM, text, bh_error_get_hint(error));
    return FALSE;
}

static void check_accelerator(Cli *cli, GPtrArray *checks)
{
    const char *accelerator, *note;
    g_autofree char *text = NULL;

    cli_await_accelerator(cli);
    accelerator = bh_host_get_accelerator(cli->host);
    note = bh_host_get_accelerator_note(cli->host);
    if (g_strcmp0(accelerator, "kvm") == 0) {
        add(checks, "accelerator", CHECK_OK, _("KVM: guests run at full speed"), NULL);
        return;
    }
    text = g_strdup_printf(_("No KVM, guests are emulated and slow: %s"),
                           note != NULL ? note : _("the host does not say why"));
    add(checks, "accelerator", CHECK_WARNING, text,
        _("Check that virtualisation is on in the computer's firmware, and that you may open "
          "/dev/kvm (group kvm)."));
}

static void check_features(Cli *cli, GPtrArray *checks)
{
    const struct {
        BhHostFeatures feature;
        const char *name, *good, *bad, *hint;
        CheckStatus status;
    } wanted[] = {
        {BH_FEATURE_CREATE, "create", _("Machines can be made"), _("Machines cannot be made"),
         _("Install qemu-system-x86 and qemu-utils."), CHECK_PROBLEM},
        {BH_FEATURE_EFI, "firmware", _("EFI firmware is there"), _("There is no EFI firmware"),
         _("Install the package ovmf."), CHECK_PROBLEM},
        {BH_FEATURE_SECURE_BOOT, "secure-boot", _("Secure Boot is possible"),
         _("There is no firmware with Secure Boot"), _("Install the package ovmf."), CHECK_WARNING},
        {BH_FEATURE_TPM, "tpm", _("TPM 2.0 can be emulated"), _("There is no emulated TPM"),
         _("Install the package swtpm-tools; Windows 11 needs it."), CHECK_WARNING},
        {BH_FEATURE_USB_REDIRECTION, "usb-redirection", _("QEMU takes USB devices by SPICE"),
         _("QEMU cannot take USB devices by SPICE"), _("Install qemu-system-x86 with SPICE."),
         CHECK_WARNING},
        {BH_FEATURE_UNDELETE, "undelete", _("Deleting can be undone"),
         _("Deleting cannot be undone on this host"), NULL, CHECK_WARNING},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++) {
        gboolean has = (bh_host_get_features(cli->host) & wanted[i].feature) != 0;

        add(checks, wanted[i].name, has ? CHECK_OK : wanted[i].status,
            has ? wanted[i].good : wanted[i].bad, wanted[i].hint);
    }
}

/* ---- this computer ---- */

static void check_program(GPtrArray *checks, const char *name, const char *program,
                          const char *package, CheckStatus status)
{
    g_autofree char *path = g_find_program_in_path(program);
    g_autofree char *text = NULL;
    g_autofree char *hint = g_strdup_printf(_("Install the package %s."), package);

    text = path != NULL ? g_strdup_printf(_("%s is there"), path)
                        : g_strdup_printf(_("%s is missing"), program);
    add(checks, name, path != NULL ? CHECK_OK : status, text, hint);
}

/* SPICE redirection opens a device through this helper, which asks polkit. */
static void check_usb_helper(GPtrArray *checks)
{
    static const char *const places[] = {
        "/usr/libexec/spice-client-glib-usb-acl-helper",
        "/usr/lib/x86_64-linux-gnu/spice-client-glib-usb-acl-helper",
        "/usr/lib/spice-gtk/spice-client-glib-usb-acl-helper",
        "/usr/lib/spice-client-glib-usb-acl-helper",
        "/usr/bin/spice-client-glib-usb-acl-helper",
    };

    for (gsize i = 0; i < G_N_ELEMENTS(places); i++) {
        if (!g_file_test(places[i], G_FILE_TEST_IS_EXECUTABLE))
            continue;
        add(checks, "usb-helper", CHECK_OK, _("The helper that opens USB devices is there"), NULL);
        return;
    }
    add(checks, "usb-helper", CHECK_WARNING,
        _("The helper that opens USB devices for redirection is missing"),
        _("Install the package spice-client-glib-usb-acl-helper."));
}

static void check_usb_devices(GPtrArray *checks)
{
    g_autoptr(BhUsbMonitor) monitor = bh_usb_monitor_new();
    guint n = g_list_model_get_n_items(G_LIST_MODEL(monitor)), closed = 0;
    g_autofree char *text = NULL;

    for (guint i = 0; i < n; i++) {
        g_autoptr(BhUsbDevice) device = g_list_model_get_item(G_LIST_MODEL(monitor), i);

        if (access(bh_usb_device_get_node(device), R_OK | W_OK) != 0)
            closed++;
    }
    text = g_strdup_printf(_("%u USB devices, of which this user may open %u directly"), n,
                           n - closed);
    add(checks, "usb-devices", CHECK_OK, text, NULL);
}

static void check_systems(Cli *cli, GPtrArray *checks)
{
    g_autoptr(GAsyncResult) result = NULL;
    gboolean loaded;

    bh_os_db_load_async(NULL, cli_done, &result);
    loaded = bh_os_db_load_finish(cli_await(cli, NULL, &result), NULL);
    if (loaded) {
        g_autoptr(GPtrArray) systems = bh_os_list();

        loaded = systems != NULL && systems->len > 0;
    }
    add(checks, "osinfo", loaded ? CHECK_OK : CHECK_WARNING,
        loaded ? _("The database of operating systems is there")
               : _("There is no database of operating systems"),
        _("Install the package osinfo-db."));
}

/* ---- the report ---- */

static const char *const status_names[] = {"ok", "warning", "problem"};

static void print_json(GPtrArray *checks)
{
    JsonBuilder *builder = json_builder_new();

    json_builder_begin_array(builder);
    for (guint i = 0; i < checks->len; i++) {
        const Check *check = g_ptr_array_index(checks, i);

        json_builder_begin_object(builder);
        json_string(builder, "check", check->name);
        json_string(builder, "status", status_names[check->status]);
        json_string(builder, "text", check->text);
        json_string(builder, "hint", check->hint);
        json_builder_end_object(builder);
    }
    json_builder_end_array(builder);
    output_json(builder);
}

static void print_text(GPtrArray *checks)
{
    for (guint i = 0; i < checks->len; i++) {
        const Check *check = g_ptr_array_index(checks, i);

        printf("%-8s %-16s %s\n", status_names[check->status], check->name, check->text);
        if (check->hint != NULL)
            printf("%26s%s\n", "", check->hint);
    }
}

static int run_doctor(Cli *cli, char **args, guint n)
{
    g_autoptr(GPtrArray) checks = g_ptr_array_new_with_free_func(check_free);
    int code = CLI_OK;

    if (check_connection(cli, checks)) {
        check_accelerator(cli, checks);
        check_features(cli, checks);
    }
    check_program(checks, "qemu-img", "qemu-img", "qemu-utils", CHECK_PROBLEM);
    check_systems(cli, checks);
    check_usb_helper(checks);
    check_usb_devices(checks);
    if (cli->interrupted)
        return CLI_INTERRUPTED;
    if (cli->json)
        print_json(checks);
    else
        print_text(checks);
    for (guint i = 0; i < checks->len; i++)
        if (((const Check *)g_ptr_array_index(checks, i))->status == CHECK_PROBLEM)
            code = CLI_FAILED;
    return code;
}

const CliVerb cli_doctor_verbs[] = {
    {"doctor", "", N_("Check this computer and say what is missing"), NULL, 0, 0, FALSE, run_doctor,
     N_("Ends with 1 when there is a problem, with 0 when there are only warnings.")},
    {NULL},
};
