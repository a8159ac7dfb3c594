/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt driver on a real libvirtd and QEMU (TCG), end to end. Guests have no system: firmware
 * that finds nothing to boot is enough to be started, paused, saved and killed. Run it under
 * session-run, which gives it a libvirt session of its own; without that it is skipped.
 */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>
#include <linux/input-event-codes.h>

#include "test_libvirt.h"

static void test_life(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = NULL;
    g_autoptr(BhMachineSpec) spec = tiny_spec("Life & <Ünïcode> \"x\", 'y' \\ %s 中文 #1");
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    spec->firmware = BH_FIRMWARE_EFI;
    machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, spec->name);
    g_assert_true(bh_host_find_machine(host, spec->name) == machine);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    g_assert_cmpint(bh_machine_get_display_kind(machine), ==, BH_DISPLAY_NONE);
    act(machine, BH_VERB_START);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    g_assert_cmpint(bh_machine_get_display_kind(machine), ==, BH_DISPLAY_SPICE);

    bh_machine_open_display_async(machine, NULL, await_callback, &result);
    int fd = bh_machine_open_display_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    g_assert_cmpint(fd, >=, 0);
    close(fd);
    g_clear_object(&result);

    bh_machine_screenshot_async(machine, NULL, await_callback, &result);
    g_autoptr(GBytes) picture =
        bh_machine_screenshot_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(picture), >, 1000);
    g_clear_object(&result);

    const guint keys[] = {KEY_LEFTCTRL, KEY_LEFTALT, KEY_DELETE};
    bh_machine_send_keys_async(machine, keys, 3, NULL, await_callback, &result);
    bh_machine_send_keys_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);

    act(machine, BH_VERB_PAUSE);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_PAUSED);
    act(machine, BH_VERB_RESUME);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    act(machine, BH_VERB_RESET);
    act(machine, BH_VERB_FORCE_OFF);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    remove_for_good(machine);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_GONE);
    assert_no_files_left();
    close_host(host);
}

/* Saved memory is kept, also through delete and undo, and discarded. */
static void test_save(void)
{
    BhHost *host = open_host();
    BhMachine *machine = create(host, "Save me");
    g_autoptr(BhJob) job = bh_job_new("Saving", bh_machine_get_id(machine));

    act(machine, BH_VERB_START);
    GError *error = NULL;
    try_act(machine, BH_VERB_SAVE, job, &error);
    g_assert_no_error(error);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVED);
    g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_DONE);
    g_assert_null(bh_machine_get_state_detail(machine));
    act(machine, BH_VERB_START);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    act(machine, BH_VERB_SAVE);

    g_autoptr(BhDeleted) deleted = delete_machine(machine);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_GONE);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 1);
    restore(deleted);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 0);
    g_clear_object(&machine);
    machine = g_object_ref(bh_host_find_machine(host, "Save me"));
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVED);
    act(machine, BH_VERB_START);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    act(machine, BH_VERB_SAVE);
    act(machine, BH_VERB_DISCARD_SAVE);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    remove_for_good(machine);
    assert_no_files_left();
    g_object_unref(machine);
    close_host(host);
}

static void on_fraction(BhJob *job, GParamSpec *pspec, gpointer data)
{
    bh_job_cancel(job);
}

/* Cancelled at the first sign of progress: enough memory that there is one. */
static void test_save_cancel(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Cancel");
    g_autoptr(BhJob) job = bh_job_new("Saving", NULL);
    GError *error = NULL;

    spec->memory_mib = (guint)MIN(bh_host_get_memory(host) >> 21, 4096);
    g_autoptr(BhMachine) machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    act(machine, BH_VERB_START);
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_fraction), NULL);
    if (try_act(machine, BH_VERB_SAVE, job, &error)) {
        /* It was quicker: then it is saved, and says so. */
        g_test_message("saved before it could be cancelled");
        g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVED);
        act(machine, BH_VERB_DISCARD_SAVE);
    } else {
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
        g_clear_error(&error);
        g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_CANCELLED);
        AWAIT_STATE(machine, BH_STATE_RUNNING);
    }
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Overwrites everything from there on with nonsense. */
static void garble(const char *path, goffset from)
{
    g_autofree char *data = NULL;
    gsize length;

    g_assert_true(g_file_get_contents(path, &data, &length, NULL));
    for (gsize i = (gsize)from; i < length; i++)
        data[i] = (char)(i * 7);
    g_assert_true(g_file_set_contents(path, data, (gssize)length, NULL));
}

static void test_corrupt_save(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Corrupt");
    g_autofree char *path =
        g_build_filename(g_get_user_config_dir(), "libvirt", "qemu", "save", "Corrupt.save", NULL);
    GError *error = NULL;

    act(machine, BH_VERB_START);
    act(machine, BH_VERB_SAVE);
    garble(path, 4096);
    g_assert_false(try_act(machine, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_test_message("%s | %s | %s", error->message, bh_error_get_hint(error),
                   bh_error_get_detail(error));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVED);
    g_assert_true(g_file_set_contents(path, "garbage, not memory", -1, NULL));
    g_assert_false(try_act(machine, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_assert_nonnull(strstr(bh_error_get_hint(error), "Discard"));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVED);
    act(machine, BH_VERB_DISCARD_SAVE);
    act(machine, BH_VERB_START);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Delete, undo, and purge, over a restart of the program; TPM state and EFI variables included. */
static void test_delete(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("TPM \\ and #hash");
    GError *error = NULL;

    spec->firmware = BH_FIRMWARE_EFI;
    spec->secure_boot = TRUE;
    spec->tpm = TRUE;
    BhMachine *machine = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    act(machine, BH_VERB_START);
    act(machine, BH_VERB_FORCE_OFF);
    g_autofree char *id = g_strdup(bh_machine_get_id(machine));
    BhDeleted *deleted = delete_machine(machine);
    g_object_unref(machine);
    g_object_unref(deleted);
    g_assert_cmpuint(count_machines(host), ==, 0);
    close_host(host);

    host = open_host();
    g_assert_cmpuint(count_machines(host), ==, 0);
    GListModel *list = bh_host_get_deleted(host);
    g_assert_cmpuint(g_list_model_get_n_items(list), ==, 1);
    deleted = g_list_model_get_item(list, 0);
    g_assert_cmpstr(bh_deleted_get_name(deleted), ==, spec->name);
    g_assert_cmpstr(bh_deleted_get_id(deleted), ==, id);
    restore(deleted);
    g_object_unref(deleted);
    machine = bh_host_find_machine(host, id);
    g_assert_nonnull(machine);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, spec->name);
    g_assert_true(bh_machine_get_spec(machine)->secure_boot);
    g_assert_true(bh_machine_get_spec(machine)->tpm);
    g_object_ref(machine);
    act(machine, BH_VERB_START);
    remove_for_good(machine);
    g_object_unref(machine);
    assert_no_files_left();
    close_host(host);
}

/* A crash between the record and the undefine: the machine is there, the record goes. */
static void test_delete_interrupted(void)
{
    BhHost *host = open_host();
    BhMachine *machine = create(host, "Half deleted");
    g_autofree char *id = g_strdup(bh_machine_get_id(machine));
    g_autofree char *file = g_strdup_printf("%s.xml", id);
    g_autofree char *record =
        g_build_filename(g_get_user_data_dir(), "bulkhead", "deleted", file, NULL);
    g_autofree char *kept = NULL;
    g_autofree char *xml = virsh("dumpxml --inactive %s", id);
    g_autofree char *xml_file = g_build_filename(g_get_home_dir(), "half.xml", NULL);

    g_autoptr(BhDeleted) deleted = delete_machine(machine);
    g_object_unref(machine);
    g_assert_true(g_file_get_contents(record, &kept, NULL, NULL));
    g_assert_true(g_file_set_contents(xml_file, xml, -1, NULL));
    g_free(virsh("define '%s'", xml_file));
    close_host(host);
    host = open_host();
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 0);
    g_assert_false(g_file_test(record, G_FILE_TEST_EXISTS));
    machine = g_object_ref(bh_host_find_machine(host, id));

    /* And a broken record harms nobody. */
    g_assert_true(g_file_set_contents(record, "<bulkhead-deleted", -1, NULL));
    close_host(host);
    g_object_unref(machine);
    host = open_host();
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 0);
    g_unlink(record);
    machine = g_object_ref(bh_host_find_machine(host, id));
    remove_for_good(machine);
    g_object_unref(machine);
    g_unlink(xml_file);
    assert_no_files_left();
    close_host(host);
}

static void test_undelete_name_taken(void)
{
    BhHost *host = open_host();
    BhMachine *first = create(host, "Twin");
    g_autoptr(BhDeleted) deleted = delete_machine(first);
    g_object_unref(first);
    g_autoptr(BhMachine) second = create(host, "Twin");
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_deleted_restore_async(deleted, NULL, await_callback, &result);
    g_assert_false(bh_deleted_restore_finish(deleted, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 1);
    remove_for_good(second);
    restore(deleted);
    g_autoptr(BhMachine) back = g_object_ref(bh_host_find_machine(host, "Twin"));
    act(back, BH_VERB_START);
    remove_for_good(back);
    assert_no_files_left();
    close_host(host);
}

typedef struct {
    char *uuid;
    gint stop; /* atomic */
} Rival;

static void ignore_error(void *data, virErrorPtr error)
{
}

/* Undefines a machine whenever libvirt knows it, like a second client that finishes a purge it sees
 * begun. */
static gpointer undefine_at_once(gpointer data)
{
    Rival *rival = data;
    virConnectPtr conn = virConnectOpen("qemu:///session");
    unsigned int flags = VIR_DOMAIN_UNDEFINE_NVRAM | VIR_DOMAIN_UNDEFINE_TPM;
    gpointer won = NULL;

    virConnSetErrorFunc(conn, NULL, ignore_error);
    while (!g_atomic_int_get(&rival->stop)) {
        virDomainPtr domain = virDomainLookupByUUIDString(conn, rival->uuid);
        if (domain && virDomainUndefineFlags(domain, flags) == 0)
            won = GINT_TO_POINTER(1);
        if (domain)
            virDomainFree(domain);
    }
    virConnectClose(conn);
    return won;
}

/* Whoever comes second to undefine it finds it done. */
static void test_purge_by_two(void)
{
    BhHost *host = open_host();
    gboolean rival_won = FALSE;

    for (unsigned round = 0; round < 20 && !rival_won; round++) {
        BhMachine *machine = create(host, "Wanted by two");
        Rival rival = {g_strdup(bh_machine_get_id(machine)), 0};
        g_autoptr(BhDeleted) deleted = delete_machine(machine);
        g_object_unref(machine);
        GThread *thread = g_thread_new("rival", undefine_at_once, &rival);
        purge(deleted);
        g_atomic_int_set(&rival.stop, 1);
        rival_won = g_thread_join(thread) != NULL;
        g_free(rival.uuid);
    }
    g_assert_true(rival_won);
    assert_no_files_left();
    close_host(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("BH_SESSION_RUN") || !g_file_test("/usr/sbin/libvirtd", G_FILE_TEST_EXISTS)) {
        g_print("1..0 # SKIP run it under session-run, with libvirtd installed\n");
        return 0;
    }
    g_test_add_func("/libvirt/life", test_life);
    g_test_add_func("/libvirt/save", test_save);
    g_test_add_func("/libvirt/save-cancel", test_save_cancel);
    g_test_add_func("/libvirt/corrupt-save", test_corrupt_save);
    g_test_add_func("/libvirt/delete", test_delete);
    g_test_add_func("/libvirt/delete-interrupted", test_delete_interrupted);
    g_test_add_func("/libvirt/undelete-name-taken", test_undelete_name_taken);
    g_test_add_func("/libvirt/purge-by-two", test_purge_by_two);
    add_install_tests();
    add_change_tests();
    add_fault_tests();
    return g_test_run();
}
