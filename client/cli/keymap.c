/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See keymap.h. */
#include "keymap.h"

#include <linux/input-event-codes.h>
#include <string.h>

typedef struct {
    char plain, shifted;
    guint code;
} CharKey;

static const CharKey char_keys[] = {
    {'`', '~', KEY_GRAVE},       {'1', '!', KEY_1},          {'2', '@', KEY_2},
    {'3', '#', KEY_3},           {'4', '$', KEY_4},          {'5', '%', KEY_5},
    {'6', '^', KEY_6},           {'7', '&', KEY_7},          {'8', '*', KEY_8},
    {'9', '(', KEY_9},           {'0', ')', KEY_0},          {'-', '_', KEY_MINUS},
    {'=', '+', KEY_EQUAL},       {'q', 'Q', KEY_Q},          {'w', 'W', KEY_W},
    {'e', 'E', KEY_E},           {'r', 'R', KEY_R},          {'t', 'T', KEY_T},
    {'y', 'Y', KEY_Y},           {'u', 'U', KEY_U},          {'i', 'I', KEY_I},
    {'o', 'O', KEY_O},           {'p', 'P', KEY_P},          {'[', '{', KEY_LEFTBRACE},
    {']', '}', KEY_RIGHTBRACE},  {'\\', '|', KEY_BACKSLASH}, {'a', 'A', KEY_A},
    {'s', 'S', KEY_S},           {'d', 'D', KEY_D},          {'f', 'F', KEY_F},
    {'g', 'G', KEY_G},           {'h', 'H', KEY_H},          {'j', 'J', KEY_J},
    {'k', 'K', KEY_K},           {'l', 'L', KEY_L},          {';', ':', KEY_SEMICOLON},
    {'\'', '"', KEY_APOSTROPHE}, {'z', 'Z', KEY_Z},          {'x', 'X', KEY_X},
    {'c', 'C', KEY_C},           {'v', 'V', KEY_V},          {'b', 'B', KEY_B},
    {'n', 'N', KEY_N},           {'m', 'M', KEY_M},          {',', '<', KEY_COMMA},
    {'.', '>', KEY_DOT},         {'/', '?', KEY_SLASH},      {' ', ' ', KEY_SPACE},
    {'\n', '\n', KEY_ENTER},     {'\t', '\t', KEY_TAB},
};

static const struct {
    const char *name;
    guint code;
} named_keys[] = {
    {"ctrl", KEY_LEFTCTRL},
    {"control", KEY_LEFTCTRL},
    {"lctrl", KEY_LEFTCTRL},
    {"rctrl", KEY_RIGHTCTRL},
    {"shift", KEY_LEFTSHIFT},
    {"lshift", KEY_LEFTSHIFT},
    {"rshift", KEY_RIGHTSHIFT},
    {"alt", KEY_LEFTALT},
    {"lalt", KEY_LEFTALT},
    {"altgr", KEY_RIGHTALT},
    {"ralt", KEY_RIGHTALT},
    {"super", KEY_LEFTMETA},
    {"meta", KEY_LEFTMETA},
    {"win", KEY_LEFTMETA},
    {"menu", KEY_COMPOSE},
    {"esc", KEY_ESC},
    {"escape", KEY_ESC},
    {"enter", KEY_ENTER},
    {"return", KEY_ENTER},
    {"tab", KEY_TAB},
    {"space", KEY_SPACE},
    {"backspace", KEY_BACKSPACE},
    {"delete", KEY_DELETE},
    {"del", KEY_DELETE},
    {"insert", KEY_INSERT},
    {"ins", KEY_INSERT},
    {"home", KEY_HOME},
    {"end", KEY_END},
    {"pageup", KEY_PAGEUP},
    {"pagedown", KEY_PAGEDOWN},
    {"up", KEY_UP},
    {"down", KEY_DOWN},
    {"left", KEY_LEFT},
    {"right", KEY_RIGHT},
    {"minus", KEY_MINUS},
    {"plus", KEY_KPPLUS},
    {"capslock", KEY_CAPSLOCK},
    {"numlock", KEY_NUMLOCK},
    {"scrolllock", KEY_SCROLLLOCK},
    {"print", KEY_SYSRQ},
    {"sysrq", KEY_SYSRQ},
    {"pause", KEY_PAUSE},
    {"break", KEY_PAUSE},
    {"f1", KEY_F1},
    {"f2", KEY_F2},
    {"f3", KEY_F3},
    {"f4", KEY_F4},
    {"f5", KEY_F5},
    {"f6", KEY_F6},
    {"f7", KEY_F7},
    {"f8", KEY_F8},
    {"f9", KEY_F9},
    {"f10", KEY_F10},
    {"f11", KEY_F11},
    {"f12", KEY_F12},
    {"volumeup", KEY_VOLUMEUP},
    {"volumedown", KEY_VOLUMEDOWN},
    {"mute", KEY_MUTE},
    {"power", KEY_POWER},
};

static const CharKey *find_char(gunichar c)
{
    for (gsize i = 0; i < G_N_ELEMENTS(char_keys); i++)
        if ((gunichar)(guchar)char_keys[i].plain == c ||
            (gunichar)(guchar)char_keys[i].shifted == c)
            return &char_keys[i];
    return NULL;
}

gboolean keymap_from_char(gunichar c, KeyChord *chord)
{
    const CharKey *key = find_char(c);

    if (key == NULL)
        return FALSE;
    chord->n = 0;
    if ((gunichar)(guchar)key->plain != c)
        chord->keys[chord->n++] = KEY_LEFTSHIFT;
    chord->keys[chord->n++] = key->code;
    return TRUE;
}

char *keymap_untypable(const char *text)
{
    GString *wrong = g_string_new(NULL);

    for (const char *p = text; *p != '\0'; p = g_utf8_next_char(p)) {
        gunichar c = g_utf8_get_char(p);

        if (find_char(c) == NULL && g_utf8_strchr(wrong->str, -1, c) == NULL)
            g_string_append_unichar(wrong, c);
    }
    if (wrong->len > 0)
        return g_string_free(wrong, FALSE);
    g_string_free(wrong, TRUE);
    return NULL;
}

static guint find_name(const char *name)
{
    const CharKey *key;

    for (gsize i = 0; i < G_N_ELEMENTS(named_keys); i++)
        if (g_ascii_strcasecmp(name, named_keys[i].name) == 0)
            return named_keys[i].code;
    if (strlen(name) != 1 || !g_ascii_isgraph(*name))
        return 0;
    key = find_char((guchar)g_ascii_tolower(*name));
    /* A key is named by what is printed on it plainly: shift-1, not "!". */
    return key != NULL && key->plain == g_ascii_tolower(*name) ? key->code : 0;
}

gboolean keymap_from_combo(const char *combo, KeyChord *chord, char **unknown)
{
    g_auto(GStrv) words = g_strsplit_set(combo, "-+", -1);
    guint n = g_strv_length(words);

    *unknown = NULL;
    chord->n = 0;
    if (n == 0 || n > KEYMAP_MAX_KEYS)
        return FALSE;
    for (guint i = 0; i < n; i++) {
        guint code = find_name(words[i]);

        if (code == 0) {
            *unknown = g_strdup(words[i]);
            return FALSE;
        }
        chord->keys[chord->n++] = code;
    }
    return TRUE;
}
