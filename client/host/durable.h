/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What was said to be done must be there after a power cut: names in a folder reach the disk only
 * when the folder is synced. */
#pragma once

#include <glib.h>

G_BEGIN_DECLS

/* Does nothing where there is no such folder, or no right to open it. */
void bh_sync_folder(const char *folder);
void bh_sync_folder_of(const char *path);
/* A file's content and its name. */
void bh_sync_file(const char *path);

G_END_DECLS
