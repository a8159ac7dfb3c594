/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The temporary file that an import or create writes, and its way to the final name.
 *
 * Invariant: while its owner lives it holds a flock() on the file. A killed owner's lock is gone,
 * so the next import into the folder knows debris from work in progress, whatever became of the
 * process number in the name (reused, or of another PID namespace).
 */
#include "durable.h"
#include "image-private.h"

#include <bulkhead/error.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define PREFIX ".bulkhead-"
#define SUFFIX ".part"

/* Between creating a file and locking it, another process may see it: the young are left alone
 * unless their process is gone. */
#define GRACE_SECONDS 60

static GError *folder_error(const char *folder, int code)
{
    g_autofree char *shown = g_filename_display_name(folder);

    if (code == EACCES || code == EPERM || code == EROFS)
        return bh_error_new(BH_ERROR_PERMISSION,
                            _("Change the folder's permissions, or choose another folder."),
                            g_strerror(code), _("You may not write in the folder “%s”."), shown);
    if (code == ENOSPC || code == EDQUOT)
        return bh_error_new(BH_ERROR_NO_SPACE, _("Free some space, or choose another folder."),
                            g_strerror(code), _("The disk with the folder “%s” is full."), shown);
    return bh_error_new(code == ENOENT || code == ENOTDIR ? BH_ERROR_NOT_FOUND : BH_ERROR_FAILED,
                        NULL, NULL, _("No file can be made in the folder “%s”: %s."), shown,
                        g_strerror(code));
}

gboolean bh_part_file_create(BhPartFile *self, const char *folder, GError **error)
{
    *self = (BhPartFile){.fd = -1};
    if (g_mkdir_with_parents(folder, 0700) != 0) {
        g_propagate_error(error, folder_error(folder, errno));
        return FALSE;
    }
    for (int attempt = 0; attempt < 20; attempt++) {
        g_autofree char *name =
            g_strdup_printf(PREFIX "%d-%08x" SUFFIX, (int)getpid(), g_random_int());
        g_autofree char *path = g_build_filename(folder, name, NULL);
        self->fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        if (self->fd < 0 && errno == EEXIST)
            continue;
        if (self->fd < 0)
            break;
        self->path = g_steal_pointer(&path);
        flock(self->fd, LOCK_EX | LOCK_NB);
        return TRUE;
    }
    g_propagate_error(error, folder_error(folder, errno));
    return FALSE;
}

void bh_part_file_clear(BhPartFile *self)
{
    if (self->path)
        unlink(self->path);
    g_clear_pointer(&self->path, g_free);
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

static int rename_no_replace(const char *from, const char *to)
{
    if (renameat2(AT_FDCWD, from, AT_FDCWD, to, RENAME_NOREPLACE) == 0)
        return 0;
    if (errno != EINVAL && errno != ENOSYS)
        return errno;
    /* Old or foreign file systems. A link never replaces; where there are no links, look first. */
    if (link(from, to) == 0)
        return unlink(from) == 0 ? 0 : errno;
    if (errno == EEXIST)
        return EEXIST;
    if (access(to, F_OK) == 0)
        return EEXIST;
    return rename(from, to) == 0 ? 0 : errno;
}

gboolean bh_part_file_commit(BhPartFile *self, const char *target, GError **error)
{
    g_autofree char *name = g_filename_display_basename(target);
    g_autofree char *folder = g_path_get_dirname(target);
    int code = fsync(self->fd) == 0 ? 0 : errno;

    if (code == 0)
        code = rename_no_replace(self->path, target);
    if (code == EEXIST)
        g_propagate_error(error, bh_error_new(BH_ERROR_EXISTS, _("Choose another name."), target,
                                              _("There is already a file “%s”."), name));
    else if (code != 0)
        g_propagate_error(error, folder_error(folder, code));
    if (code != 0)
        return FALSE;
    bh_sync_folder_of(target);
    g_clear_pointer(&self->path, g_free);
    return TRUE;
}

/* The owner's number in a temporary's name, or 0 for any other name. */
static int owner_of(const char *name)
{
    int pid = 0, end = 0;
    unsigned tag;

    if (sscanf(name, PREFIX "%d-%8x" SUFFIX "%n", &pid, &tag, &end) != 2 || end == 0 || name[end])
        return 0;
    return pid > 0 ? pid : 0;
}

static void sweep_one(const char *path, int owner)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
    struct stat st;
    gboolean gone = kill(owner, 0) != 0 && errno == ESRCH;

    if (fd < 0)
        return;
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_uid == geteuid() &&
        flock(fd, LOCK_EX | LOCK_NB) == 0 && (gone || time(NULL) - st.st_mtime > GRACE_SECONDS))
        unlink(path);
    close(fd);
}

void bh_part_file_sweep(const char *folder)
{
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;

    while (dir && (name = g_dir_read_name(dir))) {
        int owner = owner_of(name);
        g_autofree char *path = owner ? g_build_filename(folder, name, NULL) : NULL;
        if (path)
            sweep_one(path, owner);
    }
}
