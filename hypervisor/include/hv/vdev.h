/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The devices of the PC that the hypervisor plays itself: local APIC, IOAPIC and the configuration space of PCI. Timers
 * (PIT, HPET, PM timer, RTC) are the hardware's. Pure: effects go out through metal.h, irq.h, vcpu_kick().
 *
 * Lock: LOCK_VDEV for the IOAPICs; a vCPU's local APIC is changed by its own CPU only, but for the IRR and pending
 * INIT/SIPI/NMI, which are atomic and anyone may set.
 */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

/* --- local APIC (SDM 3A ch. 10; x2APIC 10.12) ------------------------------------------------------------------- */
must_check int vlapic_init(struct vcpu *v);
void vlapic_free(struct vcpu *v);
void vlapic_reset(struct vcpu *v);
uint32_t vlapic_id(const struct vcpu *v);
/* An access to the registers in memory; false: they are not there, or not now. */
bool vlapic_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value);
/* MSRs 0x800 to 0x83f, IA32_APIC_BASE, IA32_TSC_DEADLINE; false: #GP. */
bool vlapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value);
bool vlapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value);
bool vlapic_enabled(const struct vcpu *v); /* globally, by IA32_APIC_BASE */

/* A vector arrives (any CPU may call): sets IRR and kicks. */
void vlapic_accept(struct vcpu *v, uint8_t vector, bool level);
/* An interrupt message to whoever it is for: destination and mode as in the ICR and MSIs (SDM 10.6, 10.11). */
void vlapic_deliver(struct domain *d, uint32_t dest, bool logical, uint8_t mode, uint8_t vector, bool level);
/* The vCPU such a message is for, or the first of several; 0 when it is for none. */
unsigned vlapic_target(struct domain *d, uint32_t dest, bool logical);
/* The highest vector that may be delivered now, or -1; acknowledge moves it from IRR to ISR. */
int vlapic_pending(struct vcpu *v);
/* The highest vector that nothing but the task priority holds back, or -1: CR8 is lowered without an exit unless
 * WINDOW_CR8 is asked for. */
int vlapic_held(struct vcpu *v);
void vlapic_acknowledge(struct vcpu *v, uint8_t vector);
void vlapic_eoi(struct vcpu *v);
/* What WORK_INIT stands for, taken by the vCPU's own CPU: VLAPIC_INIT and VLAPIC_SIPI (its vector is in
 * v->sipi_vector). Both at once: INIT came first. A SIPI counts only for a vCPU that waits for one; vlapic_reset() is
 * the taker's business. */
enum { VLAPIC_INIT = 1, VLAPIC_SIPI = 2 };
unsigned vlapic_take_init(struct vcpu *v);
/* The timer: what is due by `now` is raised; when it is due next (ns), ~0: never. */
void vlapic_tick(struct vcpu *v, uint64_t now);
uint64_t vlapic_next(const struct vcpu *v);

/* --- IOAPIC and PIC: the control domain's ------------------------------------------------------------------------- */
/* An IOAPIC has at most 120 inputs (its index register is 8 bits wide); there is one for each 120 GSIs, at
 * VIOAPIC_BASE + n * 0x1000 with id n + 1 and first GSI n * 120. MADTs must say the same. */
#define VIOAPIC_BASE 0xfec00000ull
#define VIOAPIC_PINS 120
#define VIOAPIC_MAX 2
#define VIOAPIC_MAX_GSIS (VIOAPIC_MAX * VIOAPIC_PINS)
/* More than VIOAPIC_MAX_GSIS are cut to that. 0, -ENOMEM, -EINVAL (none). */
must_check int virqchip_init(struct domain *d, unsigned nr_gsis);
/* I/O at ports and memory; false: nothing there. */
bool virqchip_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value);
bool virqchip_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value);
/* The host's interrupt for this input arrived. */
void virqchip_host_gsi(struct domain *d, unsigned gsi);
/* The local APIC got an EOI for a level-triggered vector. */
void virqchip_eoi(struct domain *d, uint8_t vector);

/* --- PCI configuration space of the control domain (vpci.c) --------------------------------------------------------
 */
/* The domain's lock, which callers must not hold, is for all of this; but for vpci_traps_range() they are for a domain
 * with vpci_init() only. */
must_check int vpci_init(struct domain *d);
/* Gives the domain a device, its DMA confined (iommu_assign), its message interrupts off. Known already: 0, nothing
 * happens. -ENODEV (not there, or a unit of the IOMMU), -ENOMEM; the IOMMU's error: the device is there but cannot be a
 * bus master. */
must_check int vpci_add_device(struct domain *d, uint32_t sbdf);
int vpci_remove_device(struct domain *d, uint32_t sbdf);
uint32_t vpci_read(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size);
void vpci_write(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value);
/* An access to a page with an MSI-X table; false: not one. `size` 1, 2, 4 or 8. */
bool vpci_msix_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value);
/* An access to configuration space in memory; false: not one. */
bool vpci_ecam_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value);
/* Whether any of the pages has some of an MSI-X table, so that it may not be mapped. Who maps on demand asks again
 * afterwards and takes them out again: the table may have moved there meanwhile. */
bool vpci_traps_range(struct domain *d, gfn_t g, uint64_t count);
