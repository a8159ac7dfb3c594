/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the image*.c and iso.c files share; not for callers of the library. */
#pragma once

#include <bulkhead/image.h>

#include "child.h"

G_BEGIN_DECLS

#define BH_IMAGE_HEAD (64 * 1024)

/* What the bytes of a file say it is, before any tool has looked at it. */
typedef struct {
    int fd; /* open for reading; -1 */
    guint64 size;
    guint8 head[BH_IMAGE_HEAD];
    gsize head_length;
} BhImageFile;
void bh_image_file_clear(BhImageFile *self);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BhImageFile, bh_image_file_clear)

/* Opens a regular file, with an error that tells a person what is in the way. path: absolute. */
gboolean bh_image_file_open(BhImageFile *self, const char *path, GError **error);
gboolean bh_image_read_at(int fd, guint64 offset, void *buffer, gsize length);

/* The disk format by signature: "qcow2", "vmdk", "vdi", "vhdx", "vpc" or "raw"; NULL with an error
 * for anything else. Also refuses what a signature's owner would refuse too late: a truncated file,
 * a VMDK whose extents are elsewhere. */
const char *bh_image_detect_format(const BhImageFile *file, const char *path, GError **error);
gboolean bh_vmdk_check(const BhImageFile *file, const char *path, GError **error);
/* what: "its backing file"; where: the name it has, or NULL. */
GError *bh_image_outside_error(const char *what, const char *where);
GError *bh_image_truncated_error(const char *path, guint64 size, guint64 expected);

/* ISO: the volume's name (caller frees) or NULL; the least size the file must have, or 0. */
char *bh_iso_volume_name(const guint8 *head, gsize length);
guint64 bh_iso_expected_size(int fd, const guint8 *head, gsize length);

/* Runs qemu-img. FALSE with an error when it is missing, was cancelled, or ended badly; the latter
 * is turned into a Bulkhead error about path. */
gboolean bh_qemu_img(const char *const *argv, const BhChildLimits *limits, const char *path,
                     GCancellable *cancellable, BhChildResult *result, GError **error);
GError *bh_qemu_img_error(const BhChildResult *result, const char *path);

/* The same as bh_media_inspect_async, on this (worker) thread. */
BhMediaInfo *bh_media_inspect_sync(const char *path, BhJob *job, GCancellable *cancellable,
                                   GError **error);

/* Temporary files of an import: created in folder, locked while their owner lives. */
typedef struct {
    char *path;
    int fd;
} BhPartFile;
gboolean bh_part_file_create(BhPartFile *self, const char *folder, GError **error);
/* Syncs and gives it its name; never replaces a file. */
gboolean bh_part_file_commit(BhPartFile *self, const char *target, GError **error);
void bh_part_file_clear(BhPartFile *self); /* removes it when it was not committed */
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(BhPartFile, bh_part_file_clear)
/* Removes what killed processes left in folder. */
void bh_part_file_sweep(const char *folder);

G_END_DECLS
