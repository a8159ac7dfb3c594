/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhSession: what the app holds per host: the connection, its USB arbiter and its running jobs.
 * One per URI while any window needs it; windows of the same host share it.
 */
#pragma once

#include <bulkhead/usb.h>

G_BEGIN_DECLS

#define BH_TYPE_SESSION (bh_session_get_type())
G_DECLARE_FINAL_TYPE(BhSession, bh_session, BH, SESSION, GObject)

/* Signals: "job-failed" (BhJob, GError), "open-failed" (GError), "usb-failed"
 * (BhMachine, BhUsbDevice, GError): a device could not be brought back by itself. */

/* The session of a URI, made and opened when it is new. Transfer full; NULL for a bad URI. */
BhSession *bh_session_get(const char *uri, GError **error);
/* The session whose host has the machine; borrowed, or NULL. */
BhSession *bh_session_find(BhMachine *machine);

BhHost *bh_session_get_host(BhSession *self);
/* Made on first use: it loads udev and the rules, which the first window need not wait for. */
BhUsbArbiter *bh_session_get_arbiter(BhSession *self);
/* Tries to connect again after the first attempt failed. */
void bh_session_open(BhSession *self);
/* Why the last bh_session_open failed, or NULL. Borrowed. */
const GError *bh_session_get_open_error(BhSession *self);

/* Jobs that the user sees (long ones: import, create). The session keeps each until it ends. */
GListModel *bh_session_get_jobs(BhSession *self);
void bh_session_add_job(BhSession *self, BhJob *job);
/* Ends the job (bh_job_end) and takes it off the list. error may be NULL; borrowed. */
void bh_session_finish_job(BhSession *self, BhJob *job, const GError *error);
/* As above, and emits "job-failed" for an error that no window has shown yet. */
void bh_session_end_job(BhSession *self, BhJob *job, const GError *error);

G_END_DECLS
