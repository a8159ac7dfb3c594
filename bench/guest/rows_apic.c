/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group apic: the local APIC, first by MMIO (xapic_*), then, where CPUID offers it, by MSR
 * (x2apic_*; the guest stays in that mode). id_read: the ID register; tpr_write: 0 into the task
 * priority; tmict_write: a large count into the initial count of a masked one-shot timer.
 */
#include "apic.h"
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

void rows_apic(void)
{
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
    if (!platform.x2apic) {
        measure_skip_rows("apic", x2, 3, "no-x2apic");
        return;
    }
    apic_enter_x2();
    measure_rows("apic", x2, 3, NULL);
    apic_write(APIC_TIMER_COUNT, 0);
}
