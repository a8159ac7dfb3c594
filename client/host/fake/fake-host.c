/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The fake host: connection, list of machines, making, deleting and having back. See fake.h.
 */
#include "fake-private.h"

#include <glib/gi18n-lib.h>

/* The size an empty image file pretends to be imported with. */
#define PRETENDED_IMPORT (G_GUINT64_CONSTANT(4) << 30)

typedef struct {
    char *what;
    GError *error;
} Fault;

struct _BhFakeHost {
    BhHost parent_instance;
    BhFakeParams *params;
    BhFakeControl *control;
    GList *ops;         /* of BhFakeOp, running */
    GList *faults;      /* of Fault, waiting */
    GHashTable *graves; /* id -> BhMachineSpec of a deleted machine */
    guint reconnect_source;
    guint made; /* machines so far, for new ids */
    gboolean filled;
};

G_DEFINE_TYPE(BhFakeHost, bh_fake_host, BH_TYPE_HOST)

static void fault_free(gpointer data)
{
    Fault *fault = data;

    g_free(fault->what);
    g_clear_error(&fault->error);
    g_free(fault);
}

const BhFakeParams *bh_fake_host_get_params(BhFakeHost *self)
{
    return self->params;
}

void bh_fake_host_add_op(BhFakeHost *self, BhFakeOp *op)
{
    self->ops = g_list_prepend(self->ops, op);
}

void bh_fake_host_remove_op(BhFakeHost *self, BhFakeOp *op)
{
    self->ops = g_list_remove(self->ops, op);
}

GError *bh_fake_host_take_fault(BhFakeHost *self, const char *what)
{
    for (GList *link = self->faults; link != NULL; link = link->next) {
        Fault *fault = link->data;
        GError *error;

        if (!g_str_equal(fault->what, what))
            continue;
        error = g_steal_pointer(&fault->error);
        fault_free(fault);
        self->faults = g_list_delete_link(self->faults, link);
        return error;
    }
    return NULL;
}

void bh_fake_host_fail_next(BhFakeHost *self, const char *what, BhErrorCode code,
                            const char *message)
{
    Fault *fault = g_new0(Fault, 1);

    fault->what = g_strdup(what);
    fault->error = bh_error_new(code, NULL, "fault injected into the fake host", "%s", message);
    self->faults = g_list_append(self->faults, fault);
}

/* ---- machines ---- */

gboolean bh_fake_host_check_name(BhFakeHost *self, const char *name, BhMachine *except,
                                 GError **error)
{
    BhMachine *other = bh_host_find_machine(BH_HOST(self), name);

    if (other == NULL || other == except || !g_str_equal(bh_machine_get_name(other), name))
        return TRUE;
    g_propagate_error(error, bh_error_new(BH_ERROR_EXISTS, _("Choose another name."), NULL,
                                          _("There is already a machine named “%s”."), name));
    return FALSE;
}

gboolean bh_fake_host_check_memory(BhFakeHost *self, guint memory_mib, GError **error)
{
    g_autofree char *has = NULL;

    if ((guint64)memory_mib * 1048576 <= self->params->memory)
        return TRUE;
    has = g_format_size_full(self->params->memory, G_FORMAT_SIZE_IEC_UNITS);
    g_propagate_error(error, bh_error_new(BH_ERROR_NO_SPACE, _("Choose less memory."), NULL,
                                          _("The host has only %s of memory."), has));
    return FALSE;
}

BhFakeMachine *bh_fake_host_add(BhFakeHost *self, const char *id, BhMachineSpec *spec,
                                BhState state)
{
    g_autofree char *made_id = g_strdup_printf("00000000-0000-4000-8000-%012x", ++self->made);
    g_autoptr(BhFakeMachine) machine =
        bh_fake_machine_new(self, id != NULL ? id : made_id, spec, state);

    bh_host_add_machine(BH_HOST(self), BH_MACHINE(machine));
    return machine; /* the host's list has it */
}

static BhMachineSpec *sample_spec(BhFakeHost *self, guint index, const char *prefix)
{
    static const char *const systems[] = {
        "http://debian.org/debian/12", "http://microsoft.com/win/11",
        "http://fedoraproject.org/fedora/38", NULL, "http://ubuntu.com/ubuntu/22.04"};
    BhMachineSpec *spec = bh_machine_spec_new();
    guint named = g_strv_length(self->params->names);

    if (prefix == NULL && index < named)
        spec->name = g_strdup(self->params->names[index]);
    else
        spec->name = g_strdup_printf("%s %u", prefix != NULL ? prefix : "Machine", index + 1);
    spec->os_id = g_strdup(systems[index % G_N_ELEMENTS(systems)]);
    spec->disk_path = g_strdup_printf("/nonexistent/bulkhead-fake/%s.qcow2", spec->name);
    spec->disk_bytes = G_GUINT64_CONSTANT(20) << 30;
    return spec;
}

static BhState sample_state(const BhFakeParams *params, guint index)
{
    const struct {
        guint count;
        BhState state;
    } runs[] = {{params->running, BH_STATE_RUNNING},
                {params->paused, BH_STATE_PAUSED},
                {params->saved, BH_STATE_SAVED},
                {params->crashed, BH_STATE_CRASHED}};

    for (gsize i = 0; i < G_N_ELEMENTS(runs); i++) {
        if (index < runs[i].count)
            return runs[i].state;
        index -= runs[i].count;
    }
    return BH_STATE_OFF;
}

static void fill(BhFakeHost *self)
{
    self->filled = TRUE;
    for (guint i = 0; i < self->params->machines; i++)
        bh_fake_host_add(self, NULL, sample_spec(self, i, NULL), sample_state(self->params, i));
    for (guint i = 0; i < self->params->deleted; i++) {
        BhFakeMachine *machine =
            bh_fake_host_add(self, NULL, sample_spec(self, i, "Deleted"), BH_STATE_OFF);

        g_object_unref(bh_fake_host_bury(self, machine));
    }
}

BhMachine *bh_fake_host_find_usb_owner(BhFakeHost *self, const BhUsbAddress *address)
{
    GListModel *machines = bh_host_get_machines(BH_HOST(self));

    for (guint i = 0; i < g_list_model_get_n_items(machines); i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(machines, i);
        GPtrArray *addresses = bh_machine_get_usb_addresses(machine);

        for (guint j = 0; addresses != NULL && j < addresses->len; j++) {
            const BhUsbAddress *a = g_ptr_array_index(addresses, j);

            if (a->bus == address->bus && a->address == address->address)
                return machine; /* the host's list has it */
        }
    }
    return NULL;
}

/* ---- connection ---- */

static void connected(BhFakeHost *self)
{
    BhHost *host = BH_HOST(self);

    bh_host_set_features(host, self->params->features);
    bh_host_set_resources(host, self->params->cpus, self->params->memory);
    bh_host_set_accelerator(host, self->params->kvm ? "kvm" : "tcg",
                            self->params->kvm ? NULL : self->params->note);
    if (!self->filled)
        fill(self);
    bh_host_set_state(host, BH_HOST_CONNECTED, NULL);
    bh_host_log(host, BH_SEVERITY_INFO, NULL, NULL, _("Connected to %s."), bh_host_get_uri(host));
}

static void open_finish(BhFakeOp *op)
{
    connected(op->host);
    g_task_return_boolean(op->task, TRUE);
}

static void open_undo(BhFakeOp *op)
{
    bh_host_set_state(BH_HOST(op->host), BH_HOST_CLOSED, op->failure->message);
}

/* The URI's fault=WHAT:CODE:MESSAGE. */
static gboolean plant_fault(BhFakeHost *self, GError **error)
{
    g_auto(GStrv) parts = NULL;
    BhErrorCode code;

    if (self->params->fail == NULL)
        return TRUE;
    parts = g_strsplit(self->params->fail, ":", 3);
    if (g_strv_length(parts) != 3 || !bh_fake_code_from_text(parts[1], &code)) {
        g_set_error(error, BH_ERROR, BH_ERROR_INVALID, _("“%s” is not WHAT:CODE:MESSAGE."),
                    self->params->fail);
        return FALSE;
    }
    bh_fake_host_fail_next(self, parts[0], code, parts[2]);
    return TRUE;
}

static gboolean prepare(BhFakeHost *self, GError **error)
{
    if (self->params != NULL)
        return TRUE;
    self->params = bh_fake_params_parse(bh_host_get_uri(BH_HOST(self)), error);
    if (self->params == NULL || !plant_fault(self, error))
        return FALSE;
    if (self->params->control == NULL)
        return TRUE;
    self->control = bh_fake_control_new(self, self->params->control, error);
    return self->control != NULL;
}

static void fake_host_open(BhHost *host, GTask *task)
{
    BhFakeHost *self = BH_FAKE_HOST(host);
    GError *error = NULL;
    BhFakeOp *op;

    if (!prepare(self, &error)) {
        g_clear_pointer(&self->params, bh_fake_params_free);
        bh_host_set_state(host, BH_HOST_CLOSED, error->message);
        bh_fake_task_fail(task, error);
        return;
    }
    g_clear_handle_id(&self->reconnect_source, g_source_remove);
    bh_host_set_state(host, BH_HOST_CONNECTING, NULL);
    op = bh_fake_op_new(self, NULL, "open", NULL, task, 10);
    op->finish = open_finish;
    op->undo = open_undo;
}

static void fake_host_close(BhHost *host)
{
    BhFakeHost *self = BH_FAKE_HOST(host);

    g_clear_handle_id(&self->reconnect_source, g_source_remove);
    g_clear_pointer(&self->control, bh_fake_control_free);
    for (GList *link = self->ops; link != NULL; link = link->next)
        bh_fake_op_abort(link->data, g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED,
                                                         _("The connection was closed.")));
    bh_host_set_state(host, BH_HOST_CLOSED, NULL);
}

static gboolean reconnect(gpointer data)
{
    BhFakeHost *self = data;

    self->reconnect_source = 0;
    bh_host_set_state(BH_HOST(self), BH_HOST_CONNECTING, NULL);
    connected(self);
    return G_SOURCE_REMOVE;
}

void bh_fake_host_drop_connection(BhFakeHost *self, guint ms)
{
    g_clear_handle_id(&self->reconnect_source, g_source_remove);
    bh_host_set_state(BH_HOST(self), BH_HOST_DISCONNECTED,
                      _("The connection to the host is lost."));
    bh_host_log(BH_HOST(self), BH_SEVERITY_WARNING, NULL, NULL, _("The connection is lost."));
    self->reconnect_source = g_timeout_add(ms, reconnect, self);
}

/* ---- create ---- */

static void create_finish(BhFakeOp *op)
{
    BhMachineSpec *spec = op->data;
    GError *error = NULL;
    BhFakeMachine *machine;

    /* The name may have been taken while the disk was copied. */
    if (!bh_fake_host_check_name(op->host, spec->name, NULL, &error)) {
        g_task_return_error(op->task, error);
        return;
    }
    op->data = NULL;
    op->data_free = NULL;
    if (spec->disk_origin == BH_DISK_IN_PLACE)
        spec->disk_path = g_strdup(spec->disk_source);
    else if (spec->disk_origin != BH_DISK_NONE)
        spec->disk_path = g_strdup_printf("/nonexistent/bulkhead-fake/%s.qcow2", spec->name);
    spec->disk_origin = BH_DISK_NONE;
    g_clear_pointer(&spec->disk_source, g_free);
    machine = bh_fake_host_add(op->host, NULL, spec, BH_STATE_OFF);
    bh_host_log(BH_HOST(op->host), BH_SEVERITY_INFO, BH_MACHINE(machine), NULL, _("“%s” was made."),
                spec->name);
    g_task_return_pointer(op->task, g_object_ref(machine), g_object_unref);
}

static gboolean file_is_there(const char *path, GError **error)
{
    if (path == NULL || g_file_test(path, G_FILE_TEST_EXISTS))
        return TRUE;
    g_set_error(error, BH_ERROR, BH_ERROR_NOT_FOUND, _("There is no file “%s”."), path);
    return FALSE;
}

static gboolean check_create(BhFakeHost *self, const BhMachineSpec *spec, GError **error)
{
    BhHostFeatures features = bh_host_get_features(BH_HOST(self));

    if (bh_host_get_state(BH_HOST(self)) != BH_HOST_CONNECTED) {
        g_set_error(error, BH_ERROR, BH_ERROR_DISCONNECTED, _("The host is not connected."));
        return FALSE;
    }
    if (spec->tpm && !(features & BH_FEATURE_TPM)) {
        g_set_error(error, BH_ERROR, BH_ERROR_NOT_SUPPORTED, _("This host has no emulated TPM."));
        return FALSE;
    }
    if (spec->secure_boot && !(features & BH_FEATURE_SECURE_BOOT)) {
        g_set_error(error, BH_ERROR, BH_ERROR_NOT_SUPPORTED, _("This host has no Secure Boot."));
        return FALSE;
    }
    return bh_fake_host_check_name(self, spec->name, NULL, error) &&
           bh_fake_host_check_memory(self, spec->memory_mib, error) &&
           file_is_there(spec->cdrom, error) &&
           (spec->disk_origin < BH_DISK_IMPORT || file_is_there(spec->disk_source, error));
}

static void fake_host_create(BhHost *host, const BhMachineSpec *spec, BhJob *job, GTask *task)
{
    BhFakeHost *self = BH_FAKE_HOST(host);
    gboolean import = spec->disk_origin == BH_DISK_IMPORT;
    GError *error = NULL;
    BhFakeOp *op;

    if (!check_create(self, spec, &error)) {
        bh_fake_task_fail(task, error);
        return;
    }
    op = bh_fake_op_new(self, NULL, "create", job, task, import ? 1000 : 100);
    op->data = bh_machine_spec_copy(spec);
    op->data_free = (GDestroyNotify)bh_machine_spec_free;
    op->finish = create_finish;
    op->step = _("Making the machine");
    op->bytes = import ? (spec->disk_bytes > 0 ? spec->disk_bytes : PRETENDED_IMPORT) : 0;
}

/* ---- delete, undo, purge ---- */

BhDeleted *bh_fake_host_bury(BhFakeHost *self, BhFakeMachine *machine)
{
    const char *id = bh_machine_get_id(BH_MACHINE(machine));
    const char *name = bh_machine_get_name(BH_MACHINE(machine));
    BhDeleted *deleted =
        bh_deleted_new(BH_HOST(self), id, name, g_get_real_time() / G_USEC_PER_SEC);

    g_hash_table_insert(self->graves, g_strdup(id),
                        bh_machine_spec_copy(bh_machine_get_spec(BH_MACHINE(machine))));
    bh_host_log(BH_HOST(self), BH_SEVERITY_INFO, BH_MACHINE(machine), NULL, _("“%s” was deleted."),
                name);
    bh_host_remove_machine(BH_HOST(self), BH_MACHINE(machine));
    bh_host_add_deleted(BH_HOST(self), deleted);
    return deleted;
}

static void restore_finish(BhFakeOp *op)
{
    BhDeleted *deleted = op->data;
    const char *id = bh_deleted_get_id(deleted);
    const BhMachineSpec *spec = g_hash_table_lookup(op->host->graves, id);
    GError *error = NULL;

    if (!bh_fake_host_check_name(op->host, spec->name, NULL, &error)) {
        g_task_return_error(op->task, error);
        return;
    }
    bh_fake_host_add(op->host, id, bh_machine_spec_copy(spec), BH_STATE_OFF);
    g_hash_table_remove(op->host->graves, id);
    bh_host_remove_deleted(BH_HOST(op->host), deleted);
    g_task_return_boolean(op->task, TRUE);
}

static void purge_finish(BhFakeOp *op)
{
    BhDeleted *deleted = op->data;

    g_hash_table_remove(op->host->graves, bh_deleted_get_id(deleted));
    bh_host_remove_deleted(BH_HOST(op->host), deleted);
    g_task_return_boolean(op->task, TRUE);
}

static void grave_op(BhHost *host, BhDeleted *deleted, GTask *task, const char *what,
                     void (*finish)(BhFakeOp *op))
{
    BhFakeHost *self = BH_FAKE_HOST(host);
    BhFakeOp *op;

    if (!g_hash_table_contains(self->graves, bh_deleted_get_id(deleted))) {
        bh_fake_task_fail(task, bh_error_new(BH_ERROR_NOT_FOUND, NULL, NULL,
                                             _("“%s” is not among the deleted machines."),
                                             bh_deleted_get_name(deleted)));
        return;
    }
    op = bh_fake_op_new(self, NULL, what, NULL, task, 30);
    op->data = g_object_ref(deleted);
    op->data_free = g_object_unref;
    op->finish = finish;
}

static void fake_host_restore(BhHost *host, BhDeleted *deleted, GTask *task)
{
    grave_op(host, deleted, task, "undelete", restore_finish);
}

static void fake_host_purge(BhHost *host, BhDeleted *deleted, GTask *task)
{
    grave_op(host, deleted, task, "purge", purge_finish);
}

/* ---- changes from outside ---- */

void bh_fake_host_crash(BhFakeHost *self, BhMachine *machine, const char *log)
{
    g_auto(GStrv) lines = g_strsplit(log != NULL ? log : "", "\n", -1);
    const char *last = NULL;

    for (guint i = 0; lines[i] != NULL; i++) {
        if (*lines[i] == '\0')
            continue;
        bh_fake_machine_append_log(BH_FAKE_MACHINE(machine), lines[i]);
        last = lines[i];
    }
    bh_fake_machine_force(BH_FAKE_MACHINE(machine), BH_STATE_CRASHED,
                          last != NULL ? last : _("QEMU ended unexpectedly."));
}

void bh_fake_host_force_state(BhFakeHost *self, BhMachine *machine, BhState state)
{
    if (state == BH_STATE_GONE)
        bh_host_remove_machine(BH_HOST(self), machine);
    else
        bh_fake_machine_force(BH_FAKE_MACHINE(machine), state, NULL);
}

void bh_fake_host_force_rename(BhFakeHost *self, BhMachine *machine, const char *name)
{
    BhMachineSpec *spec = bh_machine_spec_copy(bh_machine_get_spec(machine));

    g_free(spec->name);
    spec->name = g_strdup(name);
    bh_machine_take_spec(machine, spec);
    bh_machine_set_name(machine, name);
}

BhMachine *bh_fake_host_force_add(BhFakeHost *self, const char *name)
{
    BhMachineSpec *spec = sample_spec(self, self->made, NULL);

    g_free(spec->name);
    spec->name = g_strdup(name);
    return BH_MACHINE(bh_fake_host_add(self, NULL, spec, BH_STATE_OFF));
}

/* ---- object ---- */

static void bh_fake_host_finalize(GObject *object)
{
    BhFakeHost *self = BH_FAKE_HOST(object);

    g_clear_handle_id(&self->reconnect_source, g_source_remove);
    g_clear_pointer(&self->control, bh_fake_control_free);
    g_clear_pointer(&self->params, bh_fake_params_free);
    g_list_free_full(self->faults, fault_free);
    g_hash_table_unref(self->graves);
    G_OBJECT_CLASS(bh_fake_host_parent_class)->finalize(object);
}

static void bh_fake_host_class_init(BhFakeHostClass *klass)
{
    BhHostClass *host = BH_HOST_CLASS(klass);

    G_OBJECT_CLASS(klass)->finalize = bh_fake_host_finalize;
    host->open = fake_host_open;
    host->close = fake_host_close;
    host->create_machine = fake_host_create;
    host->restore_deleted = fake_host_restore;
    host->purge_deleted = fake_host_purge;
}

static void bh_fake_host_init(BhFakeHost *self)
{
    self->graves = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                         (GDestroyNotify)bh_machine_spec_free);
}
