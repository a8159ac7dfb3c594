/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhJobBar: a line with progress and Cancel for every long job of a session. */
#pragma once

#include <gtk/gtk.h>

#include "session.h"

G_BEGIN_DECLS

#define BH_TYPE_JOB_BAR (bh_job_bar_get_type())
G_DECLARE_FINAL_TYPE(BhJobBar, bh_job_bar, BH, JOB_BAR, GtkBox)

GtkWidget *bh_job_bar_new(GListModel *jobs);

G_END_DECLS
