/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is left when the program dies while it makes a machine: a whole disk that no machine has.
 * Before the disk is made, a mark "UUID.making" with the disk's path is written beside the records
 * of deleted machines, and kept locked by its maker. Whoever opens the host next removes the disks
 * of marks that nobody holds, unless the machine got defined after all. (Half a disk has a
 * temporary name, which image.h takes care of.)
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>

#include <glib/gi18n-lib.h>

#include "libvirt-private.h"

#define SUFFIX ".making"
#define PATH_BYTES 4096

gboolean bh_creation_mark_set(BhCreationMark *mark, BhLibvirtHost *host, const char *uuid,
                              const char *disk_path, GError **error)
{
    g_autofree char *folder = bh_libvirt_folder(host, "deleted", error);
    ssize_t length = (ssize_t)strlen(disk_path);

    mark->fd = -1;
    if (!folder)
        return FALSE;
    mark->path = g_strdup_printf("%s/%s" SUFFIX, folder, uuid);
    mark->fd = open(mark->path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (mark->fd >= 0 && flock(mark->fd, LOCK_EX | LOCK_NB) == 0 &&
        write(mark->fd, disk_path, (size_t)length) == length && fsync(mark->fd) == 0)
        return TRUE;
    int code = errno;
    g_propagate_error(
        error, bh_error_new(code == ENOSPC ? BH_ERROR_NO_SPACE : BH_ERROR_PERMISSION,
                            _("Check the free space and the permissions of your home."), mark->path,
                            _("The machine could not be made: %s."), g_strerror(code)));
    bh_creation_mark_clear(mark);
    return FALSE;
}

void bh_creation_mark_clear(BhCreationMark *mark)
{
    if (!mark->path)
        return;
    unlink(mark->path);
    if (mark->fd >= 0)
        close(mark->fd);
    mark->fd = -1;
    g_clear_pointer(&mark->path, g_free);
}

/* Its disk goes only when libvirt is sure that there is no such machine, and only from our folder.
 */
static void remove_disk(virConnectPtr conn, const char *uuid, const char *disk, const char *disks)
{
    g_autofree char *parent = g_path_get_dirname(disk);
    g_autoptr(virDomain) domain = virDomainLookupByUUIDString(conn, uuid);
    const virError *why = virGetLastError();

    if (!domain && why && why->code == VIR_ERR_NO_DOMAIN && g_str_equal(parent, disks) &&
        strstr(disk, uuid))
        unlink(disk);
    virResetLastError();
}

static void sweep_mark(virConnectPtr conn, const char *path, const char *uuid, const char *disks)
{
    char disk[PATH_BYTES] = "";
    int fd = open(path, O_RDWR | O_CLOEXEC | O_NOFOLLOW);

    if (fd < 0)
        return;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        if (pread(fd, disk, sizeof disk - 1, 0) > 0)
            remove_disk(conn, uuid, disk, disks);
        unlink(path);
    }
    close(fd);
}

void bh_creation_sweep(BhLibvirtHost *host, virConnectPtr conn)
{
    g_autofree char *folder = bh_libvirt_folder(host, "deleted", NULL);
    g_autofree char *disks = bh_libvirt_folder(host, "disks", NULL);
    g_autoptr(GDir) dir = folder && disks ? g_dir_open(folder, 0, NULL) : NULL;
    const char *file;

    while (dir && (file = g_dir_read_name(dir))) {
        g_autofree char *uuid = NULL, *path = g_build_filename(folder, file, NULL);
        if (!g_str_has_suffix(file, SUFFIX))
            continue;
        uuid = g_strndup(file, strlen(file) - strlen(SUFFIX));
        if (g_uuid_string_is_valid(uuid))
            sweep_mark(conn, path, uuid, disks);
    }
}
