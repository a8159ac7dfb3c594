/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Records of deleted machines, from which they can be had back: $XDG_DATA_HOME/bulkhead/deleted,
 * one UUID.xml each, and UUID.save when the machine had saved memory. Workers only.
 */
#pragma once

#include "libvirt-private.h"

typedef struct {
    char *uuid, *name, *uri;
    gint64 time;
    gboolean purging;   /* being removed for good: can only go on */
    gboolean restoring; /* being had back: its saved memory still has to follow */
    GPtrArray *disks;   /* paths recorded as made by Bulkhead */
    char *save_path;    /* where libvirt wants the saved memory, or NULL */
    char *xml;          /* the domain */
} BhDeletedRecord;

void bh_deleted_record_free(BhDeletedRecord *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhDeletedRecord, bh_deleted_record_free)

/* The domain name under which a machine is defined for a moment to be purged: not to be shown. */
#define BH_PURGE_PREFIX "bulkhead-purge-"

/* Pure. NULL when it is not a record. */
BhDeletedRecord *bh_deleted_record_parse(const char *text);
char *bh_deleted_record_to_text(const BhDeletedRecord *self);

/* Durable: written anew, synced, renamed, folder synced. */
gboolean bh_deleted_record_write(BhLibvirtHost *host, const BhDeletedRecord *self, GError **error);
BhDeletedRecord *bh_deleted_record_load(BhLibvirtHost *host, const char *uuid, GError **error);
void bh_deleted_record_drop(BhLibvirtHost *host, const char *uuid);
/* "UUID.save" beside the record. */
char *bh_deleted_save_file(BhLibvirtHost *host, const char *uuid);
/* Puts kept memory where libvirt resumes from it at the next start, unless something is there. */
void bh_deleted_give_back_saved(BhLibvirtHost *host, const BhDeletedRecord *record);

/* All records of this host, after cleaning up what a crash left: a machine that is defined as well
 * was not deleted or is back already; one being purged is purged. */
void bh_deleted_records_read(BhLibvirtHost *host, virConnectPtr conn, GPtrArray *records);
gboolean bh_deleted_record_purge(BhLibvirtHost *host, virConnectPtr conn, BhDeletedRecord *record,
                                 GError **error);
