/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of USB devices: cold and hot, identity, hostile names. Under umockdev-wrapper. */
#include "usb_bed.h"

#include <string.h>

static void test_cold(Bed *bed, gconstpointer data)
{
    g_autofree char *b = bed_plug(bed, "1-10", 4, "046d:c31c", "USB Keyboard", NULL);
    g_autofree char *a = bed_plug(bed, "1-9", 3, "0951:1666", "DataTraveler 3.0", "60A44C");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpuint(bed_count(monitor), ==, 2); /* no root hub */
    g_autoptr(BhUsbDevice) first = g_list_model_get_item(G_LIST_MODEL(monitor), 0);
    g_autoptr(BhUsbDevice) second = g_list_model_get_item(G_LIST_MODEL(monitor), 1);
    g_assert_cmpstr(bh_usb_device_get_id(first), ==, "0951:1666:60A44C");
    g_assert_cmpstr(bh_usb_device_get_id(second), ==, "046d:c31c@1-10");
    g_assert_cmpstr(bh_usb_device_get_port(first), ==, "1-9");
    g_assert_cmpstr(bh_usb_device_get_node(first), ==, "/dev/bus/usb/001/003");
    g_assert_cmpint(bh_usb_device_get_guard(first, NULL), ==, BH_USB_FREE);
    g_assert_null(bh_usb_device_get_usage(first));
    g_assert_nonnull(strstr(bh_usb_device_get_name(first), "DataTraveler 3.0"));
}

static void test_bind(Bed *bed, gconstpointer data)
{
    g_autoptr(BhUsbMonitor) monitor = bh_usb_monitor_new_full(bed->proc, 60000);
    g_autofree char *path =
        bed_add_usb(bed, BED_PCI "/usb1/1-3", "0951:1666", 3, "00", "Stick", "A1");
    umockdev_testbed_uevent(bed->umockdev, path, "add");
    await_ms(200);
    g_assert_cmpuint(bed_count(monitor), ==, 0); /* its node is not ready yet */
    umockdev_testbed_uevent(bed->umockdev, path, "bind");
    AWAIT(bed_count(monitor) == 1);
    umockdev_testbed_uevent(bed->umockdev, path, "unbind");
    AWAIT(bed_count(monitor) == 0);
    umockdev_testbed_uevent(bed->umockdev, path, "remove");
}

static void test_add_without_bind(Bed *bed, gconstpointer data)
{
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_autofree char *path =
        bed_add_usb(bed, BED_PCI "/usb1/1-3", "0951:1666", 3, "00", "Stick", "A1");
    umockdev_testbed_uevent(bed->umockdev, path, "add");
    AWAIT(bed_count(monitor) == 1);
    /* Unplugged while it waits: the timeout must not bring it back. */
    g_autofree char *other =
        bed_add_usb(bed, BED_PCI "/usb1/1-4", "0951:1666", 4, "00", "Stick", "A2");
    umockdev_testbed_uevent(bed->umockdev, other, "add");
    await_ms(20);
    bed_unplug(bed, other);
    await_ms(250);
    g_assert_cmpuint(bed_count(monitor), ==, 1);
}

static void test_replug(Bed *bed, gconstpointer data)
{
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    AWAIT(bed_count(monitor) == 1);
    g_autoptr(BhUsbDevice) old = g_object_ref(bed_find(monitor, "0951:1666:A1"));
    bed_unplug(bed, path);
    AWAIT(bed_count(monitor) == 0);
    g_assert_false(bh_usb_device_is_present(old));
    g_assert_false(bh_usb_device_refresh(old));
    g_autofree char *again = bed_plug(bed, "1-7", 9, "0951:1666", "Stick", "A1");
    AWAIT(bed_count(monitor) == 1);
    BhUsbDevice *device = bed_find(monitor, "0951:1666:A1");
    g_assert_nonnull(device);
    g_assert_true(device != old);
    g_assert_cmpuint(bh_usb_device_get_address(device).address, ==, 9);
    g_assert_cmpstr(bh_usb_device_get_port(device), ==, "1-7");
}

/* Its removal was missed: the same port, another address. */
static void test_missed_removal(Bed *bed, gconstpointer data)
{
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_autofree char *path = bed_plug(bed, "1-3", 3, "0951:1666", "Stick", "A1");
    AWAIT(bed_count(monitor) == 1);
    umockdev_testbed_set_attribute(bed->umockdev, path, "devnum", "12");
    umockdev_testbed_uevent(bed->umockdev, path, "bind");
    AWAIT(bh_usb_device_get_address(bed_find(monitor, "0951:1666:A1")).address == 12);
    g_assert_cmpuint(bed_count(monitor), ==, 1);
}

static void test_twins(Bed *bed, gconstpointer data)
{
    g_autofree char *b = bed_plug(bed, "1-5", 5, "0951:1666", "Stick", "SAME1");
    g_autofree char *a = bed_plug(bed, "1-2", 6, "0951:1666", "Stick", "SAME1");
    g_autofree char *c = bed_plug(bed, "1-8", 7, "0951:1666", "Stick", "000000");
    g_autofree char *d = bed_plug(bed, "1-9", 8, "0951:1666", "Stick", "000000");
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpuint(bed_count(monitor), ==, 4);
    g_assert_cmpstr(bh_usb_device_get_port(bed_find(monitor, "0951:1666:SAME1")), ==, "1-2");
    g_assert_cmpstr(bh_usb_device_get_port(bed_find(monitor, "0951:1666:SAME1@1-5")), ==, "1-5");
    g_assert_nonnull(bed_find(monitor, "0951:1666@1-8"));
    g_assert_nonnull(bed_find(monitor, "0951:1666@1-9"));
}

static void test_hostile(Bed *bed, gconstpointer data)
{
    static const char *const names[] = {
        "Evil\xe2\x80\xae"
        "gpj.exe\xe2\x80\xac",                               /* right-to-left override */
        "Line\nBreak\ttab\x1b[31m\x07",                      /* control characters */
        "\xff\xfe broken \xc3",                              /* not UTF-8 */
        "a\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81\xcc\x81", /* stacked accents */
        "\xe2\x80\x8b\xe2\x80\x8d\xef\xbb\xbf",              /* nothing visible */
        "<b>markup</b> & %s %n",
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxx"
        "xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx"
        "xxx",
    };
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autofree char *port = g_strdup_printf("1-%u", i + 1);
        g_free(bed_plug(bed, port, 10 + i, "dead:beef", names[i], names[i]));
    }
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_assert_cmpuint(bed_count(monitor), ==, G_N_ELEMENTS(names));
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(BhUsbDevice) device = g_list_model_get_item(G_LIST_MODEL(monitor), i);
        const char *name = bh_usb_device_get_name(device);
        g_assert_true(g_utf8_validate(name, -1, NULL));
        g_assert_cmpint(g_utf8_strlen(name, -1), <, 140);
        g_assert_true(bh_usb_id_is_valid(bh_usb_device_get_id(device)));
        for (const char *p = name; *p; p = g_utf8_next_char(p)) {
            GUnicodeType type = g_unichar_type(g_utf8_get_char(p));
            g_assert_cmpint(type, !=, G_UNICODE_CONTROL);
            g_assert_cmpint(type, !=, G_UNICODE_FORMAT);
        }
    }
}

static void test_vanished(Bed *bed, gconstpointer data)
{
    g_autoptr(BhUsbMonitor) monitor = bed_monitor(bed);
    g_autofree char *path =
        bed_add_usb(bed, BED_PCI "/usb1/1-3", "0951:1666", 3, "00", "Stick", "A1");
    /* Gone before its event is read: no such device, no crash. */
    umockdev_testbed_uevent(bed->umockdev, path, "bind");
    umockdev_testbed_remove_device(bed->umockdev, path);
    await_ms(200);
    g_assert_cmpuint(bed_count(monitor), ==, 0);
}

static void test_sanitise(void)
{
    static const struct {
        const char *raw, *clean;
    } texts[] = {
        {"  Kingston  ", "Kingston"},       {"a\xc2\xa0\nb", "a b"}, {"", NULL}, {" \t ", NULL},
        {"\xe2\x81\xa6x\xe2\x81\xa9", "x"}, {"Müller", "Müller"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *clean = bh_usb_sanitise(texts[i].raw);
        g_assert_cmpstr(clean, ==, texts[i].clean);
    }
    g_assert_null(bh_usb_sanitise(NULL));
}

static void test_serial(void)
{
    static const struct {
        const char *raw, *clean;
    } serials[] = {
        {"60A44C413DF0", "60A44C413DF0"},
        {" AB  12 ", "AB_12"},
        {"0000000", NULL},
        {"", NULL},
        {"A,B", NULL},
        {"A\x01", NULL},
        {"M\xc3\xbc", NULL},
        {"a/b=c;[d]", "a_b_c__d_"},
    };
    for (guint i = 0; i < G_N_ELEMENTS(serials); i++) {
        g_autofree char *clean = bh_usb_sanitise_serial(serials[i].raw);
        g_assert_cmpstr(clean, ==, serials[i].clean);
    }
}

static void test_names(void)
{
    static const char text[] = "# comment\n0951  Kingston Technology\n\t1666  DataTraveler\n"
                               "\t\t00  x\n0952  Other\n\t1667  Wrong\n";
    g_autofree char *file = g_build_filename(g_get_tmp_dir(), "bh-usb.ids", NULL);
    g_autofree char *a = bh_usb_compose_name("Kingston", "kingston Stick", 1, 2);
    g_autofree char *b = bh_usb_compose_name("Kingston", "Stick", 1, 2);
    g_autofree char *c = bh_usb_compose_name(NULL, NULL, 0x951, 0x1666);
    g_autofree char *vendor = NULL, *product = NULL, *none = NULL, *other = NULL;
    g_autofree char *unescaped = bh_usb_unescape("Data\\x20Traveler\\x");
    g_assert_cmpstr(a, ==, "kingston Stick");
    g_assert_cmpstr(b, ==, "Kingston Stick");
    g_assert_cmpstr(c, ==, "USB 0951:1666");
    g_assert_cmpstr(unescaped, ==, "Data Traveler\\x");
    g_assert_true(g_file_set_contents(file, text, -1, NULL));
    bh_usb_ids_lookup(file, 0x0951, 0x1666, &vendor, &product);
    g_assert_cmpstr(vendor, ==, "Kingston Technology");
    g_assert_cmpstr(product, ==, "DataTraveler");
    bh_usb_ids_lookup(file, 0x0951, 0x1667, &other, &none);
    g_assert_null(none);
    g_remove(file);
}

#define ADD(name, function) g_test_add(name, Bed, NULL, bed_setup, function, bed_teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/usb/monitor/cold", test_cold);
    ADD("/usb/monitor/bind", test_bind);
    ADD("/usb/monitor/add-without-bind", test_add_without_bind);
    ADD("/usb/monitor/replug", test_replug);
    ADD("/usb/monitor/missed-removal", test_missed_removal);
    ADD("/usb/monitor/twins", test_twins);
    ADD("/usb/monitor/hostile", test_hostile);
    ADD("/usb/monitor/vanished", test_vanished);
    g_test_add_func("/usb/names/sanitise", test_sanitise);
    g_test_add_func("/usb/names/serial", test_serial);
    g_test_add_func("/usb/names/compose", test_names);
    return g_test_run();
}
