/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See domain-parts.h. */
#include "domain-parts.h"

/*
 * One socket with all CPUs as cores: desktop Windows uses at most one or two sockets. "maximum" is
 * all that TCG can do; a named model would lack what newer systems ask for (Windows 11: SSE4.2,
 * POPCNT), and nothing here is migrated.
 */
char *bh_part_cpu(gboolean kvm, guint max_cpus)
{
    return g_strdup_printf(
        "<cpu mode='%s'%s><topology sockets='1' dies='1' cores='%u' threads='1'/></cpu>",
        kvm ? "host-passthrough" : "maximum", kvm ? " check='none' migratable='on'" : "", max_cpus);
}

char *bh_part_cdrom(const char *target, const char *path, guint boot_order)
{
    g_autofree char *source = path ? g_markup_printf_escaped("<source file='%s'/>", path) : NULL;
    g_autofree char *boot = boot_order ? g_strdup_printf("<boot order='%u'/>", boot_order) : NULL;

    return g_strdup_printf("<disk type='file' device='cdrom'><driver name='qemu' type='raw'/>%s"
                           "<target dev='%s' bus='sata'/><readonly/>%s</disk>",
                           source ? source : "", target, boot ? boot : "");
}

char *bh_part_video(BhVideo video)
{
    const char *model = "<model type='vga' vram='32768' heads='1' primary='yes'/>";

    if (video == BH_VIDEO_QXL)
        model = "<model type='qxl' ram='65536' vram='65536' vgamem='32768' heads='1' "
                "primary='yes'/>";
    else if (video == BH_VIDEO_VIRTIO)
        model = "<model type='virtio' heads='1' primary='yes'/>";
    return g_strdup_printf("<video>%s</video>", model);
}

char *bh_part_nic(BhNic nic, const char *network)
{
    const char *model = nic == BH_NIC_E1000E ? "e1000e" : "virtio";

    if (network)
        return g_markup_printf_escaped("<interface type='network'><source network='%s'/>"
                                       "<model type='%s'/></interface>",
                                       network, model);
    return g_markup_printf_escaped("<interface type='user'><model type='%s'/></interface>", model);
}

/* No socket anywhere: viewers get a connection through libvirt, which passes it on to QEMU.
 * Compression only costs time on a connection inside one computer. */
char *bh_part_spice(gboolean clipboard)
{
    return g_strdup_printf(
        "<graphics type='spice'><listen type='none'/><image compression='off'/>"
        "<jpeg compression='never'/><zlib compression='never'/>"
        "<clipboard copypaste='%s'/><filetransfer enable='yes'/></graphics>"
        "<channel type='spicevmc'><target type='virtio' name='com.redhat.spice.0'/></channel>",
        clipboard ? "yes" : "no");
}
