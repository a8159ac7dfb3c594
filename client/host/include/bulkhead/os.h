/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is known about operating systems (libosinfo), loaded once, off the main thread.
 */
#pragma once

#include <bulkhead/spec.h>

G_BEGIN_DECLS

typedef struct {
    char *id;   /* libosinfo URI; NULL for the generic one */
    char *name; /* "Debian 12" */
    guint cpus; /* recommended, at least 1 */
    guint memory_mib;
    guint64 disk_bytes;
    gboolean virtio_disk, virtio_net, virtio_video, qxl, usb3; /* drivers it brings itself */
    gboolean needs_efi, needs_secure_boot, needs_tpm;          /* Windows 11 */
    gboolean bios; /* too old to be installed with EFI */
} BhOs;
void bh_os_free(BhOs *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhOs, bh_os_free)

/* Loads the database (once per process). Later calls return at once. */
void bh_os_db_load_async(GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data);
gboolean bh_os_db_load_finish(GAsyncResult *result, GError **error);

/* By libosinfo URI or short id ("debian12"); NULL id or an unknown one gives a generic modern OS
 * (virtio, QXL). Blocks for the load when that has not been done: workers only, or after load. */
BhOs *bh_os_lookup(const char *id);
/* All systems, newest first, for a chooser; of BhOs. Transfer full. */
GPtrArray *bh_os_list(void);

/* Fills in what the system wants: CPUs, memory, disk size, video, bus, NIC, Secure Boot, TPM;
 * never more memory than half of the host's (host_memory, bytes, 0: unknown). */
void bh_os_propose(const BhOs *os, guint host_cpus, guint64 host_memory, BhMachineSpec *spec);

G_END_DECLS
