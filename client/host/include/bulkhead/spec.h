/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhMachineSpec: what a machine is made of, independent of the driver.
 *
 * The same struct describes a machine to be made (bh_host_create_machine_async), an existing one
 * (bh_machine_get_spec) and a change to it (bh_machine_apply_async with a mask of fields).
 * Plain data: fields are public, strings are owned by the struct.
 */
#pragma once

#include <gio/gio.h>

G_BEGIN_DECLS

typedef enum { BH_FIRMWARE_EFI, BH_FIRMWARE_BIOS } BhFirmware;

/* AUTO: the driver takes what the operating system is known to support. */
typedef enum { BH_VIDEO_AUTO, BH_VIDEO_QXL, BH_VIDEO_VIRTIO, BH_VIDEO_VGA } BhVideo;

typedef enum { BH_BUS_AUTO, BH_BUS_VIRTIO, BH_BUS_SATA } BhDiskBus;
typedef enum { BH_NIC_AUTO, BH_NIC_VIRTIO, BH_NIC_E1000E, BH_NIC_NONE } BhNic;

/* Where the disk of a new machine comes from. */
typedef enum {
    BH_DISK_NONE,    /* no disk at all (live CD) */
    BH_DISK_NEW,     /* an empty qcow2 of disk_bytes */
    BH_DISK_IMPORT,  /* a qcow2 copy of the image at disk_source (raw, vmdk, vdi, vhdx, qcow2) */
    BH_DISK_IN_PLACE /* the image at disk_source itself; deleting the machine keeps it */
} BhDiskOrigin;

typedef struct {
    char *name;  /* any Unicode, unique on its host; shown to people */
    char *os_id; /* libosinfo URI such as "http://debian.org/debian/12", or NULL */
    char *notes; /* free text, or NULL */
    guint cpus;  /* >= 1 */
    guint memory_mib;
    BhFirmware firmware;
    gboolean secure_boot; /* EFI only */
    gboolean tpm;         /* an emulated TPM 2.0 */
    BhVideo video;
    BhDiskBus disk_bus;
    BhNic nic;
    gboolean sound;
    gboolean clipboard;       /* share the clipboard with this machine */
    guint usb_channels;       /* SPICE redirection channels, 0..8 */
    char *cdrom;              /* path of the inserted medium, or NULL: the drive is empty */
    BhDiskOrigin disk_origin; /* for a new machine only */
    char *disk_source;        /* for IMPORT and IN_PLACE */
    guint64 disk_bytes;       /* virtual size; for IMPORT 0 keeps the source's */
    char *disk_path;          /* existing machines: where the first disk is; read-only */
    gboolean install;         /* new machine: boot the medium until its first power-off */
} BhMachineSpec;

typedef enum {
    BH_SPEC_NAME = 1 << 0,
    BH_SPEC_NOTES = 1 << 1,
    BH_SPEC_CPUS = 1 << 2,
    BH_SPEC_MEMORY = 1 << 3,
    BH_SPEC_SOUND = 1 << 4,
    BH_SPEC_CLIPBOARD = 1 << 5,
    BH_SPEC_CDROM = 1 << 6,
    BH_SPEC_VIDEO = 1 << 7,
    BH_SPEC_USB_CHANNELS = 1 << 8,
    BH_SPEC_TPM = 1 << 9,
    BH_SPEC_SECURE_BOOT = 1 << 10,
    BH_SPEC_NIC = 1 << 11,
} BhSpecFields;

#define BH_TYPE_MACHINE_SPEC (bh_machine_spec_get_type())
GType bh_machine_spec_get_type(void);

/* Defaults of a modern desktop: EFI, 2 CPUs, 2 GiB, sound, clipboard, 4 USB channels, no disk. */
BhMachineSpec *bh_machine_spec_new(void);
BhMachineSpec *bh_machine_spec_copy(const BhMachineSpec *self);
void bh_machine_spec_free(BhMachineSpec *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhMachineSpec, bh_machine_spec_free)

/* Checks what needs no host: name (not empty, <= 200 bytes, valid UTF-8, no control characters,
 * no '/'), ranges, combinations. FALSE with BH_ERROR_INVALID that names the field. */
gboolean bh_machine_spec_validate(const BhMachineSpec *self, GError **error);

/* Fields that differ between two specs. */
BhSpecFields bh_machine_spec_diff(const BhMachineSpec *a, const BhMachineSpec *b);

G_END_DECLS
