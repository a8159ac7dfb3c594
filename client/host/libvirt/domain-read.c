/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domain XML to BhDomain: see domain-read.h. */
#include "domain-read.h"

#include <glib/gi18n-lib.h>

#include <bulkhead/error.h>

#include "xml-util.h"

#define USB_CHANNELS_MAX 8

static void disk_free(gpointer data)
{
    BhDomainDisk *disk = data;
    g_free(disk->target);
    g_free(disk->path);
    g_free(disk);
}

void bh_domain_free(BhDomain *self)
{
    if (!self)
        return;
    g_free(self->uuid);
    g_free(self->name);
    bh_machine_spec_free(self->spec);
    g_free(self->type);
    g_ptr_array_unref(self->disks);
    g_ptr_array_unref(self->usb);
    g_free(self->nvram);
    g_free(self);
}

BhDomainDisk *bh_domain_first(const BhDomain *self, gboolean cdrom)
{
    for (guint i = 0; i < self->disks->len; i++) {
        BhDomainDisk *disk = self->disks->pdata[i];
        if (disk->cdrom == cdrom)
            return disk;
    }
    return NULL;
}

static guint64 read_mib(xmlNode *node)
{
    static const struct {
        const char *unit;
        guint64 bytes;
    } units[] = {{"b", 1},           {"bytes", 1},      {"KB", 1000},        {"MB", 1000000},
                 {"GB", 1000000000}, {"k", 1 << 10},    {"KiB", 1 << 10},    {"M", 1 << 20},
                 {"MiB", 1 << 20},   {"G", 1ull << 30}, {"GiB", 1ull << 30}, {"T", 1ull << 40},
                 {"TiB", 1ull << 40}};
    g_autofree char *text = bh_xml_text(node);
    g_autofree char *unit = bh_xml_attr(node, "unit");
    guint64 value = text ? g_ascii_strtoull(text, NULL, 10) : 0, factor = 1 << 10;

    for (gsize i = 0; unit && i < G_N_ELEMENTS(units); i++)
        if (g_str_equal(unit, units[i].unit))
            factor = units[i].bytes;
    if (value > G_MAXUINT64 / factor)
        return 0;
    return value * factor >> 20;
}

static guint read_count(xmlNode *node)
{
    g_autofree char *text = bh_xml_text(node);
    guint64 value = text ? g_ascii_strtoull(text, NULL, 10) : 0;
    return (guint)CLAMP(value, 1, 65536);
}

static void read_resources(BhDomain *self, xmlNode *root)
{
    xmlNode *vcpu = bh_xml_child(root, "vcpu");
    xmlNode *current = bh_xml_child(root, "currentMemory");

    self->max_memory_mib = read_mib(bh_xml_child(root, "memory"));
    guint64 memory = current ? read_mib(current) : self->max_memory_mib;
    self->spec->memory_mib = (guint)MIN(memory, G_MAXUINT);
    self->max_cpus = read_count(vcpu);
    self->spec->cpus =
        (guint)CLAMP(bh_xml_attr_uint(vcpu, "current", self->max_cpus), 1, self->max_cpus);
}

static void read_firmware(BhDomain *self, xmlNode *root)
{
    xmlNode *os = bh_xml_child(root, "os");
    xmlNode *loader = bh_xml_child(os, "loader");
    xmlNode *feature = bh_xml_path(os, "firmware", "feature", NULL);
    gboolean efi =
        bh_xml_attr_is(os, "firmware", "efi") || bh_xml_attr_is(loader, "type", "pflash");

    self->spec->firmware = efi ? BH_FIRMWARE_EFI : BH_FIRMWARE_BIOS;
    self->spec->secure_boot = efi && bh_xml_attr_is(loader, "secure", "yes");
    for (; efi && feature; feature = bh_xml_next(feature))
        if (bh_xml_attr_is(feature, "name", "enrolled-keys"))
            self->spec->secure_boot = bh_xml_attr_is(feature, "enabled", "yes");
    self->nvram = bh_xml_text(bh_xml_child(os, "nvram"));
}

static void read_metadata(BhDomain *self, xmlNode *root)
{
    xmlNode *metadata = bh_xml_child(root, "metadata");
    xmlNode *ours = bh_xml_child_ns(metadata, "machine", BH_XML_NAMESPACE);
    xmlNode *name = bh_xml_child_ns(ours, "name", BH_XML_NAMESPACE);
    xmlNode *libosinfo = bh_xml_child_ns(metadata, "libosinfo", OSINFO_XML_NAMESPACE);

    self->ours = bh_xml_attr_is(ours, "made", "yes");
    self->installing = bh_xml_attr_is(ours, "installing", "yes");
    self->spec->os_id = bh_xml_attr(bh_xml_child_ns(libosinfo, "os", OSINFO_XML_NAMESPACE), "id");
    self->spec->notes = bh_xml_text(bh_xml_child(root, "description"));
    /* A name of ours counts only for the domain name it was given beside: "virsh domrename" wins.
     */
    if (name && bh_xml_attr_is(name, "for", self->name))
        self->spec->name = bh_xml_text(name);
    self->renamed = name && bh_xml_attr_is(name, "late", "yes");
    if (!self->spec->name || !*self->spec->name) {
        g_free(self->spec->name);
        self->spec->name = g_strdup(self->name);
    }
}

static gboolean is_managed(xmlNode *root, const char *path)
{
    xmlNode *ours = bh_xml_child_ns(bh_xml_child(root, "metadata"), "machine", BH_XML_NAMESPACE);

    for (xmlNode *node = ours ? ours->children : NULL; path && node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && xmlStrEqual(node->name, (const xmlChar *)"disk") &&
            bh_xml_attr_is(node, "path", path))
            return TRUE;
    return FALSE;
}

static void read_disks(BhDomain *self, xmlNode *root)
{
    xmlNode *node = bh_xml_path(root, "devices", "disk", NULL);

    for (; node; node = bh_xml_next(node)) {
        BhDomainDisk *disk = g_new0(BhDomainDisk, 1);
        disk->target = bh_xml_attr(bh_xml_child(node, "target"), "dev");
        disk->path = bh_xml_attr(bh_xml_child(node, "source"), "file");
        if (!disk->path)
            disk->path = bh_xml_attr(bh_xml_child(node, "source"), "dev");
        disk->cdrom = bh_xml_attr_is(node, "device", "cdrom");
        disk->managed = is_managed(root, disk->path);
        if (disk->cdrom && bh_xml_attr_is(bh_xml_child(node, "boot"), "order", "1"))
            self->cdrom_first = TRUE;
        if (bh_xml_attr_is(node, "device", "floppy"))
            disk_free(disk);
        else
            g_ptr_array_add(self->disks, disk);
    }
    BhDomainDisk *disk = bh_domain_first(self, FALSE), *cdrom = bh_domain_first(self, TRUE);
    self->spec->disk_path = g_strdup(disk ? disk->path : NULL);
    self->spec->cdrom = g_strdup(cdrom ? cdrom->path : NULL);
    if (disk && disk->target)
        self->spec->disk_bus = g_str_has_prefix(disk->target, "vd") ? BH_BUS_VIRTIO : BH_BUS_SATA;
}

static void read_display(BhDomain *self, xmlNode *devices)
{
    xmlNode *graphics = bh_xml_child(devices, "graphics");
    xmlNode *model = bh_xml_path(devices, "video", "model", NULL);
    g_autofree char *type = bh_xml_attr(model, "type");

    for (; graphics && self->display != BH_DISPLAY_SPICE; graphics = bh_xml_next(graphics)) {
        if (bh_xml_attr_is(graphics, "type", "spice")) {
            xmlNode *clipboard = bh_xml_child(graphics, "clipboard");
            self->display = BH_DISPLAY_SPICE;
            self->spec->clipboard = !bh_xml_attr_is(clipboard, "copypaste", "no");
        } else if (bh_xml_attr_is(graphics, "type", "vnc")) {
            self->display = BH_DISPLAY_VNC;
        }
    }
    if (g_strcmp0(type, "qxl") == 0)
        self->spec->video = BH_VIDEO_QXL;
    else if (g_strcmp0(type, "virtio") == 0)
        self->spec->video = BH_VIDEO_VIRTIO;
    else if (g_strcmp0(type, "vga") == 0)
        self->spec->video = BH_VIDEO_VGA;
}

static void read_devices(BhDomain *self, xmlNode *devices)
{
    xmlNode *redirdev = bh_xml_child(devices, "redirdev");
    xmlNode *nic = bh_xml_child(devices, "interface");
    g_autofree char *model = bh_xml_attr(bh_xml_child(nic, "model"), "type");

    self->spec->sound = bh_xml_child(devices, "sound") != NULL;
    self->spec->tpm = bh_xml_child(devices, "tpm") != NULL;
    self->spec->usb_channels = 0;
    for (; redirdev; redirdev = bh_xml_next(redirdev))
        self->spec->usb_channels += bh_xml_attr_is(redirdev, "bus", "usb");
    self->spec->usb_channels = MIN(self->spec->usb_channels, USB_CHANNELS_MAX);
    if (!nic)
        self->spec->nic = BH_NIC_NONE;
    else if (g_strcmp0(model, "virtio") == 0)
        self->spec->nic = BH_NIC_VIRTIO;
    else if (g_strcmp0(model, "e1000e") == 0)
        self->spec->nic = BH_NIC_E1000E;
}

static void read_usb(BhDomain *self, xmlNode *devices)
{
    xmlNode *hostdev = bh_xml_child(devices, "hostdev");

    for (; hostdev; hostdev = bh_xml_next(hostdev)) {
        xmlNode *source = bh_xml_child(hostdev, "source");
        xmlNode *address = bh_xml_child(source, "address");
        guint64 bus = bh_xml_attr_uint(address, "bus", 0);
        guint64 device = bh_xml_attr_uint(address, "device", 0);

        if (!bh_xml_attr_is(hostdev, "type", "usb") || !bus || bus > 255 || !device || device > 255)
            continue;
        BhUsbAddress *usb = g_new0(BhUsbAddress, 1);
        usb->vendor = (guint16)bh_xml_attr_uint(bh_xml_child(source, "vendor"), "id", 0);
        usb->product = (guint16)bh_xml_attr_uint(bh_xml_child(source, "product"), "id", 0);
        usb->bus = (guint8)bus;
        usb->address = (guint8)device;
        g_ptr_array_add(self->usb, usb);
    }
}

BhDomain *bh_domain_parse(const char *xml, GError **error)
{
    g_autoptr(xmlDoc) doc = bh_xml_parse(xml, error);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!doc)
        return NULL;
    g_autoptr(BhDomain) self = g_new0(BhDomain, 1);
    self->disks = g_ptr_array_new_with_free_func(disk_free);
    self->usb = g_ptr_array_new_with_free_func(g_free);
    self->spec = bh_machine_spec_new();
    self->uuid = bh_xml_text(bh_xml_child(root, "uuid"));
    self->name = bh_xml_text(bh_xml_child(root, "name"));
    self->type = bh_xml_attr(root, "type");
    if (!xmlStrEqual(root->name, (const xmlChar *)"domain") || !self->uuid || !self->name) {
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                                              _("The machine's definition is incomplete.")));
        return NULL;
    }
    xmlNode *devices = bh_xml_child(root, "devices");
    read_metadata(self, root);
    read_resources(self, root);
    read_firmware(self, root);
    read_disks(self, root);
    read_display(self, devices);
    read_devices(self, devices);
    read_usb(self, devices);
    return g_steal_pointer(&self);
}

BhSpecFields bh_domain_pending(const BhDomain *config, const BhDomain *live)
{
    /* What is the same for a running machine, however it was started: its name and notes are read
     * from the stored definition, and a medium is changed in both. */
    const BhSpecFields never = BH_SPEC_NAME | BH_SPEC_NOTES | BH_SPEC_CDROM;
    BhSpecFields fields = bh_machine_spec_diff(config->spec, live->spec) & ~never;

    /* Not sharing takes effect at once, because it is the viewer that stops. */
    if (!config->spec->clipboard)
        fields &= ~BH_SPEC_CLIPBOARD;
    /* A guest may balloon itself; only a ceiling it cannot reach now waits for a restart. */
    if (config->spec->memory_mib <= live->max_memory_mib)
        fields &= ~BH_SPEC_MEMORY;
    return fields;
}
