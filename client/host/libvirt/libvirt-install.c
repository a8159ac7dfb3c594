/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The end of an installation. A machine made to install boots its medium until the guest first
 * powers itself off; then the medium is taken out and the disk comes first (why the boot order is
 * what it is meanwhile: domain-xml.c, append_disks).
 *
 * When the guest powers off with nothing written to the disk, the installation was given up rather
 * than finished, and the medium stays. A reboot ends it only where the CD is first in order: there
 * the guest's own reboot must come up from the disk.
 */
#include <sys/stat.h>

#include <glib/gi18n-lib.h>

#include "domain-xml.h"
#include "libvirt-private.h"
#include "xml-util.h"

/* A fresh qcow2 is 200 KiB; partition table and boot loader alone are more than this. */
#define WRITTEN_BYTES (4 << 20)

static gboolean disk_is_written(const BhDomain *domain)
{
    const BhDomainDisk *disk = bh_domain_first(domain, FALSE);
    struct stat info;

    if (!disk || !disk->path || stat(disk->path, &info) < 0)
        return TRUE; /* cannot tell: believe the guest */
    return (guint64)info.st_blocks * 512 > WRITTEN_BYTES;
}

static gboolean run_end(BhWork *work, GError **error)
{
    gboolean rebooted = GPOINTER_TO_INT(work->data);
    g_autofree char *xml = bh_libvirt_get_xml(work->domain, error);
    g_autoptr(BhDomain) domain = xml ? bh_domain_parse(xml, error) : NULL;

    if (!domain)
        return FALSE;
    if (!domain->installing || !disk_is_written(domain) || (rebooted && !domain->cdrom_first))
        return TRUE;
    g_autofree char *changed = bh_domain_end_install(xml, error);
    g_autoptr(virDomain) same =
        changed ? bh_libvirt_define(work->conn, changed,
                                    _("The installation medium could not be taken out."), error)
                : NULL;
    work->result = same != NULL;
    if (same && rebooted) {
        g_autofree char *drive = bh_domain_cdrom_xml(xml, NULL, NULL);
        virDomainUpdateDeviceFlags(work->domain, drive,
                                   VIR_DOMAIN_DEVICE_MODIFY_LIVE | VIR_DOMAIN_DEVICE_MODIFY_FORCE);
    }
    return same != NULL;
}

static void end_done(BhWork *work, GError *error)
{
    BhMachine *machine = BH_MACHINE(work->machine);

    if (error)
        bh_host_log(BH_HOST(work->host), BH_SEVERITY_WARNING, machine, bh_error_get_detail(error),
                    "%s", error->message);
    else if (work->result)
        bh_host_log(BH_HOST(work->host), BH_SEVERITY_INFO, machine, NULL,
                    _("“%s” is installed: the medium was taken out."),
                    bh_machine_get_name(machine));
    g_clear_error(&error);
    g_task_return_boolean(work->task, TRUE);
}

void bh_libvirt_machine_end_install(BhLibvirtMachine *self, gboolean rebooted)
{
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_ref_host(self);

    if (host)
        bh_work_start(host, self, NULL, g_task_new(self, NULL, NULL, NULL), run_end, end_done,
                      GINT_TO_POINTER(rebooted), NULL);
}
