/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group timer: the local APIC timer, one-shot, from just before the write of its count until its
 * handler reads the clock. The delay asked for is part of the figure and stands beside it as
 * nominal= (in ticks; counts converted at the ratio measured against the clock over DELAY * 50).
 *   timer_spin   the vCPU runs meanwhile
 *   timer_halt   the vCPU is in HLT: delivery and halt wake-up
 */
#include "apic.h"
#include "cpu.h"
#include "measure.h"
#include "platform.h"
#include "text.h"
#include "x86.h"

#define DELAY 200000u
#define LARGE_COUNT 0x7fffffffu
#define SCALE 1000000u

static uint64_t fired_at;
static uint32_t count;

static void on_timer(void)
{
    fired_at = tsc_read();
    apic_eoi();
}

/* Ticks for SCALE counts; 0 when the timer does not run. */
static uint64_t timer_ratio(void)
{
    uint64_t start, ticks;
    uint32_t from, to;

    apic_write(APIC_LVT_TIMER, APIC_MASKED | VECTOR_TIMER);
    apic_write(APIC_TIMER_COUNT, LARGE_COUNT);
    start = tsc_read();
    from = apic_read(APIC_TIMER_NOW);
    measure_settle(DELAY * 50);
    ticks = tsc_read();
    to = apic_read(APIC_TIMER_NOW);
    ticks -= start;
    apic_write(APIC_TIMER_COUNT, 0);
    return to < from ? ticks * SCALE / (from - to) : 0;
}

static int64_t finish(uint64_t start)
{
    apic_write(APIC_LVT_TIMER, APIC_MASKED | VECTOR_TIMER);
    return fired_at ? (int64_t)(fired_at - start) : ERROR_TIMEOUT;
}

/* No PAUSE: the vCPU keeps its CPU, and an emulator does not run the others meanwhile. */
static int64_t op_spin(void)
{
    uint64_t start;

    fired_at = 0;
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    irq_on();
    start = tsc_read();
    apic_write(APIC_TIMER_COUNT, count);
    while (!__atomic_load_n(&fired_at, __ATOMIC_ACQUIRE) && tsc_read() - start < options.patience)
        ;
    irq_off();
    return finish(start);
}

static int64_t op_halt(void)
{
    uint64_t start;

    fired_at = 0;
    apic_write(APIC_LVT_TIMER, VECTOR_TIMER);
    start = tsc_read();
    apic_write(APIC_TIMER_COUNT, count);
    while (!__atomic_load_n(&fired_at, __ATOMIC_ACQUIRE) && tsc_read() - start < options.patience)
        cpu_halt_once();
    return finish(start);
}

void rows_timer(void)
{
    static const struct row rows[] = {
        {"timer_spin", op_spin, .own_clock = true},
        {"timer_halt", op_halt, .own_clock = true},
    };
    uint64_t ratio;
    char note[64];

    if (!measure_wanted("timer", rows[0].name) && !measure_wanted("timer", rows[1].name))
        return;
    ratio = timer_ratio();
    if (!ratio || ratio > (uint64_t)DELAY * SCALE) {
        measure_skip_rows("timer", rows, 2, "timer-does-not-run");
        return;
    }
    count = (uint32_t)((uint64_t)DELAY * SCALE / ratio);
    irq_handler(VECTOR_TIMER, on_timer);
    text_print(note, sizeof(note), "count=%u nominal=%lu", count, count * ratio / SCALE);
    measure_rows("timer", rows, 2, note);
}
