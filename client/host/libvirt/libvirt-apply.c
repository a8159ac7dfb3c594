/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Changing a machine. Everything is checked first; then the medium, the one live change that must
 * not fail, is changed; then the stored definition is replaced at once. CPUs and memory follow live
 * as far as the guest lets them, and otherwise wait for a restart, which is no failure.
 *
 * Names: a machine that is off is renamed in libvirt as well. One that is on, or saved, cannot be;
 * then only the name that people see changes (in our metadata), and libvirt's follows at the next
 * start (libvirt-verbs.c). Both are searched when a new name is checked.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "domain-xml.h"
#include "libvirt-private.h"

typedef struct {
    BhMachineSpec *wanted;
    BhSpecFields fields;
} Change;

static void change_free(gpointer data)
{
    Change *change = data;
    bh_machine_spec_free(change->wanted);
    g_free(change);
}

static gboolean refuse(GError **error, BhErrorCode code, const char *hint, const char *message)
{
    g_propagate_error(error, bh_error_new(code, hint, NULL, "%s", message));
    return FALSE;
}

static gboolean check(BhWork *work, const BhDomain *config, BhSpecFields fields, GError **error)
{
    const BhMachineSpec *wanted = ((Change *)work->data)->wanted;
    const BhHostCaps *caps = bh_libvirt_host_get_caps(work->host);

    if (fields & BH_SPEC_NAME &&
        !bh_libvirt_check_name(work->conn, wanted->name, work->uuid, error))
        return FALSE;
    if (fields & BH_SPEC_MEMORY && !bh_libvirt_check_memory(caps, wanted->memory_mib, error))
        return FALSE;
    if (fields & BH_SPEC_TPM && wanted->tpm && !bh_libvirt_check_tpm(caps, error))
        return FALSE;
    if (fields & BH_SPEC_SECURE_BOOT && config->spec->firmware != BH_FIRMWARE_EFI)
        return refuse(error, BH_ERROR_INVALID, NULL, _("Secure Boot needs EFI firmware."));
    if (fields & BH_SPEC_SECURE_BOOT && wanted->secure_boot && !caps->secure_boot)
        return refuse(error, BH_ERROR_NOT_SUPPORTED, _("Install the package “ovmf”."),
                      _("This host has no firmware with Secure Boot."));
    return !(fields & BH_SPEC_CDROM) || !bh_libvirt_host_is_local(work->host) ||
           bh_libvirt_check_medium(wanted->cdrom, error);
}

/* Changes the medium of the running machine. Not by force: a guest that locked the drive is using
 * the medium, and would lose what it is doing with it. */
static gboolean change_medium(BhWork *work, const char *live_xml, const char *path, GError **error)
{
    g_autofree char *drive = bh_domain_cdrom_xml(live_xml, path, error);

    if (!drive)
        return FALSE;
    if (virDomainUpdateDeviceFlags(work->domain, drive, VIR_DOMAIN_DEVICE_MODIFY_LIVE) == 0)
        return TRUE;
    bh_libvirt_set_error(error, path ? _("The medium could not be inserted.")
                                     : _("The medium could not be ejected."));
    return FALSE;
}

/* The machine's domain name after the change: libvirt's is changed here when it can be. */
static char *take_name(BhWork *work, const BhDomain *config, BhSpecFields fields, gboolean *late)
{
    g_autofree char *name = NULL;

    *late = FALSE;
    if (!(fields & BH_SPEC_NAME))
        return g_strdup(config->name);
    name = bh_libvirt_free_name(work->conn, ((Change *)work->data)->wanted->name);
    if (bh_libvirt_rename(work->conn, work->uuid, name))
        return g_steal_pointer(&name);
    *late = TRUE;
    return g_strdup(config->name);
}

static gboolean store(BhWork *work, const BhDomain *config, BhSpecFields fields, GError **error)
{
    Change *change = work->data;
    gboolean late;
    g_autofree char *name = take_name(work, config, fields, &late);
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(work->conn, work->uuid);
    g_autofree char *xml = domain ? bh_libvirt_get_xml(domain, error) : NULL;
    g_autofree char *changed =
        xml ? bh_domain_change(xml, change->wanted, fields, name, late, error) : NULL;
    g_autoptr(virDomain) stored = NULL;

    if (!domain)
        bh_libvirt_set_error(error, _("The machine was not found on its host."));
    if (changed)
        stored =
            bh_libvirt_define(work->conn, changed, _("The change could not be stored."), error);
    if (!stored && !g_str_equal(name, config->name))
        bh_libvirt_rename(work->conn, work->uuid, config->name);
    return stored != NULL;
}

/* Whatever the running guest takes; libvirt's refusals leave it for the next start. */
static void follow_live(BhWork *work, const BhDomain *live, BhSpecFields fields)
{
    const BhMachineSpec *wanted = ((Change *)work->data)->wanted;

    if (fields & BH_SPEC_CPUS && wanted->cpus <= live->max_cpus && wanted->cpus != live->spec->cpus)
        virDomainSetVcpusFlags(work->domain, wanted->cpus, VIR_DOMAIN_VCPU_LIVE);
    if (fields & BH_SPEC_MEMORY && wanted->memory_mib <= live->max_memory_mib)
        virDomainSetMemoryFlags(work->domain, (unsigned long)wanted->memory_mib << 10,
                                VIR_DOMAIN_MEM_LIVE);
    virResetLastError();
}

static gboolean run_apply(BhWork *work, GError **error)
{
    Change *change = work->data;
    g_autofree char *xml = bh_libvirt_get_xml(work->domain, error);
    g_autoptr(BhDomain) config = xml ? bh_domain_parse(xml, error) : NULL;
    char *raw = virDomainIsActive(work->domain) == 1 ? virDomainGetXMLDesc(work->domain, 0) : NULL;
    g_autofree char *live_xml = g_strdup(raw);
    g_autoptr(BhDomain) live = live_xml ? bh_domain_parse(live_xml, NULL) : NULL;

    free(raw);
    if (!config)
        return FALSE;
    BhSpecFields differ = bh_machine_spec_diff(config->spec, change->wanted);
    gboolean medium = change->fields & BH_SPEC_CDROM && live &&
                      g_strcmp0(live->spec->cdrom, change->wanted->cdrom);
    BhSpecFields fields = change->fields & (medium ? differ | BH_SPEC_CDROM : differ);
    if (!fields)
        return TRUE;
    bh_libvirt_resolve(change->wanted, bh_libvirt_host_get_caps(work->host));
    if (!check(work, config, fields, error))
        return FALSE;
    if (medium && !change_medium(work, live_xml, change->wanted->cdrom, error))
        return FALSE;
    if (!store(work, config, fields, error)) {
        if (medium)
            change_medium(work, live_xml, live->spec->cdrom, NULL);
        return FALSE;
    }
    if (live)
        follow_live(work, live, fields);
    return TRUE;
}

static void apply_done(BhWork *work, GError *error)
{
    Change *change = work->data;

    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_int(work->task, bh_machine_get_restart_pending(BH_MACHINE(work->machine)) &
                                          change->fields);
}

void bh_libvirt_machine_apply(BhMachine *machine, const BhMachineSpec *wanted, BhSpecFields fields,
                              BhJob *job, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);
    Change *change = g_new0(Change, 1);

    change->wanted = bh_machine_spec_copy(wanted);
    change->fields = fields;
    bh_spec_clean(change->wanted);
    if (host)
        bh_work_start(host, self, job, task, run_apply, apply_done, change, change_free);
    else
        change_free(change);
}
