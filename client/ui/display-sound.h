/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplaySound: plays what the guest plays, with a volume and a mute switch per machine.
 *
 * spice-gtk has an audio backend, but no way to set its volume from outside (setting the playback
 * channel's "volume" does nothing in 0.42), and it records whenever the guest asks. So the samples
 * are given to the sound server here, and the recording channel is never opened: no guest can
 * listen in unasked.
 */
#pragma once

#include <spice-client.h>

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_SOUND (bh_display_sound_get_type())
G_DECLARE_FINAL_TYPE(BhDisplaySound, bh_display_sound, BH, DISPLAY_SOUND, GObject)

/* name: what the desktop's mixer calls the stream. Signal "changed": is_available differs. */
BhDisplaySound *bh_display_sound_new(const char *name);
void bh_display_sound_set_session(BhDisplaySound *self, SpiceSession *session); /* or NULL */
gboolean bh_display_sound_is_available(BhDisplaySound *self);          /* the machine has sound */
void bh_display_sound_set_volume(BhDisplaySound *self, double volume); /* 0..1 */
void bh_display_sound_set_muted(BhDisplaySound *self, gboolean muted);
void bh_display_sound_close(BhDisplaySound *self);

G_END_DECLS
