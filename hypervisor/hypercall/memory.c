/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XENMEM_* (memory.h of the ABI): what is in a domain's guest-physical memory and how it gets there. Batches that are
 * preempted keep the number of extents that are done above the command's low six bits. How much RAM a domain has is
 * what its p2m counts.
 */
#include "doors.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <hv/iommu.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/p2m.h>

#include <xen/xen.h>
#include <xen/memory.h>

#define CMD_BITS 6 /* MEMOP_EXTENT_SHIFT */
#define CMD_MASK 63
#define MAX_ORDER 9 /* 2 MiB: what is zeroed or freed between two looks at the time */

struct machine hv_machine;

static unsigned command(const struct hc_call *c) { return c->arg[0] & CMD_MASK; }
static uint64_t start_extent(const struct hc_call *c) { return c->arg[0] >> CMD_BITS; }

static long again(struct hc_call *c, uint64_t done)
{
    c->arg[0] = command(c) | done << CMD_BITS;
    return HC_AGAIN;
}

/* --- RAM in and out --------------------------------------------------------------------------------------------- */

static bool is_ram(struct p2m_entry e) { return e.type == P2M_RAM || e.type == P2M_RAM_RO; }

static int populate(struct domain *d, gfn_t g, unsigned order)
{
    uint64_t pages = BIT(order);
    if (g.n & (pages - 1))
        return -EINVAL;
    mfn_t m = frame_alloc(order, d->id);
    if (!mfn_valid(m))
        return -ENOMEM;
    for (uint64_t i = 0; i < pages; i++)
        zero_page(mfn_ptr(mfn(m.n + i))); /* whatever the last owner left */
    spin_lock(&d->lock);                  /* two that populate do not both get the last page */
    int rc = load_relaxed(&d->p2m.ram) + pages > d->max_pages ? -ENOMEM : p2m_map(&d->p2m, g, m, order, P2M_RAM);
    spin_unlock(&d->lock);
    for (uint64_t i = 0; rc && i < pages; i++)
        frame_put(mfn(m.n + i));
    return rc;
}

/* Takes RAM away; everything in the range must be RAM. */
static int depopulate(struct domain *d, gfn_t g, unsigned order)
{
    for (uint64_t i = 0; i < BIT(order); i++)
        if (g.n & (BIT(order) - 1) || !is_ram(p2m_lookup(&d->p2m, gfn(g.n + i))))
            return -EINVAL;
    return p2m_unmap(&d->p2m, g, order);
}

/* XENMEM_populate_physmap and decrease_reservation: how many extents are done. Errors of one end the batch early. */
static long reservation(struct hc_call *c, int (*act)(struct domain *d, gfn_t g, unsigned order))
{
    struct xen_memory_reservation r;
    struct domain *d;
    uint64_t done = start_extent(c), g;
    if (guest_read(c->v, &r, c->arg[1], sizeof(r)))
        return done;
    if (r.extent_order > MAX_ORDER || r.nr_extents > ~0ull >> CMD_BITS || done > r.nr_extents ||
        door_domain(c, r.domid, &d))
        return done;
    for (; done < r.nr_extents; done++) {
        if (done > start_extent(c) && hypercall_preempt(c)) {
            domain_put(d);
            return again(c, done);
        }
        if (guest_read(c->v, &g, (uintptr_t)(r.extent_start.p + done), sizeof(g)) || act(d, gfn(g), r.extent_order))
            break;
    }
    domain_put(d);
    return done;
}

/* --- the physmap ------------------------------------------------------------------------------------------------ */

/* A page of another domain's becomes visible; the entry keeps a reference of it. */
static int map_foreign(struct hc_call *c, struct domain *d, domid_t id, uint64_t index, gfn_t g)
{
    struct domain *foreign;
    int rc = door_domain(c, id, &foreign);
    if (rc)
        return rc;
    mfn_t m = foreign == d ? INVALID_MFN : p2m_get_frame(&foreign->p2m, gfn(index), true, false);
    rc = -EINVAL;
    if (mfn_valid(m)) {
        rc = p2m_map(&d->p2m, g, m, 0, P2M_FOREIGN);
        if (rc)
            frame_put(m);
    }
    domain_put(foreign);
    return rc;
}

static int map_shared(struct domain *d, mfn_t m, gfn_t g)
{
    return mfn_valid(m) ? p2m_map(&d->p2m, g, m, 0, P2M_XENHEAP) : -EINVAL;
}

/* One page of a mapping space to g. `id`: the foreign domain, where that counts. */
static int add_page(struct hc_call *c, struct domain *d, unsigned space, domid_t id, const uint64_t index_gpfn[2])
{
    uint64_t index = index_gpfn[0];
    gfn_t g = gfn(index_gpfn[1]);
    switch (space) {
    case XENMAPSPACE_shared_info: return index ? -EINVAL : map_shared(d, ptr_mfn(d->shared_info), g);
    case XENMAPSPACE_grant_table: return map_shared(d, grant_frame(d, index), g); /* version 1: no status frames */
    case XENMAPSPACE_gmfn_foreign: return map_foreign(c, d, id, index, g);
    default: return -ENOSYS;
    }
}

static long add_to_physmap(struct hc_call *c)
{
    struct xen_add_to_physmap x;
    struct domain *d;
    int rc = door_read(c, &x, sizeof(x), &x.domid, &d);
    if (rc)
        return rc;
    /* Foreign pages come in batches only: there is no room for their domain here. */
    rc = x.space == XENMAPSPACE_gmfn_foreign ? -ENOSYS : add_page(c, d, x.space, 0, (uint64_t[]){ x.idx, x.gpfn });
    iommu_flush(d);
    domain_put(d);
    return rc;
}

static long add_batch(struct hc_call *c)
{
    struct xen_add_to_physmap_batch x;
    struct domain *d;
    uint64_t done = start_extent(c), page[2];
    int rc = door_read(c, &x, sizeof(x), &x.domid, &d);
    if (rc)
        return rc;
    for (; !rc && done < x.size; done++) {
        if (done > start_extent(c) && hypercall_preempt(c)) {
            rc = again(c, done);
            break;
        }
        rc = -EFAULT;
        if (guest_read(c->v, &page[0], (uintptr_t)(x.idxs.p + done), 8) ||
            guest_read(c->v, &page[1], (uintptr_t)(x.gpfns.p + done), 8))
            break;
        int error = add_page(c, d, x.space, x.u.foreign_domid, page);
        if (guest_write(c->v, (uintptr_t)(x.errs.p + done), &error, sizeof(error)))
            break;
        rc = 0;
    }
    iommu_flush(d);
    domain_put(d);
    return rc;
}

static long remove_from_physmap(struct hc_call *c)
{
    struct xen_remove_from_physmap x;
    struct domain *d;
    int rc = door_read(c, &x, sizeof(x), &x.domid, &d);
    if (rc)
        return rc;
    rc = p2m_lookup(&d->p2m, gfn(x.gpfn)).type == P2M_NONE ? -ENOENT : p2m_unmap(&d->p2m, gfn(x.gpfn), 0);
    iommu_flush(d);
    domain_put(d);
    return rc;
}

/* --- pages of the hypervisor's for tools -------------------------------------------------------------------------- */

static int acquire_page(struct hc_call *c, struct domain *d, uint64_t index, uint64_t g)
{
    mfn_t m = grant_frame(d, index);
    /* The mapping may outlive that domain: it keeps the page. */
    if (!mfn_valid(m) || !frame_get(m, frame_owner(m)))
        return -EINVAL;
    int rc = p2m_map(&c->d->p2m, gfn(g), m, 0, P2M_FOREIGN);
    if (rc)
        frame_put(m);
    return rc;
}

static long acquire_resource(struct hc_call *c)
{
    struct xen_mem_acquire_resource x;
    struct domain *d;
    uint64_t done = start_extent(c), g;
    int rc = door_read(c, &x, sizeof(x), &x.domid, &d);
    if (rc)
        return rc;
    if (x.type != XENMEM_resource_grant_table)
        rc = -EOPNOTSUPP;
    else if (x.pad || x.id != XENMEM_resource_grant_table_id_shared)
        rc = -EINVAL;
    if (!rc && !x.frame_list.p) {
        x.nr_frames = GRANT_FRAMES_MAX;
        rc = guest_write(c->v, c->arg[1], &x, sizeof(x));
    }
    for (; x.frame_list.p && !rc && done < x.nr_frames; done++) {
        if (done > start_extent(c) && hypercall_preempt(c)) {
            rc = again(c, done);
            break;
        }
        rc = guest_read(c->v, &g, (uintptr_t)(x.frame_list.p + done), sizeof(g));
        rc = rc ? rc : acquire_page(c, d, x.frame + done, g);
    }
    domain_put(d);
    return rc;
}

/* --- facts ------------------------------------------------------------------------------------------------------- */

/* There is no populate-on-demand; tools set and ask a target all the same. */
static long pod_target(struct hc_call *c)
{
    xen_pod_target_t x;
    struct domain *d;
    int rc = c->d->control ? door_read(c, &x, sizeof(x), &x.domid, &d) : -EPERM;
    if (rc)
        return rc;
    x.tot_pages = load_relaxed(&d->p2m.ram);
    x.pod_cache_pages = x.pod_entries = 0;
    domain_put(d);
    return guest_write(c->v, c->arg[1], &x, sizeof(x));
}

static long populate_physmap(struct hc_call *c) { return reservation(c, populate); }

static long decrease_reservation(struct hc_call *c) { return reservation(c, depopulate); }

static long none_shared(struct hc_call *c) { return 0; }

static long (*const operations[CMD_MASK + 1])(struct hc_call *c) = {
    [XENMEM_decrease_reservation] = decrease_reservation,
    [XENMEM_populate_physmap] = populate_physmap,
    [XENMEM_add_to_physmap] = add_to_physmap,
    [XENMEM_add_to_physmap_batch] = add_batch,
    [XENMEM_remove_from_physmap] = remove_from_physmap,
    [XENMEM_set_pod_target] = pod_target,
    [XENMEM_get_pod_target] = pod_target,
    [XENMEM_acquire_resource] = acquire_resource,
    [XENMEM_get_sharing_freed_pages] = none_shared,
    [XENMEM_get_sharing_shared_pages] = none_shared,
};

long hc_memory(struct hc_call *c) { return operations[command(c)] ? operations[command(c)](c) : -ENOSYS; }
