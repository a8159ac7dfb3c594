/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Making a machine, in three steps: decide everything and check what can be refused at once
 * (worker), prepare the disk (image.h: progress, cancel), define (worker). Whatever fails after the
 * disk was made takes the disk away again; a definition is the last thing that can fail.
 */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include <bulkhead/image.h>
#include <bulkhead/os.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>

#include "../image-private.h"
#include "domain-xml.h"
#include "libvirt-private.h"

#define DISK_NAME_MAX 40
#define SYSTEM_NVRAM "/var/lib/libvirt/qemu/nvram"

typedef struct {
    BhLibvirtHost *host; /* owned */
    BhMachineSpec *spec;
    BhJob *job;
    GTask *task;
    BhDomainPlan plan; /* borrows from below */
    char *uuid, *domain_name, *nvram, *disk_path, *disk_format;
    gboolean disk_made;
    BhCreationMark mark; /* while there is a disk and no definition yet */
    BhSnapshot *snapshot;
} Creation;

static void creation_free(gpointer data)
{
    Creation *self = data;
    g_object_unref(self->host);
    bh_creation_mark_clear(&self->mark);
    bh_machine_spec_free(self->spec);
    g_clear_object(&self->job);
    g_clear_object(&self->task);
    g_free(self->uuid);
    g_free(self->domain_name);
    g_free(self->nvram);
    g_free(self->disk_path);
    g_free(self->disk_format);
    bh_snapshot_free(self->snapshot);
    g_free(self);
}

/* Step 1. */

static gboolean check_resources(const Creation *self, const BhHostCaps *caps, GError **error)
{
    if (!bh_libvirt_check_memory(caps, self->spec->memory_mib, error))
        return FALSE;
    if ((self->spec->firmware == BH_FIRMWARE_EFI && !caps->efi) ||
        (self->spec->secure_boot && !caps->secure_boot)) {
        g_propagate_error(error, bh_error_new(BH_ERROR_NOT_SUPPORTED,
                                              _("Install the package “ovmf”, or choose BIOS."),
                                              NULL, _("This host has no such firmware.")));
        return FALSE;
    }
    return (!self->spec->tpm || bh_libvirt_check_tpm(caps, error)) &&
           bh_libvirt_check_medium(self->spec->cdrom, error);
}

/* Readable by people, unique by the UUID, and plain enough for any tool. */
static char *disk_file(const char *name, const char *uuid)
{
    GString *file = g_string_new(NULL);
    g_autofree char *ascii = g_str_to_ascii(name, "C");

    for (const char *p = ascii; *p && file->len < DISK_NAME_MAX; p++)
        if (g_ascii_isalnum(*p))
            g_string_append_c(file, g_ascii_tolower(*p));
        else if (file->len && file->str[file->len - 1] != '-')
            g_string_append_c(file, '-');
    if (file->len && file->str[file->len - 1] != '-')
        g_string_append_c(file, '-');
    g_string_append_printf(file, "%s.qcow2", uuid);
    return g_string_free(file, FALSE);
}

/* The QEMU of the system's libvirt is another user, who must be able to pass through every folder
 * on the way. A home usually does not let others in. */
static gboolean check_reachable(const Creation *self, const char *folder, GError **error)
{
    g_autofree char *path = g_strdup(folder);
    GStatBuf info;

    if (bh_libvirt_host_is_session(self->host))
        return TRUE;
    while (g_stat(path, &info) == 0 && info.st_mode & S_IXOTH) {
        char *parent = g_path_get_dirname(path);
        gboolean top = g_str_equal(parent, path);
        g_free(path);
        path = parent;
        if (top)
            return TRUE;
    }
    g_propagate_error(
        error, bh_error_new(BH_ERROR_PERMISSION,
                            _("Use qemu:///session, or run “chmod o+x” on that folder."), folder,
                            _("The system's QEMU could not reach a disk in your home: the "
                              "folder %s is closed to others."),
                            path));
    return FALSE;
}

static gboolean plan_disk(Creation *self, BhWork *work, GError **error)
{
    BhMachineSpec *spec = self->spec;
    BhDiskOrigin origin = spec->disk_origin;

    if (origin == BH_DISK_NONE)
        return TRUE;
    if (origin == BH_DISK_IN_PLACE) {
        g_autoptr(BhMediaInfo) info = NULL;
        if (!bh_libvirt_check_file(spec->disk_source, error))
            return FALSE;
        info = bh_media_inspect_sync(spec->disk_source, self->job, work->cancellable, error);
        if (!info)
            return FALSE;
        self->disk_path = g_strdup(spec->disk_source);
        self->disk_format = g_strdup(info->kind == BH_MEDIA_ISO ? "raw" : info->format);
        return TRUE;
    }
    g_autofree char *folder = bh_libvirt_folder(self->host, "disks", error);
    if (!folder || !check_reachable(self, folder, error))
        return FALSE;
    g_autofree char *file = disk_file(spec->name, self->uuid);
    self->disk_path = g_build_filename(folder, file, NULL);
    self->disk_format = g_strdup("qcow2");
    self->plan.disk_managed = TRUE;
    return bh_creation_mark_set(&self->mark, self->host, self->uuid, self->disk_path, error);
}

void bh_libvirt_resolve(BhMachineSpec *spec, const BhHostCaps *caps)
{
    g_autoptr(BhOs) os = bh_os_lookup(spec->os_id);

    if (spec->video == BH_VIDEO_AUTO)
        spec->video = os->qxl ? BH_VIDEO_QXL : os->virtio_video ? BH_VIDEO_VIRTIO : BH_VIDEO_VGA;
    if ((spec->video == BH_VIDEO_QXL && !(caps->qxl && caps->spice)) ||
        (spec->video == BH_VIDEO_VIRTIO && !caps->virtio_video))
        spec->video = BH_VIDEO_VGA;
    if (spec->disk_bus == BH_BUS_AUTO)
        spec->disk_bus = os->virtio_disk ? BH_BUS_VIRTIO : BH_BUS_SATA;
    if (spec->nic == BH_NIC_AUTO)
        spec->nic = os->virtio_net ? BH_NIC_VIRTIO : BH_NIC_E1000E;
}

/* The variables' file is named by UUID: libvirt's own choice, by name, could find what an older
 * machine of the same name left behind, and could not be found again after a renaming. */
static gboolean plan_nvram(Creation *self, GError **error)
{
    g_autofree char *folder = bh_libvirt_host_is_session(self->host)
                                  ? bh_libvirt_folder(self->host, "nvram", error)
                                  : g_strdup(SYSTEM_NVRAM); /* libvirt makes it */

    if (!folder)
        return FALSE;
    g_autofree char *path = g_strdup_printf("%s/%s.fd", folder, self->uuid);
    self->nvram = bh_domain_nvram_path(path, self->spec->secure_boot);
    return TRUE;
}

static gboolean run_plan(BhWork *work, GError **error)
{
    Creation *self = work->data;
    const BhHostCaps *caps = bh_libvirt_host_get_caps(self->host);

    bh_job_report_fraction(self->job, -1, _("Preparing"));
    if (!check_resources(self, caps, error) ||
        !bh_libvirt_check_name(work->conn, self->spec->name, NULL, error) ||
        !plan_disk(self, work, error))
        return FALSE;
    self->domain_name = bh_libvirt_free_name(work->conn, self->spec->name);
    bh_libvirt_name_max(work->conn, &self->plan.agent);
    bh_libvirt_resolve(self->spec, caps);
    if (self->spec->firmware == BH_FIRMWARE_EFI && !plan_nvram(self, error))
        return FALSE;
    self->plan.kvm = bh_libvirt_host_prove_kvm(self->host);
    self->plan.uuid = self->uuid;
    self->plan.emulator = caps->emulator;
    self->plan.max_cpus = caps->cpus;
    self->plan.spice = caps->spice;
    self->plan.network = caps->network;
    self->plan.domain_name = self->domain_name;
    self->plan.nvram = self->nvram;
    self->plan.disk_path = self->disk_path;
    self->plan.disk_format = self->disk_format;
    self->plan.disk_first = self->spec->disk_origin == BH_DISK_NEW;
    return TRUE;
}

/* Step 3. */

static gboolean define(BhWork *work, GError **error)
{
    Creation *self = work->data;
    g_autofree char *xml = bh_domain_xml(self->spec, &self->plan);

    /* Once more: making the disk may have taken long. */
    if (!bh_libvirt_check_name(work->conn, self->spec->name, NULL, error))
        return FALSE;
    g_autoptr(virDomain) domain =
        bh_libvirt_define(work->conn, xml, _("The machine could not be made."), error);
    if (domain)
        self->snapshot = bh_snapshot_read(domain);
    return domain != NULL;
}

static gboolean run_define(BhWork *work, GError **error)
{
    Creation *self = work->data;

    if (define(work, error))
        return TRUE;
    if (self->disk_made)
        unlink(self->disk_path);
    return FALSE;
}

static void define_done(BhWork *work, GError *error)
{
    Creation *self = work->data;
    BhLibvirtMachine *machine = NULL;

    if (error && self->disk_made)
        unlink(self->disk_path); /* also when the work never got to run; one quick call */
    if (!error && self->snapshot)
        machine = bh_libvirt_host_take_snapshot(self->host, g_steal_pointer(&self->snapshot));
    if (error)
        g_task_return_error(work->task, error);
    else if (machine)
        g_task_return_pointer(work->task, g_object_ref(machine), g_object_unref);
    else
        g_task_return_error(work->task,
                            bh_error_new(BH_ERROR_DISCONNECTED,
                                         _("It will appear when the connection is back."), NULL,
                                         _("The machine was made, then the connection was lost.")));
}

/* Step 2. */

static void define_start(Creation *self)
{
    GTask *task = g_steal_pointer(&self->task);
    bh_job_report_fraction(self->job, -1, _("Finishing"));
    bh_work_start(self->host, NULL, self->job, task, run_define, define_done, self, creation_free);
}

static void disk_done(GObject *source, GAsyncResult *result, gpointer data)
{
    Creation *self = data;
    GError *error = NULL;
    gboolean import = self->spec->disk_origin == BH_DISK_IMPORT;

    self->disk_made =
        import ? bh_image_import_finish(result, &error) : bh_image_create_finish(result, &error);
    if (self->disk_made) {
        define_start(self);
        return;
    }
    g_task_return_error(self->task, error);
    creation_free(self);
}

static void plan_done(BhWork *work, GError *error)
{
    Creation *self = g_steal_pointer(&work->data);
    BhMachineSpec *spec = self->spec;

    self->task = g_steal_pointer(&work->task);
    if (error) {
        g_task_return_error(self->task, error);
        creation_free(self);
    } else if (spec->disk_origin == BH_DISK_NEW) {
        bh_image_create_async(self->disk_path, spec->disk_bytes, self->job, disk_done, self);
    } else if (spec->disk_origin == BH_DISK_IMPORT) {
        bh_image_import_async(spec->disk_source, self->disk_path, spec->disk_bytes, self->job,
                              disk_done, self);
    } else {
        define_start(self);
    }
}

void bh_libvirt_create_machine(BhHost *host, const BhMachineSpec *spec, BhJob *job, GTask *task)
{
    Creation *self = g_new0(Creation, 1);

    self->host = BH_LIBVIRT_HOST(g_object_ref(host));
    self->spec = bh_machine_spec_copy(spec);
    bh_spec_clean(self->spec);
    self->job = job ? g_object_ref(job) : NULL;
    self->uuid = g_uuid_string_random();
    if (!(bh_host_get_features(host) & BH_FEATURE_CREATE)) {
        g_task_return_error(task, bh_error_new(BH_ERROR_NOT_SUPPORTED, NULL, NULL,
                                               _("Machines cannot be made on this host from "
                                                 "here.")));
        g_object_unref(task);
        creation_free(self);
        return;
    }
    bh_work_start(self->host, NULL, job, task, run_plan, plan_done, self, creation_free);
}
