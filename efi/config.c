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
    bool in_entry, mine, found;
    unsigned int seen; /* bit n: keys[n] was given in this entry */
    struct config_entry *entry, scratch;
    struct trouble *trouble;
};

enum { KEY_KERNEL, KEY_INITRD, KEY_OPTIONS, KEY_DOM0_MEM, KEY_CONSOLE, KEY_HYPERVISOR, NR_KEYS };

static const struct {
    const char *name;
    size_t place, room;
} keys[NR_KEYS] = {
#define FIELD(f) offsetof(struct config_entry, f), sizeof(((struct config_entry *)0)->f)
    [KEY_KERNEL] = {"kernel", FIELD(kernel)},    [KEY_INITRD] = {"initrd", FIELD(initrd)},
    [KEY_OPTIONS] = {"options", FIELD(options)}, [KEY_DOM0_MEM] = {"dom0_mem", FIELD(dom0_mem)},
    [KEY_CONSOLE] = {"console", FIELD(console)}, [KEY_HYPERVISOR] = {"hypervisor", FIELD(hypervisor)},
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

static bool begin_entry(struct parser *p)
{
    char name[CONFIG_NAME];
    const char *start = p->start + 1, *end = p->end - 1;

    if (p->end[-1] != ']' || start >= end || !copy(name, sizeof(name), start, end) || !is_one_word(name))
        return trouble_set(p->trouble, "Write '[name]', one word of at most 63 characters.",
                           "Line %u is not the beginning of an entry.", p->line);
    if (!p->wanted[0])
        copy(p->wanted, sizeof(p->wanted), start, end);
    p->in_entry = true;
    p->seen = 0;
    p->mine = text_equal(name, p->wanted);
    if (p->mine && p->found)
        return trouble_set(p->trouble, "Give one of them another name.", "Line %u: there are two entries '%s'.",
                           p->line, name);
    if (p->mine) {
        p->found = true;
        memcpy(p->entry->name, name, sizeof(name));
    }
    return true;
}

static bool check_value(struct parser *p, unsigned int key, const char *value)
{
    struct config_entry *entry = p->mine ? p->entry : &p->scratch;

    if (key == KEY_DOM0_MEM) {
        entry->dom0_bytes = parse_size(value);
        if (!entry->dom0_bytes)
            return trouble_set(p->trouble, "Write a size like 1536M or 2G.", "Line %u: '%s' is not a size.", p->line,
                               value);
    }
    if (key == KEY_CONSOLE && !is_one_word(value))
        return trouble_set(p->trouble, "Write one word, for instance com1.", "Line %u: '%s' is not one console.",
                           p->line, value);
    return true;
}

static bool entry_key(struct parser *p, const char *key, const char *start, const char *end)
{
    struct config_entry *entry = p->mine ? p->entry : &p->scratch;

    for (unsigned int i = 0; i < NR_KEYS; i++) {
        char *value = (char *)entry + keys[i].place;

        if (!text_equal(key, keys[i].name))
            continue;
        if (p->seen & (1u << i))
            return trouble_set(p->trouble, "Keep one of them.", "Line %u: '%s' is given a second time.", p->line, key);
        p->seen |= 1u << i;
        if (!copy(value, keys[i].room, start, end))
            return trouble_set(p->trouble, "Shorten it.", "Line %u: the value of '%s' is longer than %u characters.",
                               p->line, key, (unsigned int)keys[i].room - 1);
        return check_value(p, i, value);
    }
    return trouble_set(p->trouble, ENTRY_KEYS, "Line %u: there is no key '%s' in an entry.", p->line, key);
}

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
    const char *equals = p->start, *key_end, *value;
    char key[32];

    while (equals < p->end && *equals != '=')
        equals++;
    key_end = equals;
    trim(&p->start, &key_end);
    if (equals == p->end || !copy(key, sizeof(key), p->start, key_end))
        return trouble_set(p->trouble, LINE_FORMS, "Line %u is none of these.", p->line);
    value = equals + 1;
    trim(&value, &p->end);
    if (value == p->end && !text_equal(key, "options") && !text_equal(key, "hypervisor"))
        return trouble_set(p->trouble, "Write a value, or remove the line.", "Line %u: '%s' has no value.", p->line,
                           key);
    return p->in_entry ? entry_key(p, key, value, p->end) : global_key(p, key, value, p->end);
}

bool config_parse(const char *text, size_t size, const char *wanted, struct config_entry *entry, struct trouble *t)
{
    static struct parser parser; /* static: with its scratch entry too large for a stack frame */
    struct parser *p = &parser;

    memset(p, 0, sizeof(*p));
    memset(entry, 0, sizeof(*entry));
    p->text = text;
    p->size = size;
    p->entry = entry;
    p->trouble = t;
    if (wanted && !copy(p->wanted, sizeof(p->wanted), wanted, wanted + text_length(wanted)))
        return trouble_set(t, "Choose an entry of the configuration.",
                           "No entry has a name as long as the one asked for.");
    while (next_line(p)) {
        if (p->start == p->end || *p->start == '#' || *p->start == ';')
            continue;
        if (!is_printable(p->start, p->end))
            return trouble_set(t, "Write it in plain ASCII text.", "Line %u holds characters that are not ASCII.",
                               p->line);
        if (!(*p->start == '[' ? begin_entry(p) : key_line(p)))
            return false;
    }
    if (!p->found && p->wanted[0])
        return trouble_set(t, "Add it, or name another in 'default = NAME' or in the boot entry (entry=NAME).",
                           "There is no entry '%s'.", p->wanted);
    return p->found || trouble_set(t, "Add '[name]' and below it 'kernel = FILE'.", "There is no entry in it.");
}
