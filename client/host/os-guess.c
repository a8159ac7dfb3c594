/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Systems by name: from the words of a file name or volume label, and for versions that are newer
 * than the database (Debian 12's does not know Debian 12), which get what the nearest older version
 * of the same family is known to support.
 */
#include "os-private.h"

#include <stdlib.h>
#include <string.h>

/* Words in names of files and labels, and the stem of short ids they stand for. With exact set, the
 * family's versions are not in order of their numbers. */
static const struct {
    const char *word, *stem;
    gboolean exact;
} families[] = {
    {"debian", "debian", FALSE},
    {"ubuntu", "ubuntu", FALSE},
    {"kubuntu", "ubuntu", FALSE},
    {"xubuntu", "ubuntu", FALSE},
    {"lubuntu", "ubuntu", FALSE},
    {"fedora", "fedora", FALSE},
    {"win", "win", TRUE},
    {"windows", "win", TRUE},
    {"rhel", "rhel", FALSE},
    {"almalinux", "almalinux", FALSE},
    {"rocky", "rocky", FALSE},
    {"alpine", "alpinelinux", FALSE},
    {"opensuse", "opensuse", FALSE},
    {"freebsd", "freebsd", FALSE},
    {"openbsd", "openbsd", FALSE},
    {"netbsd", "netbsd", FALSE},
    {"archlinux", "archlinux", FALSE},
    {"centos", "centos", FALSE},
};

static int family_of(const char *word)
{
    for (gsize i = 0; i < G_N_ELEMENTS(families); i++)
        if (strcmp(word, families[i].word) == 0)
            return (int)i;
    return -1;
}

static gboolean is_version(const char *text)
{
    return g_ascii_isdigit(*text) && strspn(text, "0123456789.") == strlen(text) &&
           strlen(text) < 16;
}

/* Compares dotted numbers. */
static int compare_versions(const char *a, const char *b)
{
    while (*a || *b) {
        char *a_end, *b_end;
        unsigned long x = strtoul(a, &a_end, 10), y = strtoul(b, &b_end, 10);
        if (x != y)
            return x < y ? -1 : 1;
        a = *a_end == '.' ? a_end + 1 : "";
        b = *b_end == '.' ? b_end + 1 : "";
    }
    return 0;
}

static const char *entry_version(const BhOsEntry *entry, const char *stem)
{
    if (!entry->short_id || !g_str_has_prefix(entry->short_id, stem))
        return NULL;
    return is_version(entry->short_id + strlen(stem)) ? entry->short_id + strlen(stem) : NULL;
}

static const BhOsEntry *find_exact(const char *stem, const char *version)
{
    g_autofree char *name = g_strconcat(stem, version, NULL);
    const BhOsEntry *entry;

    while (!(entry = bh_os_table_find(name))) {
        char *dot = strrchr(name + strlen(stem), '.');
        if (!dot)
            return NULL;
        *dot = '\0';
    }
    return entry;
}

static const BhOsEntry *find_older(const char *stem, const char *version)
{
    GPtrArray *table = bh_os_table();
    const BhOsEntry *best = NULL;
    const char *best_version = "";

    for (guint i = 0; i < table->len; i++) {
        const char *is = entry_version(table->pdata[i], stem);
        if (is && compare_versions(is, version) < 0 && compare_versions(is, best_version) > 0) {
            best = table->pdata[i];
            best_version = is;
        }
    }
    return best;
}

static guint count_dots(const char *text)
{
    guint dots = 0;
    for (; *text; text++)
        dots += *text == '.';
    return dots;
}

/* "12.5.0" with the precision of "11": "12". */
static char *cut_like(const char *version, const char *model)
{
    g_auto(GStrv) parts = g_strsplit(version, ".", -1);
    guint keep = count_dots(model) + 1;

    for (guint i = g_strv_length(parts); i > keep; i--)
        g_clear_pointer(&parts[i - 1], g_free);
    return g_strjoinv(".", parts);
}

static char *replace_last(const char *text, const char *old, const char *new)
{
    const char *at = g_strrstr(text, old);

    if (!at)
        return NULL;
    return g_strdup_printf("%.*s%s%s", (int)(at - text), text, new, at + strlen(old));
}

static BhOs *make_stand_in(const BhOsEntry *older, const char *older_version, const char *version)
{
    g_autofree char *cut = cut_like(version, older_version);
    g_autofree char *id = replace_last(older->os.id, older_version, cut);
    g_autofree char *name = replace_last(older->os.name, older_version, cut);
    BhOs *os;

    if (!id || !name)
        return NULL;
    os = bh_os_copy(&older->os);
    g_free(os->id);
    g_free(os->name);
    os->id = g_steal_pointer(&id);
    os->name = g_steal_pointer(&name);
    return os;
}

BhOs *bh_os_resolve(const char *stem, const char *version)
{
    const BhOsEntry *entry = find_exact(stem, version);

    if (entry)
        return bh_os_copy(&entry->os);
    entry = find_older(stem, version);
    return entry ? make_stand_in(entry, entry_version(entry, stem), version) : NULL;
}

/* The version behind words[at], whose letters end at digits: "debian12", or a later word of its
 * own. */
static const char *find_version(char **words, guint at, const char *digits)
{
    if (*digits)
        return is_version(digits) ? digits : NULL;
    for (guint i = at + 1; words[i] && i <= at + 5; i++)
        if (is_version(words[i]))
            return words[i];
    return NULL;
}

static BhOs *guess_at(char **words, guint at)
{
    gsize letters = strcspn(words[at], "0123456789.");
    g_autofree char *word = g_strndup(words[at], letters);
    int family = family_of(word);
    const char *version;
    const BhOsEntry *entry;
    BhOs *os = NULL;

    if (family < 0)
        return NULL;
    version = find_version(words, at, words[at] + letters);
    if (version && !families[family].exact)
        os = bh_os_resolve(families[family].stem, version);
    if (os)
        return os;
    entry = version ? find_exact(families[family].stem, version) : NULL;
    if (!entry) /* a rolling release has no version, only dates */
        entry = bh_os_table_find(families[family].stem);
    return entry ? bh_os_copy(&entry->os) : NULL;
}

static char **split_words(const char *text)
{
    static const char *const noise[] = {"x86_64", "x86-64", "amd64", "x64", "i386"};
    g_autofree char *lower = g_ascii_strdown(text, -1);

    for (gsize i = 0; i < G_N_ELEMENTS(noise); i++)
        for (char *p = strstr(lower, noise[i]); p; p = strstr(p, noise[i]))
            memset(p, ' ', strlen(noise[i]));
    for (char *p = lower; *p; p++)
        if (!g_ascii_isalnum(*p) && *p != '.')
            *p = ' ';
    return g_strsplit(lower, " ", -1);
}

static void drop_empty(char **words)
{
    char **to = words;

    for (char **from = words; *from; from++) {
        if (**from)
            *to++ = *from;
        else
            g_free(*from);
    }
    *to = NULL;
}

BhOs *bh_os_guess(const char *text)
{
    g_auto(GStrv) words = split_words(text);
    BhOs *os = NULL;

    drop_empty(words);
    for (guint i = 0; words[i] && !os; i++)
        os = guess_at(words, i);
    return os;
}
