/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The form of New machine: a proposal, every field of which can be changed. */
#pragma once

#include <bulkhead/host.h>
#include <bulkhead/image.h>
#include <gtk/gtk.h>

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_FORM (bh_machine_form_get_type())
G_DECLARE_FINAL_TYPE(BhMachineForm, bh_machine_form, BH, MACHINE_FORM, GtkGrid)

/* Signal "changed": any field; ask bh_machine_form_check. */
GtkWidget *bh_machine_form_new(BhHost *host);
/* Shows a proposal. media: what it is made from, or NULL. The OS database must be loaded. */
void bh_machine_form_set(BhMachineForm *self, const BhMachineSpec *spec, const BhMediaInfo *media);
/* What the form says now; transfer full. */
BhMachineSpec *bh_machine_form_get(BhMachineForm *self);
/* FALSE with the reason when no machine can be made of it. */
gboolean bh_machine_form_check(BhMachineForm *self, GError **error);
void bh_machine_form_focus(BhMachineForm *self);

G_END_DECLS
