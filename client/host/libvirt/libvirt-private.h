/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of the libvirt driver share.
 *
 * Threads: objects belong to the main thread. A BhWork carries one operation to a worker thread and
 * back; on the worker only what the work holds itself may be touched (connection, domain, job,
 * copies of strings) and the calls marked "worker". libvirt is never called on the main thread, but
 * its events arrive there; an event never changes an object, it only has the truth read anew
 * (bh_libvirt_host_refresh), so late, lost and doubled events are harmless.
 */
#pragma once

#include <libvirt/libvirt.h>
#include <libvirt/virterror.h>

#include <bulkhead/error.h>
#include <bulkhead/host.h>

#include "domain-read.h"
#include "libvirt-caps.h"
#include "libvirt-host.h"

#define BH_TYPE_LIBVIRT_MACHINE (bh_libvirt_machine_get_type())
G_DECLARE_FINAL_TYPE(BhLibvirtMachine, bh_libvirt_machine, BH, LIBVIRT_MACHINE, BhMachine)

/* A domain as it was at one moment. Later reads have higher numbers. */
typedef struct {
    guint64 number;
    char uuid[VIR_UUID_STRING_BUFLEN];
    gboolean gone;
    int state, reason; /* virDomainState */
    gboolean active, saved;
    BhDomain *config; /* NULL only when gone */
    BhDomain *live;   /* while active */
    char *log;        /* last lines, when it ended badly */
} BhSnapshot;

BhSnapshot *bh_snapshot_read(virDomainPtr domain); /* worker; NULL when the host does not answer */
void bh_snapshot_free(BhSnapshot *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhSnapshot, bh_snapshot_free)

/* One operation on a worker. */
typedef struct _BhWork BhWork;
typedef gboolean (*BhWorkRun)(BhWork *work, GError **error); /* worker */
typedef void (*BhWorkDone)(BhWork *work, GError *error); /* main; returns work->task; takes error */
struct _BhWork {
    BhLibvirtHost *host;
    BhLibvirtMachine *machine; /* or NULL */
    GTask *task;               /* the caller's; owned until returned */
    BhJob *job;
    GCancellable *cancellable;
    BhWorkRun run;
    BhWorkDone done;
    gpointer data;
    GDestroyNotify data_free;
    virConnectPtr conn;
    virDomainPtr domain; /* of machine */
    char uuid[VIR_UUID_STRING_BUFLEN];
    BhSnapshot *snapshot; /* of machine after run, applied before done */
    gssize result;
};

/* Runs on a worker with the connection (and domain), reads the machine anew, then calls done on the
 * main thread; done NULL: returns the task as boolean. Takes task. machine, job, data may be NULL.
 */
void bh_work_start(BhLibvirtHost *host, BhLibvirtMachine *machine, BhJob *job, GTask *task,
                   BhWorkRun run, BhWorkDone done, gpointer data, GDestroyNotify data_free);

/* libvirt-host.c */
virConnectPtr bh_libvirt_host_ref_connection(BhLibvirtHost *self); /* any thread; or NULL */
const BhHostCaps *bh_libvirt_host_get_caps(BhLibvirtHost *self);   /* any thread once connected */
BhLibvirtMachine *bh_libvirt_host_take_snapshot(BhLibvirtHost *self, BhSnapshot *snapshot);
void bh_libvirt_host_refresh(BhLibvirtHost *self, const char *uuid);
gboolean bh_libvirt_host_is_session(BhLibvirtHost *self); /* any thread */
gboolean bh_libvirt_host_is_local(BhLibvirtHost *self);   /* any thread */
/* libvirt-accel.c: proves or recalls; may block for 3 s. Any worker. */
gboolean bh_libvirt_host_prove_kvm(BhLibvirtHost *self);
void bh_libvirt_host_probe_accel(BhLibvirtHost *self); /* main: in the background */

/* libvirt-events.c: a connection's callbacks. Worker; freed with the connection. */
gboolean bh_libvirt_events_register(BhLibvirtHost *self, virConnectPtr conn, guint generation);
/* Called there on the main thread. */
void bh_libvirt_host_lost(BhLibvirtHost *self, guint generation, int reason);

/* libvirt-create.c: replaces AUTO, and what the host has not, by what the system supports. */
void bh_libvirt_resolve(BhMachineSpec *spec, const BhHostCaps *caps);

/* libvirt-create.c, libvirt-deleted.c: of the host's vtable. */
void bh_libvirt_create_machine(BhHost *host, const BhMachineSpec *spec, BhJob *job, GTask *task);
void bh_libvirt_restore_deleted(BhHost *host, BhDeleted *deleted, GTask *task);
void bh_libvirt_purge_deleted(BhHost *host, BhDeleted *deleted, GTask *task);

/* libvirt-machine.c */
/* Both take the snapshot; one older than what is shown is dropped. */
BhLibvirtMachine *bh_libvirt_machine_new(BhLibvirtHost *host, BhSnapshot *snapshot);
void bh_libvirt_machine_apply_snapshot(BhLibvirtMachine *self, BhSnapshot *snapshot);
BhLibvirtHost *bh_libvirt_machine_ref_host(BhLibvirtMachine *self); /* or NULL */
/* A state that libvirt does not tell: STARTING, SAVING, STOPPING until further notice; OFF: none.
 */
void bh_libvirt_machine_set_doing(BhLibvirtMachine *self, BhState doing);
/* Whether its going off is what somebody here asked for: else it is news, or a crash. */
void bh_libvirt_machine_set_asked_off(BhLibvirtMachine *self, gboolean asked);
/* The next reboot is ours: the guest did not do it. */
void bh_libvirt_machine_expect_reset(BhLibvirtMachine *self);
/* From events: the guest rebooted; it refused to let go of a device (signal "removal-failed"). */
void bh_libvirt_machine_rebooted(BhLibvirtMachine *self);
void bh_libvirt_machine_removal_failed(BhLibvirtMachine *self);
/* Gives the task an error and ends it when the host is gone; else the host, owned. */
BhLibvirtHost *bh_libvirt_machine_need_host(BhLibvirtMachine *self, GTask *task);

/* The machine's vtable: libvirt-verbs.c, -apply.c, -display.c, -usb.c, -deleted.c, -log.c */
void bh_libvirt_machine_act(BhMachine *machine, BhVerb verb, BhJob *job, GTask *task);
void bh_libvirt_machine_apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields,
                              BhJob *job, GTask *task);
void bh_libvirt_machine_open_display(BhMachine *machine, GTask *task);
void bh_libvirt_machine_screenshot(BhMachine *machine, GTask *task);
void bh_libvirt_machine_send_keys(BhMachine *machine, const guint *keycodes, guint n, GTask *task);
void bh_libvirt_machine_usb_attach(BhMachine *machine, const BhUsbAddress *address, GTask *task);
void bh_libvirt_machine_usb_detach(BhMachine *machine, const BhUsbAddress *address, GTask *task);
void bh_libvirt_machine_remove(BhMachine *machine, BhJob *job, GTask *task);
void bh_libvirt_machine_read_log(BhMachine *machine, guint lines, GTask *task);

/* libvirt-install.c: after the first own power-off or reboot of a guest being installed. */
void bh_libvirt_machine_end_install(BhLibvirtMachine *self, gboolean rebooted);

/* libvirt-error.c: the calling thread's last libvirt error as a BhError; what: "start", "save",
 * ...: a whole translated sentence such as "The machine could not be started.". */
void bh_libvirt_set_error(GError **error, const char *what);
/* Appends to the error's detail: QEMU's own words often tell more than libvirt's. */
void bh_libvirt_add_detail(GError **error, const char *text);

/* libvirt-debris.c; workers. A mark that a machine is being made, so that what it has made so far
 * is removed when the program dies. The mark is locked while its maker lives. */
typedef struct {
    int fd;
    char *path;
} BhCreationMark;
gboolean bh_creation_mark_set(BhCreationMark *mark, BhLibvirtHost *host, const char *uuid,
                              const char *disk_path, GError **error);
void bh_creation_mark_clear(BhCreationMark *mark);
/* Removes the disks of machines whose making was cut off. */
void bh_creation_sweep(BhLibvirtHost *host, virConnectPtr conn);

/* libvirt-define.c; workers. */
/* Defines; NULL with an error. what as above. */
virDomainPtr bh_libvirt_define(virConnectPtr conn, const char *xml, const char *what,
                               GError **error);
/* The definition as stored, secrets included; g_free. */
char *bh_libvirt_get_xml(virDomainPtr domain, GError **error);
/* How long a domain name may be so that the paths of QEMU's sockets, which contain it, fit into the
 * 107 bytes that the kernel allows. *agent (may be NULL): whether the guest agent's fits at all. */
gsize bh_libvirt_name_max(virConnectPtr conn, gboolean *agent);
/* A domain name for a shown name: as it is but for what does not fit, and -2, -3, ... until no
 * domain has it. */
char *bh_libvirt_free_name(virConnectPtr conn, const char *shown);
/* Renames a domain that is off; FALSE, and nothing done, when it cannot be. */
gboolean bh_libvirt_rename(virConnectPtr conn, const char *uuid, const char *name);
/* Another machine than uuid (may be NULL) with this domain name, or shown name: BH_ERROR_EXISTS. */
gboolean bh_libvirt_check_name(virConnectPtr conn, const char *name, const char *uuid,
                               GError **error);
/* "disks", "deleted" or "nvram": a folder of ours, made when missing. NULL with an error. */
char *bh_libvirt_folder(BhLibvirtHost *host, const char *what, GError **error);

/* libvirt-check.c; workers. TRUE, or FALSE with what is wrong. path NULL: an empty drive. */
gboolean bh_libvirt_check_memory(const BhHostCaps *caps, guint memory_mib, GError **error);
gboolean bh_libvirt_check_tpm(const BhHostCaps *caps, GError **error);
gboolean bh_libvirt_check_file(const char *path, GError **error);
gboolean bh_libvirt_check_medium(const char *path, GError **error);

/* libvirt-save.c; workers. libvirt tells only of saved memory that it saved itself since it
 * started, or found when it did; but it resumes from any file in this place, which is what counts.
 */
gboolean bh_libvirt_is_saved(virDomainPtr domain);
char *bh_libvirt_save_path(virConnectPtr conn, const char *domain_name);
/* Looks whether libvirt could read the saved memory; it would silently throw a damaged file away
 * and start afresh. FALSE with BH_ERROR_INVALID. */
gboolean bh_libvirt_check_saved(virDomainPtr domain, GError **error);
void bh_libvirt_save_sync(
    virDomainPtr domain); /* what is saved, or is not any more, outlives a power cut */
void bh_libvirt_sync_config(virConnectPtr conn); /* the definitions do */
/* By its address: a user's session; this computer (so that its files are ours to look at). */
gboolean bh_libvirt_is_session(virConnectPtr conn);
gboolean bh_libvirt_is_here(virConnectPtr conn);

/* libvirt-log.c; workers. What a removed machine leaves in the log folder. */
void bh_libvirt_log_remove(virConnectPtr conn, const char *domain_name);
/* The last lines of QEMU's log, "" when there is none or it is not ours;
 * last_run: only what QEMU itself said since its last start. */
char *bh_libvirt_log_tail(virConnectPtr conn, const char *domain_name, guint lines,
                          gboolean last_run);

/* Drop an autoptr'd libvirt handle. */
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virDomain, virDomainFree)
G_DEFINE_AUTOPTR_CLEANUP_FUNC(virStream, virStreamFree)
