/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The list of USB devices of one machine: a switch, a route and a rule for each. */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A widget that can be put in a popover, a window or a settings page. */
GtkWidget *bh_usb_panel_new(BhUsbArbiter *arbiter, BhMachine *machine);

G_END_DECLS
