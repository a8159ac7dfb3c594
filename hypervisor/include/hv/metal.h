/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The seam between pure rooms and the machine: all that a pure room may ask of metal. Implemented in cpu/, hvm/ and
 * iommu/; in tests by tests/fake_metal.c (a RAM array, recorded kicks, a settable clock).
 *
 * Unless stated, functions may be called with any lock held and do not fail.
 */
#pragma once

#include <hv/bootinfo.h>
#include <hv/types.h>

struct vcpu;
struct domain;

/* --- memory -------------------------------------------------------------------------------------------------- */
/* All RAM is mapped at hv_direct_map + physical address, read-write, never executable. */
#ifdef HV_HOST
extern uintptr_t hv_direct_map;
#else
#define hv_direct_map HV_DIRECT_MAP
#endif

static inline void *paddr_ptr(paddr_t p) { return (void *)(hv_direct_map + p); }
static inline void *mfn_ptr(mfn_t m) { return paddr_ptr(m.n << PAGE_SHIFT); }
static inline paddr_t ptr_paddr(const void *p) { return (uintptr_t)p - hv_direct_map; }
static inline mfn_t ptr_mfn(const void *p) { return mfn(ptr_paddr(p) >> PAGE_SHIFT); }

/* The frame table: virtual, its pages come and go in pieces of 2 MiB, each for FRAME_CHUNK of RAM. */
struct frame;
extern struct frame *const hv_frame_table;
/* Backs the table's piece for chunk number `chunk` with the 2 MiB of RAM at `at`. */
void metal_back_frame_table(uint64_t chunk, paddr_t at);

void zero_page(void *page);
/* Maps device registers uncached, for ever; NULL: no room. `base` need not be aligned. */
void *metal_map_mmio(paddr_t base, size_t size);

/* --- time ---------------------------------------------------------------------------------------------------- */
/* Nanoseconds since the hypervisor started; the same on all CPUs, never goes back. */
uint64_t metal_now(void);
extern uint64_t hv_tsc_khz; /* what RDTSC counts in a millisecond */
/* The wall clock at metal_now() 0, ns since 1970: the RTC's at boot, then the control domain's (domain_set_wallclock).
 */
extern _Atomic uint64_t hv_epoch;
/* How a guest computes metal_now() from the host's TSC: ((tsc - start) << shift) * mul >> 32, as in struct
 * vcpu_time_info. */
uint64_t clock_tsc_start(void);
void clock_scale(uint32_t *mul, int8_t *shift);

/* --- processors ---------------------------------------------------------------------------------------------- */
unsigned metal_cpu(void); /* number of this CPU, 0 .. metal_nr_cpus() - 1 */
unsigned metal_nr_cpus(void);
/* Makes CPU `cpu` leave a guest and look at its work (v->work, its run queue) before it enters one again. */
void metal_kick(unsigned cpu);
/* Each CPU has one alarm: vcpu_loop there looks at its timers and its queue at or after `when` (ns). ~0: none. This
 * CPU's own only. */
void metal_set_alarm(uint64_t when);

/* An MSR of this CPU; false when reading it faults. */
bool metal_msr_read(uint32_t msr, uint64_t *value);

/* XCR0 that the vCPU running here asks for; false: a value the processor or we do not know. */
bool metal_set_xcr0(struct vcpu *v, uint64_t value);
/* Of the vCPU running here; read back, since not every processor (QEMU 7.2) tells when a guest sets it. */
uint64_t metal_xcr0(void);
void metal_wbinvd(void);
void metal_reset_fpu(struct vcpu *v); /* as after RESET (INIT leaves it alone); the vCPU does not run */

/* --- cached translations ----------------------------------------------------------------------------------------- */
/* Every CPU that runs `d` forgets cached translations of its p2m before it enters it again, and none is inside
 * with old ones when this returns. */
void metal_flush_p2m(struct domain *d);

/* --- devices ------------------------------------------------------------------------------------------------- */
/* A register of a device, in one access of 1, 2, 4 or 8 bytes. */
static inline void metal_mmio(volatile void *at, unsigned size, bool write, uint64_t *value)
{
    if (size == 1)
        write ? (*(volatile uint8_t *)at = *value) : (*value = *(volatile uint8_t *)at);
    else if (size == 2)
        write ? (*(volatile uint16_t *)at = *value) : (*value = *(volatile uint16_t *)at);
    else if (size == 4)
        write ? (*(volatile uint32_t *)at = *value) : (*value = *(volatile uint32_t *)at);
    else
        write ? (*(volatile uint64_t *)at = *value) : (*value = *(volatile uint64_t *)at);
}

uint32_t metal_pci_read(uint32_t sbdf, unsigned reg, unsigned size); /* size 1, 2, 4; sbdf: seg:16 bus:8 devfn:8 */
void metal_pci_write(uint32_t sbdf, unsigned reg, unsigned size, uint32_t value);
uint32_t metal_port_read(uint16_t port, unsigned size);
void metal_port_write(uint16_t port, unsigned size, uint32_t value);

/* --- the whole machine ----------------------------------------------------------------------------------------- */
/* The control domain shut down with `code` (SHUTDOWN_* of the ABI): power off, reboot, or report a crash and do as
 * configured. Does not return but in tests. */
void metal_machine_end(uint32_t code);
/* The processor reported an error of the hardware while a guest ran: tells what it knows and stops. */
void metal_machine_check(void);
/* A write to a port by the control domain: whether it was the command to sleep (power.c), which is then under way, or
 * a part of one, which is ignored. */
bool metal_sleep_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value);
/* The same by hypercall: ACPI sleep state 3 or off, with the PM1 control values of the DSDT. After it the vCPU goes on
 * as if nothing had been. 0 or -EOPNOTSUPP. */
int metal_enter_sleep(struct vcpu *v, uint8_t state, uint16_t pm1a, uint16_t pm1b);
