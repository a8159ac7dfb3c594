/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhMachine: what every driver's machines share: properties, which verb fits which state, and the
 * public half of each operation. See bulkhead/machine.h.
 */
#include <glib/gi18n-lib.h>

#include <bulkhead/error.h>
#include <bulkhead/host.h>

#include "operation.h"

typedef struct {
    char *name;
    BhState state;
    char *state_detail;
    BhMachineSpec *spec;
    char *accelerator;
    BhSpecFields restart_pending;
    BhDisplayKind display_kind;
    GPtrArray *usb_addresses;
    BhJob *job;
    char *id;
} BhMachinePrivate;

enum {
    PROP_0,
    PROP_ID,
    PROP_NAME,
    PROP_STATE,
    PROP_STATE_DETAIL,
    PROP_SPEC,
    PROP_ACCELERATOR,
    PROP_RESTART_PENDING,
    PROP_DISPLAY_KIND,
    PROP_USB_ADDRESSES,
    PROP_JOB,
    N_PROPS
};
static GParamSpec *props[N_PROPS];

G_DEFINE_ABSTRACT_TYPE_WITH_PRIVATE(BhMachine, bh_machine, G_TYPE_OBJECT)

#define PRIV(self) ((BhMachinePrivate *)bh_machine_get_instance_private(self))

static void bh_machine_get_property(GObject *object, guint id, GValue *value, GParamSpec *pspec)
{
    BhMachinePrivate *priv = PRIV(BH_MACHINE(object));

    switch (id) {
    case PROP_ID:
        g_value_set_string(value, priv->id);
        break;
    case PROP_NAME:
        g_value_set_string(value, priv->name);
        break;
    case PROP_STATE:
        g_value_set_int(value, priv->state);
        break;
    case PROP_STATE_DETAIL:
        g_value_set_string(value, priv->state_detail);
        break;
    case PROP_SPEC:
        g_value_set_boxed(value, priv->spec);
        break;
    case PROP_ACCELERATOR:
        g_value_set_string(value, priv->accelerator);
        break;
    case PROP_RESTART_PENDING:
        g_value_set_uint(value, priv->restart_pending);
        break;
    case PROP_DISPLAY_KIND:
        g_value_set_int(value, priv->display_kind);
        break;
    case PROP_USB_ADDRESSES:
        g_value_set_boxed(value, priv->usb_addresses);
        break;
    case PROP_JOB:
        g_value_set_object(value, priv->job);
        break;
    default:
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
    }
}

static void bh_machine_set_property(GObject *object, guint id, const GValue *value,
                                    GParamSpec *pspec)
{
    BhMachinePrivate *priv = PRIV(BH_MACHINE(object));

    if (id == PROP_ID)
        priv->id = g_value_dup_string(value);
    else
        G_OBJECT_WARN_INVALID_PROPERTY_ID(object, id, pspec);
}

static void bh_machine_finalize(GObject *object)
{
    BhMachinePrivate *priv = PRIV(BH_MACHINE(object));
    g_free(priv->id);
    g_free(priv->name);
    g_free(priv->state_detail);
    g_free(priv->accelerator);
    bh_machine_spec_free(priv->spec);
    g_ptr_array_unref(priv->usb_addresses);
    g_clear_object(&priv->job);
    G_OBJECT_CLASS(bh_machine_parent_class)->finalize(object);
}

static void bh_machine_class_init(BhMachineClass *class)
{
    GObjectClass *object_class = G_OBJECT_CLASS(class);
    const GParamFlags flags = G_PARAM_READABLE | G_PARAM_STATIC_STRINGS | G_PARAM_EXPLICIT_NOTIFY;

    object_class->get_property = bh_machine_get_property;
    object_class->set_property = bh_machine_set_property;
    object_class->finalize = bh_machine_finalize;
    props[PROP_ID] =
        g_param_spec_string("id", NULL, NULL, NULL,
                            G_PARAM_READWRITE | G_PARAM_CONSTRUCT_ONLY | G_PARAM_STATIC_STRINGS);
    props[PROP_NAME] = g_param_spec_string("name", NULL, NULL, NULL, flags);
    props[PROP_STATE] = g_param_spec_int("state", NULL, NULL, 0, BH_STATE_GONE, 0, flags);
    props[PROP_STATE_DETAIL] = g_param_spec_string("state-detail", NULL, NULL, NULL, flags);
    props[PROP_SPEC] = g_param_spec_boxed("spec", NULL, NULL, BH_TYPE_MACHINE_SPEC, flags);
    props[PROP_ACCELERATOR] = g_param_spec_string("accelerator", NULL, NULL, NULL, flags);
    props[PROP_RESTART_PENDING] =
        g_param_spec_uint("restart-pending", NULL, NULL, 0, G_MAXUINT, 0, flags);
    props[PROP_DISPLAY_KIND] =
        g_param_spec_int("display-kind", NULL, NULL, 0, BH_DISPLAY_VNC, 0, flags);
    props[PROP_USB_ADDRESSES] =
        g_param_spec_boxed("usb-addresses", NULL, NULL, G_TYPE_PTR_ARRAY, flags);
    props[PROP_JOB] = g_param_spec_object("job", NULL, NULL, BH_TYPE_JOB, flags);
    g_object_class_install_properties(object_class, N_PROPS, props);
}

static void bh_machine_init(BhMachine *self)
{
    BhMachinePrivate *priv = PRIV(self);
    priv->spec = bh_machine_spec_new();
    priv->usb_addresses = g_ptr_array_new_with_free_func(g_free);
}

const char *bh_machine_get_id(BhMachine *self)
{
    return PRIV(self)->id;
}

const char *bh_machine_get_name(BhMachine *self)
{
    return PRIV(self)->name ? PRIV(self)->name : "";
}

BhState bh_machine_get_state(BhMachine *self)
{
    return PRIV(self)->state;
}

const char *bh_machine_get_state_detail(BhMachine *self)
{
    return PRIV(self)->state_detail;
}

gboolean bh_machine_is_active(BhMachine *self)
{
    switch (PRIV(self)->state) {
    case BH_STATE_STARTING:
    case BH_STATE_RUNNING:
    case BH_STATE_PAUSED:
    case BH_STATE_SAVING:
    case BH_STATE_STOPPING:
        return TRUE;
    default:
        return FALSE;
    }
}

const BhMachineSpec *bh_machine_get_spec(BhMachine *self)
{
    return PRIV(self)->spec;
}

const char *bh_machine_get_accelerator(BhMachine *self)
{
    return PRIV(self)->accelerator;
}

BhSpecFields bh_machine_get_restart_pending(BhMachine *self)
{
    return PRIV(self)->restart_pending;
}

BhDisplayKind bh_machine_get_display_kind(BhMachine *self)
{
    return PRIV(self)->display_kind;
}

GPtrArray *bh_machine_get_usb_addresses(BhMachine *self)
{
    return PRIV(self)->usb_addresses;
}

BhJob *bh_machine_get_job(BhMachine *self)
{
    return PRIV(self)->job;
}

/* Setters. */

static void notify(BhMachine *self, guint id)
{
    g_object_notify_by_pspec(G_OBJECT(self), props[id]);
}

static void set_string(BhMachine *self, char **field, const char *value, guint id)
{
    if (g_strcmp0(*field, value) == 0)
        return;
    g_free(*field);
    *field = g_strdup(value);
    notify(self, id);
}

void bh_machine_set_name(BhMachine *self, const char *name)
{
    set_string(self, &PRIV(self)->name, name, PROP_NAME);
}

void bh_machine_set_state(BhMachine *self, BhState state, const char *detail)
{
    BhMachinePrivate *priv = PRIV(self);

    g_object_freeze_notify(G_OBJECT(self));
    set_string(self, &priv->state_detail, detail, PROP_STATE_DETAIL);
    if (priv->state != state) {
        priv->state = state;
        notify(self, PROP_STATE);
    }
    g_object_thaw_notify(G_OBJECT(self));
}

void bh_machine_take_spec(BhMachine *self, BhMachineSpec *spec)
{
    BhMachinePrivate *priv = PRIV(self);
    gboolean changed =
        bh_machine_spec_diff(priv->spec, spec) || g_strcmp0(priv->spec->os_id, spec->os_id) ||
        g_strcmp0(priv->spec->disk_path, spec->disk_path) || priv->spec->firmware != spec->firmware;

    bh_machine_spec_free(priv->spec);
    priv->spec = spec;
    if (changed)
        notify(self, PROP_SPEC);
}

void bh_machine_set_accelerator(BhMachine *self, const char *accelerator)
{
    set_string(self, &PRIV(self)->accelerator, accelerator, PROP_ACCELERATOR);
}

void bh_machine_set_restart_pending(BhMachine *self, BhSpecFields fields)
{
    if (PRIV(self)->restart_pending == fields)
        return;
    PRIV(self)->restart_pending = fields;
    notify(self, PROP_RESTART_PENDING);
}

void bh_machine_set_display_kind(BhMachine *self, BhDisplayKind kind)
{
    if (PRIV(self)->display_kind == kind)
        return;
    PRIV(self)->display_kind = kind;
    notify(self, PROP_DISPLAY_KIND);
}

void bh_machine_take_usb_addresses(BhMachine *self, GPtrArray *addresses)
{
    g_ptr_array_unref(PRIV(self)->usb_addresses);
    PRIV(self)->usb_addresses = addresses;
    notify(self, PROP_USB_ADDRESSES);
}

/* Operations. */

static void on_operation_ended(gpointer source, BhJob *job)
{
    BhMachinePrivate *priv = PRIV(BH_MACHINE(source));

    if (job && priv->job == job) {
        g_clear_object(&priv->job);
        notify(BH_MACHINE(source), PROP_JOB);
    }
}

static GTask *operation(BhMachine *self, BhJob *job, gpointer tag, GAsyncReadyCallback callback,
                        gpointer data)
{
    if (job && g_set_object(&PRIV(self)->job, job))
        notify(self, PROP_JOB);
    return bh_operation_new(self, job, tag, on_operation_ended, callback, data);
}

static void refuse(GTask *task, BhErrorCode code, const char *hint, const char *message)
{
    g_task_return_error(task, bh_error_new(code, hint, NULL, "%s", message));
    g_object_unref(task);
}

static void refuse_unsupported(GTask *task)
{
    refuse(task, BH_ERROR_NOT_SUPPORTED, NULL, _("This host cannot do that."));
}

void bh_machine_act_async(BhMachine *self, BhVerb verb, BhJob *job, GAsyncReadyCallback callback,
                          gpointer data)
{
    GTask *task = operation(self, job, bh_machine_act_async, callback, data);
    const char *reason = NULL;

    if (!bh_machine_can(self, verb, &reason)) {
        refuse(task, PRIV(self)->state == BH_STATE_GONE ? BH_ERROR_NOT_FOUND : BH_ERROR_BUSY, NULL,
               reason);
        return;
    }
    BH_MACHINE_GET_CLASS(self)->act(self, verb, job, task);
}

gboolean bh_machine_act_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

/* The wanted spec with every field outside the mask taken from the present one. */
static BhMachineSpec *merge_spec(const BhMachineSpec *now, const BhMachineSpec *wanted,
                                 BhSpecFields fields)
{
    BhMachineSpec *spec = bh_machine_spec_copy(wanted);

    if (!(fields & BH_SPEC_NAME)) {
        g_free(spec->name);
        spec->name = g_strdup(now->name);
    }
    if (!(fields & BH_SPEC_NOTES)) {
        g_free(spec->notes);
        spec->notes = g_strdup(now->notes);
    }
    if (!(fields & BH_SPEC_CDROM)) {
        g_free(spec->cdrom);
        spec->cdrom = g_strdup(now->cdrom);
    }
    spec->cpus = fields & BH_SPEC_CPUS ? wanted->cpus : now->cpus;
    spec->memory_mib = fields & BH_SPEC_MEMORY ? wanted->memory_mib : now->memory_mib;
    spec->sound = fields & BH_SPEC_SOUND ? wanted->sound : now->sound;
    spec->clipboard = fields & BH_SPEC_CLIPBOARD ? wanted->clipboard : now->clipboard;
    spec->video = fields & BH_SPEC_VIDEO ? wanted->video : now->video;
    spec->usb_channels = fields & BH_SPEC_USB_CHANNELS ? wanted->usb_channels : now->usb_channels;
    spec->tpm = fields & BH_SPEC_TPM ? wanted->tpm : now->tpm;
    spec->secure_boot = fields & BH_SPEC_SECURE_BOOT ? wanted->secure_boot : now->secure_boot;
    spec->nic = fields & BH_SPEC_NIC ? wanted->nic : now->nic;
    spec->firmware = now->firmware;
    spec->disk_origin = BH_DISK_NONE;
    return spec;
}

void bh_machine_apply_async(BhMachine *self, const BhMachineSpec *wanted, BhSpecFields fields,
                            BhJob *job, GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = operation(self, job, bh_machine_apply_async, callback, data);
    g_autoptr(BhMachineSpec) spec = merge_spec(PRIV(self)->spec, wanted, fields);
    GError *error = NULL;

    if (PRIV(self)->state == BH_STATE_GONE) {
        refuse(task, BH_ERROR_NOT_FOUND, NULL, _("This machine is no longer on its host."));
    } else if (!bh_machine_spec_validate(spec, &error)) {
        g_task_return_error(task, error);
        g_object_unref(task);
    } else {
        BH_MACHINE_GET_CLASS(self)->apply(self, spec, fields, job, task);
    }
}

gboolean bh_machine_apply_finish(BhMachine *self, GAsyncResult *result, BhSpecFields *after_restart,
                                 GError **error)
{
    GError *local = NULL;
    gssize fields = g_task_propagate_int(G_TASK(result), &local);

    if (local) {
        g_propagate_error(error, local);
        return FALSE;
    }
    if (after_restart)
        *after_restart = fields;
    return TRUE;
}

void bh_machine_open_display_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                                   gpointer data)
{
    GTask *task = operation(self, job, bh_machine_open_display_async, callback, data);

    if (PRIV(self)->display_kind == BH_DISPLAY_NONE || !bh_machine_is_active(self))
        refuse(task, BH_ERROR_BUSY, _("Start it first."), _("The machine shows no screen now."));
    else
        BH_MACHINE_GET_CLASS(self)->open_display(self, task);
}

int bh_machine_open_display_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_int(G_TASK(result), error);
}

void bh_machine_screenshot_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data)
{
    GTask *task = operation(self, job, bh_machine_screenshot_async, callback, data);

    if (!BH_MACHINE_GET_CLASS(self)->screenshot)
        refuse_unsupported(task);
    else if (!bh_machine_is_active(self))
        refuse(task, BH_ERROR_BUSY, _("Start it first."), _("The machine shows no screen now."));
    else
        BH_MACHINE_GET_CLASS(self)->screenshot(self, task);
}

GBytes *bh_machine_screenshot_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bh_machine_send_keys_async(BhMachine *self, const guint *keycodes, guint n, BhJob *job,
                                GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = operation(self, job, bh_machine_send_keys_async, callback, data);

    if (!BH_MACHINE_GET_CLASS(self)->send_keys)
        refuse_unsupported(task);
    else if (PRIV(self)->state != BH_STATE_RUNNING)
        refuse(task, BH_ERROR_BUSY, _("Start or resume it first."),
               _("The machine is not running."));
    else
        BH_MACHINE_GET_CLASS(self)->send_keys(self, keycodes, n, task);
}

gboolean bh_machine_send_keys_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_machine_usb_attach_async(BhMachine *self, const BhUsbAddress *address, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = operation(self, job, bh_machine_usb_attach_async, callback, data);

    if (!BH_MACHINE_GET_CLASS(self)->usb_attach)
        refuse_unsupported(task);
    else if (!bh_machine_is_active(self))
        refuse(task, BH_ERROR_BUSY, _("Start it first."), _("The machine is not running."));
    else
        BH_MACHINE_GET_CLASS(self)->usb_attach(self, address, task);
}

gboolean bh_machine_usb_attach_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_machine_usb_detach_async(BhMachine *self, const BhUsbAddress *address, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = operation(self, job, bh_machine_usb_detach_async, callback, data);

    if (BH_MACHINE_GET_CLASS(self)->usb_detach)
        BH_MACHINE_GET_CLASS(self)->usb_detach(self, address, task);
    else
        refuse_unsupported(task);
}

gboolean bh_machine_usb_detach_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_machine_delete_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                             gpointer data)
{
    GTask *task = operation(self, job, bh_machine_delete_async, callback, data);

    if (PRIV(self)->state == BH_STATE_GONE)
        refuse(task, BH_ERROR_NOT_FOUND, NULL, _("This machine is no longer on its host."));
    else if (bh_machine_is_active(self))
        refuse(task, BH_ERROR_BUSY, _("Shut it down first."), _("The machine is running."));
    else
        BH_MACHINE_GET_CLASS(self)->remove(self, job, task);
}

BhDeleted *bh_machine_delete_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}

void bh_machine_read_log_async(BhMachine *self, guint lines, BhJob *job,
                               GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = operation(self, job, bh_machine_read_log_async, callback, data);

    if (BH_MACHINE_GET_CLASS(self)->read_log)
        BH_MACHINE_GET_CLASS(self)->read_log(self, lines, task);
    else
        refuse_unsupported(task);
}

char *bh_machine_read_log_finish(BhMachine *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}
