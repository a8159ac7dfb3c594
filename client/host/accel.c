/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs the probe guest (accel-probe/) under KVM and judges it. The guest goes through stock
 * firmware and must hand back the right 64-bit token and exit code in time; anything else means no
 * KVM.
 */
#include "accel-private.h"
#include "child.h"

#include "accel-guest.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define DEVICE "/dev/kvm"
#define LIMIT_MS 2000
#define WARM_UP_MS 900
#define MEASURE_MS 10000
#define SLOWER_AT_MOST 3 /* with KVM than without, or KVM is of no use */

/* What probe.S computes, and (its exit value << 1) | 1, as QEMU's isa-debug-exit has it. */
#define TOKEN "9e06a79c8db73610"
#define EXIT_STATUS 85

void bh_accel_free(BhAccel *self)
{
    if (!self)
        return;
    g_free(self->note);
    g_free(self);
}

void bh_probe_result_clear(BhProbeResult *self)
{
    g_clear_pointer(&self->detail, g_free);
}

static int open_guest(void)
{
    int fd = memfd_create("bulkhead-probe", MFD_CLOEXEC);
    ssize_t written = fd < 0 ? -1 : write(fd, bh_accel_guest, sizeof bh_accel_guest);

    if (written == (ssize_t)sizeof bh_accel_guest)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

/* QEMU tells causes first and dumps registers afterwards. */
static char *first_line(const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);

    for (char **line = lines; *line; line++)
        if (*g_strstrip(*line) && !strstr(*line, "warning:"))
            return g_strdup(*line);
    return NULL;
}

static BhProbe judge(const BhChildResult *result)
{
    if (result->timed_out || result->too_long)
        return BH_PROBE_HANGS;
    if (!WIFEXITED(result->status) || WEXITSTATUS(result->status) != EXIT_STATUS)
        return BH_PROBE_FAILS;
    return strcmp(result->output, TOKEN "\n") == 0 ? BH_PROBE_WORKS : BH_PROBE_WRONG_ANSWER;
}

void bh_accel_run_guest(const char *emulator, const char *accelerator, const char *cpu,
                        guint timeout_ms, GCancellable *cancellable, BhProbeResult *result)
{
    int fd = open_guest();
    g_autofree char *kernel = g_strdup_printf("/proc/self/fd/%d", fd);
    const BhChildLimits limits = {.timeout_ms = timeout_ms, .max_output = 4096, .pass_fd = fd};
    const char *const argv[] = {emulator,
                                "-accel",
                                accelerator,
                                "-machine",
                                "q35",
                                "-cpu",
                                cpu,
                                "-m",
                                "64",
                                "-nodefaults",
                                "-no-user-config",
                                "-display",
                                "none",
                                "-no-reboot",
                                "-kernel",
                                kernel,
                                "-chardev",
                                "stdio,id=d,signal=off",
                                "-device",
                                "isa-debugcon,iobase=0xe9,chardev=d",
                                "-device",
                                "isa-debug-exit,iobase=0xf4,iosize=4",
                                NULL};
    g_auto(BhChildResult) child = {0};
    g_autoptr(GError) error = NULL;

    *result = (BhProbeResult){.probe = BH_PROBE_FAILS};
    if (fd < 0) {
        result->detail = g_strdup(g_strerror(errno));
        return;
    }
    if (bh_child_run(argv, &limits, cancellable, &child, &error)) {
        result->probe = judge(&child);
        result->detail = first_line(child.errors);
    } else {
        result->probe = g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED)
                            ? BH_PROBE_CANCELLED
                            : BH_PROBE_NO_EMULATOR;
        result->detail = g_strdup(error->message);
    }
    close(fd);
}

void bh_accel_check_device(const char *device, BhProbeResult *result)
{
    int fd = open(device, O_RDWR | O_CLOEXEC);
    int code = errno;

    *result = (BhProbeResult){.probe = BH_PROBE_WORKS};
    if (fd >= 0) {
        close(fd);
        return;
    }
    if (code == ENOENT || code == ENOTDIR)
        result->probe = BH_PROBE_NO_DEVICE;
    else if (code == EACCES || code == EPERM)
        result->probe = BH_PROBE_NO_PERMISSION;
    else
        result->probe = BH_PROBE_CANNOT_OPEN;
    result->detail = g_strdup(g_strerror(code));
}

static gboolean processor_offers_virtualisation(void)
{
    g_autofree char *text = NULL;

    if (!g_file_get_contents("/proc/cpuinfo", &text, NULL, NULL))
        return FALSE;
    return strstr(text, " vmx") || strstr(text, " svm");
}

static char *base_note(const BhProbeResult *result)
{
    switch (result->probe) {
    case BH_PROBE_NO_DEVICE:
        if (processor_offers_virtualisation())
            return g_strdup(_("/dev/kvm is missing. Load the kernel module kvm_intel or kvm_amd."));
        return g_strdup(_("/dev/kvm is missing: the processor offers no virtualisation. Turn it on "
                          "in the firmware setup (VT-x or AMD-V), if this computer has it."));
    case BH_PROBE_NO_PERMISSION:
        return g_strdup(_("You may not use /dev/kvm. Add yourself to the group kvm "
                          "(“sudo adduser $USER kvm”) and log in again."));
    case BH_PROBE_CANNOT_OPEN:
        return g_strdup(_("/dev/kvm cannot be opened."));
    case BH_PROBE_NO_EMULATOR:
        return g_strdup(_("QEMU could not be started. Install the package qemu-system-x86."));
    case BH_PROBE_HANGS:
        return g_strdup(_("/dev/kvm opens, but a test guest did not finish in 2 seconds on it."));
    case BH_PROBE_WRONG_ANSWER:
        return g_strdup(_("/dev/kvm opens, but a test guest computed a wrong result on it."));
    case BH_PROBE_CANCELLED:
        return g_strdup(_("The test of /dev/kvm was interrupted."));
    default:
        return g_strdup(_("/dev/kvm opens, but a test guest does not run on it."));
    }
}

char *bh_accel_note(const BhProbeResult *result)
{
    g_autofree char *note = NULL;

    if (result->probe == BH_PROBE_WORKS)
        return NULL;
    note = base_note(result);
    /* A missing device or right is said in full already. */
    if (!result->detail || result->probe == BH_PROBE_NO_DEVICE ||
        result->probe == BH_PROBE_NO_PERMISSION || result->probe == BH_PROBE_CANCELLED)
        return g_steal_pointer(&note);
    return g_strdup_printf("%s (%s)", note, result->detail);
}

static BhAccel *make_answer(const BhProbeResult *result, gboolean cached)
{
    BhAccel *answer = g_new0(BhAccel, 1);

    answer->kvm = result->probe == BH_PROBE_WORKS;
    answer->note = bh_accel_note(result);
    answer->cached = cached;
    return answer;
}

/* Brings QEMU and its libraries into memory, so that the probe's two seconds measure the guest and
 * not a cold disk. Whether it succeeds does not matter here. */
static void warm_up(const char *program, GCancellable *cancellable)
{
    const char *const argv[] = {program, "--version", NULL};
    const BhChildLimits limits = {.timeout_ms = WARM_UP_MS};
    g_auto(BhChildResult) result = {0};

    bh_child_run(argv, &limits, cancellable, &result, NULL);
}

/* How long the guest takes without KVM, in ms; 0 when it does not end in time. */
static guint measure(const char *program, GCancellable *cancellable, BhProbeResult *result)
{
    gint64 start = g_get_monotonic_time();

    bh_accel_run_guest(program, "tcg", "max", MEASURE_MS, cancellable, result);
    return result->probe == BH_PROBE_WORKS ? (guint)((g_get_monotonic_time() - start) / 1000) : 0;
}

/* A slow or busy computer is not a KVM that hangs: there the limit is a multiple of what the same
 * guest takes without KVM. */
void bh_accel_try_kvm(const char *program, guint limit_ms, GCancellable *cancellable,
                      BhProbeResult *result)
{
    g_auto(BhProbeResult) without = {0};
    guint patience;

    bh_accel_run_guest(program, "kvm", "host", limit_ms, cancellable, result);
    if (result->probe != BH_PROBE_HANGS)
        return;
    patience = SLOWER_AT_MOST * measure(program, cancellable, &without);
    if (without.probe != BH_PROBE_CANCELLED && patience <= limit_ms)
        return;
    bh_probe_result_clear(result);
    /* A cancelled measurement ends here as a cancelled probe. */
    bh_accel_run_guest(program, "kvm", "host", patience, cancellable, result);
}

BhAccel *bh_accel_probe(const char *emulator, GCancellable *cancellable)
{
    g_autofree char *program = g_find_program_in_path(emulator ? emulator : "qemu-system-x86_64");
    g_autofree char *key = program ? bh_accel_cache_key(program, DEVICE) : NULL;
    g_auto(BhProbeResult) result = {0};

    if (key && bh_accel_cache_read(key, &result))
        return make_answer(&result, TRUE);
    bh_probe_result_clear(&result);
    if (!program)
        result.probe = BH_PROBE_NO_EMULATOR;
    else
        bh_accel_check_device(DEVICE, &result);
    if (result.probe == BH_PROBE_WORKS) {
        warm_up(program, cancellable);
        bh_accel_try_kvm(program, LIMIT_MS, cancellable, &result);
    }
    if (key && result.probe != BH_PROBE_CANCELLED)
        bh_accel_cache_write(key, &result);
    return make_answer(&result, FALSE);
}
