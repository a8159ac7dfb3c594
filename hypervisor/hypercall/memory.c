/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * XENMEM_* (memory.h of the ABI): what is in a domain's guest-physical memory and how it gets there. Batches that are
 * preempted keep the number of extents that are done above the command's low six bits.
 *
 * d->pages counts the RAM pages in a domain's p2m. It changes here and in the builder only; two vCPUs that change the
 * same gfn at once get some order, and the count may then be off by the page they fought for, which harms nobody but
 * that domain.
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
#define GUEST_MAX_ORDER 9
#define P2M_PAGES BIT(40)
#define E820_RAM 1

struct machine hv_machine;

static _Atomic uint64_t claimed; /* the sum of all domains' */

static unsigned command(const struct hc_call *c) { return c->arg[0] & CMD_MASK; }
static uint64_t start_extent(const struct hc_call *c) { return c->arg[0] >> CMD_BITS; }

static long again(struct hc_call *c, uint64_t done)
{
    c->arg[0] = command(c) | done << CMD_BITS;
    return HC_AGAIN;
}

static bool range_valid(uint64_t g, unsigned order) { return g < P2M_PAGES && !(g & (BIT(order) - 1)); }

/* --- RAM in and out --------------------------------------------------------------------------------------------- */

/* RAM pages among 2^order at g; whole entries at once. */
static uint64_t count_ram(struct domain *d, gfn_t g, unsigned order)
{
    uint64_t count = 0, step;
    for (uint64_t at = g.n, end = g.n + BIT(order); at < end; at += step) {
        struct p2m_entry e = p2m_lookup(&d->p2m, gfn(at));
        step = MIN(BIT(e.order) - (at & (BIT(e.order) - 1)), end - at);
        if (e.type == P2M_RAM || e.type == P2M_RAM_RO || e.type == P2M_LOGDIRTY)
            count += step;
    }
    return count;
}

/* Free pages that nobody else has claimed. */
static bool enough_free(struct domain *d, uint64_t pages)
{
    struct frame_stats stats;
    if (!load_relaxed(&claimed))
        return true; /* the allocator will tell */
    frame_stats(&stats);
    return stats.free >= pages + load_relaxed(&claimed) - MIN(load_relaxed(&d->claimed), load_relaxed(&claimed));
}

static void use_claim(struct domain *d, uint64_t pages)
{
    uint64_t have = load_relaxed(&d->claimed), used;
    do
        used = MIN(have, pages);
    while (used && !atomic_compare_exchange_weak(&d->claimed, &have, have - used));
    atomic_fetch_sub(&claimed, used);
}

static int populate(struct domain *d, gfn_t g, unsigned order)
{
    uint64_t pages = BIT(order);
    if (!range_valid(g.n, order))
        return -EINVAL;
    if (load_relaxed(&d->pages) + pages > d->max_pages || !enough_free(d, pages))
        return -ENOMEM;
    mfn_t m = frame_alloc(order, d->id);
    if (!mfn_valid(m))
        return -ENOMEM;
    for (uint64_t i = 0; i < pages; i++)
        zero_page(mfn_ptr(mfn(m.n + i))); /* whatever the last owner left */
    uint64_t replaced = count_ram(d, g, order);
    int rc = p2m_map(&d->p2m, g, m, order, P2M_RAM);
    if (rc) {
        for (uint64_t i = 0; i < pages; i++)
            frame_put(mfn(m.n + i));
        return rc;
    }
    use_claim(d, pages);
    atomic_fetch_add(&d->pages, pages - replaced);
    return 0;
}

/* Takes RAM away; everything in the range must be RAM. */
static int depopulate(struct domain *d, gfn_t g, unsigned order)
{
    if (!range_valid(g.n, order) || count_ram(d, g, order) != BIT(order))
        return -EINVAL;
    int rc = p2m_unmap(&d->p2m, g, order);
    if (!rc)
        atomic_fetch_sub(&d->pages, BIT(order));
    return rc;
}

/* XENMEM_populate_physmap and decrease_reservation: how many extents are done. Errors of one end the batch early. */
static long reservation(struct hc_call *c, int (*act)(struct domain *d, gfn_t g, unsigned order))
{
    struct xen_memory_reservation r;
    struct domain *d;
    uint64_t done = start_extent(c), g;
    if (guest_read(c->v, &r, c->arg[1], sizeof(r)))
        return done;
    if (r.extent_order > (c->d->control ? FRAME_MAX_ORDER : GUEST_MAX_ORDER) || r.nr_extents > ~0ull >> CMD_BITS ||
        done > r.nr_extents || door_domain(c, r.domid, &d))
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

static long claim_pages(struct hc_call *c)
{
    struct xen_memory_reservation r;
    struct frame_stats stats;
    struct domain *d;
    if (guest_read(c->v, &r, c->arg[1], sizeof(r)))
        return -EFAULT;
    if (!c->d->control)
        return -EPERM;
    if (r.extent_start.p || r.extent_order || r.mem_flags || r.nr_extents > P2M_PAGES)
        return -EINVAL;
    int rc = door_domain(c, r.domid, &d);
    if (rc)
        return rc;
    uint64_t have = load_relaxed(&d->pages), want = r.nr_extents > have ? r.nr_extents - have : 0;
    uint64_t old = atomic_exchange(&d->claimed, 0);
    uint64_t others = atomic_fetch_sub(&claimed, old) - old;
    frame_stats(&stats);
    if (r.nr_extents && !want)
        rc = -EINVAL;
    else if (want + others > stats.free)
        rc = -ENOMEM;
    if (!rc) {
        atomic_store(&d->claimed, want);
        atomic_fetch_add(&claimed, want);
    }
    domain_put(d);
    return rc;
}

/* --- the physmap ------------------------------------------------------------------------------------------------ */

/* A page of the domain's own moves to another gfn. */
static int move_page(struct domain *d, gfn_t from, gfn_t to)
{
    if (from.n == to.n)
        return p2m_lookup(&d->p2m, from).type == P2M_RAM ? 0 : -EINVAL;
    mfn_t m = p2m_get_frame(&d->p2m, from, true, false);
    if (!mfn_valid(m))
        return -EINVAL;
    uint64_t replaced = count_ram(d, to, 0);
    int rc = p2m_map(&d->p2m, to, m, 0, P2M_RAM);
    if (rc) {
        frame_put(m);
        return rc;
    }
    frame_set_gfn(m, to);
    rc = p2m_unmap(&d->p2m, from, 0);
    if (rc && p2m_unmap(&d->p2m, to, 0)) /* the page is at both places then, and counted as one: still only its own */
        return rc;
    atomic_fetch_sub(&d->pages, replaced);
    return rc;
}

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

static int map_device(struct domain *d, uint64_t index, gfn_t g)
{
    spin_lock(&d->lock);
    bool may = rangeset_contains(&d->iomem, index, index);
    spin_unlock(&d->lock);
    return may && !frame_known(mfn(index)) ? p2m_map(&d->p2m, g, mfn(index), 0, P2M_MMIO) : -EPERM;
}

/* Entries that replace RAM give its pages back: the count follows. */
static int map_shared(struct domain *d, mfn_t m, gfn_t g)
{
    return mfn_valid(m) ? p2m_map(&d->p2m, g, m, 0, P2M_XENHEAP) : -EINVAL;
}

/* One page of a mapping space to g. `id`: the foreign domain, where that counts. */
static int add_page(struct hc_call *c, struct domain *d, unsigned space, domid_t id, const uint64_t index_gpfn[2])
{
    uint64_t index = index_gpfn[0];
    gfn_t g = gfn(index_gpfn[1]);
    int rc;
    if (g.n >= P2M_PAGES)
        return -EINVAL;
    if (space == XENMAPSPACE_gmfn || space == XENMAPSPACE_gmfn_range)
        return index < P2M_PAGES ? move_page(d, gfn(index), g) : -EINVAL;
    uint64_t replaced = count_ram(d, g, 0);
    switch (space) {
    case XENMAPSPACE_shared_info: rc = index ? -EINVAL : map_shared(d, ptr_mfn(d->shared_info), g); break;
    case XENMAPSPACE_grant_table: /* version 1: no status frames */
        rc = index < GRANT_FRAMES_MAX ? map_shared(d, grant_frame(d, index), g) : -EINVAL;
        break;
    case XENMAPSPACE_gmfn_foreign: rc = index < P2M_PAGES ? map_foreign(c, d, id, index, g) : -EINVAL; break;
    case XENMAPSPACE_dev_mmio: rc = map_device(d, index, g); break;
    default: return -ENOSYS;
    }
    if (!rc)
        atomic_fetch_sub(&d->pages, replaced);
    return rc;
}

static long add_to_physmap(struct hc_call *c)
{
    struct xen_add_to_physmap x;
    struct domain *d;
    uint64_t done = start_extent(c);
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (x.space == XENMAPSPACE_gmfn_foreign)
        return -ENOSYS; /* batches only: there is no room for the domain here */
    int rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    uint64_t count = x.space == XENMAPSPACE_gmfn_range ? x.size : 1;
    for (; done < count && !rc; done++) {
        if (done > start_extent(c) && hypercall_preempt(c)) {
            domain_put(d);
            return again(c, done);
        }
        rc = add_page(c, d, x.space, 0, (uint64_t[]){ x.idx + done, x.gpfn + done });
    }
    iommu_flush(d);
    domain_put(d);
    return rc;
}

static long add_batch(struct hc_call *c)
{
    struct xen_add_to_physmap_batch x;
    struct domain *d;
    uint64_t done = start_extent(c), page[2];
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (x.space != XENMAPSPACE_gmfn_foreign && x.space != XENMAPSPACE_dev_mmio && x.u.res0)
        return -EOPNOTSUPP;
    if (x.space == XENMAPSPACE_gmfn_range)
        return -EINVAL;
    int rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    for (; done < x.size; done++) {
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
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (x.gpfn >= P2M_PAGES)
        return -EINVAL;
    int rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    enum p2m_type type = p2m_lookup(&d->p2m, gfn(x.gpfn)).type;
    uint64_t ram = count_ram(d, gfn(x.gpfn), 0);
    rc = type == P2M_NONE ? -ENOENT : p2m_unmap(&d->p2m, gfn(x.gpfn), 0);
    if (!rc)
        atomic_fetch_sub(&d->pages, ram);
    iommu_flush(d);
    domain_put(d);
    return rc;
}

/* --- pages of the hypervisor's for tools ---------------------------------------------------------------------------
 */

static int acquire_page(struct hc_call *c, struct domain *d, uint64_t index, uint64_t g)
{
    mfn_t m = index < GRANT_FRAMES_MAX ? grant_frame(d, index) : INVALID_MFN;
    /* The mapping may outlive that domain: it keeps the page. */
    if (g >= P2M_PAGES || !mfn_valid(m) || !frame_get(m, frame_owner(m)))
        return -EINVAL;
    uint64_t replaced = count_ram(c->d, gfn(g), 0);
    int rc = p2m_map(&c->d->p2m, gfn(g), m, 0, P2M_FOREIGN);
    if (rc)
        frame_put(m);
    else
        atomic_fetch_sub(&c->d->pages, replaced);
    return rc;
}

static long acquire_resource(struct hc_call *c)
{
    struct xen_mem_acquire_resource x;
    struct domain *d;
    uint64_t done = start_extent(c), g;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (x.pad)
        return -EINVAL;
    if (x.type != XENMEM_resource_grant_table)
        return -EOPNOTSUPP;
    if (x.id != XENMEM_resource_grant_table_id_shared)
        return -EINVAL;
    int rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    if (!x.frame_list.p) {
        x.nr_frames = grant_frames_max(d);
        rc = guest_write(c->v, c->arg[1], &x, sizeof(x));
    } else if (x.nr_frames > GRANT_FRAMES_MAX || x.frame > GRANT_FRAMES_MAX) {
        rc = -EINVAL;
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

/* --- maps and counts ------------------------------------------------------------------------------------------------
 */

static long write_map(struct hc_call *c, const struct e820entry *map, unsigned count)
{
    struct xen_memory_map x;
    if (!map)
        return -ENOSYS;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    unsigned fits = x.buffer.p ? MIN(x.nr_entries, count) : count;
    if (x.buffer.p && guest_write(c->v, (uintptr_t)x.buffer.p, map, fits * sizeof(*map)))
        return -EFAULT;
    x.nr_entries = fits;
    return guest_write(c->v, c->arg[1], &x, sizeof(x));
}

static long memory_map(struct hc_call *c) { return write_map(c, c->d->e820, c->d->nr_e820); }

static long machine_memory_map(struct hc_call *c)
{
    return c->d->control ? write_map(c, hv_machine.e820, hv_machine.nr_e820) : -EPERM;
}

static long set_memory_map(struct hc_call *c)
{
    struct xen_foreign_memory_map x;
    struct domain *d;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (!c->d->control)
        return -EPERM;
    if (x.map.nr_entries > E820_MAX)
        return -EINVAL;
    struct e820entry *map = page_alloc(), *old = map;
    if (!map)
        return -ENOMEM;
    int rc = guest_read(c->v, map, (uintptr_t)x.map.buffer.p, x.map.nr_entries * sizeof(*map));
    rc = rc ? rc : door_domain(c, x.domid, &d);
    if (!rc) {
        spin_lock(&d->lock);
        /* Once only where the domain reads it without a lock: it must not change under a running guest. */
        if (d->e820) {
            rc = -EBUSY;
        } else {
            d->nr_e820 = x.map.nr_entries;
            d->e820 = map;
            old = NULL;
        }
        spin_unlock(&d->lock);
        domain_put(d);
    }
    if (old)
        page_free(old);
    return rc;
}

static uint64_t highest_gfn(const struct domain *d)
{
    uint64_t end = PAGE_SIZE;
    for (unsigned i = 0; i < d->nr_e820; i++)
        if (d->e820[i].type == E820_RAM)
            end = MAX(end, d->e820[i].addr + d->e820[i].size);
    return (end >> PAGE_SHIFT) - 1;
}

static long count_of(struct hc_call *c)
{
    struct xen_memory_domain x;
    struct domain *d;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    long rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    if (command(c) == XENMEM_current_reservation)
        rc = load_relaxed(&d->pages);
    else if (command(c) == XENMEM_maximum_reservation)
        rc = MIN(d->max_pages, INT64_MAX);
    else
        rc = highest_gfn(d);
    domain_put(d);
    return rc;
}

static long maximum_ram_page(struct hc_call *c) { return hv_machine.max_page; }

/* There is no populate-on-demand; tools set and ask a target all the same. */
static long pod_target(struct hc_call *c)
{
    xen_pod_target_t x;
    struct domain *d;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    if (!c->d->control)
        return -EPERM;
    int rc = door_domain(c, x.domid, &d);
    if (rc)
        return rc;
    x.tot_pages = load_relaxed(&d->pages);
    x.pod_cache_pages = x.pod_entries = 0;
    domain_put(d);
    return guest_write(c->v, c->arg[1], &x, sizeof(x));
}

static long reserved_map(struct hc_call *c)
{
    struct xen_reserved_device_memory_map x;
    if (guest_read(c->v, &x, c->arg[1], sizeof(x)))
        return -EFAULT;
    x.nr_entries = 0; /* nothing has to be kept free at fixed places */
    return guest_write(c->v, c->arg[1], &x, sizeof(x));
}

static long populate_physmap(struct hc_call *c) { return reservation(c, populate); }

static long decrease_reservation(struct hc_call *c) { return reservation(c, depopulate); }

/* Memory without a place in the physmap is of no use to a PVH or HVM guest: no extent is ever done. */
static long increase_reservation(struct hc_call *c) { return start_extent(c); }

static long none_shared(struct hc_call *c) { return 0; }

static long unsupported(struct hc_call *c) { return -EOPNOTSUPP; }

static long (*const operations[CMD_MASK + 1])(struct hc_call *c) = {
    [XENMEM_increase_reservation] = increase_reservation,
    [XENMEM_decrease_reservation] = decrease_reservation,
    [XENMEM_populate_physmap] = populate_physmap,
    [XENMEM_claim_pages] = claim_pages,
    [XENMEM_maximum_ram_page] = maximum_ram_page,
    [XENMEM_current_reservation] = count_of,
    [XENMEM_maximum_reservation] = count_of,
    [XENMEM_maximum_gpfn] = count_of,
    [XENMEM_add_to_physmap] = add_to_physmap,
    [XENMEM_add_to_physmap_batch] = add_batch,
    [XENMEM_remove_from_physmap] = remove_from_physmap,
    [XENMEM_memory_map] = memory_map,
    [XENMEM_machine_memory_map] = machine_memory_map,
    [XENMEM_set_memory_map] = set_memory_map,
    [XENMEM_set_pod_target] = pod_target,
    [XENMEM_get_pod_target] = pod_target,
    [XENMEM_reserved_device_memory_map] = reserved_map,
    [XENMEM_acquire_resource] = acquire_resource,
    [XENMEM_get_sharing_freed_pages] = none_shared,
    [XENMEM_get_sharing_shared_pages] = none_shared,
    [XENMEM_get_vnumainfo] = unsupported,
    [XENMEM_access_op] = unsupported,
    [XENMEM_paging_op] = unsupported,
    [XENMEM_sharing_op] = unsupported,
};

long hc_memory(struct hc_call *c) { return operations[command(c)] ? operations[command(c)](c) : -ENOSYS; }
