/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The acceleration probe. It must be able to say yes (the same guest under TCG does) and to say no
 * for the right reason; what it says about this computer's KVM is printed.
 */
#include "../accel-private.h"

#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define PATIENCE_MS 30000 /* a busy test machine must not make a wrong verdict here */

static char *folder, *emulator;

static char *write_script(const char *name, const char *text)
{
    char *path = g_build_filename(folder, name, NULL);

    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    g_assert_cmpint(g_chmod(path, 0755), ==, 0);
    return path;
}

static void test_guest_succeeds(void)
{
    g_auto(BhProbeResult) result = {0};

    if (!emulator) {
        g_test_skip("no qemu-system-x86_64");
        return;
    }
    bh_accel_run_guest(emulator, "tcg", "max", PATIENCE_MS, NULL, &result);
    g_test_message("tcg: %d %s", result.probe, result.detail);
    g_assert_cmpint(result.probe, ==, BH_PROBE_WORKS);
    g_assert_null(bh_accel_note(&result));
}

/* A CPU that lacks what the guest needs: the guest stops, and the probe notices. */
static void test_guest_fails(void)
{
    g_auto(BhProbeResult) result = {0}, unknown = {0};
    g_autofree char *note = NULL;

    if (!emulator) {
        g_test_skip("no qemu-system-x86_64");
        return;
    }
    bh_accel_run_guest(emulator, "tcg", "max,-sse2", 1500, NULL, &result);
    g_assert_cmpint(result.probe, ==, BH_PROBE_HANGS);
    note = bh_accel_note(&result);
    g_assert_nonnull(strstr(note, "did not finish"));
    bh_accel_run_guest(emulator, "nonsense", "max", PATIENCE_MS, NULL, &unknown);
    g_assert_cmpint(unknown.probe, ==, BH_PROBE_FAILS);
    g_assert_nonnull(unknown.detail);
}

/* Emulators that lie or die. */
static void test_bad_emulators(void)
{
    const struct {
        const char *script;
        BhProbe probe;
    } cases[] = {
        {"#!/bin/sh\nexit 0\n", BH_PROBE_FAILS},
        {"#!/bin/sh\nexit 85\n", BH_PROBE_WRONG_ANSWER},
        {"#!/bin/sh\necho 9e06a79c8db73611; exit 85\n", BH_PROBE_WRONG_ANSWER},
        {"#!/bin/sh\necho 9e06a79c8db73610; exit 85\n", BH_PROBE_WORKS},
        {"#!/bin/sh\necho 9e06a79c8db73610; exit 1\n", BH_PROBE_FAILS},
        {"#!/bin/sh\necho 'error: failed to set MSR 0x1' >&2; kill -ABRT $$\n", BH_PROBE_FAILS},
        {"#!/bin/sh\nsleep 60\n", BH_PROBE_HANGS},
        {"#!/bin/sh\nyes\n", BH_PROBE_HANGS},
        {"\177ELF rubbish", BH_PROBE_FAILS},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *program = write_script("fake-qemu", cases[i].script);
        g_auto(BhProbeResult) result = {0};
        guint limit = cases[i].probe == BH_PROBE_HANGS ? 300 : PATIENCE_MS;
        bh_accel_run_guest(program, "kvm", "host", limit, NULL, &result);
        if (result.probe != cases[i].probe)
            g_error("case %" G_GSIZE_FORMAT ": %d (%s)", i, result.probe, result.detail);
    }
}

/* A slow computer is told from a KVM that hangs by what the guest takes without KVM. */
static void test_slow_computer(void)
{
    const struct {
        const char *kvm, *tcg; /* seconds */
        BhProbe probe;
    } cases[] = {
        {"0.8", "0.5", BH_PROBE_WORKS}, /* slow, but it works */
        {"60", "0.3", BH_PROBE_HANGS},  /* slow, and it hangs */
        {"60", "0", BH_PROBE_HANGS},    /* quick, and it hangs */
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *script =
            g_strdup_printf("#!/bin/sh\n"
                            "case $2 in kvm) sleep %s ;; *) sleep %s ;; esac\n"
                            "echo 9e06a79c8db73610; exit 85\n",
                            cases[i].kvm, cases[i].tcg);
        g_autofree char *program = write_script("slow-qemu", script);
        g_auto(BhProbeResult) result = {0};
        bh_accel_try_kvm(program, 300, NULL, &result);
        if (result.probe != cases[i].probe)
            g_error("case %" G_GSIZE_FORMAT ": %d (%s)", i, result.probe, result.detail);
    }
}

static void test_device(void)
{
    g_auto(BhProbeResult) gone = {0}, fine = {0}, odd = {0};
    g_autofree char *missing = g_build_filename(folder, "kvm", NULL);
    g_autofree char *note = NULL, *odd_note = NULL;

    bh_accel_check_device(missing, &gone);
    g_assert_cmpint(gone.probe, ==, BH_PROBE_NO_DEVICE);
    note = bh_accel_note(&gone);
    g_assert_nonnull(strstr(note, "/dev/kvm is missing"));
    bh_accel_check_device("/dev/null", &fine);
    g_assert_cmpint(fine.probe, ==, BH_PROBE_WORKS);
    bh_accel_check_device(folder, &odd);
    g_assert_cmpint(odd.probe, ==, BH_PROBE_CANNOT_OPEN);
    odd_note = bh_accel_note(&odd);
    g_assert_nonnull(strstr(odd_note, odd.detail));
}

static void test_no_permission(void)
{
    g_autofree char *node = g_build_filename(folder, "locked", NULL), *note = NULL;
    g_auto(BhProbeResult) result = {0};

    g_assert_true(g_file_set_contents(node, "", 0, NULL));
    g_chmod(node, 0);
    g_chmod(folder, 0755);
    if (geteuid() == 0 && seteuid(65534) != 0) {
        g_test_skip("cannot become an ordinary user");
        return;
    }
    bh_accel_check_device(node, &result);
    if (getuid() == 0)
        g_assert_cmpint(seteuid(0), ==, 0);
    g_assert_cmpint(result.probe, ==, BH_PROBE_NO_PERMISSION);
    note = bh_accel_note(&result);
    g_assert_nonnull(strstr(note, "group kvm"));
}

static char *cache_file(void)
{
    return g_build_filename(g_get_user_cache_dir(), "bulkhead", "accel.json", NULL);
}

static void test_cache(void)
{
    BhProbeResult no = {BH_PROBE_HANGS, (char *)"because “so”"}, yes = {BH_PROBE_WORKS, NULL};
    g_auto(BhProbeResult) back = {0}, other = {0}, again = {0};
    g_autofree char *key = bh_accel_cache_key("/bin/sh", "/dev/null");
    g_autofree char *same = bh_accel_cache_key("/bin/sh", "/dev/null");
    g_autofree char *different = bh_accel_cache_key("/bin/sh", "/dev/zero");
    g_autofree char *program = bh_accel_cache_key("/bin/cat", "/dev/null");

    g_assert_cmpstr(key, ==, same);
    g_assert_cmpstr(key, !=, different);
    g_assert_cmpstr(key, !=, program);
    g_assert_false(bh_accel_cache_read(key, &back));
    bh_accel_cache_write(key, &no);
    g_assert_true(bh_accel_cache_read(key, &back));
    g_assert_cmpint(back.probe, ==, BH_PROBE_HANGS);
    g_assert_cmpstr(back.detail, ==, no.detail);
    g_assert_false(bh_accel_cache_read(different, &other));
    bh_accel_cache_write(key, &yes);
    g_assert_true(bh_accel_cache_read(key, &again));
    g_assert_cmpint(again.probe, ==, BH_PROBE_WORKS);
    g_assert_null(again.detail);
}

static void test_broken_cache(void)
{
    g_autofree char *path = cache_file();
    g_autofree char *old = g_strdup("{\"key\": \"k\", \"probe\": 5, \"time\": 1000}");
    g_autofree char *future = g_strdup("{\"key\": \"k\", \"probe\": 5, \"time\": 9000000000}");
    const char *const contents[] = {
        "",
        "{",
        "[]",
        "null",
        "\"k\"",
        "\xff\xff",
        "{\"key\": \"k\"}",
        "{\"key\": 5, \"probe\": 0, \"time\": 1}",
        "{\"key\": \"k\", \"probe\": \"0\", \"time\": 1}",
        "{\"key\": \"k\", \"probe\": 99, \"time\": 1}",
        "{\"key\": \"k\", \"probe\": -1, \"time\": 1}",
        "{\"key\": \"k\", \"probe\": {}, \"time\": []}",
        "{\"key\": \"k\", \"probe\": 0}",
        old,
        future,
    };

    for (gsize i = 0; i < G_N_ELEMENTS(contents); i++) {
        g_auto(BhProbeResult) result = {0};
        g_assert_true(g_file_set_contents(path, contents[i], -1, NULL));
        if (bh_accel_cache_read("k", &result))
            g_error("accepted: %s", contents[i]);
    }
    g_assert_true(
        g_file_set_contents(path, "{\"key\": \"k\", \"probe\": 0, \"time\": 1}", -1, NULL));
    g_auto(BhProbeResult) good = {0};
    g_assert_true(bh_accel_cache_read("k", &good));
}

static void test_this_computer(void)
{
    g_autofree char *path = cache_file();
    g_autoptr(BhAccel) first = NULL, second = NULL;
    gint64 start;

    if (!emulator) {
        g_test_skip("no qemu-system-x86_64");
        return;
    }
    g_unlink(path);
    start = g_get_monotonic_time();
    first = bh_accel_probe(emulator, NULL);
    g_test_message("KVM here: %s in %d ms: %s", first->kvm ? "yes" : "no",
                   (int)((g_get_monotonic_time() - start) / 1000), first->note);
    g_assert_true(first->kvm == (first->note == NULL));
    g_assert_false(first->cached);
    second = bh_accel_probe(emulator, NULL);
    g_assert_true(second->cached);
    g_assert_true(second->kvm == first->kvm);
    g_assert_cmpstr(second->note, ==, first->note);
}

static void test_no_emulator(void)
{
    g_autoptr(BhAccel) answer = bh_accel_probe("/nonexistent/qemu", NULL);

    g_assert_false(answer->kvm);
    g_assert_nonnull(strstr(answer->note, "qemu-system-x86"));
}

static void test_cancelled(void)
{
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autofree char *path = cache_file();
    g_auto(BhProbeResult) result = {0};
    g_autofree char *program = write_script("slow-qemu", "#!/bin/sh\nsleep 60\n");

    g_unlink(path);
    g_cancellable_cancel(cancellable);
    bh_accel_run_guest(program, "kvm", "host", PATIENCE_MS, cancellable, &result);
    g_assert_cmpint(result.probe, ==, BH_PROBE_CANCELLED);
    g_assert_false(g_file_test(path, G_FILE_TEST_EXISTS));
}

static void remove_files(void)
{
    const char *argv[] = {"rm", "-rf", folder, NULL};
    g_spawn_sync(NULL, (char **)argv, NULL, G_SPAWN_SEARCH_PATH, NULL, NULL, NULL, NULL, NULL,
                 NULL);
}

int main(int argc, char **argv)
{
    int status;

    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    folder = g_dir_make_tmp("bulkhead-accel-XXXXXX", NULL);
    g_setenv("XDG_CACHE_HOME", folder, TRUE);
    g_test_init(&argc, &argv, NULL);
    emulator = g_find_program_in_path("qemu-system-x86_64");
    g_test_add_func("/accel/guest-succeeds", test_guest_succeeds);
    g_test_add_func("/accel/guest-fails", test_guest_fails);
    g_test_add_func("/accel/bad-emulators", test_bad_emulators);
    g_test_add_func("/accel/slow-computer", test_slow_computer);
    g_test_add_func("/accel/device", test_device);
    g_test_add_func("/accel/no-permission", test_no_permission);
    g_test_add_func("/accel/cache", test_cache);
    g_test_add_func("/accel/broken-cache", test_broken_cache);
    g_test_add_func("/accel/this-computer", test_this_computer);
    g_test_add_func("/accel/no-emulator", test_no_emulator);
    g_test_add_func("/accel/cancelled", test_cancelled);
    status = g_test_run();
    remove_files();
    g_free(emulator);
    g_free(folder);
    return status;
}
