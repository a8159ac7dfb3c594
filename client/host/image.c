/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bh_media_inspect: what is the file a user wants to make a machine from? Runs on a worker: our own
 * look at the bytes first (image-probe.c, iso.c), then qemu-img under limits or libosinfo.
 */
#include "image-private.h"
#include "os-private.h"

#include <bulkhead/error.h>
#include <glib/gi18n-lib.h>
#include <string.h>

/* A hostile image may ask for much of either; a real one needs a fraction. The address space is
 * mostly libraries and thread stacks. */
#define INSPECT_MS 10000
#define INSPECT_CPU_SECONDS 10
#define INSPECT_ADDRESS_SPACE (G_GUINT64_CONSTANT(2) << 30)

static const BhChildLimits inspect_limits = {
    .timeout_ms = INSPECT_MS,
    .cpu_seconds = INSPECT_CPU_SECONDS,
    .address_space = INSPECT_ADDRESS_SPACE,
};

void bh_media_info_free(BhMediaInfo *self)
{
    if (!self)
        return;
    g_free(self->path);
    g_free(self->format);
    g_free(self->os_id);
    g_free(self->os_name);
    g_free(self->suggested_name);
    g_free(self);
}

/* "Fedora-Workstation-Live_x86-64.iso" to "Fedora Workstation Live x86-64"; always a valid machine
 * name (see bh_machine_spec_validate). */
static char *name_from_path(const char *path)
{
    g_autofree char *name = g_filename_display_basename(path);
    char *dot = strrchr(name, '.');
    const char *end = NULL;

    if (dot && dot != name && strlen(dot) <= 6)
        *dot = '\0';
    for (char *p = name; *p; p++)
        if (*p == '_' || g_ascii_iscntrl(*p))
            *p = ' ';
    g_strstrip(name);
    if (strlen(name) > 100) {
        end = g_utf8_find_prev_char(name, name + 100);
        name[end ? end - name : 100] = '\0';
    }
    return *name ? g_steal_pointer(&name) : g_strdup(_("New machine"));
}

static void set_os(BhMediaInfo *info, const BhOs *os)
{
    if (!os || !os->id)
        return;
    info->os_id = g_strdup(os->id);
    info->os_name = g_strdup(os->name);
}

static gboolean inspect_iso(BhMediaInfo *info, const BhImageFile *file, GCancellable *cancellable,
                            GError **error)
{
    guint64 expected = bh_iso_expected_size(file->fd, file->head, file->head_length);
    g_autofree char *volume = bh_iso_volume_name(file->head, file->head_length);
    g_autoptr(BhOs) os = NULL;

    if (expected > file->size) {
        g_propagate_error(error, bh_image_truncated_error(info->path, file->size, expected));
        return FALSE;
    }
    info->kind = BH_MEDIA_ISO;
    info->format = g_strdup("iso");
    os = bh_os_identify_media(info->path, volume, cancellable);
    if (!os)
        os = bh_os_guess(info->suggested_name);
    set_os(info, os);
    return !g_cancellable_set_error_if_cancelled(cancellable, error);
}

/* Formats whose metadata qemu-img can verify. Without its lock (a running machine has the image)
 * the answer would be noise, so a busy image is not checked here. */
static gboolean check_consistency(const BhMediaInfo *info, GCancellable *cancellable,
                                  GError **error)
{
    const char *const argv[] = {"qemu-img", "check", "-f", info->format, info->path, NULL};
    g_auto(BhChildResult) result = {0};
    g_autoptr(GError) local = NULL;

    if (strcmp(info->format, "raw") == 0 || strcmp(info->format, "vpc") == 0)
        return TRUE;
    if (bh_qemu_img(argv, &inspect_limits, info->path, cancellable, &result, &local))
        return TRUE;
    /* Exit status 3: only leaked clusters, harmless. 63: the format knows no check. A large image
     * that takes longer than the limit is not thereby bad. */
    if (g_error_matches(local, BH_ERROR, BH_ERROR_BUSY) || result.timed_out ||
        (result.status >> 8) == 3 || (result.status >> 8) == 63)
        return TRUE;
    g_propagate_error(error, g_steal_pointer(&local));
    return FALSE;
}

static gboolean inspect_disk(BhMediaInfo *info, const BhImageFile *file, GCancellable *cancellable,
                             GError **error)
{
    const char *format = bh_image_detect_format(file, info->path, error);
    const char *const argv[] = {"qemu-img", "info", "--output=json", "-U",
                                "-f",       format, info->path,      NULL};
    g_auto(BhChildResult) result = {0};
    g_autoptr(BhOs) os = NULL;

    if (!format)
        return FALSE;
    if (!bh_qemu_img(argv, &inspect_limits, info->path, cancellable, &result, error))
        return FALSE;
    if (!bh_image_parse_info(result.output, (gssize)result.output_length, info, error))
        return FALSE;
    if (g_strcmp0(info->format, format) != 0) {
        g_propagate_error(error, bh_qemu_img_error(&result, info->path));
        return FALSE;
    }
    if (!check_consistency(info, cancellable, error))
        return FALSE;
    os = bh_os_guess(info->suggested_name);
    set_os(info, os);
    return TRUE;
}

BhMediaInfo *bh_media_inspect_sync(const char *path, BhJob *job, GCancellable *cancellable,
                                   GError **error)
{
    g_autoptr(BhMediaInfo) info = g_new0(BhMediaInfo, 1);
    g_auto(BhImageFile) file = {.fd = -1};
    gboolean good, iso;

    /* Absolute, so that no name can look like a protocol ("nbd:...") or option to qemu-img. */
    info->path = g_canonicalize_filename(path, NULL);
    bh_job_report_fraction(job, -1, _("Examining the file"));
    if (!bh_image_file_open(&file, info->path, error))
        return NULL;
    info->file_size = file.size;
    info->suggested_name = name_from_path(info->path);
    iso = bh_iso_parse_head(file.head, file.head_length, &info->bootable);
    good = iso ? inspect_iso(info, &file, cancellable, error)
               : inspect_disk(info, &file, cancellable, error);
    if (!good)
        return NULL;
    if (iso && info->os_name) {
        g_free(info->suggested_name);
        info->suggested_name = g_strdup(info->os_name);
    }
    return g_steal_pointer(&info);
}

static void inspect_worker(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    BhJob *job = g_object_get_data(G_OBJECT(task), "job");
    GError *error = NULL;
    BhMediaInfo *info = bh_media_inspect_sync(data, job, cancellable, &error);

    if (info)
        g_task_return_pointer(task, info, (GDestroyNotify)bh_media_info_free);
    else
        g_task_return_error(task, error);
}

void bh_media_inspect_async(const char *path, BhJob *job, GAsyncReadyCallback callback,
                            gpointer data)
{
    g_autoptr(GTask) task = g_task_new(NULL, bh_job_get_cancellable(job), callback, data);

    g_task_set_source_tag(task, bh_media_inspect_async);
    g_task_set_task_data(task, g_strdup(path), g_free);
    if (job)
        g_object_set_data_full(G_OBJECT(task), "job", g_object_ref(job), g_object_unref);
    g_task_run_in_thread(task, inspect_worker);
}

BhMediaInfo *bh_media_inspect_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_pointer(G_TASK(result), error);
}
