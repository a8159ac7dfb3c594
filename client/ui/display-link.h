/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayLink: keeps a SPICE session to one machine open for as long as the machine runs.
 *
 * Every channel's socket comes from bh_machine_open_display_async; no address is ever dialled.
 * When the connection is lost while the machine is active, the link connects again by itself,
 * at first at once, then with growing pauses. Each connection is a fresh SpiceSession.
 */
#pragma once

#include <bulkhead/machine.h>
#include <spice-client.h>

G_BEGIN_DECLS

typedef enum {
    BH_LINK_IDLE,       /* the machine is off, or has no SPICE display */
    BH_LINK_CONNECTING, /* a session exists; its main channel is not up yet */
    BH_LINK_OPEN,
    BH_LINK_WAITING /* it failed or was lost: see error; connects again in a moment */
} BhLinkState;

#define BH_TYPE_DISPLAY_LINK (bh_display_link_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayLink, bh_display_link, BH, DISPLAY_LINK, GObject)

/* Signals: "changed": state, error or agent differ. "session" (SpiceSession or NULL): a new session
 * is about to connect, to hook its channels; or the current one is gone. */
BhDisplayLink *bh_display_link_new(BhMachine *machine);

BhLinkState bh_display_link_get_state(BhDisplayLink *self);
const GError *bh_display_link_get_error(BhDisplayLink *self); /* of the last attempt; or NULL */
guint bh_display_link_get_failures(
    BhDisplayLink *self); /* in a row; 0 after a lasting connection */
SpiceSession *bh_display_link_get_session(BhDisplayLink *self);  /* borrowed, or NULL */
SpiceMainChannel *bh_display_link_get_main(BhDisplayLink *self); /* while OPEN; borrowed */
gboolean bh_display_link_has_agent(BhDisplayLink *self); /* spice-vdagent answers in the guest */

/* Starts following the machine. */
void bh_display_link_start(BhDisplayLink *self);
/* Ends a pause between two attempts. */
void bh_display_link_retry(BhDisplayLink *self);
/* Disconnects for good. Idempotent. */
void bh_display_link_close(BhDisplayLink *self);

G_END_DECLS
