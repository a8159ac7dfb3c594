/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine's end, and its sleep (ACPI 6.4 chapters 7.4 and 16).
 *
 * The control domain puts the machine to sleep as it would without a hypervisor: by a write to the PM1a control
 * register, which is trapped. When it has left a waking vector in the FACS, RAM stays and the machine shall wake up
 * there. Then all CPUs leave their guests and stop, the last one puts our own vector into the FACS and does the write.
 * Waking up, the first CPU comes the way the others come at boot (trampoline, cpu_main()), restores the machine, starts
 * the others, and the vCPU that wrote begins at its vector in real mode. Nothing on any stack survives, and nothing has
 * to. Without a waking vector the machine goes off (S4, S5): the write is just done.
 *
 * Time stands still meanwhile for all but the wall clock: the guests' TSCs too, by their offsets.
 */
#include "apic.h"
#include "cpu.h"
#include "x86.h"

#include <hv/acpi.h>
#include <hv/board.h>
#include <hv/domain.h>
#include <hv/iommu.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/vdev.h>

#include <xen/sched.h>

#define SLEEP_ENABLE BIT(13)
#define FALL_ASLEEP_US 5000000
#define RESET_US 100000 /* until the next way is tried */

/* The sleep under way: written by the vCPU that sets `parking`, read by the first CPU when the others are parked. */
static _Atomic bool parking;
static struct {
    struct vcpu *v;
    uint32_t vector; /* where `v` begins again; 0: it goes on as if nothing had been */
    uint16_t pm1a, pm1b;
} sleep;

/* By the FADT's register, the keyboard controller, the chipset; at last by a fault that nobody can take. */
static noreturn void machine_reset(void)
{
    static const struct descriptor_pointer none;
    if (hv_board.fadt.reset)
        outb(hv_board.fadt.reset, hv_board.fadt.reset_value);
    delay_us(RESET_US);
    outb(0xcf9, 0x0e);
    outb(0x64, 0xfe);
    delay_us(RESET_US);
    __asm__ volatile("lidt %0; int3" : : "m"(none));
    halt_for_ever();
}

_Atomic bool hv_stopping;

void machine_stop(bool reboot)
{
    console_force(true); /* who is stopped may hold the lock */
    hv_stopping = true;
    for (unsigned i = 0; i < hv_nr_cpus; i++)
        if (hv_cpus[i] && hv_cpus[i] != this_cpu() && load_relaxed(&hv_cpus[i]->online))
            apic_ipi(hv_cpus[i]->apic_id, APIC_NMI);
    if (reboot) {
        log_line("Rebooting (option reboot=off stops instead).");
        machine_reset();
    }
    log_line("Stopped. Reset or switch off.");
    halt_for_ever();
}

void machine_crashed(void) { machine_stop(!option_is(hv_machine.command_line, "reboot", "off", false)); }

void metal_machine_end(uint32_t code)
{
    if (code == SHUTDOWN_crash) {
        log_line("The control domain has crashed; its last words are above.");
        machine_crashed();
    }
    if (code == SHUTDOWN_reboot)
        machine_reset();
    /* The control domain enters S5 itself (metal_enter_sleep) when it powers off; a kernel without ACPI ends here. */
    log_line("The control domain has ended (code %u). The machine can be switched off.", code);
    machine_stop(false);
}

/* 4.8.3.2.1: the kind of sleep first, then the command. */
static void write_pm1(uint16_t a, uint16_t b)
{
    for (uint16_t enable = 0; enable <= SLEEP_ENABLE; enable += SLEEP_ENABLE) {
        outw(hv_board.fadt.pm1a_control, (a & ~SLEEP_ENABLE) | enable);
        if (hv_board.fadt.pm1b_control)
            outw(hv_board.fadt.pm1b_control, (b & ~SLEEP_ENABLE) | enable);
    }
}

/* --- falling asleep ----------------------------------------------------------------------------------------------- */

static void sleep_begin(struct vcpu *v, uint32_t vector, uint16_t pm1a, uint16_t pm1b)
{
    if (atomic_exchange(&parking, true))
        return; /* another vCPU was faster; this one sleeps where it is */
    sleep.v = v;
    sleep.vector = vector;
    sleep.pm1a = pm1a;
    sleep.pm1b = pm1b;
    for (unsigned i = 0; i < hv_nr_cpus; i++) {
        hv_cpus[i]->tick = true; /* pairs with power_parking() in vcpu_loop(): parking before tick */
        metal_kick(i);
    }
}

bool metal_sleep_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value)
{
    uint16_t pm1a = hv_board.fadt.pm1a_control;
    if (!pm1a || !hv_board.facs || port + size <= pm1a || port > pm1a + 1)
        return false;
    if (port != pm1a || size != 2)
        return true; /* nobody writes half of it; doing so could put the machine to sleep behind our back */
    uint32_t vector = hv_board.facs->waking_vector;
    if (!(value & SLEEP_ENABLE) || !vector)
        return false;
    sleep_begin(v, vector, value, hv_board.fadt.pm1b_control ? inw(hv_board.fadt.pm1b_control) : 0);
    return true;
}

int metal_enter_sleep(struct vcpu *v, uint8_t state, uint16_t pm1a, uint16_t pm1b)
{
    if (!hv_board.fadt.pm1a_control || (state == 3 && !hv_board.facs))
        return -EOPNOTSUPP;
    if (state == 3) {
        sleep_begin(v, 0, pm1a, pm1b);
        return 0;
    }
    write_pm1(pm1a, pm1b);
    return 0;
}

bool power_parking(void) { return load_acquire(&parking); }

static noreturn void fall_asleep(void)
{
    for (unsigned i = 1; i < hv_nr_cpus; i++)
        while (load_acquire(&hv_cpus[i]->online))
            cpu_relax();
    log_line("The machine goes to sleep.");
    iommu_suspend();
    clock_suspend();
    hv_board.facs->waking_vector = smp_waking_vector();
    hv_board.facs->x_waking_vector = 0;
    metal_wbinvd();
    write_pm1(sleep.pm1a, sleep.pm1b);
    delay_us(FALL_ASLEEP_US);
    log_line("It does not fall asleep.");
    cpu_start(); /* as if it had */
}

void power_park(void)
{
    struct cpu *c = this_cpu();
    if (!c->id)
        fall_asleep();
    metal_wbinvd();
    store_release(&c->online, false); /* pairs with fall_asleep() */
    halt_for_ever();
}

/* --- waking up ---------------------------------------------------------------------------------------------------- */

/* The guests' TSCs go on where they stopped, and with them what they compute system time from. */
static void stop_guests_tsc(uint64_t ticks)
{
    struct domain *d;
    for (domid_t id = 0; (d = domain_next(id)); id = d->id + 1, domain_put(d))
        for (unsigned i = 0; i < d->max_vcpus; i++) {
            struct vcpu *v = d->vcpu[i];
            if (!v || !v->hw)
                continue;
            v->tsc_offset -= ticks;
            hv->set_tsc_offset(v, v->tsc_offset);
        }
}

void power_wake(void)
{
    uint64_t seconds, ticks = clock_resume(&seconds);
    console_resume();
    log_line("The machine wakes up after %lu s.", seconds);
    iommu_resume();
    irq_resume();
    stop_guests_tsc(ticks);
    domain_set_wallclock(load_relaxed(&hv_epoch) + seconds * 1000000000);
    hv_board.facs->waking_vector = sleep.vector;
    if (sleep.vector) {
        vlapic_reset(sleep.v);
        vcpu_start_at(sleep.v, sleep.vector);
        metal_reset_fpu(sleep.v);
    }
    store_release(&parking, false);
    smp_resume();
}
