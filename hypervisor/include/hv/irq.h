/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of devices, all of them the control domain's. Host vectors 0x30 to 0xdf are given to its interrupts, one
 * each on the CPU of the vCPU it is for; with interrupt remapping each goes through a remapping entry.
 *
 * Lock: irq_lock (LOCK_IRQ). Delivering a message takes none.
 */
#pragma once

#include <hv/types.h>

struct binding; /* of an interrupt to a vector */

/* What a guest wants a message interrupt to do (as it wrote it into the capability or the table). */
struct msi_message {
    uint64_t address;
    uint32_t data;
};

/*
 * Routes a message interrupt of device `sbdf` as the guest's message says (destination and vector of its local APICs).
 * `out`: what to write into the device. *at is the caller's for this interrupt, NULL before the first time; binding
 * again changes the route. 0, -ENOSPC (no vector), -ENOMEM, -EINVAL (the message makes no sense); on an error the route
 * before stays.
 */
must_check int irq_bind_msi(struct binding **at, uint32_t sbdf, struct msi_message guest, struct msi_message *out);
void irq_unbind_msi(struct binding **at); /* which is NULL then, or was before */

/* A line of the host's IOAPICs (a GSI). When it fires, virqchip_host_gsi() is called; a level-triggered line
 * stays masked until irq_gsi_eoi(). A line just bound is open unless irq_mask_gsi() said otherwise before; binding
 * again changes trigger and CPU. 0, -EINVAL (no such line), -EBUSY (the hypervisor's own), -ENODEV (its IOAPIC is
 * unknown to the IOMMU), -ENOSPC, -ENOMEM. */
must_check int irq_bind_gsi(unsigned gsi, bool level, bool active_low, unsigned vcpu);
/* Of a line that is bound: */
void irq_mask_gsi(unsigned gsi, bool masked);
void irq_gsi_eoi(unsigned gsi);
unsigned irq_nr_gsis(void);
