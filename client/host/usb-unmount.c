/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Unmounts every file system of a device, and locks its encrypted volumes, for the user: through
 * UDisks2, which knows the user's rights; by umount(8) where there is no UDisks2.
 *
 * After each step the mount table is read again, so that what was mounted twice, or meanwhile, is
 * seen. Writing out what the device has not stored yet can take minutes: the limit is generous.
 */
#include "usb-private.h"

#include "operation.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define LIMIT_SECONDS 300
#define MAX_STEPS 64
#define MAX_USERS 3
#define UDISKS "org.freedesktop.UDisks2"

typedef struct {
    BhJob *job;
    GCancellable *inner; /* ends with the caller's, with the time limit */
    gulong chain;
    guint timer;
    gboolean late;
    guint steps;
    GDBusConnection *bus; /* NULL: no system bus */
    char *node, *point;   /* of the step under way; point NULL: lock */
} Unmount;

static void next_step(GTask *task);

static void unmount_free(gpointer data)
{
    Unmount *self = data;
    g_clear_handle_id(&self->timer, g_source_remove);
    g_clear_object(&self->job);
    g_clear_object(&self->inner);
    g_clear_object(&self->bus);
    g_free(self->node);
    g_free(self->point);
    g_free(self);
}

static void finish(GTask *task, GError *error)
{
    Unmount *self = g_task_get_task_data(task);
    g_cancellable_disconnect(g_task_get_cancellable(task), self->chain);
    g_clear_handle_id(&self->timer, g_source_remove);
    if (error)
        g_task_return_error(task, error);
    else
        g_task_return_boolean(task, TRUE);
    g_object_unref(task);
}

/* The programs that keep files below point open, as far as this user may see: "gedit, bash". */
static void find_users(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    const char *const *args = data; /* /proc, mount point */
    g_autoptr(GPtrArray) names = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GDir) dir = g_dir_open(args[0], 0, NULL);
    const char *pid;
    while (dir && names->len < MAX_USERS && (pid = g_dir_read_name(dir))) {
        static const char *const links[] = {"cwd", "root", "exe"};
        gboolean uses = FALSE;
        if (!g_ascii_isdigit(pid[0]))
            continue;
        for (guint i = 0; i < G_N_ELEMENTS(links) && !uses; i++) {
            g_autofree char *path = g_build_filename(args[0], pid, links[i], NULL);
            g_autofree char *target = g_file_read_link(path, NULL);
            uses = target && bh_usb_path_is_below(target, args[1]);
        }
        g_autofree char *folder = g_build_filename(args[0], pid, "fd", NULL);
        g_autoptr(GDir) fds = uses ? NULL : g_dir_open(folder, 0, NULL);
        const char *fd;
        while (fds && !uses && (fd = g_dir_read_name(fds))) {
            g_autofree char *path = g_build_filename(folder, fd, NULL);
            g_autofree char *target = g_file_read_link(path, NULL);
            uses = target && bh_usb_path_is_below(target, args[1]);
        }
        g_autofree char *process = g_build_filename(args[0], pid, NULL);
        g_autofree char *comm = uses ? bh_usb_read_small(process, "comm") : NULL;
        char *name = bh_usb_sanitise(comm);
        if (name && g_ptr_array_find_with_equal_func(names, name, g_str_equal, NULL))
            g_free(name);
        else if (name)
            g_ptr_array_add(names, name);
    }
    g_ptr_array_add(names, NULL);
    g_task_return_pointer(task, g_strjoinv(", ", (char **)names->pdata), g_free);
}

static void on_users_found(GObject *source, GAsyncResult *result, gpointer data)
{
    GTask *task = data;
    Unmount *self = g_task_get_task_data(task);
    g_autofree char *users = g_task_propagate_pointer(G_TASK(result), NULL);
    const char *hint = _("Close the files on it and try again.");
    const char *detail = g_object_get_data(G_OBJECT(task), "detail");
    finish(task, users && *users ? bh_error_new(BH_ERROR_BUSY, hint, detail,
                                                /* Translators: a folder, and names of programs. */
                                                _("%s is still in use by: %s."), self->point, users)
                                 : bh_error_new(BH_ERROR_BUSY, hint, detail,
                                                _("%s is still in use."), self->point));
}

static void fail_busy(GTask *task, const char *detail)
{
    Unmount *self = g_task_get_task_data(task);
    BhUsbDevice *device = g_task_get_source_object(task);
    const char *proc = g_object_get_data(G_OBJECT(task), "proc");
    GTask *search = g_task_new(device, NULL, on_users_found, task);
    char **args = g_new0(char *, 3);
    args[0] = g_strdup(proc);
    args[1] = g_strdup(self->point);
    g_object_set_data_full(G_OBJECT(task), "detail", g_strdup(detail), g_free);
    g_task_set_task_data(search, args, (GDestroyNotify)g_strfreev);
    g_task_run_in_thread(search, find_users);
    g_object_unref(search);
}

static void fail(GTask *task, BhErrorCode code, const char *detail)
{
    Unmount *self = g_task_get_task_data(task);
    const char *hint = code == BH_ERROR_PERMISSION
                           ? _("Unmount it with the program that mounted it, then try again.")
                           : _("Unmount it with your file manager, then try again.");
    finish(task, self->point ? bh_error_new(code, hint, detail, _("%s could not be unmounted."),
                                            self->point)
                             : bh_error_new(code, hint, detail,
                                            _("The encrypted volume %s could not be "
                                              "locked."),
                                            self->node));
}

static void on_umount_done(GObject *source, GAsyncResult *result, gpointer data)
{
    GTask *task = data;
    Unmount *self = g_task_get_task_data(task);
    g_autofree char *output = NULL;
    g_autoptr(GError) error = NULL;
    GSubprocess *process = G_SUBPROCESS(source);
    gboolean ended = g_subprocess_communicate_utf8_finish(process, result, NULL, &output, &error);
    if (!ended)
        g_subprocess_force_exit(process);
    if (g_cancellable_is_cancelled(self->inner))
        next_step(task); /* tells why */
    else if (ended && g_subprocess_get_successful(process))
        next_step(task);
    else if (output && strstr(output, "busy"))
        fail_busy(task, output);
    else
        fail(task, BH_ERROR_PERMISSION, output ? output : error->message);
}

/* umount(8) itself knows who may: root, and users by a "user" mark in fstab. */
static void unmount_by_command(GTask *task, const char *why)
{
    Unmount *self = g_task_get_task_data(task);
    g_autoptr(GError) error = NULL;
    if (!self->point) {
        fail(task, BH_ERROR_NOT_SUPPORTED, why);
        return;
    }
    g_autoptr(GSubprocess) process =
        g_subprocess_new(G_SUBPROCESS_FLAGS_STDOUT_SILENCE | G_SUBPROCESS_FLAGS_STDERR_PIPE, &error,
                         "umount", "--", self->point, NULL);
    if (process)
        g_subprocess_communicate_utf8_async(process, NULL, self->inner, on_umount_done, task);
    else
        fail(task, BH_ERROR_NOT_SUPPORTED, error->message);
}

static gboolean is_no_service(const GError *error)
{
    return g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SERVICE_UNKNOWN) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_NAME_HAS_NO_OWNER) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SPAWN_FAILED) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SPAWN_SERVICE_INVALID) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SPAWN_SERVICE_NOT_FOUND) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SPAWN_EXEC_FAILED) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_SPAWN_CHILD_EXITED) ||
           g_error_matches(error, G_DBUS_ERROR, G_DBUS_ERROR_DISCONNECTED);
}

static void handle_udisks_error(GTask *task, GError *error)
{
    Unmount *self = g_task_get_task_data(task);
    g_autofree char *name = g_dbus_error_get_remote_error(error);
    if (g_cancellable_is_cancelled(self->inner) ||
        g_strcmp0(name, UDISKS ".Error.NotMounted") == 0) {
        next_step(task);
        return;
    }
    g_dbus_error_strip_remote_error(error);
    if (is_no_service(error))
        unmount_by_command(task, error->message);
    else if (g_strcmp0(name, UDISKS ".Error.DeviceBusy") == 0 && self->point)
        fail_busy(task, error->message);
    else if (name && g_str_has_prefix(name, UDISKS ".Error.NotAuthorized"))
        fail(task, BH_ERROR_PERMISSION, error->message);
    else
        fail(task, BH_ERROR_FAILED, error->message);
}

static void on_udisks_done(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    if (reply)
        next_step(data);
    else
        handle_udisks_error(data, error);
}

static void on_resolved(GObject *source, GAsyncResult *result, gpointer data)
{
    GTask *task = data;
    Unmount *self = g_task_get_task_data(task);
    g_autoptr(GError) error = NULL;
    g_autoptr(GVariant) reply =
        g_dbus_connection_call_finish(G_DBUS_CONNECTION(source), result, &error);
    g_autofree const char **paths = NULL;
    if (!reply) {
        handle_udisks_error(task, error);
        return;
    }
    g_variant_get(reply, "(^a&o)", &paths);
    if (!paths[0]) {
        unmount_by_command(task, "unknown to UDisks2");
        return;
    }
    g_dbus_connection_call(self->bus, UDISKS, paths[0],
                           self->point ? UDISKS ".Filesystem" : UDISKS ".Encrypted",
                           self->point ? "Unmount" : "Lock", g_variant_new("(a{sv})", NULL), NULL,
                           G_DBUS_CALL_FLAGS_ALLOW_INTERACTIVE_AUTHORIZATION, G_MAXINT, self->inner,
                           on_udisks_done, task);
}

static void start_step(GTask *task)
{
    Unmount *self = g_task_get_task_data(task);
    GVariantBuilder spec;
    if (!self->bus) {
        unmount_by_command(task, "no system bus");
        return;
    }
    g_variant_builder_init(&spec, G_VARIANT_TYPE_VARDICT);
    g_variant_builder_add(&spec, "{sv}", "path", g_variant_new_string(self->node));
    g_dbus_connection_call(self->bus, UDISKS, "/org/freedesktop/UDisks2/Manager", UDISKS ".Manager",
                           "ResolveDevice", g_variant_new("(a{sv}a{sv})", &spec, NULL),
                           G_VARIANT_TYPE("(ao)"), G_DBUS_CALL_FLAGS_NONE, 25000, self->inner,
                           on_resolved, task);
}

/* NULL while the work may go on. */
static GError *why_stop(GTask *task, gboolean present)
{
    Unmount *self = g_task_get_task_data(task);
    if (!present)
        return bh_error_new(BH_ERROR_NOT_FOUND, NULL, NULL, _("The device was unplugged."));
    if (self->late || self->steps > MAX_STEPS)
        return bh_error_new(BH_ERROR_BUSY, _("Wait until it is idle, then try again."), NULL,
                            _("Unmounting the device took too long."));
    if (g_cancellable_is_cancelled(self->inner))
        return g_error_new_literal(G_IO_ERROR, G_IO_ERROR_CANCELLED, _("Cancelled"));
    return NULL;
}

static void next_step(GTask *task)
{
    Unmount *self = g_task_get_task_data(task);
    BhUsbDevice *device = g_task_get_source_object(task);
    gboolean present = bh_usb_device_refresh(device);
    GPtrArray *volumes = bh_usb_device_get_use(device)->volumes;
    self->steps++;
    g_clear_pointer(&self->node, g_free);
    g_clear_pointer(&self->point, g_free);
    if (present && volumes->len == 0) {
        finish(task, NULL);
        return;
    }
    GError *error = why_stop(task, present);
    if (error) {
        finish(task, error);
        return;
    }
    BhUsbVolume *volume = volumes->pdata[0];
    self->node = g_strdup(volume->node);
    /* The one mounted last first: it may lie on another. */
    if (volume->points->len)
        self->point = g_strdup(volume->points->pdata[volume->points->len - 1]);
    bh_job_report_fraction(self->job, -1, _("Writing out unsaved data and unmounting"));
    start_step(task);
}

static void on_bus(GObject *source, GAsyncResult *result, gpointer data)
{
    GTask *task = data;
    Unmount *self = g_task_get_task_data(task);
    self->bus = g_bus_get_finish(result, NULL);
    next_step(task);
}

static void on_cancelled(GCancellable *cancellable, gpointer inner)
{
    g_cancellable_cancel(inner);
}

static gboolean on_late(gpointer data)
{
    Unmount *self = g_task_get_task_data(data);
    self->timer = 0;
    self->late = TRUE;
    g_cancellable_cancel(self->inner);
    return G_SOURCE_REMOVE;
}

void bh_usb_device_unmount_async(BhUsbDevice *device, BhJob *job, GAsyncReadyCallback callback,
                                 gpointer data)
{
    GTask *task = bh_operation_new(device, job, bh_usb_device_unmount_async, NULL, callback, data);
    Unmount *self = g_new0(Unmount, 1);
    g_autofree char *proc = bh_usb_device_dup_proc(device);
    self->job = job ? g_object_ref(job) : NULL;
    self->inner = g_cancellable_new();
    g_task_set_task_data(task, self, unmount_free);
    g_object_set_data_full(G_OBJECT(task), "proc", g_steal_pointer(&proc), g_free);
    if (bh_job_get_cancellable(job))
        self->chain = g_cancellable_connect(bh_job_get_cancellable(job), G_CALLBACK(on_cancelled),
                                            g_object_ref(self->inner), g_object_unref);
    self->timer = g_timeout_add_seconds(LIMIT_SECONDS, on_late, task);
    g_bus_get(G_BUS_TYPE_SYSTEM, self->inner, on_bus, task);
}

gboolean bh_usb_device_unmount_finish(BhUsbDevice *self, GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}
