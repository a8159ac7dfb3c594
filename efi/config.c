/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser of bulkhead.conf. Lines are "[entry]", "key = value", a comment that begins with # or ;, or empty. One
 * pass: `default` stands above the first entry, so it is known by then whose lines are wanted; the others are checked
 * all the same, for a mistake should be found before the day its entry is needed. A copy of the text is cut into
 * strings, which the result points to.
 */
#include "pure.h"

#define ENTRY_KEYS "Keys of an entry: kernel, initrd, options, dom0_mem, console, hypervisor."
#define LINE_FORMS "Write '[entry]', 'key = value', or a comment that begins with #."

struct parser {
    unsigned int line;
    const char *wanted;
    struct config_entry *found, other;
    struct config_entry *entry; /* the one the line is in; NULL: none yet */
    struct trouble *trouble;
};

static const char *const keys[CONFIG_KEYS] = {"kernel", "initrd", "options", "dom0_mem", "console", "hypervisor"};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

/* Ends the text at the first `c` and returns what is behind it; NULL: there is none. */
static char *cut(char *text, char c)
{
    while (*text && *text != c)
        text++;
    if (!*text)
        return NULL;
    *text = 0;
    return text + 1;
}

static char *trim(char *text)
{
    char *end;

    while (is_blank(*text))
        text++;
    end = text + strlen(text);
    while (end > text && is_blank(end[-1]))
        end--;
    *end = 0;
    return text;
}

static bool is_same(const char *a, const char *b)
{
    return strlen(a) == strlen(b) && !memcmp(a, b, strlen(a));
}

static bool begin_entry(struct parser *p, char *line)
{
    const char *name = line + 1, *end = cut(line, ']');

    if (!end || *end || !*name)
        return trouble_set(p->trouble, "Write '[name]'.", "Line %u is not the beginning of an entry.", p->line);
    if (!*p->wanted)
        p->wanted = name;
    p->entry = is_same(name, p->wanted) ? p->found : &p->other;
    if (p->entry == p->found && p->found->name)
        return trouble_set(p->trouble, "Give one of them another name.", "There are two entries '%s'.", name);
    *p->entry = (struct config_entry){.name = name};
    for (unsigned int i = 0; i < CONFIG_KEYS; i++)
        p->entry->value[i] = "";
    return true;
}

static bool entry_key(struct parser *p, const char *key, const char *value)
{
    unsigned int i = 0;

    while (i < CONFIG_KEYS && !is_same(key, keys[i]))
        i++;
    if (i == CONFIG_KEYS)
        return trouble_set(p->trouble, ENTRY_KEYS, "Line %u: there is no key '%s' in an entry.", p->line, key);
    if (*p->entry->value[i])
        return trouble_set(p->trouble, "Keep one of them.", "Line %u: '%s' is given a second time.", p->line, key);
    p->entry->value[i] = value;
    return true;
}

static bool key_line(struct parser *p, char *line)
{
    char *value = cut(line, '=');
    const char *key = trim(line);

    if (!value)
        return trouble_set(p->trouble, LINE_FORMS, "Line %u is none of these.", p->line);
    value = trim(value);
    if (p->entry)
        return entry_key(p, key, value);
    if (!is_same(key, "default"))
        return trouble_set(p->trouble, "Only 'default' may stand above the first '[entry]'.",
                           "Line %u: there is no key '%s' outside of entries.", p->line, key);
    if (!*p->wanted) /* a choice made already (`entry=` of the boot entry) goes before this one */
        p->wanted = value;
    return true;
}

/* ASCII, of bounded length, up to `end`: a zero before it is no text either. */
static bool check_text(const struct parser *p, const char *line, const char *end)
{
    const char *c = line;

    while ((*c >= ' ' && *c <= '~') || is_blank(*c))
        c++;
    if (c != end)
        return trouble_set(p->trouble, "Write it in plain ASCII text.", "Line %u holds characters that are not ASCII.",
                           p->line);
    if (end - line >= CONFIG_LINE)
        return trouble_set(p->trouble, "Shorten it.", "Line %u has more than %u characters.", p->line, CONFIG_LINE - 1);
    return true;
}

bool config_parse(const char *text, size_t size, const char *wanted, struct config_entry *entry, struct trouble *t)
{
    static char copy[CONFIG_MAX + 1];
    struct parser p = {.wanted = wanted, .found = entry, .trouble = t};

    entry->name = NULL;
    if (size > CONFIG_MAX)
        return trouble_set(t, "Shorten it.", "It is larger than %u KiB.", CONFIG_MAX >> 10);
    memcpy(copy, text, size);
    copy[size] = 0;
    for (char *line = copy, *next; line; line = next) {
        next = cut(line, '\n');
        p.line++;
        if (!check_text(&p, line, next ? next - 1 : copy + size))
            return false;
        line = trim(line);
        if (*line && *line != '#' && *line != ';' && !(*line == '[' ? begin_entry : key_line)(&p, line))
            return false;
    }
    if (entry->name)
        return true;
    if (!*p.wanted)
        return trouble_set(t, "Add '[name]' and below it 'kernel = FILE'.", "There is no entry in it.");
    return trouble_set(t, "Add it, or name another in 'default = NAME' or in the boot entry (entry=NAME).",
                       "There is no entry '%s'.", p.wanted);
}
