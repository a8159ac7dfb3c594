/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See libvirt-caps.h. */
#include "libvirt-caps.h"

#include "xml-util.h"

void bh_host_caps_free(BhHostCaps *self)
{
    if (!self)
        return;
    g_free(self->emulator);
    g_free(self->network);
    g_free(self);
}

/* <node><enum name='NAME'><value>VALUE</value>... */
static gboolean has_value(xmlNode *node, const char *name, const char *value)
{
    xmlNode *list = bh_xml_child(node, "enum");

    while (list && !bh_xml_attr_is(list, "name", name))
        list = bh_xml_next(list);
    for (xmlNode *item = bh_xml_child(list, "value"); item; item = bh_xml_next(item)) {
        g_autofree char *text = bh_xml_text(item);
        if (g_strcmp0(text, value) == 0)
            return TRUE;
    }
    return FALSE;
}

gboolean bh_host_caps_parse(BhHostCaps *self, const char *xml)
{
    g_autoptr(xmlDoc) doc = bh_xml_parse(xml, NULL);
    xmlNode *root = doc ? xmlDocGetRootElement(doc) : NULL;

    if (!root || !xmlStrEqual(root->name, (const xmlChar *)"domainCapabilities"))
        return FALSE;
    xmlNode *devices = bh_xml_child(root, "devices");
    xmlNode *os = bh_xml_child(root, "os"), *tpm = bh_xml_child(devices, "tpm");
    xmlNode *video = bh_xml_child(devices, "video");
    g_free(self->emulator);
    self->emulator = bh_xml_text(bh_xml_child(root, "path"));
    self->efi = has_value(os, "firmware", "efi");
    self->secure_boot = self->efi && has_value(bh_xml_child(os, "loader"), "secure", "yes");
    self->tpm = bh_xml_attr_is(tpm, "supported", "yes") && has_value(tpm, "model", "tpm-crb") &&
                has_value(tpm, "backendModel", "emulator");
    self->spice = has_value(bh_xml_child(devices, "graphics"), "type", "spice");
    self->qxl = has_value(video, "modelType", "qxl");
    self->virtio_video = has_value(video, "modelType", "virtio");
    /* libvirt 9.0 lists redirection under its own element; older ones only the channel's type. */
    self->usb_redirection =
        self->spice && (!bh_xml_child(devices, "redirdev") ||
                        has_value(bh_xml_child(devices, "redirdev"), "bus", "usb"));
    return TRUE;
}

BhHostFeatures bh_host_caps_features(const BhHostCaps *self, gboolean local)
{
    BhHostFeatures features = BH_FEATURE_SAVE | BH_FEATURE_PAUSE | BH_FEATURE_RESET |
                              BH_FEATURE_SCREENSHOT | BH_FEATURE_SEND_KEYS;

    if (local)
        features |=
            BH_FEATURE_LOCAL | BH_FEATURE_CREATE | BH_FEATURE_UNDELETE | BH_FEATURE_USB_PASSTHROUGH;
    features |= self->usb_redirection ? BH_FEATURE_USB_REDIRECTION : 0;
    features |= self->efi ? BH_FEATURE_EFI : 0;
    features |= self->secure_boot ? BH_FEATURE_SECURE_BOOT : 0;
    features |= self->tpm ? BH_FEATURE_TPM : 0;
    return features;
}
