/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Keys between the host and the guest: the release chord, the few keys that stay the host's, and
 * the combinations that can only be sent from a menu.
 */
#pragma once

#include <gtk/gtk.h>
#include <spice-client.h>

G_BEGIN_DECLS

/* What becomes of a key event while the guest has the keyboard. */
typedef enum {
    BH_KEY_TO_GUEST,
    BH_KEY_RELEASE,    /* to the guest, and then the keyboard is the host's again */
    BH_KEY_FULLSCREEN, /* the host's own keys: not for the guest */
    BH_KEY_USB,
    BH_KEY_MENU
} BhKeyFate;

/* State of the release chord (Left Ctrl + Left Alt, pressed and let go with nothing in between, so
 * that Ctrl+Alt+something still reaches the guest). Zero-initialised. */
typedef struct {
    gboolean ctrl, alt, armed;
} BhKeyChord;

BhKeyFate bh_display_key_fate(BhKeyChord *chord, const GdkEventKey *event);
void bh_key_chord_reset(BhKeyChord *chord);
const char *bh_key_chord_text(void); /* "Press Left Ctrl+Left Alt to release": translated */

/* The menu of combinations; each item activates "win.send-key" with its name. Transfer full. */
GMenuModel *bh_display_keys_menu(void);
gboolean bh_display_keys_known(const char *combination);
/* Presses and releases a combination such as "ctrl+alt+delete". FALSE: no such name. */
gboolean bh_display_keys_send(SpiceInputsChannel *inputs, const char *combination);

G_END_DECLS
