/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One line of the event log: see bulkhead/event.h. */
#include <bulkhead/event.h>

struct _BhEvent {
    GObject parent_instance;
    gint64 time;
    BhSeverity severity;
    char *machine_id;
    char *text;
    char *detail;
};

G_DEFINE_TYPE(BhEvent, bh_event, G_TYPE_OBJECT)

static void bh_event_finalize(GObject *object)
{
    BhEvent *self = BH_EVENT(object);
    g_free(self->machine_id);
    g_free(self->text);
    g_free(self->detail);
    G_OBJECT_CLASS(bh_event_parent_class)->finalize(object);
}

static void bh_event_class_init(BhEventClass *class)
{
    G_OBJECT_CLASS(class)->finalize = bh_event_finalize;
}

static void bh_event_init(BhEvent *self)
{
    self->time = g_get_real_time();
}

BhEvent *bh_event_new(BhSeverity severity, const char *machine_id, const char *text,
                      const char *detail)
{
    BhEvent *self = g_object_new(BH_TYPE_EVENT, NULL);
    self->severity = severity;
    self->machine_id = g_strdup(machine_id);
    self->text = g_strdup(text);
    self->detail = g_strdup(detail);
    return self;
}

gint64 bh_event_get_time(BhEvent *self)
{
    return self->time;
}

BhSeverity bh_event_get_severity(BhEvent *self)
{
    return self->severity;
}

const char *bh_event_get_machine_id(BhEvent *self)
{
    return self->machine_id;
}

const char *bh_event_get_text(BhEvent *self)
{
    return self->text;
}

const char *bh_event_get_detail(BhEvent *self)
{
    return self->detail;
}
