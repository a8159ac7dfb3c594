/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * $XDG_CACHE_HOME/bulkhead/accel.json: the last probe's outcome. Valid for this boot, this QEMU and
 * these rights to /dev/kvm. A "no" also grows old: it may have been a computer too busy to answer
 * in time.
 */
#include "accel-private.h"

#include <glib/gstdio.h>
#include <json-glib/json-glib.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_FILE (64 * 1024)
#define NO_LASTS_SECONDS 3600
/* Raised when the probe itself changes what it demands. */
#define PROBE_VERSION 1

static char *cache_path(void)
{
    return g_build_filename(g_get_user_cache_dir(), "bulkhead", "accel.json", NULL);
}

char *bh_accel_cache_key(const char *emulator, const char *device)
{
    g_autofree char *boot = NULL;
    GStatBuf program = {0}, node = {0};
    gboolean have_node = g_stat(device, &node) == 0;

    if (!g_file_get_contents("/proc/sys/kernel/random/boot_id", &boot, NULL, NULL) ||
        g_stat(emulator, &program) != 0)
        return NULL;
    g_strstrip(boot);
    return g_strdup_printf("%d|%s|%s|%" G_GINT64_FORMAT ".%ld|%" G_GINT64_FORMAT
                           "|%d|%lx|%o|%u:%u|%u:%u|%d",
                           PROBE_VERSION, boot, emulator, (gint64)program.st_mtim.tv_sec,
                           (long)program.st_mtim.tv_nsec, (gint64)program.st_size, have_node,
                           have_node ? (unsigned long)node.st_rdev : 0, node.st_mode, node.st_uid,
                           node.st_gid, geteuid(), getegid(), g_access(device, R_OK | W_OK) == 0);
}

static gboolean is_fresh(JsonObject *root, BhProbe probe)
{
    gint64 age = g_get_real_time() / G_USEC_PER_SEC -
                 json_object_get_int_member_with_default(root, "time", 0);

    return probe == BH_PROBE_WORKS || (age >= 0 && age < NO_LASTS_SECONDS);
}

static JsonObject *read_object(JsonParser *parser)
{
    g_autofree char *path = cache_path();
    GStatBuf st;
    JsonNode *root;

    if (g_stat(path, &st) != 0 || !S_ISREG(st.st_mode) || st.st_size > MAX_FILE ||
        !json_parser_load_from_file(parser, path, NULL))
        return NULL;
    root = json_parser_get_root(parser);
    return root && JSON_NODE_HOLDS_OBJECT(root) ? json_node_get_object(root) : NULL;
}

static JsonNode *value_of(JsonObject *object, const char *name, GType type)
{
    JsonNode *node = json_object_get_member(object, name);
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node
                                                                                         : NULL;
}

gboolean bh_accel_cache_read(const char *key, BhProbeResult *result)
{
    g_autoptr(JsonParser) parser = json_parser_new();
    JsonObject *root = read_object(parser);
    JsonNode *stored, *probe, *when, *detail;

    if (!root)
        return FALSE;
    stored = value_of(root, "key", G_TYPE_STRING);
    probe = value_of(root, "probe", G_TYPE_INT64);
    when = value_of(root, "time", G_TYPE_INT64);
    detail = value_of(root, "detail", G_TYPE_STRING);
    if (!stored || !probe || !when || g_strcmp0(json_node_get_string(stored), key) != 0)
        return FALSE;
    if (json_node_get_int(probe) < 0 || json_node_get_int(probe) >= BH_PROBE_CANCELLED ||
        !is_fresh(root, (BhProbe)json_node_get_int(probe)))
        return FALSE;
    result->probe = (BhProbe)json_node_get_int(probe);
    result->detail = detail ? g_strdup(json_node_get_string(detail)) : NULL;
    return TRUE;
}

void bh_accel_cache_write(const char *key, const BhProbeResult *result)
{
    g_autoptr(JsonBuilder) builder = json_builder_new();
    g_autoptr(JsonNode) root = NULL;
    g_autofree char *path = cache_path(), *folder = g_path_get_dirname(path), *text = NULL;

    json_builder_begin_object(builder);
    json_builder_set_member_name(builder, "key");
    json_builder_add_string_value(builder, key);
    json_builder_set_member_name(builder, "time");
    json_builder_add_int_value(builder, g_get_real_time() / G_USEC_PER_SEC);
    json_builder_set_member_name(builder, "probe");
    json_builder_add_int_value(builder, result->probe);
    if (result->detail) {
        json_builder_set_member_name(builder, "detail");
        json_builder_add_string_value(builder, result->detail);
    }
    json_builder_end_object(builder);
    root = json_builder_get_root(builder);
    text = json_to_string(root, TRUE);
    /* Only a cache: when it cannot be written the probe is run again next time. */
    if (g_mkdir_with_parents(folder, 0700) == 0)
        g_file_set_contents(path, text, -1, NULL);
}
