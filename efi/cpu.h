/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Whether this processor, as the firmware left it, can run the hypervisor. */
#ifndef EFI_CPU_H
#define EFI_CPU_H

#include "text.h"

struct cpu_facts {
    bool svm, vmx, locked, nested_paging, five_levels;
};

struct cpu_facts cpu_read(void);

/* Pure: false when it cannot. */
bool cpu_suits(const struct cpu_facts *f, struct trouble *t);

#endif
