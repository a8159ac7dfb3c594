/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A machine of the fake host: verbs, changes, USB, log.
 *
 * The stored spec is the base class's; "live" is what the pretended QEMU was started with, so the
 * difference between the two is what waits for a restart.
 */
#include "fake-private.h"

#include <fcntl.h>

#include <gio/gunixsocketaddress.h>
#include <glib/gi18n-lib.h>

/* What only a start of the machine takes over. */
#define RESTART_FIELDS                                                                             \
    (BH_SPEC_CPUS | BH_SPEC_MEMORY | BH_SPEC_SOUND | BH_SPEC_VIDEO | BH_SPEC_USB_CHANNELS |        \
     BH_SPEC_TPM | BH_SPEC_SECURE_BOOT | BH_SPEC_NIC)

struct _BhFakeMachine {
    BhMachine parent_instance;
    GWeakRef host;
    BhFakeOp *op;
    BhMachineSpec *live; /* while active */
    GString *log;
    guint off_source; /* the guest is shutting down */
    gboolean stubborn;
};

G_DEFINE_TYPE(BhFakeMachine, bh_fake_machine, BH_TYPE_MACHINE)

/* A strong reference to the host, or NULL after ending the task with "disconnected". */
static BhFakeHost *machine_host(BhFakeMachine *self, GTask *task)
{
    BhFakeHost *host = g_weak_ref_get(&self->host);

    if (host != NULL && bh_host_get_state(BH_HOST(host)) == BH_HOST_CONNECTED)
        return host;
    g_clear_object(&host);
    bh_fake_task_fail(task, bh_error_new(BH_ERROR_DISCONNECTED, NULL, NULL,
                                         _("The connection to the host is lost.")));
    return NULL;
}

static BhFakeOp *machine_op(BhFakeMachine *self, const char *what, BhJob *job, GTask *task,
                            guint percent)
{
    g_autoptr(BhFakeHost) host = NULL;

    if (self->op != NULL) {
        bh_fake_task_fail(task, bh_error_new(BH_ERROR_BUSY, _("Wait until that is done."), NULL,
                                             _("“%s” is busy with something else."),
                                             bh_machine_get_name(BH_MACHINE(self))));
        return NULL;
    }
    host = machine_host(self, task);
    return host != NULL ? bh_fake_op_new(host, self, what, job, task, percent) : NULL;
}

/* Changes, pictures, keys and devices pass beside whatever else runs on the machine. */
static BhFakeOp *side_op(BhFakeHost *host, BhMachine *machine, const char *what, BhJob *job,
                         GTask *task, guint percent)
{
    BhFakeOp *op = bh_fake_op_new(host, NULL, what, job, task, percent);

    op->machine = g_object_ref(BH_FAKE_MACHINE(machine));
    return op;
}

void bh_fake_machine_set_op(BhFakeMachine *self, BhFakeOp *op)
{
    self->op = op;
}

BhFakeOp *bh_fake_machine_get_op(BhFakeMachine *self)
{
    return self->op;
}

void bh_fake_machine_set_stubborn(BhFakeMachine *self, gboolean stubborn)
{
    self->stubborn = stubborn;
}

void bh_fake_machine_append_log(BhFakeMachine *self, const char *text)
{
    g_autoptr(GDateTime) now = g_date_time_new_now_utc();
    g_autofree char *stamp = g_date_time_format(now, "%F %T.000+0000");

    g_string_append_printf(self->log, "%s: %s\n", stamp, text);
}

static gboolean state_is_active(BhState state)
{
    return state != BH_STATE_OFF && state != BH_STATE_SAVED && state != BH_STATE_CRASHED &&
           state != BH_STATE_GONE;
}

/* Everything that hangs on the pretended QEMU process follows the state. */
static void machine_follow(BhFakeMachine *self, BhState state)
{
    BhMachine *machine = BH_MACHINE(self);
    g_autoptr(BhFakeHost) host = g_weak_ref_get(&self->host);
    const BhFakeParams *params = host != NULL ? bh_fake_host_get_params(host) : NULL;

    if (state_is_active(state)) {
        if (self->live == NULL)
            self->live = bh_machine_spec_copy(bh_machine_get_spec(machine));
        bh_machine_set_accelerator(machine, params != NULL && params->kvm ? "kvm" : "tcg");
        bh_machine_set_display_kind(
            machine, params != NULL && params->spice != NULL ? BH_DISPLAY_SPICE : BH_DISPLAY_NONE);
        return;
    }
    g_clear_handle_id(&self->off_source, g_source_remove);
    if (state != BH_STATE_SAVED)
        g_clear_pointer(&self->live, bh_machine_spec_free);
    if (self->live == NULL)
        bh_machine_set_restart_pending(machine, 0);
    bh_machine_set_accelerator(machine, NULL);
    bh_machine_set_display_kind(machine, BH_DISPLAY_NONE);
    bh_machine_take_usb_addresses(machine, g_ptr_array_new_with_free_func(g_free));
}

static void log_change(BhFakeMachine *self, BhState old, BhState state, const char *detail)
{
    g_autoptr(BhFakeHost) host = g_weak_ref_get(&self->host);
    const char *name = bh_machine_get_name(BH_MACHINE(self));

    if (host == NULL)
        return;
    if (state == BH_STATE_CRASHED)
        bh_host_log(BH_HOST(host), BH_SEVERITY_ERROR, BH_MACHINE(self), detail,
                    _("“%s” went away by itself."), name);
    else if (state == BH_STATE_RUNNING && old == BH_STATE_STARTING)
        bh_host_log(BH_HOST(host), BH_SEVERITY_INFO, BH_MACHINE(self), NULL, _("“%s” started."),
                    name);
    else if (state == BH_STATE_PAUSED || state == BH_STATE_SAVED || state == BH_STATE_OFF)
        bh_host_log(BH_HOST(host), BH_SEVERITY_INFO, BH_MACHINE(self), detail, _("“%s”: %s"), name,
                    bh_state_get_label(state));
}

void bh_fake_machine_enter(BhFakeMachine *self, BhState state, const char *detail)
{
    BhState old = bh_machine_get_state(BH_MACHINE(self));

    if (old == state)
        return;
    /* What the state implies is in place before anybody hears of the state. */
    machine_follow(self, state);
    bh_machine_set_state(BH_MACHINE(self), state, detail);
    if (state == BH_STATE_STARTING)
        bh_fake_machine_append_log(self, "starting up fake machine, qemu version: 0.0.0");
    else if (!state_is_active(state) && state_is_active(old) && state != BH_STATE_CRASHED)
        bh_fake_machine_append_log(self, "shutting down");
    log_change(self, old, state, detail);
}

void bh_fake_machine_force(BhFakeMachine *self, BhState state, const char *detail)
{
    if (self->op != NULL)
        bh_fake_op_abort(self->op, bh_error_new(BH_ERROR_FAILED, NULL, NULL,
                                                _("“%s” changed its state meanwhile."),
                                                bh_machine_get_name(BH_MACHINE(self))));
    self->op = NULL;
    g_clear_handle_id(&self->off_source, g_source_remove);
    bh_fake_machine_enter(self, state, detail);
}

/* ---- verbs ---- */

enum { KEEP = -1 };

static const struct {
    int during, after; /* BhState or KEEP */
    guint percent;     /* of the host's delay */
    const char *step;
} plans[BH_N_VERBS] = {
    [BH_VERB_START] = {BH_STATE_STARTING, BH_STATE_RUNNING, 100, N_("Starting")},
    [BH_VERB_SHUTDOWN] = {KEEP, BH_STATE_STOPPING, 20, N_("Asking the guest to shut down")},
    [BH_VERB_REBOOT] = {KEEP, BH_STATE_RUNNING, 30, N_("Restarting")},
    [BH_VERB_RESET] = {KEEP, BH_STATE_RUNNING, 20, N_("Resetting")},
    [BH_VERB_FORCE_OFF] = {KEEP, BH_STATE_OFF, 20, N_("Switching off")},
    [BH_VERB_PAUSE] = {KEEP, BH_STATE_PAUSED, 20, N_("Pausing")},
    [BH_VERB_RESUME] = {KEEP, BH_STATE_RUNNING, 20, N_("Resuming")},
    [BH_VERB_SAVE] = {BH_STATE_SAVING, BH_STATE_SAVED, 300, N_("Saving")},
    [BH_VERB_DISCARD_SAVE] = {KEEP, BH_STATE_OFF, 20, N_("Discarding the saved state")},
};

static gboolean guest_is_off(gpointer data)
{
    BhFakeMachine *self = data;

    self->off_source = 0;
    if (!self->stubborn) {
        bh_fake_machine_enter(self, BH_STATE_OFF, NULL);
        return G_SOURCE_REMOVE;
    }
    bh_fake_machine_enter(self, BH_STATE_RUNNING, NULL);
    return G_SOURCE_REMOVE;
}

static void act_finish(BhFakeOp *op)
{
    BhFakeMachine *self = op->machine;
    BhVerb verb = (BhVerb)GPOINTER_TO_INT(op->data);
    guint delay = bh_fake_host_get_params(op->host)->delay_ms;

    bh_fake_machine_enter(self, (BhState)plans[verb].after, NULL);
    if (verb == BH_VERB_SHUTDOWN && self->off_source == 0)
        self->off_source = g_timeout_add(self->stubborn ? 3 * delay : delay, guest_is_off, self);
    if (verb == BH_VERB_REBOOT || verb == BH_VERB_RESET)
        bh_host_log(BH_HOST(op->host), BH_SEVERITY_INFO, BH_MACHINE(self), NULL,
                    _("“%s” restarted."), bh_machine_get_name(BH_MACHINE(self)));
    g_task_return_boolean(op->task, TRUE);
}

static void act_undo(BhFakeOp *op)
{
    bh_fake_machine_enter(op->machine, (BhState)op->before, NULL);
}

static void machine_act(BhMachine *machine, BhVerb verb, BhJob *job, GTask *task)
{
    BhFakeMachine *self = BH_FAKE_MACHINE(machine);
    BhFakeOp *op;

    if (verb == BH_VERB_FORCE_OFF && self->op != NULL) {
        bh_fake_op_abort(self->op,
                         bh_error_new(BH_ERROR_FAILED, NULL, NULL, _("“%s” was switched off."),
                                      bh_machine_get_name(machine)));
        self->op = NULL;
    }
    op = machine_op(self, bh_verb_get_name(verb), job, task, plans[verb].percent);
    if (op == NULL)
        return;
    if (op->before == BH_STATE_STARTING) /* its start was aborted above: nothing to go back to */
        op->before = BH_STATE_RUNNING;
    op->data = GINT_TO_POINTER((int)verb);
    op->step = _(plans[verb].step);
    op->finish = act_finish;
    op->undo = act_undo;
    if (verb == BH_VERB_SAVE)
        op->bytes = (guint64)bh_machine_get_spec(machine)->memory_mib * 1048576;
    if (plans[verb].during != KEEP)
        bh_fake_machine_enter(self, (BhState)plans[verb].during, NULL);
}

/* ---- changes ---- */

typedef struct {
    BhMachineSpec *wanted;
    BhSpecFields fields;
} Change;

static void change_free(gpointer data)
{
    Change *change = data;

    bh_machine_spec_free(change->wanted);
    g_free(change);
}

static void copy_string(char **target, const char *value)
{
    g_free(*target);
    *target = g_strdup(value);
}

static void copy_fields(BhMachineSpec *to, const BhMachineSpec *from, BhSpecFields fields)
{
    if (fields & BH_SPEC_NAME)
        copy_string(&to->name, from->name);
    if (fields & BH_SPEC_NOTES)
        copy_string(&to->notes, from->notes);
    if (fields & BH_SPEC_CDROM)
        copy_string(&to->cdrom, from->cdrom);
    if (fields & BH_SPEC_CPUS)
        to->cpus = from->cpus;
    if (fields & BH_SPEC_MEMORY)
        to->memory_mib = from->memory_mib;
    if (fields & BH_SPEC_SOUND)
        to->sound = from->sound;
    if (fields & BH_SPEC_CLIPBOARD)
        to->clipboard = from->clipboard;
    if (fields & BH_SPEC_VIDEO)
        to->video = from->video;
    if (fields & BH_SPEC_USB_CHANNELS)
        to->usb_channels = from->usb_channels;
    if (fields & BH_SPEC_TPM)
        to->tpm = from->tpm;
    if (fields & BH_SPEC_SECURE_BOOT)
        to->secure_boot = from->secure_boot;
    if (fields & BH_SPEC_NIC)
        to->nic = from->nic;
}

static void apply_finish(BhFakeOp *op)
{
    BhFakeMachine *self = op->machine;
    BhMachine *machine = BH_MACHINE(self);
    Change *change = op->data;
    BhMachineSpec *spec = bh_machine_spec_copy(bh_machine_get_spec(machine));
    BhSpecFields pending = 0;

    copy_fields(spec, change->wanted, change->fields);
    if (self->live != NULL) {
        copy_fields(self->live, spec, change->fields & ~RESTART_FIELDS);
        pending = bh_machine_spec_diff(self->live, spec) & RESTART_FIELDS;
    }
    bh_machine_take_spec(machine, spec);
    if (change->fields & BH_SPEC_NAME)
        bh_machine_set_name(machine, bh_machine_get_spec(machine)->name);
    bh_machine_set_restart_pending(machine, pending);
    g_task_return_int(op->task, (gssize)(pending & change->fields));
}

static gboolean check_change(BhFakeHost *host, BhMachine *machine, const BhMachineSpec *wanted,
                             BhSpecFields fields, GError **error)
{
    if ((fields & BH_SPEC_NAME) && !bh_fake_host_check_name(host, wanted->name, machine, error))
        return FALSE;
    if ((fields & BH_SPEC_MEMORY) && !bh_fake_host_check_memory(host, wanted->memory_mib, error))
        return FALSE;
    if ((fields & BH_SPEC_CDROM) && wanted->cdrom != NULL &&
        !g_file_test(wanted->cdrom, G_FILE_TEST_IS_REGULAR)) {
        g_set_error(error, BH_ERROR, BH_ERROR_NOT_FOUND, _("There is no file “%s”."),
                    wanted->cdrom);
        return FALSE;
    }
    return TRUE;
}

static void machine_apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields,
                          BhJob *job, GTask *task)
{
    g_autoptr(BhFakeHost) host = machine_host(BH_FAKE_MACHINE(machine), task);
    GError *error = NULL;
    Change *change;
    BhFakeOp *op;

    if (host == NULL)
        return;
    if (!check_change(host, machine, wanted, fields, &error)) {
        bh_fake_task_fail(task, error);
        return;
    }
    op = side_op(host, machine, "apply", job, task, 20);
    change = g_new0(Change, 1);
    change->wanted = bh_machine_spec_copy(wanted);
    change->fields = fields;
    op->data = change;
    op->data_free = change_free;
    op->finish = apply_finish;
}

/* ---- display, screen, keys, log ---- */

static void display_connected(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GTask) task = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(GSocketConnection) connection =
        g_socket_client_connect_finish(G_SOCKET_CLIENT(source), result, &error);
    int fd;

    if (connection == NULL) {
        if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            g_task_return_error(task, g_steal_pointer(&error));
        else
            g_task_return_error(task, bh_error_new(BH_ERROR_FAILED, NULL, error->message,
                                                   _("The display does not answer.")));
        return;
    }
    /* The connection closes its own descriptor. */
    fd = fcntl(g_socket_get_fd(g_socket_connection_get_socket(connection)), F_DUPFD_CLOEXEC, 3);
    g_task_return_int(task, fd);
}

static void machine_open_display(BhMachine *machine, GTask *task)
{
    g_autoptr(BhFakeHost) host = machine_host(BH_FAKE_MACHINE(machine), task);
    g_autoptr(GSocketClient) client = NULL;
    g_autoptr(GSocketAddress) address = NULL;
    const BhFakeParams *params;
    GError *fault;

    if (host == NULL)
        return;
    params = bh_fake_host_get_params(host);
    fault = bh_fake_host_take_fault(host, "open-display");
    if (fault == NULL && !bh_machine_is_active(machine))
        fault = bh_error_new(BH_ERROR_BUSY, _("Start it first."), NULL, _("“%s” is not running."),
                             bh_machine_get_name(machine));
    if (fault == NULL && params->spice == NULL)
        fault = bh_error_new(BH_ERROR_NOT_SUPPORTED, NULL, NULL, _("“%s” has no display."),
                             bh_machine_get_name(machine));
    if (fault != NULL) {
        bh_fake_task_fail(task, fault);
        return;
    }
    client = g_socket_client_new();
    address = g_unix_socket_address_new(params->spice);
    g_socket_client_connect_async(client, G_SOCKET_CONNECTABLE(address),
                                  g_task_get_cancellable(task), display_connected, task);
}

static void screenshot_finish(BhFakeOp *op)
{
    BhMachine *machine = BH_MACHINE(op->machine);
    GBytes *screen = bh_fake_screen_draw(bh_machine_get_name(machine), g_get_monotonic_time());

    g_task_return_pointer(op->task, screen, (GDestroyNotify)g_bytes_unref);
}

static void done(BhFakeOp *op)
{
    g_task_return_boolean(op->task, TRUE);
}

static BhFakeOp *screen_op(BhMachine *machine, const char *what, GTask *task)
{
    g_autoptr(BhFakeHost) host = machine_host(BH_FAKE_MACHINE(machine), task);
    BhFakeOp *op;

    if (host == NULL)
        return NULL;
    op = side_op(host, machine, what, NULL, task, 5);
    op->finish = done;
    return op;
}

static void machine_screenshot(BhMachine *machine, GTask *task)
{
    BhFakeOp *op = screen_op(machine, "screenshot", task);

    if (op != NULL)
        op->finish = screenshot_finish;
}

static void machine_send_keys(BhMachine *machine, const guint *keycodes, guint n, GTask *task)
{
    GString *line = g_string_new("keys");

    for (guint i = 0; i < n; i++)
        g_string_append_printf(line, " %u", keycodes[i]);
    if (screen_op(machine, "send-keys", task) != NULL)
        bh_fake_machine_append_log(BH_FAKE_MACHINE(machine), line->str);
    g_string_free(line, TRUE);
}

static void machine_read_log(BhMachine *machine, guint lines, GTask *task)
{
    BhFakeMachine *self = BH_FAKE_MACHINE(machine);
    g_autoptr(BhFakeHost) host = machine_host(self, task);
    const char *start;
    GError *fault;

    if (host == NULL)
        return;
    fault = bh_fake_host_take_fault(host, "read-log");
    if (fault != NULL) {
        bh_fake_task_fail(task, fault);
        return;
    }
    start = self->log->str + self->log->len;
    /* Each line ends in a newline: go back over lines + 1 of them. */
    while (start > self->log->str && (start[-1] != '\n' || start[0] == '\0' || lines-- > 1))
        start--;
    g_task_return_pointer(task, g_strdup(start), g_free);
    g_object_unref(task);
}

/* ---- USB ---- */

static GPtrArray *copy_addresses(BhMachine *machine)
{
    GPtrArray *old = bh_machine_get_usb_addresses(machine);
    GPtrArray *copy = g_ptr_array_new_with_free_func(g_free);

    for (guint i = 0; old != NULL && i < old->len; i++)
        g_ptr_array_add(copy, g_memdup2(g_ptr_array_index(old, i), sizeof(BhUsbAddress)));
    return copy;
}

static int find_address(GPtrArray *addresses, const BhUsbAddress *wanted)
{
    for (guint i = 0; addresses != NULL && i < addresses->len; i++) {
        const BhUsbAddress *a = g_ptr_array_index(addresses, i);

        if (a->bus == wanted->bus && a->address == wanted->address)
            return (int)i;
    }
    return -1;
}

static GError *check_usb(BhFakeHost *host, BhMachine *machine, const BhUsbAddress *address,
                         gboolean attach)
{
    BhMachine *owner = bh_fake_host_find_usb_owner(host, address);

    if (!(bh_host_get_features(BH_HOST(host)) & BH_FEATURE_USB_PASSTHROUGH))
        return bh_error_new(BH_ERROR_NOT_SUPPORTED, NULL, NULL,
                            _("This host cannot pass USB devices through."));
    if (!bh_machine_is_active(machine))
        return bh_error_new(BH_ERROR_BUSY, _("Start it first."), NULL, _("“%s” is not running."),
                            bh_machine_get_name(machine));
    if (attach && owner != NULL)
        return bh_error_new(BH_ERROR_BUSY, NULL, NULL, _("“%s” has the device."),
                            bh_machine_get_name(owner));
    if (!attach && owner != machine)
        return bh_error_new(BH_ERROR_NOT_FOUND, NULL, NULL, _("“%s” does not have the device."),
                            bh_machine_get_name(machine));
    return NULL;
}

static void attach_finish(BhFakeOp *op)
{
    GPtrArray *addresses;
    GError *error = check_usb(op->host, BH_MACHINE(op->machine), op->data, TRUE);

    if (error != NULL) { /* something changed while it was under way */
        g_task_return_error(op->task, error);
        return;
    }
    addresses = copy_addresses(BH_MACHINE(op->machine));
    g_ptr_array_add(addresses, g_memdup2(op->data, sizeof(BhUsbAddress)));
    bh_machine_take_usb_addresses(BH_MACHINE(op->machine), addresses);
    g_task_return_boolean(op->task, TRUE);
}

static void detach_finish(BhFakeOp *op)
{
    GPtrArray *addresses = copy_addresses(BH_MACHINE(op->machine));
    int index = find_address(addresses, op->data);

    if (index >= 0)
        g_ptr_array_remove_index(addresses, (guint)index);
    bh_machine_take_usb_addresses(BH_MACHINE(op->machine), addresses);
    g_task_return_boolean(op->task, TRUE);
}

static void usb_op(BhMachine *machine, const BhUsbAddress *address, GTask *task, gboolean attach)
{
    g_autoptr(BhFakeHost) host = machine_host(BH_FAKE_MACHINE(machine), task);
    GError *error;
    BhFakeOp *op;

    if (host == NULL)
        return;
    error = check_usb(host, machine, address, attach);
    if (error != NULL) {
        bh_fake_task_fail(task, error);
        return;
    }
    op =
        machine_op(BH_FAKE_MACHINE(machine), attach ? "usb-attach" : "usb-detach", NULL, task, 100);
    if (op == NULL)
        return;
    op->data = g_memdup2(address, sizeof *address);
    op->data_free = g_free;
    op->finish = attach ? attach_finish : detach_finish;
}

static void machine_usb_attach(BhMachine *machine, const BhUsbAddress *address, GTask *task)
{
    usb_op(machine, address, task, TRUE);
}

static void machine_usb_detach(BhMachine *machine, const BhUsbAddress *address, GTask *task)
{
    usb_op(machine, address, task, FALSE);
}

/* ---- removal ---- */

static void remove_finish(BhFakeOp *op)
{
    g_task_return_pointer(op->task, bh_fake_host_bury(op->host, op->machine), g_object_unref);
}

static void machine_remove(BhMachine *machine, BhJob *job, GTask *task)
{
    BhFakeOp *op;

    if (bh_machine_is_active(machine)) {
        bh_fake_task_fail(task, bh_error_new(BH_ERROR_BUSY, _("Switch it off first."), NULL,
                                             _("“%s” is running."), bh_machine_get_name(machine)));
        return;
    }
    op = machine_op(BH_FAKE_MACHINE(machine), "delete", job, task, 30);
    if (op != NULL)
        op->finish = remove_finish;
}

/* ---- object ---- */

static void bh_fake_machine_finalize(GObject *object)
{
    BhFakeMachine *self = BH_FAKE_MACHINE(object);

    g_clear_handle_id(&self->off_source, g_source_remove);
    g_clear_pointer(&self->live, bh_machine_spec_free);
    g_string_free(self->log, TRUE);
    g_weak_ref_clear(&self->host);
    G_OBJECT_CLASS(bh_fake_machine_parent_class)->finalize(object);
}

static void bh_fake_machine_class_init(BhFakeMachineClass *klass)
{
    BhMachineClass *machine = BH_MACHINE_CLASS(klass);

    G_OBJECT_CLASS(klass)->finalize = bh_fake_machine_finalize;
    machine->act = machine_act;
    machine->apply = machine_apply;
    machine->open_display = machine_open_display;
    machine->screenshot = machine_screenshot;
    machine->send_keys = machine_send_keys;
    machine->usb_attach = machine_usb_attach;
    machine->usb_detach = machine_usb_detach;
    machine->remove = machine_remove;
    machine->read_log = machine_read_log;
}

static void bh_fake_machine_init(BhFakeMachine *self)
{
    self->log = g_string_new(NULL);
    g_weak_ref_init(&self->host, NULL);
}

BhFakeMachine *bh_fake_machine_new(BhFakeHost *host, const char *id, BhMachineSpec *spec,
                                   BhState state)
{
    BhFakeMachine *self = g_object_new(BH_TYPE_FAKE_MACHINE, "id", id, NULL);

    g_weak_ref_set(&self->host, host);
    self->stubborn = bh_fake_host_get_params(host)->stubborn;
    bh_machine_set_name(BH_MACHINE(self), spec->name);
    bh_machine_take_spec(BH_MACHINE(self), spec);
    machine_follow(self, state);
    bh_machine_set_state(BH_MACHINE(self), state,
                         state == BH_STATE_CRASHED ? _("QEMU ended unexpectedly.") : NULL);
    if (state_is_active(state))
        bh_fake_machine_append_log(self, "starting up fake machine, qemu version: 0.0.0");
    return self;
}
