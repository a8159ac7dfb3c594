/* SPDX-License-Identifier: GPL-2.0-or-later */
/* AMD's nested page tables as a format of the p2m. */
#ifndef HV_HVM_NPT_H
#define HV_HVM_NPT_H

#include <hv/p2m.h>

extern const struct p2m_codec npt_codec;

/* Before the first p2m_init(): whether the processors know 1 GiB pages (CPUID 0x80000001 EDX bit 26). */
void npt_init(bool gigabyte);

#endif
