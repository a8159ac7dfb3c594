/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUsbArbiter: who has which device, who wants it, and bringing it back.
 *
 * Who has a device is never stored: it is read from the machines' own lists (pass-through) and the
 * redirectors, so that changes from outside are seen. What is stored, per device id, is what the
 * user wants (BhUsbTrack). After any event update() runs once from the main loop: it attaches the
 * devices that a wish or an "always" rule gives to a machine, and emits "changed".
 *
 * Of several machines with an "always" rule, the one that had the device last gets it, else the
 * one that has been running longest (then the lowest id). A device that some machine has is never
 * taken away automatically. A wish survives the machine's end, its consent to unmount does not:
 * the user may be using the device on the host by then.
 */
#include "usb-arbiter-private.h"

#include "operation.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define SWEEP_DELAY_MS 3000
#define AUTOMATIC_MAX 8
#define AUTOMATIC_WINDOW (60 * G_USEC_PER_SEC)

enum { CHANGED, ASK, FAILED, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhUsbArbiter, bh_usb_arbiter, G_TYPE_OBJECT)

static void track_free(gpointer data)
{
    BhUsbTrack *track = data;
    g_clear_weak_pointer(&track->assumed);
    g_free(track->wanted);
    g_free(track->last);
    g_free(track);
}

BhUsbTrack *bh_usb_arbiter_track(BhUsbArbiter *self, const char *device_id)
{
    BhUsbTrack *track = g_hash_table_lookup(self->tracks, device_id);
    if (!track) {
        track = g_new0(BhUsbTrack, 1);
        g_hash_table_insert(self->tracks, g_strdup(device_id), track);
    }
    return track;
}

BhUsbLimits *bh_usb_arbiter_limits(BhUsbArbiter *self)
{
    return &self->limits;
}

gboolean bh_usb_machine_has(BhMachine *machine, const BhUsbAddress *address)
{
    GPtrArray *list = bh_machine_get_usb_addresses(machine);
    for (guint i = 0; list && i < list->len; i++) {
        const BhUsbAddress *a = list->pdata[i];
        if (a->bus == address->bus && a->address == address->address)
            return TRUE;
    }
    return FALSE;
}

static gboolean is_local(BhUsbArbiter *self)
{
    return (bh_host_get_features(self->host) & BH_FEATURE_LOCAL) != 0;
}

BhMachine *bh_usb_arbiter_get_owner(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbAddress address = bh_usb_device_get_address(device);
    GHashTableIter iter;
    gpointer machine, value;
    if (!bh_usb_device_is_present(device))
        return NULL;
    g_hash_table_iter_init(&iter, self->machines);
    while (is_local(self) && g_hash_table_iter_next(&iter, &machine, &value))
        if (value && bh_usb_machine_has(machine, &address))
            return machine;
    g_hash_table_iter_init(&iter, self->redirectors);
    while (g_hash_table_iter_next(&iter, &machine, &value))
        if (BH_USB_REDIRECTOR_GET_IFACE(value)->is_connected(value, device))
            return machine;
    BhUsbTrack *track = g_hash_table_lookup(self->tracks, bh_usb_device_get_id(device));
    if (track && track->assumed && track->assumed_until > g_get_monotonic_time())
        return track->assumed;
    return NULL;
}

gboolean bh_usb_arbiter_is_busy(BhUsbArbiter *self, BhUsbDevice *device)
{
    return bh_usb_move_is_busy(self, device);
}

BhUsbRoute bh_usb_arbiter_find_route(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                     char **reason, BhUsbFix *fix)
{
    BhUsbRouteQuery query = {
        .host = self->host,
        .machine = machine,
        .device = device,
        .redirector = g_hash_table_lookup(self->redirectors, machine),
        .rule =
            bh_usb_rules_get(self->rules, bh_machine_get_id(machine), bh_usb_device_get_id(device)),
    };
    return bh_usb_route_decide(&query, reason, fix);
}

static gboolean is_redirected(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device)
{
    BhUsbRedirector *redirector = g_hash_table_lookup(self->redirectors, machine);
    return redirector && BH_USB_REDIRECTOR_GET_IFACE(redirector)->is_connected(redirector, device);
}

BhUsbRoute bh_usb_arbiter_get_route(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                    char **reason, BhUsbFix *fix)
{
    g_autofree char *why = NULL;
    BhUsbFix what = BH_USB_FIX_NONE;
    BhMachine *owner = bh_usb_arbiter_get_owner(self, device);
    BhUsbRoute route;
    if (owner == machine)
        route = is_redirected(self, machine, device) ? BH_USB_ROUTE_SPICE : BH_USB_ROUTE_HOST;
    else
        route = bh_usb_arbiter_find_route(self, machine, device, &why, &what);
    if (owner && owner != machine && route != BH_USB_ROUTE_NONE) {
        route = BH_USB_ROUTE_NONE;
        what = BH_USB_FIX_TAKE;
        why = g_strdup_printf(_("“%s” has it."), bh_machine_get_name(owner));
    }
    if (route != BH_USB_ROUTE_NONE && !owner && bh_usb_device_can_unmount(device))
        what = BH_USB_FIX_UNMOUNT;
    if (reason)
        *reason = g_steal_pointer(&why);
    if (fix)
        *fix = what;
    return route;
}

/* ---- what happens by itself ---- */

static gboolean is_active(BhUsbArbiter *self, BhMachine *machine)
{
    return g_hash_table_lookup(self->machines, machine) != NULL;
}

static gboolean can_take(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device)
{
    g_autofree char *reason = NULL;
    BhUsbFix fix;
    return is_active(self, machine) &&
           bh_usb_arbiter_find_route(self, machine, device, &reason, &fix) != BH_USB_ROUTE_NONE;
}

/* Whether a comes before b for a device that last had. */
static gboolean is_before(BhUsbArbiter *self, BhMachine *a, BhMachine *b, const char *last)
{
    const char *ia = bh_machine_get_id(a), *ib = bh_machine_get_id(b);
    guint na = GPOINTER_TO_UINT(g_hash_table_lookup(self->machines, a));
    guint nb = GPOINTER_TO_UINT(g_hash_table_lookup(self->machines, b));
    if (g_strcmp0(last, ia) == 0 || g_strcmp0(last, ib) == 0)
        return g_strcmp0(last, ia) == 0;
    return na != nb ? na < nb : strcmp(ia, ib) < 0;
}

/* The machine that should get a free device now, or NULL. */
static BhMachine *pick_machine(BhUsbArbiter *self, BhUsbDevice *device, BhUsbTrack *track)
{
    const char *id = bh_usb_device_get_id(device);
    BhMachine *wanted = track->wanted ? bh_host_find_machine(self->host, track->wanted) : NULL;
    BhMachine *best = NULL;
    GHashTableIter iter;
    gpointer machine, number;
    if (wanted && is_active(self, wanted))
        return can_take(self, wanted, device) ? wanted : NULL;
    if (track->held)
        return NULL;
    g_hash_table_iter_init(&iter, self->machines);
    while (g_hash_table_iter_next(&iter, &machine, &number))
        if (number &&
            bh_usb_rules_get(self->rules, bh_machine_get_id(machine), id) == BH_USB_RULE_ALWAYS &&
            can_take(self, machine, device) &&
            (!best || is_before(self, machine, best, track->last)))
            best = machine;
    return best;
}

static void tell_failed(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device, GError *error)
{
    bh_usb_arbiter_track(self, bh_usb_device_get_id(device))->gave_up = TRUE;
    g_signal_emit(self, signals[FAILED], 0, machine, device, error);
}

/* A device that resets itself on every attach comes back as new each time. */
static gboolean is_looping(BhUsbTrack *track)
{
    gint64 now = g_get_monotonic_time();
    if (now - track->window > AUTOMATIC_WINDOW) {
        track->window = now;
        track->automatic = 0;
    }
    return ++track->automatic > AUTOMATIC_MAX;
}

static void attach_by_itself(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                             BhUsbTrack *track)
{
    const char *reason;
    BhUsbGuard guard = bh_usb_device_get_guard(device, &reason);
    gboolean agreed = track->consent || !track->wanted; /* a rule is a standing consent */
    g_autoptr(GError) error = NULL;
    if (guard == BH_USB_CONFIRM && !(agreed && bh_usb_device_get_use(device)->only_storage))
        error = bh_error_new(BH_ERROR_NEEDS_CONFIRM, _("Give it to the machine by hand."), NULL,
                             "%s", reason);
    else if (is_looping(track))
        error = bh_error_new(BH_ERROR_FAILED, _("Give it to the machine by hand."), NULL,
                             _("The device keeps resetting: it is no longer attached by itself."));
    if (error)
        tell_failed(self, machine, device, error);
    else
        bh_usb_move_attach(self, machine, device, guard == BH_USB_CONFIRM, NULL, NULL);
}

static void reconsider(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbTrack *track = g_hash_table_lookup(self->tracks, bh_usb_device_get_id(device));
    if (!track)
        track = bh_usb_arbiter_track(self, bh_usb_device_get_id(device));
    if (self->passive || track->gave_up || bh_usb_move_is_busy(self, device) ||
        bh_usb_arbiter_get_owner(self, device))
        return;
    BhMachine *machine = pick_machine(self, device, track);
    if (machine)
        attach_by_itself(self, machine, device, track);
}

static gboolean on_update(gpointer data)
{
    g_autoptr(BhUsbArbiter) self = g_object_ref(data);
    g_autoptr(GPtrArray) devices = g_ptr_array_new_with_free_func(g_object_unref);
    self->update_source = 0;
    for (guint i = 0; i < self->devices->len; i++)
        g_ptr_array_add(devices, g_object_ref(self->devices->pdata[i]));
    for (guint i = 0; i < devices->len; i++)
        if (bh_usb_device_is_present(devices->pdata[i]))
            reconsider(self, devices->pdata[i]);
    g_signal_emit(self, signals[CHANGED], 0);
    return G_SOURCE_REMOVE;
}

void bh_usb_arbiter_queue_update(BhUsbArbiter *self)
{
    if (self->update_source == 0)
        self->update_source = g_idle_add_full(G_PRIORITY_DEFAULT, on_update, self, NULL);
}

static void retry_all(BhUsbArbiter *self)
{
    GHashTableIter iter;
    gpointer track;
    g_hash_table_iter_init(&iter, self->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &track))
        ((BhUsbTrack *)track)->gave_up = FALSE;
    bh_usb_arbiter_queue_update(self);
}

/* ---- devices ---- */

/* No rule decides about a device that was just plugged in: whoever shows a machine may ask. Not
 * about keyboards and mice, which are plugged in to be used right here. */
static void ask(BhUsbArbiter *self, BhUsbDevice *device)
{
    const char *id = bh_usb_device_get_id(device);
    BhUsbKind kind = bh_usb_device_get_kind(device);
    if (kind == BH_USB_KIND_KEYBOARD || kind == BH_USB_KIND_POINTER)
        return;
    g_autoptr(GPtrArray) machines = g_ptr_array_new();
    GHashTableIter iter;
    gpointer machine, number;
    g_hash_table_iter_init(&iter, self->machines);
    while (g_hash_table_iter_next(&iter, &machine, &number))
        if (number && bh_machine_get_state(machine) == BH_STATE_RUNNING &&
            bh_machine_get_display_kind(machine) != BH_DISPLAY_NONE &&
            bh_usb_rules_get(self->rules, bh_machine_get_id(machine), id) == BH_USB_RULE_ASK &&
            can_take(self, machine, device))
            g_ptr_array_add(machines, machine);
    for (guint i = 0; i < machines->len; i++) {
        for (guint k = i + 1; k < machines->len; k++)
            if (is_before(self, machines->pdata[k], machines->pdata[i], NULL)) {
                gpointer swap = machines->pdata[i];
                machines->pdata[i] = machines->pdata[k];
                machines->pdata[k] = swap;
            }
        g_signal_emit(self, signals[ASK], 0, machines->pdata[i], device);
    }
}

static void device_gone(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbAddress address = bh_usb_device_get_address(device);
    BhUsbTrack *track = bh_usb_arbiter_track(self, bh_usb_device_get_id(device));
    GHashTableIter iter;
    gpointer machine, number;
    g_signal_handlers_disconnect_by_data(device, self);
    g_clear_weak_pointer(&track->assumed);
    /* What the machine lists from now on is the stale entry, not this device. */
    track->held = track->gave_up = track->listed = FALSE;
    bh_usb_move_device_gone(self, device);
    g_hash_table_iter_init(&iter, self->machines);
    while (is_local(self) && !self->passive && g_hash_table_iter_next(&iter, &machine, &number))
        if (number && bh_usb_machine_has(machine, &address))
            bh_usb_move_stale(self, machine, &address);
}

static void device_came(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbTrack *track = bh_usb_arbiter_track(self, bh_usb_device_get_id(device));
    track->gave_up = FALSE;
    g_signal_connect_swapped(device, "changed", G_CALLBACK(bh_usb_arbiter_queue_update), self);
    if (!self->passive && !pick_machine(self, device, track) && !track->wanted)
        ask(self, device);
}

/* Compares with the list of before: what is gone can only be found there. */
static void on_devices_changed(GListModel *model, guint position, guint removed, guint added,
                               BhUsbArbiter *self)
{
    g_autoptr(GPtrArray) gone = g_ptr_array_new_with_free_func(g_object_unref);
    g_autoptr(GPtrArray) came = g_ptr_array_new_with_free_func(g_object_unref);
    for (guint i = 0; i < removed; i++) {
        g_ptr_array_add(gone, g_object_ref(self->devices->pdata[position]));
        g_ptr_array_remove_index(self->devices, position);
    }
    for (guint i = 0; i < added; i++) {
        gpointer device = g_list_model_get_item(model, position + i);
        g_ptr_array_insert(self->devices, position + i, device);
        g_ptr_array_add(came, g_object_ref(device));
    }
    for (guint i = 0; i < gone->len; i++)
        device_gone(self, gone->pdata[i]);
    for (guint i = 0; i < came->len; i++)
        device_came(self, came->pdata[i]);
    bh_usb_arbiter_queue_update(self);
}

/* ---- machines ---- */

typedef struct {
    BhUsbArbiter *arbiter;
    BhUsbDevice *device;
    BhMachine *machine;
    gpointer activation; /* the run of the machine it was lost in */
} Loss;

static void loss_free(gpointer data)
{
    Loss *loss = data;
    g_object_unref(loss->arbiter);
    g_object_unref(loss->device);
    g_object_unref(loss->machine);
    g_free(loss);
}

/* Someone else detached it (virsh, the CLI): respected, or the two would fight over it. Judged
 * after a while, because an unplugged device can leave the machine before udev tells. */
static gboolean on_loss(gpointer data)
{
    Loss *loss = data;
    BhUsbTrack *track = bh_usb_arbiter_track(loss->arbiter, bh_usb_device_get_id(loss->device));
    if (bh_usb_device_is_present(loss->device) && loss->activation &&
        g_hash_table_lookup(loss->arbiter->machines, loss->machine) == loss->activation &&
        !bh_usb_arbiter_get_owner(loss->arbiter, loss->device) &&
        !bh_usb_move_is_busy(loss->arbiter, loss->device)) {
        track->held = TRUE;
        g_clear_pointer(&track->wanted, g_free);
    }
    track->gave_up = FALSE;
    bh_usb_arbiter_queue_update(loss->arbiter);
    return G_SOURCE_REMOVE;
}

/* Given by another program, or before this one was started: it is wanted there all the same. */
static void adopt(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device, BhUsbTrack *track)
{
    const char *id = bh_machine_get_id(machine);
    if (track->wanted || track->held || bh_usb_move_is_busy(self, device) ||
        bh_usb_rules_get(self->rules, id, bh_usb_device_get_id(device)) == BH_USB_RULE_ALWAYS)
        return;
    track->wanted = g_strdup(id);
    track->consent = TRUE;
}

static void on_addresses_changed(BhMachine *machine, GParamSpec *pspec, BhUsbArbiter *self)
{
    const char *id = bh_machine_get_id(machine);
    for (guint i = 0; i < self->devices->len && is_local(self); i++) {
        BhUsbDevice *device = self->devices->pdata[i];
        BhUsbAddress address = bh_usb_device_get_address(device);
        BhUsbTrack *track = bh_usb_arbiter_track(self, bh_usb_device_get_id(device));
        gboolean was = track->listed && g_strcmp0(track->last, id) == 0;
        if (bh_usb_machine_has(machine, &address)) {
            g_free(track->last);
            track->last = g_strdup(id);
            track->listed = TRUE;
            if (!was)
                adopt(self, machine, device, track);
            continue;
        }
        if (!was)
            continue;
        track->listed = FALSE;
        if (!is_active(self, machine) || bh_usb_move_is_busy(self, device) || track->held)
            continue;
        g_clear_weak_pointer(&track->assumed);
        track->gave_up = TRUE; /* until the judgement */
        Loss *loss = g_new(Loss, 1);
        *loss = (Loss){g_object_ref(self), g_object_ref(device), g_object_ref(machine),
                       g_hash_table_lookup(self->machines, machine)};
        g_timeout_add_full(G_PRIORITY_DEFAULT, self->limits.settle, on_loss, loss, loss_free);
    }
    bh_usb_arbiter_queue_update(self);
}

static void machine_ended(BhUsbArbiter *self, BhMachine *machine)
{
    const char *id = bh_machine_get_id(machine);
    GHashTableIter iter;
    gpointer value;
    g_hash_table_iter_init(&iter, self->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &value)) {
        BhUsbTrack *track = value;
        if (track->assumed == machine)
            g_clear_weak_pointer(&track->assumed);
        if (g_strcmp0(track->wanted, id) == 0)
            track->consent = FALSE;
        if (g_strcmp0(track->last, id) == 0)
            track->listed = FALSE;
        /* Taken back by the user while it ran: its next start is a new session. */
        track->held = FALSE;
    }
    bh_usb_move_machine_stopped(self, machine);
}

static void remove_machine(BhUsbArbiter *self, BhMachine *machine)
{
    g_autoptr(BhMachine) keep = g_object_ref(machine);
    g_signal_handlers_disconnect_by_data(machine, self);
    g_hash_table_remove(self->machines, machine);
    bh_usb_arbiter_remove_redirector(self, machine);
    machine_ended(self, machine);
}

static void on_state_changed(BhMachine *machine, GParamSpec *pspec, BhUsbArbiter *self)
{
    gboolean was = is_active(self, machine), now = bh_machine_is_active(machine);
    if (now != was)
        g_hash_table_insert(self->machines, g_object_ref(machine),
                            GUINT_TO_POINTER(now ? ++self->activations : 0));
    if (was && !now)
        machine_ended(self, machine);
    if (bh_machine_get_state(machine) == BH_STATE_GONE)
        remove_machine(self, machine);
    retry_all(self);
}

static void add_machine(BhUsbArbiter *self, BhMachine *machine)
{
    gboolean active = bh_machine_is_active(machine);
    g_hash_table_insert(self->machines, g_object_ref(machine),
                        GUINT_TO_POINTER(active ? ++self->activations : 0));
    g_signal_connect(machine, "notify::state", G_CALLBACK(on_state_changed), self);
    g_signal_connect(machine, "notify::usb-addresses", G_CALLBACK(on_addresses_changed), self);
    if (active)
        on_addresses_changed(machine, NULL, self);
}

/* A machine that leaves the list becomes BH_STATE_GONE right after: that is where it is let go. */
static void on_machines_changed(GListModel *model, guint position, guint removed, guint added,
                                BhUsbArbiter *self)
{
    for (guint i = 0; i < added; i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(model, position + i);
        if (!g_hash_table_contains(self->machines, machine))
            add_machine(self, machine);
    }
    bh_usb_arbiter_queue_update(self);
}

/* ---- what an earlier run of the program left behind ---- */

static gboolean is_present(BhUsbArbiter *self, const BhUsbAddress *address)
{
    for (guint i = 0; i < self->devices->len; i++) {
        BhUsbAddress a = bh_usb_device_get_address(self->devices->pdata[i]);
        if (a.bus == address->bus && a.address == address->address)
            return TRUE;
    }
    return FALSE;
}

/* Whether this system would see a device on that bus at all (a container may not). */
static gboolean sees_bus(guint bus)
{
    g_autofree char *path = g_strdup_printf("/sys/bus/usb/devices/usb%u", bus);
    return g_file_test(path, G_FILE_TEST_EXISTS);
}

static gboolean on_sweep(gpointer data)
{
    BhUsbArbiter *self = data;
    GHashTableIter iter;
    gpointer machine, number;
    self->sweep_source = 0;
    g_hash_table_iter_init(&iter, self->machines);
    while (is_local(self) && !self->passive && g_hash_table_iter_next(&iter, &machine, &number)) {
        GPtrArray *list = number ? bh_machine_get_usb_addresses(machine) : NULL;
        for (guint i = 0; list && i < list->len; i++) {
            const BhUsbAddress *address = list->pdata[i];
            if (!is_present(self, address) && sees_bus(address->bus))
                bh_usb_move_stale(self, machine, address);
        }
    }
    return G_SOURCE_REMOVE;
}

static void on_host_state(BhHost *host, GParamSpec *pspec, BhUsbArbiter *self)
{
    if (bh_host_get_state(host) == BH_HOST_CONNECTED && self->sweep_source == 0)
        self->sweep_source = g_timeout_add(SWEEP_DELAY_MS, on_sweep, self);
    retry_all(self);
}

/* ---- redirectors ---- */

BhUsbRedirector *bh_usb_arbiter_get_redirector(BhUsbArbiter *self, BhMachine *machine)
{
    return g_hash_table_lookup(self->redirectors, machine);
}

void bh_usb_arbiter_add_redirector(BhUsbArbiter *self, BhMachine *machine, BhUsbRedirector *r)
{
    if (g_hash_table_lookup(self->redirectors, machine) == r)
        return;
    bh_usb_arbiter_remove_redirector(self, machine);
    g_hash_table_insert(self->redirectors, g_object_ref(machine), g_object_ref(r));
    g_signal_connect_swapped(r, "changed", G_CALLBACK(bh_usb_arbiter_queue_update), self);
    retry_all(self);
}

void bh_usb_arbiter_remove_redirector(BhUsbArbiter *self, BhMachine *machine)
{
    BhUsbRedirector *old = g_hash_table_lookup(self->redirectors, machine);
    if (!old)
        return;
    g_autoptr(BhMachine) keep = g_object_ref(machine);
    g_signal_handlers_disconnect_by_data(old, self);
    g_hash_table_remove(self->redirectors, machine);
    bh_usb_move_redirector_gone(self, machine);
    bh_usb_arbiter_queue_update(self);
}

/* ---- what the user does ---- */

static void fail_task(GTask *task, GError *error)
{
    g_task_return_error(task, error);
    g_object_unref(task);
}

void bh_usb_arbiter_attach_async(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                                 gboolean consent, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data)
{
    GTask *task = bh_operation_new(self, job, bh_usb_arbiter_attach_async, NULL, callback, data);
    if (bh_usb_move_is_busy(self, device))
        fail_task(task,
                  bh_error_new(BH_ERROR_BUSY, _("Wait a moment."), NULL,
                               _("“%s” is being moved already."), bh_usb_device_get_name(device)));
    else
        bh_usb_move_attach(self, machine, device, consent, job, task);
}

gboolean bh_usb_arbiter_attach_finish(BhUsbArbiter *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_usb_arbiter_detach_async(BhUsbArbiter *self, BhUsbDevice *device, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data)
{
    GTask *task = bh_operation_new(self, job, bh_usb_arbiter_detach_async, NULL, callback, data);
    BhUsbTrack *track = bh_usb_arbiter_track(self, bh_usb_device_get_id(device));
    g_clear_pointer(&track->wanted, g_free);
    track->held = TRUE;
    bh_usb_move_cancel_attach(self, device);
    BhMachine *owner = bh_usb_arbiter_get_owner(self, device);
    if (bh_usb_move_is_busy(self, device)) {
        fail_task(task,
                  bh_error_new(BH_ERROR_BUSY, _("Wait a moment."), NULL,
                               _("“%s” is being moved already."), bh_usb_device_get_name(device)));
    } else if (!owner) {
        g_task_return_boolean(task, TRUE);
        g_object_unref(task);
    } else {
        bh_usb_move_detach(self, owner, device, job, task);
    }
}

gboolean bh_usb_arbiter_detach_finish(BhUsbArbiter *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

/* ---- the object ---- */

static void on_rules_changed(BhUsbArbiter *self)
{
    GHashTableIter iter;
    gpointer track;
    g_hash_table_iter_init(&iter, self->tracks);
    while (g_hash_table_iter_next(&iter, NULL, &track))
        ((BhUsbTrack *)track)->held = FALSE;
    retry_all(self);
}

static void bh_usb_arbiter_dispose(GObject *object)
{
    BhUsbArbiter *self = BH_USB_ARBITER(object);
    GHashTableIter iter;
    gpointer key, value;
    bh_usb_move_abandon_all(self);
    g_clear_handle_id(&self->update_source, g_source_remove);
    g_clear_handle_id(&self->sweep_source, g_source_remove);
    for (guint i = 0; i < self->devices->len; i++)
        g_signal_handlers_disconnect_by_data(self->devices->pdata[i], self);
    g_ptr_array_set_size(self->devices, 0);
    g_hash_table_iter_init(&iter, self->machines);
    while (g_hash_table_iter_next(&iter, &key, NULL))
        g_signal_handlers_disconnect_by_data(key, self);
    g_hash_table_remove_all(self->machines);
    g_hash_table_iter_init(&iter, self->redirectors);
    while (g_hash_table_iter_next(&iter, NULL, &value))
        g_signal_handlers_disconnect_by_data(value, self);
    g_hash_table_remove_all(self->redirectors);
    if (self->host) {
        g_signal_handlers_disconnect_by_data(self->host, self);
        g_signal_handlers_disconnect_by_data(bh_host_get_machines(self->host), self);
    }
    if (self->monitor)
        g_signal_handlers_disconnect_by_data(self->monitor, self);
    if (self->rules)
        g_signal_handlers_disconnect_by_data(self->rules, self);
    g_clear_object(&self->host);
    g_clear_object(&self->monitor);
    g_clear_object(&self->rules);
    G_OBJECT_CLASS(bh_usb_arbiter_parent_class)->dispose(object);
}

static void bh_usb_arbiter_finalize(GObject *object)
{
    BhUsbArbiter *self = BH_USB_ARBITER(object);
    g_ptr_array_unref(self->devices);
    g_hash_table_unref(self->machines);
    g_hash_table_unref(self->redirectors);
    g_hash_table_unref(self->tracks);
    G_OBJECT_CLASS(bh_usb_arbiter_parent_class)->finalize(object);
}

static void bh_usb_arbiter_class_init(BhUsbArbiterClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->dispose = bh_usb_arbiter_dispose;
    object_class->finalize = bh_usb_arbiter_finalize;
    signals[CHANGED] = g_signal_new("changed", BH_TYPE_USB_ARBITER, G_SIGNAL_RUN_LAST, 0, NULL,
                                    NULL, NULL, G_TYPE_NONE, 0);
    signals[ASK] = g_signal_new("ask", BH_TYPE_USB_ARBITER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                                G_TYPE_NONE, 2, BH_TYPE_MACHINE, BH_TYPE_USB_DEVICE);
    signals[FAILED] =
        g_signal_new("failed", BH_TYPE_USB_ARBITER, G_SIGNAL_RUN_LAST, 0, NULL, NULL, NULL,
                     G_TYPE_NONE, 3, BH_TYPE_MACHINE, BH_TYPE_USB_DEVICE, G_TYPE_ERROR);
}

static void bh_usb_arbiter_init(BhUsbArbiter *self)
{
    self->devices = g_ptr_array_new_with_free_func(g_object_unref);
    self->machines = g_hash_table_new_full(NULL, NULL, g_object_unref, NULL);
    self->redirectors = g_hash_table_new_full(NULL, NULL, g_object_unref, g_object_unref);
    self->tracks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, track_free);
    g_queue_init(&self->moves);
    /* A redirection may wait for the user's password (polkit). */
    self->limits = (BhUsbLimits){.attach = 20000,
                                 .redirect = 120000,
                                 .detach = 30000,
                                 .stale = 15000,
                                 .retry = 700,
                                 .settle = 1500};
}

BhUsbArbiter *bh_usb_arbiter_new(BhHost *host, BhUsbMonitor *monitor, BhUsbRules *rules)
{
    BhUsbArbiter *self = g_object_new(BH_TYPE_USB_ARBITER, NULL);
    GListModel *machines = bh_host_get_machines(host);
    self->host = g_object_ref(host);
    self->monitor = g_object_ref(monitor);
    self->rules = g_object_ref(rules);
    g_signal_connect(machines, "items-changed", G_CALLBACK(on_machines_changed), self);
    on_machines_changed(machines, 0, 0, g_list_model_get_n_items(machines), self);
    for (guint i = 0; i < g_list_model_get_n_items(G_LIST_MODEL(monitor)); i++) {
        BhUsbDevice *device = g_list_model_get_item(G_LIST_MODEL(monitor), i);
        g_ptr_array_add(self->devices, device);
        g_signal_connect_swapped(device, "changed", G_CALLBACK(bh_usb_arbiter_queue_update), self);
    }
    g_signal_connect(monitor, "items-changed", G_CALLBACK(on_devices_changed), self);
    g_signal_connect_swapped(rules, "changed", G_CALLBACK(on_rules_changed), self);
    g_signal_connect(host, "notify::state", G_CALLBACK(on_host_state), self);
    on_host_state(host, NULL, self);
    return self;
}

void bh_usb_arbiter_set_automatic(BhUsbArbiter *self, gboolean automatic)
{
    self->passive = !automatic;
    bh_usb_arbiter_queue_update(self);
}

BhUsbMonitor *bh_usb_arbiter_get_monitor(BhUsbArbiter *self)
{
    return self->monitor;
}

BhUsbRules *bh_usb_arbiter_get_rules(BhUsbArbiter *self)
{
    return self->rules;
}
