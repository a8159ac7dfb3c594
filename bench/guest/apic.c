/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "apic.h"

#include "cpu.h"
#include "x86.h"

#define BASE_ENABLE 0x800ull
#define BASE_X2 0x400ull
#define ENABLE 0x100u
#define ICR_BUSY 0x1000u
#define ICR_HIGH 0x310
#define DIVIDE_BY_1 0xb

bool apic_is_x2(void)
{
    return msr_read(MSR_APIC_BASE) & BASE_X2;
}

uintptr_t apic_base(void)
{
    return msr_read(MSR_APIC_BASE) & 0xfffff000u;
}

static bool x2; /* same on all vCPUs once they run */

uint32_t apic_read(unsigned reg)
{
    return x2 ? (uint32_t)msr_read(MSR_X2APIC + reg / 16) : mmio_read32(0xfee00000u + reg);
}

void apic_write(unsigned reg, uint32_t value)
{
    if (x2)
        msr_write(MSR_X2APIC + reg / 16, value);
    else
        mmio_write32(0xfee00000u + reg, value);
}

void apic_eoi(void)
{
    apic_write(APIC_EOI, 0);
}

void apic_init(void)
{
    uint64_t base = msr_read(MSR_APIC_BASE);

    if (!(base & BASE_ENABLE))
        msr_write(MSR_APIC_BASE, base | BASE_ENABLE);
    if (cpu_self()->index == 0)
        x2 = apic_is_x2();
    else if (x2)
        msr_write(MSR_APIC_BASE, base | BASE_ENABLE | BASE_X2);
    apic_write(APIC_SPURIOUS, ENABLE | VECTOR_SPURIOUS);
    apic_write(APIC_TPR, 0);
    apic_write(APIC_LVT_LINT0, APIC_MASKED);
    apic_write(APIC_LVT_TIMER, APIC_MASKED | VECTOR_TIMER);
    apic_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
}

void apic_enter_x2(void)
{
    msr_write(MSR_APIC_BASE, msr_read(MSR_APIC_BASE) | BASE_ENABLE | BASE_X2);
    x2 = true;
    apic_init();
}

void apic_send(uint32_t destination, uint32_t command)
{
    if (x2) {
        msr_write(MSR_X2APIC + APIC_ICR / 16, (uint64_t)destination << 32 | command);
        return;
    }
    while (apic_read(APIC_ICR) & ICR_BUSY)
        cpu_pause();
    apic_write(ICR_HIGH, destination << 24);
    apic_write(APIC_ICR, command);
}

void apic_timer_arm(uint32_t count)
{
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    apic_write(APIC_TIMER_COUNT, count);
}
