/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: the first bytes of a file that may be an ISO. The input is put where a volume's
 * descriptors are, after 32 KiB that no parser looks at. */
#include "../image-private.h"

#include <stdlib.h>
#include <string.h>

#define SYSTEM_AREA 32768

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    gsize length = SYSTEM_AREA + size;
    g_autofree guint8 *head = g_malloc0(length);
    gboolean bootable = FALSE, iso;
    g_autofree char *volume = NULL;

    if (size)
        memcpy(head + SYSTEM_AREA, data, size);
    iso = bh_iso_parse_head(head, length, &bootable);
    volume = bh_iso_volume_name(head, length);
    if ((volume || bootable) && !iso)
        abort();
    if (volume && (!g_utf8_validate(volume, -1, NULL) || !*volume))
        abort();
    bh_iso_expected_size(-1, head, length);
    bh_iso_parse_head(data, size, NULL);
    return 0;
}
