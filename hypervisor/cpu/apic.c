/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Local APICs and IOAPICs (SDM 3A ch. 10, APM2 ch. 16, 82093AA). x2APIC is used wherever the processor has it: no
 * window to map, no waiting for the ICR, and one write for an IPI.
 *
 * One branch on `x2` decides how a register is reached; it never changes after apic_init().
 */
#include "apic.h"

#include "cpu.h"
#include "x86.h"

#include <hv/board.h>
#include <hv/log.h>
#include <hv/metal.h>

/* Offsets in the xAPIC's page; the x2APIC's MSR is 0x800 + offset / 16. */
enum {
    APIC_ID = 0x20,
    APIC_TPR = 0x80,
    APIC_EOI = 0xb0,
    APIC_SVR = 0xf0,
    APIC_ICR = 0x300,
    APIC_ICR_HIGH = 0x310,
    APIC_LVT_TIMER = 0x320,
    APIC_LVT_THERMAL = 0x330,
    APIC_LVT_PERF = 0x340,
    APIC_LVT_LINT0 = 0x350,
    APIC_LVT_LINT1 = 0x360,
    APIC_LVT_ERROR = 0x370,
    APIC_TIMER_COUNT = 0x380,
    APIC_TIMER_NOW = 0x390,
    APIC_TIMER_DIVIDE = 0x3e0,
};

#define MSR_X2APIC 0x800
#define APIC_BASE_X2 BIT(10)
#define APIC_BASE_ENABLE BIT(11)
#define LVT_MASKED BIT(16)
#define LVT_NMI 0x400
#define ICR_PENDING BIT(12)
#define ICR_ASSERT BIT(14)
#define SVR_ENABLE BIT(8)
#define DIVIDE_BY_1 0xb
#define CALIBRATION_STRETCHES 4
#define CALIBRATION_TICKS (1u << 18)

static bool x2;
static volatile uint8_t *window;
static uint64_t counts_per_tick; /* of the count-down timer, 32.32 */

static uint32_t reg_read(unsigned offset)
{
    return x2 ? (uint32_t)rdmsr(MSR_X2APIC + offset / 16) : *(volatile uint32_t *)(window + offset);
}

static void reg_write(unsigned offset, uint32_t value)
{
    if (x2)
        wrmsr(MSR_X2APIC + offset / 16, value);
    else
        *(volatile uint32_t *)(window + offset) = value;
}

uint32_t apic_id(void) { return x2 ? reg_read(APIC_ID) : reg_read(APIC_ID) >> 24; }
uint32_t apic_id_of(unsigned cpu) { return hv_cpus[cpu]->apic_id; }
void apic_eoi(void) { reg_write(APIC_EOI, 0); }

void apic_ipi(uint32_t apic_id, uint32_t command)
{
    command |= ICR_ASSERT;
    if (x2) {
        /* Such writes do not wait for stores before them (SDM 10.12.3), but who gets the IPI must see those. */
        __asm__ volatile("mfence; lfence" : : : "memory");
        wrmsr(MSR_X2APIC + APIC_ICR / 16, command | (uint64_t)apic_id << 32);
        return;
    }
    while (reg_read(APIC_ICR) & ICR_PENDING)
        cpu_relax();
    reg_write(APIC_ICR_HIGH, apic_id << 24);
    reg_write(APIC_ICR, command);
}

/* How fast the count-down timer is, against the TSC: a stretch of 2^18 ticks (a tenth of a millisecond) is exact to
 * 0.1 %, and an alarm that comes early only makes the clock look again. The firmware's interrupts (SMIs), or a host,
 * may come between two reads: of some stretches the one counts whose ends took the least time. */
static void timer_measure(void)
{
    reg_write(APIC_TIMER_COUNT, ~0u);
    uint64_t least = ~0ull;
    for (unsigned stretch = 0; stretch < CALIBRATION_STRETCHES; stretch++) {
        uint64_t before = rdtsc(), left = reg_read(APIC_TIMER_NOW), start = rdtsc(), end;
        do {
            end = rdtsc();
        } while (end - start < CALIBRATION_TICKS);
        uint64_t counts = left - reg_read(APIC_TIMER_NOW), after = rdtsc();
        uint64_t ends = (start - before) + (after - end);
        if (ends < least) {
            least = ends;
            counts_per_tick = (counts << 32) / ((end - start) + ends / 2);
        }
    }
    reg_write(APIC_TIMER_COUNT, 0);
    if (!counts_per_tick)
        panic("The local APIC's timer does not count.");
}

void apic_init(void)
{
    x2 = hv_features.x2apic;
    if (!x2)
        window = metal_map_mmio(rdmsr(MSR_APIC_BASE) & PAGE_MASK & (BIT(52) - 1), PAGE_SIZE);
    apic_cpu_on();
    timer_measure();
    log_line("APIC: %s, timer of %lu MHz", x2 ? "x2APIC" : "xAPIC", (hv_tsc_khz * counts_per_tick >> 32) / 1000);
}

void apic_cpu_on(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    /* From "off" the way to x2APIC leads through xAPIC (SDM 10.12.5). */
    wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE);
    if (x2)
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_ENABLE | APIC_BASE_X2);
    reg_write(APIC_TPR, 0);
    reg_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    reg_write(APIC_LVT_LINT0, LVT_MASKED); /* nobody listens to the PICs */
    reg_write(APIC_LVT_LINT1, LVT_NMI);
    reg_write(APIC_LVT_PERF, LVT_MASKED);
    reg_write(APIC_LVT_THERMAL, LVT_MASKED);
    reg_write(APIC_LVT_ERROR, LVT_MASKED);
    reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    reg_write(APIC_LVT_TIMER, VECTOR_TIMER);
}

void apic_timer_set(uint64_t ticks)
{
    uint64_t counts = (unsigned __int128)ticks * counts_per_tick >> 32;
    reg_write(APIC_TIMER_COUNT, ticks ? MAX(MIN(counts, ~0u), 1) : 0);
}

static volatile uint8_t *ioapics[BOARD_MAX_IOAPICS];

void ioapic_map(unsigned io, paddr_t address) { ioapics[io] = metal_map_mmio(address, PAGE_SIZE); }

uint32_t ioapic_read(unsigned io, uint8_t reg)
{
    *(volatile uint32_t *)ioapics[io] = reg;
    return *(volatile uint32_t *)(ioapics[io] + 0x10);
}

void ioapic_write(unsigned io, uint8_t reg, uint32_t value)
{
    *(volatile uint32_t *)ioapics[io] = reg;
    *(volatile uint32_t *)(ioapics[io] + 0x10) = value;
}

void ioapic_directed_eoi(unsigned io, uint8_t vector) { *(volatile uint32_t *)(ioapics[io] + 0x40) = vector; }
