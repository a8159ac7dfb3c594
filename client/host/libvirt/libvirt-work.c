/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhWork and BhSnapshot: one operation's way to a worker thread and back. See libvirt-private.h. */
#include <string.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

#define LOG_LINES 12

void bh_snapshot_free(BhSnapshot *self)
{
    if (!self)
        return;
    bh_domain_free(self->config);
    bh_domain_free(self->live);
    g_free(self->log);
    g_free(self);
}

static BhDomain *read_xml(virDomainPtr domain, unsigned int flags)
{
    char *xml = virDomainGetXMLDesc(domain, flags);
    BhDomain *parsed = xml ? bh_domain_parse(xml, NULL) : NULL;

    free(xml);
    return parsed;
}

static gboolean ended_badly(const BhSnapshot *self)
{
    return self->state == VIR_DOMAIN_CRASHED ||
           (self->state == VIR_DOMAIN_SHUTOFF && (self->reason == VIR_DOMAIN_SHUTOFF_CRASHED ||
                                                  self->reason == VIR_DOMAIN_SHUTOFF_FAILED ||
                                                  self->reason == VIR_DOMAIN_SHUTOFF_DAEMON ||
                                                  self->reason == VIR_DOMAIN_SHUTOFF_UNKNOWN));
}

BhSnapshot *bh_snapshot_read(virDomainPtr domain)
{
    static guint64 last_number;
    g_autoptr(BhSnapshot) self = g_new0(BhSnapshot, 1);

    self->number = __atomic_add_fetch(&last_number, 1, __ATOMIC_SEQ_CST);
    if (virDomainGetUUIDString(domain, self->uuid) < 0)
        return NULL;
    if (virDomainGetState(domain, &self->state, &self->reason, 0) == 0)
        self->config = read_xml(domain, VIR_DOMAIN_XML_INACTIVE);
    if (!self->config) {
        const virError *why = virGetLastError();
        self->gone = why && why->code == VIR_ERR_NO_DOMAIN;
        return self->gone ? g_steal_pointer(&self) : NULL;
    }
    self->active = self->state != VIR_DOMAIN_SHUTOFF && self->state != VIR_DOMAIN_CRASHED;
    if (self->active)
        self->live = read_xml(domain, 0);
    else
        self->saved = bh_libvirt_is_saved(domain);
    if (ended_badly(self)) {
        virConnectPtr conn = virDomainGetConnect(domain);
        self->log = bh_libvirt_log_tail(conn, virDomainGetName(domain), LOG_LINES, TRUE);
    }
    return g_steal_pointer(&self);
}

/* On the main thread: these may be the last references to objects that live there. */
static void work_free(BhWork *work)
{
    if (work->data_free && work->data)
        work->data_free(work->data);
    bh_snapshot_free(work->snapshot);
    g_clear_object(&work->job);
    g_clear_object(&work->cancellable);
    g_clear_object(&work->task);
    g_clear_object(&work->machine);
    g_clear_object(&work->host);
    g_free(work);
}

static gboolean prepare(BhWork *work, GError **error)
{
    if (g_cancellable_set_error_if_cancelled(work->cancellable, error))
        return FALSE;
    work->conn = bh_libvirt_host_ref_connection(work->host);
    if (!work->conn) {
        g_propagate_error(error, bh_error_new(BH_ERROR_DISCONNECTED,
                                              _("It reconnects by itself; try again then."), NULL,
                                              _("There is no connection to the host.")));
        return FALSE;
    }
    if (!work->machine)
        return TRUE;
    work->domain = virDomainLookupByUUIDString(work->conn, work->uuid);
    if (!work->domain)
        bh_libvirt_set_error(error, _("The machine was not found on its host."));
    return work->domain != NULL;
}

static void on_worker(GTask *inner, gpointer source, gpointer task_data, GCancellable *cancellable)
{
    BhWork *work = task_data;
    GError *error = NULL;
    gboolean ok = prepare(work, &error) && work->run(work, &error);

    virResetLastError(); /* what a failing run left behind must not be taken for the snapshot's */
    if (work->domain)
        work->snapshot = bh_snapshot_read(work->domain);
    /* The handles go here: closing may talk to the host. */
    g_clear_pointer(&work->domain, virDomainFree);
    g_clear_pointer(&work->conn, virConnectClose);
    if (ok)
        g_task_return_boolean(inner, TRUE);
    else
        g_task_return_error(
            inner,
            error ? error : bh_error_new(BH_ERROR_FAILED, NULL, NULL, _("The operation failed.")));
}

static void default_done(BhWork *work, GError *error)
{
    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_boolean(work->task, TRUE);
}

static void on_main(GObject *source, GAsyncResult *result, gpointer data)
{
    BhWork *work = g_task_get_task_data(G_TASK(result));
    GError *error = NULL;

    g_task_propagate_boolean(G_TASK(result), &error);
    if (work->snapshot)
        bh_libvirt_host_take_snapshot(work->host, g_steal_pointer(&work->snapshot));
    (work->done ? work->done : default_done)(work, error);
    work_free(work);
}

void bh_work_start(BhLibvirtHost *host, BhLibvirtMachine *machine, BhJob *job, GTask *task,
                   BhWorkRun run, BhWorkDone done, gpointer data, GDestroyNotify data_free)
{
    BhWork *work = g_new0(BhWork, 1);
    GCancellable *cancellable = g_task_get_cancellable(task);

    work->host = g_object_ref(host);
    work->machine = machine ? g_object_ref(machine) : NULL;
    work->job = job ? g_object_ref(job) : NULL;
    work->cancellable = cancellable ? g_object_ref(cancellable) : NULL;
    work->task = task;
    work->run = run;
    work->done = done;
    work->data = data;
    work->data_free = data_free;
    if (machine)
        g_strlcpy(work->uuid, bh_machine_get_id(BH_MACHINE(machine)), sizeof work->uuid);
    /* No cancellable on the inner task: a worker that is under way ends by itself. No source and no
     * destroy function either: a GTask's last reference may be dropped on the worker. */
    g_autoptr(GTask) inner = g_task_new(NULL, NULL, on_main, NULL);
    g_task_set_task_data(inner, work, NULL);
    g_task_run_in_thread(inner, on_worker);
}
