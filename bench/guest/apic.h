/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC of the running vCPU, by MMIO (xAPIC) or by MSR (x2APIC). Registers by their MMIO
 * offset. */
#ifndef BENCH_GUEST_APIC_H
#define BENCH_GUEST_APIC_H

#include <stdbool.h>
#include <stdint.h>

#define APIC_ID 0x20
#define APIC_TPR 0x80
#define APIC_EOI 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_ICR 0x300
#define APIC_LVT_TIMER 0x320
#define APIC_LVT_LINT0 0x350
#define APIC_TIMER_COUNT 0x380
#define APIC_TIMER_NOW 0x390
#define APIC_TIMER_DIVIDE 0x3e0
#define APIC_MASKED 0x10000u
#define APIC_INIT 0x4500u
#define APIC_STARTUP 0x4600u

bool apic_is_x2(void);
uintptr_t apic_base(void);
/* Software-enables the APIC of this vCPU with everything masked. */
void apic_init(void);
void apic_enter_x2(void);
uint32_t apic_read(unsigned reg);
void apic_write(unsigned reg, uint32_t value);
void apic_eoi(void);
void apic_send(uint32_t destination, uint32_t command);
/* One-shot timer of this many counts on VECTOR_TIMER, divided by one. */
void apic_timer_arm(uint32_t count);

#endif
