/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From a BhMachineSpec to libvirt's domain XML: a new definition, or changes to an existing one
 * that leave alone whatever Bulkhead does not know. Pure.
 */
#pragma once

#include <bulkhead/spec.h>

/* What the driver decided about a machine, beside its spec (which has no AUTO left in it). */
typedef struct {
    const char *uuid;
    const char *domain_name; /* bh_domain_safe_name(), made unique */
    const char *emulator;
    gboolean kvm;
    guint max_cpus; /* of the host: headroom for CPUs added later */
    BhVideo video;  /* resolved: not AUTO; likewise the next two */
    BhDiskBus disk_bus;
    BhNic nic;
    gboolean spice;        /* else VNC */
    gboolean agent;        /* a channel for the QEMU guest agent */
    const char *network;   /* a libvirt network; NULL: user networking */
    const char *nvram;     /* where the EFI variables go; NULL: libvirt's place */
    const char *disk_path; /* NULL: no disk */
    const char *disk_format;
    gboolean disk_managed; /* ours to remove with the machine */
    gboolean disk_first;   /* boot order; else the CD first */
} BhDomainPlan;

/* Takes out of a spec's texts what XML cannot carry; empty texts become NULL. To be called before
 * names are compared or XML is made of it. */
void bh_spec_clean(BhMachineSpec *spec);

char *bh_domain_xml(const BhMachineSpec *spec, const BhDomainPlan *plan);

/* A domain name that libvirt, QEMU, swtpm_setup and file systems all take, close to the shown one:
 * ASCII letters, digits and a few marks, at most max bytes (swtpm_setup 0.7 fails on a backslash or
 * a leading '#'; the length decides that of sockets' paths, see bh_libvirt_name_max). */
char *bh_domain_safe_name(const char *name, gsize max);

/* Changes; each gives new XML, or NULL with BH_ERROR_INVALID for XML that is no domain. */

/* The named fields of wanted; domain_name is the name the result will be defined under; late: it
 * could not be derived from the new shown name yet, because the machine is on. */
char *bh_domain_change(const char *xml, const BhMachineSpec *wanted, BhSpecFields fields,
                       const char *domain_name, gboolean late, GError **error);
/* Runs under KVM, or not: domain type and CPU model. */
char *bh_domain_set_kvm(const char *xml, gboolean kvm, GError **error);
/* After an installation: medium out, disk first, no longer "installing". */
char *bh_domain_end_install(const char *xml, GError **error);
/* Secure Boot's keys are EFI variables, so machines have one store of variables with them and one
 * without; switching changes to the other and back, and loses neither. The path of one from that of
 * either: "x.fd", "x-secure.fd". */
char *bh_domain_nvram_path(const char *path, gboolean secure);

/* The <disk> element of the first CD-ROM drive holding path (NULL: empty), to update it live.
 * NULL with BH_ERROR_NOT_SUPPORTED when the machine has no drive. */
char *bh_domain_cdrom_xml(const char *xml, const char *path, GError **error);
/* A <hostdev> for pass-through, by identity and address at once: either alone is ambiguous. */
char *bh_domain_usb_xml(guint vendor, guint product, guint bus, guint address);
