/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhMachine: one virtual machine on a host. Abstract; each driver derives from it.
 *
 * Objects live on the main thread. State shown here follows the host's events; no getter blocks.
 * Every *_async takes a BhJob (or NULL) for progress and cancellation, calls back on the main
 * context, and its *_finish returns FALSE/NULL/-1 with a BH_ERROR (error.h) or
 * G_IO_ERROR_CANCELLED. A machine that disappears from its host keeps its object; its state becomes
 * BH_STATE_GONE.
 */
#pragma once

#include <bulkhead/job.h>
#include <bulkhead/spec.h>

G_BEGIN_DECLS

typedef enum {
    BH_STATE_OFF,
    BH_STATE_STARTING,
    BH_STATE_RUNNING,
    BH_STATE_PAUSED,
    BH_STATE_SAVING,
    BH_STATE_SAVED,    /* off, with its memory kept on disk */
    BH_STATE_STOPPING, /* was asked to shut down, not off yet */
    BH_STATE_CRASHED,  /* went away by itself: see state-detail */
    BH_STATE_GONE      /* not on the host any more */
} BhState;

/* What a user can do to a whole machine. The names (bh_verb_get_name) are the CLI's words. */
typedef enum {
    BH_VERB_START,    /* also restores a saved machine */
    BH_VERB_SHUTDOWN, /* ACPI power button */
    BH_VERB_REBOOT,   /* ACPI/agent reboot where there is one, else reset */
    BH_VERB_RESET,
    BH_VERB_FORCE_OFF,
    BH_VERB_PAUSE,
    BH_VERB_RESUME,
    BH_VERB_SAVE,
    BH_VERB_DISCARD_SAVE,
    BH_N_VERBS
} BhVerb;

const char *bh_verb_get_name(BhVerb verb);     /* "start", "shutdown", "force-off", ... */
const char *bh_verb_get_label(BhVerb verb);    /* translated, with mnemonic */
gboolean bh_verb_is_destructive(BhVerb verb);  /* may lose the guest's unsaved work */
const char *bh_state_get_name(BhState state);  /* "running": stable, for scripts */
const char *bh_state_get_label(BhState state); /* translated */

typedef enum { BH_DISPLAY_NONE, BH_DISPLAY_SPICE, BH_DISPLAY_VNC } BhDisplayKind;

/* A USB device of the machine's host, as it is addressed at this moment. */
typedef struct {
    guint16 vendor, product;
    guint8 bus, address;
} BhUsbAddress;

typedef struct _BhDeleted BhDeleted; /* host.h */

#define BH_TYPE_MACHINE (bh_machine_get_type())
G_DECLARE_DERIVABLE_TYPE(BhMachine, bh_machine, BH, MACHINE, GObject)

struct _BhMachineClass {
    GObjectClass parent_class;

    /* Driver side. Every operation gets a GTask made by the base class (its cancellable is the
     * job's, its task data is the driver's to use), owns that reference, and must return through it
     * exactly once. The outcome is what the driver returns, even when a cancel came late. */
    void (*act)(BhMachine *self, BhVerb verb, BhJob *job, GTask *task); /* boolean */
    void (*apply)(BhMachine *self, const BhMachineSpec *wanted, BhSpecFields fields, BhJob *job,
                  GTask *task);                         /* int: fields that wait for a restart */
    void (*open_display)(BhMachine *self, GTask *task); /* int: fd */
    void (*screenshot)(BhMachine *self, GTask *task);   /* GBytes, PNG or PPM */
    void (*send_keys)(BhMachine *self, const guint *keycodes, guint n, GTask *task); /* boolean */
    void (*usb_attach)(BhMachine *self, const BhUsbAddress *address, GTask *task);   /* boolean */
    void (*usb_detach)(BhMachine *self, const BhUsbAddress *address, GTask *task);   /* boolean */
    void (*remove)(BhMachine *self, BhJob *job, GTask *task);                        /* BhDeleted */
    void (*read_log)(BhMachine *self, guint lines, GTask *task);                     /* char* */
};

/* Properties, all readable and notified: "name" "state" "state-detail" "spec" "accelerator"
 * "restart-pending" "usb-addresses" "job". */
const char *bh_machine_get_id(BhMachine *self); /* UUID, stable over renames */
const char *bh_machine_get_name(BhMachine *self);
BhState bh_machine_get_state(BhMachine *self);
const char *bh_machine_get_state_detail(BhMachine *self);  /* why it is off or crashed; or NULL */
gboolean bh_machine_is_active(BhMachine *self);            /* a process or domain exists for it */
const BhMachineSpec *bh_machine_get_spec(BhMachine *self); /* borrowed; until next change */
const char *bh_machine_get_accelerator(BhMachine *self);   /* "kvm", "tcg", ... or NULL */
BhSpecFields bh_machine_get_restart_pending(BhMachine *self); /* fields waiting for a restart */
BhDisplayKind bh_machine_get_display_kind(BhMachine *self);   /* NONE unless active */
GPtrArray *
bh_machine_get_usb_addresses(BhMachine *self); /* BhUsbAddress*, borrowed: passed through now */
BhJob *bh_machine_get_job(BhMachine *self);    /* the long job running on it, or NULL; borrowed */

/* Whether the verb makes sense now; *reason (may be NULL) gets a translated static text when not.
 */
gboolean bh_machine_can(BhMachine *self, BhVerb verb, const char **reason);

void bh_machine_act_async(BhMachine *self, BhVerb verb, BhJob *job, GAsyncReadyCallback callback,
                          gpointer data);
gboolean bh_machine_act_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* Changes the named fields to those of wanted; validates first. *after_restart gets the fields that
 * are stored but take effect only when the machine is next started. All or nothing is stored. */
void bh_machine_apply_async(BhMachine *self, const BhMachineSpec *wanted, BhSpecFields fields,
                            BhJob *job, GAsyncReadyCallback callback, gpointer data);
gboolean bh_machine_apply_finish(BhMachine *self, GAsyncResult *result, BhSpecFields *after_restart,
                                 GError **error);

/* A new connection to the machine's display: a connected stream socket, owned by the caller.
 * SPICE wants one per channel: call again. Never a TCP port for a local guest. -1 on error. */
void bh_machine_open_display_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                                   gpointer data);
int bh_machine_open_display_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* The guest's screen now, as an encoded picture that gdk-pixbuf reads (PNG or PPM). */
void bh_machine_screenshot_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data);
GBytes *bh_machine_screenshot_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* Presses these Linux input key codes (linux/input-event-codes.h, at most 16) together, releases.
 */
void bh_machine_send_keys_async(BhMachine *self, const guint *keycodes, guint n, BhJob *job,
                                GAsyncReadyCallback callback, gpointer data);
gboolean bh_machine_send_keys_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* Host USB pass-through. Detach ends when the guest has really let go (bounded wait). */
void bh_machine_usb_attach_async(BhMachine *self, const BhUsbAddress *address, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data);
gboolean bh_machine_usb_attach_finish(BhMachine *self, GAsyncResult *result, GError **error);
void bh_machine_usb_detach_async(BhMachine *self, const BhUsbAddress *address, BhJob *job,
                                 GAsyncReadyCallback callback, gpointer data);
gboolean bh_machine_usb_detach_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* Takes the machine off its host, in a way that can be undone until the result is purged: nothing
 * of the user's is removed yet. The machine must be off (or saved). Result: transfer full. */
void bh_machine_delete_async(BhMachine *self, BhJob *job, GAsyncReadyCallback callback,
                             gpointer data);
BhDeleted *bh_machine_delete_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* The last lines of the machine's log (QEMU's), for people; "" when there is none. */
void bh_machine_read_log_async(BhMachine *self, guint lines, BhJob *job,
                               GAsyncReadyCallback callback, gpointer data);
char *bh_machine_read_log_finish(BhMachine *self, GAsyncResult *result, GError **error);

/* Driver side: setters that notify only on change. */
void bh_machine_set_name(BhMachine *self, const char *name);
void bh_machine_set_state(BhMachine *self, BhState state, const char *detail);
void bh_machine_take_spec(BhMachine *self, BhMachineSpec *spec);
void bh_machine_set_accelerator(BhMachine *self, const char *accelerator);
void bh_machine_set_restart_pending(BhMachine *self, BhSpecFields fields);
void bh_machine_set_display_kind(BhMachine *self, BhDisplayKind kind);
void bh_machine_take_usb_addresses(BhMachine *self, GPtrArray *addresses);

G_END_DECLS
