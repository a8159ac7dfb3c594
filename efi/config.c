/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The parser of bulkhead.conf. Lines are "[entry]", "key = value", a comment that begins with # or ;, or empty. One
 * pass: `default` stands above the first entry, so it is known by then whose lines are wanted; the others are checked
 * all the same, for a mistake should be found before the day its entry is needed.
 */
#include "config.h"

#define ENTRY_KEYS "Keys of an entry: kernel, initrd, options, dom0_mem, console, hypervisor."
#define LINE_FORMS "Write '[entry]', 'key = value', or a comment that begins with #."

struct parser {
    const char *text;
    size_t size, at;
    unsigned int line;
    const char *start, *end; /* the line without blanks around it */
    char wanted[CONFIG_NAME];
    struct config_entry *found, current; /* the entry the line is in; without a name: none yet */
    struct trouble *trouble;
};

static const struct {
    const char *name;
    size_t place, room;
} keys[] = {
#define FIELD(f)                                                                                                       \
    {                                                                                                                  \
#f, offsetof(struct config_entry, f), sizeof(((struct config_entry *)0)->f)                                    \
    }
    FIELD(kernel), FIELD(initrd), FIELD(options), FIELD(dom0_mem), FIELD(console), FIELD(hypervisor),
#undef FIELD
};

static bool is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static void trim(const char **start, const char **end)
{
    while (*start < *end && is_blank(**start))
        (*start)++;
    while (*start < *end && is_blank((*end)[-1]))
        (*end)--;
}

/* The next line, without its blanks; false at the end. */
static bool next_line(struct parser *p)
{
    if (p->at >= p->size)
        return false;
    p->start = p->text + p->at;
    while (p->at < p->size && p->text[p->at] != '\n')
        p->at++;
    p->end = p->text + p->at;
    p->at++;
    p->line++;
    trim(&p->start, &p->end);
    return true;
}

/* Copies [start, end) as a string; false when it does not fit. */
static bool copy(char *to, size_t room, const char *start, const char *end)
{
    size_t n = (size_t)(end - start);

    if (n >= room)
        return false;
    memcpy(to, start, n);
    to[n] = 0;
    return true;
}

static bool is_printable(const char *start, const char *end)
{
    for (; start < end; start++)
        if ((*start < ' ' || *start > '~') && *start != '\t')
            return false;
    return true;
}

/* A number with K, M, G or T behind it, in bytes; 0 when it is none. */
static uint64_t parse_size(const char *text)
{
    static const char units[] = "kmgt";
    unsigned int unit = 0;
    uint64_t n = 0;

    for (; *text >= '0' && *text <= '9' && n < 1ull << 40; text++)
        n = n * 10 + (uint64_t)(*text - '0');
    while (units[unit] && units[unit] != (*text | 0x20))
        unit++;
    if (!units[unit] || text[1] || n > ~0ull >> (10 * unit + 10))
        return 0;
    return n << (10 * unit + 10);
}

static bool is_one_word(const char *text)
{
    while (*text && !is_blank(*text))
        text++;
    return !*text;
}

/* The entry that ends here is the result if it is the wanted one. */
static bool end_entry(struct parser *p)
{
    struct config_entry *e = &p->current;

    if (!e->name[0] || !text_equal(e->name, p->wanted))
        return true;
    if (p->found->name[0])
        return trouble_set(p->trouble, "Give one of them another name.", "There are two entries '%s'.", e->name);
    *p->found = *e;
    return true;
}

static bool begin_entry(struct parser *p)
{
    if (!end_entry(p))
        return false;
    memset(&p->current, 0, sizeof(p->current));
    if (p->end[-1] != ']' || p->end - p->start < 3 ||
        !copy(p->current.name, sizeof(p->current.name), p->start + 1, p->end - 1) || !is_one_word(p->current.name))
        return trouble_set(p->trouble, "Write '[name]', one word of at most 63 characters.",
                           "Line %u is not the beginning of an entry.", p->line);
    if (!p->wanted[0])
        memcpy(p->wanted, p->current.name, sizeof(p->wanted));
    return true;
}

static bool entry_key(struct parser *p, const char *key, const char *start, const char *end)
{
    struct config_entry *e = &p->current;

    for (unsigned int i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char *value = (char *)e + keys[i].place;

        if (!text_equal(key, keys[i].name))
            continue;
        if (*value)
            return trouble_set(p->trouble, "Keep one of them.", "Line %u: '%s' is given a second time.", p->line, key);
        if (!copy(value, keys[i].room, start, end))
            return trouble_set(p->trouble, "Shorten it.", "Line %u: the value of '%s' is longer than %u characters.",
                               p->line, key, (unsigned int)keys[i].room - 1);
        if (value == e->dom0_mem && *value && !(e->dom0_bytes = parse_size(value)))
            return trouble_set(p->trouble, "Write a size like 1536M or 2G.", "Line %u: '%s' is not a size.", p->line,
                               value);
        if (value == e->console && !is_one_word(value))
            return trouble_set(p->trouble, "Write one word, for instance com1.", "Line %u: '%s' is not one console.",
                               p->line, value);
        return true;
    }
    return trouble_set(p->trouble, ENTRY_KEYS, "Line %u: there is no key '%s' in an entry.", p->line, key);
}

/* Above the first entry. A choice made already (`entry=` of the boot entry) goes before this one. */
static bool global_key(struct parser *p, const char *key, const char *start, const char *end)
{
    char name[CONFIG_NAME];

    if (!text_equal(key, "default"))
        return trouble_set(p->trouble, "Only 'default' may stand above the first '[entry]'.",
                           "Line %u: there is no key '%s' outside of entries.", p->line, key);
    if (!copy(name, sizeof(name), start, end))
        return trouble_set(p->trouble, "Shorten it.", "Line %u: the name is longer than %u characters.", p->line,
                           CONFIG_NAME - 1);
    if (!p->wanted[0])
        memcpy(p->wanted, name, sizeof(name));
    return true;
}

static bool key_line(struct parser *p)
{
    const char *equals = p->start, *key_end;
    char key[32];

    while (equals < p->end && *equals != '=')
        equals++;
    key_end = equals;
    trim(&p->start, &key_end);
    if (equals == p->end || !copy(key, sizeof(key), p->start, key_end))
        return trouble_set(p->trouble, LINE_FORMS, "Line %u is none of these.", p->line);
    equals++;
    trim(&equals, &p->end);
    return (p->current.name[0] ? entry_key : global_key)(p, key, equals, p->end);
}

bool config_parse(const char *text, size_t size, const char *wanted, struct config_entry *entry, struct trouble *t)
{
    static struct parser parser; /* static: with an entry in it too large for a stack frame */
    struct parser *p = &parser;

    *p = (struct parser){.text = text, .size = size, .found = entry, .trouble = t};
    memset(entry, 0, sizeof(*entry));
    text_format(p->wanted, sizeof(p->wanted), "%s", wanted);
    while (next_line(p)) {
        if (p->start == p->end || *p->start == '#' || *p->start == ';')
            continue;
        if (!is_printable(p->start, p->end))
            return trouble_set(t, "Write it in plain ASCII text.", "Line %u holds characters that are not ASCII.",
                               p->line);
        if (!(*p->start == '[' ? begin_entry(p) : key_line(p)))
            return false;
    }
    if (!end_entry(p))
        return false;
    if (!entry->name[0] && p->wanted[0])
        return trouble_set(t, "Add it, or name another in 'default = NAME' or in the boot entry (entry=NAME).",
                           "There is no entry '%s'.", p->wanted);
    return entry->name[0] || trouble_set(t, "Add '[name]' and below it 'kernel = FILE'.", "There is no entry in it.");
}
