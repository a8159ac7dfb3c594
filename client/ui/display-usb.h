/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayUsb: SPICE redirection of USB devices for one session; the arbiter's BhUsbRedirector.
 *
 * It never redirects anything on its own: which device goes where is the arbiter's decision.
 */
#pragma once

#include <bulkhead/usb.h>
#include <spice-client.h>

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_USB (bh_display_usb_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayUsb, bh_display_usb, BH, DISPLAY_USB, GObject)

BhDisplayUsb *bh_display_usb_new(SpiceSession *session);
/* The session is gone: ends what is under way with an error. Idempotent. */
void bh_display_usb_close(BhDisplayUsb *self);

G_END_DECLS
