/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a libvirt host says it can do (its domain capabilities), parsed. Pure but for the reader. */
#pragma once

#include <bulkhead/host.h>

typedef struct {
    char *emulator;
    gboolean efi, secure_boot, tpm, spice, qxl, virtio_video, usb_redirection;
    gboolean kvm;   /* libvirt would accept the domain type; proves nothing */
    guint cpus;     /* of the host */
    guint64 memory; /* bytes */
    char *network;  /* an active libvirt network for guests, or NULL: user networking */
} BhHostCaps;

/* Fills in what the domain capabilities tell; FALSE when that is not what it is. */
gboolean bh_host_caps_parse(BhHostCaps *self, const char *xml);
void bh_host_caps_free(BhHostCaps *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhHostCaps, bh_host_caps_free)
BhHostFeatures bh_host_caps_features(const BhHostCaps *self, gboolean local);
