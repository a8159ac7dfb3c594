/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Grant tables, version 1: entries in pages shared with the granter, an active entry beside each (how often it is in
 * use and for which page), and for each domain a maptrack: what it has mapped of others, by handle.
 *
 * An entry is in use ("pinned") from the first map or copy to the last unmap; the first pin claims it in the shared
 * page by compare-and-exchange, since the granter races on it, and takes one reference of the page, which the last
 * unpin drops. Meanwhile the page is what the active entry says, whatever the granter writes. A mapping in the p2m
 * holds a reference of its own.
 *
 * Locks: one a domain (LOCK_GRANT) for its entries and its maptrack, never two at a time. The p2m entry and the mapping
 * come and go under the mapper's lock together: no handle works before its page is mapped, nor once it is being
 * unmapped; the pin is there before and goes after. Each mapping holds a reference of the granter, so that a domain
 * outlives its pins.
 */
#include <hv/grant.h>

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#define CLAIM_TRIES 8
#define DESTROY_STEP 128 /* mappings undone before -ERESTART */
#define ENTRIES_PER_FRAME (PAGE_SIZE / sizeof(struct grant_entry_v1))

struct active {
    uint64_t mfn : 48; /* valid while readers > 0, one reference of it is held then */
    uint64_t domid : 16;
    uint32_t readers, writers; /* pins in all, and those that write */
};
#define ACTIVE_ORDER 1
_Static_assert(ENTRIES_PER_FRAME * sizeof(struct active) == PAGE_SIZE << ACTIVE_ORDER, "fits");

struct mapping {
    struct domain *granter; /* referenced; NULL: the handle is free */
    uint64_t gfn : 40;      /* where it is mapped; free: the next free handle + 1 */
    uint64_t ref : 20;
    uint64_t write : 1;
};
#define MAPPINGS_PER_PAGE (PAGE_SIZE / sizeof(struct mapping))
_Static_assert(sizeof(struct mapping) == 16, "whole numbers to a page");
_Static_assert(GRANT_FRAMES_MAX *ENTRIES_PER_FRAME <= 1 << 20, "mapping.ref");

struct grant_table {
    spinlock_t lock; /* LOCK_GRANT: all below, and the active entries and mappings */
    _Atomic unsigned nr_frames;
    unsigned nr_handles, free_handle /* + 1 */, cursor /* of grant_destroy */;
    struct grant_entry_v1 *shared[GRANT_FRAMES_MAX];
    struct active *active[GRANT_FRAMES_MAX]; /* the entries of each frame, 2^ACTIVE_ORDER pages */
    struct mapping *maptrack[MAPTRACK_MAX / MAPPINGS_PER_PAGE];
};
_Static_assert(sizeof(struct grant_table) <= PAGE_SIZE, "one page");

/* --- entries ---------------------------------------------------------------------------------------------------- */

static bool ref_valid(const struct grant_table *t, uint32_t ref)
{
    return ref < load_relaxed(&t->nr_frames) * ENTRIES_PER_FRAME;
}

static struct grant_entry_v1 *entry_of(const struct grant_table *t, uint32_t ref)
{
    return &t->shared[ref / ENTRIES_PER_FRAME][ref % ENTRIES_PER_FRAME];
}

static struct active *active_of(const struct grant_table *t, uint32_t ref)
{
    return &t->active[ref / ENTRIES_PER_FRAME][ref % ENTRIES_PER_FRAME];
}

/* Flags and domid of an entry as the one word they are claimed by. */
static _Atomic uint32_t *entry_head(struct grant_entry_v1 *e)
{
    _Static_assert(offsetof(struct grant_entry_v1, domid) == 2 && offsetof(struct grant_entry_v1, frame) == 4, "v1");
    return (_Atomic uint32_t *)e;
}

/* Marks the entry as read or written, if it permits that; an entry that never stands still is refused. */
static int entry_claim(struct grant_entry_v1 *e, domid_t user, bool write)
{
    uint32_t head = load_relaxed(entry_head(e));
    for (unsigned i = 0; i < CLAIM_TRIES; i++) {
        if ((head & GTF_type_mask) != GTF_permit_access || head >> 16 != user || (write && head & GTF_readonly))
            return GNTST_general_error;
        uint32_t claimed = head | GTF_reading | (write ? GTF_writing : 0);
        if (atomic_compare_exchange_strong(entry_head(e), &head, claimed))
            return GNTST_okay;
    }
    return GNTST_general_error;
}

/* Takes back what the active entry does not justify (any more). */
static void entry_release(struct grant_entry_v1 *e, const struct active *a)
{
    uint32_t clear = (a->writers ? 0 : GTF_writing) | (a->readers ? 0 : GTF_reading);
    if (clear)
        atomic_fetch_and(entry_head(e), ~clear);
}

/* The first use, or the first for writing: claims the entry and makes sure of its page. */
static int pin_first_locked(struct domain *granter, struct grant_entry_v1 *e, struct active *a, domid_t user,
                            bool write)
{
    BUG_ON(!lock_check_held(&granter->grants->lock));
    int rc = entry_claim(e, user, write);
    if (rc)
        return rc;
    uint32_t frame = __atomic_load_n(&e->frame, __ATOMIC_RELAXED);
    mfn_t m = p2m_get_frame(&granter->p2m, gfn(frame), write, false);
    if (mfn_valid(m) && !a->readers) {
        a->mfn = m.n; /* the reference stays */
        a->domid = user;
        return GNTST_okay;
    }
    if (mfn_valid(m))
        frame_put(m);
    if (mfn_valid(m) && m.n == a->mfn)
        return GNTST_okay;
    entry_release(e, a); /* no such page, or the granter put another one into an entry that is in use */
    return mfn_valid(m) ? GNTST_general_error : GNTST_bad_page;
}

/* Uses the entry once more, for `user`. GNTST_okay and the page, which stays until unpin(). */
static int pin(struct domain *granter, domid_t user, uint32_t ref, bool write, mfn_t *m)
{
    struct grant_table *t = granter->grants;
    int rc = GNTST_okay;

    spin_guard(&t->lock);
    if (!ref_valid(t, ref))
        return GNTST_bad_gntref;
    struct active *a = active_of(t, ref);
    if (a->readers && a->domid != user)
        return GNTST_general_error;
    if (!a->readers || (write && !a->writers))
        rc = pin_first_locked(granter, entry_of(t, ref), a, user, write);
    if (rc)
        return rc;
    a->readers++;
    a->writers += write;
    *m = mfn(a->mfn);
    return GNTST_okay;
}

static void unpin(struct domain *granter, uint32_t ref, bool write)
{
    struct grant_table *t = granter->grants;
    struct active *a = active_of(t, ref);

    spin_lock(&t->lock);
    BUG_ON(!a->readers || a->writers < write);
    a->readers--;
    a->writers -= write;
    mfn_t last = a->readers ? INVALID_MFN : mfn(a->mfn);
    entry_release(entry_of(t, ref), a);
    spin_unlock(&t->lock);
    if (mfn_valid(last))
        frame_put(last);
}

/* --- map and unmap -------------------------------------------------------------------------------------------- */

static struct mapping *mapping_of(const struct grant_table *t, uint32_t handle)
{
    return &t->maptrack[handle / MAPPINGS_PER_PAGE][handle % MAPPINGS_PER_PAGE];
}

/* The mapping of t->free_handle, which there is then; NULL: no room. */
static struct mapping *mapping_free_locked(struct grant_table *t)
{
    BUG_ON(!lock_check_held(&t->lock));
    if (!t->free_handle) {
        struct mapping **page = &t->maptrack[t->nr_handles / MAPPINGS_PER_PAGE];
        if (t->nr_handles == MAPTRACK_MAX || (!*page && !(*page = page_alloc())))
            return NULL;
        t->free_handle = ++t->nr_handles;
    }
    return mapping_of(t, t->free_handle - 1);
}

/* Maps page m, which the caller has pinned; on an error nothing is left of it. */
static int map_pinned(struct domain *d, struct domain *granter, mfn_t m, struct gnttab_map_grant_ref *op)
{
    struct grant_table *t = d->grants;
    bool write = !(op->flags & GNTMAP_readonly);
    gfn_t at = gpa_gfn(op->host_addr);

    spin_guard(&t->lock);
    struct mapping *map = mapping_free_locked(t);
    if (!map)
        return GNTST_no_space;
    if (!frame_get(m, granter->id))
        return GNTST_general_error;
    /* No memory for a table, or an address no p2m has. */
    int rc = p2m_map(&d->p2m, at, m, 1, write ? P2M_GRANT_RW : P2M_GRANT_RO);
    if (rc) {
        frame_put(m);
        return rc == -ENOMEM ? GNTST_no_device_space : GNTST_bad_virt_addr;
    }
    op->handle = t->free_handle - 1;
    t->free_handle = map->gfn;
    *map = (struct mapping){ .granter = granter, .gfn = at.n, .ref = op->ref, .write = write };
    return GNTST_okay;
}

/*
 * Only pages by guest-physical address: host_addr. Devices reach what the p2m maps at the same address where the
 * domain's p2m is mirrored to an IOMMU, so device_map needs host_map and adds nothing.
 */
void grant_map(struct domain *d, struct gnttab_map_grant_ref *op)
{
    bool write = !(op->flags & GNTMAP_readonly);
    gfn_t at = gpa_gfn(op->host_addr);
    mfn_t m;

    op->status = GNTST_general_error;
    if (!(op->flags & GNTMAP_host_map) || op->flags & (GNTMAP_application_map | GNTMAP_contains_pte))
        return;
    op->status = GNTST_bad_virt_addr;
    if (!at.n || at.n >> 40) /* 0 as an address means none when unmapping */
        return;
    op->status = GNTST_bad_domain;
    struct domain *granter = domain_get(op->dom);
    if (!granter)
        return;
    if (!load_relaxed(&granter->dying))
        op->status = pin(granter, d->id, op->ref, write, &m);
    if (op->status)
        goto put;
    op->status = map_pinned(d, granter, m, op);
    if (op->status)
        goto unpin;
    op->dev_bus_addr = op->flags & GNTMAP_device_map ? op->host_addr & PAGE_MASK : 0;
    return; /* the mapping keeps pin and reference */
unpin:
    unpin(granter, op->ref, write);
put:
    domain_put(granter);
}

/* Undoes a mapping; *was is what it was: the caller takes its pin and its reference. */
static int unmap_locked(struct domain *d, uint32_t handle, struct mapping *was)
{
    struct grant_table *t = d->grants;
    struct mapping *map = mapping_of(t, handle);
    BUG_ON(!lock_check_held(&t->lock));
    struct p2m_entry entry = p2m_lookup(&d->p2m, gfn(map->gfn));
    bool ours = (entry.type == P2M_GRANT_RW || entry.type == P2M_GRANT_RO) &&
                entry.mfn.n == active_of(map->granter->grants, map->ref)->mfn; /* stable: pinned by us */

    /* If the guest has put something else there since, there is nothing left to unmap. */
    if (ours && p2m_unmap(&d->p2m, gfn(map->gfn), 1))
        return GNTST_general_error;
    *was = *map;
    *map = (struct mapping){ .gfn = t->free_handle };
    t->free_handle = handle + 1;
    return GNTST_okay;
}

/* An unmapping of the device's part alone (no host_addr) does nothing: it goes with the other. */
void grant_unmap(struct domain *d, struct gnttab_unmap_grant_ref *op)
{
    struct grant_table *t = d->grants;
    struct mapping was = { .granter = NULL };

    spin_lock(&t->lock);
    struct mapping *map = op->handle < t->nr_handles ? mapping_of(t, op->handle) : NULL;
    op->status = GNTST_okay;
    if (!map || !map->granter)
        op->status = GNTST_bad_handle;
    else if (op->host_addr && op->host_addr >> PAGE_SHIFT != map->gfn)
        op->status = GNTST_bad_virt_addr;
    else if (op->host_addr)
        op->status = unmap_locked(d, op->handle, &was);
    spin_unlock(&t->lock);
    if (was.granter) {
        unpin(was.granter, was.ref, was.write);
        domain_put(was.granter);
    }
}

/* --- copy ------------------------------------------------------------------------------------------------------------
 */

/* One side of a copy. By reference it is a pin like any other's, for the time of the copy. */
struct copy_side {
    struct domain *granter; /* NULL: a page of the caller's */
    uint32_t ref;
    bool write;
    mfn_t m;
};

static int copy_begin(struct domain *d, struct copy_side *side, const struct gnttab_copy_ptr *p, bool by_ref)
{
    if (!by_ref) {
        if (p->domid != DOMID_SELF)
            return GNTST_permission_denied;
        side->m = p2m_get_frame(&d->p2m, gfn(p->u.gmfn), side->write, false);
        return mfn_valid(side->m) ? GNTST_okay : GNTST_bad_page;
    }
    struct domain *granter = domain_get(p->domid == DOMID_SELF ? d->id : p->domid);
    if (!granter)
        return GNTST_bad_domain;
    int rc = pin(granter, d->id, p->u.ref, side->write, &side->m);
    if (rc) {
        domain_put(granter);
        return rc;
    }
    side->granter = granter;
    side->ref = p->u.ref;
    return GNTST_okay;
}

static void copy_end(struct copy_side *side)
{
    if (side->granter) {
        unpin(side->granter, side->ref, side->write);
        domain_put(side->granter);
    } else {
        frame_put(side->m);
    }
}

void grant_copy(struct domain *d, struct gnttab_copy *op)
{
    struct copy_side from = { .write = false }, to = { .write = true };

    op->status = GNTST_bad_copy_arg;
    if (op->source.offset + op->len > PAGE_SIZE || op->dest.offset + op->len > PAGE_SIZE)
        return;
    op->status = copy_begin(d, &from, &op->source, op->flags & GNTCOPY_source_gref);
    if (op->status)
        return;
    op->status = copy_begin(d, &to, &op->dest, op->flags & GNTCOPY_dest_gref);
    if (!op->status) {
        memmove((char *)mfn_ptr(to.m) + op->dest.offset, (char *)mfn_ptr(from.m) + op->source.offset, op->len);
        copy_end(&to);
    }
    copy_end(&from);
}

/* --- the table -------------------------------------------------------------------------------------------------------
 */

static bool add_frame_locked(struct grant_table *t)
{
    unsigned n = load_relaxed(&t->nr_frames);
    BUG_ON(!lock_check_held(&t->lock));
    t->shared[n] = page_alloc();
    t->active[n] = pages_alloc(ACTIVE_ORDER);
    if (!t->shared[n] || !t->active[n]) {
        page_free(t->shared[n]);
        pages_free(t->active[n], ACTIVE_ORDER);
        return false;
    }
    frame_set_gfn(ptr_mfn(t->shared[n]), INVALID_GFN); /* not mapped yet */
    store_relaxed(&t->nr_frames, n + 1);
    return true;
}

mfn_t grant_frame(struct domain *d, uint64_t index)
{
    struct grant_table *t = d->grants;
    spin_guard(&t->lock);
    while (index < GRANT_FRAMES_MAX && index >= load_relaxed(&t->nr_frames))
        if (!add_frame_locked(t))
            return INVALID_MFN;
    return index < GRANT_FRAMES_MAX ? ptr_mfn(t->shared[index]) : INVALID_MFN; /* it stays */
}

unsigned grant_frames(struct domain *d) { return load_relaxed(&d->grants->nr_frames); }

/* --- life
 * -------------------------------------------------------------------------------------------------------------- */

int grant_init(struct domain *d)
{
    struct grant_table *t = d->grants = page_alloc();
    if (!t)
        return -ENOMEM;
    spin_init(&t->lock, LOCK_GRANT);
    return mfn_valid(grant_frame(d, 0)) ? 0 : -ENOMEM;
}

int grant_destroy(struct domain *d)
{
    struct grant_table *t = d->grants;
    for (unsigned i = 0; i < DESTROY_STEP && t->cursor < t->nr_handles; i++, t->cursor++) {
        struct gnttab_unmap_grant_ref op = { .handle = t->cursor };
        op.host_addr = mapping_of(t, t->cursor)->gfn << PAGE_SHIFT;
        grant_unmap(d, &op);
        if (op.status == GNTST_general_error)
            break; /* no memory to split a p2m entry: that one again */
    }
    return t->cursor < t->nr_handles ? -ERESTART : 0;
}

void grant_free(struct domain *d)
{
    struct grant_table *t = d->grants;
    if (!t)
        return;
    for (unsigned i = 0; i < load_relaxed(&t->nr_frames); i++) {
        page_free(t->shared[i]);
        pages_free(t->active[i], ACTIVE_ORDER);
    }
    for (unsigned i = 0; i < ARRAY_SIZE(t->maptrack); i++)
        page_free(t->maptrack[i]);
    page_free(t);
    d->grants = NULL;
}
