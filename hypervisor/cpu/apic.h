/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The host's interrupt controllers as the room cpu/ uses them: each CPU's local APIC, reached by MSRs (x2APIC) or
 * registers in memory (xAPIC), and the registers of the IOAPICs. Who gets which vector is irq.c's.
 *
 * A local APIC is touched by its own CPU only. The IOAPICs' register pairs need irq_lock.
 */
#pragma once

#include <hv/types.h>

enum {
    VECTOR_FIRST = 0x30, /* to 0xdf: given out by irq.c */
    VECTOR_LAST = 0xdf,
    VECTOR_TIMER = 0xf0,
    VECTOR_KICK = 0xf1,
    VECTOR_SERIAL = 0xf4,
    VECTOR_SPURIOUS = 0xff,
};

/* Once, on the first CPU, which it switches on: chooses x2APIC or xAPIC, measures the timer. After clock_init(). */
void apic_init(void);
void apic_cpu_on(void); /* each other CPU, after apic_init(); all again after S3 */
uint32_t apic_id(void);
uint32_t apic_id_of(unsigned cpu);
void apic_eoi(void);
/* `command`: a vector, or one of these; APIC_STARTUP has the page to start at in 7:0. */
enum apic_command { APIC_NMI = 0x400, APIC_INIT = 0x500, APIC_STARTUP = 0x600 };
void apic_ipi(uint32_t apic_id, uint32_t command);
/* VECTOR_TIMER arrives this many TSC ticks from now, or earlier when the timer cannot count that far; 0: never. */
void apic_timer_set(uint64_t ticks);

/* Registers of IOAPIC number `io` (82093AA data sheet): 0x10 + 2n and 0x11 + 2n are line n's entry. */
#define IOAPIC_VERSION 0x01
#define IOAPIC_ENTRY(n) (0x10 + 2 * (n))
void ioapic_map(unsigned io, paddr_t address);
uint32_t ioapic_read(unsigned io, uint8_t reg);
void ioapic_write(unsigned io, uint8_t reg, uint32_t value);
/* A level-triggered interrupt is over. The local APIC's EOI says so by its vector, but in a remapped entry (AMD-Vi)
 * there is an index where the vector was. Chips beside an IOMMU are of version 0x20 or later, which have this register.
 */
void ioapic_directed_eoi(unsigned io, uint8_t vector);

/* --- irq.c: what boot and the traps ask of it --- */
void irq_init(unsigned nr_cpus); /* tables of that many; the board's IOAPICs: all lines are masked */
/* An ISA interrupt the hypervisor takes itself (the serial line), to a vector above VECTOR_LAST on the first CPU. */
must_check int irq_route_isa(uint8_t isa, uint8_t vector);
/* An interrupt of the host, interrupts off, no lock held. */
void irq_handle(uint8_t vector);
void irq_resume(void); /* after S3: the IOAPICs get their entries back */
