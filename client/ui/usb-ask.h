/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUsbAsk: a bar for a machine's window that asks what to do with a USB device that was just
 * plugged in, and tells when a device could not be brought back by itself.
 */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Hidden until there is a question. Put it in an overlay (it stays at the top) or pack it. */
GtkWidget *bh_usb_ask_new(BhUsbArbiter *arbiter, BhMachine *machine);

G_END_DECLS
