/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A spin button for sizes: its value is in MiB, shown and typed as "1.5 GiB" or "512 MiB". */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A number typed without a unit is taken as GiB up to 256, else as MiB. */
GtkWidget *bh_size_spin_new(double minimum, double maximum, double step);
/* Pure; FALSE when text is not a size. */
gboolean bh_size_parse(const char *text, double *mib);

G_END_DECLS
