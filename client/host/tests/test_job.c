/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhJob: reports from threads, rate limit of notifications, ends. */
#include <string.h>

#include <bulkhead/job.h>

#include "await.h"

static GThread *main_thread;

static void count(GObject *object, GParamSpec *pspec, gpointer data)
{
    g_assert_true(g_thread_self() == main_thread);
    ++*(guint *)data;
}

static gpointer report_a_lot(gpointer data)
{
    for (guint i = 1; i <= 20000; i++)
        bh_job_report_bytes(data, i, 20000);
    return NULL;
}

static void test_reports_from_thread(void)
{
    g_autoptr(BhJob) job = bh_job_new("Importing", "some-id");
    guint notified = 0;
    GThread *thread;

    g_assert_cmpstr(bh_job_get_title(job), ==, "Importing");
    g_assert_cmpstr(bh_job_get_machine_id(job), ==, "some-id");
    g_assert_cmpfloat(bh_job_get_fraction(job), ==, -1);
    g_signal_connect(job, "notify::fraction", G_CALLBACK(count), &notified);
    thread = g_thread_new("worker", report_a_lot, job);
    g_thread_join(thread);
    AWAIT(bh_job_get_fraction(job) == 1);
    g_assert_cmpuint(notified, >=, 1);
    g_assert_cmpuint(notified, <=, 3);
    g_assert_nonnull(strstr(bh_job_get_text(job), "19.5"));
    bh_job_end(job, NULL);
    g_assert_cmpint(bh_job_get_state(job), ==, BH_JOB_DONE);
}

static void test_unknown_total(void)
{
    g_autoptr(BhJob) job = bh_job_new("Copying", NULL);

    bh_job_report_bytes(job, 4096, 0);
    AWAIT(bh_job_get_text(job) != NULL);
    g_assert_cmpfloat(bh_job_get_fraction(job), ==, -1);
    bh_job_report_fraction(job, 7.5, "More than all");
    AWAIT(bh_job_get_fraction(job) == 1);
    g_assert_cmpstr(bh_job_get_text(job), ==, "More than all");
    bh_job_end(job, NULL);
}

static void test_ends(void)
{
    g_autoptr(GError) cancelled = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, "stop");
    g_autoptr(GError) failed = g_error_new_literal(G_IO_ERROR, G_IO_ERROR_FAILED, "no");
    g_autoptr(BhJob) a = bh_job_new("a", NULL);
    g_autoptr(BhJob) b = bh_job_new("b", NULL);
    guint notified = 0;

    g_signal_connect(a, "notify::state", G_CALLBACK(count), &notified);
    bh_job_cancel(a);
    g_assert_true(g_cancellable_is_cancelled(bh_job_get_cancellable(a)));
    g_assert_cmpint(bh_job_get_state(a), ==, BH_JOB_RUNNING);
    bh_job_end(a, cancelled);
    g_assert_cmpint(bh_job_get_state(a), ==, BH_JOB_CANCELLED);
    bh_job_end(a, NULL); /* only the first end counts */
    g_assert_cmpint(bh_job_get_state(a), ==, BH_JOB_CANCELLED);
    g_assert_cmpuint(notified, ==, 1);
    bh_job_end(b, failed);
    g_assert_cmpint(bh_job_get_state(b), ==, BH_JOB_FAILED);
}

/* The worker side takes NULL, and a report that is still waiting when the job is let go is safe. */
static void test_null_and_late(void)
{
    BhJob *job = bh_job_new("gone", NULL);

    g_assert_null(bh_job_get_cancellable(NULL));
    bh_job_report_bytes(NULL, 1, 2);
    bh_job_report_fraction(NULL, 0.5, "x");
    bh_job_end(NULL, NULL);
    bh_job_report_fraction(job, 0.5, "x");
    g_object_unref(job);
    await_ms(150);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    main_thread = g_thread_self();
    g_test_add_func("/job/reports-from-thread", test_reports_from_thread);
    g_test_add_func("/job/unknown-total", test_unknown_total);
    g_test_add_func("/job/ends", test_ends);
    g_test_add_func("/job/null-and-late", test_null_and_late);
    return g_test_run();
}
