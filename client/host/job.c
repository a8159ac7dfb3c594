/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhJob: progress and cancellation of one long operation.
 *
 * Workers write the latest figures under the lock; one timer on the main context publishes them.
 * So a worker may report every block it copies and the main loop still wakes ten times a second.
 */
#include <glib/gi18n-lib.h>

#include <bulkhead/job.h>

#define PUBLISH_MS 100
#define RATE_WINDOW_US (G_USEC_PER_SEC)

struct _BhJob {
    GObject parent_instance;
    char *title;
    char *machine_id;
    GCancellable *cancellable;

    /* main thread only: what the properties show */
    BhJobState state;
    double fraction;
    guint64 rate;
    char *text;

    GMutex lock; /* all below */
    guint publish_source;
    double new_fraction;
    char *new_text;
    guint64 new_rate;
    gint64 rate_time;
    guint64 rate_bytes;
};

enum { PROP_0, PROP_STATE, PROP_FRACTION, PROP_RATE, PROP_TEXT, N_PROPS };
static GParamSpec *props[N_PROPS];

G_DEFINE_TYPE(BhJob, bh_job, G_TYPE_OBJECT)

static void bh_job_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    BhJob *self = BH_JOB(object);

    switch (id) {
    case PROP_STATE:
        g_value_set_int(value, self->state);
        break;
    case PROP_FRACTION:
        g_value_set_double(value, self->fraction);
        break;
    case PROP_RATE:
        g_value_set_uint64(value, self->rate);
        break;
    case PROP_TEXT:
        g_value_set_string(value, self->text);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void bh_job_finalize(GObject *object)
{
    BhJob *self = BH_JOB(object);
    g_free(self->title);
    g_free(self->machine_id);
    g_clear_object(&self->cancellable);
    g_free(self->text);
    g_free(self->new_text);
    g_mutex_clear(&self->lock);
    G_OBJECT_CLASS(bh_job_parent_class)->finalize(object);
}

static void bh_job_class_init(BhJobClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

    object_class->get_property = bh_job_get_property;
    object_class->finalize = bh_job_finalize;
    props[PROP_STATE] =
        g_param_spec_int("state", NULL, NULL, 0, BH_JOB_CANCELLED, BH_JOB_RUNNING, flags);
    props[PROP_FRACTION] = g_param_spec_double("fraction", NULL, NULL, -1, 1, -1, flags);
    props[PROP_RATE] = g_param_spec_uint64("rate", NULL, NULL, 0, G_MAXUINT64, 0, flags);
    props[PROP_TEXT] = g_param_spec_string("text", NULL, NULL, NULL, flags);
    g_object_class_install_properties(object_class, N_PROPS, props);
}

static void bh_job_init(BhJob *self)
{
    self->fraction = self->new_fraction = -1;
    self->cancellable = g_cancellable_new();
    g_mutex_init(&self->lock);
}

BhJob *bh_job_new(const char *title, const char *machine_id)
{
    BhJob *self = g_object_new(BH_TYPE_JOB, NULL);
    self->title = g_strdup(title);
    self->machine_id = g_strdup(machine_id);
    return self;
}

const char *bh_job_get_title(BhJob *self)
{
    return self->title;
}

const char *bh_job_get_machine_id(BhJob *self)
{
    return self->machine_id;
}

BhJobState bh_job_get_state(BhJob *self)
{
    return self->state;
}

double bh_job_get_fraction(BhJob *self)
{
    return self->fraction;
}

guint64 bh_job_get_rate(BhJob *self)
{
    return self->rate;
}

const char *bh_job_get_text(BhJob *self)
{
    return self->text;
}

GCancellable *bh_job_get_cancellable(BhJob *self)
{
    return self ? self->cancellable : NULL;
}

void bh_job_cancel(BhJob *self)
{
    g_cancellable_cancel(self->cancellable);
}

static void bh_job_publish(BhJob *self)
{
    g_autofree char *old_text = NULL;

    g_mutex_lock(&self->lock);
    self->fraction = self->new_fraction;
    self->rate = self->new_rate;
    if (g_strcmp0(self->text, self->new_text) != 0) {
        old_text = self->text;
        self->text = g_strdup(self->new_text);
    }
    g_mutex_unlock(&self->lock);

    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_FRACTION]);
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_RATE]);
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_TEXT]);
}

static gboolean on_publish(gpointer data)
{
    BhJob *self = BH_JOB(data);

    g_mutex_lock(&self->lock);
    self->publish_source = 0;
    g_mutex_unlock(&self->lock);
    if (self->state == BH_JOB_RUNNING)
        bh_job_publish(self);
    return G_SOURCE_REMOVE;
}

static void schedule_publish_locked(BhJob *self)
{
    if (!self->publish_source)
        self->publish_source = g_timeout_add_full(G_PRIORITY_DEFAULT, PUBLISH_MS, on_publish,
                                                  g_object_ref(self), g_object_unref);
}

/* Bytes per second over at least one window, so that the figure does not flicker. */
static void update_rate_locked(BhJob *self, guint64 done)
{
    gint64 now = g_get_monotonic_time();

    if (!self->rate_time || done < self->rate_bytes) {
        self->rate_time = now;
        self->rate_bytes = done;
    } else if (now - self->rate_time >= RATE_WINDOW_US) {
        self->new_rate = (done - self->rate_bytes) * G_USEC_PER_SEC / (now - self->rate_time);
        self->rate_time = now;
        self->rate_bytes = done;
    }
}

static char *describe_bytes(guint64 done, guint64 total, guint64 rate)
{
    g_autofree char *done_text = g_format_size_full(done, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *rate_text = g_format_size_full(rate, G_FORMAT_SIZE_IEC_UNITS);

    if (!total)
        return g_steal_pointer(&done_text);
    g_autofree char *total_text = g_format_size_full(total, G_FORMAT_SIZE_IEC_UNITS);
    if (!rate) /* Translators: "1.2 GiB of 4.0 GiB" */
        return g_strdup_printf(_("%s of %s"), done_text, total_text);
    /* Translators: "1.2 GiB of 4.0 GiB, 120 MiB/s" */
    return g_strdup_printf(_("%s of %s, %s/s"), done_text, total_text, rate_text);
}

void bh_job_report_bytes(BhJob *self, guint64 done, guint64 total)
{
    if (!self)
        return;
    g_mutex_lock(&self->lock);
    update_rate_locked(self, done);
    self->new_fraction = total ? CLAMP((double)done / total, 0, 1) : -1;
    g_free(self->new_text);
    self->new_text = describe_bytes(done, total, self->new_rate);
    schedule_publish_locked(self);
    g_mutex_unlock(&self->lock);
}

void bh_job_report_fraction(BhJob *self, double fraction, const char *text)
{
    if (!self)
        return;
    g_mutex_lock(&self->lock);
    self->new_fraction = fraction < 0 ? -1 : MIN(fraction, 1);
    g_free(self->new_text);
    self->new_text = g_strdup(text);
    schedule_publish_locked(self);
    g_mutex_unlock(&self->lock);
}

void bh_job_end(BhJob *self, const GError *error)
{
    if (!self || self->state != BH_JOB_RUNNING)
        return;
    bh_job_publish(self);
    if (!error)
        self->state = BH_JOB_DONE;
    else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        self->state = BH_JOB_CANCELLED;
    else
        self->state = BH_JOB_FAILED;
    g_object_notify_by_pspec(G_OBJECT(self), props[PROP_STATE]);
}
