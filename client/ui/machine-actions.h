/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The GActions of one machine, for menus, buttons and keys of any window.
 *
 * Insert the group under the prefix "machine". Names: the verbs ("start", "shutdown", "reboot",
 * "reset", "force-off", "pause", "resume", "save", "discard-save") and "open", "settings", "usb",
 * "log", "delete". Enabled follows bh_machine_can. Destructive verbs ask first; errors
 * are shown in the window's error bar (error-bar.h).
 */
#pragma once

#include <bulkhead/host.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

/* Transfer full. window is not kept alive. */
GActionGroup *bh_machine_actions_new(BhMachine *machine, GtkWindow *window);

/* The verbs as a menu, for the prefix "machine"; items that are disabled at the moment are left
 * out. for_tile: also "Open" and "Delete", which make no sense in the machine's own window.
 * Transfer full. */
GMenuModel *bh_machine_menu_new(gboolean for_tile);

/* Acts as the verb's action does: asks if destructive, then runs, then reports errors. */
void bh_machine_act(BhMachine *machine, BhVerb verb, GtkWindow *window);

G_END_DECLS
