/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Names of USB devices.
 *
 * Manufacturer, product and serial come from the device, which may be hostile: they can hold any
 * bytes. What people see is valid UTF-8 on one line, without control, invisible or direction
 * characters (a name must not be able to turn the row around it, or look like another), with
 * bounded length and stacked accents.
 */
#include "usb-private.h"

#include <string.h>

#define MAX_NAME 64
#define MAX_SERIAL 64
#define MAX_MARKS 2

typedef enum { CHAR_KEEP, CHAR_SPACE, CHAR_DROP } CharUse;

static CharUse judge_char(gunichar c, guint *marks)
{
    switch (g_unichar_type(c)) {
    case G_UNICODE_CONTROL:
    case G_UNICODE_LINE_SEPARATOR:
    case G_UNICODE_PARAGRAPH_SEPARATOR:
    case G_UNICODE_SPACE_SEPARATOR:
        return CHAR_SPACE;
    case G_UNICODE_FORMAT: /* bidi overrides, zero-width characters, byte order mark */
    case G_UNICODE_UNASSIGNED:
    case G_UNICODE_PRIVATE_USE:
    case G_UNICODE_SURROGATE:
        return CHAR_DROP;
    case G_UNICODE_NON_SPACING_MARK:
    case G_UNICODE_ENCLOSING_MARK:
    case G_UNICODE_SPACING_MARK:
        return ++*marks > MAX_MARKS ? CHAR_DROP : CHAR_KEEP;
    default:
        *marks = 0;
        return CHAR_KEEP;
    }
}

char *bh_usb_sanitise(const char *raw)
{
    if (!raw)
        return NULL;
    /* Bounded before the conversion too: a sysfs attribute is at most a page, udev's is not. */
    g_autofree char *valid = g_utf8_make_valid(raw, strnlen(raw, 4096));
    g_autoptr(GString) out = g_string_new(NULL);
    guint marks = 0, length = 0;
    gboolean space = FALSE;
    for (const char *p = valid; *p && length < MAX_NAME; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);
        CharUse use = judge_char(c, &marks);
        if (use == CHAR_SPACE)
            space = TRUE;
        if (use != CHAR_KEEP)
            continue;
        if (space && out->len) {
            g_string_append_c(out, ' ');
            length++;
        }
        space = FALSE;
        g_string_append_unichar(out, c);
        if (++length == MAX_NAME && *g_utf8_next_char(p))
            g_string_append(out, "…");
    }
    return out->len ? g_strdup(out->str) : NULL;
}

/* Same answer for the raw string from sysfs and for udev's cleaned copy of it, so that an identity
 * does not depend on whether udevd runs. */
char *bh_usb_sanitise_serial(const char *raw)
{
    if (!raw)
        return NULL;
    g_autofree char *text = g_strstrip(g_strndup(raw, strnlen(raw, 4096)));
    g_autoptr(GString) out = g_string_new(NULL);
    gboolean varied = FALSE;
    for (const char *p = text; *p && out->len < MAX_SERIAL; p++) {
        /* udev drops such serial numbers whole: they are invalid by the mass storage standard. */
        if ((guchar)*p < 0x20 || (guchar)*p > 0x7f || *p == ',')
            return NULL;
        char c = g_ascii_isalnum(*p) || strchr(".-", *p) ? *p : '_';
        if (c == '_' && *p == ' ' && out->len && p[-1] == ' ')
            continue;
        g_string_append_c(out, c);
        varied = varied || c != out->str[0];
    }
    /* "000000" and the like is what a maker prints on every device. */
    return varied ? g_strdup(out->str) : NULL;
}

char *bh_usb_unescape(const char *encoded)
{
    if (!encoded)
        return NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    for (const char *p = encoded; *p; p++) {
        if (p[0] == '\\' && p[1] == 'x' && g_ascii_isxdigit(p[2]) && g_ascii_isxdigit(p[3])) {
            int c = g_ascii_xdigit_value(p[2]) * 16 + g_ascii_xdigit_value(p[3]);
            g_string_append_c(out, c ? c : ' ');
            p += 3;
        } else {
            g_string_append_c(out, *p);
        }
    }
    return g_strdup(out->str);
}

/* Finds "<prefix>  name" at the start of a line in [start, end). */
static const char *find_line(const char *start, const char *end, const char *prefix)
{
    gsize n = strlen(prefix);
    for (const char *line = start; line && (gsize)(end - line) > n;) {
        if (memcmp(line, prefix, n) == 0)
            return line;
        line = memchr(line, '\n', end - line);
        if (line)
            line++;
    }
    return NULL;
}

static char *line_value(const char *line, const char *end, gsize skip)
{
    const char *stop = memchr(line, '\n', end - line);
    g_autofree char *raw = g_strndup(line + skip, (stop ? stop : end) - line - skip);
    return bh_usb_sanitise(raw);
}

/* The end of a vendor's block: the next line that is neither indented nor a comment. */
static const char *block_end(const char *line, const char *end)
{
    const char *p = line;
    while ((p = memchr(p, '\n', end - p)) && ++p < end)
        if (*p != '\t' && *p != '#')
            return p;
    return end;
}

void bh_usb_ids_lookup(const char *file, guint16 vendor, guint16 product, char **vendor_name,
                       char **product_name)
{
    static const char *const places[] = {"/usr/share/misc/usb.ids", "/usr/share/hwdata/usb.ids",
                                         "/var/lib/usbutils/usb.ids"};
    g_autoptr(GMappedFile) map = file ? g_mapped_file_new(file, FALSE, NULL) : NULL;
    *vendor_name = *product_name = NULL;
    for (guint i = 0; !map && !file && i < G_N_ELEMENTS(places); i++)
        map = g_mapped_file_new(places[i], FALSE, NULL);
    if (!map || !g_mapped_file_get_contents(map))
        return;
    const char *start = g_mapped_file_get_contents(map);
    const char *end = start + g_mapped_file_get_length(map);
    char prefix[16];
    g_snprintf(prefix, sizeof prefix, "%04x  ", vendor);
    const char *line = find_line(start, end, prefix);
    if (!line)
        return;
    *vendor_name = line_value(line, end, 6);
    end = block_end(line, end);
    g_snprintf(prefix, sizeof prefix, "\t%04x  ", product);
    line = find_line(line, end, prefix);
    if (line)
        *product_name = line_value(line, end, 7);
}

static gboolean starts_with_word(const char *text, const char *word)
{
    g_autofree char *a = g_utf8_casefold(text, -1), *b = g_utf8_casefold(word, -1);
    gsize n = strlen(b);
    return strncmp(a, b, n) == 0 && (a[n] == '\0' || a[n] == ' ');
}

char *bh_usb_compose_name(const char *vendor_name, const char *product_name, guint16 vendor,
                          guint16 product)
{
    if (product_name && vendor_name)
        return starts_with_word(product_name, vendor_name)
                   ? g_strdup(product_name)
                   : g_strdup_printf("%s %s", vendor_name, product_name);
    if (product_name)
        return g_strdup(product_name);
    if (vendor_name)
        return g_strdup_printf("%s %04x:%04x", vendor_name, vendor, product);
    return g_strdup_printf("USB %04x:%04x", vendor, product);
}
