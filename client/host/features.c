/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The stable names of host features, for scripts, JSON and the fake driver's URI. */
#include <bulkhead/host.h>

static const struct {
    BhHostFeatures feature;
    const char *name;
} features[] = {
    {BH_FEATURE_CREATE, "create"},
    {BH_FEATURE_SAVE, "save"},
    {BH_FEATURE_PAUSE, "pause"},
    {BH_FEATURE_RESET, "reset"},
    {BH_FEATURE_SCREENSHOT, "screenshot"},
    {BH_FEATURE_SEND_KEYS, "send-keys"},
    {BH_FEATURE_USB_PASSTHROUGH, "usb-passthrough"},
    {BH_FEATURE_USB_REDIRECTION, "usb-redirection"},
    {BH_FEATURE_EFI, "efi"},
    {BH_FEATURE_SECURE_BOOT, "secure-boot"},
    {BH_FEATURE_TPM, "tpm"},
    {BH_FEATURE_LOCAL, "local"},
    {BH_FEATURE_UNDELETE, "undelete"},
    {BH_FEATURE_SNAPSHOTS, "snapshots"},
    {BH_FEATURE_CLONE, "clone"},
    {BH_FEATURE_STATS, "stats"},
    {BH_FEATURE_PCI, "pci"},
};

const char *bh_host_feature_get_name(BhHostFeatures feature)
{
    for (gsize i = 0; i < G_N_ELEMENTS(features); i++)
        if (features[i].feature == feature)
            return features[i].name;
    return NULL;
}

BhHostFeatures bh_host_feature_from_name(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(features); i++)
        if (g_strcmp0(features[i].name, name) == 0)
            return features[i].feature;
    return 0;
}
