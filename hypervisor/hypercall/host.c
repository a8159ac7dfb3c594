/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls of the control domain about the machine: sysctl (sysctl.h of the ABI, interface version 0x15) and
 * physdev_op (physdev.h) as a PVH domain may use it, that is without interrupts that come as event channels.
 */
#include "doors.h"

#include <hv/console.h>
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

#define FEATURE_WORDS 13
#define RATELIMIT_US (SCHED_GRANULE_NS / 1000)
#define KEYS_MAX 64
#define LOCAL_DISTANCE 10

_Static_assert(sizeof(struct xen_sysctl) == 136, "layout of interface version 0x15");

/* --- console, debugging ---------------------------------------------------------------------------------------------
 */

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

/* --- features
 * --------------------------------------------------------------------------------------------------------- */

/* The words of a featureset (arch-x86/cpufeatureset.h) as the control domain sees them. */
static void feature_words(struct vcpu *v, uint32_t words[FEATURE_WORDS])
{
    struct cpuid_regs r;
    policy_cpuid(v, 1, 0, &r);
    words[0] = r.edx;
    words[1] = r.ecx;
    policy_cpuid(v, 0x80000001, 0, &r);
    words[2] = r.edx;
    words[3] = r.ecx;
    policy_cpuid(v, 0xd, 1, &r);
    words[4] = r.eax;
    policy_cpuid(v, 7, 0, &r);
    words[5] = r.ebx;
    words[6] = r.ecx;
    words[9] = r.edx;
    policy_cpuid(v, 0x80000007, 0, &r);
    words[7] = r.edx;
    policy_cpuid(v, 0x80000008, 0, &r);
    words[8] = r.ebx;
    policy_cpuid(v, 7, 1, &r);
    words[10] = r.eax;
    words[12] = r.ebx;
    policy_cpuid(v, 0x80000021, 0, &r);
    words[11] = r.eax;
}

static long get_featureset(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_featureset *f = &op->u.cpu_featureset;
    uint32_t words[FEATURE_WORDS] = { 0 };
    if (f->index > XEN_SYSCTL_cpu_featureset_hvm_max)
        return -EINVAL;
    /* There are no PV guests: nothing is in their sets. */
    if (f->index != XEN_SYSCTL_cpu_featureset_pv && f->index != XEN_SYSCTL_cpu_featureset_pv_max)
        feature_words(c->v, words);
    uint32_t room = f->features.p ? MIN(f->nr_features, FEATURE_WORDS) : FEATURE_WORDS;
    bool all = !f->features.p || f->nr_features >= FEATURE_WORDS;
    f->nr_features = room;
    if (f->features.p && guest_write(c->v, (uintptr_t)f->features.p, words, room * sizeof(words[0])))
        return -EFAULT;
    return all ? 0 : -ENOBUFS;
}

static long get_policy(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cpu_policy *p = &op->u.cpu_policy;
    if (p->_rsvd || p->index > XEN_SYSCTL_cpu_policy_hvm_default)
        return -EINVAL;
    if (p->index == XEN_SYSCTL_cpu_policy_pv_max || p->index == XEN_SYSCTL_cpu_policy_pv_default)
        return -EOPNOTSUPP;
    p->nr_msrs = 0;
    return door_cpuid_leaves(c, c->v, (uintptr_t)p->leaves.p, &p->nr_leaves);
}

/* --- memory, processors, domains
 * ---------------------------------------------------------------------------------------- */

static long physinfo(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_physinfo *p = &op->u.physinfo;
    uint32_t words[FEATURE_WORDS], mul;
    struct frame_stats stats;
    int8_t shift;
    frame_stats(&stats);
    feature_words(c->v, words);
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

static long cpu_info(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_getcpuinfo *g = &op->u.getcpuinfo;
    uint64_t now = metal_now();
    g->nr_cpus = MIN(g->max_cpus, metal_nr_cpus());
    for (uint32_t i = 0; i < g->nr_cpus; i++) {
        struct xen_sysctl_cpuinfo info = { .idletime = sched_idle_time(i, now) };
        if (guest_write(c->v, (uintptr_t)(g->info.p + i), &info, sizeof(info)))
            return -EFAULT;
    }
    return 0;
}

static long avail_heap(struct hc_call *c, struct xen_sysctl *op)
{
    struct frame_stats stats;
    if (op->u.availheap.node > 0)
        return -EINVAL;
    frame_stats(&stats);
    op->u.availheap.avail_bytes = stats.free << PAGE_SHIFT;
    return 0;
}

static long cpu_topology(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_cputopoinfo *t = &op->u.cputopoinfo;
    uint32_t count = metal_nr_cpus(), room = t->cputopo.p ? MIN(t->num_cpus, count) : 0;
    for (uint32_t i = 0; i < room; i++) {
        struct xen_sysctl_cputopo cpu = { i, 0, 0 };
        if (guest_write(c->v, (uintptr_t)(t->cputopo.p + i), &cpu, sizeof(cpu)))
            return -EFAULT;
    }
    t->num_cpus = t->cputopo.p ? room : count;
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
    n->num_nodes = n->meminfo.p || n->distance.p ? room : 1;
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

/* --- power
 * -------------------------------------------------------------------------------------------------------------- */

/* Performance states are told, not used: firmware and hardware choose. Residencies are not measured. */
static long px_stat(struct hc_call *c, struct pm_px_stat *p, const struct pm_data *data)
{
    unsigned count = p->total ? MIN(p->total, data->nr_px) : data->nr_px;
    uint64_t zero = 0;
    for (unsigned i = 0; p->pt.p && i < count; i++) {
        struct pm_px_val value = { .freq = data->px_mhz[i] };
        if (guest_write(c->v, (uintptr_t)(p->pt.p + i), &value, sizeof(value)))
            return -EFAULT;
    }
    for (unsigned i = 0; p->trans_pt.p && i < count * count; i++)
        if (guest_write(c->v, (uintptr_t)(p->trans_pt.p + i), &zero, sizeof(zero)))
            return -EFAULT;
    p->total = p->usable = data->nr_px;
    p->last = p->cur = 0;
    return 0;
}

static long cx_stat(struct hc_call *c, struct pm_cx_stat *p, const struct pm_data *data, unsigned cpu)
{
    unsigned count = MIN(p->nr, data->nr_cx + 1u);
    uint64_t now = metal_now(), idle = sched_idle_time(cpu, now), zero = 0;
    for (unsigned i = 0; i < count; i++) {
        uint64_t time = i == 0 ? now - MIN(now, idle) : i == 1 ? idle : 0; /* idle is HLT or MWAIT C1 */
        if ((p->triggers.p && guest_write(c->v, (uintptr_t)(p->triggers.p + i), &zero, sizeof(zero))) ||
            (p->residencies.p && guest_write(c->v, (uintptr_t)(p->residencies.p + i), &time, sizeof(time))))
            return -EFAULT;
    }
    p->nr = data->nr_cx + 1;
    p->last = data->nr_cx ? 1 : 0;
    p->idle_time = idle;
    p->nr_pc = p->nr_cc = 0;
    return 0;
}

static long get_pmstat(struct hc_call *c, struct xen_sysctl *op)
{
    struct xen_sysctl_get_pmstat *g = &op->u.get_pmstat;
    if (g->cpuid >= metal_nr_cpus())
        return -EINVAL;
    const struct pm_data *data = door_pm_data(g->cpuid);
    if ((g->type & PMSTAT_CATEGORY_MASK) == PMSTAT_PX && !data->nr_px)
        return -ENODEV;
    switch (g->type) {
    case PMSTAT_get_max_px: g->u.getpx.total = data->nr_px; return 0;
    case PMSTAT_get_pxstat: return px_stat(c, &g->u.getpx, data);
    case PMSTAT_get_max_cx: g->u.getcx.nr = data->nr_cx + 1; return 0;
    case PMSTAT_get_cxstat: return cx_stat(c, &g->u.getcx, data, g->cpuid);
    case PMSTAT_reset_pxstat:
    case PMSTAT_reset_cxstat: return 0;
    default: return -ENODEV;
    }
}

static long pm_op(struct hc_call *c, struct xen_sysctl *op)
{
    if (op->u.pm_op.cmd == XEN_SYSCTL_pm_op_get_max_cstate) {
        op->u.pm_op.u.get_max_cstate = XEN_SYSCTL_CX_UNLIMITED;
        return 0;
    }
    return op->u.pm_op.cpuid < metal_nr_cpus() ? -ENODEV : -EINVAL; /* no governor here */
}

/* --- sysctl
 * ----------------------------------------------------------------------------------------------------------------- */

static long (*const sysctls[])(struct hc_call *c, struct xen_sysctl *op) = {
    [XEN_SYSCTL_readconsole] = read_console,
    [XEN_SYSCTL_physinfo] = physinfo,
    [XEN_SYSCTL_sched_id] = sched_id,
    [XEN_SYSCTL_getdomaininfolist] = list_domains,
    [XEN_SYSCTL_debug_keys] = debug_keys,
    [XEN_SYSCTL_getcpuinfo] = cpu_info,
    [XEN_SYSCTL_availheap] = avail_heap,
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

/* --- physdev_op
 * --------------------------------------------------------------------------------------------------------------- */

/* A device the control domain found. Those of the boot are there already. */
static long add_device(struct domain *d, uint32_t sbdf)
{
    if (metal_pci_read(sbdf, 0, 2) == 0xffff)
        return -ENODEV;
    int rc = vpci_add_device(d, sbdf);
    if (rc)
        return rc == -EEXIST ? 0 : rc;
    rc = iommu_assign(d, sbdf);
    if (rc)
        vpci_remove_device(d, sbdf);
    return rc;
}

static long remove_device(struct domain *d, uint32_t sbdf)
{
    vpci_remove_device(d, sbdf);
    return iommu_assign(NULL, sbdf);
}

static long device_op(struct hc_call *c)
{
    struct physdev_pci_device dev;
    if (guest_read(c->v, &dev, c->arg[1], sizeof(dev)))
        return -EFAULT;
    uint32_t sbdf = dev.seg << 16 | dev.bus << 8 | dev.devfn;
    if (c->arg[0] == PHYSDEVOP_pci_device_add)
        return add_device(c->d, sbdf);
    if (c->arg[0] == PHYSDEVOP_pci_device_remove)
        return remove_device(c->d, sbdf);
    /* prepare_msix, release_msix, restore_msi_ext: the trapped capability does all that */
    return metal_pci_read(sbdf, 0, 2) == 0xffff ? -ENODEV : 0;
}

static long reserve_mmcfg(struct hc_call *c)
{
    struct physdev_pci_mmcfg_reserved x;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (x.start_bus > x.end_bus || x.address & (MIB(1) - 1))
        return -EINVAL;
    if (!(x.flags & XEN_PCI_MMCFG_RESERVED))
        return 0;
    int rc = vpci_add_ecam(c->d, x.address, x.segment, x.start_bus, x.end_bus);
    return rc == -EEXIST ? 0 : rc;
}

/* The IOAPIC's redirection entry says the same. */
static long setup_gsi(struct hc_call *c)
{
    struct physdev_setup_gsi x;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    return x.gsi < 0 || (unsigned)x.gsi >= irq_nr_gsis() || x.triggering > 1 || x.polarity > 1 ? -EINVAL : 0;
}

long hc_physdev(struct hc_call *c)
{
    switch (c->arg[0]) {
    case PHYSDEVOP_pci_device_add:
    case PHYSDEVOP_pci_device_remove:
    case PHYSDEVOP_prepare_msix:
    case PHYSDEVOP_release_msix:
    case PHYSDEVOP_restore_msi_ext: return device_op(c);
    case PHYSDEVOP_pci_mmcfg_reserved: return reserve_mmcfg(c);
    case PHYSDEVOP_setup_gsi: return setup_gsi(c);
    case PHYSDEVOP_dbgp_op: /* the console does not use a debug port of EHCI */ return 0;
    case PHYSDEVOP_map_pirq:
    case PHYSDEVOP_unmap_pirq: return -EOPNOTSUPP;
    default: /* eoi, irq_status_query, get_free_pirq, ...: interrupts of PV domains */ return -ENOSYS;
    }
}
