/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A physical processor: its block of data (at GS:0), and what the room cpu/ offers the other metal rooms.
 * A block belongs to its CPU; the atomics may be touched by others.
 */
#pragma once

#include <hv/list.h>
#include <hv/lock.h>
#include <hv/machine.h>
#include <hv/types.h>

#define MAX_CPUS MACHINE_MAX_CPUS
#define STACK_ORDER 2
#define STACK_SIZE (PAGE_SIZE << STACK_ORDER)

struct vcpu;

/* The 64-bit task state segment (APM2 12.2.5). */
struct packed tss {
    uint32_t reserved0;
    uint64_t rsp[3], reserved1, ist[7], reserved2;
    uint16_t reserved3, io_map;
};

/* Offsets of `self` and `stack_top` are known to entry.S. */
struct cpu {
    struct cpu *self;
    uint64_t stack_top;
    unsigned id;
    uint32_t apic_id;
    _Atomic bool online;
    struct vcpu *current;     /* running now; NULL: idle */
    struct vcpu *previous;    /* ran last and the scheduler does not have it back; vcpu_loop's */
    uint64_t alarm;           /* what the timer is set to, ns; ~0: off */
    _Atomic bool tick;        /* the alarm went off; seen by vcpu_loop */
    paddr_t host_vmcb, hsave; /* SVM's */
    uint64_t asid_generation;
    uint32_t asid_next;
    domid_t last_domain;   /* that ran here */
    spinlock_t timer_lock; /* LOCK_SCHED: timers */
    struct list timers;    /* vCPUs that wait here for a deadline */
    uint64_t gdt[8] __attribute__((aligned(16)));
    struct tss tss __attribute__((aligned(16)));
};

extern struct cpu *hv_cpus[MAX_CPUS];
extern unsigned hv_nr_cpus;

static inline struct cpu *this_cpu(void)
{
    struct cpu *c;
    __asm__("mov %%gs:0, %0" : "=r"(c));
    return c;
}

/* What was found about this computer; the same on all CPUs. */
struct cpu_features {
    bool rdtscp, x2apic, gigabyte_pages, smep, smap, nrips, ibpb, xsave;
    uint32_t asids;
    uint64_t xcr0; /* state components that are switched */
};
extern struct cpu_features hv_features;

/* Registers as the stubs of entry.S leave them. */
struct trap_frame {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax;
    uint64_t vector, code;
    uint64_t rip, cs, rflags, rsp, ss;
};

/* --- machine.c ---------------------------------------------------------------------------------------------------- */
/* The range of the firmware's memory map that contains `address`; NULL: none. */
const struct boot_range *boot_range_at(paddr_t address);

/* --- paging.c: the hypervisor's own address space ----------------------------------------------------------------- */
/* Builds it from the loader's map; afterwards RAM is in the direct map and the allocator has what is free. */
void paging_init(void);
void paging_load(void); /* this CPU: CR3, CR4, EFER, PAT */
/* Maps a range in the page tables of `tree`, which are made as needed; entries there are replaced. False: no memory. */
#define PTE_P BIT(0)
#define PTE_W BIT(1)
#define PTE_UNCACHED (BIT(3) | BIT(4))
bool paging_map(paddr_t tree, uint64_t va, paddr_t pa, uint64_t size, uint64_t flags);
/* A stack with an unmapped page below; its top. */
uint64_t stack_alloc(void);
/* Identity-maps one page for the APs' first steps, or takes it back. CR3 for them. */
paddr_t paging_trampoline(paddr_t page, bool mapped);

/* --- traps.c -------------------------------------------------------------------------------------------------------
 */
void traps_init(struct cpu *c); /* this CPU's GDT, TSS, IDT, GS */
void trap_handle(struct trap_frame *f);

/* --- smp.c -------------------------------------------------------------------------------------------------------
 */
struct cpu *cpu_alloc(unsigned id, uint32_t apic_id);
void smp_reserve(void);          /* memory for it; before RAM is given away */
void smp_start(void);            /* all other CPUs of the MADT; returns when they are in vcpu_loop */
void smp_resume(void);           /* the same CPUs again, after S3 */
paddr_t smp_waking_vector(void); /* for the FACS: leads the first CPU to cpu_start() */
noreturn void cpu_start(void);   /* entry.S: this CPU, whose start is prepared, begins anew */

/* --- power.c ---------------------------------------------------------------------------------------------------
 */
bool power_parking(void); /* all CPUs shall come to power_park(), without a vCPU */
noreturn void power_park(void);
/* All CPUs stop, the machine with them. */
noreturn void machine_stop(bool reboot);
noreturn void machine_crashed(void); /* they stop, or the machine reboots, as configured */
extern _Atomic bool hv_stopping;
void power_wake(void); /* the first CPU, as soon as it runs again */

/* --- clock.c -------------------------------------------------------------------------------------------------------
 */
void clock_init(void);
void clock_suspend(void);
/* metal_now() goes on where it stood at clock_suspend(). How long that was: TSC ticks to take from the guests' TSCs,
 * and seconds of the wall clock. */
uint64_t clock_resume(uint64_t *seconds);
void clock_alarm(void); /* the timer's interrupt, hvm/run.c: looked at before the next entry */
void delay_us(unsigned us);

/* --- console.c -----------------------------------------------------------------------------------------------------
 */
void console_init(const char *options);
void console_poll(void);     /* the line's interrupt: takes what was typed */
void console_force(bool on); /* without its lock; counted */
void console_enable_input(void);
void console_resume(void); /* after S3 */

/* --- efi.c -------------------------------------------------------------------------------------------------------- */
void efi_init(void);
