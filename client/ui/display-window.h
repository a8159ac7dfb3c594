/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The window that shows one machine's screen.
 *
 * The display code is linked in directly: spice-client-gtk was measured to add 9 MB of resident
 * memory and 5 ms to the first window, which is less than a plug-in would be worth.
 */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* A new, not yet shown window. The app starts a machine that is off right after this, so the window
 * waits for it; it need not start anything by itself except on the user's request. It follows the
 * machine until the machine is gone or it is closed; arbiter may be NULL (no USB). Its owner is
 * application, as with every GtkApplicationWindow. */
GtkWidget *bh_display_window_new(GtkApplication *application, BhMachine *machine,
                                 BhUsbArbiter *arbiter);

G_END_DECLS
