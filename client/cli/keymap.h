/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From text and key names to Linux key codes, for a guest with the US layout. Pure.
 */
#pragma once

#include <glib.h>

#define KEYMAP_MAX_KEYS 16

/* Keys that are pressed together. */
typedef struct {
    guint keys[KEYMAP_MAX_KEYS];
    guint n;
} KeyChord;

/* One character. FALSE when the US layout has no key for it. */
gboolean keymap_from_char(gunichar c, KeyChord *chord);
/* The characters of text that cannot be typed, each once, in order; NULL when all can. Caller
 * frees. */
char *keymap_untypable(const char *text);
/* "ctrl-alt-F1", "super", "shift-a", "ctrl-alt-delete". FALSE with *unknown the word that is no
 * key's name (caller frees), or NULL there when there are no or too many keys. */
gboolean keymap_from_combo(const char *combo, KeyChord *chord, char **unknown);
