/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the os*.c files share, and what media inspection asks of them (workers only, may block). */
#pragma once

#include <bulkhead/os.h>

G_BEGIN_DECLS

/* A row of the table that is made from libosinfo's database at load and never changes again, so
 * that any thread may read it; libosinfo's own objects are not thread-safe. */
typedef struct {
    BhOs os;
    char *short_id; /* "debian11" */
    int released;   /* 20210814; 0 when not known */
} BhOsEntry;

/* Loads when needed (blocks). Rows are owned by the table, newest first. */
GPtrArray *bh_os_table(void);
const BhOsEntry *bh_os_table_find(const char *id_or_short_id);
BhOs *bh_os_copy(const BhOs *os);

/* The rules that libosinfo's data does not hold, applied to an entry or a stand-in. */
void bh_os_apply_rules(BhOs *os, const char *family, int released);

/* A system by the stem of its short id and its version: ("debian", "12.5.0") gives "debian12", or
 * what the nearest older version says under the newer one's name when the database is too old. */
BhOs *bh_os_resolve(const char *stem, const char *version);

/* The system an ISO installs or runs; volume: its label or NULL. NULL when not recognised. */
BhOs *bh_os_identify_media(const char *path, const char *volume, GCancellable *cancellable);
/* The system that a file name or volume label speaks of ("debian-12-genericcloud-amd64"); NULL when
 * it names none. */
BhOs *bh_os_guess(const char *text);

G_END_DECLS
