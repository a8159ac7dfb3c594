/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From text and key names to key codes of a US keyboard. */
#include <glib.h>
#include <linux/input-event-codes.h>

#include "../keymap.h"

static void test_characters(void)
{
    KeyChord chord;

    g_assert_true(keymap_from_char('a', &chord));
    g_assert_cmpuint(chord.n, ==, 1);
    g_assert_cmpuint(chord.keys[0], ==, KEY_A);
    g_assert_true(keymap_from_char('A', &chord));
    g_assert_cmpuint(chord.n, ==, 2);
    g_assert_cmpuint(chord.keys[0], ==, KEY_LEFTSHIFT);
    g_assert_cmpuint(chord.keys[1], ==, KEY_A);
    g_assert_true(keymap_from_char('|', &chord));
    g_assert_cmpuint(chord.keys[1], ==, KEY_BACKSLASH);
    g_assert_true(keymap_from_char('\n', &chord));
    g_assert_cmpuint(chord.n, ==, 1);
    g_assert_cmpuint(chord.keys[0], ==, KEY_ENTER);
    g_assert_false(keymap_from_char(0xe9, &chord));
    g_assert_false(keymap_from_char(0, &chord));
    g_assert_false(keymap_from_char('\a', &chord));
    g_assert_false(keymap_from_char(0x7f, &chord));
}

/* All of ASCII can be typed, and no two characters with the same keys. */
static void test_ascii(void)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(NULL, NULL);

    for (gunichar c = 0x20; c < 0x7f; c++) {
        KeyChord chord;
        guint key;

        g_assert_true(keymap_from_char(c, &chord));
        key = chord.keys[chord.n - 1] | (chord.n > 1 ? 0x10000 : 0);
        g_assert_true(g_hash_table_add(seen, GUINT_TO_POINTER(key)));
    }
}

static void test_untypable(void)
{
    g_autofree char *wrong = keymap_untypable("naïve café, café 仕事\n");

    g_assert_cmpstr(wrong, ==, "ïé仕事");
    g_assert_null(keymap_untypable("plain text\twith ~!@#$%^&*() all\n"));
    g_assert_null(keymap_untypable(""));
}

static void assert_combo(const char *combo, guint n, guint first, guint last)
{
    KeyChord chord;
    char *unknown = NULL;

    g_assert_true(keymap_from_combo(combo, &chord, &unknown));
    g_assert_null(unknown);
    g_assert_cmpuint(chord.n, ==, n);
    g_assert_cmpuint(chord.keys[0], ==, first);
    g_assert_cmpuint(chord.keys[n - 1], ==, last);
}

static void test_combos(void)
{
    assert_combo("ctrl-alt-F1", 3, KEY_LEFTCTRL, KEY_F1);
    assert_combo("Ctrl+Alt+Delete", 3, KEY_LEFTCTRL, KEY_DELETE);
    assert_combo("super", 1, KEY_LEFTMETA, KEY_LEFTMETA);
    assert_combo("shift-A", 2, KEY_LEFTSHIFT, KEY_A);
    assert_combo("ctrl-minus", 2, KEY_LEFTCTRL, KEY_MINUS);
    assert_combo("alt-/", 2, KEY_LEFTALT, KEY_SLASH);
    assert_combo("F12", 1, KEY_F12, KEY_F12);
}

static void test_wrong_combos(void)
{
    static const char *const wrong[] = {"ctrl-hyper", "",   "-",       "ctrl--", "!",
                                        "ctrl-é",     "\n", "ctrl-ab", NULL};
    g_autofree char *many = NULL;
    KeyChord chord;
    GString *text = g_string_new("a");

    for (guint i = 0; wrong[i] != NULL; i++) {
        g_autofree char *unknown = NULL;

        g_assert_false(keymap_from_combo(wrong[i], &chord, &unknown));
    }
    for (guint i = 0; i < KEYMAP_MAX_KEYS; i++)
        g_string_append(text, "-b");
    g_assert_false(keymap_from_combo(text->str, &chord, &many));
    g_assert_null(many);
    g_string_free(text, TRUE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/keymap/characters", test_characters);
    g_test_add_func("/keymap/ascii", test_ascii);
    g_test_add_func("/keymap/untypable", test_untypable);
    g_test_add_func("/keymap/combos", test_combos);
    g_test_add_func("/keymap/wrong-combos", test_wrong_combos);
    return g_test_run();
}
