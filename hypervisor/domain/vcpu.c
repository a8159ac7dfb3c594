/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What happens to a virtual processor from outside and what it shares with its guest: creation, kicks and blocking, its
 * PV timers, and the memory it registered (vcpu_info, runstate, time).
 *
 * Blocking and waking race; the order on both sides makes one see the other: a waker sets `work` and then looks at
 * `blocked`, vcpu_block() sets `blocked` and then looks at `work` (both sequentially consistent).
 */
#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>
#include <xen/xen.h>
#include <xen/vcpu.h>

_Static_assert(sizeof(struct vcpu) <= PAGE_SIZE, "a vCPU is one page");
_Static_assert(sizeof(struct vcpu_info) == sizeof(((struct vcpu *)0)->own_info) && sizeof(struct vcpu_time_info) == 32,
               "64-bit layout");
_Static_assert((int)RUN_OFFLINE == RUNSTATE_offline && (int)RUN_BLOCKED == RUNSTATE_blocked, "states of the ABI");

/* Work that ends HLT and the like; INIT and SIPI also start a vCPU that is down (MP specification B.4). */
#define WORK_WAKES (WORK_EVENT | WORK_LAPIC | WORK_NMI | WORK_TIMER | WORK_INIT)

/* --- creation ------------------------------------------------------------------------------------------------- */

int vcpu_create(struct domain *d, unsigned id)
{
    struct vcpu *v = d->vcpu[id] = page_alloc();
    if (!v)
        return -ENOMEM;
    v->domain = d;
    v->id = id;
    atomic_init(&v->blocked, BLOCK_DOWN);
    v->info_mfn = INVALID_MFN;
    v->info = id < XEN_LEGACY_MAX_VCPUS ? &d->shared_info->vcpu_info[id] : (struct vcpu_info *)v->own_info;
    v->singleshot = v->poll_until = ~0ull;
    store_relaxed(&v->timer_when, ~0ull);
    list_init(&v->timer_entry);
    sched_vcpu_init(v);
    v->extra = page_alloc();
    int rc = v->extra ? hv->vcpu_init(v) : -ENOMEM;
    rc = rc ? rc : vlapic_init(v);
    if (rc)
        return rc;
    metal_reset_fpu(v);
    policy_vcpu_init(v);
    vcpu_update_time(v);
    return 0;
}

void vcpu_free(struct vcpu *v)
{
    sched_vcpu_remove(v);
    if (mfn_valid(v->info_mfn))
        frame_put(v->info_mfn);
    vlapic_free(v);
    hv->vcpu_free(v);
    page_free(v->extra);
    page_free(v);
}

/* --- kicks, blocking, waking ------------------------------------------------------------------------------------ */

void vcpu_wake(struct vcpu *v, uint32_t blocks)
{
    uint32_t before = atomic_fetch_and(&v->blocked, ~blocks);
    if (before & blocks && !(before & ~blocks))
        sched_wake(v, metal_now());
}

/* What of vcpu.blocked these bits of vcpu.work end. */
static uint32_t ended_by(uint32_t work)
{
    return (work & WORK_WAKES ? BLOCK_HALT : 0) | (work & (WORK_TIMER | WORK_INIT | WORK_NMI) ? BLOCK_POLL : 0) |
           (work & WORK_INIT ? BLOCK_SIPI | BLOCK_DOWN : 0);
}

void vcpu_kick(struct vcpu *v, uint32_t work)
{
    uint32_t ended = ended_by(work);
    atomic_fetch_or(&v->work, work);
    if (atomic_load(&v->blocked) & ended)
        vcpu_wake(v, ended);
    else if (atomic_load(&v->inside) && load_relaxed(&v->cpu) != metal_cpu())
        metal_kick(load_relaxed(&v->cpu));
}

/* Whether an interrupt or event is waiting that would end HLT. */
static bool has_interrupt(struct vcpu *v)
{
    /* With an upcall vector of its own an event shows in the local APIC. */
    if (!v->upcall_vector && v->domain->callback_vector && evtchn_upcall_pending(v))
        return true;
    return vlapic_pending(v) >= 0;
}

void vcpu_block(struct vcpu *v, uint32_t block)
{
    atomic_fetch_or(&v->blocked, block);
    uint32_t ended = ended_by(atomic_load(&v->work));
    if (block & BLOCK_HALT && has_interrupt(v))
        ended |= BLOCK_HALT;
    atomic_fetch_and(&v->blocked, ~(block & ended));
}

/* --- timers --------------------------------------------------------------------------------------------------- */

uint64_t vcpu_next_timer(struct vcpu *v) { return MIN(MIN(v->singleshot, v->poll_until), vlapic_next(v)); }

void vcpu_run_timers(struct vcpu *v, uint64_t now)
{
    if (v->singleshot <= now) {
        v->singleshot = ~0ull;
        evtchn_virq(v->domain, v->id, VIRQ_TIMER);
    }
    if (v->poll_until <= now)
        vcpu_wake(v, BLOCK_POLL);
    if (!(atomic_load(&v->blocked) & BLOCK_POLL))
        v->poll_until = ~0ull; /* timed out, or an event came first */
    vlapic_tick(v, now);
}

/* --- memory shared with the guest -------------------------------------------------------------------------------- */

int vcpu_register_area(struct vcpu *v, struct guest_area *area, uint64_t linear, size_t size)
{
    struct guest_area new = { .first = linear ? MIN(size, PAGE_SIZE - linear % PAGE_SIZE) : 0 };
    uint32_t error;
    if (linear && guest_walk(v, linear, WALK_WRITE, &new.at[0], &error) != WALK_OK)
        return -EFAULT;
    if (linear && new.first < size && guest_walk(v, linear + new.first, WALK_WRITE, &new.at[1], &error) != WALK_OK)
        return -EFAULT;
    *area = new; /* address 0 takes it back */
    return 0;
}

static void area_write(struct vcpu *v, struct guest_area *area, const void *from, size_t size)
{
    if (area->first && (guest_write_phys(v->domain, area->at[0], from, area->first) ||
                        guest_write_phys(v->domain, area->at[1], (const char *)from + area->first, size - area->first)))
        area->first = 0; /* the guest took its page away */
}

/* The clock does not change: this is written where nobody reads yet, or when the guest has set its own TSC wrong. */
void vcpu_update_time(struct vcpu *v)
{
    struct vcpu_time_info time = { .version = (v->info->time.version | 1) + 1, .flags = XEN_PVCLOCK_TSC_STABLE_BIT };
    clock_scale(&time.tsc_to_system_mul, &time.tsc_shift);
    time.tsc_timestamp = clock_tsc_start() + v->tsc_offset;
    memcpy(&v->info->time, &time, sizeof(time));
    area_write(v, &v->time_area, &time, sizeof(time));
}

void vcpu_update_runstate(struct vcpu *v, uint64_t now)
{
    struct vcpu_runstate_info info;
    if (!v->runstate_area.first)
        return;
    sched_runstate(v, now, info.time);
    info.state = v->sched.state;
    info.state_entry_time = v->sched.state_since; /* until when the times are: the guest adds what came later */
    area_write(v, &v->runstate_area, &info, sizeof(info));
}

int vcpu_register_info(struct vcpu *v, gfn_t g, uint32_t offset)
{
    if (offset > PAGE_SIZE - sizeof(struct vcpu_info) || offset % 8 || mfn_valid(v->info_mfn))
        return -EINVAL;
    mfn_t m = p2m_get_frame(&v->domain->p2m, g, true, false);
    if (!mfn_valid(m))
        return -EINVAL;
    struct vcpu_info *new = (void *)((char *)mfn_ptr(m) + offset);
    memcpy(new, v->info, sizeof(*new));
    v->info = new;
    v->info_mfn = m;
    vcpu_update_time(v);
    evtchn_resend(v); /* an event may have been set in the old place meanwhile */
    return 0;
}
