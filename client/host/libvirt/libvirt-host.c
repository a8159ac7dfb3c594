/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhLibvirtHost: the connection and its life: open, lost, back again, and which machines there are.
 *
 * The connection belongs to the main thread, under a lock because workers take references to it.
 * Each attempt to connect has a generation; whatever comes late from an older one is dropped.
 */
#include <string.h>

#include <glib/gi18n-lib.h>
#include <libvirt-glib/libvirt-glib.h>

#include "libvirt-connect.h"
#include "libvirt-deleted.h"

#define BACKOFF_FIRST_MS 500
#define BACKOFF_LAST_MS 10000

struct _BhLibvirtHost {
    BhHost parent_instance;
    GMutex lock;
    virConnectPtr conn; /* lock */
    BhHostCaps *caps;   /* written once, before the first connection is published */
    gboolean session, local;
    gboolean opened; /* by the caller, and not closed since */
    guint generation;
    guint backoff_ms, retry_source;
    GHashTable *refreshing; /* UUID -> whether it changed again meanwhile */
};

G_DEFINE_TYPE(BhLibvirtHost, bh_libvirt_host, BH_TYPE_HOST)

static void reconnect_later(BhLibvirtHost *self);
static void drop_connection(BhLibvirtHost *self);

virConnectPtr bh_libvirt_host_ref_connection(BhLibvirtHost *self)
{
    g_autoptr(GMutexLocker) locker = g_mutex_locker_new(&self->lock);

    if (self->conn)
        virConnectRef(self->conn);
    return self->conn;
}

const BhHostCaps *bh_libvirt_host_get_caps(BhLibvirtHost *self)
{
    return self->caps;
}

gboolean bh_libvirt_host_is_session(BhLibvirtHost *self)
{
    return self->session;
}

gboolean bh_libvirt_host_is_local(BhLibvirtHost *self)
{
    return self->local;
}

/* Machines. */

BhLibvirtMachine *bh_libvirt_host_take_snapshot(BhLibvirtHost *self, BhSnapshot *taken)
{
    g_autoptr(BhSnapshot) snapshot = taken;
    BhHost *host = BH_HOST(self);
    BhMachine *machine = bh_host_find_machine(host, snapshot->uuid);

    if (!self->opened)
        return NULL;
    if (snapshot->gone) {
        if (machine) {
            bh_host_log(host, BH_SEVERITY_INFO, machine, NULL, _("“%s” is no longer on the host."),
                        bh_machine_get_name(machine));
            bh_host_remove_machine(host, machine);
        }
        return NULL;
    }
    if (g_str_has_prefix(snapshot->config->name, BH_PURGE_PREFIX))
        return NULL;
    if (machine) {
        bh_libvirt_machine_apply_snapshot(BH_LIBVIRT_MACHINE(machine), g_steal_pointer(&snapshot));
        return BH_LIBVIRT_MACHINE(machine);
    }
    g_autoptr(BhLibvirtMachine) new_machine =
        bh_libvirt_machine_new(self, g_steal_pointer(&snapshot));
    bh_host_add_machine(host, BH_MACHINE(new_machine));
    return new_machine; /* the host holds it */
}

typedef struct {
    BhLibvirtHost *host; /* owned; dropped on the main thread */
    char uuid[VIR_UUID_STRING_BUFLEN];
} Refresh;

static void refresh_on_worker(GTask *task, gpointer source, gpointer data, GCancellable *none)
{
    Refresh *refresh = data;
    virConnectPtr conn = bh_libvirt_host_ref_connection(refresh->host);
    virDomainPtr domain = conn ? virDomainLookupByUUIDString(conn, refresh->uuid) : NULL;
    const virError *why = virGetLastError();
    BhSnapshot *snapshot = NULL;

    if (domain) {
        snapshot = bh_snapshot_read(domain);
        virDomainFree(domain);
    } else if (conn && why && why->code == VIR_ERR_NO_DOMAIN) {
        snapshot = g_new0(BhSnapshot, 1);
        snapshot->gone = TRUE;
        g_strlcpy(snapshot->uuid, refresh->uuid, sizeof snapshot->uuid);
    }
    if (conn)
        virConnectClose(conn);
    g_task_return_pointer(task, snapshot, (GDestroyNotify)bh_snapshot_free);
}

static void refresh_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Refresh *refresh = g_task_get_task_data(G_TASK(result));
    g_autoptr(BhLibvirtHost) self = refresh->host;
    BhSnapshot *snapshot = g_task_propagate_pointer(G_TASK(result), NULL);
    gboolean again = GPOINTER_TO_INT(g_hash_table_lookup(self->refreshing, refresh->uuid));

    if (snapshot)
        bh_libvirt_host_take_snapshot(self, snapshot);
    g_hash_table_remove(self->refreshing, refresh->uuid);
    if (again)
        bh_libvirt_host_refresh(self, refresh->uuid);
    g_free(refresh);
}

/* One read at a time per machine; a change meanwhile has it read once more, however many came. */
void bh_libvirt_host_refresh(BhLibvirtHost *self, const char *uuid)
{
    if (!self->opened)
        return;
    if (g_hash_table_contains(self->refreshing, uuid)) {
        g_hash_table_replace(self->refreshing, g_strdup(uuid), GINT_TO_POINTER(TRUE));
        return;
    }
    g_hash_table_insert(self->refreshing, g_strdup(uuid), GINT_TO_POINTER(FALSE));
    Refresh *refresh = g_new0(Refresh, 1);
    refresh->host = g_object_ref(self);
    g_strlcpy(refresh->uuid, uuid, sizeof refresh->uuid);
    g_autoptr(GTask) task = g_task_new(NULL, NULL, refresh_done, NULL);
    g_task_set_task_data(task, refresh, NULL);
    g_task_run_in_thread(task, refresh_on_worker);
}

/* Known machines that the host no longer has, after everything was read anew. */
static void remove_missing(BhLibvirtHost *self, GPtrArray *snapshots)
{
    g_autoptr(GHashTable) present = g_hash_table_new(g_str_hash, g_str_equal);
    GListModel *machines = bh_host_get_machines(BH_HOST(self));

    for (guint i = 0; i < snapshots->len; i++)
        g_hash_table_add(present, ((BhSnapshot *)snapshots->pdata[i])->uuid);
    for (guint i = g_list_model_get_n_items(machines); i-- > 0;) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(machines, i);
        if (!g_hash_table_contains(present, bh_machine_get_id(machine)))
            bh_host_remove_machine(BH_HOST(self), machine);
    }
}

static void show_deleted(BhLibvirtHost *self, GPtrArray *records)
{
    GListModel *present = bh_host_get_deleted(BH_HOST(self));

    while (g_list_model_get_n_items(present)) {
        g_autoptr(BhDeleted) old = g_list_model_get_item(present, 0);
        bh_host_remove_deleted(BH_HOST(self), old);
    }
    for (guint i = 0; i < records->len; i++) {
        BhDeletedRecord *record = records->pdata[i];
        g_autoptr(BhDeleted) deleted =
            bh_deleted_new(BH_HOST(self), record->uuid, record->name, record->time);
        bh_host_add_deleted(BH_HOST(self), deleted);
    }
}

/* Connecting. */

static void adopt(BhLibvirtHost *self, BhConnected *connected)
{
    BhHost *host = BH_HOST(self);

    if (!self->caps)
        self->caps = g_steal_pointer(&connected->caps);
    drop_connection(self);
    g_mutex_lock(&self->lock);
    self->conn = g_steal_pointer(&connected->conn);
    g_mutex_unlock(&self->lock);
    self->backoff_ms = BACKOFF_FIRST_MS;
    bh_host_set_resources(host, self->caps->cpus, self->caps->memory);
    bh_host_set_features(host, bh_host_caps_features(self->caps, self->local));
    remove_missing(self, connected->snapshots);
    g_ptr_array_set_free_func(connected->snapshots, NULL);
    for (guint i = 0; i < connected->snapshots->len; i++)
        bh_libvirt_host_take_snapshot(self, connected->snapshots->pdata[i]);
    g_ptr_array_set_size(connected->snapshots, 0);
    show_deleted(self, connected->deleted);
    bh_host_set_state(host, BH_HOST_CONNECTED, NULL);
    bh_libvirt_host_probe_accel(self);
}

typedef struct {
    BhLibvirtHost *host; /* owned */
    guint generation;
} Attempt;

static gboolean attempt_free_on_main(gpointer data)
{
    Attempt *attempt = data;

    g_object_unref(attempt->host);
    g_free(attempt);
    return G_SOURCE_REMOVE;
}

/* Of an attempt that was cancelled, the worker holds the last reference. */
static void attempt_free(gpointer attempt)
{
    g_idle_add_full(G_PRIORITY_DEFAULT, attempt_free_on_main, attempt, NULL);
}

static void connect_on_worker(GTask *inner, gpointer source, gpointer data, GCancellable *unused)
{
    Attempt *attempt = data;
    GError *error = NULL;
    BhConnected *connected = bh_libvirt_connect(attempt->host, attempt->generation, &error);

    if (connected)
        g_task_return_pointer(inner, connected, (GDestroyNotify)bh_connected_free);
    else
        g_task_return_error(inner, error);
}

/* Cancelled: the answer comes at once, and what the worker still finds is dropped. */
static void connect_start(BhLibvirtHost *self, GCancellable *cancellable,
                          GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) inner = g_task_new(NULL, cancellable, callback, data);
    Attempt *attempt = g_new0(Attempt, 1);

    attempt->host = g_object_ref(self);
    attempt->generation = ++self->generation;
    g_task_set_task_data(inner, attempt, attempt_free);
    g_task_set_return_on_cancel(inner, TRUE);
    g_task_run_in_thread(inner, connect_on_worker);
}

static Attempt *attempt_of(GAsyncResult *result)
{
    return g_task_get_task_data(G_TASK(result));
}

static void open_done(GObject *source, GAsyncResult *result, gpointer data)
{
    BhLibvirtHost *self = attempt_of(result)->host;
    g_autoptr(GTask) task = data;
    GError *error = NULL;
    g_autoptr(BhConnected) connected = g_task_propagate_pointer(G_TASK(result), &error);

    if (!connected) {
        bh_host_set_state(BH_HOST(self), BH_HOST_CLOSED, error->message);
        self->opened = FALSE;
        g_task_return_error(task, error);
    } else if (!self->opened) {
        g_task_return_new_error(task, G_IO_ERROR, G_IO_ERROR_CANCELLED, "closed");
    } else {
        adopt(self, connected);
        g_task_return_boolean(task, TRUE);
    }
}

static void bh_libvirt_host_open(BhHost *host, GTask *task)
{
    BhLibvirtHost *self = BH_LIBVIRT_HOST(host);

    if (self->opened) {
        g_task_return_error(
            task, bh_error_new(BH_ERROR_BUSY, NULL, NULL, _("The host is already open.")));
        g_object_unref(task);
        return;
    }
    self->opened = TRUE;
    bh_host_set_state(host, BH_HOST_CONNECTING, NULL);
    connect_start(self, g_task_get_cancellable(task), open_done, task);
}

static void reconnect_done(GObject *source, GAsyncResult *result, gpointer data)
{
    BhLibvirtHost *self = attempt_of(result)->host;
    guint generation = attempt_of(result)->generation;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhConnected) connected = g_task_propagate_pointer(G_TASK(result), &error);

    if (!self->opened || generation != self->generation)
        return;
    if (connected) {
        adopt(self, connected);
        bh_host_log(BH_HOST(self), BH_SEVERITY_INFO, NULL, NULL,
                    _("The connection to the host is back."));
        return;
    }
    bh_host_set_state(BH_HOST(self), BH_HOST_DISCONNECTED, error->message);
    reconnect_later(self);
}

static gboolean reconnect_now(gpointer data)
{
    BhLibvirtHost *self = data;

    self->retry_source = 0;
    connect_start(self, NULL, reconnect_done, NULL);
    return G_SOURCE_REMOVE;
}

static void reconnect_later(BhLibvirtHost *self)
{
    self->retry_source = g_timeout_add(self->backoff_ms, reconnect_now, self);
    self->backoff_ms = MIN(self->backoff_ms * 2, BACKOFF_LAST_MS);
}

/* Closing tells the other side, which may be dead: never on the main thread. */
static gpointer disconnect_on_thread(gpointer conn)
{
    bh_libvirt_disconnect(conn);
    return NULL;
}

static void drop_connection(BhLibvirtHost *self)
{
    g_mutex_lock(&self->lock);
    virConnectPtr conn = g_steal_pointer(&self->conn);
    g_mutex_unlock(&self->lock);
    if (conn)
        g_thread_unref(g_thread_new("disconnect", disconnect_on_thread, conn));
}

void bh_libvirt_host_lost(BhLibvirtHost *self, guint generation, int reason)
{
    const char *why = _("The connection to the host was lost. Trying again …");

    if (!self->opened || generation != self->generation || self->retry_source)
        return;
    if (reason == VIR_CONNECT_CLOSE_REASON_KEEPALIVE)
        why = _("The host does not answer. Trying again …");
    drop_connection(self);
    bh_host_set_state(BH_HOST(self), BH_HOST_DISCONNECTED, why);
    bh_host_log(BH_HOST(self), BH_SEVERITY_WARNING, NULL, NULL, "%s", why);
    self->backoff_ms = BACKOFF_FIRST_MS;
    reconnect_later(self);
}

static void bh_libvirt_host_close(BhHost *host)
{
    BhLibvirtHost *self = BH_LIBVIRT_HOST(host);

    self->opened = FALSE;
    self->generation++;
    g_clear_handle_id(&self->retry_source, g_source_remove);
    drop_connection(self);
    bh_host_set_state(host, BH_HOST_CLOSED, NULL);
}

/* The object. */

static void bh_libvirt_host_dispose(GObject *object)
{
    BhLibvirtHost *self = BH_LIBVIRT_HOST(object);

    self->opened = FALSE;
    g_clear_handle_id(&self->retry_source, g_source_remove);
    drop_connection(self);
    G_OBJECT_CLASS(bh_libvirt_host_parent_class)->dispose(object);
}

static void bh_libvirt_host_finalize(GObject *object)
{
    BhLibvirtHost *self = BH_LIBVIRT_HOST(object);

    g_mutex_clear(&self->lock);
    bh_host_caps_free(self->caps);
    g_hash_table_unref(self->refreshing);
    G_OBJECT_CLASS(bh_libvirt_host_parent_class)->finalize(object);
}

static void bh_libvirt_host_class_init(BhLibvirtHostClass *class)
{
    BhHostClass *host_class = BH_HOST_CLASS(class);

    G_OBJECT_CLASS(class)->dispose = bh_libvirt_host_dispose;
    G_OBJECT_CLASS(class)->finalize = bh_libvirt_host_finalize;
    host_class->open = bh_libvirt_host_open;
    host_class->close = bh_libvirt_host_close;
    host_class->create_machine = bh_libvirt_create_machine;
    host_class->restore_deleted = bh_libvirt_restore_deleted;
    host_class->purge_deleted = bh_libvirt_purge_deleted;
}

static void bh_libvirt_host_init(BhLibvirtHost *self)
{
    g_mutex_init(&self->lock);
    self->backoff_ms = BACKOFF_FIRST_MS;
    self->refreshing = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
}

/* libvirt prints every error to stderr otherwise. */
static void keep_quiet(void *data, virErrorPtr error)
{
}

static void initialise(void)
{
    static gsize done;

    if (!g_once_init_enter(&done))
        return;
    virInitialize();
    virSetErrorFunc(NULL, keep_quiet);
    gvir_event_register();
    g_once_init_leave(&done, 1);
}

BhHost *bh_libvirt_host_new(const char *uri, GError **error)
{
    g_autoptr(GUri) parsed = g_uri_parse(uri, G_URI_FLAGS_PARSE_RELAXED, NULL);

    if (!parsed || !g_uri_get_scheme(parsed)) {
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, _("Try qemu:///session."), NULL,
                                              _("“%s” is not a connection address."), uri));
        return NULL;
    }
    initialise();
    BhLibvirtHost *self = g_object_new(BH_TYPE_LIBVIRT_HOST, "uri", uri, NULL);
    const char *server = g_uri_get_host(parsed);
    self->local = !server || !*server;
    self->session = g_str_has_suffix(g_uri_get_path(parsed), "/session");
    return BH_HOST(self);
}
