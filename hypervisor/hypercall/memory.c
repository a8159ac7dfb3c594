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
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/p2m.h>

#include <xen/xen.h>
#include <xen/memory.h>

#define CMD_BITS 6 /* MEMOP_EXTENT_SHIFT */
#define CMD_MASK 63
#define MAX_ORDER 9 /* 2 MiB: what is zeroed or freed between two looks at the time */

struct machine hv_machine;

union memory_arg {
    struct xen_memory_reservation reservation;
    struct xen_add_to_physmap add;
    struct xen_add_to_physmap_batch batch;
    struct xen_remove_from_physmap remove;
    struct xen_mem_acquire_resource resource;
    xen_pod_target_t pod;
};

/* --- RAM in and out --------------------------------------------------------------------------------------------- */

/* Where extent i is to be. */
static int read_extent(struct hc_call *c, const struct xen_memory_reservation *r, uint64_t i, gfn_t *g)
{
    if (r->extent_order > MAX_ORDER)
        return -EINVAL;
    if (guest_read(c->v, &g->n, (uintptr_t)(r->extent_start.p + i), sizeof(g->n)))
        return -EFAULT;
    return g->n & (BIT(r->extent_order) - 1) ? -EINVAL : 0;
}

static int populate(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    unsigned order = a->reservation.extent_order;
    gfn_t g;
    int rc = read_extent(c, &a->reservation, i, &g);
    if (rc)
        return rc;
    mfn_t m = frame_alloc(order, d->id);
    if (!mfn_valid(m))
        return -ENOMEM;
    uint64_t pages = BIT(order);
    for (uint64_t k = 0; k < pages; k++)
        zero_page(mfn_ptr(mfn(m.n + k))); /* whatever the last owner left */
    spin_lock(&d->lock);                  /* two that populate do not both get the last page */
    rc = load_relaxed(&d->p2m.ram) + pages > d->max_pages ? -ENOMEM : p2m_map(&d->p2m, g, m, pages, P2M_RAM);
    spin_unlock(&d->lock);
    for (uint64_t k = 0; rc && k < pages; k++)
        frame_put(mfn(m.n + k));
    return rc;
}

/* Takes RAM away; everything in the extent must be RAM. */
static int depopulate(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    unsigned order = a->reservation.extent_order;
    gfn_t g;
    int rc = read_extent(c, &a->reservation, i, &g);
    for (uint64_t k = 0; !rc && k < BIT(order); k++) {
        enum p2m_type type = p2m_lookup(&d->p2m, gfn(g.n + k)).type;
        rc = type == P2M_RAM || type == P2M_RAM_RO ? 0 : -EINVAL;
    }
    return rc ? rc : p2m_unmap(&d->p2m, g, BIT(order));
}

/* --- the physmap ------------------------------------------------------------------------------------------------ */

/* Maps another domain's page, or one of the hypervisor's that outlives it so; the entry keeps the caller's reference.
 */
static int map_held(struct domain *d, gfn_t g, mfn_t m)
{
    int rc = p2m_map(&d->p2m, g, m, 1, P2M_FOREIGN);
    if (rc)
        frame_put(m);
    return rc;
}

static int map_foreign(struct hc_call *c, struct domain *d, domid_t id, const struct xen_add_to_physmap *x)
{
    struct domain *foreign;
    int rc = door_domain(c, id, &foreign);
    if (rc)
        return rc;
    mfn_t m = foreign == d ? INVALID_MFN : p2m_get_frame(&foreign->p2m, gfn(x->idx), true, false);
    rc = mfn_valid(m) ? map_held(d, gfn(x->gpfn), m) : -EINVAL;
    domain_put(foreign);
    return rc;
}

static int map_shared(struct domain *d, mfn_t m, uint64_t g)
{
    return mfn_valid(m) ? p2m_map(&d->p2m, gfn(g), m, 1, P2M_XENHEAP) : -EINVAL;
}

/* One page of a mapping space. `id`: the foreign domain, where that counts. */
static int add_page(struct hc_call *c, struct domain *d, const struct xen_add_to_physmap *x, domid_t id)
{
    switch (x->space) {
    case XENMAPSPACE_shared_info: return x->idx ? -EINVAL : map_shared(d, ptr_mfn(d->shared_info), x->gpfn);
    case XENMAPSPACE_grant_table: return map_shared(d, grant_frame(d, x->idx), x->gpfn); /* no status frames */
    case XENMAPSPACE_gmfn_foreign: return map_foreign(c, d, id, x);
    default: return -ENOSYS;
    }
}

static int add(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    /* Foreign pages come in batches only: there is no room for their domain here. */
    return a->add.space == XENMAPSPACE_gmfn_foreign ? -ENOSYS : add_page(c, d, &a->add, 0);
}

static int add_batch(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    const struct xen_add_to_physmap_batch *x = &a->batch;
    struct xen_add_to_physmap page = { .space = x->space };
    if (guest_read(c->v, &page.idx, (uintptr_t)(x->idxs.p + i), sizeof(page.idx)) ||
        guest_read(c->v, &page.gpfn, (uintptr_t)(x->gpfns.p + i), sizeof(page.gpfn)))
        return -EFAULT;
    int error = add_page(c, d, &page, x->u.foreign_domid);
    return guest_write(c->v, (uintptr_t)(x->errs.p + i), &error, sizeof(error));
}

static int remove_page(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    gfn_t g = gfn(a->remove.gpfn);
    return p2m_lookup(&d->p2m, g).type == P2M_NONE ? -ENOENT : p2m_unmap(&d->p2m, g, 1);
}

/* --- for tools ---------------------------------------------------------------------------------------------------- */

/* Pages of a domain's grant table; without a list: how many there can be. */
static int acquire(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    struct xen_mem_acquire_resource *x = &a->resource;
    uint64_t g;
    if (x->type != XENMEM_resource_grant_table)
        return -EOPNOTSUPP;
    if (x->pad || x->id != XENMEM_resource_grant_table_id_shared)
        return -EINVAL;
    if (!x->frame_list.p) {
        x->nr_frames = GRANT_FRAMES_MAX;
        return guest_write(c->v, c->arg[1], x, sizeof(*x));
    }
    if (guest_read(c->v, &g, (uintptr_t)(x->frame_list.p + i), sizeof(g)))
        return -EFAULT;
    mfn_t m = grant_frame(d, x->frame + i);
    return mfn_valid(m) && frame_get(m, frame_owner(m)) ? map_held(c->d, gfn(g), m) : -EINVAL;
}

/* There is no populate-on-demand; tools set and ask a target all the same. */
static int pod_target(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i)
{
    a->pod.tot_pages = load_relaxed(&d->p2m.ram);
    a->pod.pod_cache_pages = a->pod.pod_entries = 0;
    return c->d->control ? guest_write(c->v, c->arg[1], &a->pod, sizeof(a->pod)) : -EPERM;
}

/* --- the door --------------------------------------------------------------------------------------------------- */

#define ROW(step, type)                                                                                                \
    {                                                                                                                  \
        step, sizeof(type), offsetof(type, domid)                                                                      \
    }

/* `step` does extent i of the operation on domain d, which the structure names at `domid`. */
static const struct row {
    int (*step)(struct hc_call *c, struct domain *d, union memory_arg *a, uint64_t i);
    uint8_t size, domid;
} rows[CMD_MASK + 1] = {
    [XENMEM_decrease_reservation] = ROW(depopulate, struct xen_memory_reservation),
    [XENMEM_populate_physmap] = ROW(populate, struct xen_memory_reservation),
    [XENMEM_add_to_physmap] = ROW(add, struct xen_add_to_physmap),
    [XENMEM_add_to_physmap_batch] = ROW(add_batch, struct xen_add_to_physmap_batch),
    [XENMEM_remove_from_physmap] = ROW(remove_page, struct xen_remove_from_physmap),
    [XENMEM_set_pod_target] = ROW(pod_target, xen_pod_target_t),
    [XENMEM_get_pod_target] = ROW(pod_target, xen_pod_target_t),
    [XENMEM_acquire_resource] = ROW(acquire, struct xen_mem_acquire_resource),
};

static uint64_t extents(unsigned cmd, const union memory_arg *a)
{
    switch (cmd) {
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap: return a->reservation.nr_extents;
    case XENMEM_add_to_physmap_batch: return a->batch.size;
    case XENMEM_acquire_resource: return a->resource.frame_list.p ? a->resource.nr_frames : 1;
    default: return 1;
    }
}

long hc_memory(struct hc_call *c)
{
    unsigned cmd = c->arg[0] & CMD_MASK;
    uint64_t done = c->arg[0] >> CMD_BITS;
    const struct row *row = &rows[cmd];
    union memory_arg a;
    struct domain *d;
    if (!row->step) /* nothing is shared between domains */
        return cmd == XENMEM_get_sharing_freed_pages || cmd == XENMEM_get_sharing_shared_pages ? 0 : -ENOSYS;
    long rc = door_read(c, &a, row->size, (domid_t *)((char *)&a + row->domid), &d);
    if (!rc) {
        uint64_t count = extents(cmd, &a);
        while (!rc && done < count) {
            rc = row->step(c, d, &a, done);
            if (!rc && ++done < count && hypercall_preempt(c))
                rc = HC_AGAIN;
        }
        domain_put(d);
    }
    if (rc == HC_AGAIN)
        c->arg[0] = cmd | done << CMD_BITS;
    else if (row->step == populate || row->step == depopulate)
        return done; /* these tell how far they got, not why no further */
    return rc;
}
