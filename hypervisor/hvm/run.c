/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vcpu_loop(): what each CPU does for ever: choose a vCPU, do its pending work, enter it, handle why it came out.
 *
 * The handshake with those who want something of a running vCPU: they set a work bit, then look at v->inside and kick
 * its CPU; we set v->inside, then look at the work bits a last time, and enter only when there are none. Both sides are
 * sequentially consistent, so one of them sees the other. A kick that comes after that look ends the guest's run at
 * once, since the interrupt waits for VMRUN.
 */
#include "hvm.h"

#include "../cpu/cpu.h"
#include "../cpu/x86.h"

#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/exit.h>
#include <hv/iommu.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/sched.h>
#include <hv/vdev.h>

#define NEVER ~0ull

/* Raises what is due by `now` of a vCPU's timers; when the next is. */
static uint64_t run_timers(struct vcpu *v, uint64_t now)
{
    vcpu_run_timers(v, now);
    return vcpu_next_timer(v);
}

/* A vCPU that does not run waits in the list of the CPU it ran on last. */
static void timer_park(struct cpu *c, struct vcpu *v)
{
    uint64_t when = run_timers(v, metal_now());
    if (when == NEVER)
        return;
    spin_lock(&c->timer_lock);
    store_relaxed(&v->timer_when, when);
    v->timer_cpu = c->id;
    list_insert(c->timers.prev, &v->timer_entry);
    spin_unlock(&c->timer_lock);
}

static void timer_unpark(struct vcpu *v)
{
    if (load_acquire(&v->timer_when) == NEVER) /* pairs with timers_due(): it is off the list, too */
        return;
    struct cpu *c = hv_cpus[v->timer_cpu];
    spin_lock(&c->timer_lock);
    if (load_relaxed(&v->timer_when) != NEVER)
        list_remove(&v->timer_entry);
    store_relaxed(&v->timer_when, NEVER);
    spin_unlock(&c->timer_lock);
}

/* Wakes those whose time has come; the earliest of the others. */
static uint64_t timers_due(struct cpu *c, uint64_t now)
{
    uint64_t next = NEVER;
    spin_lock(&c->timer_lock);
    for (struct list *at = c->timers.next, *after; at != &c->timers; at = after) {
        struct vcpu *v = container_of(at, struct vcpu, timer_entry);
        after = at->next;
        uint64_t when = load_relaxed(&v->timer_when);
        if (when > now) {
            next = MIN(next, when);
            continue;
        }
        list_remove(at);
        store_release(&v->timer_when, NEVER); /* from here on its CPU, if it was woken, may park it again */
        vcpu_kick(v, WORK_TIMER);
    }
    spin_unlock(&c->timer_lock);
    return next;
}

void clock_alarm(void)
{
    struct cpu *c = this_cpu();
    c->alarm = NEVER;
    c->tick = true;
}

/* DMA that was blocked is told of once a second. When to look again. */
static uint64_t look_for_faults(const struct cpu *c, uint64_t now)
{
    static uint64_t next;
    if (c->id || !iommu_present())
        return NEVER;
    if (now >= next) {
        next = now + 1000000000;
        iommu_poll_faults();
    }
    return next;
}

/* The alarm's sources, looked at again when one of them may have changed. NULL: no vCPU runs here. */
static void set_alarm(struct cpu *c, struct vcpu *v)
{
    uint64_t now = metal_now(), mine = v ? run_timers(v, now) : NEVER;
    uint64_t others = MIN(look_for_faults(c, now), timers_due(c, now));
    metal_set_alarm(MIN(MIN(mine, others), sched_alarm_time(c->id)));
}

/* Delivers the one interrupt that has priority, and asks to be told when the next one can. NMIs first, then event
 * channels, then the local APIC. */
static void deliver(struct vcpu *v)
{
    if (v->nmi_waits && hv->ready(v, INJECT_NMI)) {
        v->nmi_waits = false;
        hv->inject(v, INJECT_NMI, 2, false, 0, 0);
        return; /* IRET is told of */
    }
    bool upcall = v->domain->callback_vector && !v->upcall_vector && evtchn_upcall_pending(v);
    int vector = upcall ? v->domain->callback_vector : vlapic_pending(v);
    if (vector >= 0 && hv->ready(v, INJECT_INTERRUPT)) {
        if (!upcall)
            vlapic_acknowledge(v, vector);
        hv->inject(v, INJECT_INTERRUPT, vector, false, 0, 0);
        vector = vlapic_pending(v);
    }
    hv->want_window(v, vector >= 0 ? WINDOW_ANY : vlapic_held(v) >= 0 ? WINDOW_CR8 : WINDOW_OFF);
}

/* Everything that was asked of this vCPU, but for what run() looks at. Bits that are left keep it from entering. */
static void do_work(struct vcpu *v)
{
    uint32_t work = atomic_fetch_and(&v->work, WORK_RESCHEDULE | WORK_PAUSE | WORK_TIMER);
    if (work & WORK_FLUSH) {
        hv->flush(v);
        v->code.bytes = NULL;
        v->walked.levels = 0;
    }
    if (work & WORK_INIT)
        vcpu_start_up(v);
    if (work & WORK_NMI)
        v->nmi_waits = true;
    if (work & WORK_EVENT && v->upcall_vector && evtchn_upcall_pending(v))
        vlapic_accept(v, v->upcall_vector, false);
    deliver(v);
}

/* Runs one vCPU until something else shall run here. */
static void run(struct cpu *c, struct vcpu *v)
{
    c->current = v;
    vcpu_load(v);
    vcpu_update_runstate(v, metal_now());
    set_alarm(c, v);
    atomic_fetch_or(&v->work, WORK_LAPIC);
    while (!load_relaxed(&v->blocked)) {
        uint32_t work = load_relaxed(&v->work);
        if (work & (WORK_RESCHEDULE | WORK_PAUSE)) {
            atomic_fetch_and(&v->work, ~(WORK_RESCHEDULE | WORK_PAUSE));
            break;
        }
        if (unlikely(c->tick || work & WORK_TIMER)) {
            c->tick = false;
            atomic_fetch_and(&v->work, ~WORK_TIMER);
            set_alarm(c, v);
            if (sched_alarm_time(c->id) <= metal_now() || power_parking())
                break;
            continue;
        }
        if (work) {
            do_work(v);
            continue;
        }
        atomic_store(&v->inside, true);
        if (unlikely(atomic_load(&v->work))) {
            atomic_store(&v->inside, false);
            continue;
        }
        struct vm_exit x;
        hv->enter(v, &x);
        store_relaxed(&v->inside, false);
        if (x.kind != EXIT_NONE)
            exit_dispatch(v, &x);
    }
    vcpu_unload(v);
    vcpu_update_runstate(v, metal_now());
    c->current = NULL;
    timer_park(c, v);
}

static void idle(struct cpu *c)
{
    set_alarm(c, NULL);
    if (!c->tick && !sched_has_work(c->id))
        halt_once();
    c->tick = false;
}

void vcpu_loop(void)
{
    struct cpu *c = this_cpu();
    for (;;) {
        if (unlikely(power_parking()))
            power_park();
        struct vcpu *v = c->previous = sched_pick(c->id, c->previous, metal_now());
        if (!v) {
            idle(c);
            continue;
        }
        timer_unpark(v);
        run(c, v);
    }
}

void metal_flush_p2m(struct domain *d)
{
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (!v || !v->hw)
            continue;
        atomic_fetch_or(&v->work, WORK_FLUSH);
        if (!atomic_load(&v->inside))
            continue;
        metal_kick(load_relaxed(&v->cpu));
        while (atomic_load(&v->inside) && atomic_load(&v->work) & WORK_FLUSH)
            cpu_relax();
    }
}
