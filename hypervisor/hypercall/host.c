/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls of the control domain about the machine: sysctl (sysctl.h of the ABI, interface version 0x15) and
 * physdev_op (physdev.h) as a PVH domain may use it, that is without interrupts that come as event channels.
 */
#include "doors.h"

#include <hv/log.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/physdev.h>
#include <xen/sysctl.h>

enum { EAX, EBX, ECX, EDX };
#define RATELIMIT_US (SCHED_GRANULE_NS / 1000)
#define KEYS_MAX 64
#define LOCAL_DISTANCE 10

_Static_assert(sizeof(struct xen_sysctl) == 136, "layout of interface version 0x15");

/* --- console, debugging ----------------------------------------------------------------------------------------- */

static long read_console(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_readconsole *r = &op->u.readconsole;
    uint32_t index = r->index, done = 0;
    bool incremental = r->incremental;
    char text[256];
    while (done < r->count) {
        size_t got = log_ring_read(text, MIN(r->count - done, sizeof(text)), &index, false, incremental);
        if (!got)
            break;
        if (guest_write(c->v, (uintptr_t)(r->buffer.p + done), text, got))
            return -EFAULT;
        incremental = true;
        done += got;
    }
    if (r->clear)
        log_ring_read(text, 0, &index, true, true);
    r->index = index;
    r->count = done;
    return 0;
}

static long debug_keys(struct hc_call *c, struct xen_sysctl *op)
{
    char keys[KEYS_MAX];
    uint32_t count = op->u.debug_keys.nr_keys;
    if (count > KEYS_MAX)
        return -E2BIG;
    if (guest_read(c->v, keys, (uintptr_t)op->u.debug_keys.keys.p, count))
        return -EFAULT;
    for (uint32_t i = 0; i < count; i++)
        console_debug_key(keys[i]);
    return 0;
}

/* --- features --------------------------------------------------------------------------------------------------- */

/* The words of a featureset (arch-x86/cpufeatureset.h): where they are. */
static const struct {
    uint32_t leaf;
    uint8_t subleaf, reg;
} feature_words[] = {
    { 1, 0, EDX }, { 1, 0, ECX },          { 0x80000001, 0, EDX }, { 0x80000001, 0, ECX }, { 0xd, 1, EAX },
    { 7, 0, EBX }, { 7, 0, ECX },          { 0x80000007, 0, EDX }, { 0x80000008, 0, EBX }, { 7, 0, EDX },
    { 7, 1, EAX }, { 0x80000021, 0, EAX }, { 7, 1, EBX },
};
#define FEATURE_WORDS ARRAY_SIZE(feature_words)

/* As the control domain sees them. */
static void get_features(struct vcpu *v, uint32_t words[FEATURE_WORDS])
{
    for (unsigned i = 0; i < FEATURE_WORDS; i++) {
        struct cpuid_regs r;
        policy_cpuid(v, feature_words[i].leaf, feature_words[i].subleaf, &r);
        words[i] = ((const uint32_t[]){ r.eax, r.ebx, r.ecx, r.edx })[feature_words[i].reg];
    }
}

static long get_featureset(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    uint32_t words[FEATURE_WORDS] = { 0 };
    if (f->index > XEN_SYSCTL_cpu_featureset_hvm_max)
        return -EINVAL;
    /* There are no PV guests: nothing is in their sets. */
    if (f->index != XEN_SYSCTL_cpu_featureset_pv && f->index != XEN_SYSCTL_cpu_featureset_pv_max)
        get_features(c->v, words);
    f->nr_features = f->features.p ? MIN(f->nr_features, FEATURE_WORDS) : FEATURE_WORDS;
    if (f->features.p && guest_write(c->v, (uintptr_t)f->features.p, words, f->nr_features * sizeof(words[0])))
        return -EFAULT;
    return f->nr_features < FEATURE_WORDS ? -ENOBUFS : 0;
}

static long get_policy(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    if (p->_rsvd || p->index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    if (p->index == XEN_SYSCTL_cpu_policy_pv_max || p->index == XEN_SYSCTL_cpu_policy_pv_default)
        return -EOPNOTSUPP;
    p->nr_msrs = p->msrs.p ? 0 : DOOR_POLICY_MSRS;
    return door_cpuid_leaves(c, c->v, (uintptr_t)p->leaves.p, &p->nr_leaves);
}

/* --- memory, processors, domains -------------------------------------------------------------------------------- */

static long physinfo(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;
    uint32_t words[FEATURE_WORDS], mul;
    struct frame_stats stats;
    int8_t shift;
    frame_stats(&stats);
    get_features(c->v, words);
    clock_scale(&mul, &shift);
    uint64_t khz = (1000000ull << 32) / MAX(mul, 1u);
    memset(p, 0, sizeof(*p));
    p->threads_per_core = 1; /* siblings count as cores */
    p->cores_per_socket = metal_nr_cpus();
    p->nr_cpus = metal_nr_cpus();
    p->max_cpu_id = p->nr_cpus - 1;
    p->nr_nodes = 1;
    p->cpu_khz = shift >= 0 ? khz >> shift : khz << -shift;
    p->capabilities = XEN_SYSCTL_PHYSCAP_hvm | XEN_SYSCTL_PHYSCAP_hap | XEN_SYSCTL_PHYSCAP_gnttab_v1 |
                      (iommu_present() ? XEN_SYSCTL_PHYSCAP_directio : 0);
    p->total_pages = stats.total;
    p->free_pages = stats.free;
    p->max_mfn = hv_machine.max_page;
    memcpy(p->hw_cap, words, sizeof(p->hw_cap)); /* the first eight */
    return 0;
}

static long sched_id(struct hc_call *c, struct xen_sysctl *op)
{
    op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2; /* whose two parameters ours has */
    return 0;
}

static long list_domains(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_getdomaininfolist *l = &op->u.getdomaininfolist;
    struct xen_domctl_getdomaininfo info;
    uint32_t from = l->first_domain;
    long rc = 0;
    l->num_domains = 0;
    while (!rc && l->num_domains < l->max_domains && from < DOMID_FIRST_RESERVED) {
        struct domain *d = domain_next(from);
        if (!d)
            break;
        from = d->id + 1;
        door_domain_info(d, &info);
        domain_put(d);
        rc = guest_write(c->v, (uintptr_t)(l->buffer.p + l->num_domains), &info, sizeof(info));
        l->num_domains++;
    }
    return rc;
}

static long cpu_topology(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t count = t->cputopo.p ? MIN(t->num_cpus, metal_nr_cpus()) : metal_nr_cpus();
    for (uint32_t i = 0; t->cputopo.p && i < count; i++) {
        struct xen_sysctl_cputopo cpu = { i, 0, 0 };
        if (guest_write(c->v, (uintptr_t)(t->cputopo.p + i), &cpu, sizeof(cpu)))
            return -EFAULT;
    }
    t->num_cpus = count;
    return 0;
}

/* One node: what a client machine is. */
static long numa_info(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_numainfo *n = &op->u.numainfo;
    struct frame_stats stats;
    uint32_t distance = LOCAL_DISTANCE;
    frame_stats(&stats);
    struct xen_sysctl_meminfo memory = { stats.total << PAGE_SHIFT, stats.free << PAGE_SHIFT };
    bool room = n->num_nodes > 0;
    if (n->meminfo.p && room && guest_write(c->v, (uintptr_t)n->meminfo.p, &memory, sizeof(memory)))
        return -EFAULT;
    if (n->distance.p && room && guest_write(c->v, (uintptr_t)n->distance.p, &distance, sizeof(distance)))
        return -EFAULT;
    n->num_nodes = 1;
    return 0;
}

/* One pool with all CPUs and domains. */
static long cpupool(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cpupool_op *p = &op->u.cpupool_op;
    uint64_t cpus[4];
    struct domain *d;
    if (p->op != XEN_SYSCTL_CPUPOOL_OP_INFO || p->cpupool_id)
        return p->op != XEN_SYSCTL_CPUPOOL_OP_INFO ? -EOPNOTSUPP : -ENOENT;
    p->sched_id = XEN_SCHEDULER_CREDIT2;
    p->n_dom = 0;
    for (uint32_t from = 0; from < DOMID_FIRST_RESERVED && (d = domain_next(from)); p->n_dom++) {
        from = d->id + 1;
        domain_put(d);
    }
    door_online_cpus(cpus);
    return door_write_cpus(c->v, &p->cpumap, cpus);
}

static long scheduler(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_scheduler_op *s = &op->u.scheduler_op;
    if (s->cpupool_id || s->sched_id != XEN_SCHEDULER_CREDIT2)
        return s->cpupool_id ? -ESRCH : -EINVAL;
    if (s->cmd != XEN_SYSCTL_SCHEDOP_getinfo)
        return -EOPNOTSUPP;
    s->u.sched_credit2.ratelimit_us = RATELIMIT_US;
    return 0;
}

/* --- power ------------------------------------------------------------------------------------------------------ */

/* States are told, not used: CPUs idle by HLT or MWAIT, which is C1, and how fast they run is left to them. */
static long px_stat(struct hc_call *c, struct pm_px_stat *p, const struct pm_data *data)
{
    for (unsigned i = 0; p->pt.p && i < MIN(p->total, data->nr_px); i++) {
        struct pm_px_val value = { .freq = data->px_mhz[i] };
        if (guest_write(c->v, (uintptr_t)(p->pt.p + i), &value, sizeof(value)))
            return -EFAULT;
    }
    p->usable = p->total = data->nr_px;
    p->last = p->cur = 0;
    return 0;
}

static long cx_stat(struct hc_call *c, struct pm_cx_stat *p, unsigned states, unsigned cpu)
{
    uint64_t now = metal_now(), idle = sched_idle_time(cpu, now), none[PM_CX_MAX + 1] = { 0 };
    uint64_t times[PM_CX_MAX + 1] = { now - MIN(now, idle), idle };
    size_t size = MIN(p->nr, states) * sizeof(times[0]);
    if ((p->triggers.p && guest_write(c->v, (uintptr_t)p->triggers.p, none, size)) ||
        (p->residencies.p && guest_write(c->v, (uintptr_t)p->residencies.p, times, size)))
        return -EFAULT;
    p->nr = states;
    p->last = 1;
    p->idle_time = idle;
    p->nr_pc = p->nr_cc = 0;
    return 0;
}

static long get_pmstat(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_get_pmstat *g = &op->u.get_pmstat;
    if (g->cpuid >= metal_nr_cpus())
        return -EINVAL;
    const struct pm_data *data = &door_pm_data[g->cpuid];
    unsigned states = 1 + MAX(data->nr_cx, 1);
    if ((g->type & PMSTAT_CATEGORY_MASK) == PMSTAT_PX && !data->nr_px)
        return -ENODEV;
    switch (g->type) {
    case PMSTAT_get_max_px: g->u.getpx.total = data->nr_px; return 0;
    case PMSTAT_get_pxstat: return px_stat(c, &g->u.getpx, data);
    case PMSTAT_get_max_cx: g->u.getcx.nr = states; return 0;
    case PMSTAT_get_cxstat: return cx_stat(c, &g->u.getcx, states, g->cpuid);
    default: return -ENODEV;
    }
}

static long pm_op(struct hc_call *c, struct xen_sysctl *op)
{
    if (op->u.pm_op.cmd == XEN_SYSCTL_pm_op_get_max_cstate) {
        op->u.pm_op.u.get_max_cstate = XEN_SYSCTL_CX_UNLIMITED;
        return 0;
    }
    return -ENODEV; /* no governor here */
}

/* --- sysctl ----------------------------------------------------------------------------------------------------- */

static long (*const sysctls[])(struct hc_call *c, struct xen_sysctl *op) = {
    [XEN_SYSCTL_readconsole] = read_console,
    [XEN_SYSCTL_physinfo] = physinfo,
    [XEN_SYSCTL_sched_id] = sched_id,
    [XEN_SYSCTL_getdomaininfolist] = list_domains,
    [XEN_SYSCTL_debug_keys] = debug_keys,
    [XEN_SYSCTL_get_pmstat] = get_pmstat,
    [XEN_SYSCTL_pm_op] = pm_op,
    [XEN_SYSCTL_cputopoinfo] = cpu_topology,
    [XEN_SYSCTL_numainfo] = numa_info,
    [XEN_SYSCTL_cpupool_op] = cpupool,
    [XEN_SYSCTL_scheduler_op] = scheduler,
    [XEN_SYSCTL_get_cpu_featureset] = get_featureset,
    [XEN_SYSCTL_get_cpu_policy] = get_policy,
};

long hc_sysctl(struct hc_call *c)
{
    struct xen_sysctl op;
    if (guest_read(c->v, &op, c->arg[0], sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XEN_SYSCTL_INTERFACE_VERSION)
        return -EACCES;
    if (op.cmd >= ARRAY_SIZE(sysctls) || !sysctls[op.cmd])
        return -ENOSYS;
    long rc = sysctls[op.cmd](c, &op);
    if ((!rc || rc == -ENOBUFS) && guest_write(c->v, c->arg[0], &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}

/* --- physdev_op ------------------------------------------------------------------------------------------------- */

static long pci_device(struct hc_call *c, int (*act)(struct domain *d, uint32_t sbdf))
{
    struct physdev_pci_device dev;
    if (guest_read(c->v, &dev, c->arg[1], sizeof(dev)))
        return -EFAULT;
    return act(c->d, (uint32_t)dev.seg << 16 | dev.bus << 8 | dev.devfn);
}

long hc_physdev(struct hc_call *c)
{
    switch (c->arg[0]) {
    case PHYSDEVOP_pci_device_add: return pci_device(c, vpci_add_device);
    case PHYSDEVOP_pci_device_remove: return pci_device(c, vpci_remove_device);
    case PHYSDEVOP_prepare_msix: /* the trapped capability does all that */
    case PHYSDEVOP_release_msix:
    case PHYSDEVOP_restore_msi_ext:
    case PHYSDEVOP_pci_mmcfg_reserved: /* what is in the MCFG is known, and there is no other */
    case PHYSDEVOP_dbgp_op: /* the console does not use a debug port of EHCI */ return 0;
    default: /* map_pirq, setup_gsi, eoi, ...: interrupts of PV domains */ return -ENOSYS;
    }
}
