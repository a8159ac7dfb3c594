/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of the arbiter: usb-arbiter.c knows who wants and has what, usb-move.c carries a device
 * from one place to another, usb-route.c decides by which way.
 */
#pragma once

#include "usb-private.h"

G_BEGIN_DECLS

/* What is remembered of a device by its id, over replug and machine restarts. */
typedef struct {
    char *wanted;       /* id of the machine the user gave it to, or NULL */
    gboolean consent;   /* and agreed to unmount it for that */
    char *last;         /* id of the machine that had it last */
    gboolean listed;    /* that machine's own list has it */
    gboolean held;      /* the user took it back: rules leave it alone until it is replugged */
    gboolean gave_up;   /* an automatic attach failed: no more until something changes */
    BhMachine *assumed; /* weak: attached a moment ago, the driver may not list it yet */
    gint64 assumed_until;
    guint automatic; /* automatic attaches since window, to stop a device that keeps resetting */
    gint64 window;
} BhUsbTrack;

/* How long steps may take, ms. Tests make them short. */
typedef struct {
    guint attach, redirect, detach, stale, retry, settle;
} BhUsbLimits;

typedef struct _BhUsbMove BhUsbMove;

struct _BhUsbArbiter {
    GObject parent;
    BhHost *host;
    BhUsbMonitor *monitor;
    BhUsbRules *rules;
    GPtrArray *devices;      /* BhUsbDevice, as the monitor had them last */
    GHashTable *machines;    /* BhMachine -> its activation number as a pointer, 0: not active */
    GHashTable *redirectors; /* BhMachine -> BhUsbRedirector */
    GHashTable *tracks;      /* device id -> BhUsbTrack */
    GQueue moves;            /* BhUsbMove, oldest first */
    guint activations;
    gboolean passive; /* does only what it is told */
    guint update_source;
    guint sweep_source;
    BhUsbLimits limits;
};

/* usb-arbiter.c */
BhUsbTrack *bh_usb_arbiter_track(BhUsbArbiter *self, const char *device_id);
void bh_usb_arbiter_queue_update(BhUsbArbiter *self);
BhUsbLimits *bh_usb_arbiter_limits(BhUsbArbiter *self);
gboolean bh_usb_machine_has(BhMachine *machine, const BhUsbAddress *address);
/* The route as if nobody had the device. */
BhUsbRoute bh_usb_arbiter_find_route(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                     char **reason, BhUsbFix *fix);

/* usb-route.c: pure but for access(2) on the node and the redirector's answer. */
typedef struct {
    BhHost *host;
    BhMachine *machine;
    BhUsbDevice *device;
    BhUsbRedirector *redirector; /* of machine, or NULL */
    BhUsbRule rule;
} BhUsbRouteQuery;
BhUsbRoute bh_usb_route_decide(const BhUsbRouteQuery *query, char **reason, BhUsbFix *fix);
const char *bh_usb_fix_get_hint(BhUsbFix fix); /* translated, or NULL */

/* usb-move.c. task: for the user's call, owned by the move; NULL: automatic, "failed" tells. */
void bh_usb_move_attach(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                        gboolean consent, BhJob *job, GTask *task);
void bh_usb_move_detach(BhUsbArbiter *self, BhMachine *owner, BhUsbDevice *device, BhJob *job,
                        GTask *task);
/* The machine still lists a device that is gone. */
void bh_usb_move_stale(BhUsbArbiter *self, BhMachine *machine, const BhUsbAddress *address);
gboolean bh_usb_move_is_busy(BhUsbArbiter *self, BhUsbDevice *device);
/* Ends an attach under way; FALSE when there is none. */
gboolean bh_usb_move_cancel_attach(BhUsbArbiter *self, BhUsbDevice *device);
/* Events that end moves. */
void bh_usb_move_device_gone(BhUsbArbiter *self, BhUsbDevice *device);
void bh_usb_move_machine_stopped(BhUsbArbiter *self, BhMachine *machine);
void bh_usb_move_redirector_gone(BhUsbArbiter *self, BhMachine *machine);
void bh_usb_move_abandon_all(BhUsbArbiter *self);

G_END_DECLS
