/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operating system table against the installed osinfo-db, and the proposals made from it. */
#include "../os-private.h"

#include <glib/gstdio.h>
#include <string.h>

#define GIB (G_GUINT64_CONSTANT(1) << 30)

static void on_loaded(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(bh_os_db_load_finish(result, &error));
    g_assert_no_error(error);
    g_main_loop_quit(data);
}

static void test_load(void)
{
    g_autoptr(GMainLoop) loop = g_main_loop_new(NULL, FALSE);
    gint64 start = g_get_monotonic_time();

    bh_os_db_load_async(NULL, on_loaded, loop);
    g_main_loop_run(loop);
    g_test_message("loaded in %d ms", (int)((g_get_monotonic_time() - start) / 1000));
    bh_os_db_load_async(NULL, on_loaded, loop);
    g_main_loop_run(loop);
}

static void test_lookup(void)
{
    g_autoptr(BhOs) by_id = bh_os_lookup("http://debian.org/debian/11");
    g_autoptr(BhOs) by_short = bh_os_lookup("debian11");
    g_autoptr(BhOs) old = bh_os_lookup("winxp");

    g_assert_cmpstr(by_id->name, ==, "Debian 11");
    g_assert_cmpstr(by_id->id, ==, by_short->id);
    g_assert_true(by_id->virtio_disk && by_id->virtio_net && by_id->usb3);
    g_assert_true(by_id->qxl || by_id->virtio_video);
    g_assert_false(by_id->bios);
    g_assert_cmpuint(by_id->memory_mib, >=, 512);
    g_assert_true(old->bios);
    g_assert_false(old->virtio_disk);
}

static void test_generic(void)
{
    const char *const ids[] = {
        NULL, "",         "http://nobody.example/nothing/1", "xyzzy", "debian", "/", "http://",
        "17", "win99999", "http://debian.org/debian/"};

    for (gsize i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(BhOs) os = bh_os_lookup(ids[i]);
        g_assert_null(os->id);
        g_assert_true(os->virtio_disk && os->qxl);
        g_assert_cmpuint(os->cpus, >=, 1);
    }
}

/* Versions from long after the database was made. */
static void test_newer(void)
{
    g_autoptr(BhOs) debian = bh_os_lookup("http://debian.org/debian/97");
    g_autoptr(BhOs) ubuntu = bh_os_lookup("ubuntu98.04");

    g_assert_cmpstr(debian->id, ==, "http://debian.org/debian/97");
    g_assert_cmpstr(debian->name, ==, "Debian 97");
    g_assert_true(debian->virtio_disk);
    g_assert_cmpstr(ubuntu->id, ==, "http://ubuntu.com/ubuntu/98.04");
    g_assert_nonnull(strstr(ubuntu->name, "98.04"));
}

static void check_guess(const char *text, const char *id)
{
    g_autoptr(BhOs) os = bh_os_guess(text);

    g_assert_cmpstr(os ? os->id : NULL, ==, id);
}

static void test_guess(void)
{
    check_guess("Debian 12.5.0 amd64 n", "http://debian.org/debian/12");
    check_guess("debian-12-genericcloud-amd64", "http://debian.org/debian/12");
    check_guess("ubuntu-22.04.3-desktop-amd64", "http://ubuntu.com/ubuntu/22.04");
    check_guess("Ubuntu 24.04.1 LTS amd64", "http://ubuntu.com/ubuntu/24.04");
    check_guess("Fedora-WS-Live-40-1-14", "http://fedoraproject.org/fedora/40");
    check_guess("Fedora-Workstation-Live-x86_64-41", "http://fedoraproject.org/fedora/41");
    check_guess("Win11_23H2_English_x64v2", "http://microsoft.com/win/11");
    check_guess("Windows 10", "http://microsoft.com/win/10");
    check_guess("alpine-standard-3.16.2-x86_64", "http://alpinelinux.org/alpinelinux/3.16");
    check_guess("archlinux-2024.01.01-x86_64", "http://archlinux.org/archlinux/rolling");
    check_guess("My Disk", NULL);
    check_guess("", NULL);
    check_guess("window-7", NULL);
    check_guess("Winter 2022 photos", NULL);
    check_guess("\xff\xfe debian \xc3", NULL);
    check_guess("debian-99999999999999999999999999999999", NULL);
    check_guess("debian-0", NULL);
}

static void test_list(void)
{
    g_autoptr(GPtrArray) list = bh_os_list();
    g_autoptr(GHashTable) names = g_hash_table_new(g_str_hash, g_str_equal);

    g_assert_cmpuint(list->len, >, 300);
    for (guint i = 0; i < list->len; i++) {
        BhOs *os = list->pdata[i];
        g_assert_nonnull(os->id);
        g_assert_true(g_hash_table_add(names, os->name));
        g_assert_cmpuint(os->cpus, >=, 1);
        g_assert_cmpuint(os->memory_mib, >, 0);
    }
    g_assert_cmpuint(GPOINTER_TO_UINT(list->len), ==, g_hash_table_size(names));
}

static void test_newest_first(void)
{
    GPtrArray *table = bh_os_table();

    for (guint i = 1; i < table->len; i++) {
        const BhOsEntry *above = table->pdata[i - 1], *entry = table->pdata[i];
        g_assert_cmpint(above->released, >=, entry->released);
    }
}

static void test_windows_11(void)
{
    g_autoptr(BhOs) os = bh_os_lookup("win11");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();

    g_assert_true(os->needs_efi && os->needs_secure_boot && os->needs_tpm);
    bh_os_propose(os, 8, 32 * GIB, spec);
    g_assert_cmpint(spec->firmware, ==, BH_FIRMWARE_EFI);
    g_assert_true(spec->secure_boot && spec->tpm);
    g_assert_cmpuint(spec->disk_bytes, >=, 64 * GIB);
    g_assert_cmpuint(spec->memory_mib, >=, 4096);
    g_assert_cmpint(spec->disk_bus, ==, BH_BUS_SATA);
    g_assert_cmpint(spec->nic, ==, BH_NIC_E1000E);
}

/* The database says nothing of Ubuntu's graphics. */
static void test_linux(void)
{
    g_autoptr(BhOs) os = bh_os_lookup("ubuntu22.04");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();

    g_assert_true(os->virtio_video && os->virtio_disk && os->usb3);
    bh_os_propose(os, 4, 16 * GIB, spec);
    g_assert_cmpint(spec->video, !=, BH_VIDEO_VGA);
    g_assert_cmpint(spec->firmware, ==, BH_FIRMWARE_EFI);
    g_assert_false(spec->secure_boot || spec->tpm);
    g_autoptr(BhOs) newer = bh_os_lookup("ubuntu98.04");
    g_assert_true(newer->virtio_video);
}

static void test_propose(void)
{
    g_autoptr(BhOs) generic = bh_os_lookup(NULL);
    g_autoptr(BhOs) old = bh_os_lookup("win2k");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();

    bh_os_propose(generic, 1, 2 * GIB, spec);
    g_assert_cmpuint(spec->cpus, ==, 1);
    g_assert_cmpuint(spec->memory_mib, ==, 1024);
    g_assert_cmpint(spec->video, ==, BH_VIDEO_QXL);
    g_assert_cmpint(spec->disk_bus, ==, BH_BUS_VIRTIO);
    g_assert_false(spec->tpm || spec->secure_boot);
    bh_os_propose(generic, 0, 0, spec);
    g_assert_cmpuint(spec->cpus, ==, 2);
    g_assert_cmpuint(spec->memory_mib, ==, 2048);
    old->qxl = old->virtio_video = FALSE;
    bh_os_propose(old, 4, 16 * GIB, spec);
    g_assert_cmpint(spec->firmware, ==, BH_FIRMWARE_BIOS);
    g_assert_cmpint(spec->disk_bus, ==, BH_BUS_SATA);
    g_assert_cmpint(spec->video, ==, BH_VIDEO_VGA);
}

int main(int argc, char **argv)
{
    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/os/load", test_load);
    g_test_add_func("/os/lookup", test_lookup);
    g_test_add_func("/os/generic", test_generic);
    g_test_add_func("/os/newer", test_newer);
    g_test_add_func("/os/guess", test_guess);
    g_test_add_func("/os/list", test_list);
    g_test_add_func("/os/newest-first", test_newest_first);
    g_test_add_func("/os/windows-11", test_windows_11);
    g_test_add_func("/os/linux", test_linux);
    g_test_add_func("/os/propose", test_propose);
    return g_test_run();
}
