/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Changes to an existing definition (domain-xml.h), as edits of its tree: what Bulkhead does not
 * know stays as it is. */
#include <string.h>

#include <glib/gi18n-lib.h>

#include <bulkhead/error.h>

#include "domain-parts.h"
#include "domain-xml.h"
#include "xml-util.h"

/* Opens the XML; NULL with an error when it is not a domain. */
static xmlDoc *open_domain(const char *xml, xmlNode **root, GError **error)
{
    xmlDoc *doc = bh_xml_parse(xml, error);

    *root = doc ? xmlDocGetRootElement(doc) : NULL;
    if (*root && xmlStrEqual((*root)->name, (const xmlChar *)"domain"))
        return doc;
    if (doc) {
        xmlFreeDoc(doc);
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                                              _("The machine's definition is incomplete.")));
    }
    return NULL;
}

static void set_number(xmlNode *node, guint value)
{
    g_autofree char *text = g_strdup_printf("%u", value);
    bh_xml_set_text(node, text);
}

/* The <bulkhead:machine> element, made when missing (without made='yes': it is not of our make). */
static xmlNode *our_metadata(xmlNode *root)
{
    xmlNode *metadata = bh_xml_ensure(root, "metadata");
    xmlNode *ours = bh_xml_child_ns(metadata, "machine", BH_XML_NAMESPACE);

    if (ours)
        return ours;
    return bh_xml_add_fragment(metadata,
                               "<bulkhead:machine xmlns:bulkhead='" BH_XML_NAMESPACE "'/>");
}

static void change_name(xmlNode *root, const char *name, const char *domain_name, gboolean late)
{
    xmlNode *metadata = bh_xml_child(root, "metadata");
    xmlNode *ours = bh_xml_child_ns(metadata, "machine", BH_XML_NAMESPACE);

    bh_xml_remove(bh_xml_child_ns(ours, "name", BH_XML_NAMESPACE));
    bh_xml_remove(bh_xml_child(root, "title"));
    if (g_str_equal(name, domain_name))
        return;
    bh_xml_set_text(bh_xml_add(root, "title"), name);
    ours = our_metadata(root);
    g_autofree char *fragment = g_markup_printf_escaped("<b:name xmlns:b='" BH_XML_NAMESPACE
                                                        "' for='%s' late='%s'>%s</b:name>",
                                                        domain_name, late ? "yes" : "no", name);
    bh_xml_add_fragment(ours, fragment);
}

static void change_notes(xmlNode *root, const char *notes)
{
    xmlNode *description = bh_xml_child(root, "description");

    if (notes && *notes)
        bh_xml_set_text(description ? description : bh_xml_add(root, "description"), notes);
    else
        bh_xml_remove(description);
}

/* More CPUs than the machine was laid out for also change its layout. */
static void change_cpus(xmlNode *root, guint cpus)
{
    xmlNode *vcpu = bh_xml_ensure(root, "vcpu");
    xmlNode *topology = bh_xml_path(root, "cpu", "topology", NULL);
    g_autofree char *text = bh_xml_text(vcpu);
    g_autofree char *current = g_strdup_printf("%u", cpus);

    bh_xml_set(vcpu, "current", current);
    bh_xml_remove(bh_xml_child(root, "vcpus")); /* per-CPU flags of the old number */
    if (text && g_ascii_strtoull(text, NULL, 10) >= cpus)
        return;
    set_number(vcpu, cpus);
    if (topology) {
        bh_xml_set(topology, "sockets", "1");
        bh_xml_set(topology, "dies", "1");
        bh_xml_set(topology, "threads", "1");
        bh_xml_set(topology, "cores", current);
    }
}

static void change_memory(xmlNode *root, guint memory_mib)
{
    xmlNode *memory = bh_xml_ensure(root, "memory");
    xmlNode *current = bh_xml_ensure(root, "currentMemory");

    bh_xml_set(memory, "unit", "MiB");
    set_number(memory, memory_mib);
    bh_xml_set(current, "unit", "MiB");
    set_number(current, memory_mib);
}

static void change_sound(xmlNode *devices, gboolean sound)
{
    xmlNode *node;
    gboolean spice = bh_xml_attr_is(bh_xml_child(devices, "graphics"), "type", "spice");

    if (sound && !bh_xml_child(devices, "sound")) {
        xmlNode *audio = bh_xml_child(devices, "audio");
        if (!audio)
            bh_xml_add_fragment(devices, spice ? BH_PART_AUDIO_SPICE : BH_PART_AUDIO_NONE);
        bh_xml_add_fragment(devices, audio ? "<sound model='ich9'/>" : BH_PART_SOUND);
    }
    while (!sound && (node = bh_xml_child(devices, "sound")))
        bh_xml_remove(node);
}

static void change_clipboard(xmlNode *devices, gboolean clipboard)
{
    xmlNode *graphics = bh_xml_child(devices, "graphics");

    for (; graphics; graphics = bh_xml_next(graphics))
        if (bh_xml_attr_is(graphics, "type", "spice"))
            bh_xml_set(bh_xml_ensure(graphics, "clipboard"), "copypaste", clipboard ? "yes" : "no");
}

static xmlNode *cdrom_node(xmlNode *root)
{
    xmlNode *disk = bh_xml_path(root, "devices", "disk", NULL);

    while (disk && !bh_xml_attr_is(disk, "device", "cdrom"))
        disk = bh_xml_next(disk);
    return disk;
}

static void fill_cdrom(xmlNode *disk, const char *path)
{
    bh_xml_remove(bh_xml_child(disk, "source"));
    bh_xml_remove(bh_xml_child(disk, "backingStore"));
    bh_xml_set(disk, "type", "file");
    bh_xml_set(bh_xml_child(disk, "target"), "tray", NULL);
    if (path)
        bh_xml_set(bh_xml_add(disk, "source"), "file", path);
}

static gboolean target_in_use(xmlNode *root, const char *target)
{
    xmlNode *disk = bh_xml_path(root, "devices", "disk", NULL);

    while (disk && !bh_xml_attr_is(bh_xml_child(disk, "target"), "dev", target))
        disk = bh_xml_next(disk);
    return disk != NULL;
}

/* A drive that is missing is added on a free SATA name. */
static void change_cdrom(xmlNode *root, const char *path)
{
    xmlNode *disk = cdrom_node(root);
    char target[] = "sda";

    if (disk) {
        fill_cdrom(disk, path);
        return;
    }
    while (target[2] < 'z' && target_in_use(root, target))
        target[2]++;
    g_autofree char *cdrom = bh_part_cdrom(target, path, 0);
    bh_xml_add_fragment(bh_xml_child(root, "devices"), cdrom);
}

static void change_video(xmlNode *devices, BhVideo video)
{
    g_autofree char *part = bh_part_video(video);

    bh_xml_remove(bh_xml_child(devices, "video"));
    bh_xml_add_fragment(devices, part);
}

static void change_usb_channels(xmlNode *devices, guint wanted)
{
    guint present = 0;
    xmlNode *node = bh_xml_child(devices, "redirdev"), *next;

    for (; node; node = next) {
        next = bh_xml_next(node);
        if (++present > wanted)
            bh_xml_remove(node);
    }
    for (; present < wanted; present++)
        bh_xml_add_fragment(devices, BH_PART_REDIRDEV);
}

static void change_tpm(xmlNode *devices, gboolean tpm)
{
    xmlNode *present = bh_xml_child(devices, "tpm");

    if (tpm && !present)
        bh_xml_add_fragment(devices, BH_PART_TPM);
    else if (!tpm)
        bh_xml_remove(present);
}

char *bh_domain_nvram_path(const char *path, gboolean secure)
{
    gboolean has_suffix = g_str_has_suffix(path, ".fd");
    g_autofree char *base = g_strndup(path, strlen(path) - (has_suffix ? strlen(".fd") : 0));

    if (g_str_has_suffix(base, "-secure"))
        base[strlen(base) - strlen("-secure")] = '\0';
    return g_strconcat(base, secure ? "-secure" : "", has_suffix ? ".fd" : "", NULL);
}

static void change_nvram(xmlNode *nvram, gboolean secure)
{
    g_autofree char *path = bh_xml_text(nvram);

    if (!path || !*path)
        return; /* not a plain file: libvirt's own choice */
    g_autofree char *changed = bh_domain_nvram_path(path, secure);
    bh_xml_set(nvram, "template", NULL);
    bh_xml_set_text(nvram, changed);
}

/* Another firmware build: libvirt chooses it anew, so the old choice (loader, template) goes. */
static void change_secure_boot(xmlNode *root, gboolean secure)
{
    xmlNode *os = bh_xml_child(root, "os");
    xmlNode *features = bh_xml_ensure(root, "features");
    const char *names[] = {"secure-boot", "enrolled-keys"};

    bh_xml_remove(bh_xml_child(os, "loader"));
    bh_xml_remove(bh_xml_child(os, "firmware"));
    if (bh_xml_child(os, "nvram") && !bh_xml_child(bh_xml_child(os, "nvram"), "source"))
        change_nvram(bh_xml_child(os, "nvram"), secure);
    bh_xml_set(os, "firmware", "efi");
    xmlNode *firmware = bh_xml_add(os, "firmware");
    for (gsize i = 0; i < G_N_ELEMENTS(names); i++) {
        xmlNode *feature = bh_xml_add(firmware, "feature");
        bh_xml_set(feature, "enabled", secure ? "yes" : "no");
        bh_xml_set(feature, "name", names[i]);
    }
    bh_xml_remove(bh_xml_child(features, "smm"));
    if (secure)
        bh_xml_set(bh_xml_add(features, "smm"), "state", "on");
}

static void change_nic(xmlNode *devices, BhNic nic)
{
    xmlNode *present = bh_xml_child(devices, "interface");

    if (nic == BH_NIC_NONE) {
        bh_xml_remove(present);
    } else if (present) {
        bh_xml_set(bh_xml_ensure(present, "model"), "type",
                   nic == BH_NIC_E1000E ? "e1000e" : "virtio");
        bh_xml_remove(bh_xml_child(present, "address")); /* slots differ per model */
    } else {
        g_autofree char *part = bh_part_nic(nic, NULL);
        bh_xml_add_fragment(devices, part);
    }
}

char *bh_domain_change(const char *xml, const BhMachineSpec *wanted, BhSpecFields fields,
                       const char *domain_name, gboolean late, GError **error)
{
    xmlNode *root;
    g_autoptr(xmlDoc) doc = open_domain(xml, &root, error);

    if (!doc)
        return NULL;
    xmlNode *devices = bh_xml_ensure(root, "devices");
    if (fields & BH_SPEC_NAME)
        change_name(root, wanted->name, domain_name, late);
    if (fields & BH_SPEC_NOTES)
        change_notes(root, wanted->notes);
    if (fields & BH_SPEC_CPUS)
        change_cpus(root, wanted->cpus);
    if (fields & BH_SPEC_MEMORY)
        change_memory(root, wanted->memory_mib);
    if (fields & BH_SPEC_SOUND)
        change_sound(devices, wanted->sound);
    if (fields & BH_SPEC_CLIPBOARD)
        change_clipboard(devices, wanted->clipboard);
    if (fields & BH_SPEC_CDROM)
        change_cdrom(root, wanted->cdrom);
    if (fields & BH_SPEC_VIDEO)
        change_video(devices, wanted->video);
    if (fields & BH_SPEC_USB_CHANNELS)
        change_usb_channels(devices, wanted->usb_channels);
    if (fields & BH_SPEC_TPM)
        change_tpm(devices, wanted->tpm);
    if (fields & BH_SPEC_SECURE_BOOT)
        change_secure_boot(root, wanted->secure_boot);
    if (fields & BH_SPEC_NIC)
        change_nic(devices, wanted->nic);
    bh_xml_set_text(bh_xml_ensure(root, "name"), domain_name);
    return bh_xml_to_string(doc);
}

char *bh_domain_set_kvm(const char *xml, gboolean kvm, GError **error)
{
    xmlNode *root;
    g_autoptr(xmlDoc) doc = open_domain(xml, &root, error);

    if (!doc)
        return NULL;
    xmlNode *vcpu = bh_xml_child(root, "vcpu");
    xmlNode *libosinfo =
        bh_xml_child_ns(bh_xml_child(root, "metadata"), "libosinfo", OSINFO_XML_NAMESPACE);
    g_autofree char *os_id =
        bh_xml_attr(bh_xml_child_ns(libosinfo, "os", OSINFO_XML_NAMESPACE), "id");
    g_autofree char *text = bh_xml_text(vcpu);
    guint max_cpus = text ? (guint)g_ascii_strtoull(text, NULL, 10) : 1;
    g_autofree char *cpu = bh_part_cpu(kvm, MAX(max_cpus, 1), os_id);
    bh_xml_set(root, "type", kvm ? "kvm" : "qemu");
    bh_xml_remove(bh_xml_child(root, "cpu"));
    bh_xml_add_fragment(root, cpu);
    return bh_xml_to_string(doc);
}

char *bh_domain_end_install(const char *xml, GError **error)
{
    xmlNode *root;
    g_autoptr(xmlDoc) doc = open_domain(xml, &root, error);

    if (!doc)
        return NULL;
    guint order = 1;
    xmlNode *disk = bh_xml_path(root, "devices", "disk", NULL), *cdrom = cdrom_node(root);
    for (; disk; disk = bh_xml_next(disk)) {
        g_autofree char *text = g_strdup_printf("%u", order);
        if (disk == cdrom || !bh_xml_child(disk, "boot"))
            continue;
        bh_xml_set(bh_xml_child(disk, "boot"), "order", text);
        order++;
    }
    g_autofree char *last = g_strdup_printf("%u", order);
    if (cdrom) {
        fill_cdrom(cdrom, NULL);
        bh_xml_set(bh_xml_ensure(cdrom, "boot"), "order", last);
    }
    bh_xml_set(our_metadata(root), "installing", NULL);
    return bh_xml_to_string(doc);
}

char *bh_domain_cdrom_xml(const char *xml, const char *path, GError **error)
{
    xmlNode *root;
    g_autoptr(xmlDoc) doc = open_domain(xml, &root, error);
    xmlNode *disk = doc ? cdrom_node(root) : NULL;

    if (!doc)
        return NULL;
    if (!disk) {
        g_propagate_error(error, bh_error_new(BH_ERROR_NOT_SUPPORTED,
                                              _("Shut it down, then insert the medium."), NULL,
                                              _("The machine has no CD drive.")));
        return NULL;
    }
    fill_cdrom(disk, path);
    g_autoptr(xmlDoc) single = xmlNewDoc((const xmlChar *)"1.0");
    xmlDocSetRootElement(single, xmlDocCopyNode(disk, single, 1));
    return bh_xml_to_string(single);
}

char *bh_domain_usb_xml(guint vendor, guint product, guint bus, guint address)
{
    return g_strdup_printf(
        "<hostdev mode='subsystem' type='usb' managed='yes'><source startupPolicy='optional'>"
        "<vendor id='0x%04x'/><product id='0x%04x'/>"
        "<address bus='%u' device='%u'/></source></hostdev>",
        vendor, product, bus, address);
}
