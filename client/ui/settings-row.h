/* SPDX-License-Identifier: GPL-2.0-or-later */
/* BhSettingsRow: a title, a control, and below them what became of the last change. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_SETTINGS_ROW (bh_settings_row_get_type())
G_DECLARE_FINAL_TYPE(BhSettingsRow, bh_settings_row, BH, SETTINGS_ROW, GtkListBoxRow)

/* title has a mnemonic, which goes to control; subtitle may be NULL. wide: the control is below the
 * title and takes the whole width. The control gets the title as its accessible name. */
GtkWidget *bh_settings_row_new(const char *title, const char *subtitle, GtkWidget *control,
                               gboolean wide);
/* The change is stored but waits for the machine's next start. */
void bh_settings_row_set_pending(BhSettingsRow *self, gboolean pending);
/* The last change failed, and why; NULL: it did not. */
void bh_settings_row_set_error(BhSettingsRow *self, const GError *error);
void bh_settings_row_set_subtitle(BhSettingsRow *self, const char *subtitle);

G_END_DECLS
