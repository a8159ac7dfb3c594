/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts of devices and who gets them. Host vectors 0x30 to 0xdf are given to guests' interrupts, one each on the
 * CPU of the vCPU it is for; with interrupt remapping each goes through a remapping entry.
 *
 * Locks: irq_lock (LOCK_IRQ), all bindings and lines; each CPU's table of vectors (LOCK_IRQ_CPU), which is all that the
 * handler takes for a message interrupt. Delivery to a local APIC happens under the latter.
 */
#ifndef HV_IRQ_H
#define HV_IRQ_H

#include <hv/types.h>

struct domain;

/* What a guest wants a message interrupt to do (as it wrote it into the capability or the table). */
struct msi_message {
    uint64_t address;
    uint32_t data;
};

/*
 * Routes message interrupt `index` of device `sbdf` to `d` as the guest's message says (destination and vector of its
 * local APICs). `out`: what to write into the device. Binding again changes the route. 0, -ENOSPC (no vector), -ENOMEM,
 * -EINVAL (the message makes no sense); on an error the route before stays.
 */
must_check int irq_bind_msi(struct domain *d, uint32_t sbdf, unsigned index, struct msi_message guest,
                            struct msi_message *out);
void irq_unbind_msi(struct domain *d, uint32_t sbdf, unsigned index);

/* A line of the host's IOAPICs (a GSI). When it fires, virqchip_host_gsi(d, gsi) is called; a level-triggered line
 * stays masked until irq_gsi_eoi(). A line just bound is open unless irq_mask_gsi() said otherwise before; binding
 * again changes trigger and CPU. 0, -EINVAL (no such line or vCPU), -EBUSY (somebody else's), -ENODEV (its IOAPIC is
 * unknown to the IOMMU), -ENOSPC, -ENOMEM. */
must_check int irq_bind_gsi(struct domain *d, unsigned gsi, bool level, bool active_low, unsigned vcpu);
/* Of a line that is bound: */
void irq_unbind_gsi(unsigned gsi);
void irq_mask_gsi(unsigned gsi, bool masked);
void irq_gsi_eoi(unsigned gsi);
unsigned irq_nr_gsis(void);

#endif
