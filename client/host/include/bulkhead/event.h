/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhEvent: one line of a host's event log. Immutable. */
#pragma once

#include <glib-object.h>

G_BEGIN_DECLS

#define BH_TYPE_EVENT (bh_event_get_type())
G_DECLARE_FINAL_TYPE(BhEvent, bh_event, BH, EVENT, GObject)

typedef enum { BH_SEVERITY_INFO, BH_SEVERITY_WARNING, BH_SEVERITY_ERROR } BhSeverity;

/* machine_id and detail may be NULL; the time is now. */
BhEvent *bh_event_new(BhSeverity severity, const char *machine_id, const char *text,
                      const char *detail);

gint64 bh_event_get_time(BhEvent *self); /* microseconds since the epoch */
BhSeverity bh_event_get_severity(BhEvent *self);
const char *bh_event_get_machine_id(BhEvent *self);
const char *bh_event_get_text(BhEvent *self);
const char *bh_event_get_detail(BhEvent *self);

G_END_DECLS
