/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A few words for walking and changing libxml2 trees. All are safe on NULL nodes. */
#pragma once

#include <glib.h>
#include <libxml/tree.h>

#define BH_XML_NAMESPACE "urn:bulkhead:machine:1"
#define OSINFO_XML_NAMESPACE "http://libosinfo.org/xmlns/libvirt/domain/1.0"

G_DEFINE_AUTOPTR_CLEANUP_FUNC(xmlDoc, xmlFreeDoc)

/* Parses without network, entities or messages; NULL with BH_ERROR_INVALID. */
xmlDoc *bh_xml_parse(const char *xml, GError **error);
char *bh_xml_to_string(xmlDoc *doc);

/* First child element of that name (no namespace), or the next sibling element of the same name. */
xmlNode *bh_xml_child(xmlNode *node, const char *name);
xmlNode *bh_xml_next(xmlNode *node);
/* Walks a path of child names: bh_xml_path(root, "devices", "tpm", NULL). */
xmlNode *bh_xml_path(xmlNode *node, ...) G_GNUC_NULL_TERMINATED;
/* The child element of that name and namespace. */
xmlNode *bh_xml_child_ns(xmlNode *node, const char *name, const char *ns);

/* Attribute or text; caller frees; NULL when there is none. */
char *bh_xml_attr(xmlNode *node, const char *name);
char *bh_xml_text(xmlNode *node);
gboolean bh_xml_attr_is(xmlNode *node, const char *name, const char *value);
/* Unsigned attribute; accepts 0x.. too; fallback when missing or malformed. */
guint64 bh_xml_attr_uint(xmlNode *node, const char *name, guint64 fallback);

void bh_xml_set(xmlNode *node, const char *name, const char *value); /* NULL removes */
void bh_xml_set_text(xmlNode *node, const char *text);
xmlNode *bh_xml_add(xmlNode *parent, const char *name); /* at the end */
xmlNode *bh_xml_ensure(xmlNode *parent, const char *name);
/* Parses a fragment of one element and appends it. */
xmlNode *bh_xml_add_fragment(xmlNode *parent, const char *fragment);
void bh_xml_remove(xmlNode *node);

/* The text without what XML 1.0 cannot carry (control characters, U+FFFE, broken UTF-8). */
char *bh_xml_clean(const char *text);
