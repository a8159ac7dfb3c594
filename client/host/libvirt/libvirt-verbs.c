/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What can be done to a whole machine: start, stop, pause, save. */
#include <string.h>

#include <glib/gi18n-lib.h>

#include "domain-xml.h"
#include "libvirt-private.h"

#define LOG_LINES 12
#define SAVE_WATCH_MS 200

static gboolean check(int result, GError **error, const char *what)
{
    if (result < 0)
        bh_libvirt_set_error(error, what);
    return result >= 0;
}

/* Start. */

/* A definition made for the other accelerator is switched, because what was proved about this
 * computer may have changed since (another kernel, other rights, a copied home). Machines that
 * Bulkhead did not make, and saved memory, stay as they are. */
static gboolean fit_accelerator(BhWork *work, GError **error)
{
    g_autofree char *xml = bh_libvirt_get_xml(work->domain, NULL);
    g_autoptr(BhDomain) domain = xml ? bh_domain_parse(xml, NULL) : NULL;
    gboolean is_kvm = domain && g_strcmp0(domain->type, "kvm") == 0;

    if (!domain || !domain->ours || (!is_kvm && g_strcmp0(domain->type, "qemu")))
        return TRUE;
    gboolean kvm = bh_libvirt_host_prove_kvm(work->host);
    if (kvm == is_kvm)
        return TRUE;
    g_autofree char *changed = bh_domain_set_kvm(xml, kvm, error);
    g_autoptr(virDomain) same =
        changed ? bh_libvirt_define(work->conn, changed,
                                    _("The machine could not be fitted to this computer."), error)
                : NULL;
    work->result = kvm ? 1 : 2;
    return same != NULL;
}

/* A name given while the machine ran lives in metadata only; now libvirt's can follow. A refusal
 * (the name is taken by now, snapshots, ...) does no harm: people still see the right name. */
static void fit_name(BhWork *work)
{
    g_autofree char *xml = bh_libvirt_get_xml(work->domain, NULL);
    g_autoptr(BhDomain) domain = xml ? bh_domain_parse(xml, NULL) : NULL;
    g_autofree char *name =
        domain && domain->renamed ? bh_libvirt_free_name(work->conn, domain->spec->name) : NULL;

    if (!name)
        return;
    if (bh_libvirt_rename(work->conn, work->uuid, name)) {
        g_autofree char *changed =
            bh_domain_change(xml, domain->spec, BH_SPEC_NAME, name, FALSE, NULL);
        g_autoptr(virDomain) same =
            changed ? bh_libvirt_define(work->conn, changed, "", NULL) : NULL;
    }
    virResetLastError();
    /* The handle remembers the old name. */
    virDomainPtr again = virDomainLookupByUUIDString(work->conn, work->uuid);
    if (again) {
        virDomainFree(work->domain);
        work->domain = again;
    }
}

/* Without a better reason, what cannot be resumed is the fault of what was saved. */
static void blame_saved(GError **error)
{
    if (!g_error_matches(*error, BH_ERROR, BH_ERROR_FAILED))
        return;
    GError *new_error =
        bh_error_new(BH_ERROR_INVALID, _("Discard the saved state to start afresh."),
                     bh_error_get_detail(*error),
                     _("The saved machine could not be resumed: what was saved is "
                       "damaged or does not fit any more."));
    g_error_free(*error);
    *error = new_error;
}

static gboolean run_start(BhWork *work, GError **error)
{
    gboolean saved = bh_libvirt_is_saved(work->domain);

    if (saved && !bh_libvirt_check_saved(work->domain, error))
        return FALSE;
    if (!saved) {
        fit_name(work);
        if (!fit_accelerator(work, error))
            return FALSE;
    }
    if (virDomainCreate(work->domain) == 0) {
        /* libvirt removed it; were it back after a power cut, its memory would meet a newer disk.
         */
        if (saved)
            bh_libvirt_save_sync(work->domain);
        return TRUE;
    }
    bh_libvirt_set_error(error, saved ? _("The saved machine could not be resumed.")
                                      : _("The machine could not be started."));
    if (saved)
        blame_saved(error);
    g_autofree char *log =
        bh_libvirt_log_tail(work->conn, virDomainGetName(work->domain), LOG_LINES, TRUE);
    bh_libvirt_add_detail(error, log);
    return FALSE;
}

static void start_done(BhWork *work, GError *error)
{
    BhMachine *machine = BH_MACHINE(work->machine);

    bh_libvirt_machine_set_doing(work->machine, BH_STATE_OFF);
    if (work->result)
        bh_host_log(BH_HOST(work->host), BH_SEVERITY_INFO, machine, NULL,
                    work->result == 1 ? _("“%s” uses hardware acceleration from now on.")
                                      : _("“%s” runs without hardware acceleration from now on."),
                    bh_machine_get_name(machine));
    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_boolean(work->task, TRUE);
}

/* Save. */

typedef struct {
    virDomainPtr domain;
    BhJob *job;
    GCancellable *cancellable;
    GMutex lock;
    GCond cond;
    gboolean finished; /* lock */
    gboolean aborted;
} SaveWatch;

/* Beside the call that saves and does not return until it is done: progress out, cancel in. */
static gpointer watch_save(gpointer data)
{
    SaveWatch *watch = data;

    g_mutex_lock(&watch->lock);
    while (!watch->finished) {
        virDomainJobInfo info;
        gint64 until = g_get_monotonic_time() + SAVE_WATCH_MS * 1000;
        g_cond_wait_until(&watch->cond, &watch->lock, until);
        if (watch->finished)
            break;
        g_mutex_unlock(&watch->lock);
        if (g_cancellable_is_cancelled(watch->cancellable) && virDomainAbortJob(watch->domain) == 0)
            watch->aborted = TRUE;
        if (virDomainGetJobInfo(watch->domain, &info) == 0 && info.dataTotal)
            bh_job_report_bytes(watch->job, info.dataProcessed, info.dataTotal);
        g_mutex_lock(&watch->lock);
    }
    g_mutex_unlock(&watch->lock);
    return NULL;
}

static gboolean run_save(BhWork *work, GError **error)
{
    SaveWatch watch = {work->domain, work->job, work->cancellable};

    g_mutex_init(&watch.lock);
    g_cond_init(&watch.cond);
    GThread *thread = g_thread_new("save-watch", watch_save, &watch);
    int result = virDomainManagedSave(work->domain, 0);
    if (result < 0)
        bh_libvirt_set_error(error, _("The machine could not be saved. It goes on running."));
    g_mutex_lock(&watch.lock);
    watch.finished = TRUE;
    g_cond_signal(&watch.cond);
    g_mutex_unlock(&watch.lock);
    g_thread_join(thread);
    g_mutex_clear(&watch.lock);
    g_cond_clear(&watch.cond);
    if (result == 0)
        bh_libvirt_save_sync(work->domain);
    if (result < 0 && watch.aborted) {
        g_clear_error(error);
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_CANCELLED, "%s", _("Saving was cancelled."));
    }
    return result == 0;
}

static void doing_done(BhWork *work, GError *error)
{
    if (error)
        bh_libvirt_machine_set_asked_off(work->machine, FALSE);
    bh_libvirt_machine_set_doing(work->machine, BH_STATE_OFF);
    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_boolean(work->task, TRUE);
}

/* The short ones. */

static gboolean run_shutdown(BhWork *work, GError **error)
{
    return check(virDomainShutdownFlags(work->domain, VIR_DOMAIN_SHUTDOWN_ACPI_POWER_BTN), error,
                 _("The machine could not be asked to shut down."));
}

static gboolean run_reset(BhWork *work, GError **error)
{
    return check(virDomainReset(work->domain, 0), error, _("The machine could not be reset."));
}

static gboolean run_reboot(BhWork *work, GError **error)
{
    if (virDomainReboot(work->domain, 0) == 0)
        return TRUE;
    const virError *why = virGetLastError();
    if (why && (why->code == VIR_ERR_NO_SUPPORT || why->code == VIR_ERR_OPERATION_UNSUPPORTED))
        return run_reset(work, error);
    bh_libvirt_set_error(error, _("The machine could not be rebooted."));
    return FALSE;
}

static gboolean run_force_off(BhWork *work, GError **error)
{
    if (virDomainDestroy(work->domain) == 0 || virDomainIsActive(work->domain) == 0)
        return TRUE; /* it went off meanwhile: as wanted */
    bh_libvirt_set_error(error, _("The machine could not be forced off."));
    return FALSE;
}

static gboolean run_pause(BhWork *work, GError **error)
{
    return check(virDomainSuspend(work->domain), error, _("The machine could not be paused."));
}

static gboolean run_resume(BhWork *work, GError **error)
{
    int state = VIR_DOMAIN_PAUSED;
    int result = virDomainGetState(work->domain, &state, NULL, 0);

    if (result == 0)
        result = state == VIR_DOMAIN_PMSUSPENDED ? virDomainPMWakeup(work->domain, 0)
                                                 : virDomainResume(work->domain);
    return check(result, error, _("The machine could not be resumed."));
}

static gboolean run_discard(BhWork *work, GError **error)
{
    int result = virDomainManagedSaveRemove(work->domain, 0);

    if (result == 0)
        bh_libvirt_save_sync(work->domain);
    return check(result, error, _("The saved state could not be discarded."));
}

static const struct {
    BhWorkRun run;
    BhState doing; /* OFF: nothing to show meanwhile */
    BhWorkDone done;
    gboolean asks_off;
} verbs[BH_N_VERBS] = {
    [BH_VERB_START] = {run_start, BH_STATE_STARTING, start_done, FALSE},
    [BH_VERB_SHUTDOWN] = {run_shutdown, BH_STATE_STOPPING, NULL, TRUE},
    [BH_VERB_REBOOT] = {run_reboot, BH_STATE_OFF, NULL, FALSE},
    [BH_VERB_RESET] = {run_reset, BH_STATE_OFF, NULL, FALSE},
    [BH_VERB_FORCE_OFF] = {run_force_off, BH_STATE_OFF, NULL, TRUE},
    [BH_VERB_PAUSE] = {run_pause, BH_STATE_OFF, NULL, FALSE},
    [BH_VERB_RESUME] = {run_resume, BH_STATE_OFF, NULL, FALSE},
    [BH_VERB_SAVE] = {run_save, BH_STATE_SAVING, doing_done, TRUE},
    [BH_VERB_DISCARD_SAVE] = {run_discard, BH_STATE_OFF, NULL, FALSE},
};

/* Asked for, and refused or failed: then it is not on its way off. */
static void asked_off_done(BhWork *work, GError *error)
{
    if (error) {
        doing_done(work, error);
    } else {
        g_task_return_boolean(work->task, TRUE);
    }
}

void bh_libvirt_machine_act(BhMachine *machine, BhVerb verb, BhJob *job, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);
    BhWorkDone done = verbs[verb].done;

    if (!host)
        return;
    if (!done && verbs[verb].asks_off)
        done = asked_off_done;
    if (verbs[verb].asks_off || verb == BH_VERB_START)
        bh_libvirt_machine_set_asked_off(self, verbs[verb].asks_off);
    if (verb == BH_VERB_RESET)
        bh_libvirt_machine_expect_reset(self);
    if (verbs[verb].doing != BH_STATE_OFF)
        bh_libvirt_machine_set_doing(self, verbs[verb].doing);
    bh_work_start(host, self, job, task, verbs[verb].run, done, NULL, NULL);
}
