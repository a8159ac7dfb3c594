/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhJob: the caller's handle on one long operation: progress out, cancellation in.
 *
 * The caller makes one, hands it to an *_async function (every one takes a job or NULL) and watches
 * its properties; the outcome arrives in the callback as usual. The worker reports from any thread;
 * properties change and notify on the main context only, at most about ten times a second.
 * Operations of a host or machine end the job they are given; those of image.h only report to
 * it, so that one job can cover several steps.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

#define BH_TYPE_JOB (bh_job_get_type())
G_DECLARE_FINAL_TYPE(BhJob, bh_job, BH, JOB, GObject)

typedef enum { BH_JOB_RUNNING, BH_JOB_DONE, BH_JOB_FAILED, BH_JOB_CANCELLED } BhJobState;

/* title: "Importing Windows 11"; machine_id: the machine it concerns, or NULL. */
BhJob *bh_job_new(const char *title, const char *machine_id);

const char *bh_job_get_title(BhJob *self);
const char *bh_job_get_machine_id(BhJob *self);
BhJobState bh_job_get_state(BhJob *self);
double bh_job_get_fraction(BhJob *self);  /* 0..1, or -1 while unknown */
guint64 bh_job_get_rate(BhJob *self);     /* bytes per second, 0 while unknown */
const char *bh_job_get_text(BhJob *self); /* "1.2 GiB of 4.0 GiB, 120 MiB/s", or a step's name */
GCancellable *bh_job_get_cancellable(BhJob *self); /* NULL-safe: NULL for a NULL job */
void bh_job_cancel(BhJob *self);

/* Worker side; all thread-safe and NULL-safe. A total of 0 bytes means unknown. */
void bh_job_report_bytes(BhJob *self, guint64 done, guint64 total);
void bh_job_report_fraction(BhJob *self, double fraction, const char *text);
void bh_job_end(BhJob *self, const GError *error); /* main thread; NULL error: done */

G_END_DECLS
