/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Files of the partition the loader came from. Read in pieces: a progress dot each, Esc cancels, and no firmware is
 * asked for hundreds of MiB at once.
 */
#include "loader.h"

#define PIECE MIB(8)

static const struct efi_guid file_system_guid = EFI_FILE_SYSTEM;

/* The loader's folder, with a \ at its end, from the file nodes of its device path (UEFI 10.3.5.4). */
static void own_folder(char *to, size_t room)
{
    size_t used = 0, length;

    for (const uint8_t *node = (const uint8_t *)fw_loaded->file; node && *node != EFI_PATH_END; node += length) {
        length = node[2] | (size_t)node[3] << 8;
        if (length < sizeof(struct efi_device_path))
            break;
        if (node[0] != EFI_PATH_MEDIA || node[1] != EFI_PATH_FILE)
            continue;
        for (size_t i = 2; i < length && used + 1 < room; i += 2) {
            char c = i == 2 ? '\\' : node[i + 1] || node[i] > '~' ? '?' : (char)node[i];

            if (!c)
                break;
            if (c != '\\' || !used || to[used - 1] != '\\')
                to[used++] = c;
        }
    }
    while (used && to[used - 1] != '\\')
        used--;
    to[used] = 0;
}

const char *file_path(const char *name)
{
    static char path[2 * CONFIG_PATH];
    char folder[CONFIG_PATH] = "";

    if (*name != '/' && *name != '\\')
        own_folder(folder, sizeof(folder));
    text_format(path, sizeof(path), "%s%s", folder, name);
    for (char *c = path; *c; c++)
        if (*c == '/')
            *c = '\\';
    return path;
}

static efi_status open_file(const char *path, struct efi_file **file)
{
    static efi_char name[2 * CONFIG_PATH];
    struct efi_file_system *system;
    struct efi_file *root;
    efi_status status;
    size_t i = 0;

    do
        name[i] = (uint8_t)path[i];
    while (path[i++]);
    status = boot_services->handle_protocol(fw_loaded->device, &file_system_guid, (void **)&system);
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

static void read_pieces(struct efi_file *file, uint8_t *to, uint64_t size, const char *path)
{
    efi_status status = EFI_SUCCESS;
    struct efi_key key;
    uint64_t done = 0;

    while (done < size) {
        uint64_t piece = size - done < PIECE ? size - done : PIECE;

        status = file->read(file, &piece, to + done);
        if (status != EFI_SUCCESS || piece == 0)
            break;
        done += piece;
        print(".");
        if (console_key(&key) && key.scan == EFI_SCAN_ESC)
            break;
    }
    file->close(file);
    print("\n");
    if (done == size)
        return;
    if (status == EFI_SUCCESS && done)
        fail(EFI_LOAD_ERROR, "Esc was pressed, or the file became shorter.", "Start again.",
             "Reading %s was cancelled.", path);
    fail(status, status_text(status), "Check the disk (fsck.vfat), then run bulkhead-install again.",
         "The file %s cannot be read.", path);
}

struct boot_module file_read(const char *name, uint64_t max, const char *remedy)
{
    const char *path = file_path(name);
    struct boot_module m = {0};
    struct efi_file *file;
    efi_status status = open_file(path, &file);

    if (status != EFI_SUCCESS)
        fail(status,
             status == EFI_NOT_FOUND ? "The file is not on the partition this loader was started from."
                                     : status_text(status),
             remedy, "The file %s cannot be opened.", path);
    m.size = file_size(file);
    if (m.size == 0 || m.size > max) {
        file->close(file);
        fail(EFI_LOAD_ERROR, m.size ? "It is too large." : "It is empty, or not a file.", remedy,
             "The file %s cannot be used.", path);
    }
    print("Reading %s (%llu KiB) ", path, (unsigned long long)(m.size + 1023) >> 10);
    m.start = (uint64_t)pages_get(m.size, 4096, path);
    read_pieces(file, (uint8_t *)m.start, m.size, path);
    return m;
}
