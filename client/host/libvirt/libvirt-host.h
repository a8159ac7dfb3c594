/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The libvirt driver's public face: a BhHost for any libvirt URI that QEMU serves. What the driver
 * shares among its own files is in libvirt-private.h.
 */
#pragma once

#include <bulkhead/host.h>

G_BEGIN_DECLS

#define BH_TYPE_LIBVIRT_HOST (bh_libvirt_host_get_type())
G_DECLARE_FINAL_TYPE(BhLibvirtHost, bh_libvirt_host, BH, LIBVIRT_HOST, BhHost)

/* Connects nothing yet. NULL with BH_ERROR_INVALID for a URI libvirt could not understand. */
BhHost *bh_libvirt_host_new(const char *uri, GError **error);

G_END_DECLS
