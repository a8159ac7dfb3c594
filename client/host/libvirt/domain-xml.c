/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A new machine's domain XML: see domain-xml.h. Every string goes through printf_escaped. */
#include "domain-xml.h"

#include <string.h>

#include "domain-parts.h"
#include "xml-util.h"

void bh_spec_clean(BhMachineSpec *spec)
{
    char **texts[] = {&spec->name, &spec->notes, &spec->os_id};

    for (gsize i = 0; i < G_N_ELEMENTS(texts); i++) {
        char *clean = *texts[i] ? bh_xml_clean(*texts[i]) : NULL;
        g_free(*texts[i]);
        *texts[i] = clean;
    }
    if (!spec->name || !*spec->name) {
        g_free(spec->name);
        spec->name = g_strdup("machine");
    }
    if (spec->notes && !*spec->notes)
        g_clear_pointer(&spec->notes, g_free);
    if (spec->cdrom && !*spec->cdrom)
        g_clear_pointer(&spec->cdrom, g_free);
}

char *bh_domain_safe_name(const char *name, gsize max)
{
    g_autofree char *clean = bh_xml_clean(name);
    g_autofree char *ascii = g_str_to_ascii(clean, "C");
    GString *safe = g_string_new(NULL);

    for (const char *p = ascii; *p && safe->len < max; p++) {
        if (g_ascii_isalnum(*p) || (safe->len && strchr(" ._+()-", *p)))
            g_string_append_c(safe, *p);
        else if (safe->len && safe->str[safe->len - 1] != '_')
            g_string_append_c(safe, '_');
    }
    if (!safe->len)
        g_string_append_len(safe, "machine", (gssize)MIN(max, strlen("machine")));
    return g_strchomp(g_string_free(safe, FALSE));
}

static void append(GString *xml, const char *format, ...) G_GNUC_PRINTF(2, 3);
static void append(GString *xml, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    g_autofree char *text = g_markup_vprintf_escaped(format, args);
    va_end(args);
    g_string_append(xml, text);
}

static void append_metadata(GString *xml, const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    append(xml, "<metadata><bulkhead:machine xmlns:bulkhead='" BH_XML_NAMESPACE "' made='yes'%s>",
           "");
    if (spec->install)
        g_string_insert(xml, (gssize)xml->len - 1, " installing='yes'");
    if (!g_str_equal(spec->name, plan->domain_name))
        append(xml, "<bulkhead:name for='%s'>%s</bulkhead:name>", plan->domain_name, spec->name);
    if (plan->disk_path && plan->disk_managed)
        append(xml, "<bulkhead:disk path='%s'/>", plan->disk_path);
    append(xml, "</bulkhead:machine>");
    if (spec->os_id)
        append(xml,
               "<libosinfo:libosinfo xmlns:libosinfo='" OSINFO_XML_NAMESPACE
               "'><libosinfo:os id='%s'/></libosinfo:libosinfo>",
               spec->os_id);
    append(xml, "</metadata>");
}

static void append_identity(GString *xml, const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    guint max_cpus = MAX(spec->cpus, plan->max_cpus);

    append(xml, "<domain type='%s'><name>%s</name><uuid>%s</uuid>", plan->kvm ? "kvm" : "qemu",
           plan->domain_name, plan->uuid);
    if (!g_str_equal(spec->name, plan->domain_name))
        append(xml, "<title>%s</title>", spec->name); /* for "virsh list --title" and others */
    if (spec->notes && *spec->notes)
        append(xml, "<description>%s</description>", spec->notes);
    append_metadata(xml, spec, plan);
    append(xml,
           "<memory unit='MiB'>%u</memory><currentMemory unit='MiB'>%u</currentMemory>"
           "<vcpu current='%u'>%u</vcpu>",
           spec->memory_mib, spec->memory_mib, spec->cpus, max_cpus);
    g_autofree char *cpu = bh_part_cpu(plan->kvm, max_cpus, spec->os_id);
    g_string_append(xml, cpu);
}

/*
 * Firmware is chosen by features and found by libvirt in QEMU's descriptors. Both features are
 * always given: with only one of them libvirt 9.0 may take a build with Microsoft's keys that
 * refuses unsigned systems. The Secure Boot build needs SMM.
 */
static void append_os(GString *xml, const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    const char *secure = spec->secure_boot ? "yes" : "no";

    if (spec->firmware == BH_FIRMWARE_EFI) {
        append(xml,
               "<os firmware='efi'><type arch='x86_64' machine='q35'>hvm</type><firmware>"
               "<feature enabled='%s' name='secure-boot'/>"
               "<feature enabled='%s' name='enrolled-keys'/></firmware>",
               secure, secure);
        if (plan->nvram)
            append(xml, "<nvram>%s</nvram>", plan->nvram);
    } else {
        append(xml, "<os><type arch='x86_64' machine='q35'>hvm</type>");
    }
    append(xml, "</os><features><acpi/><apic/>%s</features>", "");
    if (spec->secure_boot)
        g_string_insert(xml, (gssize)(xml->len - strlen("</features>")), "<smm state='on'/>");
    append(xml,
           "<clock offset='%s'><timer name='rtc' tickpolicy='catchup'/>"
           "<timer name='pit' tickpolicy='delay'/><timer name='hpet' present='no'/></clock>"
           "<on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot>"
           "<on_crash>destroy</on_crash>",
           spec->os_id && strstr(spec->os_id, "microsoft") ? "localtime" : "utc");
}

/*
 * Boot order while installing. On a new, empty disk the disk comes first all the same: firmware
 * finds nothing to boot on it and falls through to the CD, and when the installer has written the
 * disk and reboots, the disk boots without anything having to happen in between. A disk that may
 * already boot cannot do that, so there the CD is first, and the driver takes the medium out at the
 * guest's first own reboot or power-off (libvirt-install.c).
 */
static void append_disks(GString *xml, const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    gboolean virtio = spec->disk_bus != BH_BUS_SATA;
    gboolean disk_first = plan->disk_first || !spec->install;

    if (plan->disk_path)
        append(xml,
               "<disk type='file' device='disk'>"
               "<driver name='qemu' type='%s' discard='unmap' detect_zeroes='unmap'/>"
               "<source file='%s'/><target dev='%s' bus='%s'/><boot order='%d'/></disk>",
               plan->disk_format, plan->disk_path, virtio ? "vda" : "sda",
               virtio ? "virtio" : "sata", disk_first ? 1 : 2);
    g_autofree char *cdrom =
        bh_part_cdrom(virtio ? "sda" : "sdb", spec->cdrom, disk_first && plan->disk_path ? 2 : 1);
    g_string_append(xml, cdrom);
}

static void append_devices(GString *xml, const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    g_autofree char *video = bh_part_video(spec->video);

    append(xml,
           "<controller type='usb' index='0' model='qemu-xhci' ports='15'/>"
           "<controller type='virtio-serial' index='0'/>"
           "<input type='tablet' bus='usb'/><serial type='pty'/><console type='pty'/>"
           "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>"
           "<memballoon model='virtio' freePageReporting='on'><stats period='5'/></memballoon>");
    if (plan->agent)
        append(xml, "<channel type='unix'>"
                    "<target type='virtio' name='org.qemu.guest_agent.0'/></channel>");
    g_string_append(xml, video);
    if (spec->nic != BH_NIC_NONE) {
        g_autofree char *nic = bh_part_nic(spec->nic, plan->network);
        g_string_append(xml, nic);
    }
    if (spec->tpm)
        g_string_append(xml, BH_PART_TPM);
    if (plan->spice) {
        g_autofree char *spice = bh_part_spice(spec->clipboard);
        g_string_append(xml, spice);
        for (guint i = 0; i < spec->usb_channels; i++)
            g_string_append(xml, BH_PART_REDIRDEV);
    } else {
        append(xml, "<graphics type='vnc'><listen type='none'/></graphics>");
    }
    if (spec->sound) {
        g_string_append(xml, BH_PART_SOUND);
        g_string_append(xml, plan->spice ? BH_PART_AUDIO_SPICE : BH_PART_AUDIO_NONE);
    }
}

char *bh_domain_xml(const BhMachineSpec *spec, const BhDomainPlan *plan)
{
    GString *xml = g_string_new(NULL);

    append_identity(xml, spec, plan);
    append_os(xml, spec, plan);
    append(xml, "<devices><emulator>%s</emulator>", plan->emulator);
    append_disks(xml, spec, plan);
    append_devices(xml, spec, plan);
    append(xml, "</devices></domain>");
    return g_string_free(xml, FALSE);
}
