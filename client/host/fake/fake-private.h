/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the fake driver share.
 *
 * Everything runs on the main thread with GLib timeouts: an operation (BhFakeOp) is a timeout that
 * reports progress, looks for cancellation, and at its end either changes the state or puts it
 * back. A machine has at most one operation; force-off and crashes abort it.
 */
#pragma once

#include <bulkhead/fake.h>

G_BEGIN_DECLS

/* What the URI says. */
typedef struct {
    guint machines, running, paused, saved, crashed, deleted;
    guint delay_ms;
    guint cpus;
    guint64 memory; /* bytes */
    gboolean kvm;
    gboolean stubborn; /* guests ignore the power button */
    BhHostFeatures features;
    char *note;    /* why there is no KVM */
    char *spice;   /* Unix socket of a real SPICE server, or NULL: machines have no display */
    char *control; /* Unix socket to open for commands, or NULL */
    char **names;  /* of the first machines; NULL-terminated, never NULL */
    char *fail;    /* WHAT:CODE:MESSAGE, or NULL */
} BhFakeParams;

void bh_fake_params_free(BhFakeParams *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhFakeParams, bh_fake_params_free)
/* NULL with BH_ERROR_INVALID for what is not understood. */
BhFakeParams *bh_fake_params_parse(const char *uri, GError **error);
/* A code by number or by name ("no-space"). */
gboolean bh_fake_code_from_text(const char *text, BhErrorCode *code);

#define BH_TYPE_FAKE_MACHINE (bh_fake_machine_get_type())
G_DECLARE_FINAL_TYPE(BhFakeMachine, bh_fake_machine, BH, FAKE_MACHINE, BhMachine)

typedef struct _BhFakeOp BhFakeOp;
struct _BhFakeOp {
    BhFakeHost *host;
    BhFakeMachine *machine; /* or NULL */
    GTask *task;
    BhJob *job;
    gint64 start, duration; /* microseconds */
    guint64 bytes;          /* to report as copied, or 0 */
    const char *step;
    GError *fault;   /* raised half-way */
    GError *aborted; /* raised at the next tick; undo is not called: the state is somebody else's */
    const GError *failure;        /* for undo */
    void (*finish)(BhFakeOp *op); /* returns through task */
    void (*undo)(BhFakeOp *op);   /* puts back after failure or cancellation; may be NULL */
    gpointer data;
    GDestroyNotify data_free;
    int before; /* the machine's state when it began */
    guint source;
};

/* Takes task over. duration in percent of the host's delay. */
BhFakeOp *bh_fake_op_new(BhFakeHost *host, BhFakeMachine *machine, const char *what, BhJob *job,
                         GTask *task, guint percent);
/* Returns the error through the task and lets go of it; takes both. */
void bh_fake_task_fail(GTask *task, GError *error);
/* Ends the operation at its next tick with this error, which it takes. */
void bh_fake_op_abort(BhFakeOp *op, GError *error);

/* The host's side for the other files. */
const BhFakeParams *bh_fake_host_get_params(BhFakeHost *self);
void bh_fake_host_add_op(BhFakeHost *self, BhFakeOp *op);
void bh_fake_host_remove_op(BhFakeHost *self, BhFakeOp *op);
/* The injected error for this operation, used up; or NULL. */
GError *bh_fake_host_take_fault(BhFakeHost *self, const char *what);
/* BH_ERROR_EXISTS when another machine has this name. */
gboolean bh_fake_host_check_name(BhFakeHost *self, const char *name, BhMachine *except,
                                 GError **error);
gboolean bh_fake_host_check_memory(BhFakeHost *self, guint memory_mib, GError **error);
/* Takes spec. The machine is borrowed. */
BhFakeMachine *bh_fake_host_add(BhFakeHost *self, const char *id, BhMachineSpec *spec,
                                BhState state);
/* Off the host, kept for undo. Transfer full. */
BhDeleted *bh_fake_host_bury(BhFakeHost *self, BhFakeMachine *machine);
BhMachine *bh_fake_host_find_usb_owner(BhFakeHost *self, const BhUsbAddress *address);

/* Takes spec. */
BhFakeMachine *bh_fake_machine_new(BhFakeHost *host, const char *id, BhMachineSpec *spec,
                                   BhState state);
void bh_fake_machine_set_op(BhFakeMachine *self, BhFakeOp *op);
BhFakeOp *bh_fake_machine_get_op(BhFakeMachine *self);
void bh_fake_machine_enter(BhFakeMachine *self, BhState state, const char *detail);
/* From outside: aborts what runs, then enters the state. */
void bh_fake_machine_force(BhFakeMachine *self, BhState state, const char *detail);
void bh_fake_machine_append_log(BhFakeMachine *self, const char *text);
void bh_fake_machine_set_stubborn(BhFakeMachine *self, gboolean stubborn);

/* A picture of a guest's screen (PPM): a colour of the name's own and something that moves. */
GBytes *bh_fake_screen_draw(const char *name, gint64 now_us);

/* The command socket (fake-control.c). NULL with an error when it cannot be opened. */
typedef struct _BhFakeControl BhFakeControl;
BhFakeControl *bh_fake_control_new(BhFakeHost *host, const char *path, GError **error);
void bh_fake_control_free(BhFakeControl *self);
/* One command; the answer ("ok" or "error ..."), transfer full. */
char *bh_fake_control_run(BhFakeHost *host, const char *line);

G_END_DECLS
