/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XEN_DOMCTL_* (domctl.h of the ABI, interface version 0x15): what tools ask and set about domains. One function an
 * operation; each works on a copy of the caller's structure, which goes back when all went well.
 */
#include "doors.h"

#include <hv/domain.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/policy.h>
#include <hv/sched.h>

#include <xen/xen.h>
#include <xen/domctl.h>

#define CAP_KEEP 0xffff
#define MAX_LEAVES 128 /* what policies of libxenguest have room for, and more */
#define ADDRESS_BITS 48

_Static_assert(sizeof(struct xen_domctl) == 144, "layout of interface version 0x15");
_Static_assert(sizeof(struct xen_cpuid_leaf) == 24, "layout of interface version 0x15");

/* --- sets of CPUs ------------------------------------------------------------------------------------------------- */

void door_online_cpus(uint64_t cpus[4])
{
    for (unsigned i = 0; i < 4; i++)
        cpus[i] = 0;
    for (unsigned i = 0; i < metal_nr_cpus(); i++)
        cpus[i / 64] |= BIT(i % 64);
}

int door_read_cpus(struct vcpu *v, const struct xenctl_bitmap *from, uint64_t cpus[4])
{
    unsigned bits = MIN(from->nr_bits, 256u);
    memset(cpus, 0, 32);
    if (guest_read(v, cpus, (uintptr_t)from->bitmap.p, (bits + 7) / 8))
        return -EFAULT;
    if (bits % 64)
        cpus[bits / 64] &= BIT(bits % 64) - 1;
    return 0;
}

int door_write_cpus(struct vcpu *v, const struct xenctl_bitmap *to, const uint64_t cpus[4])
{
    unsigned bits = MIN(to->nr_bits, 256u);
    uint8_t copy[32];
    memcpy(copy, cpus, sizeof(copy));
    if (bits % 8)
        copy[bits / 8] &= (1u << bits % 8) - 1;
    return guest_write(v, (uintptr_t)to->bitmap.p, copy, (bits + 7) / 8);
}

/* --- a domain and its vCPUs ------------------------------------------------------------------------------------- */

void door_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    bool blocked = true, running = false;
    uint64_t times[4];
    memset(info, 0, sizeof(*info));
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        uint32_t why = atomic_load(&v->blocked);
        sched_runstate(v, metal_now(), times);
        info->cpu_time += times[RUN_RUNNING];
        info->nr_online_vcpus += !(why & BLOCK_DOWN);
        blocked &= why & (BLOCK_DOWN | BLOCK_HALT | BLOCK_POLL) && !v->sched.running;
        running |= v->sched.running;
    }
    info->domain = d->id;
    info->flags = XEN_DOMINF_hvm_guest | XEN_DOMINF_hap | (load_relaxed(&d->dying) ? XEN_DOMINF_dying : 0) |
                  (load_relaxed(&d->pause_count) ? XEN_DOMINF_paused : 0) | (blocked ? XEN_DOMINF_blocked : 0) |
                  (running ? XEN_DOMINF_running : 0);
    uint32_t code = load_relaxed(&d->shutdown_code);
    if (code != DOMAIN_IS_UP)
        info->flags |= XEN_DOMINF_shutdown | code << XEN_DOMINF_shutdownshift;
    info->tot_pages = load_relaxed(&d->p2m.ram);
    info->max_pages = d->max_pages;
    info->shared_info_frame = ~0ull; /* the domain puts it where it wants */
    info->max_vcpu_id = d->max_vcpus - 1;
    info->gpaddr_bits = ADDRESS_BITS;
    info->arch_config.emulation_flags = XEN_X86_EMU_LAPIC | (d->control ? XEN_X86_EMU_IOAPIC | XEN_X86_EMU_VPCI : 0);
}

static struct vcpu *vcpu_of(struct domain *d, uint32_t id) { return id < d->max_vcpus ? d->vcpu[id] : NULL; }

static long get_domain_info(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    door_domain_info(d, &op->u.getdomaininfo);
    op->domain = d->id;
    return 0;
}

static long get_vcpu_info(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_getvcpuinfo *info = &op->u.getvcpuinfo;
    struct vcpu *v = vcpu_of(d, info->vcpu);
    uint64_t times[4];
    if (!v)
        return -ESRCH;
    uint32_t why = atomic_load(&v->blocked);
    sched_runstate(v, metal_now(), times);
    info->online = !(why & BLOCK_DOWN);
    info->blocked = !!(why & (BLOCK_HALT | BLOCK_POLL));
    info->running = v->sched.running;
    info->cpu_time = times[RUN_RUNNING];
    info->cpu = load_relaxed(&v->cpu);
    return 0;
}

static long affinity(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuaffinity *a = &op->u.vcpuaffinity;
    struct vcpu *v = vcpu_of(d, a->vcpu);
    uint64_t hard[4], soft[4], online[4], any = 0;
    bool of_hard = a->flags & XEN_VCPUAFFINITY_HARD, of_soft = a->flags & XEN_VCPUAFFINITY_SOFT;
    if (!v || !(of_hard || of_soft))
        return v ? -EINVAL : -ESRCH;
    door_online_cpus(online);
    for (unsigned i = 0; i < 4; i++) {
        hard[i] = load_relaxed(&v->affinity_hard[i]);
        soft[i] = load_relaxed(&v->affinity_soft[i]);
    }
    if (op->cmd == XEN_DOMCTL_setvcpuaffinity) {
        if ((of_hard && door_read_cpus(c->v, &a->cpumap_hard, hard)) ||
            (of_soft && door_read_cpus(c->v, &a->cpumap_soft, soft)))
            return -EFAULT;
        for (unsigned i = 0; i < 4; i++)
            any |= hard[i] &= online[i];
        if (!any)
            return -EINVAL;
        for (unsigned i = 0; i < 4; i++) {
            store_relaxed(&v->affinity_hard[i], hard[i]);
            store_relaxed(&v->affinity_soft[i], soft[i]);
            soft[i] &= hard[i]; /* what has an effect is told */
        }
        sched_affinity_changed(v);
    }
    int rc = of_hard ? door_write_cpus(c->v, &a->cpumap_hard, hard) : 0;
    return !rc && of_soft ? door_write_cpus(c->v, &a->cpumap_soft, soft) : rc;
}

static long set_max_mem(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    d->max_pages = op->u.max_mem.max_memkb >> (PAGE_SHIFT - 10);
    return 0;
}

static long pause_domain(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    return d->control ? -EINVAL : domain_pause(d);
}

static long unpause_domain(struct hc_call *c, struct domain *d, struct xen_domctl *op) { return domain_unpause(d); }

static long destroy_domain(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    return d->control ? -EINVAL : domain_kill(d);
}

/* --- scheduling, memory, time ----------------------------------------------------------------------------------- */

/* Parameters of Credit and Credit2 are the same two numbers. */
static long scheduler_op(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_scheduler_op *s = &op->u.scheduler_op;
    if (s->sched_id != XEN_SCHEDULER_CREDIT2 && s->sched_id != XEN_SCHEDULER_CREDIT)
        return -EINVAL;
    switch (s->cmd) {
    case XEN_DOMCTL_SCHEDOP_getinfo:
        s->u.credit2.weight = load_relaxed(&d->sched_weight);
        s->u.credit2.cap = load_relaxed(&d->sched_cap);
        return 0;
    case XEN_DOMCTL_SCHEDOP_putinfo:
        if (s->u.credit2.weight)
            store_relaxed(&d->sched_weight, s->u.credit2.weight);
        if (s->u.credit2.cap != CAP_KEEP)
            store_relaxed(&d->sched_cap, s->u.credit2.cap);
        return 0;
    default: return -EOPNOTSUPP; /* nothing is set for single vCPUs */
    }
}

static long get_node_affinity(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    static const uint64_t node0[4] = { 1 };
    return door_write_cpus(c->v, &op->u.nodeaffinity.nodemap, node0);
}

/* --- CPUID ------------------------------------------------------------------------------------------------------ */

struct leaf_list {
    struct hc_call *c;
    struct vcpu *v;
    uint64_t buffer;
    uint32_t room, count;
    int rc;
};

static void add_leaf(struct leaf_list *l, uint32_t leaf, uint32_t subleaf, const struct cpuid_regs *r)
{
    struct xen_cpuid_leaf out = { leaf, subleaf, r->eax, r->ebx, r->ecx, r->edx };
    if (!l->rc && l->count == l->room)
        l->rc = -ENOBUFS;
    if (!l->rc)
        l->rc = guest_write(l->c->v, l->buffer + l->count++ * sizeof(out), &out, sizeof(out));
}

/* Leaves from `first` on, at most to `last`. */
static void add_leaves(struct leaf_list *l, uint32_t first, uint32_t last)
{
    static const uint8_t subleaves[] = { [4] = 6, [7] = 3, [0xb] = 2, [0xd] = 16 };
    struct cpuid_regs r;
    policy_cpuid(l->v, first, 0, &r);
    last = MAX(first, MIN(r.eax, last));
    for (uint32_t leaf = first; leaf <= last; leaf++) {
        unsigned count = leaf < ARRAY_SIZE(subleaves) ? subleaves[leaf] : 0;
        for (unsigned i = 0; i < MAX(count, 1u); i++) {
            policy_cpuid(l->v, leaf, i, &r);
            if (!i || r.eax | r.ebx | r.ecx | r.edx)
                add_leaf(l, leaf, count ? i : XEN_CPUID_NO_SUBLEAF, &r);
        }
    }
}

int door_cpuid_leaves(struct hc_call *c, struct vcpu *v, uint64_t buffer, uint32_t *count)
{
    struct leaf_list l = { .c = c, .v = v, .buffer = buffer, .room = *count };
    if (!buffer) {
        *count = MAX_LEAVES;
        return 0;
    }
    /* What libxenguest takes: it refuses a policy with other leaves. */
    add_leaves(&l, 0, 0xd);
    add_leaves(&l, POLICY_XEN_LEAVES, POLICY_XEN_LEAVES);
    add_leaves(&l, 0x80000000, 0x80000021);
    *count = l.count;
    return l.rc;
}

static long get_cpu_policy(struct hc_call *c, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;
    int rc = door_cpuid_leaves(c, d->vcpu[0], (uintptr_t)p->leaves.p, &p->nr_leaves);
    p->nr_msrs = p->msrs.p ? 0 : DOOR_POLICY_MSRS;
    return rc;
}

/* --- the door --------------------------------------------------------------------------------------------------- */

static long (*const operations[])(struct hc_call *c, struct domain *d, struct xen_domctl *op) = {
    [XEN_DOMCTL_destroydomain] = destroy_domain,  [XEN_DOMCTL_pausedomain] = pause_domain,
    [XEN_DOMCTL_unpausedomain] = unpause_domain,  [XEN_DOMCTL_getdomaininfo] = get_domain_info,
    [XEN_DOMCTL_getvcpuinfo] = get_vcpu_info,     [XEN_DOMCTL_getvcpuaffinity] = affinity,
    [XEN_DOMCTL_setvcpuaffinity] = affinity,      [XEN_DOMCTL_max_mem] = set_max_mem,
    [XEN_DOMCTL_scheduler_op] = scheduler_op,     [XEN_DOMCTL_getnodeaffinity] = get_node_affinity,
    [XEN_DOMCTL_get_cpu_policy] = get_cpu_policy,
};

long hc_domctl(struct hc_call *c)
{
    struct xen_domctl op;
    if (guest_read(c->v, &op, c->arg[0], sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    if (op.cmd >= ARRAY_SIZE(operations) || !operations[op.cmd])
        return -ENOSYS;
    /* Lists of domains are made by asking for the next one from an id on. */
    struct domain *d = op.cmd == XEN_DOMCTL_getdomaininfo ? domain_next(op.domain) : domain_get(op.domain);
    if (!d)
        return -ESRCH;
    long rc = operations[op.cmd](c, d, &op);
    domain_put(d);
    if (!rc && guest_write(c->v, c->arg[0], &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}
