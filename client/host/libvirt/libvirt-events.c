/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libvirt's events. Whatever happened to a domain, it is read anew; only what a later look could
 * not tell (a reboot, a device gone) is passed on as it came.
 *
 * Callbacks may come from any thread that happens to read the connection; all are passed through an
 * idle source, which keeps their order. Each callback holds a Context, not the host: they are
 * freed by libvirt at its leisure.
 */
#include <string.h>

#include "libvirt-connect.h"

typedef struct {
    GWeakRef host;
    guint generation;
    gint refs;
} Context;

typedef enum { EVENT_CHANGED, EVENT_REBOOT, EVENT_REMOVAL_FAILED, EVENT_LOST } Kind;

typedef struct {
    BhLibvirtHost *host; /* owned */
    Kind kind;
    guint generation;
    int reason;
    char uuid[VIR_UUID_STRING_BUFLEN];
} Event;

static void context_unref(void *data)
{
    Context *context = data;

    if (!g_atomic_int_dec_and_test(&context->refs))
        return;
    g_weak_ref_clear(&context->host);
    g_free(context);
}

static void event_free(gpointer data)
{
    Event *event = data;
    g_object_unref(event->host);
    g_free(event);
}

static gboolean on_main(gpointer data)
{
    Event *event = data;
    BhMachine *machine = bh_host_find_machine(BH_HOST(event->host), event->uuid);

    if (event->kind == EVENT_LOST) {
        bh_libvirt_host_lost(event->host, event->generation, event->reason);
        return G_SOURCE_REMOVE;
    }
    if (machine && event->kind == EVENT_REBOOT)
        bh_libvirt_machine_rebooted(BH_LIBVIRT_MACHINE(machine));
    if (machine && event->kind == EVENT_REMOVAL_FAILED)
        bh_libvirt_machine_removal_failed(BH_LIBVIRT_MACHINE(machine));
    bh_libvirt_host_refresh(event->host, event->uuid);
    return G_SOURCE_REMOVE;
}

static void post(Context *context, Kind kind, virDomainPtr domain, int reason)
{
    BhLibvirtHost *host = g_weak_ref_get(&context->host);

    if (!host)
        return;
    Event *event = g_new0(Event, 1);
    event->host = host;
    event->kind = kind;
    event->generation = context->generation;
    event->reason = reason;
    if (domain)
        virDomainGetUUIDString(domain, event->uuid);
    g_idle_add_full(G_PRIORITY_DEFAULT, on_main, event, event_free);
}

/* One callback per shape of event. */
static int on_lifecycle(virConnectPtr conn, virDomainPtr domain, int event, int detail,
                        void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
    return 0;
}

static void on_generic(virConnectPtr conn, virDomainPtr domain, void *context)
{
    post(context, EVENT_REBOOT, domain, 0);
}

static void on_device(virConnectPtr conn, virDomainPtr domain, const char *alias, void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_removal_failed(virConnectPtr conn, virDomainPtr domain, const char *alias,
                              void *context)
{
    post(context, EVENT_REMOVAL_FAILED, domain, 0);
}

static void on_tray(virConnectPtr conn, virDomainPtr domain, const char *alias, int reason,
                    void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_balloon(virConnectPtr conn, virDomainPtr domain, unsigned long long actual,
                       void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_metadata(virConnectPtr conn, virDomainPtr domain, int type, const char *uri,
                        void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_agent(virConnectPtr conn, virDomainPtr domain, int state, int reason, void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_io_error(virConnectPtr conn, virDomainPtr domain, const char *path,
                        const char *alias, int action, const char *reason, void *context)
{
    post(context, EVENT_CHANGED, domain, 0);
}

static void on_close(virConnectPtr conn, int reason, void *context)
{
    post(context, EVENT_LOST, NULL, reason);
}

static const struct {
    int id;
    virConnectDomainEventGenericCallback call;
    gboolean needed;
} callbacks[] = {
    {VIR_DOMAIN_EVENT_ID_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_lifecycle), TRUE},
    {VIR_DOMAIN_EVENT_ID_REBOOT, VIR_DOMAIN_EVENT_CALLBACK(on_generic), FALSE},
    {VIR_DOMAIN_EVENT_ID_DEVICE_ADDED, VIR_DOMAIN_EVENT_CALLBACK(on_device), FALSE},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVED, VIR_DOMAIN_EVENT_CALLBACK(on_device), FALSE},
    {VIR_DOMAIN_EVENT_ID_DEVICE_REMOVAL_FAILED, VIR_DOMAIN_EVENT_CALLBACK(on_removal_failed),
     FALSE},
    {VIR_DOMAIN_EVENT_ID_TRAY_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_tray), FALSE},
    {VIR_DOMAIN_EVENT_ID_BALLOON_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_balloon), FALSE},
    {VIR_DOMAIN_EVENT_ID_METADATA_CHANGE, VIR_DOMAIN_EVENT_CALLBACK(on_metadata), FALSE},
    {VIR_DOMAIN_EVENT_ID_AGENT_LIFECYCLE, VIR_DOMAIN_EVENT_CALLBACK(on_agent), FALSE},
    {VIR_DOMAIN_EVENT_ID_IO_ERROR_REASON, VIR_DOMAIN_EVENT_CALLBACK(on_io_error), FALSE},
};

gboolean bh_libvirt_events_register(BhLibvirtHost *self, virConnectPtr conn, guint generation)
{
    Context *context = g_new0(Context, 1);
    gboolean ok = TRUE;

    g_weak_ref_init(&context->host, self);
    context->generation = generation;
    context->refs = 1;
    for (gsize i = 0; ok && i < G_N_ELEMENTS(callbacks); i++) {
        g_atomic_int_inc(&context->refs);
        if (virConnectDomainEventRegisterAny(conn, NULL, callbacks[i].id, callbacks[i].call,
                                             context, context_unref) >= 0)
            continue;
        context_unref(context);
        ok = !callbacks[i].needed; /* an older or smaller driver: do without */
    }
    g_atomic_int_inc(&context->refs);
    if (ok && virConnectRegisterCloseCallback(conn, on_close, context, context_unref) < 0)
        context_unref(context);
    context_unref(context);
    return ok;
}

/* Each registered callback holds the connection, so they go first. Their ids are small numbers that
 * libvirt counts up from 0 on each connection; those not in use are refused, harmlessly. */
void bh_libvirt_disconnect(virConnectPtr conn)
{
    virConnectUnregisterCloseCallback(conn, on_close);
    for (int id = 0; id < (int)G_N_ELEMENTS(callbacks) + 1; id++)
        virConnectDomainEventDeregisterAny(conn, id);
    virConnectClose(conn);
}
