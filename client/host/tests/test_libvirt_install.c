/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt driver: making machines, what is refused, the end of an installation. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/input-event-codes.h>

#include "test_libvirt.h"

static void assert_create_fails(BhHost *host, BhMachineSpec *spec, BhErrorCode code)
{
    GError *error = NULL;
    BhMachine *machine = try_create(host, spec, NULL, &error);

    g_assert_null(machine);
    g_assert_error(error, BH_ERROR, (int)code);
    g_test_message("%s | %s", error->message, bh_error_get_hint(error));
    g_error_free(error);
}

static void test_create_refused(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Taken");
    g_autoptr(BhMachineSpec) spec = tiny_spec("Taken");
    g_autofree char *disks = g_build_filename(g_get_user_data_dir(), "bulkhead", "disks", NULL);

    assert_create_fails(host, spec, BH_ERROR_EXISTS);
    g_free(spec->name);
    spec->name = g_strdup("Big");
    spec->memory_mib = (guint)(bh_host_get_memory(host) >> 20) + 1;
    assert_create_fails(host, spec, BH_ERROR_INVALID);
    spec->memory_mib = 128;
    spec->cdrom = g_strdup("/nonexistent/medium.iso");
    assert_create_fails(host, spec, BH_ERROR_NOT_FOUND);
    g_clear_pointer(&spec->cdrom, g_free);
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup("/nonexistent/disk.img");
    assert_create_fails(host, spec, BH_ERROR_NOT_FOUND);
    spec->disk_origin = BH_DISK_IN_PLACE;
    assert_create_fails(host, spec, BH_ERROR_NOT_FOUND);
    spec->disk_origin = BH_DISK_NEW;
    g_assert_cmpint(g_chmod(disks, 0500), ==, 0);
    if (access(disks, W_OK) < 0) /* the superuser may write anywhere */
        assert_create_fails(host, spec, BH_ERROR_PERMISSION);
    g_assert_cmpint(g_chmod(disks, 0700), ==, 0);
    g_assert_cmpuint(count_machines(host), ==, 1);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* mov dx,0x604; mov ax,0x2000; out dx,ax: ACPI power-off on q35; then halt. */
static const guint8 power_off[] = {0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd};

/* mov al,0xfe; out 0x64,al: a reset by the guest itself. */
static const guint8 reboot[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};

static void on_fraction(BhJob *job, GParamSpec *pspec, gpointer data)
{
    bh_job_cancel(job);
}

static void test_import_cancel(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Import");
    g_autoptr(BhJob) job = bh_job_new("Importing", NULL);
    g_autofree char *image = g_build_filename(g_get_home_dir(), "big.img", NULL);
    GError *error = NULL;

    write_image(image, power_off, sizeof power_off, 64 << 20);
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup(image);
    spec->disk_bytes = 0;
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_fraction), NULL);
    g_signal_connect(job, "notify::text", G_CALLBACK(on_fraction), NULL);
    BhMachine *machine = try_create(host, spec, job, &error);
    g_assert_null(machine);
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_clear_error(&error);
    g_assert_cmpuint(count_machines(host), ==, 0);
    g_unlink(image);
    assert_no_files_left();
    close_host(host);
}

/* The guest powers itself off: told apart from a crash; and it ends an installation. */
static void test_install(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Installer");
    g_autofree char *image = g_build_filename(g_get_home_dir(), "disk.img", NULL);
    g_autofree char *medium = g_build_filename(g_get_home_dir(), "m&dium 'ü'.iso", NULL);
    GError *error = NULL;

    write_image(image, power_off, sizeof power_off, 8 << 20);
    write_medium(medium);
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup(image);
    spec->disk_bytes = 0;
    spec->cdrom = g_strdup(medium);
    spec->install = TRUE;
    g_autoptr(BhMachine) machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(bh_machine_get_spec(machine)->cdrom, ==, medium);
    act(machine, BH_VERB_START);
    AWAIT_STATE(machine, BH_STATE_OFF);
    g_assert_nonnull(bh_machine_get_state_detail(machine));
    AWAIT_LONG(bh_machine_get_spec(machine)->cdrom == NULL);
    g_autofree char *xml = virsh("dumpxml --inactive %s", bh_machine_get_id(machine));
    g_assert_null(strstr(xml, "installing="));
    g_unlink(image);
    g_unlink(medium);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Installing onto a disk that boots already: the CD is first, until the guest reboots by itself. */
static void test_install_reboot(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Rebooter");
    g_autofree char *image = g_build_filename(g_get_home_dir(), "disk.img", NULL);
    g_autofree char *medium = g_build_filename(g_get_home_dir(), "medium.iso", NULL);
    GError *error = NULL;

    write_image(image, reboot, sizeof reboot, 8 << 20);
    write_medium(medium);
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup(image);
    spec->disk_bytes = 0;
    spec->cdrom = g_strdup(medium);
    spec->install = TRUE;
    g_autoptr(BhMachine) machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    act(machine, BH_VERB_START);
    AWAIT_LONG(bh_machine_get_spec(machine)->cdrom == NULL);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    g_unlink(image);
    g_unlink(medium);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

static void test_many_names(void)
{
    static const char *const names[] = {
        "a,b=c",         "-rf",  "%s%n", "../up", "日本語 \xf0\x9f\x92\xbb",
        "\xef\xbf\xbe!", "a\\b", "#",    "'",     "<&>",
        "CON",           "~",    "a,b;c"};
    BhHost *host = open_host();

    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        g_autoptr(BhMachineSpec) spec = tiny_spec(names[i]);
        GError *error = NULL;
        BhMachine *machine = try_create(host, spec, NULL, &error);
        if (!machine) { /* a slash */
            g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
            g_clear_error(&error);
            continue;
        }
        if (i != 5) /* U+FFFE is not for XML: it is left out */
            g_assert_cmpstr(bh_machine_get_name(machine), ==, names[i]);
        act(machine, BH_VERB_START);
        remove_for_good(machine);
        g_object_unref(machine);
    }
    assert_no_files_left();
    close_host(host);
}

/* A definition for an accelerator that does not work here is switched when it is started. */
static void test_accelerator(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Switch");
    g_autofree char *file = g_build_filename(g_get_home_dir(), "switch.xml", NULL);

    AWAIT_LONG(bh_host_get_accelerator(host) != NULL);
    gboolean tcg = g_str_equal(bh_host_get_accelerator(host), "tcg");
    if (tcg && access("/dev/kvm", R_OK | W_OK)) {
        g_test_skip("libvirt takes no definition for KVM where /dev/kvm cannot be opened");
        remove_for_good(machine);
        close_host(host);
        return;
    }
    g_assert_cmpstr(bh_machine_get_accelerator(machine), ==, bh_host_get_accelerator(host));
    g_autofree char *xml = virsh("dumpxml --inactive Switch");
    g_auto(GStrv) parts = g_strsplit(xml, tcg ? "type='qemu'" : "type='kvm'", 2);
    g_autofree char *other = g_strjoinv(tcg ? "type='kvm'" : "type='qemu'", parts);
    g_assert_true(g_file_set_contents(file, other, -1, NULL));
    g_free(virsh("define '%s'", file));
    AWAIT_LONG(g_strcmp0(bh_machine_get_accelerator(machine), tcg ? "kvm" : "tcg") == 0);
    act(machine, BH_VERB_START);
    g_assert_cmpstr(bh_machine_get_accelerator(machine), ==, bh_host_get_accelerator(host));
    g_unlink(file);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

void add_install_tests(void)
{
    g_test_add_func("/libvirt/create-refused", test_create_refused);
    g_test_add_func("/libvirt/import-cancel", test_import_cancel);
    g_test_add_func("/libvirt/install", test_install);
    g_test_add_func("/libvirt/install-reboot", test_install_reboot);
    g_test_add_func("/libvirt/names", test_many_names);
    g_test_add_func("/libvirt/accelerator", test_accelerator);
}
