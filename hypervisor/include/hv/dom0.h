/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Building the control domain: a PVH domain (arch-x86/hvm/start_info.h) that owns the hardware. */
#pragma once

#include <hv/bootinfo.h>
#include <hv/types.h>

struct domain;

/* Makes it from the loader's kernel and initrd, all vCPUs down. Options: dom0_mem=SIZE, dom0_max_vcpus=N. Stops the
 * machine with a message when that cannot be done. */
struct domain *dom0_build(const struct bootinfo *info, const char *options);
/* Its first vCPU may run. */
void dom0_start(struct domain *d);
