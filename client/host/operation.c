/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Tying a driver's GTask to the caller's job: see operation.h. */
#include "operation.h"

typedef struct {
    BhJob *job;
    BhOperationEnded ended;
    GAsyncReadyCallback callback;
    gpointer data;
} Operation;

/* The error itself belongs to the callback; a job only needs to know how it ended. */
static void end_job(BhJob *job, GTask *task)
{
    g_autoptr(GError) error = NULL;

    if (g_task_had_error(task)) {
        gboolean cancelled = g_cancellable_is_cancelled(bh_job_get_cancellable(job));
        error = g_error_new_literal(G_IO_ERROR,
                                    cancelled ? G_IO_ERROR_CANCELLED : G_IO_ERROR_FAILED, "ended");
    }
    bh_job_end(job, error);
}

static void on_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Operation *op = data;

    if (op->job)
        end_job(op->job, G_TASK(result));
    if (op->ended)
        op->ended(source, op->job);
    if (op->callback)
        op->callback(source, result, op->data);
    g_clear_object(&op->job);
    g_free(op);
}

GTask *bh_operation_new(gpointer source, BhJob *job, gpointer tag, BhOperationEnded ended,
                        GAsyncReadyCallback callback, gpointer data)
{
    Operation *op = g_new(Operation, 1);
    *op = (Operation){job ? g_object_ref(job) : NULL, ended, callback, data};

    GTask *task = g_task_new(source, bh_job_get_cancellable(job), on_done, op);
    g_task_set_source_tag(task, tag);
    g_task_set_check_cancellable(task, FALSE);
    return task;
}
