/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Deleting a machine, having it back, removing it for good.
 *
 * Deleting writes a record first and undefines then; EFI variables, TPM state and disks stay where
 * they are. Saved memory is kept by a second name (hard link), because libvirt removes it or
 * refuses. Each step leaves a state that the next start understands (bh_deleted_records_read).
 */
#include "libvirt-deleted.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

static void pass_error(GTask *task, BhErrorCode code, const char *hint, const char *message)
{
    g_task_return_error(task, bh_error_new(code, hint, NULL, "%s", message));
    g_object_unref(task);
}

/* Puts path's content also at target, which may exist from an earlier, interrupted try. */
static gboolean link_again(const char *path, const char *target)
{
    unlink(target);
    return link(path, target) == 0;
}

static gboolean keep_saved(BhWork *work, BhDeletedRecord *record, GError **error)
{
    g_autofree char *path = bh_libvirt_save_path(work->conn, virDomainGetName(work->domain));
    g_autofree char *copy = bh_deleted_save_file(work->host, record->uuid);

    if (!bh_libvirt_is_saved(work->domain))
        return TRUE;
    if (copy && link_again(path, copy)) {
        record->save_path = g_steal_pointer(&path);
        return TRUE;
    }
    g_propagate_error(error,
                      bh_error_new(BH_ERROR_BUSY, _("Discard the saved state, then delete it."),
                                   g_strerror(errno),
                                   _("Its saved memory cannot be kept, so it was not deleted.")));
    return FALSE;
}

static BhDeletedRecord *make_record(BhWork *work, GError **error)
{
    g_autofree char *xml = bh_libvirt_get_xml(work->domain, error);
    g_autoptr(BhDomain) domain = xml ? bh_domain_parse(xml, error) : NULL;

    if (!domain)
        return NULL;
    BhDeletedRecord *record = g_new0(BhDeletedRecord, 1);
    record->disks = g_ptr_array_new_with_free_func(g_free);
    record->uuid = g_strdup(work->uuid);
    record->name = g_strdup(domain->spec->name);
    record->uri = g_strdup(bh_host_get_uri(BH_HOST(work->host)));
    record->time = g_get_real_time() / G_USEC_PER_SEC;
    record->xml = g_steal_pointer(&xml);
    for (guint i = 0; i < domain->disks->len; i++) {
        const BhDomainDisk *disk = domain->disks->pdata[i];
        if (disk->managed && !disk->cdrom)
            g_ptr_array_add(record->disks, g_strdup(disk->path));
    }
    return record;
}

static gboolean run_remove(BhWork *work, GError **error)
{
    g_autoptr(BhDeletedRecord) record = NULL;
    unsigned int flags = VIR_DOMAIN_UNDEFINE_KEEP_NVRAM | VIR_DOMAIN_UNDEFINE_KEEP_TPM;

    if (virDomainIsActive(work->domain) != 0) {
        g_propagate_error(error, bh_error_new(BH_ERROR_BUSY, _("Shut it down first."), NULL,
                                              _("The machine is running.")));
        return FALSE;
    }
    if (virDomainSnapshotNum(work->domain, 0) > 0) {
        g_propagate_error(error, bh_error_new(BH_ERROR_BUSY,
                                              _("Delete its snapshots first (virsh can)."), NULL,
                                              _("The machine has snapshots, which could not be had "
                                                "back.")));
        return FALSE;
    }
    record = make_record(work, error);
    if (!record || !keep_saved(work, record, error))
        return FALSE;
    if (!bh_deleted_record_write(work->host, record, error)) {
        bh_deleted_record_drop(work->host, record->uuid);
        return FALSE;
    }
    if (record->save_path)
        flags |= VIR_DOMAIN_UNDEFINE_MANAGED_SAVE;
    if (virDomainUndefineFlags(work->domain, flags) == 0) {
        bh_libvirt_sync_config(work->conn);
        work->result = record->time;
        return TRUE;
    }
    bh_libvirt_set_error(error, _("The machine could not be deleted."));
    bh_deleted_record_drop(work->host, record->uuid);
    return FALSE;
}

static void remove_done(BhWork *work, GError *error)
{
    BhHost *host = BH_HOST(work->host);
    const char *name = bh_machine_get_name(BH_MACHINE(work->machine));

    if (error) {
        g_task_return_error(work->task, error);
        return;
    }
    bh_host_remove_machine(host, BH_MACHINE(work->machine));
    BhDeleted *deleted = bh_deleted_new(host, work->uuid, name, work->result);
    bh_host_add_deleted(host, deleted);
    bh_host_log(host, BH_SEVERITY_INFO, BH_MACHINE(work->machine), NULL, _("“%s” was deleted."),
                name);
    g_task_return_pointer(work->task, deleted, g_object_unref);
}

void bh_libvirt_machine_remove(BhMachine *machine, BhJob *job, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);

    if (!host)
        return;
    if (bh_libvirt_host_is_local(host))
        bh_work_start(host, self, job, task, run_remove, remove_done, NULL, NULL);
    else
        pass_error(task, BH_ERROR_NOT_SUPPORTED, _("Delete it on its own computer."),
                   _("Machines of another computer cannot be deleted from here."));
}

/* Restore and purge: work->data is the BhDeleted. */

static gboolean run_restore(BhWork *work, GError **error)
{
    const char *uuid = bh_deleted_get_id(work->data);
    g_autoptr(BhDeletedRecord) record = bh_deleted_record_load(work->host, uuid, error);

    if (!record || !bh_libvirt_check_name(work->conn, record->name, uuid, error))
        return FALSE;
    record->restoring = TRUE;
    if (record->save_path && !bh_deleted_record_write(work->host, record, error))
        return FALSE;
    g_autoptr(virDomain) domain =
        bh_libvirt_define(work->conn, record->xml, _("The machine could not be had back."), error);
    if (!domain)
        return FALSE;
    bh_deleted_give_back_saved(work->host, record);
    work->snapshot = bh_snapshot_read(domain);
    bh_deleted_record_drop(work->host, uuid);
    return TRUE;
}

static void restore_done(BhWork *work, GError *error)
{
    BhHost *host = BH_HOST(work->host);
    BhDeleted *deleted = work->data;
    BhMachine *machine = bh_host_find_machine(host, bh_deleted_get_id(deleted));

    if (error) {
        g_task_return_error(work->task, error);
        return;
    }
    bh_host_remove_deleted(host, deleted);
    bh_host_log(host, BH_SEVERITY_INFO, machine, NULL, _("“%s” is back."),
                bh_deleted_get_name(deleted));
    g_task_return_boolean(work->task, TRUE);
}

static gboolean run_purge(BhWork *work, GError **error)
{
    const char *uuid = bh_deleted_get_id(work->data);
    g_autoptr(BhDeletedRecord) record = bh_deleted_record_load(work->host, uuid, error);

    return record && bh_deleted_record_purge(work->host, work->conn, record, error);
}

static void purge_done(BhWork *work, GError *error)
{
    BhHost *host = BH_HOST(work->host);

    if (error) {
        g_task_return_error(work->task, error);
        return;
    }
    bh_host_remove_deleted(host, work->data);
    bh_host_log(host, BH_SEVERITY_INFO, NULL, NULL, _("“%s” was removed for good."),
                bh_deleted_get_name(work->data));
    g_task_return_boolean(work->task, TRUE);
}

void bh_libvirt_restore_deleted(BhHost *host, BhDeleted *deleted, GTask *task)
{
    bh_work_start(BH_LIBVIRT_HOST(host), NULL, NULL, task, run_restore, restore_done,
                  g_object_ref(deleted), g_object_unref);
}

void bh_libvirt_purge_deleted(BhHost *host, BhDeleted *deleted, GTask *task)
{
    bh_work_start(BH_LIBVIRT_HOST(host), NULL, NULL, task, run_purge, purge_done,
                  g_object_ref(deleted), g_object_unref);
}
