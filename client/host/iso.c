/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ISO 9660 and UDF volumes, as far as they matter before a machine boots one: is it one, can it be
 * booted, what does it call itself, and is the file as long as the volume says. Everything read
 * here is hostile input; every offset is checked against the bytes at hand.
 */
#include "image-private.h"

#include <string.h>

#define SECTOR 2048
#define FIRST_DESCRIPTOR (16 * SECTOR)
#define AVDP_SECTOR 256 /* where UDF's anchor is on media without bad sectors */

/* Some tools leave out the padding after the last file, which nothing reads. */
#define TRUNCATION_SLACK (64 * 1024)

static guint16 le16(const guint8 *p)
{
    return (guint16)(p[0] | p[1] << 8);
}

static guint32 le32(const guint8 *p)
{
    return (guint32)p[0] | (guint32)p[1] << 8 | (guint32)p[2] << 16 | (guint32)p[3] << 24;
}

static gboolean has_id(const guint8 *descriptor, const char *id)
{
    return memcmp(descriptor + 1, id, 5) == 0;
}

gboolean bh_iso_parse_head(const guint8 *head, gsize length, gboolean *bootable)
{
    gboolean iso = FALSE, udf_begin = FALSE, udf = FALSE, boot = FALSE;

    for (gsize at = FIRST_DESCRIPTOR; at + SECTOR <= length; at += SECTOR) {
        const guint8 *d = head + at;
        if (has_id(d, "CD001")) {
            iso = TRUE;
            boot |= d[0] == 0 && memcmp(d + 7, "EL TORITO SPECIFICATION", 23) == 0;
        } else if (has_id(d, "BEA01")) {
            udf_begin = TRUE;
        } else if (has_id(d, "NSR02") || has_id(d, "NSR03")) {
            udf |= udf_begin;
        } else if (!has_id(d, "TEA01") && !has_id(d, "BOOT2")) {
            break; /* the recognition sequence has no gaps */
        }
    }
    if (bootable)
        *bootable = boot;
    return iso || udf;
}

static const guint8 *find_primary(const guint8 *head, gsize length)
{
    for (gsize at = FIRST_DESCRIPTOR; at + SECTOR <= length; at += SECTOR) {
        const guint8 *d = head + at;
        if (!has_id(d, "CD001"))
            return NULL;
        if (d[0] == 1)
            return d;
    }
    return NULL;
}

char *bh_iso_volume_name(const guint8 *head, gsize length)
{
    const guint8 *primary = find_primary(head, length);
    g_autofree char *name = NULL;

    if (!primary)
        return NULL;
    name = g_utf8_make_valid((const char *)primary + 40, 32);
    for (char *p = name; *p; p++)
        if (g_ascii_iscntrl(*p))
            *p = ' ';
    g_strstrip(name);
    return *name ? g_steal_pointer(&name) : NULL;
}

/* End of the UDF partition, from the descriptors that the anchor points at; 0 when unknown. */
static guint64 udf_end(int fd)
{
    guint8 sector[SECTOR];
    guint32 count, where;

    if (!bh_image_read_at(fd, (guint64)AVDP_SECTOR * SECTOR, sector, SECTOR) || le16(sector) != 2)
        return 0;
    count = MIN(le32(sector + 16) / SECTOR, 32);
    where = le32(sector + 20);
    for (guint32 i = 0; i < count; i++) {
        if (!bh_image_read_at(fd, ((guint64)where + i) * SECTOR, sector, SECTOR))
            return 0;
        if (le16(sector) == 5) /* partition descriptor: start and length in sectors */
            return ((guint64)le32(sector + 188) + le32(sector + 192)) * SECTOR;
        if (le16(sector) == 8) /* terminator */
            return 0;
    }
    return 0;
}

guint64 bh_iso_expected_size(int fd, const guint8 *head, gsize length)
{
    const guint8 *primary = find_primary(head, length);
    guint64 end = udf_end(fd);

    if (primary) {
        guint16 block = le16(primary + 128);
        if (block >= 512 && block <= SECTOR)
            end = MAX(end, (guint64)le32(primary + 80) * block);
    }
    return end > TRUNCATION_SLACK ? end - TRUNCATION_SLACK : end;
}
