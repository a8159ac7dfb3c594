/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What a vCPU has in the processor's registers and the hypervisor does not touch itself (switch.c). */
#ifndef HVM_SWITCH_H
#define HVM_SWITCH_H

#include <hv/types.h>

struct vcpu;

/* Around each stretch of running on a CPU. */
void vcpu_load(struct vcpu *v);
void vcpu_unload(struct vcpu *v);

#endif
