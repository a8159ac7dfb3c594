/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See xml-util.h. Domain XML may come from anywhere: the parser gets no network, no entity
 * substitution and libxml2's default size limits. */
#include "xml-util.h"

#include <string.h>

#include <glib/gi18n-lib.h>
#include <libxml/parser.h>

#include <bulkhead/error.h>

#define X(text) ((const xmlChar *)(text))

xmlDoc *bh_xml_parse(const char *xml, GError **error)
{
    const int options = XML_PARSE_NONET | XML_PARSE_NOERROR | XML_PARSE_NOWARNING;
    gsize length = strlen(xml);
    xmlDoc *doc = length < G_MAXINT ? xmlReadMemory(xml, (int)length, NULL, NULL, options) : NULL;

    if (doc && xmlDocGetRootElement(doc))
        return doc;
    if (doc)
        xmlFreeDoc(doc);
    g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                                          _("The machine's definition is not valid XML.")));
    return NULL;
}

char *bh_xml_to_string(xmlDoc *doc)
{
    xmlChar *buffer = NULL;
    int size = 0;

    xmlDocDumpMemoryEnc(doc, &buffer, &size, "UTF-8");
    char *text = g_strndup((char *)buffer, size);
    xmlFree(buffer);
    return text;
}

static xmlNode *find_from(xmlNode *node, const char *name)
{
    for (; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && !node->ns && xmlStrEqual(node->name, X(name)))
            return node;
    return NULL;
}

xmlNode *bh_xml_child(xmlNode *node, const char *name)
{
    return node ? find_from(node->children, name) : NULL;
}

xmlNode *bh_xml_next(xmlNode *node)
{
    return node ? find_from(node->next, (const char *)node->name) : NULL;
}

xmlNode *bh_xml_path(xmlNode *node, ...)
{
    va_list args;
    const char *name;

    va_start(args, node);
    while (node && (name = va_arg(args, const char *)))
        node = bh_xml_child(node, name);
    va_end(args);
    return node;
}

xmlNode *bh_xml_child_ns(xmlNode *node, const char *name, const char *ns)
{
    for (node = node ? node->children : NULL; node; node = node->next)
        if (node->type == XML_ELEMENT_NODE && node->ns && xmlStrEqual(node->ns->href, X(ns)) &&
            xmlStrEqual(node->name, X(name)))
            return node;
    return NULL;
}

static char *take(xmlChar *value)
{
    char *copy = value ? g_strdup((char *)value) : NULL;

    xmlFree(value);
    return copy;
}

char *bh_xml_attr(xmlNode *node, const char *name)
{
    return node ? take(xmlGetNoNsProp(node, X(name))) : NULL;
}

char *bh_xml_text(xmlNode *node)
{
    return node ? take(xmlNodeGetContent(node)) : NULL;
}

gboolean bh_xml_attr_is(xmlNode *node, const char *name, const char *value)
{
    g_autofree char *present = bh_xml_attr(node, name);
    return g_strcmp0(present, value) == 0;
}

guint64 bh_xml_attr_uint(xmlNode *node, const char *name, guint64 fallback)
{
    g_autofree char *text = bh_xml_attr(node, name);
    char *end = NULL;

    if (!text || !g_ascii_isdigit(*text))
        return fallback;
    guint64 value = g_ascii_strtoull(text, &end, g_str_has_prefix(text, "0x") ? 16 : 10);
    return *end ? fallback : value;
}

void bh_xml_set(xmlNode *node, const char *name, const char *value)
{
    if (value)
        xmlSetProp(node, X(name), X(value));
    else
        xmlUnsetProp(node, X(name));
}

void bh_xml_set_text(xmlNode *node, const char *text)
{
    xmlNodeSetContent(node, NULL);
    xmlNodeAddContent(node, X(text)); /* escapes, unlike xmlNodeSetContent */
}

xmlNode *bh_xml_add(xmlNode *parent, const char *name)
{
    return xmlNewChild(parent, NULL, X(name), NULL);
}

xmlNode *bh_xml_ensure(xmlNode *parent, const char *name)
{
    xmlNode *node = bh_xml_child(parent, name);
    return node ? node : bh_xml_add(parent, name);
}

xmlNode *bh_xml_add_fragment(xmlNode *parent, const char *fragment)
{
    g_autoptr(xmlDoc) doc = bh_xml_parse(fragment, NULL);

    g_return_val_if_fail(doc, NULL);
    return xmlAddChild(parent, xmlDocCopyNode(xmlDocGetRootElement(doc), parent->doc, 1));
}

void bh_xml_remove(xmlNode *node)
{
    if (!node)
        return;
    xmlUnlinkNode(node);
    xmlFreeNode(node);
}

char *bh_xml_clean(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *clean = g_string_sized_new(strlen(valid));

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        gboolean allowed = c >= 0x20 ? (c != 0xfffe && c != 0xffff) : (c == '\n' || c == '\t');
        if (allowed)
            g_string_append_unichar(clean, c);
    }
    return g_string_free(clean, FALSE);
}
