/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Verbs about USB devices: usb list, usb attach, usb detach, usb rules.
 *
 * A command moves the one device it was given and nothing else, so its arbiter never acts on the
 * user's rules by itself: that is the running app's.
 */
#include <stdio.h>
#include <string.h>

#include <glib/gi18n.h>

#include <bulkhead/usb.h>

#include "app.h"
#include "output.h"

static const char *const guard_names[] = {"free", "confirm", "refuse"};
static const char *const route_names[] = {"none", "spice", "host"};

/* ---- which device ---- */

static gboolean matches(BhUsbDevice *device, const char *wanted, gboolean loosely)
{
    const char *id = bh_usb_device_get_id(device);
    g_autofree char *name = NULL;
    g_autofree char *part = NULL;

    if (!loosely)
        return g_str_equal(id, wanted) || g_str_equal(bh_usb_device_get_port(device), wanted);
    name = g_utf8_casefold(bh_usb_device_get_name(device), -1);
    part = g_utf8_casefold(wanted, -1);
    return g_str_has_prefix(id, wanted) || strstr(name, part) != NULL;
}

/* By id or port, else by the id's beginning or a part of the name when only one has it. Borrowed
 * from the monitor; NULL after telling why. */
static BhUsbDevice *find_device(Cli *cli, BhUsbMonitor *monitor, const char *wanted, int *code)
{
    GListModel *model = G_LIST_MODEL(monitor);
    BhUsbDevice *found = NULL;
    guint n = 0;

    for (int loosely = 0; loosely < 2 && n == 0; loosely++) {
        for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
            g_autoptr(BhUsbDevice) device = g_list_model_get_item(model, i);

            if (!matches(device, wanted, loosely))
                continue;
            found = device; /* the monitor holds it */
            n++;
        }
    }
    if (n == 1)
        return found;
    *code =
        cli_error(cli, n == 0 ? bh_error_new(BH_ERROR_NOT_FOUND,
                                             _("“bulkheadctl usb list” shows what there is."), NULL,
                                             _("There is no USB device “%s”."), wanted)
                              : bh_error_new(BH_ERROR_INVALID,
                                             _("Give its id; “bulkheadctl usb list” shows them."),
                                             NULL, _("Several USB devices match “%s”."), wanted));
    return NULL;
}

/* ---- list ---- */

static gboolean opt_ids;

static const GOptionEntry list_options[] = {
    {"ids", 0, 0, G_OPTION_ARG_NONE, &opt_ids, N_("Print only the ids, one a line"), NULL},
    {NULL},
};

typedef struct {
    BhUsbMonitor *monitor;
    BhUsbRules *rules;
    BhUsbArbiter *arbiter;
    BhMachine *machine; /* routes into it are wanted; or NULL */
    JsonBuilder *builder;
    Table *table;
} Listing;

static void list_json(Listing *self, BhUsbDevice *device, BhMachine *owner)
{
    JsonBuilder *builder = self->builder;
    BhUsbAddress address = bh_usb_device_get_address(device);
    const char *guard_reason = NULL;
    BhUsbGuard guard = bh_usb_device_get_guard(device, &guard_reason);
    g_autofree char *product = g_strdup_printf("%04x:%04x", address.vendor, address.product);

    json_builder_begin_object(builder);
    json_string(builder, "id", bh_usb_device_get_id(device));
    json_string(builder, "name", bh_usb_device_get_name(device));
    json_string(builder, "product", product);
    json_string(builder, "port", bh_usb_device_get_port(device));
    json_int(builder, "bus", address.bus);
    json_int(builder, "address", address.address);
    json_string(builder, "node", bh_usb_device_get_node(device));
    json_string(builder, "usage", bh_usb_device_get_usage(device));
    json_string(builder, "guard", guard_names[guard]);
    json_string(builder, "guard_reason", guard_reason);
    json_bool(builder, "can_unmount", bh_usb_device_can_unmount(device));
    json_string(builder, "machine", owner != NULL ? bh_machine_get_id(owner) : NULL);
    if (self->machine != NULL) {
        g_autofree char *reason = NULL;
        BhUsbFix fix;
        BhUsbRoute route =
            bh_usb_arbiter_get_route(self->arbiter, self->machine, device, &reason, &fix);
        BhUsbRule rule = bh_usb_rules_get(self->rules, bh_machine_get_id(self->machine),
                                          bh_usb_device_get_id(device));

        json_string(builder, "route", route_names[route]);
        json_string(builder, "reason", reason);
        json_string(builder, "rule", bh_usb_rule_get_name(rule));
    }
    json_builder_end_object(builder);
}

static void list_row(Listing *self, BhUsbDevice *device, BhMachine *owner)
{
    const char *reason = NULL;
    BhUsbGuard guard = bh_usb_device_get_guard(device, &reason);
    const char *usage = bh_usb_device_get_usage(device);
    g_autofree char *why = NULL;
    g_autofree char *state = NULL;
    BhUsbFix fix;
    BhUsbRoute route;

    if (owner != NULL)
        state = g_strdup_printf(_("in “%s”"), bh_machine_get_name(owner));
    else
        state = g_strdup(usage != NULL ? usage : guard == BH_USB_FREE ? _("free") : reason);
    if (self->machine == NULL) {
        table_row(self->table, bh_usb_device_get_id(device), bh_usb_device_get_name(device), state);
        return;
    }
    route = bh_usb_arbiter_get_route(self->arbiter, self->machine, device, &why, &fix);
    table_row(self->table, bh_usb_device_get_id(device), bh_usb_device_get_name(device), state,
              route != BH_USB_ROUTE_NONE ? bh_usb_route_get_label(route) : why);
}

static void list_all(Listing *self)
{
    GListModel *model = G_LIST_MODEL(self->monitor);

    for (guint i = 0; i < g_list_model_get_n_items(model); i++) {
        g_autoptr(BhUsbDevice) device = g_list_model_get_item(model, i);
        BhMachine *owner;

        if (opt_ids) {
            puts(bh_usb_device_get_id(device));
            continue;
        }
        owner = bh_usb_arbiter_get_owner(self->arbiter, device);
        if (self->builder != NULL)
            list_json(self, device, owner);
        else
            list_row(self, device, owner);
    }
}

static int run_list(Cli *cli, char **args, guint n)
{
    BhMachine *machine = n > 0 ? cli_find_machine(cli, args[0]) : NULL;
    Listing listing = {.machine = machine};

    if (n > 0 && machine == NULL)
        return CLI_NOT_FOUND;
    listing.monitor = bh_usb_monitor_new();
    listing.rules = bh_usb_rules_new(NULL);
    listing.arbiter = bh_usb_arbiter_new(cli->host, listing.monitor, listing.rules);
    if (cli->json) {
        listing.builder = json_builder_new();
        json_builder_begin_array(listing.builder);
    } else if (machine != NULL) {
        listing.table = table_new(4, _("ID"), _("NAME"), _("STATE"), _("ROUTE"));
    } else {
        listing.table = table_new(3, _("ID"), _("NAME"), _("STATE"));
    }
    list_all(&listing);
    if (listing.builder != NULL && !opt_ids) {
        json_builder_end_array(listing.builder);
        output_json(listing.builder);
    } else if (listing.table != NULL) {
        table_print_free(listing.table);
    }
    g_object_unref(listing.arbiter);
    g_object_unref(listing.rules);
    g_object_unref(listing.monitor);
    return CLI_OK;
}

/* ---- attach, detach ---- */

static gboolean opt_yes, opt_unmount;

static const GOptionEntry attach_options[] = {
    {"yes", 'y', 0, G_OPTION_ARG_NONE, &opt_yes, N_("Also when something uses the device"), NULL},
    {"unmount", 0, 0, G_OPTION_ARG_NONE, &opt_unmount, N_("Unmount its file systems first"), NULL},
    {NULL},
};

static BhUsbRoute route_with_rules(Cli *cli, BhUsbMonitor *monitor, BhMachine *machine,
                                   BhUsbDevice *device, char **reason, BhUsbFix *fix)
{
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(NULL);
    g_autoptr(BhUsbArbiter) arbiter = bh_usb_arbiter_new(cli->host, monitor, rules);

    return bh_usb_arbiter_get_route(arbiter, machine, device, reason, fix);
}

static int unmount(Cli *cli, BhUsbDevice *device)
{
    g_autoptr(BhJob) job = cli_job(cli, _("Unmounting"), NULL);
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_usb_device_unmount_async(device, job, cli_done, &result);
    if (bh_usb_device_unmount_finish(device, cli_await(cli, job, &result), &error))
        return CLI_OK;
    return cli_error(cli, error);
}

static BhUsbArbiter *passive_arbiter(Cli *cli, BhUsbMonitor *monitor)
{
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(NULL);
    BhUsbArbiter *arbiter = bh_usb_arbiter_new(cli->host, monitor, rules);

    bh_usb_arbiter_set_automatic(arbiter, FALSE);
    return arbiter;
}

static gboolean move(Cli *cli, BhUsbMonitor *monitor, BhMachine *machine, BhUsbDevice *device,
                     gboolean consent, GError **error)
{
    g_autoptr(BhUsbArbiter) arbiter = passive_arbiter(cli, monitor);
    g_autoptr(BhJob) job = cli_job(cli, _("Moving the device"), machine);
    g_autoptr(GAsyncResult) result = NULL;

    if (machine != NULL) {
        bh_usb_arbiter_attach_async(arbiter, machine, device, consent, job, cli_done, &result);
        return bh_usb_arbiter_attach_finish(arbiter, cli_await(cli, job, &result), error);
    }
    bh_usb_arbiter_detach_async(arbiter, device, job, cli_done, &result);
    return bh_usb_arbiter_detach_finish(arbiter, cli_await(cli, job, &result), error);
}

static int attach_here(Cli *cli, BhUsbMonitor *monitor, BhMachine *machine, BhUsbDevice *device)
{
    GError *error = NULL;
    int code;

    if (!move(cli, monitor, machine, device, opt_yes, &error)) {
        if (!g_error_matches(error, BH_ERROR, BH_ERROR_NEEDS_CONFIRM) || opt_yes)
            return cli_error(cli, error);
        g_autofree char *question = g_strdup_printf(_("%s Give it to “%s” anyway?"), error->message,
                                                    bh_machine_get_name(machine));

        g_clear_error(&error);
        if (!cli_confirm(cli, question, &code))
            return code;
        if (!move(cli, monitor, machine, device, TRUE, &error))
            return cli_error(cli, error);
    }
    cli_say(cli, _("“%s” is in “%s”."), bh_usb_device_get_name(device),
            bh_machine_get_name(machine));
    return CLI_OK;
}

static int attach(Cli *cli, BhUsbMonitor *monitor, BhMachine *machine, BhUsbDevice *device)
{
    g_autofree char *reason = NULL;
    BhUsbFix fix = BH_USB_FIX_NONE;
    BhUsbRoute route;

    if (opt_unmount && bh_usb_device_can_unmount(device)) {
        int code = unmount(cli, device);

        if (code != CLI_OK)
            return code;
    }
    route = route_with_rules(cli, monitor, machine, device, &reason, &fix);
    if (route == BH_USB_ROUTE_HOST || fix == BH_USB_FIX_TAKE)
        return attach_here(cli, monitor, machine, device);
    if (route == BH_USB_ROUTE_SPICE || fix == BH_USB_FIX_OPEN_DISPLAY)
        return app_usb(cli, "usb-attach", machine, bh_usb_device_get_id(device));
    return cli_error(cli, bh_error_new(BH_ERROR_BUSY, NULL, NULL, "%s",
                                       reason != NULL ? reason : _("There is no way into it.")));
}

static int run_attach(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(BhUsbMonitor) monitor = NULL;
    BhUsbDevice *device;
    int code = CLI_OK;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    monitor = bh_usb_monitor_new();
    device = find_device(cli, monitor, args[1], &code);
    return device != NULL ? attach(cli, monitor, machine, device) : code;
}

static BhMachine *owner_of(Cli *cli, BhUsbMonitor *monitor, BhUsbDevice *device)
{
    g_autoptr(BhUsbArbiter) arbiter = passive_arbiter(cli, monitor);

    return bh_usb_arbiter_get_owner(arbiter, device);
}

static int run_detach(Cli *cli, char **args, guint n)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autoptr(BhUsbMonitor) monitor = NULL;
    BhUsbDevice *device;
    BhMachine *owner;
    GError *error = NULL;
    int code = CLI_OK;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    monitor = bh_usb_monitor_new();
    device = find_device(cli, monitor, args[1], &code);
    if (device == NULL)
        return code;
    owner = owner_of(cli, monitor, device);
    /* What the host did not give away can only have gone through a window of the app. */
    if (owner == NULL)
        return app_usb(cli, "usb-detach", machine, bh_usb_device_get_id(device));
    if (owner != machine)
        return cli_error(
            cli, bh_error_new(BH_ERROR_BUSY, NULL, NULL, _("“%s” has the device, not “%s”."),
                              bh_machine_get_name(owner), bh_machine_get_name(machine)));
    if (!move(cli, monitor, NULL, device, FALSE, &error))
        return cli_error(cli, error);
    cli_say(cli, _("“%s” is back on the host."), bh_usb_device_get_name(device));
    return CLI_OK;
}

/* ---- rules ---- */

static int list_rules(Cli *cli, BhUsbRules *rules)
{
    g_autoptr(GPtrArray) entries = bh_usb_rules_list(rules);
    JsonBuilder *builder = cli->json ? json_builder_new() : NULL;
    Table *table = cli->json ? NULL : table_new(4, _("MACHINE"), _("RULE"), _("DEVICE"), _("ID"));

    if (builder != NULL)
        json_builder_begin_array(builder);
    for (guint i = 0; i < entries->len; i++) {
        const BhUsbRuleEntry *entry = g_ptr_array_index(entries, i);
        BhMachine *machine = bh_host_find_machine(cli->host, entry->machine_id);
        const char *name = machine != NULL ? bh_machine_get_name(machine) : NULL;

        if (table != NULL) {
            table_row(table, name != NULL ? name : entry->machine_id,
                      bh_usb_rule_get_name(entry->rule), entry->device_name, entry->device_id);
            continue;
        }
        json_builder_begin_object(builder);
        json_string(builder, "machine", entry->machine_id);
        json_string(builder, "machine_name", name);
        json_string(builder, "device", entry->device_id);
        json_string(builder, "device_name", entry->device_name);
        json_string(builder, "rule", bh_usb_rule_get_name(entry->rule));
        json_builder_end_object(builder);
    }
    if (table != NULL) {
        table_print_free(table);
        return CLI_OK;
    }
    json_builder_end_array(builder);
    output_json(builder);
    return CLI_OK;
}

/* A rule may be about a device that is not plugged in now, but was when the rule was first set. */
static gboolean known_device(BhUsbRules *rules, const char *id, char **name)
{
    g_autoptr(GPtrArray) entries = bh_usb_rules_list(rules);

    for (guint i = 0; i < entries->len; i++) {
        const BhUsbRuleEntry *entry = g_ptr_array_index(entries, i);

        if (!g_str_equal(entry->device_id, id))
            continue;
        *name = g_strdup(entry->device_name);
        return TRUE;
    }
    return FALSE;
}

static int set_rule(Cli *cli, BhUsbRules *rules, char **args)
{
    BhMachine *machine = cli_find_machine(cli, args[0]);
    g_autofree char *id = NULL;
    g_autofree char *name = NULL;
    GError *error = NULL;
    BhUsbRule rule;
    int code = CLI_OK;

    if (machine == NULL)
        return CLI_NOT_FOUND;
    if (!bh_usb_rule_from_name(args[2], &rule))
        return cli_usage_error(_("A rule is “never”, “ask” or “always”, not “%s”."), args[2]);
    if (known_device(rules, args[1], &name)) {
        id = g_strdup(args[1]);
    } else {
        g_autoptr(BhUsbMonitor) monitor = bh_usb_monitor_new();
        BhUsbDevice *device = find_device(cli, monitor, args[1], &code);

        if (device == NULL)
            return code;
        id = g_strdup(bh_usb_device_get_id(device));
        name = g_strdup(bh_usb_device_get_name(device));
    }
    if (!bh_usb_rules_set(rules, bh_machine_get_id(machine), id, name, rule, &error))
        return cli_error(cli, error);
    cli_say(cli, _("“%s” and “%s”: %s."), name, bh_machine_get_name(machine),
            bh_usb_rule_get_name(rule));
    return CLI_OK;
}

static int run_rules(Cli *cli, char **args, guint n)
{
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(NULL);

    if (n == 0)
        return list_rules(cli, rules);
    if (n == 3)
        return set_rule(cli, rules, args);
    return cli_usage_error(_("Give nothing, or a machine, a device and a rule."));
}

const CliVerb cli_usb_verbs[] = {
    {"usb list", N_("[MACHINE]"), N_("List USB devices, and their way into a machine"),
     list_options, 0, 1, TRUE, run_list, NULL},
    {"usb attach", N_("MACHINE DEVICE"), N_("Give a USB device to a machine"), attach_options, 2, 2,
     TRUE, run_attach,
     N_("DEVICE is an id, a port, the beginning of an id, or a part of the name.")},
    {"usb detach", N_("MACHINE DEVICE"), N_("Take a USB device back"), NULL, 2, 2, TRUE, run_detach,
     NULL},
    {"usb rules", N_("[MACHINE DEVICE RULE]"), N_("Show or set what happens by itself"), NULL, 0, 3,
     TRUE, run_rules, N_("RULE is “never”, “ask” or “always”.")},
    {NULL},
};
