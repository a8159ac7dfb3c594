/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Unmounting through UDisks2, played by the test on a bus of its own. Under umockdev-wrapper. */
#include "usb_bed.h"

#include <string.h>
#include <unistd.h>

#define STICK "0951:1666:A1"
#define UDISKS "org.freedesktop.UDisks2"

typedef struct {
    Bed bed;
    GTestDBus *bus;
    GDBusConnection *connection;
    guint name, manager, block;
    BhUsbMonitor *monitor;
    char *path;
    const char *error; /* what Unmount answers; "mute": nothing */
    GString *calls;
} Desk;

static const char xml[] =
    "<node><interface name='org.freedesktop.UDisks2.Manager'><method name='ResolveDevice'>"
    "<arg type='a{sv}' direction='in'/><arg type='a{sv}' direction='in'/>"
    "<arg type='ao' direction='out'/></method></interface>"
    "<interface name='org.freedesktop.UDisks2.Filesystem'><method name='Unmount'>"
    "<arg type='a{sv}' direction='in'/></method></interface></node>";

static void on_call(GDBusConnection *connection, const char *sender, const char *path,
                    const char *interface, const char *method, GVariant *parameters,
                    GDBusMethodInvocation *invocation, gpointer data)
{
    Desk *desk = data;
    if (strcmp(method, "ResolveDevice") == 0) {
        g_autoptr(GVariant) spec = g_variant_get_child_value(parameters, 0);
        const char *node = NULL;
        g_assert_true(g_variant_lookup(spec, "path", "&s", &node));
        g_string_append_printf(desk->calls, "resolve %s;", node);
        const char *const paths[] = {"/org/freedesktop/UDisks2/block_devices/sdb1", NULL};
        g_dbus_method_invocation_return_value(invocation, g_variant_new("(^ao)", paths));
        return;
    }
    g_string_append(desk->calls, "unmount;");
    if (g_strcmp0(desk->error, "mute") == 0) {
        g_object_unref(invocation);
    } else if (desk->error) {
        g_dbus_method_invocation_return_dbus_error(invocation, desk->error, "target is busy");
    } else {
        bed_write(&desk->bed, "self/mountinfo", "22 1 254:1 / / rw - ext4 /dev/vda1 rw\n");
        g_dbus_method_invocation_return_value(invocation, NULL);
    }
}

static void setup(Desk *desk, gconstpointer data)
{
    static const GDBusInterfaceVTable vtable = {.method_call = on_call};
    GError *error = NULL;
    g_autoptr(GDBusNodeInfo) info = g_dbus_node_info_new_for_xml(xml, &error);
    g_assert_no_error(error);
    bed_setup(&desk->bed, NULL);
    desk->path = bed_plug(&desk->bed, "1-3", 3, "0951:1666", "Stick", "A1");
    bed_add_disk(&desk->bed, desk->path, "sdb", 16);
    bed_mount(&desk->bed, "8:17", "/dev/sdb1", "/media/bulkhead\\040test\\040stick");
    desk->monitor = bed_monitor(&desk->bed);
    desk->calls = g_string_new(NULL);
    desk->connection = g_bus_get_sync(G_BUS_TYPE_SYSTEM, NULL, &error);
    g_assert_no_error(error);
    if (data)
        return;
    desk->manager =
        g_dbus_connection_register_object(desk->connection, "/org/freedesktop/UDisks2/Manager",
                                          info->interfaces[0], &vtable, desk, NULL, NULL);
    desk->block = g_dbus_connection_register_object(desk->connection,
                                                    "/org/freedesktop/UDisks2/block_devices/sdb1",
                                                    info->interfaces[1], &vtable, desk, NULL, NULL);
    g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
        desk->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus",
        "RequestName", g_variant_new("(su)", UDISKS, 4), NULL, G_DBUS_CALL_FLAGS_NONE, -1, NULL,
        &error);
    g_assert_no_error(error);
}

static void teardown(Desk *desk, gconstpointer data)
{
    if (desk->manager) {
        g_dbus_connection_unregister_object(desk->connection, desk->manager);
        g_dbus_connection_unregister_object(desk->connection, desk->block);
        g_autoptr(GVariant) reply = g_dbus_connection_call_sync(
            desk->connection, "org.freedesktop.DBus", "/org/freedesktop/DBus",
            "org.freedesktop.DBus", "ReleaseName", g_variant_new("(s)", UDISKS), NULL,
            G_DBUS_CALL_FLAGS_NONE, -1, NULL, NULL);
    }
    g_object_unref(desk->connection);
    g_string_free(desk->calls, TRUE);
    g_free(desk->path);
    g_assert_finalize_object(desk->monitor);
    bed_teardown(&desk->bed, NULL);
}

static GError *unmount(Desk *desk, BhJob *job)
{
    GAsyncResult *result = NULL;
    GError *error = NULL;
    BhUsbDevice *device = bed_find(desk->monitor, STICK);
    bh_usb_device_unmount_async(device, job, await_callback, &result);
    gboolean ok = bh_usb_device_unmount_finish(device, await_result(&result), &error);
    g_assert_true(ok == (error == NULL));
    g_object_unref(result);
    return error;
}

static void test_good(Desk *desk, gconstpointer data)
{
    g_assert_no_error(unmount(desk, NULL));
    g_assert_cmpstr(desk->calls->str, ==, "resolve /dev/sdb1;unmount;");
    g_assert_cmpint(bh_usb_device_get_guard(bed_find(desk->monitor, STICK), NULL), ==, BH_USB_FREE);
    g_assert_no_error(unmount(desk, NULL)); /* nothing left to do */
}

static void test_busy(Desk *desk, gconstpointer data)
{
    g_autofree char *cwd = g_build_filename(desk->bed.proc, "123", "cwd", NULL);
    bed_write(&desk->bed, "123/comm", "gedit\n");
    bed_write(&desk->bed, "124/comm", "other\n");
    g_assert_cmpint(symlink("/media/bulkhead test stick/folder", cwd), ==, 0);
    desk->error = UDISKS ".Error.DeviceBusy";
    g_autoptr(GError) error = unmount(desk, NULL);
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_assert_nonnull(strstr(error->message, "gedit"));
    g_assert_null(strstr(error->message, "other"));
    g_assert_nonnull(bh_error_get_hint(error));
}

static void test_refused(Desk *desk, gconstpointer data)
{
    desk->error = UDISKS ".Error.NotAuthorizedDismissed";
    g_autoptr(GError) error = unmount(desk, NULL);
    g_assert_error(error, BH_ERROR, BH_ERROR_PERMISSION);
    g_assert_cmpstr(bh_error_get_detail(error), ==, "target is busy");
}

static gboolean cancel(gpointer job)
{
    bh_job_cancel(job);
    return G_SOURCE_REMOVE;
}

static void test_cancel(Desk *desk, gconstpointer data)
{
    g_autoptr(BhJob) job = bh_job_new("test", NULL);
    desk->error = "mute";
    g_timeout_add(100, cancel, job);
    g_autoptr(GError) error = unmount(desk, job);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpstr(desk->calls->str, ==, "resolve /dev/sdb1;unmount;");
}

/* UDisks2 says yes and nothing changes: no endless loop. */
static void test_liar(Desk *desk, gconstpointer data)
{
    desk->error = UDISKS ".Error.NotMounted";
    g_autoptr(GError) error = unmount(desk, NULL);
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
}

/* No UDisks2: umount(8) is tried, which knows no such mount here. */
static void test_without_udisks(Desk *desk, gconstpointer data)
{
    g_autoptr(GError) error = unmount(desk, NULL);
    g_assert_error(error, BH_ERROR, BH_ERROR_PERMISSION);
    g_assert_nonnull(strstr(error->message, "/media/bulkhead test stick"));
}

static void test_unplugged(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhUsbDevice) device = g_object_ref(bed_find(desk->monitor, STICK));
    bh_usb_device_unmount_async(device, NULL, await_callback, &result);
    bed_unplug(&desk->bed, desk->path);
    AWAIT(bed_count(desk->monitor) == 0);
    g_assert_false(bh_usb_device_unmount_finish(device, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_object_unref(result);
}

#define ADD(name, data, function) g_test_add(name, Desk, data, setup, function, teardown)

int main(int argc, char **argv)
{
    g_autoptr(GTestDBus) bus = NULL;
    g_test_init(&argc, &argv, NULL);
    bus = g_test_dbus_new(G_TEST_DBUS_NONE);
    g_test_dbus_up(bus);
    g_setenv("DBUS_SYSTEM_BUS_ADDRESS", g_test_dbus_get_bus_address(bus), TRUE);
    ADD("/usb/unmount/good", NULL, test_good);
    ADD("/usb/unmount/busy", NULL, test_busy);
    ADD("/usb/unmount/refused", NULL, test_refused);
    ADD("/usb/unmount/cancel", NULL, test_cancel);
    ADD("/usb/unmount/liar", NULL, test_liar);
    ADD("/usb/unmount/without-udisks", "none", test_without_udisks);
    ADD("/usb/unmount/unplugged", "none", test_unplugged);
    int status = g_test_run();
    g_test_dbus_stop(bus);
    return status;
}
