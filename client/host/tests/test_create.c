/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Proposals for new machines, free names, and running the demo desktop's builder. */
#include <string.h>

#include <glib/gstdio.h>

#include <bulkhead/create.h>
#include <bulkhead/fake.h>

#include "await.h"

#define GIB (G_GUINT64_CONSTANT(1) << 30)

static BhHost *new_host(const char *uri)
{
    BhHost *host = bh_host_new(uri, NULL);
    g_autoptr(GAsyncResult) result = NULL;

    bh_host_open_async(host, NULL, await_callback, &result);
    g_assert_true(bh_host_open_finish(host, await_result(&result), NULL));
    return host;
}

static void close_host(BhHost *host)
{
    bh_host_close(host);
    g_object_unref(host);
}

static void assert_name(BhHost *host, const char *wanted, const char *expected)
{
    g_autofree char *name = bh_host_unique_name(host, wanted);

    g_assert_cmpstr(name, ==, expected);
}

static void test_names(void)
{
    BhHost *host = new_host("fake:///?delay=0&names=Debian,Debian%202,%D0%94%D0%B0");

    assert_name(host, "Fedora", "Fedora");
    assert_name(host, "Debian", "Debian 3");
    assert_name(host, "Да", "Да 2");
    assert_name(host, " a/b\tc\n", "a-b c");
    assert_name(host, "", "Machine");
    assert_name(host, NULL, "Machine");
    assert_name(host, "..", "Machine");
    assert_name(host, "\xff", "\xef\xbf\xbd");
    close_host(host);
}

/* Whatever is wanted, the proposal is a name that a machine may have. */
static void test_names_are_valid(void)
{
    static const char *const pieces[] = {"é", "仕", "🖥", " ", "/", "\a", "\xc3", "x"};
    BhHost *host = new_host("fake:///?delay=0&machines=1");
    g_autoptr(BhMachineSpec) spec = bh_machine_spec_new();

    for (guint round = 0; round < 300; round++) {
        GString *wanted = g_string_new(NULL);
        guint length = g_test_rand_int_range(0, 250);

        for (guint i = 0; i < length; i++)
            g_string_append(wanted, pieces[g_test_rand_int_range(0, G_N_ELEMENTS(pieces))]);
        g_free(spec->name);
        spec->name = bh_host_unique_name(host, wanted->str);
        g_assert_true(bh_machine_spec_validate(spec, NULL));
        bh_fake_host_force_add(BH_FAKE_HOST(host), spec->name);
        g_free(spec->name);
        spec->name = bh_host_unique_name(host, wanted->str); /* now with a number */
        g_assert_true(bh_machine_spec_validate(spec, NULL));
        g_assert_null(bh_host_find_machine(host, spec->name));
        g_string_free(wanted, TRUE);
    }
    close_host(host);
}

static void test_iso(void)
{
    BhHost *host = new_host("fake:///?delay=0&memory=3072&cpus=4");
    BhMediaInfo media = {.path = (char *)"/x/debian.iso",
                         .kind = BH_MEDIA_ISO,
                         .os_id = (char *)"http://debian.org/debian/12",
                         .suggested_name = (char *)"Debian 12"};
    g_autoptr(BhMachineSpec) spec = bh_spec_from_media(host, &media, NULL);

    g_assert_true(bh_machine_spec_validate(spec, NULL));
    g_assert_cmpstr(spec->name, ==, "Debian 12");
    g_assert_cmpstr(spec->cdrom, ==, media.path);
    g_assert_true(spec->install);
    g_assert_cmpint(spec->disk_origin, ==, BH_DISK_NEW);
    g_assert_cmpuint(spec->disk_bytes, >=, GIB);
    g_assert_cmpuint(spec->memory_mib, <=, 1536);
    g_assert_cmpuint(spec->cpus, <=, 4);
    close_host(host);
}

static void test_image(void)
{
    BhHost *host = new_host("fake:///?delay=0");
    BhMediaInfo media = {.path = (char *)"/x/disk.vmdk",
                         .kind = BH_MEDIA_DISK,
                         .virtual_size = 7 * GIB,
                         .suggested_name = (char *)"disk"};
    g_autoptr(BhMachineSpec) spec = bh_spec_from_media(host, &media, NULL);

    g_assert_true(bh_machine_spec_validate(spec, NULL));
    g_assert_cmpint(spec->disk_origin, ==, BH_DISK_IMPORT);
    g_assert_cmpstr(spec->disk_source, ==, media.path);
    g_assert_cmpuint(spec->disk_bytes, ==, 0);
    g_assert_false(spec->install);
    g_assert_null(spec->cdrom);
    g_assert_null(spec->os_id);
    close_host(host);
}

/* What the system wants and the host does not have is left out, so that the machine can be made. */
static void test_poor_host(void)
{
    BhHost *host = new_host("fake:///?delay=0&features=no-efi,no-tpm,no-secure-boot");
    g_autoptr(BhOs) os = bh_os_lookup("http://microsoft.com/win/11");
    g_autoptr(BhMachineSpec) spec = bh_spec_from_media(host, NULL, os);

    g_assert_true(bh_machine_spec_validate(spec, NULL));
    g_assert_cmpint(spec->firmware, ==, BH_FIRMWARE_BIOS);
    g_assert_false(spec->secure_boot || spec->tpm);
    g_assert_cmpint(spec->disk_origin, ==, BH_DISK_NEW);
    close_host(host);
}

static void test_windows(void)
{
    BhHost *host = new_host("fake:///?delay=0");
    g_autoptr(BhOs) os = bh_os_lookup("http://microsoft.com/win/11");
    g_autoptr(BhMachineSpec) spec = bh_spec_from_media(host, NULL, os);

    if (os->id == NULL) {
        g_test_skip("no database of operating systems");
    } else {
        g_assert_true(spec->secure_boot && spec->tpm);
        g_assert_cmpstr(spec->os_id, ==, os->id);
    }
    close_host(host);
}

/* ---- the demo desktop ---- */

typedef struct {
    char *folder;
} Builder;

static void builder_setup(Builder *self, gconstpointer script)
{
    g_autofree char *program = NULL;

    self->folder = g_dir_make_tmp("bh-test-XXXXXX", NULL);
    program = g_build_filename(self->folder, "bulkhead-demo-build", NULL);
    if (script != NULL) {
        g_assert_true(g_file_set_contents(program, script, -1, NULL));
        g_assert_cmpint(g_chmod(program, 0755), ==, 0);
    }
    g_setenv("BULKHEAD_LIBEXECDIR", self->folder, TRUE);
}

static void builder_teardown(Builder *self, gconstpointer script)
{
    g_autofree char *program = g_build_filename(self->folder, "bulkhead-demo-build", NULL);

    g_unlink(program);
    g_rmdir(self->folder);
    g_free(self->folder);
}

static char *prepare(BhJob *job, GError **error)
{
    g_autoptr(GAsyncResult) result = NULL;

    bh_demo_prepare_async(job, await_callback, &result);
    return bh_demo_prepare_finish(await_result(&result), error);
}

static void test_demo(Builder *self, gconstpointer script)
{
    g_autoptr(BhJob) job = bh_job_new("Demo", NULL);
    g_autoptr(GError) error = NULL;
    g_autofree char *path = prepare(job, &error);
    g_autofree char *expected = bh_demo_get_path();
    BhHost *host = new_host("fake:///?delay=0");
    g_autoptr(BhMachineSpec) spec = bh_spec_for_demo(host, path);

    g_assert_no_error(error);
    g_assert_cmpstr(path, ==, expected);
    g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_DONE);
    g_assert_cmpfloat(bh_job_get_fraction(job), ==, 1);
    g_assert_cmpstr(bh_job_get_text(job), ==, "The demo desktop is ready");
    g_assert_true(bh_machine_spec_validate(spec, NULL));
    g_assert_cmpint(spec->disk_origin, ==, BH_DISK_IMPORT);
    close_host(host);
}

static void test_demo_fails(Builder *self, gconstpointer script)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(prepare(NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_FAILED);
    g_assert_cmpstr(error->message, ==, "It did not work.");
    g_assert_cmpstr(bh_error_get_hint(error), ==, "Do this. And that.");
    g_assert_nonnull(strstr(bh_error_get_detail(error), "noise 100"));
}

static void test_demo_missing(Builder *self, gconstpointer script)
{
    g_autoptr(GError) error = NULL;

    g_assert_null(prepare(NULL, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NOT_SUPPORTED);
    g_assert_nonnull(bh_error_get_hint(error));
}

static void cancel_on_text(GObject *object, GParamSpec *pspec, gpointer data)
{
    bh_job_cancel(BH_JOB(object));
}

static void test_demo_cancelled(Builder *self, gconstpointer script)
{
    g_autoptr(BhJob) job = bh_job_new("Demo", NULL);
    g_autoptr(GError) error = NULL;

    g_signal_connect(job, "notify::text", G_CALLBACK(cancel_on_text), NULL);
    g_assert_null(prepare(job, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_CANCELLED);
    g_clear_error(&error);
    g_assert_null(prepare(job, &error)); /* a job that is cancelled already starts nothing */
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/create/names", test_names);
    g_test_add_func("/create/names-are-valid", test_names_are_valid);
    g_test_add_func("/create/iso", test_iso);
    g_test_add_func("/create/image", test_image);
    g_test_add_func("/create/poor-host", test_poor_host);
    g_test_add_func("/create/windows", test_windows);
    g_test_add("/demo/ready", Builder,
               "#!/bin/sh\necho PROGRESS 5 Starting\necho PROGRESS nonsense\n"
               "echo PROGRESS 100 The demo desktop is ready\n",
               builder_setup, test_demo, builder_teardown);
    g_test_add("/demo/fails", Builder,
               "#!/bin/sh\ni=0; while [ $i -lt 100 ]; do i=$((i+1)); echo noise $i >&2; done\n"
               "for l in 'It did not work.' 'Do this.' 'And that.'; do\n"
               "echo \"bulkhead-demo-build: $l\" >&2; done; exit 3\n",
               builder_setup, test_demo_fails, builder_teardown);
    g_test_add("/demo/missing", Builder, NULL, builder_setup, test_demo_missing, builder_teardown);
    g_test_add("/demo/cancelled", Builder,
               "#!/bin/sh\ntrap 'exit 143' TERM\necho PROGRESS 5 Starting\n"
               "while :; do sleep 0.1; done\n",
               builder_setup, test_demo_cancelled, builder_teardown);
    return g_test_run();
}
