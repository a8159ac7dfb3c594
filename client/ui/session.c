/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The app's hosts: one session per URI, found again by the windows that share it. */
#include "session.h"

struct _BhSession {
    GObject parent_instance;
    char *uri;
    BhHost *host;
    BhUsbArbiter *arbiter;
    GListStore *jobs;
    GCancellable *cancellable;
    GError *open_error;
};

G_DEFINE_TYPE(BhSession, bh_session, G_TYPE_OBJECT)

enum { JOB_FAILED, OPEN_FAILED, USB_FAILED, N_SIGNALS };
static guint signals[N_SIGNALS];

/* URI to session, not owned: a session takes itself out when its last window lets go. */
static GHashTable *sessions;

static void bh_session_dispose(GObject *object)
{
    BhSession *self = BH_SESSION(object);

    if (sessions && self->uri && g_hash_table_lookup(sessions, self->uri) == self)
        g_hash_table_remove(sessions, self->uri);
    g_cancellable_cancel(self->cancellable);
    g_clear_object(&self->arbiter);
    if (self->host)
        bh_host_close(self->host);
    g_clear_object(&self->host);
    g_clear_object(&self->jobs);
    G_OBJECT_CLASS(bh_session_parent_class)->dispose(object);
}

static void bh_session_finalize(GObject *object)
{
    BhSession *self = BH_SESSION(object);

    g_clear_object(&self->cancellable);
    g_clear_error(&self->open_error);
    g_free(self->uri);
    G_OBJECT_CLASS(bh_session_parent_class)->finalize(object);
}

static void bh_session_class_init(BhSessionClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_session_dispose;
    G_OBJECT_CLASS(klass)->finalize = bh_session_finalize;
    signals[JOB_FAILED] = g_signal_new("job-failed", BH_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL,
                                       NULL, NULL, G_TYPE_NONE, 2, BH_TYPE_JOB, G_TYPE_ERROR);
    signals[OPEN_FAILED] = g_signal_new("open-failed", BH_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL,
                                        NULL, NULL, G_TYPE_NONE, 1, G_TYPE_ERROR);
    signals[USB_FAILED] =
        g_signal_new("usb-failed", BH_TYPE_SESSION, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                     G_TYPE_NONE, 3, BH_TYPE_MACHINE, BH_TYPE_USB_DEVICE, G_TYPE_ERROR);
}

static void bh_session_init(BhSession *self)
{
    self->jobs = g_list_store_new(BH_TYPE_JOB);
    self->cancellable = g_cancellable_new();
}

static void on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhSession) self = data;
    g_autoptr(GError) error = NULL;

    if (bh_host_open_finish(BH_HOST(source), result, &error))
        return;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    self->open_error = g_steal_pointer(&error);
    g_signal_emit(self, signals[OPEN_FAILED], 0, self->open_error);
}

void bh_session_open(BhSession *self)
{
    g_clear_error(&self->open_error);
    bh_host_open_async(self->host, NULL, on_opened, g_object_ref(self));
}

BhSession *bh_session_get(const char *uri, GError **error)
{
    g_autoptr(BhHost) host = NULL;
    BhSession *self = sessions ? g_hash_table_lookup(sessions, uri) : NULL;

    if (self)
        return g_object_ref(self);
    host = bh_host_new(uri, error);
    if (!host)
        return NULL;
    if (!sessions)
        sessions = g_hash_table_new(g_str_hash, g_str_equal);
    self = g_object_new(BH_TYPE_SESSION, NULL);
    self->uri = g_strdup(uri);
    self->host = g_steal_pointer(&host);
    g_hash_table_insert(sessions, self->uri, self);
    bh_session_open(self);
    return self;
}

BhSession *bh_session_find(BhMachine *machine)
{
    GHashTableIter iter;
    gpointer value;

    if (!sessions)
        return NULL;
    g_hash_table_iter_init(&iter, sessions);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        BhSession *self = value;
        if (bh_host_find_machine(self->host, bh_machine_get_id(machine)) == machine)
            return self;
    }
    return NULL;
}

BhHost *bh_session_get_host(BhSession *self)
{
    return self->host;
}

static void on_usb_failed(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device,
                          GError *error, gpointer data)
{
    g_signal_emit(data, signals[USB_FAILED], 0, machine, device, error);
}

static void on_rules_problem(BhUsbRules *rules, const char *problem, BhHost *host)
{
    bh_host_log(host, BH_SEVERITY_WARNING, NULL, NULL, "%s", problem);
}

BhUsbArbiter *bh_session_get_arbiter(BhSession *self)
{
    if (!self->arbiter) {
        g_autoptr(BhUsbMonitor) monitor = bh_usb_monitor_new();
        g_autoptr(BhUsbRules) rules = bh_usb_rules_new(NULL);
        g_signal_connect_object(rules, "problem", G_CALLBACK(on_rules_problem), self->host, 0);
        self->arbiter = bh_usb_arbiter_new(self->host, monitor, rules);
        g_signal_connect_object(self->arbiter, "failed", G_CALLBACK(on_usb_failed), self, 0);
    }
    return self->arbiter;
}

const GError *bh_session_get_open_error(BhSession *self)
{
    return self->open_error;
}

GListModel *bh_session_get_jobs(BhSession *self)
{
    return G_LIST_MODEL(self->jobs);
}

void bh_session_add_job(BhSession *self, BhJob *job)
{
    g_list_store_append(self->jobs, job);
}

void bh_session_finish_job(BhSession *self, BhJob *job, const GError *error)
{
    g_autoptr(BhJob) keep = g_object_ref(job);
    guint position;

    bh_job_end(job, error);
    if (self->jobs && g_list_store_find(self->jobs, job, &position))
        g_list_store_remove(self->jobs, position);
}

void bh_session_end_job(BhSession *self, BhJob *job, const GError *error)
{
    g_autoptr(BhJob) keep = g_object_ref(job);

    bh_session_finish_job(self, job, error);
    if (error && !g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        g_signal_emit(self, signals[JOB_FAILED], 0, job, error);
}
