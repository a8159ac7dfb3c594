/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhHost and BhMachine through the fake driver: verbs, jobs, changes, faults, a thousand machines.
 */
#include <string.h>
#include <unistd.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gstdio.h>

#include <bulkhead/fake.h>

#include "await.h"

/* ---- the calls, made to wait ---- */

static gboolean open_host(BhHost *host, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_host_open_async(host, NULL, await_callback, &result);
    return bh_host_open_finish(host, await_result(&result), error);
}

static BhHost *new_host(const char *uri)
{
    g_autoptr(GError) error = NULL;
    BhHost *host = bh_host_new(uri, &error);

    g_assert_no_error(error);
    g_assert_true(open_host(host, &error));
    g_assert_no_error(error);
    return host;
}

static void close_host(BhHost *host)
{
    bh_host_close(host);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CLOSED);
    await_ms(30); /* what was under way ends */
    g_assert_cmpuint(G_OBJECT(host)->ref_count, ==, 1);
    g_object_unref(host);
}

static gboolean act(BhMachine *machine, BhVerb verb, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, verb, job, await_callback, &result);
    return bh_machine_act_finish(machine, await_result(&result), error);
}

static void act_ok(BhMachine *machine, BhVerb verb)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(act(machine, verb, NULL, &error));
    g_assert_no_error(error);
}

static gboolean apply(BhMachine *machine, const BhMachineSpec *spec, BhSpecFields fields,
                      BhSpecFields *pending, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_apply_async(machine, spec, fields, NULL, await_callback, &result);
    return bh_machine_apply_finish(machine, await_result(&result), pending, error);
}

static BhMachine *create(BhHost *host, const BhMachineSpec *spec, BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_host_create_machine_async(host, spec, job, await_callback, &result);
    return bh_host_create_machine_finish(host, await_result(&result), error);
}

static gboolean usb(BhMachine *machine, const BhUsbAddress *address, gboolean attach,
                    GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    if (attach) {
        bh_machine_usb_attach_async(machine, address, NULL, await_callback, &result);
        return bh_machine_usb_attach_finish(machine, await_result(&result), error);
    }
    bh_machine_usb_detach_async(machine, address, NULL, await_callback, &result);
    return bh_machine_usb_detach_finish(machine, await_result(&result), error);
}

static BhMachine *first(BhHost *host)
{
    BhMachine *machine = bh_host_find_machine(host, "Machine 1");

    g_assert_nonnull(machine);
    return machine;
}

static guint machines(BhHost *host)
{
    return g_list_model_get_n_items(bh_host_get_machines(host));
}

/* ---- tests ---- */

static void test_uri(void)
{
    static const char *const wrong[] = {"fake:///?machines=x",        "fake:///?nonsense=1",
                                        "fake:///?features=no-wings", "fake:///?accel=magic",
                                        "fake:///?fail=start",        NULL};
    g_autoptr(GError) error = NULL;

    g_assert_null(bh_host_new("not a uri", &error));
    g_assert_nonnull(error);
    for (guint i = 0; wrong[i] != NULL; i++) {
        g_autoptr(BhHost) host = bh_host_new(wrong[i], NULL);
        g_autoptr(GError) why = NULL;

        g_assert_false(open_host(host, &why));
        g_assert_error(why, BH_ERROR, BH_ERROR_INVALID);
    }
}

static void test_open(void)
{
    BhHost *host = new_host("fake:///?machines=4&running=1&saved=1&crashed=1&delay=0"
                            "&accel=tcg&features=no-tpm,clone&memory=4096&names=%D0%94%D0%B0");
    BhMachine *machine = bh_host_find_machine(host, "Да");

    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CONNECTED);
    g_assert_cmpuint(machines(host), ==, 4);
    g_assert_cmpstr(bh_host_get_accelerator(host), ==, "tcg");
    g_assert_nonnull(bh_host_get_accelerator_note(host));
    g_assert_cmpuint(bh_host_get_memory(host), ==, G_GUINT64_CONSTANT(4) << 30);
    g_assert_false(bh_host_get_features(host) & BH_FEATURE_TPM);
    g_assert_true(bh_host_get_features(host) & BH_FEATURE_CLONE);
    g_assert_nonnull(machine);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    g_assert_cmpstr(bh_machine_get_accelerator(machine), ==, "tcg");
    g_assert_true(bh_host_find_machine(host, bh_machine_get_id(machine)) == machine);
    g_assert_null(bh_host_find_machine(host, "Machine 99"));
    machine = bh_host_find_machine(host, "Machine 3");
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_CRASHED);
    g_assert_nonnull(bh_machine_get_state_detail(machine));
    close_host(host);
}

static void test_features(void)
{
    for (guint bit = 1; bit <= BH_FEATURE_PCI; bit <<= 1) {
        const char *name = bh_host_feature_get_name(bit);

        g_assert_nonnull(name);
        g_assert_cmpuint(bh_host_feature_from_name(name), ==, bit);
    }
    g_assert_cmpuint(bh_host_feature_from_name("wings"), ==, 0);
}

static void collect_state(GObject *object, GParamSpec *pspec, gpointer data)
{
    g_string_append_printf(data, "%s ",
                           bh_state_get_name(bh_machine_get_state(BH_MACHINE(object))));
}

static void test_life(void)
{
    BhHost *host = new_host("fake:///?machines=1&delay=40");
    BhMachine *machine = first(host);
    GString *states = g_string_new(NULL);

    g_signal_connect(machine, "notify::state", G_CALLBACK(collect_state), states);
    act_ok(machine, BH_VERB_START);
    g_assert_true(bh_machine_is_active(machine));
    g_assert_nonnull(bh_machine_get_accelerator(machine));
    act_ok(machine, BH_VERB_PAUSE);
    act_ok(machine, BH_VERB_RESUME);
    act_ok(machine, BH_VERB_REBOOT);
    act_ok(machine, BH_VERB_RESET);
    act_ok(machine, BH_VERB_SAVE);
    g_assert_false(bh_machine_is_active(machine));
    act_ok(machine, BH_VERB_START);
    act_ok(machine, BH_VERB_SHUTDOWN);
    AWAIT(bh_machine_get_state(machine) == BH_STATE_OFF);
    act_ok(machine, BH_VERB_START);
    act_ok(machine, BH_VERB_FORCE_OFF);
    g_assert_cmpstr(states->str, ==,
                    "starting running paused running saving saved starting running stopping off "
                    "starting running off ");
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_events(host)), >, 5);
    g_string_free(states, TRUE);
    close_host(host);
}

/* Every verb in every state: bh_machine_can tells the truth, and refusals have a reason. */
static void test_can(void)
{
    for (int state = BH_STATE_OFF; state <= BH_STATE_CRASHED; state++) {
        for (int verb = 0; verb < BH_N_VERBS; verb++) {
            BhHost *host = new_host("fake:///?machines=1&delay=0");
            g_autoptr(GError) error = NULL;
            const char *reason = NULL;
            gboolean can;

            bh_fake_host_force_state(BH_FAKE_HOST(host), first(host), (BhState)state);
            can = bh_machine_can(first(host), (BhVerb)verb, &reason);
            g_assert_true(can == (reason == NULL));
            g_assert_true(act(first(host), (BhVerb)verb, NULL, &error) == can);
            if (!can)
                g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
            close_host(host);
        }
    }
}

static void cancel_later(GObject *object, GParamSpec *pspec, gpointer data)
{
    if (bh_machine_get_state(BH_MACHINE(object)) == BH_STATE_STARTING ||
        bh_machine_get_state(BH_MACHINE(object)) == BH_STATE_SAVING)
        bh_job_cancel(data);
}

static void test_cancel(void)
{
    BhHost *host = new_host("fake:///?machines=2&running=1&delay=5000");
    BhMachine *running = first(host);
    BhMachine *off = bh_host_find_machine(host, "Machine 2");
    g_autoptr(BhJob) save = bh_job_new("Saving", NULL);
    g_autoptr(BhJob) start = bh_job_new("Starting", NULL);
    g_autoptr(GError) error = NULL;

    g_signal_connect(off, "notify::state", G_CALLBACK(cancel_later), start);
    g_assert_false(act(off, BH_VERB_START, start, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpint(bh_job_get_state(start), ==, BH_JOB_CANCELLED);
    g_assert_cmpint(bh_machine_get_state(off), ==, BH_STATE_OFF);
    g_assert_null(bh_machine_get_job(off));
    g_clear_error(&error);
    g_signal_connect(running, "notify::state", G_CALLBACK(cancel_later), save);
    g_assert_false(act(running, BH_VERB_SAVE, save, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpint(bh_machine_get_state(running), ==, BH_STATE_RUNNING);
    close_host(host);
}

static void test_faults(void)
{
    BhHost *host = new_host("fake:///?machines=1&delay=10&fail=pause:busy:Not%20now");
    BhMachine *machine = first(host);
    g_autoptr(GError) error = NULL;

    bh_fake_host_fail_next(BH_FAKE_HOST(host), "start", BH_ERROR_NO_SPACE, "Disk full");
    g_assert_false(act(machine, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpstr(error->message, ==, "Disk full");
    g_assert_nonnull(bh_error_get_detail(error));
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    g_clear_error(&error);
    act_ok(machine, BH_VERB_START);
    g_assert_false(act(machine, BH_VERB_PAUSE, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_RUNNING);
    close_host(host);
}

static void test_open_fails(void)
{
    g_autoptr(BhHost) host = bh_host_new("fake:///?delay=0&fail=open:disconnected:Nobody", NULL);
    g_autoptr(GError) error = NULL;

    g_assert_false(open_host(host, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_CLOSED);
    g_assert_cmpstr(bh_host_get_problem(host), ==, "Nobody");
    g_assert_cmpuint(machines(host), ==, 0);
    g_assert_true(open_host(host, NULL)); /* the fault was for once */
    bh_host_close(host);
}

static void test_crash(void)
{
    BhHost *host = new_host("fake:///?machines=1&running=1&delay=10");
    BhMachine *machine = first(host);
    const BhUsbAddress stick = {0x0951, 0x1666, 1, 3};
    g_autoptr(GAsyncResult) result = NULL;
    g_autofree char *log = NULL;

    g_assert_true(usb(machine, &stick, TRUE, NULL));
    bh_fake_host_crash(BH_FAKE_HOST(host), machine, "line one\nqemu: fatal: line two\n");
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_CRASHED);
    g_assert_cmpstr(bh_machine_get_state_detail(machine), ==, "qemu: fatal: line two");
    g_assert_cmpuint(bh_machine_get_usb_addresses(machine)->len, ==, 0);
    bh_machine_read_log_async(machine, 1, NULL, await_callback, &result);
    log = bh_machine_read_log_finish(machine, await_result(&result), NULL);
    g_assert_true(g_str_has_suffix(log, "qemu: fatal: line two\n"));
    g_assert_null(strstr(log, "line one"));
    act_ok(machine, BH_VERB_START);
    g_assert_null(bh_machine_get_state_detail(machine));
    close_host(host);
}

/* The process dies while it is being saved: the save fails and the machine shows the crash. */
static void test_crash_during(void)
{
    BhHost *host = new_host("fake:///?machines=1&running=1&delay=200");
    BhMachine *machine = first(host);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;

    bh_machine_act_async(machine, BH_VERB_SAVE, NULL, await_callback, &result);
    await_ms(20);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_SAVING);
    bh_fake_host_crash(BH_FAKE_HOST(host), machine, NULL);
    g_assert_false(bh_machine_act_finish(machine, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_FAILED);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_CRASHED);
    close_host(host);
}

static void test_force_off_start(void)
{
    BhHost *host = new_host("fake:///?machines=1&delay=300");
    BhMachine *machine = first(host);
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_act_async(machine, BH_VERB_START, NULL, await_callback, &result);
    act_ok(machine, BH_VERB_FORCE_OFF);
    g_assert_false(bh_machine_act_finish(machine, await_result(&result), NULL));
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    close_host(host);
}

static void test_stubborn(void)
{
    BhHost *host = new_host("fake:///?machines=1&running=1&delay=20&stubborn=1");
    BhMachine *machine = first(host);

    act_ok(machine, BH_VERB_SHUTDOWN);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_STOPPING);
    AWAIT(bh_machine_get_state(machine) == BH_STATE_RUNNING);
    act_ok(machine, BH_VERB_SHUTDOWN);
    act_ok(machine, BH_VERB_FORCE_OFF);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    await_ms(100);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    close_host(host);
}

static void test_drop(void)
{
    BhHost *host = new_host("fake:///?machines=1&delay=500");
    BhMachine *machine = first(host);
    g_autoptr(GAsyncResult) result = NULL;
    g_autoptr(GError) error = NULL;

    bh_machine_act_async(machine, BH_VERB_START, NULL, await_callback, &result);
    bh_fake_host_drop_connection(BH_FAKE_HOST(host), 100);
    g_assert_cmpint(bh_host_get_state(host), ==, BH_HOST_DISCONNECTED);
    g_assert_nonnull(bh_host_get_problem(host));
    g_assert_false(bh_machine_act_finish(machine, await_result(&result), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    g_clear_error(&error);
    g_assert_false(act(machine, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_DISCONNECTED);
    AWAIT(bh_host_get_state(host) == BH_HOST_CONNECTED);
    g_assert_null(bh_host_get_problem(host));
    g_assert_true(first(host) == machine);
    act_ok(machine, BH_VERB_START);
    close_host(host);
}

static void test_apply(void)
{
    BhHost *host = new_host("fake:///?machines=2&running=1&delay=10&memory=4096");
    BhMachine *machine = first(host);
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    BhSpecFields pending = 0;
    g_autoptr(GError) error = NULL;

    g_free(spec->name);
    spec->name = g_strdup("Новая");
    spec->cpus = 7;
    spec->memory_mib = 3000;
    spec->sound = FALSE; /* not in the mask: stays */
    g_assert_true(
        apply(machine, spec, BH_SPEC_NAME | BH_SPEC_CPUS | BH_SPEC_MEMORY, &pending, &error));
    g_assert_cmpuint(pending, ==, BH_SPEC_CPUS | BH_SPEC_MEMORY);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, "Новая");
    g_assert_cmpuint(bh_machine_get_spec(machine)->cpus, ==, 7);
    g_assert_true(bh_machine_get_spec(machine)->sound);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, pending);
    spec->cpus = 2; /* back to what it runs with */
    g_assert_true(apply(machine, spec, BH_SPEC_CPUS, &pending, &error));
    g_assert_cmpuint(pending, ==, 0);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, BH_SPEC_MEMORY);
    act_ok(machine, BH_VERB_FORCE_OFF);
    g_assert_cmpuint(bh_machine_get_restart_pending(machine), ==, 0);
    g_assert_true(apply(machine, spec, BH_SPEC_CPUS | BH_SPEC_MEMORY, &pending, &error));
    g_assert_cmpuint(pending, ==, 0);
    close_host(host);
}

static void test_apply_refused(void)
{
    BhHost *host = new_host("fake:///?machines=2&delay=0&memory=4096");
    BhMachine *machine = first(host);
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    g_autoptr(GError) error = NULL;

    g_free(spec->name);
    spec->name = g_strdup("Machine 2");
    g_assert_false(apply(machine, spec, BH_SPEC_NAME, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    spec->memory_mib = 5000;
    g_assert_false(apply(machine, spec, BH_SPEC_MEMORY, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_clear_error(&error);
    spec->cdrom = g_strdup("/nonexistent.iso");
    g_assert_false(apply(machine, spec, BH_SPEC_CDROM, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    spec->cpus = 0;
    g_assert_false(apply(machine, spec, BH_SPEC_CPUS, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    g_assert_cmpstr(bh_machine_get_name(machine), ==, "Machine 1");
    g_assert_cmpuint(bh_machine_get_spec(machine)->memory_mib, ==, 2048);
    close_host(host);
}

static void test_create(void)
{
    BhHost *host = new_host("fake:///?machines=1&delay=10&memory=4096");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();
    g_autoptr(BhMachine) machine = NULL;
    g_autoptr(GError) error = NULL;

    spec->name = g_strdup("仕事");
    spec->disk_origin = BH_DISK_NEW;
    spec->disk_bytes = 1u << 30;
    machine = create(host, spec, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(bh_host_find_machine(host, "仕事") == machine);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_OFF);
    g_assert_nonnull(bh_machine_get_spec(machine)->disk_path);
    g_assert_null(create(host, spec, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_clear_error(&error);
    g_free(spec->name);
    spec->name = g_strdup("Big");
    spec->memory_mib = 8192;
    g_assert_null(create(host, spec, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_clear_error(&error);
    spec->memory_mib = 1024;
    bh_fake_host_fail_next(BH_FAKE_HOST(host), "create", BH_ERROR_NO_SPACE, "full");
    g_assert_null(create(host, spec, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpuint(machines(host), ==, 2);
    close_host(host);
}

static void cancel_at_third(GObject *object, GParamSpec *pspec, gpointer data)
{
    BhJob *job = BH_JOB(object);

    if (bh_job_get_fraction(job) > 0.3)
        bh_job_cancel(job);
}

static void test_import_cancelled(void)
{
    BhHost *host = new_host("fake:///?machines=0&delay=100");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();
    g_autoptr(BhJob) job = bh_job_new("Importing", NULL);
    g_autoptr(GError) error = NULL;

    spec->name = g_strdup("Imported");
    spec->disk_origin = BH_DISK_IMPORT;
    spec->disk_source = g_strdup("/dev/null");
    g_signal_connect(job, "notify::fraction", G_CALLBACK(cancel_at_third), NULL);
    g_assert_null(create(host, spec, job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpfloat(bh_job_get_fraction(job), <, 0.9);
    g_assert_nonnull(strstr(bh_job_get_text(job), "GiB"));
    g_assert_cmpuint(machines(host), ==, 0);
    close_host(host);
}

static BhDeleted *delete_machine(BhMachine *machine, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_delete_async(machine, NULL, await_callback, &result);
    return bh_machine_delete_finish(machine, await_result(&result), error);
}

static gboolean restore(BhDeleted *deleted, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_deleted_restore_async(deleted, NULL, await_callback, &result);
    return bh_deleted_restore_finish(deleted, await_result(&result), error);
}

static gboolean purge(BhDeleted *deleted, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_deleted_purge_async(deleted, NULL, await_callback, &result);
    return bh_deleted_purge_finish(deleted, await_result(&result), error);
}

static void test_delete(void)
{
    BhHost *host = new_host("fake:///?machines=2&running=1&delay=10");
    g_autoptr(BhMachine) machine = g_object_ref(bh_host_find_machine(host, "Machine 2"));
    g_autofree char *id = g_strdup(bh_machine_get_id(machine));
    g_autoptr(BhDeleted) deleted = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_null(delete_machine(first(host), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_clear_error(&error);
    deleted = delete_machine(machine, &error);
    g_assert_no_error(error);
    g_assert_cmpint(bh_machine_get_state(machine), ==, BH_STATE_GONE);
    g_assert_cmpuint(machines(host), ==, 1);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 1);
    g_assert_false(act(machine, BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(restore(deleted, &error));
    g_assert_nonnull(bh_host_find_machine(host, id));
    g_assert_true(bh_host_find_machine(host, id) != machine);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 0);
    g_assert_false(purge(deleted, &error)); /* it lives */
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    close_host(host);
}

static void test_undelete_name_taken(void)
{
    BhHost *host = new_host("fake:///?machines=1&deleted=1&delay=0");
    g_autoptr(BhDeleted) deleted = g_list_model_get_item(bh_host_get_deleted(host), 0);
    g_autoptr(GError) error = NULL;

    bh_fake_host_force_add(BH_FAKE_HOST(host), bh_deleted_get_name(deleted));
    g_assert_false(restore(deleted, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_EXISTS);
    g_assert_true(purge(deleted, NULL));
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_deleted(host)), ==, 0);
    close_host(host);
}

static void test_usb(void)
{
    BhHost *host = new_host("fake:///?machines=3&running=2&delay=5");
    BhMachine *a = first(host);
    BhMachine *b = bh_host_find_machine(host, "Machine 2");
    const BhUsbAddress stick = {0x0951, 0x1666, 1, 3};
    g_autoptr(GError) error = NULL;

    g_assert_true(usb(a, &stick, TRUE, &error));
    g_assert_cmpuint(bh_machine_get_usb_addresses(a)->len, ==, 1);
    g_assert_false(usb(b, &stick, TRUE, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    g_clear_error(&error);
    g_assert_false(usb(b, &stick, FALSE, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_FOUND);
    g_clear_error(&error);
    g_assert_true(usb(a, &stick, FALSE, &error));
    g_assert_true(usb(b, &stick, TRUE, &error));
    act_ok(b, BH_VERB_FORCE_OFF);
    g_assert_cmpuint(bh_machine_get_usb_addresses(b)->len, ==, 0);
    bh_fake_host_fail_next(BH_FAKE_HOST(host), "usb-attach", BH_ERROR_PERMISSION, "no rights");
    g_assert_false(usb(a, &stick, TRUE, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_PERMISSION);
    close_host(host);
}

static void test_screen_and_keys(void)
{
    BhHost *host = new_host("fake:///?machines=2&running=1&delay=5");
    const guint keys[] = {29, 56, 111};
    g_autoptr(GAsyncResult) shot = NULL;
    g_autoptr(GAsyncResult) pressed = NULL;
    g_autoptr(GAsyncResult) off = NULL;
    g_autoptr(GBytes) bytes = NULL;
    g_autoptr(GError) error = NULL;

    bh_machine_screenshot_async(first(host), NULL, await_callback, &shot);
    bytes = bh_machine_screenshot_finish(first(host), await_result(&shot), &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(bytes), >, 100000);
    g_assert_cmpmem(g_bytes_get_data(bytes, NULL), 3, "P6\n", 3);
    bh_machine_send_keys_async(first(host), keys, 3, NULL, await_callback, &pressed);
    g_assert_true(bh_machine_send_keys_finish(first(host), await_result(&pressed), &error));
    bh_machine_screenshot_async(bh_host_find_machine(host, "Machine 2"), NULL, await_callback,
                                &off);
    g_assert_null(bh_machine_screenshot_finish(first(host), await_result(&off), &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_BUSY);
    close_host(host);
}

static int open_display(BhMachine *machine, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_machine_open_display_async(machine, NULL, await_callback, &result);
    return bh_machine_open_display_finish(machine, await_result(&result), error);
}

static void test_display(void)
{
    g_autofree char *folder = g_dir_make_tmp("bh-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "spice", NULL);
    g_autofree char *uri = g_strdup_printf("fake:///?machines=2&running=1&delay=5&spice=%s", path);
    BhHost *host = new_host(uri);
    g_autoptr(GSocketListener) listener = g_socket_listener_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GError) error = NULL;
    int fd, other;

    g_assert_cmpint(bh_machine_get_display_kind(first(host)), ==, BH_DISPLAY_SPICE);
    g_assert_cmpint(open_display(first(host), &error), ==, -1); /* nobody listens yet */
    g_assert_error(error, BH_ERROR, BH_ERROR_FAILED);
    g_assert_true(g_socket_listener_add_address(listener, address, G_SOCKET_TYPE_STREAM,
                                                G_SOCKET_PROTOCOL_DEFAULT, NULL, NULL, NULL));
    fd = open_display(first(host), NULL);
    other = open_display(first(host), NULL);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(other, >=, 0);
    g_assert_cmpint(fd, !=, other);
    g_assert_cmpint((int)write(fd, "x", 1), ==, 1); /* really connected, and ours */
    close(fd);
    close(other);
    act_ok(first(host), BH_VERB_FORCE_OFF);
    g_assert_cmpint(bh_machine_get_display_kind(first(host)), ==, BH_DISPLAY_NONE);
    close_host(host);
    g_unlink(path);
    g_rmdir(folder);
}

static char *ask(GSocketConnection *connection, const char *line)
{
    GInputStream *input = g_io_stream_get_input_stream(G_IO_STREAM(connection));
    GString *answer = g_string_new(NULL);
    GPollableInputStream *pollable = G_POLLABLE_INPUT_STREAM(input);
    char buffer[512];

    g_output_stream_write_all(g_io_stream_get_output_stream(G_IO_STREAM(connection)), line,
                              strlen(line), NULL, NULL, NULL);
    while (!g_str_has_suffix(answer->str, "\n")) {
        AWAIT(g_pollable_input_stream_is_readable(pollable));
        gssize n = g_input_stream_read(input, buffer, sizeof buffer, NULL, NULL);
        g_assert_cmpint(n, >, 0);
        g_string_append_len(answer, buffer, n);
    }
    return g_string_free(answer, FALSE);
}

static void assert_answer(GSocketConnection *connection, const char *line, const char *expected)
{
    g_autofree char *answer = ask(connection, line);

    g_assert_cmpstr(answer, ==, expected);
}

static void test_control(void)
{
    g_autofree char *folder = g_dir_make_tmp("bh-test-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(folder, "control", NULL);
    g_autofree char *uri =
        g_strdup_printf("fake:///?machines=2&running=2&delay=5&control=%s", path);
    BhHost *host = new_host(uri);
    g_autoptr(GSocketClient) client = g_socket_client_new();
    g_autoptr(GSocketAddress) address = g_unix_socket_address_new(path);
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect(client, G_SOCKET_CONNECTABLE(address), NULL, NULL);
    g_autoptr(GError) error = NULL;
    GStatBuf status;

    g_assert_nonnull(connection);
    g_assert_cmpint(g_stat(path, &status), ==, 0);
    g_assert_cmpint(status.st_mode & 0777, ==, 0600);
    assert_answer(connection, "rename 'Machine 1' 'Имя с пробелом'\n", "ok\n");
    g_assert_nonnull(bh_host_find_machine(host, "Имя с пробелом"));
    assert_answer(connection, "state 'Machine 2' off\n", "ok\n");
    assert_answer(connection, "fail start no-space All is full\n", "ok\n");
    g_assert_false(act(bh_host_find_machine(host, "Machine 2"), BH_VERB_START, NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpstr(error->message, ==, "All is full");
    assert_answer(connection, "crash 'Имя с пробелом' 'a\\nb'\n", "ok\n");
    g_assert_cmpstr(bh_machine_get_state_detail(bh_host_find_machine(host, "Имя с пробелом")), ==,
                    "b");
    assert_answer(connection, "add Third\n", "ok\n");
    assert_answer(connection, "remove 'Machine 2'\n", "ok\n");
    g_assert_cmpuint(machines(host), ==, 2);
    assert_answer(connection, "drop 10\n", "ok\n");
    assert_answer(connection, "remove nobody\n", "error no such machine\n");
    assert_answer(connection, "dance\n", "error no such command\n");
    assert_answer(connection, "state Third flying\n", "error no such state\n");
    assert_answer(connection, "fail start\n", "error too few words\n");
    AWAIT(bh_host_get_state(host) == BH_HOST_CONNECTED);
    g_clear_object(&connection);
    close_host(host);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
    g_rmdir(folder);
}

static void test_thousand(void)
{
    gint64 start = g_get_monotonic_time();
    BhHost *host = new_host("fake:///?machines=1000&running=10&delay=0");

    g_assert_cmpuint(machines(host), ==, 1000);
    g_assert_nonnull(bh_host_find_machine(host, "Machine 1000"));
    g_test_message("1,000 machines opened in %.1f ms",
                   (double)(g_get_monotonic_time() - start) / 1000);
    for (guint i = 0; i < 1500; i++)
        bh_host_log(host, BH_SEVERITY_INFO, NULL, NULL, "event %u", i);
    g_assert_cmpuint(g_list_model_get_n_items(bh_host_get_events(host)), ==, 1000);
    close_host(host);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/host/uri", test_uri);
    g_test_add_func("/host/open", test_open);
    g_test_add_func("/host/features", test_features);
    g_test_add_func("/host/open-fails", test_open_fails);
    g_test_add_func("/host/drop", test_drop);
    g_test_add_func("/host/thousand", test_thousand);
    g_test_add_func("/machine/life", test_life);
    g_test_add_func("/machine/can", test_can);
    g_test_add_func("/machine/cancel", test_cancel);
    g_test_add_func("/machine/faults", test_faults);
    g_test_add_func("/machine/crash", test_crash);
    g_test_add_func("/machine/crash-during", test_crash_during);
    g_test_add_func("/machine/force-off-start", test_force_off_start);
    g_test_add_func("/machine/stubborn", test_stubborn);
    g_test_add_func("/machine/apply", test_apply);
    g_test_add_func("/machine/apply-refused", test_apply_refused);
    g_test_add_func("/machine/usb", test_usb);
    g_test_add_func("/machine/screen-and-keys", test_screen_and_keys);
    g_test_add_func("/machine/display", test_display);
    g_test_add_func("/create/create", test_create);
    g_test_add_func("/create/import-cancelled", test_import_cancelled);
    g_test_add_func("/delete/delete", test_delete);
    g_test_add_func("/delete/name-taken", test_undelete_name_taken);
    g_test_add_func("/fake/control", test_control);
    return g_test_run();
}
