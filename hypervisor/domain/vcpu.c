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
_Static_assert(sizeof(struct vcpu_info) == 64 && sizeof(struct vcpu_time_info) == 32, "64-bit layout");
_Static_assert((int)RUN_OFFLINE == RUNSTATE_offline && (int)RUN_BLOCKED == RUNSTATE_blocked, "states of the ABI");

struct vcpu_info hv_dummy_vcpu_info;

/* Work that ends HLT and the like; INIT and SIPI also start a vCPU that is down (MP specification B.4). */
#define WORK_WAKES (WORK_EVENT | WORK_LAPIC | WORK_NMI | WORK_TIMER | WORK_INIT)

/* --- creation ------------------------------------------------------------------------------------------------- */

int vcpu_create(struct domain *d, unsigned id)
{
    if (id >= d->max_vcpus)
        return -EINVAL;
    if (d->vcpu[id])
        return -EEXIST;
    struct vcpu *v = page_alloc();
    if (!v)
        return -ENOMEM;
    v->domain = d;
    v->id = id;
    atomic_init(&v->blocked, BLOCK_DOWN);
    v->info_mfn = v->runstate_area.mfn[0] = v->time_area.mfn[0] = INVALID_MFN;
    v->runstate_area.mfn[1] = v->time_area.mfn[1] = INVALID_MFN;
    v->info = id < XEN_LEGACY_MAX_VCPUS ? &d->shared_info->vcpu_info[id] : &hv_dummy_vcpu_info;
    v->singleshot = v->poll_until = ~0ull;
    store_relaxed(&v->timer_when, ~0ull);
    list_init(&v->timer_entry);
    sched_vcpu_init(v);
    v->extra = page_alloc();
    int rc = v->extra ? hv->vcpu_init(v) : -ENOMEM;
    if (rc)
        goto free_vcpu;
    rc = vlapic_init(v);
    if (rc)
        goto free_hw;
    d->vcpu[id] = v;
    policy_vcpu_init(v);
    vcpu_update_time(v);
    return 0;
free_hw:
    hv->vcpu_free(v);
free_vcpu:
    page_free(v->extra);
    page_free(v);
    return rc;
}

/* --- kicks, blocking, waking ------------------------------------------------------------------------------------ */

void vcpu_wake(struct vcpu *v, uint32_t blocks)
{
    uint32_t before = atomic_fetch_and(&v->blocked, ~blocks);
    if (before & blocks && !(before & ~blocks))
        sched_wake(v, metal_now());
}

void vcpu_kick(struct vcpu *v, uint32_t work)
{
    atomic_fetch_or(&v->work, work);
    uint32_t blocked = atomic_load(&v->blocked), ends = 0;
    if (work & WORK_WAKES)
        ends = BLOCK_HALT;
    if (work & (WORK_TIMER | WORK_INIT | WORK_NMI))
        ends |= BLOCK_POLL;
    if (work & WORK_INIT)
        ends |= BLOCK_SIPI | BLOCK_DOWN;
    if (blocked & ends)
        vcpu_wake(v, ends);
    else if (atomic_load(&v->inside) && load_relaxed(&v->cpu) != metal_cpu())
        metal_kick(load_relaxed(&v->cpu));
}

bool vcpu_has_interrupt(struct vcpu *v)
{
    /* With an upcall vector of its own an event shows in the local APIC. */
    if (!v->upcall_vector && v->domain->callback_vector && evtchn_upcall_pending(v))
        return true;
    return vlapic_pending(v) >= 0 || virqchip_pic_vector(v, false) >= 0;
}

void vcpu_block(struct vcpu *v, uint32_t block)
{
    atomic_fetch_or(&v->blocked, block);
    if (block & BLOCK_HALT && (atomic_load(&v->work) & WORK_WAKES || vcpu_has_interrupt(v)))
        atomic_fetch_and(&v->blocked, ~BLOCK_HALT);
    if (block & BLOCK_POLL && atomic_load(&v->work) & (WORK_TIMER | WORK_INIT | WORK_NMI))
        atomic_fetch_and(&v->blocked, ~BLOCK_POLL);
    if (block & BLOCK_SIPI && atomic_load(&v->work) & WORK_INIT)
        atomic_fetch_and(&v->blocked, ~BLOCK_SIPI);
}

/* --- timers --------------------------------------------------------------------------------------------------- */

uint64_t vcpu_next_timer(struct vcpu *v)
{
    struct domain *d = v->domain;
    uint64_t next = MIN(v->singleshot, v->poll_until);
    next = MIN(next, vlapic_next(v));
    if (v->id)
        return next;
    next = MIN(next, MIN(d->watchdog[0], d->watchdog[1]));
    return d->platform ? MIN(next, vtime_next(d)) : next;
}

static void run_watchdogs(struct domain *d, uint64_t now)
{
    for (unsigned i = 0; i < ARRAY_SIZE(d->watchdog); i++)
        if (d->watchdog[i] <= now) {
            d->watchdog[i] = ~0ull;
            domain_shutdown(d, 4 /* SHUTDOWN_watchdog */);
        }
}

void vcpu_run_timers(struct vcpu *v, uint64_t now)
{
    if (v->singleshot <= now) {
        v->singleshot = ~0ull;
        evtchn_virq_vcpu(v, VIRQ_TIMER);
    }
    if (v->poll_until <= now)
        vcpu_wake(v, BLOCK_POLL);
    if (!(atomic_load(&v->blocked) & BLOCK_POLL))
        v->poll_until = ~0ull; /* timed out, or an event came first */
    vlapic_tick(v, now);
    if (v->id == 0) {
        run_watchdogs(v->domain, now);
        if (v->domain->platform)
            vtime_tick(v->domain, now);
    }
}

/* --- memory shared with the guest -------------------------------------------------------------------------------- */

static void area_release(struct guest_area *area)
{
    for (unsigned i = 0; i < 2; i++) {
        if (mfn_valid(area->mfn[i]))
            frame_put(area->mfn[i]);
        area->mfn[i] = INVALID_MFN;
    }
}

int vcpu_register_area(struct vcpu *v, struct guest_area *area, uint64_t linear, size_t size)
{
    struct guest_area new = { .mfn = { INVALID_MFN, INVALID_MFN }, .offset = linear % PAGE_SIZE };
    unsigned pages = new.offset + size > PAGE_SIZE ? 2 : 1;
    for (unsigned i = 0; linear && i < pages; i++) {
        gpa_t gpa;
        uint32_t error;
        if (guest_walk(v, (linear & PAGE_MASK) + i * PAGE_SIZE, WALK_WRITE, &gpa, &error) == WALK_OK)
            new.mfn[i] = p2m_get_frame(&v->domain->p2m, gpa_gfn(gpa), true, false);
        if (!mfn_valid(new.mfn[i])) {
            area_release(&new);
            return -EFAULT;
        }
    }
    area_release(area); /* address 0 takes it back */
    *area = new;
    return 0;
}

static void area_write(const struct guest_area *area, size_t at, const void *from, size_t size)
{
    size_t offset = area->offset + at, first = offset < PAGE_SIZE ? MIN(size, PAGE_SIZE - offset) : 0;
    memcpy((char *)mfn_ptr(area->mfn[0]) + (first ? offset : 0), from, first);
    if (first < size)
        memcpy((char *)mfn_ptr(area->mfn[1]) + (offset + first - PAGE_SIZE), (const char *)from + first, size - first);
}

/* Writers of pvclock data make `version` odd meanwhile (xen.h, struct vcpu_time_info). */
static void put_time(uint32_t *version, struct vcpu_time_info *to, const struct vcpu_time_info *time)
{
    uint32_t odd = *version | 1;
    *(volatile uint32_t *)version = odd;
    atomic_thread_fence(memory_order_release);
    memcpy((char *)to + sizeof(to->version), (const char *)time + sizeof(to->version),
           sizeof(*to) - sizeof(to->version));
    atomic_thread_fence(memory_order_release);
    *(volatile uint32_t *)version = odd + 1;
}

void vcpu_update_time(struct vcpu *v)
{
    struct vcpu_time_info time = { .flags = XEN_PVCLOCK_TSC_STABLE_BIT };
    clock_scale(&time.tsc_to_system_mul, &time.tsc_shift);
    time.tsc_timestamp = clock_tsc_start() + v->tsc_offset;
    put_time(&v->info->time.version, &v->info->time, &time);
    if (mfn_valid(v->time_area.mfn[0])) {
        /* An odd version stays while the rest is written, possibly across two pages. */
        time.version = v->info->time.version | 1;
        area_write(&v->time_area, 0, &time.version, sizeof(time.version));
        atomic_thread_fence(memory_order_release);
        area_write(&v->time_area, sizeof(time.version), &time.pad0, sizeof(time) - sizeof(time.version));
        atomic_thread_fence(memory_order_release);
        time.version++;
        area_write(&v->time_area, 0, &time.version, sizeof(time.version));
    }
}

void vcpu_update_runstate(struct vcpu *v, uint64_t now)
{
    struct vcpu_runstate_info info = { .state = v->sched.state, .state_entry_time = v->sched.state_since };
    bool flagged = v->domain->vm_assist & BIT(VMASST_TYPE_runstate_update_flag);
    size_t entry = offsetof(struct vcpu_runstate_info, state_entry_time);
    if (!mfn_valid(v->runstate_area.mfn[0]))
        return;
    sched_runstate(v, now, info.time);
    if (flagged) {
        uint64_t marked = info.state_entry_time | XEN_RUNSTATE_UPDATE;
        area_write(&v->runstate_area, entry, &marked, sizeof(marked));
        atomic_thread_fence(memory_order_release);
        info.state_entry_time = marked;
    }
    area_write(&v->runstate_area, 0, &info, sizeof(info));
    if (flagged) {
        atomic_thread_fence(memory_order_release);
        info.state_entry_time &= ~XEN_RUNSTATE_UPDATE;
        area_write(&v->runstate_area, entry, &info.state_entry_time, sizeof(uint64_t));
    }
}

int vcpu_register_info(struct vcpu *v, gfn_t g, uint32_t offset)
{
    if (offset > PAGE_SIZE - sizeof(struct vcpu_info) || offset % 8 || mfn_valid(v->info_mfn))
        return -EINVAL;
    mfn_t m = p2m_get_frame(&v->domain->p2m, g, true, false);
    if (!mfn_valid(m))
        return -EINVAL;
    struct vcpu_info *new = (void *)((char *)mfn_ptr(m) + offset);
    if (v->info == &hv_dummy_vcpu_info)
        memset(new, 0, sizeof(*new));
    else
        memcpy(new, v->info, sizeof(*new));
    v->info = new;
    v->info_mfn = m;
    /* An event may have been set in the old place meanwhile: look at everything once. */
    new->evtchn_pending_sel = ~0ul;
    new->evtchn_upcall_pending = 1;
    vcpu_update_time(v);
    evtchn_resend(v);
    return 0;
}

void vcpu_release_areas(struct vcpu *v)
{
    if (mfn_valid(v->info_mfn))
        frame_put(v->info_mfn);
    v->info = &hv_dummy_vcpu_info;
    v->info_mfn = INVALID_MFN;
    area_release(&v->runstate_area);
    area_release(&v->time_area);
}
