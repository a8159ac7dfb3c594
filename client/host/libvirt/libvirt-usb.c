/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * USB devices of the host, passed through to a running machine. Never stored in the definition:
 * addresses change with every enumeration, and the arbiter (usb.h) brings wanted devices back.
 *
 * Detaching ends when libvirt's live definition no longer lists the device: the guest has to let go
 * of it, so that can take a while, and a guest may refuse.
 */
#include <string.h>

#include <glib/gi18n-lib.h>

#include "domain-xml.h"
#include "libvirt-private.h"

#define DETACH_SECONDS 10

static gboolean same_place(const BhUsbAddress *a, const BhUsbAddress *b)
{
    return a->bus == b->bus && a->address == b->address;
}

static const BhUsbAddress *find(GPtrArray *addresses, const BhUsbAddress *wanted)
{
    for (guint i = 0; i < addresses->len; i++)
        if (same_place(addresses->pdata[i], wanted))
            return addresses->pdata[i];
    return NULL;
}

static BhDomain *read_live(virDomainPtr domain)
{
    char *xml = virDomainGetXMLDesc(domain, 0);
    BhDomain *live = xml ? bh_domain_parse(xml, NULL) : NULL;

    free(xml);
    return live;
}

/* The shown name of the machine that has the device, or NULL. */
static char *find_owner(virConnectPtr conn, const BhUsbAddress *address)
{
    virDomainPtr *domains = NULL;
    int n = virConnectListAllDomains(conn, &domains, VIR_CONNECT_LIST_DOMAINS_ACTIVE);
    char *owner = NULL;

    for (int i = 0; i < n; i++) {
        g_autoptr(BhDomain) live = owner ? NULL : read_live(domains[i]);
        if (live && find(live->usb, address))
            owner = g_strdup(live->spec->name);
        virDomainFree(domains[i]);
    }
    free(domains);
    return owner;
}

static gboolean run_attach(BhWork *work, GError **error)
{
    const BhUsbAddress *address = work->data;
    g_autofree char *owner = find_owner(work->conn, address);
    g_autofree char *xml =
        bh_domain_usb_xml(address->vendor, address->product, address->bus, address->address);

    if (owner) {
        g_propagate_error(error, bh_error_new(BH_ERROR_BUSY, _("Detach it there first."), NULL,
                                              _("The device is in use by “%s”."), owner));
        return FALSE;
    }
    if (virDomainAttachDeviceFlags(work->domain, xml, VIR_DOMAIN_AFFECT_LIVE) == 0)
        return TRUE;
    bh_libvirt_set_error(error, _("The USB device could not be attached."));
    return FALSE;
}

static gboolean run_detach(BhWork *work, GError **error)
{
    const BhUsbAddress *address = work->data;
    g_autoptr(BhDomain) live = read_live(work->domain);
    const BhUsbAddress *present = live ? find(live->usb, address) : NULL;

    if (!present)
        return TRUE; /* it went away by itself: as wanted */
    /* As it is in the live definition, or libvirt would not find it. */
    g_autofree char *xml =
        bh_domain_usb_xml(present->vendor, present->product, present->bus, present->address);
    if (virDomainDetachDeviceFlags(work->domain, xml, VIR_DOMAIN_AFFECT_LIVE) == 0)
        return TRUE;
    const virError *why = virGetLastError();
    if (why && why->code == VIR_ERR_DEVICE_MISSING)
        return TRUE;
    bh_libvirt_set_error(error, _("The USB device could not be detached."));
    return FALSE;
}

/* Waiting for the guest to let go: lives from the request's success to the device's end. */
typedef struct {
    BhMachine *machine; /* owned, as the handlers are on it */
    BhUsbAddress address;
    GTask *task;
    gulong addresses_handler, state_handler, failed_handler;
    guint timeout;
} Wait;

static void wait_end(Wait *wait, GError *error)
{
    g_signal_handler_disconnect(wait->machine, wait->addresses_handler);
    g_signal_handler_disconnect(wait->machine, wait->state_handler);
    g_signal_handler_disconnect(wait->machine, wait->failed_handler);
    g_clear_handle_id(&wait->timeout, g_source_remove);
    if (error)
        g_task_return_error(wait->task, error);
    else
        g_task_return_boolean(wait->task, TRUE);
    g_object_unref(wait->task);
    g_object_unref(wait->machine);
    g_free(wait);
}

static void on_machine_changed(BhMachine *machine, GParamSpec *pspec, Wait *wait)
{
    if (!bh_machine_is_active(machine) ||
        !find(bh_machine_get_usb_addresses(machine), &wait->address))
        wait_end(wait, NULL);
}

static void on_removal_failed(BhMachine *machine, Wait *wait)
{
    wait_end(wait, bh_error_new(BH_ERROR_BUSY, _("Stop using it inside the guest, then try again."),
                                NULL, _("The guest refused to let go of the USB device.")));
}

static gboolean on_timeout(gpointer data)
{
    Wait *wait = data;

    wait->timeout = 0;
    wait_end(wait,
             bh_error_new(BH_ERROR_BUSY, _("It may still come free; do not pull it out yet."), NULL,
                          _("The guest has not let go of the USB device within %d seconds."),
                          DETACH_SECONDS));
    return G_SOURCE_REMOVE;
}

static void detach_done(BhWork *work, GError *error)
{
    BhMachine *machine = BH_MACHINE(work->machine);
    const BhUsbAddress *address = work->data;

    if (error) {
        g_task_return_error(work->task, error);
        return;
    }
    if (!bh_machine_is_active(machine) || !find(bh_machine_get_usb_addresses(machine), address)) {
        g_task_return_boolean(work->task, TRUE);
        return;
    }
    Wait *wait = g_new0(Wait, 1);
    wait->machine = g_object_ref(machine);
    wait->address = *address;
    wait->task = g_steal_pointer(&work->task);
    wait->addresses_handler =
        g_signal_connect(machine, "notify::usb-addresses", G_CALLBACK(on_machine_changed), wait);
    wait->state_handler =
        g_signal_connect(machine, "notify::state", G_CALLBACK(on_machine_changed), wait);
    wait->failed_handler =
        g_signal_connect(machine, "removal-failed", G_CALLBACK(on_removal_failed), wait);
    wait->timeout = g_timeout_add_seconds(DETACH_SECONDS, on_timeout, wait);
}

static void start(BhMachine *machine, const BhUsbAddress *address, GTask *task, BhWorkRun run,
                  BhWorkDone done)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);

    if (host)
        bh_work_start(host, self, NULL, task, run, done, g_memdup2(address, sizeof *address),
                      g_free);
}

void bh_libvirt_machine_usb_attach(BhMachine *machine, const BhUsbAddress *address, GTask *task)
{
    start(machine, address, task, run_attach, NULL);
}

void bh_libvirt_machine_usb_detach(BhMachine *machine, const BhUsbAddress *address, GTask *task)
{
    start(machine, address, task, run_detach, detach_done);
}
