/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Moving one device: attach (check, unmount, take from its owner, give; try again), detach, and
 * the clean-up of a device that went away while a machine had it.
 *
 * Invariants: a device is in at most one move; a machine has one move under way, others wait in
 * the order they were asked for (spice-gtk connects one device at a time, and a stale entry must
 * go before the device comes back); every step has a time limit; and every move ends exactly once,
 * through end_move, whether or not the driver ever answers. An answer that comes too late is not
 * lost: a device that got in after its attach was given up is taken out again.
 */
#include "usb-arbiter-private.h"

#include "operation.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_TRIES 3
#define MAX_UNMOUNTS 3
#define UNMOUNT_LIMIT_MS 310000 /* longer than unmounting's own */
#define ASSUME_US (3 * G_USEC_PER_SEC)

typedef enum { MOVE_ATTACH, MOVE_DETACH, MOVE_STALE } MoveKind;
typedef enum { STEP_NONE, STEP_UNMOUNT, STEP_TAKE, STEP_GIVE, STEP_PAUSE } StepKind;

struct _BhUsbMove {
    BhUsbArbiter *arbiter;
    MoveKind kind;
    BhMachine *machine;  /* gets it (attach), or has it */
    BhUsbDevice *device; /* NULL: stale */
    BhUsbAddress address;
    gboolean consent;
    BhJob *job;         /* the caller's, or NULL */
    GTask *task;        /* NULL: automatic */
    GSource *cancelled; /* follows the caller's job */
    gboolean started, ended;
    guint tries, unmounts, takes;
    guint number; /* of the step under way: answers to earlier ones are late */
    StepKind step;
    BhUsbRoute route;
    BhJob *step_job;
    guint timer;
};

/* What a step's callback gets. */
typedef struct {
    BhUsbMove *move;
    guint number;
    StepKind step;
    BhUsbRoute route;
    BhMachine *machine;          /* the other end of this step */
    BhUsbRedirector *redirector; /* SPICE */
} Step;

static void attach_step(BhUsbMove *move);
static void start_waiting(BhUsbArbiter *self);

static void move_clear(gpointer data)
{
    BhUsbMove *move = data;
    g_object_unref(move->arbiter);
    g_object_unref(move->machine);
    g_clear_object(&move->device);
    g_clear_object(&move->job);
    g_clear_object(&move->step_job);
}

static void move_unref(BhUsbMove *move)
{
    g_rc_box_release_full(move, move_clear);
}

static Step *step_new(BhUsbMove *move, BhMachine *machine)
{
    Step *step = g_new0(Step, 1);
    BhUsbRedirector *redirector = bh_usb_arbiter_get_redirector(move->arbiter, machine);
    *step = (Step){g_rc_box_acquire(move),
                   move->number,
                   move->step,
                   move->route,
                   g_object_ref(machine),
                   redirector ? g_object_ref(redirector) : NULL};
    return step;
}

static void step_free(Step *step)
{
    move_unref(step->move);
    g_object_unref(step->machine);
    g_clear_object(&step->redirector);
    g_free(step);
}

static void leave_step(BhUsbMove *move)
{
    move->number++;
    move->step = STEP_NONE;
    g_clear_handle_id(&move->timer, g_source_remove);
    if (move->step_job && bh_job_get_state(move->step_job) == BH_JOB_RUNNING)
        bh_job_cancel(move->step_job);
    g_clear_object(&move->step_job);
}

static void forget_assumption(BhUsbMove *move)
{
    g_clear_weak_pointer(
        &bh_usb_arbiter_track(move->arbiter, bh_usb_device_get_id(move->device))->assumed);
}

static void note_success(BhUsbMove *move)
{
    BhUsbTrack *track;
    if (move->kind == MOVE_DETACH)
        forget_assumption(move);
    if (move->kind != MOVE_ATTACH)
        return;
    track = bh_usb_arbiter_track(move->arbiter, bh_usb_device_get_id(move->device));
    g_free(track->last);
    track->last = g_strdup(bh_machine_get_id(move->machine));
    track->listed = move->route == BH_USB_ROUTE_HOST;
    track->gave_up = FALSE;
    if (move->route == BH_USB_ROUTE_HOST) {
        g_set_weak_pointer(&track->assumed, move->machine);
        track->assumed_until = g_get_monotonic_time() + ASSUME_US;
    }
    if (!move->task)
        return;
    g_free(track->wanted);
    track->wanted = g_strdup(bh_machine_get_id(move->machine));
    track->consent = TRUE;
    track->held = FALSE;
}

static void tell_user(BhUsbMove *move, GError *error)
{
    GTask *task = g_steal_pointer(&move->task);
    if (task) {
        if (error)
            g_task_return_error(task, g_error_copy(error));
        else
            g_task_return_boolean(task, TRUE);
        g_object_unref(task);
        return;
    }
    if (!error)
        return;
    if (move->kind == MOVE_STALE) {
        bh_host_log(move->arbiter->host, BH_SEVERITY_WARNING, move->machine,
                    bh_error_get_detail(error),
                    _("An unplugged USB device could not be removed from “%s”: %s"),
                    bh_machine_get_name(move->machine), error->message);
        return;
    }
    bh_usb_arbiter_track(move->arbiter, bh_usb_device_get_id(move->device))->gave_up = TRUE;
    /* Nobody needs to hear that what is gone did not arrive. */
    if (bh_usb_device_is_present(move->device) && bh_machine_is_active(move->machine))
        g_signal_emit_by_name(move->arbiter, "failed", move->machine, move->device, error);
}

/* The only way a move ends. Takes the error. */
static void end_move(BhUsbMove *move, GError *error)
{
    g_autoptr(GError) owned = error;
    BhUsbArbiter *self = move->arbiter;
    if (move->ended)
        return;
    move->ended = TRUE;
    leave_step(move);
    if (move->cancelled) {
        g_source_destroy(move->cancelled);
        g_clear_pointer(&move->cancelled, g_source_unref);
    }
    g_queue_remove(&self->moves, move);
    if (!owned)
        note_success(move);
    g_object_ref(self);
    tell_user(move, owned);
    start_waiting(self);
    bh_usb_arbiter_queue_update(self);
    move_unref(move);
    g_object_unref(self);
}

static GError *error_cancelled(void)
{
    return g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Cancelled"));
}

static GError *error_unplugged(BhUsbMove *move)
{
    return bh_error_new(BH_ERROR_NOT_FOUND, _("Plug it in again."), NULL, _("“%s” was unplugged."),
                        bh_usb_device_get_name(move->device));
}

static GError *error_stopped(BhUsbMove *move)
{
    return bh_error_new(BH_ERROR_BUSY, _("Start it and try again."), NULL,
                        _("“%s” is not running any more."), bh_machine_get_name(move->machine));
}

static GError *error_late(BhUsbMove *move)
{
    if (move->kind == MOVE_STALE)
        return bh_error_new(BH_ERROR_BUSY, NULL, NULL, _("it took too long"));
    if (move->kind == MOVE_DETACH || move->step == STEP_TAKE)
        return bh_error_new(
            BH_ERROR_BUSY, _("Eject it inside the machine and try again, or unplug it."), NULL,
            _("The machine did not let go of “%s” in time."), bh_usb_device_get_name(move->device));
    return bh_error_new(BH_ERROR_BUSY, _("Unplug it, plug it in again and retry."), NULL,
                        _("Attaching “%s” took too long."), bh_usb_device_get_name(move->device));
}

static gboolean on_pause_over(gpointer data)
{
    BhUsbMove *move = data;
    move->timer = 0;
    leave_step(move);
    attach_step(move);
    return G_SOURCE_REMOVE;
}

/* What may be over in a second: a node that udev still handles, a driver that lets go slowly, a
 * guest that is busy. Anything else would only fail again. */
static gboolean is_worth_another_try(BhUsbMove *move, const GError *error)
{
    return move->step == STEP_GIVE && move->tries < MAX_TRIES &&
           (g_error_matches(error, BH_ERROR, BH_ERROR_BUSY) ||
            g_error_matches(error, BH_ERROR, BH_ERROR_FAILED) ||
            g_error_matches(error, BH_ERROR, BH_ERROR_NOT_FOUND)) &&
           bh_usb_device_is_present(move->device) && bh_machine_is_active(move->machine);
}

static void step_failed(BhUsbMove *move, GError *error)
{
    if (!is_worth_another_try(move, error)) {
        end_move(move, error);
        return;
    }
    g_error_free(error);
    leave_step(move);
    move->step = STEP_PAUSE;
    move->timer = g_timeout_add(move->arbiter->limits.retry * move->tries, on_pause_over, move);
}

/* Too late: the user was told that it failed, so it must not stay in the machine. */
static void on_undone(GObject *source, GAsyncResult *result, gpointer data)
{
    BhUsbArbiter *self = data;
    bh_usb_arbiter_queue_update(self);
    g_object_unref(self);
}

static void undo_late(Step *step)
{
    BhUsbArbiter *self = step->move->arbiter;
    BhUsbAddress address = step->move->address;
    if (step->route == BH_USB_ROUTE_HOST) {
        if (bh_machine_is_active(step->machine))
            bh_machine_usb_detach_async(step->machine, &address, NULL, on_undone,
                                        g_object_ref(self));
        return;
    }
    if (step->redirector) {
        GTask *task = bh_operation_new(step->redirector, NULL, undo_late, NULL, on_undone,
                                       g_object_ref(self));
        BH_USB_REDIRECTOR_GET_IFACE(step->redirector)
            ->disconnect(step->redirector, step->move->device, task);
    }
}

/* A machine that ended, or never had the device, has let go of it too. */
static gboolean is_free_anyway(Step *step, const GError *error)
{
    return step->step == STEP_TAKE && (g_error_matches(error, BH_ERROR, BH_ERROR_NOT_FOUND) ||
                                       !bh_machine_is_active(step->machine));
}

static void on_step_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Step *step = data;
    BhUsbMove *move = step->move;
    GError *error = NULL;
    gboolean ok;
    if (step->step == STEP_UNMOUNT)
        ok = bh_usb_device_unmount_finish(BH_USB_DEVICE(source), result, &error);
    else
        ok = g_task_propagate_boolean(G_TASK(result), &error);

    if (move->ended || step->number != move->number) {
        if (ok && step->step == STEP_GIVE)
            undo_late(step);
        g_clear_error(&error);
    } else if (!ok && !is_free_anyway(step, error)) {
        step_failed(move, g_steal_pointer(&error));
    } else if (step->step == STEP_GIVE || move->kind != MOVE_ATTACH) {
        end_move(move, NULL);
    } else {
        if (step->step == STEP_TAKE)
            forget_assumption(move);
        leave_step(move);
        attach_step(move);
    }
    g_clear_error(&error);
    step_free(step);
}

static gboolean on_late(gpointer data)
{
    BhUsbMove *move = data;
    move->timer = 0;
    end_move(move, error_late(move));
    return G_SOURCE_REMOVE;
}

static void enter_step(BhUsbMove *move, StepKind kind, guint limit)
{
    g_autofree char *title = g_strdup_printf(
        _("Moving %s"), move->device ? bh_usb_device_get_name(move->device) : _("a USB device"));
    leave_step(move);
    move->step = kind;
    move->step_job = bh_job_new(title, bh_machine_get_id(move->machine));
    move->timer = g_timeout_add(limit, on_late, move);
}

/* A task as the redirector wants it, tied to the step's job. */
static GTask *redirector_task(BhUsbMove *move, Step *step)
{
    return bh_operation_new(step->redirector, move->step_job, redirector_task, NULL, on_step_done,
                            step);
}

static void release_from(BhUsbMove *move, BhMachine *owner, StepKind kind, guint limit)
{
    BhUsbRedirector *redirector = bh_usb_arbiter_get_redirector(move->arbiter, owner);
    enter_step(move, kind, limit);
    Step *step = step_new(move, owner);
    if (move->device && redirector &&
        BH_USB_REDIRECTOR_GET_IFACE(redirector)->is_connected(redirector, move->device))
        BH_USB_REDIRECTOR_GET_IFACE(redirector)
            ->disconnect(redirector, move->device, redirector_task(move, step));
    else
        bh_machine_usb_detach_async(owner, &move->address, move->step_job, on_step_done, step);
}

static void give(BhUsbMove *move)
{
    const BhUsbLimits *limits = &move->arbiter->limits;
    move->tries++;
    enter_step(move, STEP_GIVE,
               move->route == BH_USB_ROUTE_HOST ? limits->attach : limits->redirect);
    Step *step = step_new(move, move->machine);
    bh_job_report_fraction(move->job, -1, _("Handing the device over"));
    if (move->route == BH_USB_ROUTE_HOST)
        bh_machine_usb_attach_async(move->machine, &move->address, move->step_job, on_step_done,
                                    step);
    else
        BH_USB_REDIRECTOR_GET_IFACE(step->redirector)
            ->connect(step->redirector, move->device, redirector_task(move, step));
}

static GError *needs_consent(BhUsbMove *move, BhMachine *owner)
{
    const char *reason;
    BhUsbGuard guard = bh_usb_device_get_guard(move->device, &reason);
    if (move->consent)
        return NULL;
    if (owner)
        return bh_error_new(BH_ERROR_NEEDS_CONFIRM, _("Confirm to take it from there."), NULL,
                            _("“%s” has it."), bh_machine_get_name(owner));
    if (guard == BH_USB_CONFIRM)
        return bh_error_new(BH_ERROR_NEEDS_CONFIRM,
                            bh_usb_device_can_unmount(move->device)
                                ? _("Confirm to have it unmounted and handed over.")
                                : _("Confirm to hand it over."),
                            NULL, "%s", reason);
    return NULL;
}

/* Everything that may have changed since the last step is looked at again. */
static void attach_step(BhUsbMove *move)
{
    BhUsbArbiter *self = move->arbiter;
    g_autofree char *reason = NULL;
    BhUsbFix fix = BH_USB_FIX_NONE;
    if (!bh_usb_device_refresh(move->device)) {
        end_move(move, error_unplugged(move));
        return;
    }
    BhMachine *owner = bh_usb_arbiter_get_owner(self, move->device);
    if (owner == move->machine) {
        end_move(move, NULL);
        return;
    }
    move->route = bh_usb_arbiter_find_route(self, move->machine, move->device, &reason, &fix);
    if (move->route == BH_USB_ROUTE_NONE) {
        end_move(move, bh_error_new(fix == BH_USB_FIX_PERMISSION ? BH_ERROR_PERMISSION
                                                                 : BH_ERROR_NOT_SUPPORTED,
                                    bh_usb_fix_get_hint(fix), NULL, "%s", reason));
        return;
    }
    GError *error = needs_consent(move, owner);
    if (error) {
        end_move(move, error);
    } else if (owner && ++move->takes > MAX_TRIES) {
        end_move(move, error_late(move));
    } else if (owner) {
        release_from(move, owner, STEP_TAKE, self->limits.detach);
    } else if (bh_usb_device_can_unmount(move->device)) {
        if (++move->unmounts > MAX_UNMOUNTS) {
            end_move(move, bh_error_new(BH_ERROR_BUSY, _("Turn off automatic mounting."), NULL,
                                        _("The device is mounted again each time.")));
            return;
        }
        enter_step(move, STEP_UNMOUNT, UNMOUNT_LIMIT_MS);
        bh_job_report_fraction(move->job, -1, _("Writing out unsaved data and unmounting"));
        bh_usb_device_unmount_async(move->device, move->step_job, on_step_done,
                                    step_new(move, move->machine));
    } else {
        give(move);
    }
}

/* ---- the queue ---- */

static void start_move(BhUsbMove *move)
{
    const BhUsbLimits *limits = &move->arbiter->limits;
    move->started = TRUE;
    leave_step(move); /* the source that brought us here is gone: see start_waiting */
    if (move->kind == MOVE_ATTACH)
        attach_step(move);
    else if (!bh_machine_is_active(move->machine))
        end_move(move, NULL);
    else
        release_from(move, move->machine, STEP_TAKE,
                     move->kind == MOVE_STALE ? limits->stale : limits->detach);
}

static gboolean on_start(gpointer data)
{
    BhUsbMove *move = data;
    move->timer = 0;
    start_move(move);
    return G_SOURCE_REMOVE;
}

/* Never starts one from within a caller's loop over machines: always from the main loop. */
static void start_waiting(BhUsbArbiter *self)
{
    for (GList *l = self->moves.head; l; l = l->next) {
        BhUsbMove *move = l->data;
        gboolean first = !move->started && move->timer == 0;
        for (GList *k = self->moves.head; k != l && first; k = k->next)
            first = ((BhUsbMove *)k->data)->machine != move->machine;
        if (first)
            move->timer = g_idle_add_full(G_PRIORITY_DEFAULT, on_start, move, NULL);
    }
}

static gboolean on_cancelled(GCancellable *cancellable, gpointer data)
{
    end_move(data, error_cancelled());
    return G_SOURCE_REMOVE;
}

static void add_move(BhUsbArbiter *self, MoveKind kind, BhMachine *machine, BhUsbDevice *device,
                     const BhUsbAddress *address, gboolean consent, BhJob *job, GTask *task)
{
    BhUsbMove *move = g_rc_box_new0(BhUsbMove);
    GCancellable *cancellable = bh_job_get_cancellable(job);
    move->arbiter = g_object_ref(self);
    move->kind = kind;
    move->machine = g_object_ref(machine);
    move->device = device ? g_object_ref(device) : NULL;
    move->address = *address;
    move->consent = consent;
    move->job = job ? g_object_ref(job) : NULL;
    move->task = task;
    if (cancellable) {
        move->cancelled = g_cancellable_source_new(cancellable);
        g_source_set_callback(move->cancelled, G_SOURCE_FUNC(on_cancelled), move, NULL);
        g_source_attach(move->cancelled, g_main_context_get_thread_default());
    }
    g_queue_push_tail(&self->moves, move);
    start_waiting(self);
    bh_usb_arbiter_queue_update(self);
}

void bh_usb_move_attach(BhUsbArbiter *self, BhMachine *machine, BhUsbDevice *device,
                        gboolean consent, BhJob *job, GTask *task)
{
    BhUsbAddress address = bh_usb_device_get_address(device);
    add_move(self, MOVE_ATTACH, machine, device, &address, consent, job, task);
}

void bh_usb_move_detach(BhUsbArbiter *self, BhMachine *owner, BhUsbDevice *device, BhJob *job,
                        GTask *task)
{
    BhUsbAddress address = bh_usb_device_get_address(device);
    add_move(self, MOVE_DETACH, owner, device, &address, TRUE, job, task);
}

void bh_usb_move_stale(BhUsbArbiter *self, BhMachine *machine, const BhUsbAddress *address)
{
    add_move(self, MOVE_STALE, machine, NULL, address, TRUE, NULL, NULL);
}

static BhUsbMove *find_move(BhUsbArbiter *self, BhUsbDevice *device)
{
    for (GList *l = self->moves.head; l; l = l->next)
        if (((BhUsbMove *)l->data)->device == device)
            return l->data;
    return NULL;
}

gboolean bh_usb_move_is_busy(BhUsbArbiter *self, BhUsbDevice *device)
{
    return find_move(self, device) != NULL;
}

gboolean bh_usb_move_cancel_attach(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbMove *move = find_move(self, device);
    if (!move || move->kind != MOVE_ATTACH)
        return FALSE;
    end_move(move, error_cancelled());
    return TRUE;
}

/* ---- events ---- */

typedef gboolean (*MoveTest)(BhUsbMove *move, gpointer subject);

/* Ending a move may start or end others, so the list is walked from its head each time. */
static BhUsbMove *find_if(BhUsbArbiter *self, MoveTest test, gpointer subject)
{
    for (GList *l = self->moves.head; l; l = l->next)
        if (test(l->data, subject))
            return l->data;
    return NULL;
}

static gboolean is_of_device(BhUsbMove *move, gpointer device)
{
    return move->device == device;
}

static gboolean is_of_machine(BhUsbMove *move, gpointer machine)
{
    return move->machine == machine;
}

static gboolean is_redirecting(BhUsbMove *move, gpointer machine)
{
    return move->machine == machine && move->kind == MOVE_ATTACH && move->step == STEP_GIVE &&
           move->route == BH_USB_ROUTE_SPICE;
}

static gboolean is_any(BhUsbMove *move, gpointer none)
{
    return TRUE;
}

void bh_usb_move_device_gone(BhUsbArbiter *self, BhUsbDevice *device)
{
    BhUsbMove *move;
    while ((move = find_if(self, is_of_device, device)))
        end_move(move, move->kind == MOVE_ATTACH ? error_unplugged(move) : NULL);
}

void bh_usb_move_machine_stopped(BhUsbArbiter *self, BhMachine *machine)
{
    BhUsbMove *move;
    while ((move = find_if(self, is_of_machine, machine)))
        end_move(move, move->kind == MOVE_ATTACH ? error_stopped(move) : NULL);
}

void bh_usb_move_redirector_gone(BhUsbArbiter *self, BhMachine *machine)
{
    BhUsbMove *move;
    while ((move = find_if(self, is_redirecting, machine)))
        end_move(move,
                 bh_error_new(BH_ERROR_DISCONNECTED, _("Open the machine’s window."), NULL,
                              _("The window of “%s” was closed."), bh_machine_get_name(machine)));
}

void bh_usb_move_abandon_all(BhUsbArbiter *self)
{
    BhUsbMove *move;
    while ((move = find_if(self, is_any, NULL)))
        end_move(move, error_cancelled());
}
