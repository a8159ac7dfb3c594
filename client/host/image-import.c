/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * bh_image_import and bh_image_create: qemu-img writes a temporary file beside the target, which
 * gets its name only when it is complete and on disk. Everything runs on a worker.
 */
#include "image-private.h"

#include <bulkhead/error.h>
#include <errno.h>
#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <string.h>
#include <sys/statvfs.h>

#define MAX_VIRTUAL_SIZE (G_GUINT64_CONSTANT(64) << 40)
#define MIN_VIRTUAL_SIZE (G_GUINT64_CONSTANT(1) << 20)
#define SECTOR 512
#define SMALL_MS 30000
#define COPY_ADDRESS_SPACE (G_GUINT64_CONSTANT(8) << 30)

static const BhChildLimits small_limits = {.timeout_ms = SMALL_MS,
                                           .address_space = COPY_ADDRESS_SPACE};

typedef struct {
    char *source; /* NULL: an empty image */
    char *target;
    guint64 virtual_size;
    BhJob *job;
} Request;

static void request_free(Request *self)
{
    g_free(self->source);
    g_free(self->target);
    g_clear_object(&self->job);
    g_free(self);
}

static GError *space_error(const char *folder, guint64 needed, guint64 available,
                           const char *detail)
{
    g_autofree char *shown = g_filename_display_name(folder);
    g_autofree char *need = g_format_size_full(needed, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *have = g_format_size_full(available, G_FORMAT_SIZE_IEC_UNITS);

    return bh_error_new(BH_ERROR_NO_SPACE, _("Free some space, or choose another folder."), detail,
                        _("There is too little space in “%s”: %s needed, %s free."), shown, need,
                        have);
}

/* FALSE when the file system does not tell. */
static gboolean get_free_space(const char *folder, guint64 *bytes)
{
    struct statvfs fs;

    if (statvfs(folder, &fs) != 0 || fs.f_blocks == 0)
        return FALSE;
    *bytes = (guint64)fs.f_bavail * fs.f_frsize;
    return TRUE;
}

/* What the copy will take up, as qemu-img counts it; an estimate where it cannot. */
static gboolean measure(const BhMediaInfo *info, GCancellable *cancellable, guint64 *required,
                        GError **error)
{
    const char *const argv[] = {"qemu-img",   "measure", "--output=json", "-U",       "-f",
                                info->format, "-O",      "qcow2",         info->path, NULL};
    g_auto(BhChildResult) result = {0};
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    g_autoptr(GError) local = NULL;
    JsonNode *root, *node = NULL;

    *required = MIN(info->virtual_size, info->file_size);
    if (!bh_qemu_img(argv, &small_limits, info->path, cancellable, &result, &local)) {
        if (!g_error_matches(local, G_IO_ERROR, G_IO_ERROR_CANCELLED))
            return TRUE;
        g_propagate_error(error, g_steal_pointer(&local));
        return FALSE;
    }
    if (!json_parser_load_from_data(parser, result.output, (gssize)result.output_length, NULL))
        return TRUE;
    root = json_parser_get_root(parser);
    if (root && JSON_NODE_HOLDS_OBJECT(root))
        node = json_object_get_member(json_node_get_object(root), "required");
    if (node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_int(node) > 0)
        *required = (guint64)json_node_get_int(node);
    return TRUE;
}

typedef struct {
    BhJob *job;
    guint64 total;
    char tail[64]; /* the end of what was printed so far: a figure may come in two pieces */
    gsize length;
} Progress;

/* "    (12.34/100%)\r" */
static void on_progress(const char *text, gsize length, gpointer data)
{
    Progress *self = data;

    for (gsize i = 0; i < length; i++) {
        if (text[i] == '(') {
            self->length = 0;
        } else if (text[i] == '/') {
            self->tail[self->length] = '\0';
            double percent = CLAMP(g_ascii_strtod(self->tail, NULL), 0, 100);
            bh_job_report_bytes(self->job, (guint64)((double)self->total * percent / 100),
                                self->total);
            self->length = 0;
        } else if (self->length + 1 < sizeof self->tail) {
            self->tail[self->length++] = text[i];
        }
    }
}

/* Turns "disk full" into one with figures. */
static gboolean fail_copy(GError *local, const char *folder, guint64 required, GError **error)
{
    guint64 available = 0;

    if (g_error_matches(local, BH_ERROR, BH_ERROR_NO_SPACE) && get_free_space(folder, &available)) {
        g_propagate_error(error,
                          space_error(folder, required, available, bh_error_get_detail(local)));
        g_error_free(local);
    } else {
        g_propagate_error(error, local);
    }
    return FALSE;
}

static gboolean convert(const BhMediaInfo *info, const BhPartFile *part, guint64 required,
                        BhJob *job, GCancellable *cancellable, GError **error)
{
    Progress progress = {.job = job, .total = required};
    BhChildLimits limits = {.address_space = COPY_ADDRESS_SPACE, /* no time limit: cancel it */
                            .on_output = on_progress,
                            .data = &progress};
    const char *const argv[] = {"qemu-img", "convert", "-p",       "-W",       "-f", info->format,
                                "-O",       "qcow2",   info->path, part->path, NULL};
    g_auto(BhChildResult) result = {0};
    GError *local = NULL;
    g_autofree char *folder = g_path_get_dirname(part->path);

    if (bh_qemu_img(argv, &limits, info->path, cancellable, &result, &local))
        return TRUE;
    return fail_copy(local, folder, required, error);
}

static gboolean resize(const BhPartFile *part, guint64 size, const char *target,
                       GCancellable *cancellable, GError **error)
{
    g_autofree char *bytes = g_strdup_printf("%" G_GUINT64_FORMAT, size);
    const char *const argv[] = {"qemu-img", "resize", "-q", "-f", "qcow2", part->path, bytes, NULL};
    g_auto(BhChildResult) result = {0};

    return bh_qemu_img(argv, &small_limits, target, cancellable, &result, error);
}

static GError *size_error(guint64 wanted, guint64 have)
{
    g_autofree char *less = g_format_size_full(wanted, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *more = g_format_size_full(have, G_FORMAT_SIZE_IEC_UNITS);

    return bh_error_new(BH_ERROR_INVALID, _("Choose at least the size of the image."), NULL,
                        _("The disk cannot be made smaller (%s) than the image (%s)."), less, more);
}

/* What can be refused before anything is written. */
static GError *check_request(const Request *request, const BhMediaInfo *info)
{
    g_autofree char *name = g_filename_display_basename(request->target);

    if (g_file_test(request->target, G_FILE_TEST_EXISTS) ||
        g_file_test(request->target, G_FILE_TEST_IS_SYMLINK))
        return bh_error_new(BH_ERROR_EXISTS, _("Choose another name."), request->target,
                            _("There is already a file “%s”."), name);
    if (request->virtual_size > MAX_VIRTUAL_SIZE)
        return bh_error_new(BH_ERROR_INVALID, NULL, NULL, _("The disk would be too large."));
    if (!info)
        return request->virtual_size >= MIN_VIRTUAL_SIZE
                   ? NULL
                   : bh_error_new(BH_ERROR_INVALID, NULL, NULL, _("The disk would be too small."));
    if (info->kind != BH_MEDIA_DISK)
        return bh_error_new(BH_ERROR_INVALID, _("Insert it as a CD instead."), NULL,
                            _("“%s” is an ISO file, not a disk."), info->suggested_name);
    if (request->virtual_size > 0 && request->virtual_size < info->virtual_size)
        return size_error(request->virtual_size, info->virtual_size);
    return NULL;
}

static gboolean import_to(const Request *request, const BhMediaInfo *info, const char *folder,
                          GCancellable *cancellable, GError **error)
{
    g_auto(BhPartFile) part = {.fd = -1};
    guint64 required = 0, available = 0;
    guint64 size = (request->virtual_size + SECTOR - 1) / SECTOR * SECTOR;

    if (!measure(info, cancellable, &required, error))
        return FALSE;
    if (!bh_part_file_create(&part, folder, error))
        return FALSE;
    if (get_free_space(folder, &available) && available < required) {
        g_propagate_error(error, space_error(folder, required, available, NULL));
        return FALSE;
    }
    if (!convert(info, &part, required, request->job, cancellable, error))
        return FALSE;
    if (size > info->virtual_size && !resize(&part, size, request->target, cancellable, error))
        return FALSE;
    bh_job_report_fraction(request->job, 1, _("Writing to disk"));
    return bh_part_file_commit(&part, request->target, error);
}

static gboolean create_in(const Request *request, const char *folder, GCancellable *cancellable,
                          GError **error)
{
    g_auto(BhPartFile) part = {.fd = -1};
    g_auto(BhChildResult) result = {0};
    g_autofree char *bytes = g_strdup_printf(
        "%" G_GUINT64_FORMAT, (request->virtual_size + SECTOR - 1) / SECTOR * SECTOR);
    GError *local = NULL;

    if (!bh_part_file_create(&part, folder, error))
        return FALSE;
    const char *const argv[] = {"qemu-img", "create", "-q", "-f", "qcow2", part.path, bytes, NULL};
    if (!bh_qemu_img(argv, &small_limits, request->target, cancellable, &result, &local))
        return fail_copy(local, folder, MIN_VIRTUAL_SIZE, error);
    return bh_part_file_commit(&part, request->target, error);
}

static gboolean run(const Request *request, GCancellable *cancellable, GError **error)
{
    g_autofree char *folder = g_path_get_dirname(request->target);
    g_autoptr(BhMediaInfo) info = NULL;
    GError *fault = NULL;

    if (request->source) {
        info = bh_media_inspect_sync(request->source, request->job, cancellable, error);
        if (!info)
            return FALSE;
    }
    fault = check_request(request, info);
    if (fault) {
        g_propagate_error(error, fault);
        return FALSE;
    }
    bh_part_file_sweep(folder);
    return info ? import_to(request, info, folder, cancellable, error)
                : create_in(request, folder, cancellable, error);
}

static void worker(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    GError *error = NULL;

    if (run(data, cancellable, &error))
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task, error);
}

static void start(const char *source, const char *target, guint64 virtual_size, BhJob *job,
                  gpointer tag, GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) task = g_task_new(NULL, bh_job_get_cancellable(job), callback, data);
    Request *request = g_new0(Request, 1);

    request->source = g_strdup(source);
    request->target = g_canonicalize_filename(target, NULL);
    request->virtual_size = virtual_size;
    request->job = job ? g_object_ref(job) : NULL;
    /* A cancel that comes too late, after the rename, must not report a failure: the file is there.
     */
    g_task_set_check_cancellable(task, FALSE);
    g_task_set_source_tag(task, tag);
    g_task_set_task_data(task, request, (GDestroyNotify)request_free);
    g_task_run_in_thread(task, worker);
}

void bh_image_import_async(const char *source, const char *target, guint64 virtual_size, BhJob *job,
                           GAsyncReadyCallback callback, gpointer data)
{
    start(source, target, virtual_size, job, bh_image_import_async, callback, data);
}

gboolean bh_image_import_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

void bh_image_create_async(const char *target, guint64 virtual_size, BhJob *job,
                           GAsyncReadyCallback callback, gpointer data)
{
    start(NULL, target, virtual_size, job, bh_image_create_async, callback, data);
}

gboolean bh_image_create_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
