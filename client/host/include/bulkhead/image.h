/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Disk images and installation media, which are hostile input: looked at by qemu-img and libosinfo
 * with limits, never trusted for paths (a backing file outside is refused).
 */
#pragma once

#include <bulkhead/job.h>

G_BEGIN_DECLS

typedef enum { BH_MEDIA_ISO, BH_MEDIA_DISK } BhMediaKind;

/* What is known of a file the user wants to make a machine from. Strings owned. */
typedef struct {
    char *path;
    BhMediaKind kind;
    char *format;         /* "qcow2", "raw", "vmdk", "vdi", "vhdx"; "iso" */
    guint64 virtual_size; /* bytes, disks */
    guint64 file_size;
    gboolean bootable;    /* ISO: boot record seen */
    char *os_id;          /* libosinfo URI, or NULL when not recognised */
    char *os_name;        /* "Debian 12", or NULL */
    char *suggested_name; /* "Debian 12", or from the file's name; never NULL */
} BhMediaInfo;

void bh_media_info_free(BhMediaInfo *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhMediaInfo, bh_media_info_free)

/* Looks at a file. BH_ERROR_INVALID: truncated, corrupt, not an image or ISO, or one whose backing
 * or data file points elsewhere. BH_ERROR_PERMISSION/NOT_FOUND: cannot be read. */
void bh_media_inspect_async(const char *path, BhJob *job, GAsyncReadyCallback callback,
                            gpointer data);
BhMediaInfo *bh_media_inspect_finish(GAsyncResult *result, GError **error);

/* Copies/converts an image to a new qcow2 at target (written to a temporary name in the same
 * folder, synced, renamed; nothing is left on failure or cancel). virtual_size 0: the source's.
 * Refuses when the target exists or the file system has too little room. */
void bh_image_import_async(const char *source, const char *target, guint64 virtual_size, BhJob *job,
                           GAsyncReadyCallback callback, gpointer data);
gboolean bh_image_import_finish(GAsyncResult *result, GError **error);

/* An empty qcow2; same guarantees. */
void bh_image_create_async(const char *target, guint64 virtual_size, BhJob *job,
                           GAsyncReadyCallback callback, gpointer data);
gboolean bh_image_create_finish(GAsyncResult *result, GError **error);

/* Pure: the JSON that "qemu-img info --output=json" printed, to a BhMediaInfo's disk part.
 * Fuzzed. Refuses backing files, external data files, encryption and absurd sizes. */
gboolean bh_image_parse_info(const char *json, gssize length, BhMediaInfo *info, GError **error);
/* Pure: the first bytes of a file; TRUE for an ISO 9660/UDF volume; *bootable: El Torito seen.
 * Wants 40 KiB (32 KiB system area and the first descriptors). Fuzzed. */
gboolean bh_iso_parse_head(const guint8 *head, gsize length, gboolean *bootable);

G_END_DECLS
