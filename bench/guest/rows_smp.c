/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group smp: IPIs, fixed delivery, edge. The vCPUs should stand on different CPUs; the waits use
 * PAUSE, on which the emulator (icount runs the CPUs in turn) goes on to the next CPU.
 *
 *   ipi_self        to the own vCPU, until its handler has run
 *   ipi_roundtrip   to the second vCPU, which spins; its handler sends one back; until that one's
 *                   handler has run here
 *   ipi_wake        to the second vCPU in HLT, until this vCPU sees what its handler wrote
 *   ipi_halt_pair   like ipi_roundtrip, with both vCPUs in HLT while they wait
 */
#include "apic.h"
#include "cpu.h"
#include "measure.h"
#include "platform.h"
#include "smp.h"
#include "x86.h"

#define HALT_SETTLE 300000u /* ticks in which a vCPU surely reaches its HLT */

static bool ping_seen, pong_seen;
static uint32_t self, other;

static bool load(bool *flag)
{
    return __atomic_load_n(flag, __ATOMIC_ACQUIRE);
}

static void on_ping(void)
{
    __atomic_store_n(&ping_seen, true, __ATOMIC_RELEASE);
    apic_eoi();
    if (cpu_self()->index)
        apic_send(self, VECTOR_PONG);
}

static void on_pong(void)
{
    __atomic_store_n(&pong_seen, true, __ATOMIC_RELEASE);
    apic_eoi();
}

static int64_t wait_flag(bool *flag)
{
    uint64_t end = tsc_read() + options.patience;

    while (!load(flag))
        if (tsc_read() > end)
            return ERROR_TIMEOUT;
        else
            cpu_pause();
    return 0;
}

static int64_t op_self(void)
{
    int64_t rc;

    irq_on();
    apic_send(self, VECTOR_PING);
    rc = wait_flag(&ping_seen);
    irq_off();
    return rc;
}

static int64_t op_roundtrip(void)
{
    int64_t rc;

    irq_on();
    apic_send(other, VECTOR_PING);
    rc = wait_flag(&pong_seen);
    irq_off();
    return rc;
}

static int64_t op_wake(void)
{
    apic_send(other, VECTOR_PING);
    return wait_flag(&ping_seen);
}

/* HLT without a backstop: the second vCPU has answered in the rows before. */
static int64_t op_halt_pair(void)
{
    apic_send(other, VECTOR_PING);
    while (!load(&pong_seen))
        cpu_halt_once();
    return 0;
}

static int64_t reset(void)
{
    ping_seen = false;
    pong_seen = false;
    return 0;
}

static int64_t reset_and_settle(void)
{
    irq_on();
    measure_settle(HALT_SETTLE);
    irq_off();
    return reset();
}

/* Out of HLT the second vCPU comes by an interrupt, whose answer is taken here and forgotten. */
static void ap_become(enum ap_state state)
{
    ap_tell(state);
    reset();
    apic_send(other, VECTOR_PING);
    irq_on();
    wait_flag(&pong_seen);
    irq_off();
    measure_settle(HALT_SETTLE);
}

static bool any_wanted(const struct row *rows, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (measure_wanted("smp", rows[i].name))
            return true;
    return false;
}

void rows_smp(void)
{
    static const struct row own = {"ipi_self", op_self, .prepare = reset};
    static const struct row pair[] = {
        {"ipi_roundtrip", op_roundtrip, .prepare = reset},
        {"ipi_wake", op_wake, .prepare = reset_and_settle},
        {"ipi_halt_pair", op_halt_pair, .prepare = reset_and_settle},
    };
    const char *note = apic_is_x2() ? "apic=x2apic" : "apic=xapic";

    self = apic_is_x2() ? apic_read(APIC_ID) : apic_read(APIC_ID) >> 24;
    irq_handler(VECTOR_PING, on_ping);
    irq_handler(VECTOR_PONG, on_pong);
    measure_row("smp", &own, note);
    if (!any_wanted(pair, 3))
        return;
    if (platform.cpus < 2) {
        measure_skip_rows("smp", pair, 3, "one-cpu");
        return;
    }
    other = platform.apic_ids[platform.apic_ids[0] == self ? 1 : 0];
    if (!ap_start(other, options.patience)) {
        measure_skip_rows("smp", pair, 3, "second-cpu-does-not-start");
        return;
    }
    measure_row("smp", &pair[0], note);
    ap_become(AP_HALTED);
    measure_row("smp", &pair[1], note);
    measure_row("smp", &pair[2], note);
}
