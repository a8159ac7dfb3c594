/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "options.h"

#include "text.h"

static void copy(char *to, size_t size, const char *from, size_t len)
{
    size_t n = len < size - 1 ? len : size - 1;

    for (size_t i = 0; i < n; i++)
        to[i] = from[i];
    to[n] = 0;
}

static bool key_is(const char *word, size_t key_len, const char *key)
{
    for (size_t i = 0; i < key_len; i++)
        if (key[i] == 0 || word[i] != key[i])
            return false;
    return key[key_len] == 0;
}

static bool set_role(struct options *o, const char *value, size_t len)
{
    if (key_is(value, len, "alone"))
        o->role = ROLE_ALONE;
    else if (key_is(value, len, "ping"))
        o->role = ROLE_PING;
    else if (key_is(value, len, "pong"))
        o->role = ROLE_PONG;
    else
        return false;
    return true;
}

static bool set_text(char *to, size_t size, const char *value, size_t len)
{
    copy(to, size, value, len);
    return len < size;
}

static bool set_number(uint64_t *to, const char *value, size_t len, uint64_t min, uint64_t max)
{
    uint64_t v;

    if (!text_number(value, len, &v) || v < min || v > max)
        return false;
    *to = v;
    return true;
}

static bool set(struct options *o, const char *w, size_t key, const char *value, size_t len)
{
    if (key_is(w, key, "tests"))
        return set_text(o->tests, sizeof(o->tests), value, len);
    if (key_is(w, key, "console"))
        return set_text(o->console, sizeof(o->console), value, len);
    if (key_is(w, key, "role"))
        return set_role(o, value, len);
    if (key_is(w, key, "rounds"))
        return set_number(&o->rounds, value, len, 1, ROUNDS_MAX);
    if (key_is(w, key, "settle"))
        return set_number(&o->settle, value, len, 0, UINT64_MAX / 2);
    if (key_is(w, key, "patience"))
        return set_number(&o->patience, value, len, 1, UINT64_MAX / 2);
    if (key_is(w, key, "peer"))
        return set_number(&o->peer, value, len, 0, 0x7fef);
    if (key_is(w, key, "exit"))
        return set_number(&o->exit_port, value, len, 0, 0xffff);
    return false;
}

static bool blank(char c)
{
    return c == ' ' || c == '\t' || c == '\n';
}

void options_parse(struct options *o, const char *line)
{
    *o = (struct options){
        .rounds = 400, .settle = 2000000, .patience = 4000000000u, .peer = DOMID_ANY};
    while (*line) {
        size_t len = 0, key = 0;

        while (blank(*line))
            line++;
        while (line[len] && !blank(line[len]))
            len++;
        while (key < len && line[key] != '=')
            key++;
        if (len && (key == len || !set(o, line, key, line + key + 1, len - key - 1)) && !o->bad[0])
            copy(o->bad, sizeof(o->bad), line, len);
        line += len;
    }
}

/* The next word of a comma list; its length, 0 at the end. */
static size_t next_word(const char **list)
{
    size_t len = 0;

    while (**list == ',')
        (*list)++;
    while ((*list)[len] && (*list)[len] != ',')
        len++;
    return len;
}

bool options_listed(const char *list, const char *word)
{
    size_t len;

    for (; (len = next_word(&list)); list += len)
        if (key_is(list, len, word))
            return true;
    return false;
}

/* A word that is a group means that group, not also every row with the same letters. */
static bool is_group(const char *word, size_t len)
{
    static const char *const groups[] = {"cpu",   "apic",  "board", "qemu", "hypercall", "grant",
                                         "touch", "timer", "smp",   "pair", "fault"};

    for (size_t i = 0; i < sizeof(groups) / sizeof(groups[0]); i++)
        if (key_is(word, len, groups[i]))
            return true;
    return false;
}

bool options_want(const struct options *o, const char *group, const char *row)
{
    const char *list = o->tests;
    size_t len;

    if (!o->tests[0] || options_listed(o->tests, group))
        return true;
    for (; (len = next_word(&list)); list += len)
        if (!is_group(list, len) && text_contains(row, list, len))
            return true;
    return false;
}
