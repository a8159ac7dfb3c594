/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A button that names an operating system and lets the user search for another one. */
#pragma once

#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_OS_CHOOSER (bh_os_chooser_get_type())
G_DECLARE_FINAL_TYPE(BhOsChooser, bh_os_chooser, BH, OS_CHOOSER, GtkMenuButton)

/* Signal "chosen": the user took another system. The database must be loaded (bulkhead/os.h). */
GtkWidget *bh_os_chooser_new(void);
/* NULL: "another modern system". */
void bh_os_chooser_set_os(BhOsChooser *self, const char *id);
const char *bh_os_chooser_get_os(BhOsChooser *self);

G_END_DECLS
