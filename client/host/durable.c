/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See durable.h. */
#include "durable.h"

#include <fcntl.h>
#include <unistd.h>

static void sync_path(const char *path, int flags)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | flags);

    if (fd < 0)
        return;
    fsync(fd);
    close(fd);
}

void bh_sync_folder(const char *folder)
{
    sync_path(folder, O_DIRECTORY);
}

void bh_sync_folder_of(const char *path)
{
    g_autofree char *folder = g_path_get_dirname(path);

    bh_sync_folder(folder);
}

void bh_sync_file(const char *path)
{
    sync_path(path, 0);
    bh_sync_folder_of(path);
}
