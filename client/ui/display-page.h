/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayPage: what a machine's window shows while there is no picture: why, and what to do.
 * Off, saved, starting, crashed (with the end of its log), gone, connecting, display lost.
 */
#pragma once

#include <bulkhead/machine.h>
#include <gtk/gtk.h>

#include "display-link.h"

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_PAGE (bh_display_page_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayPage, bh_display_page, BH, DISPLAY_PAGE, GtkBox)

/* Its buttons activate "machine.*", "win.retry" and "win.close". */
BhDisplayPage *bh_display_page_new(BhMachine *machine);

/* Rewrites itself from the machine's state and the link's. */
void bh_display_page_update(BhDisplayPage *self, BhDisplayLink *link);
/* The button that stands for the next step, to give it the focus; or NULL. */
GtkWidget *bh_display_page_get_button(BhDisplayPage *self);

G_END_DECLS
