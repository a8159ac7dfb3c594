/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fuzz target: the USB rules file, and the texts from /proc and from devices. A rules file that is
 * accepted must survive being written and read again.
 */
#include "../usb-private.h"

#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size);

static void check_rules(const char *text, gsize size)
{
    g_autoptr(GHashTable) table = bh_usb_rules_parse(text, size, NULL);
    gsize length, length_again;
    if (!table)
        return;
    g_autofree char *written = bh_usb_rules_format(table, &length);
    g_autoptr(GHashTable) again = bh_usb_rules_parse(written, length, NULL);
    if (!again)
        abort();
    g_autofree char *rewritten = bh_usb_rules_format(again, &length_again);
    if (length != length_again || strcmp(written, rewritten) != 0)
        abort();
}

int LLVMFuzzerTestOneInput(const guint8 *data, gsize size)
{
    g_autofree char *text = g_strndup((const char *)data, size);
    check_rules((const char *)data, size);
    g_autoptr(GPtrArray) mounts = bh_usb_parse_mounts(text);
    g_autoptr(GPtrArray) swaps = bh_usb_parse_swaps(text);
    g_autoptr(GHashTable) set = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bh_usb_parse_routes(text, set);
    bh_usb_parse_ipv6_routes(text, set);
    g_autofree char *name = bh_usb_sanitise(text);
    if (name && !g_utf8_validate(name, -1, NULL))
        abort();
    g_autofree char *serial = bh_usb_sanitise_serial(text);
    g_autofree char *id = g_strconcat("0951:1666:", serial ? serial : "x", NULL);
    if (!bh_usb_id_is_valid(id))
        abort();
    g_free(bh_usb_unescape(text));
    return 0;
}
