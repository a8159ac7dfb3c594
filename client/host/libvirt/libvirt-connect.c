/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See libvirt-connect.h. */
#include "libvirt-connect.h"

#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "libvirt-deleted.h"

/* A host that says nothing for 30 s is taken for lost; a busy libvirtd still answers keepalives,
 * because it does so on a thread of its own. */
#define KEEPALIVE_SECONDS 5
#define KEEPALIVE_COUNT 6

void bh_connected_free(BhConnected *self)
{
    if (!self)
        return;
    if (self->conn)
        bh_libvirt_disconnect(self->conn);
    bh_host_caps_free(self->caps);
    g_ptr_array_unref(self->snapshots);
    g_ptr_array_unref(self->deleted);
    g_free(self);
}

static virConnectPtr open_connection(BhLibvirtHost *host, GError **error)
{
    const char *uri = bh_host_get_uri(BH_HOST(host));

    if (geteuid() == 0 && bh_libvirt_host_is_session(host)) {
        g_propagate_error(
            error, bh_error_new(BH_ERROR_NOT_SUPPORTED,
                                _("Run it as an ordinary user, or use --connect qemu:///system."),
                                NULL, _("libvirt has no session of its own for the user root.")));
        return NULL;
    }
    virConnectPtr conn = virConnectOpen(uri);
    if (!conn) {
        const virError *cause = virGetLastError();
        g_propagate_error(
            error,
            bh_error_new(BH_ERROR_DISCONNECTED,
                         bh_libvirt_host_is_local(host)
                             ? _("Check that libvirt (package “libvirt-daemon”) is installed and "
                                 "that you may use it.")
                             : _("Check the address, the network and your rights there."),
                         cause ? cause->message : NULL, _("Connecting to %s failed."), uri));
        return NULL;
    }
    virConnectSetKeepAlive(conn, KEEPALIVE_SECONDS, KEEPALIVE_COUNT);
    return conn;
}

static char *default_network(virConnectPtr conn)
{
    virNetworkPtr network = virNetworkLookupByName(conn, "default");
    gboolean active = network && virNetworkIsActive(network) == 1;

    if (network)
        virNetworkFree(network);
    return active ? g_strdup("default") : NULL;
}

static BhHostCaps *read_caps(BhLibvirtHost *host, virConnectPtr conn, GError **error)
{
    g_autoptr(BhHostCaps) caps = g_new0(BhHostCaps, 1);
    virNodeInfo node = {0};
    char *kvm = virConnectGetDomainCapabilities(conn, NULL, "x86_64", "q35", "kvm", 0);
    char *xml = kvm ? kvm : virConnectGetDomainCapabilities(conn, NULL, "x86_64", "q35", "qemu", 0);

    caps->kvm = kvm != NULL;
    if (xml && virNodeGetInfo(conn, &node) == 0 && bh_host_caps_parse(caps, xml)) {
        caps->cpus = node.cpus;
        caps->memory = (guint64)node.memory << 10;
        if (!bh_libvirt_host_is_session(host))
            caps->network = default_network(conn);
        free(xml);
        return g_steal_pointer(&caps);
    }
    const virError *cause = virGetLastError();
    g_propagate_error(error, bh_error_new(BH_ERROR_NOT_SUPPORTED,
                                          _("Check that it has QEMU for x86 (package "
                                            "“qemu-system-x86”)."),
                                          cause ? cause->message : NULL,
                                          _("This host did not tell what it can do.")));
    free(xml);
    return NULL;
}

static gboolean read_domains(BhConnected *self, GError **error)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(self->conn, &domains, 0);

    if (n < 0) {
        bh_libvirt_set_error(error, _("The machines could not be listed."));
        return FALSE;
    }
    for (int i = 0; i < n; i++) {
        BhSnapshot *snapshot = bh_snapshot_read(domains[i]);
        if (snapshot && !snapshot->gone)
            g_ptr_array_add(self->snapshots, snapshot);
        else
            bh_snapshot_free(snapshot);
        virDomainFree(domains[i]);
    }
    free(domains);
    return TRUE;
}

BhConnected *bh_libvirt_connect(BhLibvirtHost *host, guint generation, GError **error)
{
    g_autoptr(BhConnected) self = g_new0(BhConnected, 1);

    self->snapshots = g_ptr_array_new_with_free_func((GDestroyNotify)bh_snapshot_free);
    self->deleted = g_ptr_array_new_with_free_func((GDestroyNotify)bh_deleted_record_free);
    self->conn = open_connection(host, error);
    /* Events first: what changes while the list is read is then read again. */
    if (!self->conn)
        return NULL;
    if (!bh_libvirt_events_register(host, self->conn, generation)) {
        bh_libvirt_set_error(error, _("The host reports no events."));
        return NULL;
    }
    self->caps = read_caps(host, self->conn, error);
    if (!self->caps || !read_domains(self, error))
        return NULL;
    if (bh_libvirt_host_is_local(host)) {
        bh_creation_sweep(host, self->conn);
        bh_deleted_records_read(host, self->conn, self->deleted);
    }
    return g_steal_pointer(&self);
}
