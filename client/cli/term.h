/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The terminal: columns, and the progress of a job as a bar or as lines, on standard error. */
#pragma once

#include "cli.h"

typedef struct _TermProgress TermProgress;
TermProgress *term_progress_new(CliProgress mode, BhJob *job);
/* Removes the bar. NULL is fine. */
void term_progress_free(TermProgress *self);

/* Columns a text takes on a terminal: wide characters count two, combining ones none. */
guint term_width(const char *text);
/* Without control characters: what comes from a guest or a log must not steer the terminal. */
char *term_clean(const char *text, gboolean keep_newlines);
