/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VMDK is two things: a sparse file with a text descriptor inside, or a text file naming the files
 * ("extents") that hold the data. Such names may lead anywhere on the host, so before qemu-img
 * opens one, each must be a plain file next to the descriptor, and there must be no parent image.
 */
#include "image-private.h"

#include <bulkhead/error.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define SECTOR 512
#define MAX_DESCRIPTOR (1024 * 1024)
#define MAX_SECTORS (1LL << 50)

static guint64 le64(const guint8 *p)
{
    guint64 value = 0;
    for (int i = 7; i >= 0; i--)
        value = value << 8 | p[i];
    return value;
}

static GError *elsewhere_error(const char *path, const char *what)
{
    g_autofree char *name = g_filename_display_basename(path);
    g_autofree char *shown = g_utf8_make_valid(what, -1);

    return bh_error_new(
        BH_ERROR_INVALID, _("Put all its parts into one folder, or export the machine again."),
        shown, _("The image “%s” is incomplete: it needs a different file (“%s”)."), name, shown);
}

/* Refuses any name that is not simply a regular file beside the descriptor. ':' because QEMU takes
 * "nbd:..." and friends for protocols. */
static GError *check_extent_name(const char *path, const char *extent, guint64 *size)
{
    g_autofree char *folder = g_path_get_dirname(path);
    g_autofree char *full = g_build_filename(folder, extent, NULL);
    GStatBuf st;

    if (!*extent || strpbrk(extent, "/\\:") || strcmp(extent, "..") == 0)
        return elsewhere_error(path, extent);
    if (g_lstat(full, &st) != 0 || !S_ISREG(st.st_mode))
        return elsewhere_error(path, extent);
    *size = (guint64)st.st_size;
    return NULL;
}

/* Of the form: RW 4192256 SPARSE "disk-s001.vmdk" [offset]. The pattern is deliberately matched
 * from each start of a line against all the text that follows, because that is how QEMU matches it:
 * its blanks may be line ends. */
static GError *check_extent_at(const char *path, const char *text)
{
    char access[10], type[10], extent[512];
    long long sectors, start = 0;
    guint64 size = 0, end;
    GError *fault;
    int found =
        sscanf(text, "%9s %lld %9s \"%511[^\n\r\"]\" %lld", access, &sectors, type, extent, &start);

    if (found < 4)
        return NULL;
    fault = check_extent_name(path, extent, &size);
    if (fault || (strcmp(type, "FLAT") != 0 && strcmp(type, "VMFS") != 0))
        return fault;
    if (sectors <= 0 || sectors > MAX_SECTORS || start < 0 || start > MAX_SECTORS)
        return elsewhere_error(path, extent);
    /* QEMU would read the missing part as zeroes. */
    end = (guint64)(start + sectors) * SECTOR;
    return end > size ? bh_image_truncated_error(extent, size, end) : NULL;
}

static GError *check_extents(const char *path, const char *text)
{
    for (const char *p = text; p; p = strpbrk(p, "\r\n")) {
        GError *fault = NULL;
        if (p != text)
            p++;
        fault = check_extent_at(path, p);
        if (fault)
            return fault;
    }
    return NULL;
}

static gboolean is_parent_line(const char *line)
{
    if (g_ascii_strncasecmp(line, "parentCID", 9) == 0)
        return !g_strrstr(line, "ffffffff") && !g_strrstr(line, "FFFFFFFF");
    return g_ascii_strncasecmp(line, "parentFileNameHint", 18) == 0;
}

static GError *check_descriptor(const char *path, const char *text, gboolean extents)
{
    g_auto(GStrv) lines = g_strsplit_set(text, "\r\n", -1);

    for (char **line = lines; *line; line++)
        if (is_parent_line(g_strstrip(*line)))
            return elsewhere_error(path, *line);
    return extents ? check_extents(path, text) : NULL;
}

static char *read_text(const BhImageFile *file, guint64 offset, guint64 length)
{
    g_autofree char *text = NULL;

    length = MIN(length, MAX_DESCRIPTOR);
    if (length == 0 || offset >= file->size)
        return NULL;
    length = MIN(length, file->size - offset);
    text = g_malloc0(length + 1);
    return bh_image_read_at(file->fd, offset, text, length) ? g_steal_pointer(&text) : NULL;
}

/* A header without capacity makes QEMU take the embedded descriptor for a text image, so then the
 * extents count too; otherwise they only repeat the file's own (former) name. */
static GError *check_sparse(const BhImageFile *file, const char *path)
{
    guint64 capacity, offset, size;
    g_autofree char *text = NULL;

    if (file->head_length < SECTOR)
        return bh_image_truncated_error(path, file->size, SECTOR);
    capacity = le64(file->head + 12);
    offset = le64(file->head + 28);
    size = le64(file->head + 36);
    if (offset == 0 && size == 0)
        return NULL;
    if (offset > file->size / SECTOR)
        return bh_image_truncated_error(path, file->size, 0);
    /* QEMU reads MAX(size, 20 sectors). */
    text = read_text(file, offset * SECTOR, MAX(MIN(size, MAX_DESCRIPTOR / SECTOR), 20) * SECTOR);
    return text ? check_descriptor(path, text, capacity == 0) : NULL;
}

gboolean bh_vmdk_check(const BhImageFile *file, const char *path, GError **error)
{
    GError *fault = NULL;

    if (memcmp(file->head, "KDMV", 4) == 0) {
        fault = check_sparse(file, path);
    } else if (file->size > MAX_DESCRIPTOR) {
        fault = elsewhere_error(path, _("too long a description"));
    } else {
        g_autofree char *text = read_text(file, 0, file->size);
        /* QEMU stops at the first NUL, too. */
        fault = text ? check_descriptor(path, text, TRUE)
                     : bh_image_truncated_error(path, file->size, 0);
    }
    if (!fault)
        return TRUE;
    g_propagate_error(error, fault);
    return FALSE;
}
