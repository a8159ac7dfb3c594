/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Fuzz target: the JSON that "qemu-img info" prints about a hostile image. */
#include "../image-private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autoptr(BhMediaInfo) info = g_new0(BhMediaInfo, 1);
    g_autoptr(GError) error = NULL;
    /* An exact copy, so that a read beyond the end is seen. */
    g_autofree char *copy = size ? g_memdup2(data, size) : g_strdup("");
    gboolean good = bh_image_parse_info(copy, (gssize)size, info, &error);

    if (good == (error != NULL))
        abort();
    if (good && (!info->format || info->virtual_size == 0))
        abort();
    return 0;
}
