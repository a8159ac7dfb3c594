/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The arbiter as the app runs it, without a window: devices come and go by the user's rules and
 * wishes. For the bench, whose machine has no display of its own. Tells on standard output who has
 * which device, one line a change, and what failed. Usage: usb_keeper URI; ends with SIGTERM.
 */
#include <bulkhead/usb.h>
#include <stdio.h>

static GHashTable *told; /* device id -> machine name */

static void tell_owner(BhUsbArbiter *arbiter, BhUsbDevice *device)
{
    BhMachine *owner = bh_usb_arbiter_get_owner(arbiter, device);
    const char *id = bh_usb_device_get_id(device);
    const char *name = owner ? bh_machine_get_name(owner) : "-";

    if (g_strcmp0(g_hash_table_lookup(told, id), name) == 0)
        return;
    g_hash_table_insert(told, g_strdup(id), g_strdup(name));
    printf("%s in %s\n", id, name);
}

static void on_changed(BhUsbArbiter *arbiter, gpointer data)
{
    GListModel *devices = G_LIST_MODEL(bh_usb_arbiter_get_monitor(arbiter));

    for (guint i = 0; i < g_list_model_get_n_items(devices); i++) {
        g_autoptr(BhUsbDevice) device = g_list_model_get_item(devices, i);
        tell_owner(arbiter, device);
    }
    fflush(stdout);
}

static void on_failed(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device, GError *error,
                      gpointer data)
{
    printf("%s failed: %s\n", bh_usb_device_get_id(device), error->message);
    fflush(stdout);
}

static void on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;

    if (!bh_host_open_finish(BH_HOST(source), result, &error))
        g_error("%s", error->message);
    *(gboolean *)data = TRUE;
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(BhHost) host = argc == 2 ? bh_host_new(argv[1], &error) : NULL;
    gboolean opened = FALSE;

    if (!host) {
        fprintf(stderr, "usb_keeper URI%s%s\n", error ? ": " : "", error ? error->message : "");
        return 2;
    }
    told = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    bh_host_open_async(host, NULL, on_opened, &opened);
    while (!opened)
        g_main_context_iteration(NULL, TRUE);
    g_autoptr(BhUsbMonitor) monitor = bh_usb_monitor_new();
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(NULL);
    g_autoptr(BhUsbArbiter) arbiter = bh_usb_arbiter_new(host, monitor, rules);
    g_signal_connect(arbiter, "changed", G_CALLBACK(on_changed), NULL);
    g_signal_connect(arbiter, "failed", G_CALLBACK(on_failed), NULL);
    puts("ready");
    on_changed(arbiter, NULL);
    for (;;)
        g_main_context_iteration(NULL, TRUE);
}
