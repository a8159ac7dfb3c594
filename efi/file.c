/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the partition the loader came from. Read in pieces: a progress dot each, and no firmware is asked for
 * hundreds of MiB at once.
 */
#include "loader.h"

#define PIECE MIB(8)
#define PATH_SIZE (256 + CONFIG_LINE) /* the loader's folder, and what the configuration names */

/* The loader's folder, with a \ at its end, from the file nodes of its device path (UEFI 10.3.5.4). */
static void own_folder(char *to, size_t room)
{
    const struct efi_device_path *node = fw_loaded->file;
    size_t used = 0;

    for (; node && node->type != EFI_PATH_END && node->length >= sizeof(*node); node = efi_path_next(node)) {
        const size_t count = (node->length - sizeof(*node)) / sizeof(node->name[0]);

        if (node->type != EFI_PATH_MEDIA || node->subtype != EFI_PATH_FILE)
            continue;
        for (size_t i = 0; i <= count && used + 1 < room; i++) {
            const efi_char c = i ? node->name[i - 1] : '\\'; /* which may be there already */

            if (!c)
                break;
            if (c != '\\' || !used || to[used - 1] != '\\')
                to[used++] = c > '~' ? '?' : (char)c;
        }
    }
    while (used && to[used - 1] != '\\')
        used--;
    to[used] = 0;
}

const char *file_path(const char *name)
{
    static char path[PATH_SIZE];
    char folder[PATH_SIZE - CONFIG_LINE] = "";

    if (*name != '/' && *name != '\\')
        own_folder(folder, sizeof(folder));
    snprintf(path, sizeof(path), "%s%s", folder, name);
    for (char *c = path; *c; c++)
        if (*c == '/')
            *c = '\\';
    return path;
}

static efi_status open_file(const char *path, struct efi_file **file)
{
    static efi_char name[PATH_SIZE];
    struct efi_file_system *system;
    struct efi_file *root;
    efi_status status;
    size_t i = 0;

    do
        name[i] = (uint8_t)path[i];
    while (path[i++]);
    status = boot_services->handle_protocol(fw_loaded->device, EFI_FILE_SYSTEM, (void **)&system);
    if (status == EFI_SUCCESS)
        status = system->open_volume(system, &root);
    if (status != EFI_SUCCESS)
        return status;
    status = root->open(root, file, name, EFI_FILE_READ, 0);
    root->close(root);
    return status;
}

/* 0: it is empty, or a folder, which has no end to go to. */
static uint64_t file_size(struct efi_file *file)
{
    uint64_t size = 0;

    if (file->set_position(file, EFI_FILE_END) != EFI_SUCCESS || file->get_position(file, &size) != EFI_SUCCESS ||
        file->set_position(file, 0) != EFI_SUCCESS)
        return 0;
    return size;
}

struct boot_module file_read(const char *name, const char *remedy)
{
    const char *path = file_path(name);
    struct boot_module m = {0};
    struct efi_file *file;
    uint64_t piece, done = 0;
    efi_status status = open_file(path, &file);

    if (status != EFI_SUCCESS)
        fail(status == EFI_NOT_FOUND ? "The file is not on the partition this loader was started from."
                                     : "The firmware cannot read the partition this loader was started from.",
             remedy, "The file %s cannot be opened (EFI error %llu).", path, status & ~EFI_ERROR_BIT);
    m.size = file_size(file);
    if (m.size == 0)
        fail("It is empty, or not a file.", remedy, "The file %s cannot be used.", path);
    print("Reading %s (%llu KiB) ", path, (m.size + 1023) >> 10);
    m.start = (uint64_t)pages_get(m.size, 4096, path);
    for (; done < m.size; done += piece) {
        piece = m.size - done < PIECE ? m.size - done : PIECE;
        if (file->read(file, &piece, (void *)(m.start + done)) != EFI_SUCCESS || piece == 0)
            fail("The firmware cannot read on.", "Check the disk (fsck.vfat), then run bulkhead-install again.",
                 "The file %s cannot be read.", path);
        print(".");
    }
    print("\n");
    file->close(file);
    return m;
}
