/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhMachineList: the machines of a host as the home window shows them: sorted by name, filtered by
 * what is typed. Follows renames, additions and removals; 1,000 machines cost a few milliseconds.
 */
#pragma once

#include <bulkhead/machine.h>

G_BEGIN_DECLS

#define BH_TYPE_MACHINE_LIST (bh_machine_list_get_type())
G_DECLARE_FINAL_TYPE(BhMachineList, bh_machine_list, BH, MACHINE_LIST, GObject)

/* Signal "changed": once per main loop turn, however many machines came, went or were renamed. */

BhMachineList *bh_machine_list_new(GListModel *machines);
/* All words must be in the name, in any order and case. NULL or "": everything. Emits at once. */
void bh_machine_list_set_filter(BhMachineList *self, const char *text);
guint bh_machine_list_get_n(BhMachineList *self);                   /* that pass the filter */
guint bh_machine_list_get_n_total(BhMachineList *self);             /* all */
BhMachine *bh_machine_list_get(BhMachineList *self, guint index);   /* borrowed */
int bh_machine_list_index(BhMachineList *self, BhMachine *machine); /* -1: not shown */

G_END_DECLS
