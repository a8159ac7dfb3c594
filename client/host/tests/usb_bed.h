/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A computer with USB devices for tests: umockdev shows a sysfs and udev of our own, a temporary
 * folder stands for /proc. The test program has to run under umockdev-wrapper.
 */
#pragma once

#include "../usb-private.h"
#include "await.h"

#include <glib/gstdio.h>
#include <umockdev.h>

typedef struct {
    UMockdevTestbed *umockdev;
    char *proc;
} Bed;

#define BED_PCI "/devices/pci0000:00/0000:00:14.0"

static inline void bed_write(Bed *bed, const char *name, const char *text)
{
    g_autofree char *path = g_build_filename(bed->proc, name, NULL);
    g_autofree char *folder = g_path_get_dirname(path);
    g_assert_cmpint(g_mkdir_with_parents(folder, 0700), ==, 0);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
}

static inline char *bed_add_usb(Bed *bed, const char *path, const char *vidpid, guint devnum,
                                const char *class, const char *product, const char *serial)
{
    g_autofree char *vendor = g_strndup(vidpid, 4), *id = g_strdup(vidpid + 5);
    g_autofree char *number = g_strdup_printf("%u", devnum);
    g_autofree char *node = g_strdup_printf("bus/usb/001/%03u", devnum);
    g_autofree char *text = g_strdup_printf(
        "P: %s\nN: %s\nE: DEVTYPE=usb_device\nE: SUBSYSTEM=usb\nE: BUSNUM=001\nE: DEVNUM=%03u\n"
        "A: busnum=1\\n\nA: devnum=%s\\n\nA: idVendor=%s\\n\nA: idProduct=%s\\n\n"
        "A: bDeviceClass=%s\\n\n",
        path, node, devnum, number, vendor, id, class);
    g_autofree char *syspath = g_strconcat("/sys", path, NULL);
    GError *error = NULL;
    umockdev_testbed_add_from_string(bed->umockdev, text, &error);
    g_assert_no_error(error);
    if (product)
        umockdev_testbed_set_attribute(bed->umockdev, syspath, "product", product);
    if (serial)
        umockdev_testbed_set_attribute(bed->umockdev, syspath, "serial", serial);
    return g_steal_pointer(&syspath);
}

/* A bus with its root hub, usb1, and nothing else. */
static inline void bed_setup(Bed *bed, gconstpointer data)
{
    bed->umockdev = umockdev_testbed_new();
    bed->proc = g_dir_make_tmp("bh-proc-XXXXXX", NULL);
    g_assert_nonnull(bed->proc);
    bed_write(bed, "self/mountinfo", "22 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n");
    bed_write(bed, "swaps", "Filename\tType\tSize\tUsed\tPriority\n");
    bed_write(bed, "net/route", "Iface\tDestination\tGateway\n");
    bed_write(bed, "net/ipv6_route", "");
    g_free(bed_add_usb(bed, BED_PCI "/usb1", "1d6b:0002", 1, "09", "xHCI Host Controller", NULL));
}

static inline void bed_delete_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        bed_delete_tree(child);
    }
    g_remove(path);
}

static inline void bed_teardown(Bed *bed, gconstpointer data)
{
    bed_delete_tree(bed->proc);
    g_free(bed->proc);
    g_object_unref(bed->umockdev);
}

static inline BhUsbMonitor *bed_monitor(Bed *bed)
{
    return bh_usb_monitor_new_full(bed->proc, 100);
}

/* Plugs a device into a port of the root hub ("1-3"): add, then bind. Returns its sysfs path. */
static inline char *bed_plug(Bed *bed, const char *port, guint devnum, const char *vidpid,
                             const char *product, const char *serial)
{
    g_autofree char *path = g_strconcat(BED_PCI "/usb1/", port, NULL);
    char *syspath = bed_add_usb(bed, path, vidpid, devnum, "00", product, serial);
    umockdev_testbed_uevent(bed->umockdev, syspath, "bind");
    return syspath;
}

static inline void bed_unplug(Bed *bed, const char *syspath)
{
    umockdev_testbed_uevent(bed->umockdev, syspath, "unbind");
    umockdev_testbed_uevent(bed->umockdev, syspath, "remove");
    umockdev_testbed_remove_device(bed->umockdev, syspath);
}

/* A partitioned disk below a device. number: "8:16"; its partition is one higher. */
static inline void bed_add_disk(Bed *bed, const char *syspath, const char *name, guint minor)
{
    const char *path = syspath + strlen("/sys");
    g_autofree char *text = g_strdup_printf(
        "P: %s/1:1.0/host6/target6:0:0/6:0:0:0/block/%s\nE: DEVTYPE=disk\nE: SUBSYSTEM=block\n"
        "A: dev=8:%u\\n\n\n"
        "P: %s/1:1.0/host6/target6:0:0/6:0:0:0/block/%s/%s1\nE: DEVTYPE=partition\n"
        "E: SUBSYSTEM=block\nA: dev=8:%u\\n\nA: partition=1\\n\n",
        path, name, minor, path, name, name, minor + 1);
    GError *error = NULL;
    umockdev_testbed_add_from_string(bed->umockdev, text, &error);
    g_assert_no_error(error);
}

static inline void bed_mount(Bed *bed, const char *number, const char *node, const char *point)
{
    g_autofree char *text = g_strdup_printf("22 1 254:1 / / rw shared:1 - ext4 /dev/vda1 rw\n"
                                            "90 22 %s / %s rw,nosuid shared:2 - vfat %s rw\n",
                                            number, point, node);
    bed_write(bed, "self/mountinfo", text);
}

/* keys, rel: the capability masks of a keyboard or a mouse. */
#define BED_KEYBOARD_KEYS "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
#define BED_MOUSE_KEYS "70000 0 0 0 0"
static inline void bed_add_input(Bed *bed, const char *parent, const char *name, gboolean keyboard)
{
    g_autofree char *text = g_strdup_printf(
        "P: %s/input/%s\nE: SUBSYSTEM=input\nA: capabilities/key=%s\\n\n"
        "A: capabilities/rel=%s\\n\nA: capabilities/abs=0\\n\n",
        parent, name, keyboard ? BED_KEYBOARD_KEYS : BED_MOUSE_KEYS, keyboard ? "0" : "1943");
    GError *error = NULL;
    umockdev_testbed_add_from_string(bed->umockdev, text, &error);
    g_assert_no_error(error);
}

static inline BhUsbDevice *bed_find(BhUsbMonitor *monitor, const char *id)
{
    return bh_usb_monitor_find(monitor, id);
}

static inline guint bed_count(BhUsbMonitor *monitor)
{
    return g_list_model_get_n_items(G_LIST_MODEL(monitor));
}
