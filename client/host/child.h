/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a helper program (qemu-img, the acceleration probe's QEMU) under limits, from a worker
 * thread, and waits for it. The child never outlives the call: it is in a process group of its own,
 * which is killed on cancel, on time-out, on too much output, and when our process dies.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef struct {
    guint timeout_ms;      /* 0: none */
    guint64 cpu_seconds;   /* RLIMIT_CPU, 0: none */
    guint64 address_space; /* RLIMIT_AS in bytes, 0: none */
    guint64 file_size;     /* RLIMIT_FSIZE in bytes, 0: none */
    gsize max_output;      /* more standard output than this ends the child; 0: 1 MiB */
    int pass_fd;           /* kept open in the child under the same number; 0: none */
    /* Called with each piece of standard output, which is then not collected. May be NULL. */
    void (*on_output)(const char *text, gsize length, gpointer data);
    gpointer data;
} BhChildLimits;

typedef struct {
    int status;         /* as of waitpid() */
    gboolean timed_out; /* of time or of processor time */
    gboolean too_long;  /* printed more than max_output */
    char *output;       /* standard output, NUL-terminated */
    gsize output_length;
    char *errors; /* standard error, its first 16 KiB, valid UTF-8, no trailing newline */
} BhChildResult;

void bh_child_result_clear(BhChildResult *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BhChildResult, bh_child_result_clear)

/* TRUE when the child ran and ended somehow: look at result. FALSE with an error when it could not
 * be started (G_SPAWN_ERROR) or was cancelled (G_IO_ERROR_CANCELLED). result is valid in any case.
 */
gboolean bh_child_run(const char *const *argv, const BhChildLimits *limits,
                      GCancellable *cancellable, BhChildResult *result, GError **error);
gboolean bh_child_succeeded(const BhChildResult *result);

G_END_DECLS
