/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhUsbRow: one USB device in a machine's USB panel. */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_USB_ROW (bh_usb_row_get_type())
G_DECLARE_FINAL_TYPE(BhUsbRow, bh_usb_row, BH, USB_ROW, GtkListBoxRow)

GtkWidget *bh_usb_row_new(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device);
/* Enter on the row: what its switch, or the button that repairs it, would do. */
void bh_usb_row_activate(BhUsbRow *self);

G_END_DECLS
