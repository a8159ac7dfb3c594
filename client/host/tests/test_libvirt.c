/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt driver on a real libvirtd and QEMU (TCG), end to end. Guests have no system: firmware
 * that finds nothing to boot is enough to be started, paused, saved and killed. Run it under
 * session-run, which gives it a libvirt session of its own; without that it is skipped.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/input-event-codes.h>

#include <bulkhead/error.h>
#include <bulkhead/host.h>

#include "await.h"

#define URI "qemu:///session"

/* Waits longer than await.h: QEMU under TCG on a busy computer takes its time. */
#define AWAIT_LONG(condition)                                                                      \
    do {                                                                                           \
        gint64 await_end = g_get_monotonic_time() + 60 * G_USEC_PER_SEC;                           \
        while (!(condition)) {                                                                     \
            await_ms(5);                                                                           \
            g_assert_cmpint(g_get_monotonic_time(), <, await_end);                                 \
        }                                                                                          \
    } while (0)

#define AWAIT_STATE(machine, wanted) AWAIT_LONG(bh_machine_get_state(machine) == (wanted))

/* Blocking forms of the calls, for straight-line tests. */

static BhHost *open_host(void)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;
    BhHost *host = bh_host_new(URI, &error);

    g_assert_no_error(error);
    bh_host_open_async(host, NULL, await_callback, &result);
    bh_host_open_finish(host, await_result(&result), &error);
    g_assert_no_error(error);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CONNECTED);
    return host;
}

static void close_host(BhHost *host)
{
    bh_host_close(host);
    await_ms(50); /* what is under way ends */
    g_object_unref(host);
}

static BhMachine *try_create(BhHost *host, const BhMachineSpec *spec, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_host_create_machine_async(host, spec, job, await_callback, &result);
    return bh_host_create_machine_finish(host, await_result(&result), error);
}

static BhMachineSpec *tiny_spec(const char *name)
{
    BhMachineSpec *spec = bh_machine_spec_new();

    spec->name = g_strdup(name);
    spec->cpus = 1;
    spec->memory_mib = 128;
    spec->firmware = BH_FIRMWARE_BIOS;
    spec->disk_origin = BH_DISK_NEW;
    spec->disk_bytes = 64 << 20;
    return spec;
}

static BhMachine *create(BhHost *host, const char *name)
{
    g_autoptr(BhMachineSpec) spec = tiny_spec(name);
    GError *error = NULL;
    BhMachine *machine = try_create(host, spec, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(machine);
    return machine;
}

static gboolean try_act(BhMachine *machine, BhVerb verb, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, verb, job, await_callback, &result);
    return bh_machine_act_finish(machine, await_result(&result), error);
}

static void act(BhMachine *machine, BhVerb verb)
{
    GError *error = NULL;

    try_act(machine, verb, NULL, &error);
    if (error)
        g_test_message("detail: %s", bh_error_get_detail(error));
    g_assert_no_error(error);
}

static BhDeleted *delete (BhMachine *machine)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_machine_delete_async(machine, NULL, await_callback, &result);
    BhDeleted *deleted = bh_machine_delete_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    return deleted;
}

static void restore(BhDeleted *deleted)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_deleted_restore_async(deleted, NULL, await_callback, &result);
    bh_deleted_restore_finish(deleted, await_result(&result), &error);
    g_assert_no_error(error);
}

static void purge(BhDeleted *deleted)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_deleted_purge_async(deleted, NULL, await_callback, &result);
    bh_deleted_purge_finish(deleted, await_result(&result), &error);
    g_assert_no_error(error);
}

static void remove_for_good(BhMachine *machine)
{
    if (bh_machine_is_active(machine))
        act(machine, BH_VERB_FORCE_OFF);
    g_autoptr(BhDeleted) deleted = delete (machine);
    purge(deleted);
}

/* virsh beside us, as a user would. Failing is a test failure. */
static char *virsh(const char *format, ...) G_GNUC_PRINTF(1, 2);
static char *virsh(const char *format, ...)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GSubprocess) process = NULL;
    g_auto(GStrv) argv = NULL;
    GAsyncResult *result = NULL;
    char *output = NULL;
    va_list args;

    va_start(args, format);
    g_autofree char *tail = g_strdup_vprintf(format, args);
    va_end(args);
    g_autofree char *line = g_strconcat("virsh -q -c " URI " ", tail, NULL);
    g_assert_true(g_shell_parse_argv(line, NULL, &argv, NULL));
    process = g_subprocess_newv((const char *const *)argv, G_SUBPROCESS_FLAGS_STDOUT_PIPE, &error);
    g_assert_no_error(error);
    g_subprocess_communicate_utf8_async(process, NULL, NULL, await_callback, &result);
    g_subprocess_communicate_utf8_finish(process, await_result(&result), &output, NULL, &error);
    g_object_unref(result);
    g_assert_no_error(error);
    g_assert_true(g_subprocess_get_successful(process));
    return output;
}

/* Files of ours that are left, as a sorted list. */
static void list_files(const char *path, GPtrArray *files)
{
    GDir *dir = g_dir_open(path, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        if (g_file_test(child, G_FILE_TEST_IS_DIR))
            list_files(child, files);
        else
            g_ptr_array_add(files, g_steal_pointer(&child));
    }
    if (dir)
        g_dir_close(dir);
}

static void assert_no_files_left(void)
{
    g_autofree char *data = g_build_filename(g_get_user_data_dir(), "bulkhead", NULL);
    g_autofree char *libvirt = g_build_filename(g_get_user_config_dir(), "libvirt", "qemu", NULL);
    g_autoptr(GPtrArray) files = g_ptr_array_new_with_free_func(g_free);

    list_files(data, files);
    list_files(libvirt, files);
    for (guint i = 0; i < files->len; i++)
        g_test_message("left: %s", (char *)files->pdata[i]);
    g_assert_cmpuint(files->len, ==, 0);
}

/* Tests. */

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

static pid_t read_pid(const char *file)
{
    g_autofree char *path = g_build_filename(g_get_user_runtime_dir(), "libvirt", file, NULL);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

static pid_t qemu_pid(const char *domain_name)
{
    g_autofree char *file = g_strdup_printf("qemu/run/%s.pid", domain_name);
    return read_pid(file);
}

static guint count_machines(BhHost *host)
{
    return g_list_model_get_n_items(bh_host_get_machines(host));
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

    g_autoptr(BhDeleted) deleted = delete (machine);
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
    BhDeleted *deleted = delete (machine);
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

    g_autoptr(BhDeleted) deleted = delete (machine);
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

static void write_image(const char *path, const guint8 *boot, gsize length, gsize size)
{
    g_autofree guint8 *image = g_malloc0(size);
    GRand *noise = g_rand_new_with_seed(1);

    for (gsize i = 512; i < size; i += 4)
        *(guint32 *)(image + i) = g_rand_int(noise);
    g_rand_free(noise);
    memcpy(image, boot, length);
    image[510] = 0x55;
    image[511] = 0xaa;
    g_assert_true(g_file_set_contents(path, (char *)image, (gssize)size, NULL));
}

/* mov dx,0x604; mov ax,0x2000; out dx,ax: ACPI power-off on q35; then halt. */
static const guint8 power_off[] = {0xba, 0x04, 0x06, 0xb8, 0x00, 0x20, 0xef, 0xf4, 0xeb, 0xfd};

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
    g_assert_true(g_file_set_contents(medium, "not bootable", -1, NULL));
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

static void test_qemu_killed(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Killed");
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    act(machine, BH_VERB_START);
    kill(qemu_pid("Killed"), SIGKILL);
    AWAIT_STATE(machine, BH_STATE_CRASHED);
    g_assert_nonnull(bh_machine_get_state_detail(machine));
    g_test_message("detail: %s", bh_machine_get_state_detail(machine));
    g_assert_true(bh_machine_can(machine, BH_VERB_START, NULL));
    bh_machine_read_log_async(machine, 5, NULL, await_callback, &result);
    g_autofree char *log = bh_machine_read_log_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    g_assert_cmpstr(log, !=, "");
    act(machine, BH_VERB_START);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

static void test_libvirtd_killed(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) running = create(host, "Survivor");
    g_autoptr(BhMachine) victim = create(host, "Victim");
    g_autoptr(BhMachine) off = create(host, "Sleeper");
    GError *error = NULL;

    act(running, BH_VERB_START);
    act(victim, BH_VERB_START);
    pid_t qemu = qemu_pid("Victim");
    kill(read_pid("libvirtd.pid"), SIGKILL);
    AWAIT_LONG(bh_host_get_state(host) == BH_HOST_DISCONNECTED);
    g_assert_nonnull(bh_host_get_problem(host));
    g_assert_cmpint(bh_machine_get_state(running), ==, BH_STATE_RUNNING);
    g_assert_false(try_act(running, BH_VERB_PAUSE, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    g_clear_error(&error);
    kill(qemu, SIGKILL);
    AWAIT_LONG(bh_host_get_state(host) == BH_HOST_CONNECTED);
    g_assert_null(bh_host_get_problem(host));
    AWAIT_STATE(victim, BH_STATE_CRASHED);
    g_assert_true(bh_host_find_machine(host, "Survivor") == running);
    g_assert_cmpuint(count_machines(host), ==, 3);
    g_assert_cmpint(bh_machine_get_state(running), ==, BH_STATE_RUNNING);
    g_assert_cmpint(bh_machine_get_state(off), ==, BH_STATE_OFF);
    act(running, BH_VERB_PAUSE); /* events and calls work as before */
    g_free(virsh("resume Survivor"));
    AWAIT_STATE(running, BH_STATE_RUNNING);
    remove_for_good(running);
    remove_for_good(victim);
    remove_for_good(off);
    assert_no_files_left();
    close_host(host);
}

static void test_behind_our_back(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Mine");

    g_free(virsh("start Mine"));
    AWAIT_STATE(machine, BH_STATE_RUNNING);
    g_free(virsh("suspend Mine"));
    AWAIT_STATE(machine, BH_STATE_PAUSED);
    g_free(virsh("desc Mine --config --live 'new <notes>'"));
    AWAIT_LONG(g_strcmp0(bh_machine_get_spec(machine)->notes, "new <notes>") == 0);
    g_free(virsh("destroy Mine"));
    AWAIT_STATE(machine, BH_STATE_OFF);
    g_free(virsh("domrename Mine Theirs"));
    AWAIT_LONG(g_strcmp0(bh_machine_get_name(machine), "Theirs") == 0);
    g_assert_true(bh_host_find_machine(host, "Theirs") == machine);
    g_autofree char *xml = virsh("dumpxml --inactive Theirs");
    g_autofree char *file = g_build_filename(g_get_home_dir(), "theirs.xml", NULL);
    g_assert_true(g_file_set_contents(file, xml, -1, NULL));
    g_autofree char *disk = g_strdup(bh_machine_get_spec(machine)->disk_path);
    g_free(virsh("undefine Theirs"));
    AWAIT_STATE(machine, BH_STATE_GONE);
    g_assert_cmpuint(count_machines(host), ==, 0);
    g_free(virsh("define '%s'", file));
    AWAIT_LONG(count_machines(host) == 1);
    g_autoptr(BhMachine) again = g_object_ref(bh_host_find_machine(host, "Theirs"));
    g_unlink(file);
    g_unlink(disk);
    GError *error = NULL;
    g_assert_false(try_act(again, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_test_message("%s | %s | %s", error->message, bh_error_get_hint(error),
                   bh_error_get_detail(error));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(again), ==, BH_STATE_OFF);
    remove_for_good(again);
    assert_no_files_left();
    close_host(host);
}

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

static void set(char **field, const char *value)
{
    g_free(*field);
    *field = g_strdup(value);
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

    g_assert_true(g_file_set_contents(medium, "medium", -1, NULL));
    set(&spec->name, "Änderung \"1\"");
    set(&spec->notes, "line 1\nline <2> & \xe2\x82\xac");
    set(&spec->cdrom, medium);
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
    set(&spec->cdrom, NULL);
    set(&spec->notes, NULL);
    g_assert_cmpuint(apply(machine, spec, all), ==, 0);
    act(machine, BH_VERB_START);
    act(machine, BH_VERB_FORCE_OFF);

    /* All or nothing: a name that is taken stores none of the rest. */
    set(&spec->name, "Other");
    spec->cpus = 1;
    g_assert_false(try_apply(machine, spec, all, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    g_assert_cmpuint(bh_machine_get_spec(machine)->cpus, ==, 5);
    set(&spec->name, "Änderung \"1\"");
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

    g_assert_true(g_file_set_contents(medium, "medium", -1, NULL));
    act(machine, BH_VERB_START);
    set(&spec->cdrom, medium);
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_CDROM), ==, 0);
    set(&spec->cdrom, "/nonexistent.iso");
    g_assert_false(try_apply(machine, spec, BH_SPEC_CDROM, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpstr(bh_machine_get_spec(machine)->cdrom, ==, medium);
    set(&spec->cdrom, NULL);
    g_assert_cmpuint(apply(machine, spec, BH_SPEC_CDROM), ==, 0);

    set(&spec->name, "Live, renamed & running");
    set(&spec->notes, "noted");
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

/* Two machines on one disk: the second is refused with the reason, and the first is unharmed. */
static void test_disk_in_use(void)
{
    BhHost *host = open_host();
    g_autofree char *image = g_build_filename(g_get_home_dir(), "shared.img", NULL);
    const guint8 halt[] = {0xf4, 0xeb, 0xfd};
    GError *error = NULL;

    write_image(image, halt, sizeof halt, 1 << 20);
    g_autoptr(BhMachineSpec) spec = tiny_spec("First");
    spec->disk_origin = BH_DISK_IN_PLACE;
    spec->disk_source = g_strdup(image);
    g_autoptr(BhMachine) first = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    set(&spec->name, "Second");
    g_autoptr(BhMachine) second = try_create(host, spec, NULL, &error);
    g_assert_no_error(error);
    act(first, BH_VERB_START);
    g_assert_false(try_act(second, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_assert_nonnull(bh_error_get_hint(error));
    g_test_message("%s | %s | %s", error->message, bh_error_get_hint(error),
                   bh_error_get_detail(error));
    g_clear_error(&error);
    g_assert_cmpint(bh_machine_get_state(first), ==, BH_STATE_RUNNING);
    g_assert_cmpint(bh_machine_get_state(second), ==, BH_STATE_OFF);
    remove_for_good(first);
    remove_for_good(second);
    g_assert_true(g_file_test(image, G_FILE_TEST_EXISTS)); /* used in place: not ours to remove */
    g_unlink(image);
    assert_no_files_left();
    close_host(host);
}

static void test_many_names(void)
{
    static const char *const names[] = {"a,b=c",
                                        "-rf",
                                        "%s%n",
                                        "../up",
                                        "日本語 \xf0\x9f\x92\xbb",
                                        "\xef\xbf\xbe"
                                        "x",
                                        "a\\b",
                                        "#",
                                        "'",
                                        "<&>",
                                        "CON",
                                        "~",
                                        "a,b;c"};
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

/* mov al,0xfe; out 0x64,al: a reset by the guest itself. */
static const guint8 reboot[] = {0xb0, 0xfe, 0xe6, 0x64, 0xf4, 0xeb, 0xfd};

/* Installing onto a disk that boots already: the CD is first, until the guest reboots by itself. */
static void test_install_reboot(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachineSpec) spec = tiny_spec("Rebooter");
    g_autofree char *image = g_build_filename(g_get_home_dir(), "disk.img", NULL);
    g_autofree char *medium = g_build_filename(g_get_home_dir(), "medium.iso", NULL);
    GError *error = NULL;

    write_image(image, reboot, sizeof reboot, 8 << 20);
    g_assert_true(g_file_set_contents(medium, "not bootable", -1, NULL));
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

/* A definition for an accelerator that does not work here is switched when it is started. */
static void test_accelerator(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Switch");
    g_autofree char *file = g_build_filename(g_get_home_dir(), "switch.xml", NULL);

    AWAIT_LONG(bh_host_get_accelerator(host) != NULL);
    gboolean tcg = g_str_equal(bh_host_get_accelerator(host), "tcg");
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

/* A program that died between making the disk and defining the machine. */
static void test_debris(void)
{
    g_autofree char *base = g_build_filename(g_get_user_data_dir(), "bulkhead", NULL);
    g_autofree char *uuid = g_uuid_string_random();
    g_autofree char *disk = g_strdup_printf("%s/disks/x-%s.qcow2", base, uuid);
    g_autofree char *mark = g_strdup_printf("%s/deleted/%s.making", base, uuid);
    g_autofree char *innocent = g_build_filename(base, "disks", "mine.qcow2", NULL);

    close_host(open_host()); /* the folders */
    g_autofree char *disks = g_build_filename(base, "disks", NULL);
    g_assert_cmpint(g_mkdir_with_parents(disks, 0700), ==, 0);
    g_assert_true(g_file_set_contents(disk, "x", -1, NULL));
    g_assert_true(g_file_set_contents(innocent, "x", -1, NULL));
    g_assert_true(g_file_set_contents(mark, disk, -1, NULL));
    close_host(open_host());
    g_assert_false(g_file_test(disk, G_FILE_TEST_EXISTS));
    g_assert_false(g_file_test(mark, G_FILE_TEST_EXISTS));
    g_assert_true(g_file_test(innocent, G_FILE_TEST_EXISTS));
    g_unlink(innocent);
    assert_no_files_left();
}

static void test_undelete_name_taken(void)
{
    BhHost *host = open_host();
    BhMachine *first = create(host, "Twin");
    g_autoptr(BhDeleted) deleted = delete (first);
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

static void test_usb_absent(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "USB");
    const BhUsbAddress address = {0x1234, 0x5678, 250, 251};
    g_autoptr(GAsyncResult) attached = NULL, detached = NULL;
    GError *error = NULL;

    act(machine, BH_VERB_START);
    bh_machine_usb_attach_async(machine, &address, NULL, await_callback, &attached);
    g_assert_false(bh_machine_usb_attach_finish(machine, await_result(&attached), &error));
    g_test_message("%s | %s", error->message, bh_error_get_detail(error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_cmpuint(bh_machine_get_usb_addresses(machine)->len, ==, 0);
    bh_machine_usb_detach_async(machine, &address, NULL, await_callback, &detached);
    g_assert_true(bh_machine_usb_detach_finish(machine, await_result(&detached), &error));
    g_assert_no_error(error);
    remove_for_good(machine);
    assert_no_files_left();
    close_host(host);
}

/* Everything at once, and the host closed in the middle: nothing may crash or hang. */
static void test_close_busy(void)
{
    BhHost *host = open_host();
    g_autoptr(BhMachine) machine = create(host, "Busy");
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, BH_VERB_START, NULL, await_callback, &result);
    await_ms(20);
    bh_host_close(host);
    bh_machine_act_finish(machine, await_result(&result), NULL);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CLOSED);
    g_clear_object(&result);
    bh_host_open_async(host, NULL, await_callback, &result);
    g_assert_true(bh_host_open_finish(host, await_result(&result), NULL));
    g_autoptr(BhMachine) again = g_object_ref(bh_host_find_machine(host, "Busy"));
    AWAIT_LONG(bh_machine_get_state(again) == BH_STATE_RUNNING ||
               bh_machine_get_state(again) == BH_STATE_OFF);
    remove_for_good(again);
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
    g_test_add_func("/libvirt/create-refused", test_create_refused);
    g_test_add_func("/libvirt/import-cancel", test_import_cancel);
    g_test_add_func("/libvirt/install", test_install);
    g_test_add_func("/libvirt/qemu-killed", test_qemu_killed);
    g_test_add_func("/libvirt/libvirtd-killed", test_libvirtd_killed);
    g_test_add_func("/libvirt/behind-our-back", test_behind_our_back);
    g_test_add_func("/libvirt/apply-off", test_apply_off);
    g_test_add_func("/libvirt/apply-live", test_apply_live);
    g_test_add_func("/libvirt/disk-in-use", test_disk_in_use);
    g_test_add_func("/libvirt/names", test_many_names);
    g_test_add_func("/libvirt/install-reboot", test_install_reboot);
    g_test_add_func("/libvirt/accelerator", test_accelerator);
    g_test_add_func("/libvirt/debris", test_debris);
    g_test_add_func("/libvirt/undelete-name-taken", test_undelete_name_taken);
    g_test_add_func("/libvirt/usb-absent", test_usb_absent);
    g_test_add_func("/libvirt/close-busy", test_close_busy);
    return g_test_run();
}
