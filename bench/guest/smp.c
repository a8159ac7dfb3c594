/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "smp.h"

#include "apic.h"
#include "cpu.h"
#include "x86.h"

#define TRAMPOLINE 0x8000u
#define STARTUP_GAP                                                                                \
    10000000u /* ticks between INIT and STARTUP: the 10 ms of the specification at 1 GHz */

extern uint8_t ap_trampoline[], ap_trampoline_end[];

static enum ap_state told, arrived;

void ap_tell(enum ap_state state)
{
    __atomic_store_n(&told, state, __ATOMIC_RELEASE);
}

bool ap_arrived(enum ap_state state)
{
    return __atomic_load_n(&arrived, __ATOMIC_ACQUIRE) == state;
}

void ap_main(void)
{
    cpu_init(1);
    apic_init();
    for (;;) {
        enum ap_state state = __atomic_load_n(&told, __ATOMIC_ACQUIRE);

        __atomic_store_n(&arrived, state, __ATOMIC_RELEASE);
        if (state == AP_HALTED) {
            cpu_halt_once();
            continue;
        }
        irq_on();
        while (__atomic_load_n(&told, __ATOMIC_ACQUIRE) == state)
            cpu_pause();
        irq_off();
    }
}

static void pause_until(uint64_t deadline)
{
    while (tsc_read() < deadline)
        cpu_pause();
}

bool ap_start(uint32_t apic_id, uint64_t patience)
{
    uint8_t *to = (uint8_t *)(uintptr_t)TRAMPOLINE;
    uint64_t deadline;

    for (uint8_t *from = ap_trampoline; from < ap_trampoline_end; from++)
        *to++ = *from;
    paging_execute_low(TRAMPOLINE);
    ap_tell(AP_SPINNING);
    apic_send(apic_id, APIC_INIT);
    pause_until(tsc_read() + STARTUP_GAP);
    apic_send(apic_id, APIC_STARTUP | TRAMPOLINE >> 12);
    deadline = tsc_read() + patience;
    while (!ap_arrived(AP_SPINNING) && tsc_read() < deadline)
        cpu_pause();
    return ap_arrived(AP_SPINNING);
}
