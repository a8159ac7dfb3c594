/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One operation of the fake driver: time that passes, progress, cancellation, faults.
 *
 * The operation is looked at every TICK_MS, which also is how it learns of cancellation: a handler
 * on the cancellable would have to be disconnected from inside itself.
 */
#include "fake-private.h"

#include <glib/gi18n-lib.h>

enum { TICK_MS = 15 };

static void op_free(BhFakeOp *op)
{
    if (op->host != NULL)
        bh_fake_host_remove_op(op->host, op);
    if (op->machine != NULL && bh_fake_machine_get_op(op->machine) == op)
        bh_fake_machine_set_op(op->machine, NULL);
    if (op->data_free != NULL)
        op->data_free(op->data);
    g_clear_error(&op->fault);
    g_clear_error(&op->aborted);
    g_clear_object(&op->job);
    g_clear_object(&op->task);
    g_clear_object(&op->machine);
    g_clear_object(&op->host);
    g_free(op);
}

/* The machine must be free for the next operation before the caller hears of this one's end. */
static void op_release_machine(BhFakeOp *op)
{
    if (op->machine != NULL && bh_fake_machine_get_op(op->machine) == op)
        bh_fake_machine_set_op(op->machine, NULL);
}

static gboolean op_fail(BhFakeOp *op, GError *error, gboolean undo)
{
    op->source = 0;
    op_release_machine(op);
    op->failure = error;
    if (undo && op->undo != NULL)
        op->undo(op);
    g_task_return_error(op->task, error);
    op_free(op);
    return G_SOURCE_REMOVE;
}

static GError *disconnected(void)
{
    return bh_error_new(BH_ERROR_DISCONNECTED, _("Try again when it is back."), NULL,
                        _("The connection to the host is lost."));
}

static void op_report(BhFakeOp *op, double fraction)
{
    if (op->bytes > 0)
        bh_job_report_bytes(op->job, (guint64)(fraction * (double)op->bytes), op->bytes);
    else
        bh_job_report_fraction(op->job, fraction, op->step);
}

static gboolean op_tick(gpointer data)
{
    BhFakeOp *op = data;
    double fraction = 1;
    GError *error = NULL;

    if (op->aborted != NULL)
        return op_fail(op, g_steal_pointer(&op->aborted), FALSE);
    if (bh_host_get_state(BH_HOST(op->host)) == BH_HOST_DISCONNECTED)
        return op_fail(op, disconnected(), TRUE);
    if (g_cancellable_set_error_if_cancelled(g_task_get_cancellable(op->task), &error))
        return op_fail(op, error, TRUE);
    if (op->duration > 0)
        fraction = CLAMP((double)(g_get_monotonic_time() - op->start) / (double)op->duration, 0, 1);
    if (op->fault != NULL && fraction >= 0.5)
        return op_fail(op, g_steal_pointer(&op->fault), TRUE);
    op_report(op, fraction);
    if (fraction < 1)
        return G_SOURCE_CONTINUE;
    op->source = 0;
    op_release_machine(op);
    op->finish(op);
    op_free(op);
    return G_SOURCE_REMOVE;
}

BhFakeOp *bh_fake_op_new(BhFakeHost *host, BhFakeMachine *machine, const char *what, BhJob *job,
                         GTask *task, guint percent)
{
    BhFakeOp *op = g_new0(BhFakeOp, 1);

    op->host = g_object_ref(host);
    op->machine = machine != NULL ? g_object_ref(machine) : NULL;
    op->job = job != NULL ? g_object_ref(job) : NULL;
    op->task = task;
    op->start = g_get_monotonic_time();
    op->duration = (gint64)bh_fake_host_get_params(host)->delay_ms * 10 * percent;
    op->fault = bh_fake_host_take_fault(host, what);
    op->before = machine != NULL ? (int)bh_machine_get_state(BH_MACHINE(machine)) : 0;
    op->source = g_timeout_add(op->duration > 0 ? TICK_MS : 0, op_tick, op);
    bh_fake_host_add_op(host, op);
    if (machine != NULL)
        bh_fake_machine_set_op(machine, op);
    return op;
}

void bh_fake_task_fail(GTask *task, GError *error)
{
    g_task_return_error(task, error);
    g_object_unref(task);
}

void bh_fake_op_abort(BhFakeOp *op, GError *error)
{
    g_clear_error(&op->aborted);
    op->aborted = error;
}
