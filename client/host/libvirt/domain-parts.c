/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See domain-parts.h. */
#include "domain-parts.h"

/* Systems built for x86-64-v3 (AVX2 and so on); their other spellings are in libosinfo. */
static gboolean needs_v3(const char *os_id)
{
    static const char *const systems[] = {
        "http://redhat.com/rhel/10", "http://centos.org/centos-stream/10",
        "http://almalinux.org/almalinux/10", "http://rockylinux.org/rocky/10",
        "http://oracle.com/ol/10"};

    for (gsize i = 0; os_id && i < G_N_ELEMENTS(systems); i++)
        if (g_str_has_prefix(os_id, systems[i]))
            return TRUE;
    return FALSE;
}

/*
 * One socket with all CPUs as cores: desktop Windows uses at most one or two sockets.
 *
 * Under TCG what a guest may use costs time, because its instructions are emulated: the demo
 * desktop takes 53 s of CPU time to come up on a Nehalem, 64 to 68 on "maximum". Nehalem is
 * x86-64-v2, which Windows 11 (SSE4.2, POPCNT) and RHEL 9 ask for.
 */
char *bh_part_cpu(gboolean kvm, guint max_cpus, const char *os_id)
{
    const char *model = "<cpu mode='custom' match='exact' check='none'>"
                        "<model fallback='allow'>Nehalem</model>";

    if (kvm)
        model = "<cpu mode='host-passthrough' check='none' migratable='on'>";
    else if (needs_v3(os_id))
        model = "<cpu mode='maximum'>";
    return g_strdup_printf("%s<topology sockets='1' dies='1' cores='%u' threads='1'/></cpu>", model,
                           max_cpus);
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

    /* 64 MiB of frame buffer: enough for 3840x2160. Host memory only as far as it is used. */
    if (video == BH_VIDEO_QXL)
        model = "<model type='qxl' ram='131072' vram='65536' vgamem='65536' heads='1' "
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
