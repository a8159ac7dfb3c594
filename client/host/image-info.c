/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What "qemu-img info --output=json" says about an image, and which images are refused for it.
 *
 * The text is made by qemu-img from a hostile file, so member types are checked, and nesting is
 * bounded before json-glib (which parses recursively) sees it. An image that refers to any other
 * file is refused here: nothing after this point ever opens a backing or data file.
 */
#include "image-private.h"

#include <bulkhead/error.h>
#include <glib/gi18n-lib.h>
#include <json-glib/json-glib.h>
#include <string.h>

#define MAX_JSON (1024 * 1024)
#define MAX_DEPTH 32
#define MAX_VIRTUAL_SIZE (G_GUINT64_CONSTANT(64) << 40)

static gboolean is_sane(const char *json, gsize length)
{
    guint depth = 0;
    gboolean quoted = FALSE;

    if (length > MAX_JSON || !g_utf8_validate_len(json, length, NULL))
        return FALSE;
    for (gsize i = 0; i < length; i++) {
        char c = json[i];
        if (quoted && c == '\\')
            i++;
        else if (c == '"')
            quoted = !quoted;
        else if (!quoted && (c == '{' || c == '['))
            depth++;
        else if (!quoted && (c == '}' || c == ']') && depth > 0)
            depth--;
        if (depth > MAX_DEPTH)
            return FALSE;
    }
    return TRUE;
}

static JsonNode *member(JsonObject *object, const char *name, GType type)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_VALUE(node) && json_node_get_value_type(node) == type ? node
                                                                                         : NULL;
}

static const char *string_member(JsonObject *object, const char *name)
{
    JsonNode *node = member(object, name, G_TYPE_STRING);
    return node ? json_node_get_string(node) : NULL;
}

static gboolean true_member(JsonObject *object, const char *name)
{
    JsonNode *node = member(object, name, G_TYPE_BOOLEAN);
    return node && json_node_get_boolean(node);
}

static JsonObject *object_member(JsonObject *object, const char *name)
{
    JsonNode *node = object ? json_object_get_member(object, name) : NULL;
    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node) : NULL;
}

static gboolean has_value(JsonObject *object, const char *name)
{
    return object && json_object_has_member(object, name) &&
           !json_node_is_null(json_object_get_member(object, name));
}

GError *bh_image_outside_error(const char *what, const char *where)
{
    return bh_error_new(
        BH_ERROR_INVALID,
        _("Make a complete copy of it where it was made, with “qemu-img convert”, and use that."),
        where, _("The image is incomplete: it needs %s, a different file (“%s”)."), what,
        where ? where : "?");
}

/* Everything that would make a tool look at a file other than this one. */
static GError *find_outside_file(JsonObject *root, JsonObject *data)
{
    if (has_value(root, "backing-filename") || has_value(root, "full-backing-filename") ||
        has_value(root, "backing-image"))
        return bh_image_outside_error(_("its backing file"),
                                      string_member(root, "backing-filename"));
    if (has_value(data, "data-file"))
        return bh_image_outside_error(_("its data file"), string_member(data, "data-file"));
    return NULL;
}

static GError *find_fault(JsonObject *root, JsonObject *data)
{
    GError *outside = find_outside_file(root, data);

    if (outside)
        return outside;
    if (true_member(root, "encrypted") || has_value(data, "encrypt"))
        return bh_error_new(BH_ERROR_INVALID,
                            _("Decrypt it first, for example with “qemu-img convert”."), NULL,
                            _("The image is encrypted."));
    if (true_member(data, "corrupt"))
        return bh_error_new(
            BH_ERROR_INVALID,
            _("Make a copy of it and try to repair the copy with “qemu-img check -r all”."), NULL,
            _("The image is marked as corrupt."));
    return NULL;
}

static gboolean is_known_format(const char *format)
{
    static const char *const formats[] = {"qcow2", "raw", "vmdk", "vdi", "vhdx", "vpc", NULL};
    return format && g_strv_contains(formats, format);
}

static GError *read_root(JsonObject *root, BhMediaInfo *info)
{
    JsonNode *size = member(root, "virtual-size", G_TYPE_INT64);
    const char *format = string_member(root, "format");
    GError *fault = NULL;

    if (!is_known_format(format))
        return bh_error_new(BH_ERROR_INVALID, NULL, format, _("The image's format is unknown."));
    fault = find_fault(root, object_member(object_member(root, "format-specific"), "data"));
    if (fault)
        return fault;
    if (!size || json_node_get_int(size) <= 0)
        return bh_error_new(BH_ERROR_INVALID, NULL, NULL, _("The image is an empty disk."));
    if ((guint64)json_node_get_int(size) > MAX_VIRTUAL_SIZE)
        return bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                            _("The image claims an impossible size. It is probably corrupt."));
    info->kind = BH_MEDIA_DISK;
    g_free(info->format);
    info->format = g_strdup(format);
    info->virtual_size = (guint64)json_node_get_int(size);
    return NULL;
}

gboolean bh_image_parse_info(const char *json, gssize length, BhMediaInfo *info, GError **error)
{
    g_autoptr(JsonParser) parser = json_parser_new_immutable();
    gsize n = length < 0 ? strlen(json) : (gsize)length;
    JsonNode *root = NULL;
    GError *fault = NULL;

    if (is_sane(json, n) && json_parser_load_from_data(parser, json, n, NULL))
        root = json_parser_get_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root))
        fault = bh_error_new(BH_ERROR_FAILED, NULL, NULL,
                             _("The answer of qemu-img about the image cannot be understood."));
    else
        fault = read_root(json_node_get_object(root), info);
    if (!fault)
        return TRUE;
    g_propagate_error(error, fault);
    return FALSE;
}
