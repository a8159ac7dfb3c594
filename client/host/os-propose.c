/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From what is known of an operating system to a machine that suits it: lookups, list, proposal. */
#include "os-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define GIB (G_GUINT64_CONSTANT(1) << 30)
#define EFI_SINCE 20120101              /* installers before then often boot by BIOS only */
#define LINUX_VIRTIO_GPU_SINCE 20160601 /* Linux 4.2 and what was built on it */
#define DESKTOP_MEMORY                                                                             \
    2048 /* MiB: below it a current desktop crawls, whatever its minimum says                      \
          */
#define DESKTOP_DISK (20 * GIB) /* a disk takes up only what is written to it */
#define LEAST_MEMORY 128

static void want_at_least(BhOs *os, guint cpus, guint memory_mib, guint64 disk_bytes)
{
    os->cpus = MAX(os->cpus, cpus);
    os->memory_mib = MAX(os->memory_mib, memory_mib);
    os->disk_bytes = MAX(os->disk_bytes, disk_bytes);
}

void bh_os_apply_rules(BhOs *os, const char *family, int released)
{
    os->bios = !os->needs_efi && released > 0 && released < EFI_SINCE;
    /* The database forgets the devices of many a distribution; their kernels do not. What has no
     * date is rolling or too new to have one, when it is known to drive modern virtio at all. */
    if (g_strcmp0(family, "linux") == 0 &&
        (released >= LINUX_VIRTIO_GPU_SINCE || (released == 0 && os->virtio_disk)))
        os->virtio_disk = os->virtio_net = os->virtio_video = os->usb3 = TRUE;
    if (g_str_has_prefix(os->id, "http://microsoft.com/win/10"))
        want_at_least(os, 2, 4096, 40 * GIB);
    if (!g_str_has_prefix(os->id, "http://microsoft.com/win/11"))
        return;
    os->needs_efi = os->needs_secure_boot = os->needs_tpm = TRUE;
    os->bios = FALSE;
    want_at_least(os, 2, 4096, 64 * GIB);
}

static BhOs *make_generic(void)
{
    const BhOs generic = {
        .name = (char *)_("Another system"),
        .cpus = 2,
        .memory_mib = 2048,
        .disk_bytes = 20 * GIB,
        .virtio_disk = TRUE,
        .virtio_net = TRUE,
        .virtio_video = TRUE,
        .qxl = TRUE,
        .usb3 = TRUE,
    };
    return bh_os_copy(&generic);
}

/* "http://debian.org/debian/13" or "debian13", as its family's nearest older version. The id stays
 * the one asked for. */
static BhOs *find_by_family(const char *id)
{
    const char *slash = strrchr(id, '/');
    g_autofree char *stem = NULL;
    BhOs *os;

    if (slash) {
        g_autofree char *head = g_strndup(id, slash - id);
        const char *family = strrchr(head, '/');
        stem = g_strdup(family ? family + 1 : head);
        id = slash + 1;
    } else {
        stem = g_strndup(id, strcspn(id, "0123456789"));
        id += strlen(stem);
    }
    if (!*stem || !g_ascii_isdigit(*id) || strcmp(stem, "win") == 0)
        return NULL;
    os = bh_os_resolve(stem, id);
    return os;
}

BhOs *bh_os_lookup(const char *id)
{
    const BhOsEntry *entry = id && *id ? bh_os_table_find(id) : NULL;
    BhOs *os;

    if (entry)
        return bh_os_copy(&entry->os);
    os = id && *id ? find_by_family(id) : NULL;
    if (!os)
        return make_generic();
    if (strchr(id, '/')) {
        g_free(os->id);
        os->id = g_strdup(id);
    }
    return os;
}

GPtrArray *bh_os_list(void)
{
    GPtrArray *table = bh_os_table();
    GPtrArray *list = g_ptr_array_new_full(table->len, (GDestroyNotify)bh_os_free);

    for (guint i = 0; i < table->len; i++) {
        const BhOsEntry *entry = table->pdata[i];
        g_ptr_array_add(list, bh_os_copy(&entry->os));
    }
    return list;
}

static guint propose_memory(const BhOs *os, guint64 host_memory)
{
    guint64 memory = os->bios ? os->memory_mib : MAX(os->memory_mib, DESKTOP_MEMORY);
    guint64 half = (host_memory >> 20) / 2;

    if (host_memory > 0)
        memory = MIN(memory, MAX(half, LEAST_MEMORY));
    /* Whole 64 MiB: nobody wants to read 3941. */
    return (guint)(memory >= 512 ? memory / 64 * 64 : memory);
}

static BhVideo propose_video(const BhOs *os)
{
    if (os->qxl)
        return BH_VIDEO_QXL;
    return os->virtio_video ? BH_VIDEO_VIRTIO : BH_VIDEO_VGA;
}

void bh_os_propose(const BhOs *os, guint host_cpus, guint64 host_memory, BhMachineSpec *spec)
{
    spec->cpus = MAX(os->cpus, os->bios ? 1 : 2);
    if (host_cpus > 0)
        spec->cpus = MIN(spec->cpus, host_cpus);
    spec->memory_mib = propose_memory(os, host_memory);
    spec->disk_bytes = os->bios ? os->disk_bytes : MAX(os->disk_bytes, DESKTOP_DISK);
    spec->firmware = os->bios ? BH_FIRMWARE_BIOS : BH_FIRMWARE_EFI;
    spec->secure_boot = os->needs_secure_boot;
    spec->tpm = os->needs_tpm;
    spec->video = propose_video(os);
    spec->disk_bus = os->virtio_disk ? BH_BUS_VIRTIO : BH_BUS_SATA;
    spec->nic = os->virtio_net ? BH_NIC_VIRTIO : BH_NIC_E1000E;
}
