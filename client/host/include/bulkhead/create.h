/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What comes before bh_host_create_machine_async: proposing a machine for an ISO, a disk image, the
 * demo desktop or nothing, and building the demo desktop's disk. Shared by the app and the CLI.
 */
#pragma once

#include <bulkhead/host.h>
#include <bulkhead/image.h>
#include <bulkhead/os.h>

G_BEGIN_DECLS

/* A name no machine of the host has: wanted itself, or "wanted 2", ... Always a valid name (control
 * characters, slashes, broken UTF-8 and too much length are mended). Caller frees. */
char *bh_host_unique_name(BhHost *host, const char *wanted);

/* A complete proposal within what the host has and can do. media NULL: an empty machine with a new
 * disk and an empty drive. An ISO: it is in the drive, a new disk, install. A disk image: it is
 * imported; set disk_origin to BH_DISK_IN_PLACE to use it where it is. os NULL: the one that
 * media->os_id names (that lookup blocks unless bh_os_db_load_async has been called). */
BhMachineSpec *bh_spec_from_media(BhHost *host, const BhMediaInfo *media, const BhOs *os);

/* The demo desktop from the image that bh_demo_prepare_finish gave. */
BhMachineSpec *bh_spec_for_demo(BhHost *host, const char *image);

/* Where the demo desktop's disk is kept once it is built. Caller frees. */
char *bh_demo_get_path(void);

/* Runs the program bulkhead-demo-build, which builds the disk or finds it up to date. A cancelled
 * build has removed what it made before the callback comes. The builder is found in the directory
 * of the environment variable BULKHEAD_LIBEXECDIR, else where it was installed. */
void bh_demo_prepare_async(BhJob *job, GAsyncReadyCallback callback, gpointer data);
char *bh_demo_prepare_finish(GAsyncResult *result, GError **error); /* the disk's path */

G_END_DECLS
