/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of this room offer each other and those who start the machine. */
#pragma once

#include <hv/p2m.h>

/* npt.c: AMD's nested page tables as a format of the p2m. Before the first p2m_init(): whether the processors know
 * 1 GiB pages (CPUID 0x80000001 EDX bit 26). */
extern const struct p2m_codec npt_codec;
void npt_init(bool gigabyte);

/* run.c: this CPU runs vCPUs from here on. */
noreturn void vcpu_loop(void);

/* switch.c: what a vCPU has in registers that the hypervisor does not touch itself; around each stretch of running. */
struct vcpu;
void vcpu_load(struct vcpu *v);
void vcpu_unload(struct vcpu *v);
