/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The first look at a file the user picked: may it be opened, and which disk format do its own
 * bytes claim. qemu-img is then told that format, so it never guesses: guessing is how a raw disk
 * whose guest wrote a qcow2 header into it becomes a door to the host's files. (A raw file with
 * such a header is taken for the qcow2 it pretends to be, and that one is refused if it names other
 * files.)
 */
#include "image-private.h"

#include <bulkhead/error.h>
#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTOR 512

static guint32 le32(const guint8 *p)
{
    return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

static guint64 le64(const guint8 *p)
{
    return (guint64)le32(p) | (guint64)le32(p + 4) << 32;
}

gboolean bh_image_read_at(int fd, guint64 offset, void *buffer, gsize length)
{
    gsize got = 0;

    if (offset > G_MAXINT64 - length)
        return FALSE;
    while (got < length) {
        ssize_t n = pread(fd, (guint8 *)buffer + got, length - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return FALSE;
        got += n;
    }
    return TRUE;
}

static GError *open_error(const char *name, int code)
{
    if (code == ENOENT || code == ENOTDIR)
        return bh_error_new(BH_ERROR_NOT_FOUND, _("It may have been moved or its disk unplugged."),
                            g_strerror(code), _("The file “%s” does not exist."), name);
    if (code == EACCES || code == EPERM)
        return bh_error_new(BH_ERROR_PERMISSION,
                            _("Change its permissions, or copy it into your home folder."),
                            g_strerror(code), _("You may not read the file “%s”."), name);
    return bh_error_new(BH_ERROR_FAILED, NULL, NULL, _("The file “%s” cannot be read: %s."), name,
                        g_strerror(code));
}

/* Why this is not a plain file, or NULL. */
static GError *type_error(const char *name, const struct stat *st)
{
    if (S_ISREG(st->st_mode))
        return NULL;
    if (S_ISDIR(st->st_mode))
        return bh_error_new(BH_ERROR_INVALID, _("Choose a file inside it."), NULL,
                            _("“%s” is a folder."), name);
    if (S_ISBLK(st->st_mode) || S_ISCHR(st->st_mode))
        return bh_error_new(BH_ERROR_INVALID,
                            _("Copy the disk into an image file first, for example with dd."), NULL,
                            _("“%s” is a device, not a file."), name);
    return bh_error_new(BH_ERROR_INVALID, NULL, NULL, _("“%s” is not an ordinary file."), name);
}

gboolean bh_image_file_open(BhImageFile *self, const char *path, GError **error)
{
    g_autofree char *name = g_filename_display_basename(path);
    struct stat st;
    GError *fault = NULL;

    *self = (BhImageFile){.fd = -1};
    /* stat first: opening a device or FIFO may already do something. O_NONBLOCK for what changes
     * in between. */
    if (stat(path, &st) != 0)
        fault = open_error(name, errno);
    else
        fault = type_error(name, &st);
    if (!fault) {
        self->fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
        if (self->fd < 0 || fstat(self->fd, &st) != 0)
            fault = open_error(name, errno);
        else
            fault = type_error(name, &st);
    }
    if (!fault && st.st_size == 0)
        fault = bh_error_new(BH_ERROR_INVALID, _("Perhaps its download failed: fetch it again."),
                             NULL, _("The file “%s” is empty."), name);
    if (!fault) {
        self->size = (guint64)st.st_size;
        self->head_length = MIN(self->size, sizeof self->head);
        if (!bh_image_read_at(self->fd, 0, self->head, self->head_length))
            fault = open_error(name, errno ? errno : EIO);
    }
    if (!fault)
        return TRUE;
    g_propagate_error(error, fault);
    return FALSE;
}

void bh_image_file_clear(BhImageFile *self)
{
    if (self->fd >= 0)
        close(self->fd);
    self->fd = -1;
}

GError *bh_image_truncated_error(const char *path, guint64 size, guint64 expected)
{
    g_autofree char *name = g_filename_display_basename(path);
    g_autofree char *is = g_format_size_full(size, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *should = g_format_size_full(expected, G_FORMAT_SIZE_IEC_UNITS);
    g_autofree char *detail =
        g_strdup_printf("%" G_GUINT64_FORMAT " < %" G_GUINT64_FORMAT, size, expected);
    const char *hint = _("Its download or copy was probably interrupted: fetch it again.");

    if (expected == 0)
        return bh_error_new(BH_ERROR_INVALID, hint, NULL,
                            _("The file “%s” is truncated: its end is missing."), name);
    return bh_error_new(BH_ERROR_INVALID, hint, detail,
                        _("The file “%s” is truncated: it has %s of at least %s."), name, is,
                        should);
}

static gboolean starts_with(const BhImageFile *file, gsize at, const void *bytes, gsize n)
{
    return file->head_length >= at + n && memcmp(file->head + at, bytes, n) == 0;
}

static gboolean has_gpt(const BhImageFile *file)
{
    return starts_with(file, SECTOR, "EFI PART", 8);
}

static gboolean has_mbr(const BhImageFile *file)
{
    return starts_with(file, 510, "\x55\xaa", 2);
}

/* Where the last partition (or GPT's second header) ends. A boot sector of a bare file system has
 * the signature too; its "entries" are code and text, so only plausible ones count. */
static guint64 partitions_end(const BhImageFile *file)
{
    guint64 end = 0;

    if (has_gpt(file) && file->head_length >= SECTOR + 40) {
        guint64 backup = le64(file->head + SECTOR + 32);
        return backup < (G_GUINT64_CONSTANT(1) << 54) ? (backup + 1) * SECTOR : 0;
    }
    if (!has_mbr(file))
        return 0;
    for (int i = 0; i < 4; i++) {
        const guint8 *entry = file->head + 446 + 16 * i;
        guint64 start = le32(entry + 8), count = le32(entry + 12);
        if (entry[0] != 0 && entry[0] != 0x80)
            return 0;
        if (entry[4] != 0 && start > 0)
            end = MAX(end, (start + count) * SECTOR);
    }
    return end;
}

static gboolean has_raw_name(const char *path)
{
    static const char *const endings[] = {".raw", ".img", ".hdd", ".dd", ".bin"};
    g_autofree char *lower = g_ascii_strdown(path, -1);

    for (gsize i = 0; i < G_N_ELEMENTS(endings); i++)
        if (g_str_has_suffix(lower, endings[i]))
            return TRUE;
    return FALSE;
}

static GError *unknown_error(const char *path)
{
    g_autofree char *name = g_filename_display_basename(path);
    g_autofree char *lower = g_ascii_strdown(name, -1);
    static const char *const packed[] = {".gz", ".xz", ".bz2", ".zst", ".zip", ".7z", ".ova"};

    for (gsize i = 0; i < G_N_ELEMENTS(packed); i++)
        if (g_str_has_suffix(lower, packed[i]))
            return bh_error_new(BH_ERROR_INVALID, _("Unpack it and choose the image inside."), NULL,
                                _("“%s” is an archive, not a disk image."), name);
    return bh_error_new(
        BH_ERROR_INVALID,
        _("Bulkhead reads ISO files and qcow2, raw, VMDK, VDI, VHD and VHDX disk images."), NULL,
        _("“%s” is not a disk image or ISO."), name);
}

static GError *check_raw(const BhImageFile *file, const char *path)
{
    guint64 end = partitions_end(file);

    if (!has_gpt(file) && !has_mbr(file) && !has_raw_name(path))
        return unknown_error(path);
    if (end > file->size)
        return bh_image_truncated_error(path, file->size, end);
    if (file->size % SECTOR != 0)
        return has_gpt(file) || has_mbr(file) ? bh_image_truncated_error(path, file->size, 0)
                                              : unknown_error(path);
    return NULL;
}

/* VDI: qemu-img reads blocks beyond the end of the file as zeroes without a word. */
static GError *check_vdi(const BhImageFile *file, const char *path)
{
    guint64 data, block, allocated;

    if (file->head_length < 512)
        return bh_image_truncated_error(path, file->size, 512);
    data = le32(file->head + 0x158);
    block = le32(file->head + 0x178);
    allocated = le32(file->head + 0x184);
    if (data + block * allocated > file->size)
        return bh_image_truncated_error(path, file->size, data + block * allocated);
    return NULL;
}

static guint32 be32(const guint8 *p)
{
    return (guint32)p[0] << 24 | (guint32)p[1] << 16 | (guint32)p[2] << 8 | (guint32)p[3];
}

/* image-info.c refuses these too, but before that qemu-img has run, and some versions of it open
 * the data file while they look. */
static GError *check_qcow2(const BhImageFile *file, const char *path)
{
    guint64 name;
    guint32 length;
    g_autofree char *where = NULL;

    if (file->head_length < 104)
        return bh_image_truncated_error(path, file->size, 104);
    if (be32(file->head + 4) >= 3 && file->head[79] & 4)
        return bh_image_outside_error(_("its data file"), NULL);
    name = (guint64)be32(file->head + 8) << 32 | be32(file->head + 12);
    length = be32(file->head + 16);
    if (name == 0)
        return NULL;
    if (length < 1024 && name + length > name && name + length <= file->head_length)
        where = g_utf8_make_valid((const char *)file->head + name, length);
    return bh_image_outside_error(_("its backing file"), where);
}

static gboolean has_vhd_footer(const BhImageFile *file)
{
    guint8 footer[8];
    return file->size > 2 * SECTOR && file->size % SECTOR == 0 &&
           bh_image_read_at(file->fd, file->size - SECTOR, footer, sizeof footer) &&
           memcmp(footer, "conectix", 8) == 0;
}

static const char *signature_format(const BhImageFile *file)
{
    if (starts_with(file, 0, "QFI\xfb\0\0\0\2", 8) || starts_with(file, 0, "QFI\xfb\0\0\0\3", 8))
        return "qcow2";
    if (starts_with(file, 0, "KDMV", 4) || starts_with(file, 0, "# Disk DescriptorFile", 21))
        return "vmdk";
    if (starts_with(file, 0x40, "\x7f\x10\xda\xbe", 4))
        return "vdi";
    if (starts_with(file, 0, "vhdxfile", 8))
        return "vhdx";
    if (starts_with(file, 0, "conectix", 8) || has_vhd_footer(file))
        return "vpc";
    return NULL;
}

const char *bh_image_detect_format(const BhImageFile *file, const char *path, GError **error)
{
    const char *format = signature_format(file);
    GError *fault = NULL;

    if (g_strcmp0(format, "vmdk") == 0 && !bh_vmdk_check(file, path, error))
        return NULL;
    if (g_strcmp0(format, "qcow2") == 0)
        fault = check_qcow2(file, path);
    if (g_strcmp0(format, "vdi") == 0)
        fault = check_vdi(file, path);
    if (!format)
        fault = check_raw(file, path);
    if (fault) {
        g_propagate_error(error, fault);
        return NULL;
    }
    return format ? format : "raw";
}
