/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhHost: a computer that runs machines, through one driver. Abstract; drivers derive from it.
 *
 * Lives on the main thread. bh_host_open_async connects and fills the lists; afterwards they follow
 * the host's events. When the connection is lost the state becomes BH_HOST_DISCONNECTED, machines
 * keep their last known state, and the driver reconnects by itself (with back-off) and re-reads
 * all.
 */
#pragma once

#include <bulkhead/event.h>
#include <bulkhead/machine.h>

G_BEGIN_DECLS

typedef enum {
    BH_HOST_CLOSED,
    BH_HOST_CONNECTING,
    BH_HOST_CONNECTED,
    BH_HOST_DISCONNECTED
} BhHostState;

/* What this host can do; a caller asks, and never looks at which driver it is. */
typedef enum {
    BH_FEATURE_CREATE = 1 << 0,
    BH_FEATURE_SAVE = 1 << 1,
    BH_FEATURE_PAUSE = 1 << 2,
    BH_FEATURE_RESET = 1 << 3,
    BH_FEATURE_SCREENSHOT = 1 << 4,
    BH_FEATURE_SEND_KEYS = 1 << 5,
    BH_FEATURE_USB_PASSTHROUGH = 1 << 6, /* of this computer's own devices */
    BH_FEATURE_USB_REDIRECTION = 1 << 7, /* through the display connection */
    BH_FEATURE_EFI = 1 << 8,
    BH_FEATURE_SECURE_BOOT = 1 << 9,
    BH_FEATURE_TPM = 1 << 10,
    BH_FEATURE_LOCAL = 1 << 11, /* the host is this computer: file paths are shared */
    BH_FEATURE_UNDELETE = 1 << 12,
    BH_FEATURE_SNAPSHOTS = 1 << 13,
    BH_FEATURE_CLONE = 1 << 14,
    BH_FEATURE_STATS = 1 << 15,
    BH_FEATURE_PCI = 1 << 16,
} BhHostFeatures;

/* The stable name of one feature ("secure-boot"), NULL for no such bit; and back, 0 for no such
 * name. */
const char *bh_host_feature_get_name(BhHostFeatures feature);
BhHostFeatures bh_host_feature_from_name(const char *name);

#define BH_TYPE_HOST (bh_host_get_type())
G_DECLARE_DERIVABLE_TYPE(BhHost, bh_host, BH, HOST, GObject)

#define BH_TYPE_DELETED (bh_deleted_get_type())
G_DECLARE_FINAL_TYPE(BhDeleted, bh_deleted, BH, DELETED, GObject)

struct _BhHostClass {
    GObjectClass parent_class;

    /* Driver side; same GTask rule as in machine.h. */
    void (*open)(BhHost *self, GTask *task); /* boolean */
    void (*close)(BhHost *self);
    void (*create_machine)(BhHost *self, const BhMachineSpec *spec, BhJob *job,
                           GTask *task);                                    /* BhMachine */
    void (*restore_deleted)(BhHost *self, BhDeleted *deleted, GTask *task); /* boolean */
    void (*purge_deleted)(BhHost *self, BhDeleted *deleted, GTask *task);   /* boolean */
};

/* Opens the right driver for a URI: "qemu:///session", any other libvirt URI, or
 * "fake:///?machines=N&..." (fake.h). NULL with an error for a URI no driver knows; connects
 * nothing yet. */
BhHost *bh_host_new(const char *uri, GError **error);

const char *bh_host_get_uri(BhHost *self);
BhHostState bh_host_get_state(BhHost *self);
const char *
bh_host_get_problem(BhHost *self); /* why it is not connected, or a standing warning; or NULL */
BhHostFeatures bh_host_get_features(BhHost *self);
guint bh_host_get_cpus(BhHost *self);                   /* 0 while not connected */
guint64 bh_host_get_memory(BhHost *self);               /* bytes */
const char *bh_host_get_accelerator(BhHost *self);      /* "kvm" or "tcg"; NULL while unknown */
const char *bh_host_get_accelerator_note(BhHost *self); /* why not hardware, for people; or NULL */

GListModel *bh_host_get_machines(BhHost *self); /* of BhMachine, any order; borrowed */
GListModel *bh_host_get_deleted(BhHost *self);  /* of BhDeleted, oldest first; borrowed */
GListModel *bh_host_get_events(BhHost *self);   /* of BhEvent, oldest first, last 1,000; borrowed */

/* By UUID, else by exact name. Borrowed, or NULL. */
BhMachine *bh_host_find_machine(BhHost *self, const char *id_or_name);

void bh_host_open_async(BhHost *self, BhJob *job, GAsyncReadyCallback callback, gpointer data);
gboolean bh_host_open_finish(BhHost *self, GAsyncResult *result, GError **error);
void bh_host_close(BhHost *self);

/* Makes a machine: validates, prepares its disk (progress, cancel), defines it. On any failure
 * nothing is left behind. Does not start it. Result: transfer full. */
void bh_host_create_machine_async(BhHost *self, const BhMachineSpec *spec, BhJob *job,
                                  GAsyncReadyCallback callback, gpointer data);
BhMachine *bh_host_create_machine_finish(BhHost *self, GAsyncResult *result, GError **error);

/* A deleted machine that can still be had back, also after a restart of the program. */
const char *bh_deleted_get_id(BhDeleted *self);
const char *bh_deleted_get_name(BhDeleted *self);
gint64 bh_deleted_get_time(BhDeleted *self); /* seconds since the epoch */
BhDeleted *bh_deleted_new(BhHost *host, const char *id, const char *name, gint64 when);

void bh_deleted_restore_async(BhDeleted *self, BhJob *job, GAsyncReadyCallback callback,
                              gpointer data);
gboolean bh_deleted_restore_finish(BhDeleted *self, GAsyncResult *result, GError **error);
/* For good: removes the disks that Bulkhead made for it, never one used in place. */
void bh_deleted_purge_async(BhDeleted *self, BhJob *job, GAsyncReadyCallback callback,
                            gpointer data);
gboolean bh_deleted_purge_finish(BhDeleted *self, GAsyncResult *result, GError **error);

/* Driver side. */
void bh_host_set_state(BhHost *self, BhHostState state, const char *problem);
void bh_host_set_features(BhHost *self, BhHostFeatures features);
void bh_host_set_resources(BhHost *self, guint cpus, guint64 memory);
void bh_host_set_accelerator(BhHost *self, const char *accelerator, const char *note);
void bh_host_add_machine(BhHost *self, BhMachine *machine);
void bh_host_remove_machine(BhHost *self, BhMachine *machine); /* sets BH_STATE_GONE */
void bh_host_add_deleted(BhHost *self, BhDeleted *deleted);
void bh_host_remove_deleted(BhHost *self, BhDeleted *deleted);
void bh_host_log(BhHost *self, BhSeverity severity, BhMachine *machine, const char *detail,
                 const char *format, ...) G_GNUC_PRINTF(5, 6);

G_END_DECLS
