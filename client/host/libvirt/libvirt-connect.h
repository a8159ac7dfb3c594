/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Opening a connection and reading everything at once, on a worker. Private to the driver. */
#pragma once

#include "libvirt-private.h"

typedef struct {
    virConnectPtr conn; /* with its events registered */
    BhHostCaps *caps;
    GPtrArray *snapshots; /* of BhSnapshot: all domains */
    GPtrArray *deleted;   /* of BhDeletedRecord (libvirt-deleted.h) */
} BhConnected;

void bh_connected_free(BhConnected *self);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(BhConnected, bh_connected_free)

/* Worker. NULL with an error for people. */
BhConnected *bh_libvirt_connect(BhLibvirtHost *host, guint generation, GError **error);
/* Any thread; may block on a sick connection. */
void bh_libvirt_disconnect(virConnectPtr conn);
