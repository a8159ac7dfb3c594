/* SPDX-License-Identifier: GPL-2.0-or-later */
#ifndef HVM_RUN_H
#define HVM_RUN_H

#include <hv/types.h>

/* This CPU runs vCPUs from here on. */
noreturn void vcpu_loop(void);

#endif
