/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What protects a device from leaving the host. Under umockdev-wrapper. */
#include "usb_bed.h"

#include <string.h>

#define STICK "0951:1666:A1"

static BhUsbGuard guard_of(BhUsbMonitor *monitor, const char *id, const char **reason)
{
    bh_usb_monitor_refresh(monitor);
    return bh_usb_device_get_guard(bed_find(monitor, id), reason);
}

static void test_mounted(Bed *bed, gconstpointer data)
{
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    const char *reason;
    bed_add_disk(bed, path, "sdb", 16);
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    BhUsbDevice *device = bed_find(monitor, STICK);
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_FREE);
    g_assert_false(bh_usb_device_can_unmount(device));

    bed_mount(bed, "8:17", "/dev/sdb1", "/media/my\\040stick");
    g_assert_cmpint(guard_of(monitor, STICK, &reason), ==, BH_USB_CONFIRM);
    g_assert_nonnull(strstr(reason, "/media/my stick"));
    g_assert_true(bh_usb_device_can_unmount(device));
    g_assert_nonnull(strstr(bh_usb_device_get_usage(device), "/media/my stick"));

    /* btrfs: a device number of its own */
    bed_mount(bed, "0:44", "/dev/sdb1", "/media/b");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_CONFIRM);
    /* another disk's mount is none of ours */
    bed_mount(bed, "8:33", "/dev/sdc1", "/media/c");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_FREE);
}

static void test_system_disk(Bed *bed, gconstpointer data)
{
    static const char *const points[] = {"/", "/boot/efi", "/usr", "/run/live/medium", "/home"};
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    bed_add_disk(bed, path, "sdb", 16);
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    for (guint i = 0; i < G_N_ELEMENTS(points); i++) {
        const char *reason;
        bed_mount(bed, "8:17", "/dev/sdb1", points[i]);
        g_assert_cmpint(guard_of(monitor, STICK, &reason), ==, BH_USB_REFUSE);
        g_assert_nonnull(strstr(reason, points[i]));
        g_assert_false(bh_usb_device_can_unmount(bed_find(monitor, STICK)));
    }
}

static void test_swap(Bed *bed, gconstpointer data)
{
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    bed_add_disk(bed, path, "sdb", 16);
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    bed_write(bed, "swaps", "Filename\t\tType\n/dev/sdb1   partition 1 0 -2\n");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_REFUSE);
    bed_write(bed, "swaps", "Filename\t\tType\n/media/s/swap file 1 0 -2\n");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_FREE);
    bed_mount(bed, "8:17", "/dev/sdb1", "/media/s");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_REFUSE);
}

/* A LUKS volume on the partition (dm-0), mounted or only unlocked; then a volume group instead. */
static void add_holder(Bed *bed, const char *disk, const char *uuid)
{
    g_autofree char *text = g_strdup_printf("P: /devices/virtual/block/dm-0\nE: SUBSYSTEM=block\n"
                                            "E: DEVTYPE=disk\nA: dev=253:0\\n\n"
                                            "A: dm/name=secret\\n\nA: dm/uuid=%s\\n\n",
                                            uuid);
    g_autofree char *holders =
        g_strdup_printf("%s/1:1.0/host6/target6:0:0/6:0:0:0/block/sdb/sdb1/holders", disk);
    g_autofree char *root = umockdev_testbed_get_root_dir(bed->umockdev);
    g_autofree char *folder = g_build_filename(root, holders, NULL);
    g_autofree char *link_path = g_build_filename(folder, "dm-0", NULL);
    GError *error = NULL;
    umockdev_testbed_add_from_string(bed->umockdev, text, &error);
    g_assert_no_error(error);
    g_mkdir_with_parents(folder, 0700);
    g_assert_cmpint(symlink("../../../../../../../../../../../virtual/block/dm-0", link_path), ==,
                    0);
}

static void test_luks(Bed *bed, gconstpointer data)
{
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    bed_add_disk(bed, path, "sdb", 16);
    add_holder(bed, path, "CRYPT-LUKS2-abc-secret");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    BhUsbDevice *device = bed_find(monitor, STICK);
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_CONFIRM); /* unlocked */
    g_assert_true(bh_usb_device_can_unmount(device));
    bed_mount(bed, "253:0", "/dev/mapper/secret", "/media/secret");
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_CONFIRM);
    g_assert_nonnull(strstr(bh_usb_device_get_usage(device), "/media/secret"));
    GPtrArray *volumes = bh_usb_device_get_use(device)->volumes;
    g_assert_cmpuint(volumes->len, ==, 2); /* the inner one is unmounted first, then locked */
    g_assert_cmpstr(((BhUsbVolume *)volumes->pdata[0])->node, ==, "/dev/dm-0");
    g_assert_cmpstr(((BhUsbVolume *)volumes->pdata[1])->node, ==, "/dev/sdb1");
    g_assert_true(((BhUsbVolume *)volumes->pdata[1])->crypt);
}

static void test_lvm(Bed *bed, gconstpointer data)
{
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    bed_add_disk(bed, path, "sdb", 16);
    add_holder(bed, path, "LVM-xyz");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_REFUSE);
}

static void test_keyboard(Bed *bed, gconstpointer data)
{
    const char *keyboard = "046d:c31c@1-2", *mouse = "046d:c077@1-3", *reason;
    g_autofree char *k = bed_plug(bed, "1-2", 2, "046d:c31c", "Keyboard", NULL);
    g_autofree char *m = bed_plug(bed, "1-3", 3, "046d:c077", "Mouse", NULL);
    g_autofree char *kp = g_strconcat(k + 4, "/1:1.0/0003:046D:C31C.0001", NULL);
    g_autofree char *mp = g_strconcat(m + 4, "/1:1.0/0003:046D:C077.0002", NULL);
    bed_add_input(bed, kp, "input5", TRUE);
    bed_add_input(bed, mp, "input6", FALSE);
    bed_add_input(bed, "/devices/virtual", "input7", TRUE); /* a program's: does not count */
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpint(guard_of(monitor, keyboard, &reason), ==, BH_USB_REFUSE);
    g_assert_nonnull(strstr(reason, "keyboard"));
    g_assert_cmpint(guard_of(monitor, mouse, NULL), ==, BH_USB_CONFIRM);
    g_assert_false(bh_usb_device_can_unmount(bed_find(monitor, mouse)));
    /* A laptop's own keyboard and touchpad set the others free. */
    bed_add_input(bed, "/devices/platform/i8042/serio0", "input1", TRUE);
    bed_add_input(bed, "/devices/platform/i8042/serio1", "input2", FALSE);
    g_assert_cmpint(guard_of(monitor, keyboard, NULL), ==, BH_USB_FREE);
    g_assert_cmpint(guard_of(monitor, mouse, NULL), ==, BH_USB_FREE);
}

static void test_network(Bed *bed, gconstpointer data)
{
    const char *id = "0bda:8153@1-4", *reason;
    g_autofree char *path = bed_plug(bed, "1-4", 4, "0bda:8153", "Ethernet", NULL);
    g_autofree char *text =
        g_strdup_printf("P: %s/1:1.0/net/enx0\nE: SUBSYSTEM=net\nE: INTERFACE=enx0\n", path + 4);
    umockdev_testbed_add_from_string(bed->umockdev, text, NULL);
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpint(guard_of(monitor, id, NULL), ==, BH_USB_FREE);
    bed_write(bed, "net/route",
              "Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\n"
              "enx0\t00000000\t0102A8C0\t0003\t0\t0\t100\t00000000\t0\t0\t0\n");
    g_assert_cmpint(guard_of(monitor, id, &reason), ==, BH_USB_CONFIRM);
    g_assert_nonnull(strstr(reason, "enx0"));
    bed_write(bed, "net/route", "enx0\t0002A8C0\t00000000\t0001\t0\t0\t100\t00FFFFFF\t0\t0\t0\n");
    g_assert_cmpint(guard_of(monitor, id, NULL), ==, BH_USB_FREE);
    bed_write(bed, "net/ipv6_route",
              "00000000000000000000000000000000 00 00000000000000000000000000000000 00 "
              "fe800000000000000000000000000001 00000400 00000001 00000000 00000003     enx0\n");
    g_assert_cmpint(guard_of(monitor, id, NULL), ==, BH_USB_CONFIRM);
}

static void test_sound(Bed *bed, gconstpointer data)
{
    const char *id = "0d8c:0014@1-4";
    g_autofree char *path = bed_plug(bed, "1-4", 4, "0d8c:0014", "Headset", NULL);
    g_autofree char *text =
        g_strdup_printf("P: %s/1:1.0/sound/card1\nE: SUBSYSTEM=sound\n", path + 4);
    umockdev_testbed_add_from_string(bed->umockdev, text, NULL);
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    bed_write(bed, "asound/card1/pcm0p/sub0/status", "closed\n");
    g_assert_cmpint(guard_of(monitor, id, NULL), ==, BH_USB_FREE);
    bed_write(bed, "asound/card1/pcm0p/sub0/status", "state: RUNNING\nowner_pid   : 1\n");
    g_assert_cmpint(guard_of(monitor, id, NULL), ==, BH_USB_CONFIRM);
}

static void test_hub(Bed *bed, gconstpointer data)
{
    const char *reason;
    g_free(bed_add_usb(bed, BED_PCI "/usb1/1-2", "05e3:0610", 2, "09", "Hub", NULL));
    g_autofree char *inner =
        bed_add_usb(bed, BED_PCI "/usb1/1-2/1-2.1", "0951:1666", 3, "00", "Stick", "A1");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpuint(bed_count(monitor), ==, 2);
    g_assert_cmpint(guard_of(monitor, "05e3:0610@1-2", &reason), ==, BH_USB_REFUSE);
    g_assert_nonnull(reason);
    g_assert_cmpint(guard_of(monitor, STICK, NULL), ==, BH_USB_FREE);
}

static void count_up(BhUsbDevice *device, guint *count)
{
    ++*count;
}

/* A block event below the device is enough for a new look; nothing has to ask. */
static void test_live(Bed *bed, gconstpointer data)
{
    guint count = 0;
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    BhUsbDevice *device = bed_find(monitor, STICK);
    g_signal_connect(device, "changed", G_CALLBACK(count_up), &count);
    bed_mount(bed, "8:17", "/dev/sdb1", "/media/stick");
    bed_add_disk(bed, path, "sdb", 16);
    AWAIT(bh_usb_device_get_guard(device, NULL) == BH_USB_CONFIRM);
    g_assert_cmpuint(count, ==, 1);
}

static void test_parsers(void)
{
    g_autoptr(GPtrArray) mounts = bh_usb_parse_mounts(
        "1 2 8:17 / /a\\040b rw - ext4 /dev/sdb1 rw\nrubbish\n1 2 x:y / /c rw - ext4 /dev/x rw\n"
        "1 2 8:1 / /d rw shared:1 master:2 - ext4 /dev/sda1 rw\n - \n1 2 8:1 / /e rw -\n\\");
    g_autoptr(GPtrArray) swaps = bh_usb_parse_swaps("Filename Type\n/dev/x\\040y part\n/dev/z\n\n");
    g_assert_cmpuint(mounts->len, ==, 2);
    g_assert_cmpstr(((BhUsbMount *)mounts->pdata[0])->point, ==, "/a b");
    g_assert_cmpstr(((BhUsbMount *)mounts->pdata[1])->source, ==, "/dev/sda1");
    g_assert_cmpuint(swaps->len, ==, 1);
    g_assert_cmpstr(swaps->pdata[0], ==, "/dev/x y");
    g_assert_true(bh_usb_path_is_below("/a/b", "/a"));
    g_assert_true(bh_usb_path_is_below("/a", "/a"));
    g_assert_false(bh_usb_path_is_below("/ab", "/a"));
}

#define ADD(name, function) g_test_add(name, Bed, NULL, bed_setup, function, bed_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/usb/guard/mounted", test_mounted);
    ADD("/usb/guard/system-disk", test_system_disk);
    ADD("/usb/guard/swap", test_swap);
    ADD("/usb/guard/luks", test_luks);
    ADD("/usb/guard/lvm", test_lvm);
    ADD("/usb/guard/keyboard", test_keyboard);
    ADD("/usb/guard/network", test_network);
    ADD("/usb/guard/sound", test_sound);
    ADD("/usb/guard/hub", test_hub);
    ADD("/usb/guard/live", test_live);
    g_test_add_func("/usb/guard/parsers", test_parsers);
    return g_test_run();
}
