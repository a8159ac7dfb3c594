/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The app's GSettings, and those of each machine's window.
 *
 * Both are NULL when the schema is not installed (a bare build): callers then use the defaults that
 * the getters below are given, and nothing is remembered.
 */
#pragma once

#include <bulkhead/machine.h>

G_BEGIN_DECLS

/* Borrowed, made once; or NULL. */
GSettings *bh_prefs_get(void);
/* Transfer full, or NULL. Relocatable schema org.bulkhead.Bulkhead.Machine, by the machine's UUID.
 */
GSettings *bh_prefs_for_machine(BhMachine *machine);

/* NULL-safe getters and setters. */
int bh_prefs_get_int(GSettings *settings, const char *key, int fallback);
gboolean bh_prefs_get_boolean(GSettings *settings, const char *key, gboolean fallback);
double bh_prefs_get_double(GSettings *settings, const char *key, double fallback);
char *bh_prefs_get_string(GSettings *settings, const char *key, const char *fallback);
void bh_prefs_set_int(GSettings *settings, const char *key, int value);
void bh_prefs_set_boolean(GSettings *settings, const char *key, gboolean value);
void bh_prefs_set_double(GSettings *settings, const char *key, double value);
void bh_prefs_set_string(GSettings *settings, const char *key, const char *value);

/* Where a chooser of media starts: the folder used last, else the downloads, else home. Caller
 * frees. */
char *bh_prefs_get_media_folder(void);
void bh_prefs_set_media_folder(const char *file); /* the folder of this file */

G_END_DECLS
