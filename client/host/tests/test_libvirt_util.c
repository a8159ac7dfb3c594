/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See test_libvirt.h. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <glib/gstdio.h>
#include <linux/input-event-codes.h>

#include "test_libvirt.h"

/* Blocking forms of the calls, for straight-line tests. */

BhHost *open_host(void)
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

void close_host(BhHost *host)
{
    bh_host_close(host);
    await_ms(50); /* what is under way ends */
    g_object_unref(host);
}

BhMachine *try_create(BhHost *host, const BhMachineSpec *spec, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_host_create_machine_async(host, spec, job, await_callback, &result);
    return bh_host_create_machine_finish(host, await_result(&result), error);
}

BhMachineSpec *tiny_spec(const char *name)
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

BhMachine *create(BhHost *host, const char *name)
{
    g_autoptr(BhMachineSpec) spec = tiny_spec(name);
    GError *error = NULL;
    BhMachine *machine = try_create(host, spec, NULL, &error);

    g_assert_no_error(error);
    g_assert_nonnull(machine);
    return machine;
}

gboolean try_act(BhMachine *machine, BhVerb verb, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, verb, job, await_callback, &result);
    return bh_machine_act_finish(machine, await_result(&result), error);
}

void act(BhMachine *machine, BhVerb verb)
{
    GError *error = NULL;

    try_act(machine, verb, NULL, &error);
    if (error)
        g_test_message("detail: %s", bh_error_get_detail(error));
    g_assert_no_error(error);
}

BhDeleted *delete_machine(BhMachine *machine)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_machine_delete_async(machine, NULL, await_callback, &result);
    BhDeleted *deleted = bh_machine_delete_finish(machine, await_result(&result), &error);
    g_assert_no_error(error);
    return deleted;
}

void restore(BhDeleted *deleted)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_deleted_restore_async(deleted, NULL, await_callback, &result);
    bh_deleted_restore_finish(deleted, await_result(&result), &error);
    g_assert_no_error(error);
}

void purge(BhDeleted *deleted)
{
    g_autoptr(GAsyncResult) result = NULL;
    GError *error = NULL;

    bh_deleted_purge_async(deleted, NULL, await_callback, &result);
    bh_deleted_purge_finish(deleted, await_result(&result), &error);
    g_assert_no_error(error);
}

void remove_for_good(BhMachine *machine)
{
    if (bh_machine_is_active(machine))
        act(machine, BH_VERB_FORCE_OFF);
    g_autoptr(BhDeleted) deleted = delete_machine(machine);
    purge(deleted);
}

/* virsh beside us, as a user would. Failing is a test failure. */
char *virsh(const char *format, ...)
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

void assert_no_files_left(void)
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

pid_t read_pid(const char *file)
{
    g_autofree char *path = g_build_filename(g_get_user_runtime_dir(), "libvirt", file, NULL);
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(path, &text, NULL, NULL));
    return (pid_t)g_ascii_strtoll(text, NULL, 10);
}

pid_t qemu_pid(const char *domain_name)
{
    g_autofree char *file = g_strdup_printf("qemu/run/%s.pid", domain_name);
    return read_pid(file);
}

guint count_machines(BhHost *host)
{
    return g_list_model_get_n_items(bh_host_get_machines(host));
}

void write_image(const char *path, const guint8 *boot, gsize length, gsize size)
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

void write_medium(const char *path)
{
    g_autofree guint8 *iso = g_malloc0(40 << 10);

    memcpy(iso + (32 << 10), "\1CD001\1", 7);
    memcpy(iso + (34 << 10), "\377CD001\1", 7);
    g_assert_true(g_file_set_contents(path, (const char *)iso, 40 << 10, NULL));
}

void set_text(char **field, const char *value)
{
    g_free(*field);
    *field = g_strdup(value);
}
