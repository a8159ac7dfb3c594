/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The event log of a host, newest first, live. */
#pragma once

#include <bulkhead/host.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Shown by the caller. */
GtkWidget *bh_event_log_new(GtkWindow *parent, BhHost *host);

G_END_DECLS
