/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * DMA and interrupt remapping, the same for AMD-Vi and VT-d: struct iommu_ops is what each unit's driver gives, iommu.c
 * routes devices to units and keeps the I/O page tables of the control domain, which owns all devices.
 *
 * Locks: LOCK_IOMMU, the I/O page tables, and LOCK_IOMMU_UNIT, one a unit (its queue and tables).
 * On a machine whose ACPI tables name no units all functions succeed and confine nothing, and the boot log warns. Where
 * they name some, a device that none of them confines is not to be a bus master (iommu_assign).
 */
#pragma once

#include <hv/types.h>

struct domain;
struct msi_message;
struct p2m;

bool iommu_present(void); /* a unit works */
bool iommu_remaps_interrupts(void);
/* Finds units in the ACPI tables IVRS or DMAR (hv_board) and enables them with no device mapped: all DMA blocked but
 * what firmware reserved. A unit that could not be started is logged. */
void iommu_init(void);
/* Whether it is a unit itself, which AMD's are. */
bool iommu_is_unit(uint32_t sbdf);

/* What devices reach: what firmware reserved, and what the control domain's p2m has its mirror add. NULL: everything.
 */
struct p2m *iommu_tree(void);
/* Hands device sbdf (and its alias) to the control domain; NULL: to nobody, DMA is blocked. -EOPNOTSUPP: no unit
 * confines it. */
must_check int iommu_assign(struct domain *d, uint32_t sbdf);

/* A remapping entry for one interrupt: to `vector` on the CPU with `apic_id`. `entry` is -1 for a new one. `out`: what
 * to write into the device or IOAPIC (through irq.c). Without remapping: the plain message. */
must_check int iommu_remap(uint32_t sbdf, int *entry, uint8_t vector, uint32_t apic_id, bool level,
                           struct msi_message *out);
void iommu_remap_free(uint32_t sbdf, int entry);
/* The requester id of an IOAPIC from the tables; -1: unknown. */
int32_t iommu_ioapic_sbdf(uint8_t ioapic_id);
/*
 * An IOAPIC's redirection entry for `out` of iommu_remap() with the IOAPIC's requester id (the same for all formats):
 * - plain: destination in 63:56, the vector;
 * - VT-d: index 14:0 in 63:49, format 1 in 48, index 15 in 11, the vector in 7:0 (so that an EOI broadcast finds the
 * entry);
 * - AMD-Vi: the index in 10:0 where vector and delivery mode were. An EOI broadcast does NOT find it, and units may
 * deliver it as edge-triggered: end a level-triggered one by writing this entry's bits 7:0 to the IOAPIC's EOI register
 * (0x40, version 0x20 on). Doing so is right with the other formats as well.
 */
uint64_t iommu_ioapic_rte(const struct msi_message *m, bool level, bool active_low, bool masked);

/* Where the units' own registers are, which no domain may reach: visit(first page, count) for each. */
void iommu_mmio_ranges(void (*visit)(void *data, uint64_t first, uint64_t count), void *data);

/* Logs what was blocked since the last time, a few lines of it: to be called once a second, by one CPU. */
void iommu_poll_faults(void);
/* S3 */
void iommu_suspend(void);
void iommu_resume(void);
