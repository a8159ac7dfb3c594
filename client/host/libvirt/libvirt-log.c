/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QEMU's log of a machine, as far as we may read it. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

#define TAIL_BYTES (64 << 10)

static char *log_path(virConnectPtr conn, const char *domain_name)
{
    g_autofree char *file = g_strconcat(domain_name, ".log", NULL);

    if (strchr(domain_name, '/') || !bh_libvirt_is_here(conn))
        return NULL;
    if (bh_libvirt_is_session(conn))
        return g_build_filename(g_get_user_cache_dir(), "libvirt", "qemu", "log", file, NULL);
    return g_build_filename("/var/log/libvirt/qemu", file, NULL);
}

/* At most TAIL_BYTES from the end: a log may be huge. */
static char *read_tail(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    off_t size = fd >= 0 ? lseek(fd, 0, SEEK_END) : -1;
    g_autofree char *buffer = NULL;
    ssize_t n = -1;

    if (size >= 0) {
        buffer = g_malloc(TAIL_BYTES);
        n = pread(fd, buffer, TAIL_BYTES, MAX(size - TAIL_BYTES, 0));
    }
    if (fd >= 0)
        close(fd);
    return g_utf8_make_valid(n > 0 ? buffer : "", n > 0 ? n : 0);
}

/* libvirt writes QEMU's whole command line into the log: many lines, of no use to people. */
static gboolean is_command_line(const char *line)
{
    return g_str_has_prefix(line, "LC_ALL=") || g_str_has_prefix(line, "HOME=") ||
           g_str_has_prefix(line, "PATH=") || g_str_has_prefix(line, "XDG_") ||
           g_str_has_suffix(line, " \\") || (line[0] == '-' && g_ascii_isalpha(line[1]));
}

static gboolean is_start(const char *line)
{
    return strstr(line, ": starting up libvirt version") != NULL;
}

/* What libvirt adds, and what QEMU says each time without meaning anything. */
static gboolean is_routine(const char *line)
{
    return strstr(line, ": shutting down, reason=") ||
           g_str_has_prefix(line, "char device redirected to ") ||
           strstr(line, "terminating on signal 15 from pid");
}

char *bh_libvirt_log_tail(virConnectPtr conn, const char *domain_name, guint lines,
                          gboolean last_run)
{
    g_autofree char *path = log_path(conn, domain_name);
    g_autofree char *text = path ? read_tail(path) : g_strdup("");
    g_auto(GStrv) all = g_strsplit(text, "\n", -1);
    g_autoptr(GPtrArray) kept = g_ptr_array_new();
    GString *tail = g_string_new(NULL);

    for (guint i = 0; all[i]; i++) {
        if (last_run && is_start(all[i]))
            g_ptr_array_set_size(kept, 0);
        else if (*all[i] && !is_command_line(all[i]) && !(last_run && is_routine(all[i])))
            g_ptr_array_add(kept, all[i]);
    }
    for (guint i = kept->len > lines ? kept->len - lines : 0; i < kept->len; i++)
        g_string_append_printf(tail, "%s\n", (char *)kept->pdata[i]);
    return g_strchomp(g_string_free(tail, FALSE));
}

void bh_libvirt_log_remove(virConnectPtr conn, const char *domain_name)
{
    g_autofree char *path = log_path(conn, domain_name);
    g_autofree char *swtpm_name = g_strconcat(domain_name, "-swtpm", NULL);
    g_autofree char *swtpm_path = log_path(conn, swtpm_name);

    if (path && swtpm_path) {
        unlink(path);
        unlink(swtpm_path);
    }
}

static gboolean read_log(BhWork *work, GError **error)
{
    guint lines = GPOINTER_TO_UINT(work->data);

    g_task_set_task_data(
        work->task, bh_libvirt_log_tail(work->conn, virDomainGetName(work->domain), lines, FALSE),
        NULL);
    return TRUE;
}

static void log_done(BhWork *work, GError *error)
{
    if (error)
        g_task_return_error(work->task, error);
    else
        g_task_return_pointer(work->task, g_task_get_task_data(work->task), g_free);
}

void bh_libvirt_machine_read_log(BhMachine *machine, guint lines, GTask *task)
{
    BhLibvirtMachine *self = BH_LIBVIRT_MACHINE(machine);
    g_autoptr(BhLibvirtHost) host = bh_libvirt_machine_need_host(self, task);

    if (host)
        bh_work_start(host, self, NULL, task, read_log, log_done, GUINT_TO_POINTER(lines), NULL);
}
