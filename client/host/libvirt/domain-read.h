/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading libvirt's domain XML, of machines made by Bulkhead or by anything else, into a
 * BhMachineSpec and what the driver needs besides. Pure, total, fuzzed.
 */
#pragma once

#include <bulkhead/machine.h>

typedef struct {
    char *target; /* "vda" */
    char *path;   /* NULL: empty drive or not a file */
    gboolean cdrom;
    gboolean managed; /* made by Bulkhead for this machine: may be removed with it */
} BhDomainDisk;

typedef struct {
    char *uuid;
    char *name; /* libvirt's; spec->name is the one for people */
    BhMachineSpec *spec;
    char *type; /* "kvm", "qemu", ... */
    BhDisplayKind display;
    guint max_cpus;
    guint64 max_memory_mib; /* what the balloon can grow to */
    GPtrArray *disks;       /* of BhDomainDisk */
    GPtrArray *usb;         /* of BhUsbAddress: host devices with a bus address */
    char *nvram;
    gboolean renamed;     /* its shown name was given while libvirt's could not follow */
    gboolean ours;        /* made by Bulkhead: its accelerator may be switched */
    gboolean installing;  /* until the first power-off */
    gboolean cdrom_first; /* in boot order, before any disk */
} BhDomain;

/* NULL with BH_ERROR_INVALID when it is not a domain definition. */
BhDomain *bh_domain_parse(const char *xml, GError **error);
void bh_domain_free(BhDomain *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhDomain, bh_domain_free)

/* The first CD-ROM drive or the first disk; NULL when there is none. */
BhDomainDisk *bh_domain_first(const BhDomain *self, gboolean cdrom);
/* Fields of the running machine (live) that differ from its stored definition (config). */
BhSpecFields bh_domain_pending(const BhDomain *config, const BhDomain *live);
