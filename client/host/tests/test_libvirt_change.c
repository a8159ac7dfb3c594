/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The libvirt driver: changing machines that are off and on. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/input-event-codes.h>

#include "test_libvirt.h"

static gboolean try_apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields,
                          BhSpecFields *after_restart, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_apply_async(machine, wanted, fields, NULL, await_callback, &result);
    return bh_machine_apply_finish(machine, await_result(&result), after_restart, error);
}

static BhSpecFields apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields)
{
    BhSpecFields later = 0;
    GError *error = NULL;

    try_apply(machine, wanted, fields, &later, &error);
    if (error)
        g_test_message("detail: %s", bh_error_get_detail(error));
    g_assert_no_error(error);
    g_assert_cmpuint(bh_machine_spec_diff(bh_machine_get_spec(machine), wanted) & fields, ==, 0);
    return later;
}

static void test_apply_off(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Changing");
    g_autoptr(BhMachine) other = create(host, "Other");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    const BhSpecFields all = BH_SPEC_NAME | BH_SPEC_NOTES | BH_SPEC_CPUS | BH_SPEC_MEMORY |
                             BH_SPEC_SOUND | BH_SPEC_CLIPBOARD | BH_SPEC_CDROM | BH_SPEC_VIDEO |
                             BH_SPEC_USB_CHANNELS | BH_SPEC_TPM | BH_SPEC_NIC;
    g_autofree char *medium = g_build_filename(g_get_home_dir(), "a \"medium\" & <co>.iso", NULL);
    GError *error = NULL;

    write_medium(medium);
    set_text(&spec->name, "Änderung \"1\"");
    set_text(&spec->notes, "line 1\nline <2> & \xe2\x82\xac");
    set_text(&spec->cdrom, medium);
    spec->cpus = 5;
    spec->memory_mib = 200;
    spec->sound = FALSE;
    spec->clipboard = FALSE;
    spec->video = BH_VIDEO_VIRTIO;
    spec->usb_channels = 2;
    spec->tpm = TRUE;
    spec->nic = BH_NIC_E1000E;
    g_assert_cmpuint(apply(machine, spec, all), ==, 0);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, spec->name);
    act(machine, BH_VERB_START);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, 0);
    act(machine, BH_VERB_FORCE_OFF);
    spec->sound = TRUE;
    spec->clipboard = TRUE;
    spec->usb_channels = 6;
    spec->tpm = FALSE;
    spec->nic = BH_NIC_NONE;
    spec->video = BH_VIDEO_VGA;
    set_text(&spec->cdrom, NULL);
    set_text(&spec->notes, NULL);
    g_assert_cmpuint(apply(machine, spec, all), ==, 0);
    act(machine, BH_VERB_START);
    act(machine, BH_VERB_FORCE_OFF);

    /* All or nothing: a name that is taken stores none of the rest. */
    set_text(&spec->name, "Other");
    spec->cpus = 1;
    g_assert_false(try_apply(machine, spec, all, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_cmpuint(bh_machine_get_spec(machine)->cpus, ==, 5);
    set_text(&spec->name, "Änderung \"1\"");
    spec->memory_mib = (guint)(bh_host_get_memory(host) >> 20) + 1;
    g_assert_false(try_apply(machine, spec, all, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_clear_error(&error);
    g_assert_cmpuint(bh_machine_get_spec(machine)->cpus, ==, 5);
    g_unlink(medium);
    remove_for_good(machine);
    remove_for_good(other);
    assert_no_files_left();
    close_host(host);
}

static void test_apply_live(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Live");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    g_autofree char *medium = g_build_filename(g_get_home_dir(), "live.iso", NULL);
    GError *error = NULL;

    write_medium(medium);
    act(machine, BH_VERB_START);
    set_text(&spec->cdrom, medium);
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_CDROM), ==, 0);
    set_text(&spec->cdrom, "/etc/passwd"); /* readable, but no medium */
    g_assert_false(try_apply(machine, spec, BH_SPEC_CDROM, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_clear_error(&error);
    set_text(&spec->cdrom, "/nonexistent.iso");
    g_assert_false(try_apply(machine, spec, BH_SPEC_CDROM, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpstr(bh_machine_get_spec(machine)->cdrom, ==, medium);
    set_text(&spec->cdrom, NULL);
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_CDROM), ==, 0);

    set_text(&spec->name, "Live, renamed & running");
    set_text(&spec->notes, "noted");
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_NAME | BH_SPEC_NOTES), ==, 0);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, spec->name);
    spec->sound = FALSE;
    spec->usb_channels = 1;
    spec->memory_mib = 64;
    spec->clipboard = FALSE;
    const BhSpecFields fields =
        BH_SPEC_SOUND | BH_SPEC_USB_CHANNELS | BH_SPEC_MEMORY | BH_SPEC_CLIPBOARD;
    g_assert_cmpuint(apply(machine, spec, fields), ==, BH_SPEC_SOUND | BH_SPEC_USB_CHANNELS);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==,
                     BH_SPEC_SOUND | BH_SPEC_USB_CHANNELS);
    spec->memory_mib = 512;
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_MEMORY), ==, BH_SPEC_MEMORY);
    spec->cpus = 2;
    BhSpecFields later = apply(machine, spec, BH_SPEC_CPUS);
    g_test_message("CPUs %s", later ? "after restart" : "live");

    act(machine, BH_VERB_FORCE_OFF);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, 0);
    act(machine, BH_VERB_START); /* libvirt's own name follows */
    g_autofree char *name = virsh("domname %s", bh_machine_get_id(machine));
    g_test_message("libvirt's name: %s", name);
    g_assert_true(g_str_has_prefix(name, "Live_ renamed"));
    g_assert_cmpstr(bh_machine_get_name(machine), ==, spec->name);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, 0);
    g_unlink(medium);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Secure Boot on and off again: each has its own EFI variables, and none are left at the end. */
static void test_secure_boot(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Secure");
    GError *error = NULL;

    spec->firmware = BH_FIRMWARE_EFI;
    g_autoptr(BhMachine) machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < 3; i++) {
        spec->secure_boot = i == 1;
        apply(machine, spec, BH_SPEC_SECURE_BOOT);
        act(machine, BH_VERB_START);
        g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, 0);
        g_autofree char *xml = virsh("dumpxml %s", bh_machine_get_id(machine));
        g_assert_cmpint(strstr(xml, "OVMF_CODE_4M.ms.fd") != NULL, ==, spec->secure_boot);
        g_assert_cmpint(strstr(xml, "-secure.fd") != NULL, ==, spec->secure_boot);
        act(machine, BH_VERB_FORCE_OFF);
    }
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

void add_change_tests(void)
{
    g_test_add_func("/libvirt/apply-off", test_apply_off);
    g_test_add_func("/libvirt/apply-live", test_apply_live);
    g_test_add_func("/libvirt/secure-boot", test_secure_boot);
}
