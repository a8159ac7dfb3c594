/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Looking at a machine and typing into it without a window: display connection, picture, keys. */
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

#define KEY_HOLD_MS 40
#define KEYS_MAX 16
#define PICTURE_MAX (64 << 20)

/* Display. */

static gboolean run_display(BhWork *work, GError **error)
{
    int fd = virDomainOpenGraphicsFD(work->domain, 0, VIR_DOMAIN_OPEN_GRAPHICS_SKIPAUTH);

    work->result = fd;
    if (fd < 0)
        bh_libvirt_set_error(error, _("The machine's display could not be opened."));
    return fd >= 0;
}

static void display_done(BhWork *work, GError *error)
{
    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_int(work->task, work->result);
}

void bh_libvirt_machine_open_display(BhMachine *machine, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);

    if (host)
        bh_work_start(host, self, NULL, task, run_display, display_done, NULL, NULL);
}

/* Picture. */

static GBytes *receive(virStreamPtr stream, GCancellable *cancellable)
{
    g_autoptr(GByteArray) picture = g_byte_array_new();
    char buffer[64 << 10];
    int n;

    while ((n = virStreamRecv(stream, buffer, sizeof buffer)) > 0) {
        g_byte_array_append(picture, (guint8 *)buffer, n);
        if (picture->len > PICTURE_MAX || g_cancellable_is_cancelled(cancellable))
            break;
    }
    if (n != 0) {
        virStreamAbort(stream);
        return NULL;
    }
    virStreamFinish(stream);
    return g_byte_array_free_to_bytes(g_steal_pointer(&picture));
}

static void bytes_free(gpointer data)
{
    g_clear_pointer((GBytes **)data, g_bytes_unref);
    g_free(data);
}

static gboolean run_screenshot(BhWork *work, GError **error)
{
    GBytes **picture = work->data;
    g_autoptr(virStream) stream = virStreamNew(work->conn, 0);
    char *mime = stream ? virDomainScreenshot(work->domain, stream, 0, 0) : NULL;

    if (mime)
        *picture = receive(stream, work->cancellable);
    free(mime);
    if (*picture)
        return TRUE;
    if (!g_cancellable_set_error_if_cancelled(work->cancellable, error))
        bh_libvirt_set_error(error, _("There is no picture of the machine's screen."));
    return FALSE;
}

static void screenshot_done(BhWork *work, GError *error)
{
    GBytes **picture = work->data;

    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_pointer(work->task, g_steal_pointer(picture), (GDestroyNotify)g_bytes_unref);
}

void bh_libvirt_machine_screenshot(BhMachine *machine, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);

    if (host)
        bh_work_start(host, self, NULL, task, run_screenshot, screenshot_done, g_new0(GBytes *, 1),
                      bytes_free);
}

/* Keys. */

typedef struct {
    guint codes[KEYS_MAX];
    int n;
} Keys;

static gboolean run_keys(BhWork *work, GError **error)
{
    Keys *keys = work->data;
    int result =
        virDomainSendKey(work->domain, VIR_KEYCODE_SET_LINUX, KEY_HOLD_MS, keys->codes, keys->n, 0);

    if (result < 0)
        bh_libvirt_set_error(error, _("The keys could not be sent."));
    return result == 0;
}

void bh_libvirt_machine_send_keys(BhMachine *machine, const guint *keycodes, guint n, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);
    Keys *keys = g_new0(Keys, 1);

    keys->n = (int)MIN(n, KEYS_MAX);
    for (int i = 0; i < keys->n; i++)
        keys->codes[i] = keycodes[i];
    if (host)
        bh_work_start(host, self, NULL, task, run_keys, NULL, keys, g_free);
    else
        g_free(keys);
}
