/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One asynchronous operation of a host or machine, as its base class sees it: a GTask for the
 * driver, whose end also ends the caller's job. Private to client/host.
 */
#pragma once

#include <bulkhead/job.h>

typedef void (*BhOperationEnded)(gpointer source, BhJob *job);

/* The driver returns through the result exactly once. Its cancellable is the job's, but the
 * outcome is what the driver says: work that finished before a cancel was seen stays finished.
 * ended (may be NULL) runs before callback. Main thread. */
GTask *bh_operation_new(gpointer source, BhJob *job, gpointer tag, BhOperationEnded ended,
                        GAsyncReadyCallback callback, gpointer data);
