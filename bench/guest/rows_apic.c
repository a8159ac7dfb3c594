/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group apic: the local APIC, first by MMIO (xapic_*), then, where CPUID offers it, by MSR
 * (x2apic_*; the guest stays in that mode). id_read: the ID register; tpr_write: 0 into the task
 * priority; tmict_write: a large count into the initial count of a masked one-shot timer.
 * cr8_uncovers: an interrupt that CR8 holds back, from lowering CR8 to its handler.
 */
#include "apic.h"
#include "cpu.h"
#include "measure.h"
#include "platform.h"
#include "x86.h"

#define LARGE_COUNT 0x7fffffffu
#define XAPIC 0xfee00000u

static int64_t op_x_id(void)
{
    mmio_read32(XAPIC + APIC_ID);
    return 0;
}

static int64_t op_x_tpr(void)
{
    mmio_write32(XAPIC + APIC_TPR, 0);
    return 0;
}

static int64_t op_x_count(void)
{
    mmio_write32(XAPIC + APIC_TIMER_COUNT, LARGE_COUNT);
    return 0;
}

static int64_t op_x2_id(void)
{
    msr_read(MSR_X2APIC + APIC_ID / 16);
    return 0;
}

static int64_t op_x2_tpr(void)
{
    msr_write(MSR_X2APIC + APIC_TPR / 16, 0);
    return 0;
}

static int64_t op_x2_count(void)
{
    msr_write(MSR_X2APIC + APIC_TIMER_COUNT / 16, LARGE_COUNT);
    return 0;
}

static uint64_t uncovered_at;

static void on_uncovered(void)
{
    uncovered_at = tsc_read();
    apic_eoi();
}

static void cr8_write(uint64_t value)
{
    __asm__ volatile("mov %0, %%cr8" : : "r"(value) : "memory");
}

/* The first lowering of CR8 still holds it back. Nothing exits here but writes of CR8. */
static int64_t op_cr8(void)
{
    uint64_t start;
    uint32_t own = apic_read(APIC_ID);

    cr8_write(15);
    uncovered_at = 0;
    apic_send(apic_is_x2() ? own : own >> 24, VECTOR_PING);
    irq_on();
    cr8_write(VECTOR_PING >> 4);
    start = tsc_read();
    if (!uncovered_at)
        cr8_write(0);
    while (!__atomic_load_n(&uncovered_at, __ATOMIC_ACQUIRE) &&
           tsc_read() - start < options.patience)
        ;
    irq_off();
    return uncovered_at > start ? (int64_t)(uncovered_at - start) : ERROR_TIMEOUT;
}

void rows_apic(void)
{
    static const struct row cr8 = {"cr8_uncovers", op_cr8, .own_clock = true};
    static const struct row x[] = {
        {"xapic_id_read", op_x_id},
        {"xapic_tpr_write", op_x_tpr},
        {"xapic_tmict_write", op_x_count},
    };
    static const struct row x2[] = {
        {"x2apic_id_read", op_x2_id},
        {"x2apic_tpr_write", op_x2_tpr},
        {"x2apic_tmict_write", op_x2_count},
    };

    if (apic_is_x2())
        measure_skip_rows("apic", x, 3, "already-x2apic");
    else
        measure_rows("apic", x, 3, NULL);
    apic_write(APIC_TIMER_COUNT, 0);
    irq_handler(VECTOR_PING, on_uncovered);
    measure_row("apic", &cr8, NULL);
    if (!platform.x2apic) {
        measure_skip_rows("apic", x2, 3, "no-x2apic");
        return;
    }
    apic_enter_x2();
    measure_rows("apic", x2, 3, NULL);
    apic_write(APIC_TIMER_COUNT, 0);
}
