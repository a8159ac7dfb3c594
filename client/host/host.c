/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhHost: what every driver's hosts share: state, lists, the event log, the public half of each
 * operation, and the choice of driver by URI. See bulkhead/host.h.
 */
#include <string.h>

#include <glib/gi18n-lib.h>

#include <bulkhead/error.h>
#include <bulkhead/fake.h>
#include <bulkhead/host.h>

#include "libvirt/libvirt-host.h"
#include "operation.h"

#define EVENTS_MAX 1000

typedef struct {
    char *uri;
    BhHostState state;
    char *problem;
    BhHostFeatures features;
    guint cpus;
    guint64 memory;
    char *accelerator;
    char *accelerator_note;
    GListStore *machines;
    GHashTable *by_id; /* id -> BhMachine in machines */
    GListStore *deleted;
    GListStore *events;
} BhHostPrivate;

enum {
    PROP_0,
    PROP_URI,
    PROP_STATE,
    PROP_PROBLEM,
    PROP_FEATURES,
    PROP_ACCELERATOR,
    PROP_ACCELERATOR_NOTE,
    N_PROPS
};
static GParamSpec *props[N_PROPS];

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE(BhHost, bh_host, G_TYPE_OBJECT)

#define PRIV(self) ((BhHostPrivate *)bh_host_get_instance_private(self))

static void bh_host_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    BhHostPrivate *priv = PRIV(BH_HOST(object));

    switch (id) {
    case PROP_URI:
        g_value_set_string(value, priv->uri);
        break;
    case PROP_STATE:
        g_value_set_int(value, priv->state);
        break;
    case PROP_PROBLEM:
        g_value_set_string(value, priv->problem);
        break;
    case PROP_FEATURES:
        g_value_set_uint(value, priv->features);
        break;
    case PROP_ACCELERATOR:
        g_value_set_string(value, priv->accelerator);
        break;
    case PROP_ACCELERATOR_NOTE:
        g_value_set_string(value, priv->accelerator_note);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void bh_host_set_property(GObject *object, guint id, const GValue *value, GParamSpec *pspec)
{
    if (id == PROP_URI)
        PRIV(BH_HOST(object))->uri = g_value_dup_string(value);
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void bh_host_finalize(GObject *object)
{
    BhHostPrivate *priv = PRIV(BH_HOST(object));
    g_free(priv->uri);
    g_free(priv->problem);
    g_free(priv->accelerator);
    g_free(priv->accelerator_note);
    g_hash_table_unref(priv->by_id);
    g_object_unref(priv->machines);
    g_object_unref(priv->deleted);
    g_object_unref(priv->events);
    G_OBJECT_CLASS(bh_host_parent_class)->finalize(object);
}

static void bh_host_class_init(BhHostClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

    object_class->get_property = bh_host_get_property;
    object_class->set_property = bh_host_set_property;
    object_class->finalize = bh_host_finalize;
    props[PROP_URI] =
        g_param_spec_string("uri", NULL, NULL, NULL,
                            G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
    props[PROP_STATE] = g_param_spec_int("state", NULL, NULL, 0, BH_HOST_DISCONNECTED, 0, flags);
    props[PROP_PROBLEM] = g_param_spec_string("problem", NULL, NULL, NULL, flags);
    props[PROP_FEATURES] = g_param_spec_uint("features", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_ACCELERATOR] = g_param_spec_string("accelerator", NULL, NULL, NULL, flags);
    props[PROP_ACCELERATOR_NOTE] = g_param_spec_string("accelerator-note", NULL, NULL, NULL, flags);
    g_object_class_install_properties(object_class, N_PROPS, props);
}

static void bh_host_init(BhHost *self)
{
    BhHostPrivate *priv = PRIV(self);
    priv->machines = g_list_store_new(BH_TYPE_MACHINE);
    priv->by_id = g_hash_table_new(g_str_hash, g_str_equal);
    priv->deleted = g_list_store_new(BH_TYPE_DELETED);
    priv->events = g_list_store_new(BH_TYPE_EVENT);
}

BhHost *bh_host_new(const char *uri, GError **error)
{
    g_autofree char *scheme = g_uri_parse_scheme(uri);

    if (!scheme) {
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, _("Try qemu:///session."), NULL,
                                              _("“%s” is not a connection address."), uri));
        return NULL;
    }
    if (g_str_equal(scheme, "fake"))
        return g_object_new(BH_TYPE_FAKE_HOST, "uri", uri, NULL);
    return bh_libvirt_host_new(uri, error);
}

const char *bh_host_get_uri(BhHost *self)
{
    return PRIV(self)->uri;
}

BhHostState bh_host_get_state(BhHost *self)
{
    return PRIV(self)->state;
}

const char *bh_host_get_problem(BhHost *self)
{
    return PRIV(self)->problem;
}

BhHostFeatures bh_host_get_features(BhHost *self)
{
    return PRIV(self)->features;
}

guint bh_host_get_cpus(BhHost *self)
{
    return PRIV(self)->cpus;
}

guint64 bh_host_get_memory(BhHost *self)
{
    return PRIV(self)->memory;
}

const char *bh_host_get_accelerator(BhHost *self)
{
    return PRIV(self)->accelerator;
}

const char *bh_host_get_accelerator_note(BhHost *self)
{
    return PRIV(self)->accelerator_note;
}

GListModel *bh_host_get_machines(BhHost *self)
{
    return G_LIST_MODEL(PRIV(self)->machines);
}

GListModel *bh_host_get_deleted(BhHost *self)
{
    return G_LIST_MODEL(PRIV(self)->deleted);
}

GListModel *bh_host_get_events(BhHost *self)
{
    return G_LIST_MODEL(PRIV(self)->events);
}

BhMachine *bh_host_find_machine(BhHost *self, const char *id_or_name)
{
    BhHostPrivate *priv = PRIV(self);
    BhMachine *found = g_hash_table_lookup(priv->by_id, id_or_name);
    GHashTableIter iter;
    gpointer machine;

    if (found)
        return found;
    g_hash_table_iter_init(&iter, priv->by_id);
    while (g_hash_table_iter_next(&iter, NULL, &machine))
        if (g_str_equal(bh_machine_get_name(machine), id_or_name))
            return machine;
    return NULL;
}

/* Setters. */

static gboolean replace_string(char **field, const char *value)
{
    if (g_strcmp0(*field, value) == 0)
        return FALSE;
    g_free(*field);
    *field = g_strdup(value);
    return TRUE;
}

static void notify(BhHost *self, guint id)
{
    g_object_notify_by_pspec(G_OBJECT(self), props[id]);
}

void bh_host_set_state(BhHost *self, BhHostState state, const char *problem)
{
    g_object_freeze_notify(G_OBJECT(self));
    if (replace_string(&PRIV(self)->problem, problem))
        notify(self, PROP_PROBLEM);
    if (PRIV(self)->state != state) {
        PRIV(self)->state = state;
        notify(self, PROP_STATE);
    }
    g_object_thaw_notify(G_OBJECT(self));
}

void bh_host_set_features(BhHost *self, BhHostFeatures features)
{
    if (PRIV(self)->features == features)
        return;
    PRIV(self)->features = features;
    notify(self, PROP_FEATURES);
}

void bh_host_set_resources(BhHost *self, guint cpus, guint64 memory)
{
    PRIV(self)->cpus = cpus;
    PRIV(self)->memory = memory;
}

void bh_host_set_accelerator(BhHost *self, const char *accelerator, const char *note)
{
    if (replace_string(&PRIV(self)->accelerator, accelerator))
        notify(self, PROP_ACCELERATOR);
    if (replace_string(&PRIV(self)->accelerator_note, note))
        notify(self, PROP_ACCELERATOR_NOTE);
}

void bh_host_add_machine(BhHost *self, BhMachine *machine)
{
    BhHostPrivate *priv = PRIV(self);

    g_hash_table_insert(priv->by_id, (gpointer)bh_machine_get_id(machine), machine);
    g_list_store_append(priv->machines, machine);
}

void bh_host_remove_machine(BhHost *self, BhMachine *machine)
{
    BhHostPrivate *priv = PRIV(self);
    guint position;

    if (!g_list_store_find(priv->machines, machine, &position))
        return;
    g_object_ref(machine);
    g_hash_table_remove(priv->by_id, bh_machine_get_id(machine));
    g_list_store_remove(priv->machines, position);
    bh_machine_set_display_kind(machine, BH_DISPLAY_NONE);
    bh_machine_set_state(machine, BH_STATE_GONE, NULL);
    g_object_unref(machine);
}

void bh_host_add_deleted(BhHost *self, BhDeleted *deleted)
{
    g_list_store_append(PRIV(self)->deleted, deleted);
}

void bh_host_remove_deleted(BhHost *self, BhDeleted *deleted)
{
    guint position;

    if (g_list_store_find(PRIV(self)->deleted, deleted, &position))
        g_list_store_remove(PRIV(self)->deleted, position);
}

void bh_host_log(BhHost *self, BhSeverity severity, BhMachine *machine, const char *detail,
                 const char *format, ...)
{
    GListStore *events = PRIV(self)->events;
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_strdup_vprintf(format, args);
    va_end(args);
    g_autoptr(BhEvent) event =
        bh_event_new(severity, machine ? bh_machine_get_id(machine) : NULL, text, detail);
    if (g_list_model_get_n_items(G_LIST_MODEL(events)) >= EVENTS_MAX)
        g_list_store_remove(events, 0);
    g_list_store_append(events, event);
}

/* Operations. */

void bh_host_open_async(BhHost *self, BhJob *job, GAsyncReadyCallback callback, gpointer data)
{
    BH_HOST_GET_CLASS(self)->open(
        self, bh_operation_new(self, job, bh_host_open_async, NULL, callback, data));
}

gboolean bh_host_open_finish(BhHost *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_host_close(BhHost *self)
{
    BH_HOST_GET_CLASS(self)->close(self);
}

void bh_host_create_machine_async(BhHost *self, const BhMachineSpec *spec, BhJob *job,
                                  GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = bh_operation_new(self, job, bh_host_create_machine_async, NULL, callback, data);
    GError *error = NULL;

    if (!bh_machine_spec_validate(spec, &error)) {
        g_task_return_error(task, error);
        g_object_unref(task);
        return;
    }
    BH_HOST_GET_CLASS(self)->create_machine(self, spec, job, task);
}

BhMachine *bh_host_create_machine_finish(BhHost *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

/* Deleted machines. */

struct _BhDeleted {
    GObject parent_instance;
    GWeakRef host; /* the host lists it, so it must not hold the host */
    char *id;
    char *name;
    gint64 time;
};

G_DEFINE_TYPE(BhDeleted, bh_deleted, G_TYPE_OBJECT)

static void bh_deleted_finalize(GObject *object)
{
    BhDeleted *self = BH_DELETED(object);
    g_weak_ref_clear(&self->host);
    g_free(self->id);
    g_free(self->name);
    G_OBJECT_CLASS(bh_deleted_parent_class)->finalize(object);
}

static void bh_deleted_class_init(BhDeletedClass *class)
{
    G_OBJECT_CLASS(class)->finalize = bh_deleted_finalize;
}

static void bh_deleted_init(BhDeleted *self)
{
    g_weak_ref_init(&self->host, NULL);
}

BhDeleted *bh_deleted_new(BhHost *host, const char *id, const char *name, gint64 when)
{
    BhDeleted *self = g_object_new(BH_TYPE_DELETED, NULL);
    g_weak_ref_set(&self->host, host);
    self->id = g_strdup(id);
    self->name = g_strdup(name);
    self->time = when;
    return self;
}

const char *bh_deleted_get_id(BhDeleted *self)
{
    return self->id;
}

const char *bh_deleted_get_name(BhDeleted *self)
{
    return self->name;
}

gint64 bh_deleted_get_time(BhDeleted *self)
{
    return self->time;
}

/* The host, owned; or NULL after failing the task because it is no longer there. */
static BhHost *deleted_host(BhDeleted *self, GTask *task)
{
    BhHost *host = g_weak_ref_get(&self->host);

    if (!host) {
        g_task_return_error(task, bh_error_new(BH_ERROR_DISCONNECTED, _("Connect again."), NULL,
                                               _("The host is no longer open.")));
        g_object_unref(task);
    }
    return host;
}

void bh_deleted_restore_async(BhDeleted *self, BhJob *job, GAsyncReadyCallback callback,
                              gpointer data)
{
    GTask *task = bh_operation_new(self, job, bh_deleted_restore_async, NULL, callback, data);
    g_autoptr(BhHost) host = deleted_host(self, task);

    if (host)
        BH_HOST_GET_CLASS(host)->restore_deleted(host, self, task);
}

gboolean bh_deleted_restore_finish(BhDeleted *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_deleted_purge_async(BhDeleted *self, BhJob *job, GAsyncReadyCallback callback,
                            gpointer data)
{
    GTask *task = bh_operation_new(self, job, bh_deleted_purge_async, NULL, callback, data);
    g_autoptr(BhHost) host = deleted_host(self, task);

    if (host)
        BH_HOST_GET_CLASS(host)->purge_deleted(host, self, task);
}

gboolean bh_deleted_purge_finish(BhDeleted *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
