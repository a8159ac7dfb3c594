/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Measures how long the main loop is kept from its next poll. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Starts when BULKHEAD_STALL_LOG names a file; a line is appended for every stall over 50 ms:
 *     STALL wall=MS cpu=MS waiting=MS at=MS
 * waiting is the time the thread was ready but other programs had the CPU; at counts from start. */
void bh_stall_start(void);
/* Appends "MARK text at=MS", so that a test can tell the start-up from what follows. */
void bh_stall_mark(const char *text);

G_END_DECLS
