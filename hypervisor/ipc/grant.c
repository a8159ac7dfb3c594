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
 * Locks: one a domain (LOCK_GRANT) for its entries and its maptrack, never two at a time. A mapping in state MAP_BUSY
 * belongs to the function that made it so, without the lock: no handle works before its page is mapped, nor once it is
 * being unmapped, and the pin goes only after the p2m entry has. Each mapping holds a reference of the granter, so that
 * a domain outlives its pins.
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

enum mapping_state { MAP_FREE, MAP_BUSY, MAP_LIVE };

struct mapping {
    struct domain *granter; /* referenced */
    uint64_t gfn : 40;      /* where it is mapped; free: the next free handle + 1 */
    uint64_t ref : 20;
    uint64_t state : 2;
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
    if (!mfn_valid(m)) {
        rc = GNTST_bad_page;
        goto release;
    }
    if (!a->readers) {
        a->mfn = m.n; /* the reference stays */
        a->domid = user;
        return GNTST_okay;
    }
    frame_put(m);
    if (m.n == a->mfn)
        return GNTST_okay;
    rc = GNTST_general_error; /* the granter put another page into an entry that is in use */
release:
    entry_release(e, a);
    return rc;
}

/* Uses the entry once more, for `user`. GNTST_okay and the page, which stays until unpin(). */
static int pin(struct domain *granter, domid_t user, uint32_t ref, bool write, mfn_t *m)
{
    struct grant_table *t = granter->grants;
    int rc = GNTST_okay;

    spin_lock(&t->lock);
    if (!ref_valid(t, ref)) {
        rc = GNTST_bad_gntref;
        goto unlock;
    }
    struct active *a = active_of(t, ref);
    if (a->readers && a->domid != user)
        rc = GNTST_general_error;
    else if (!a->readers || (write && !a->writers))
        rc = pin_first_locked(granter, entry_of(t, ref), a, user, write);
    if (!rc) {
        a->readers++;
        a->writers += write;
        *m = mfn(a->mfn);
    }
unlock:
    spin_unlock(&t->lock);
    return rc;
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

/* --- maptrack ----------------------------------------------------------------------------------------------------- */

static struct mapping *mapping_of(const struct grant_table *t, uint32_t handle)
{
    return &t->maptrack[handle / MAPPINGS_PER_PAGE][handle % MAPPINGS_PER_PAGE];
}

/* A new mapping in state MAP_BUSY, or NULL. */
static struct mapping *handle_take(struct grant_table *t, uint32_t *handle)
{
    struct mapping *map = NULL;
    spin_lock(&t->lock);
    struct mapping **page = &t->maptrack[t->nr_handles / MAPPINGS_PER_PAGE];
    if (t->free_handle) {
        *handle = t->free_handle - 1;
        map = mapping_of(t, *handle);
        t->free_handle = map->gfn;
    } else if (t->nr_handles < MAPTRACK_MAX && (*page || (*page = page_alloc()))) {
        *handle = t->nr_handles++;
        map = mapping_of(t, *handle);
    }
    if (map)
        map->state = MAP_BUSY;
    spin_unlock(&t->lock);
    return map;
}

static void handle_free(struct grant_table *t, uint32_t handle)
{
    struct mapping *map = mapping_of(t, handle);
    spin_lock(&t->lock);
    map->granter = NULL;
    map->gfn = t->free_handle;
    map->state = MAP_FREE;
    t->free_handle = handle + 1;
    spin_unlock(&t->lock);
}

/* --- map and unmap -------------------------------------------------------------------------------------------------
 */

/* Pins the entry and maps its page; on an error nothing is left of it. */
static int map_page(struct domain *d, struct domain *granter, uint32_t ref, gfn_t at, bool write)
{
    mfn_t m;
    int rc = pin(granter, d->id, ref, write, &m);
    if (rc)
        return rc;
    rc = GNTST_general_error;
    if (!frame_get(m, granter->id))
        goto unpin;
    /* No memory for a table, or an address no p2m has. */
    rc = p2m_map(&d->p2m, at, m, 0, write ? P2M_GRANT_RW : P2M_GRANT_RO);
    if (!rc)
        return GNTST_okay;
    rc = rc == -ENOMEM ? GNTST_no_device_space : GNTST_bad_virt_addr;
    frame_put(m);
unpin:
    unpin(granter, ref, write);
    return rc;
}

/*
 * Only pages by guest-physical address: host_addr. Devices reach what the p2m maps at the same address where the
 * domain's p2m is mirrored to an IOMMU, so device_map needs host_map and adds nothing.
 */
void grant_map(struct domain *d, struct gnttab_map_grant_ref *op)
{
    bool write = !(op->flags & GNTMAP_readonly);
    gfn_t at = gpa_gfn(op->host_addr);
    uint32_t handle;

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
    if (load_relaxed(&granter->dying))
        goto put;
    op->status = GNTST_no_space;
    struct mapping *map = handle_take(d->grants, &handle);
    if (!map)
        goto put;
    op->status = map_page(d, granter, op->ref, at, write);
    if (op->status) {
        handle_free(d->grants, handle);
        goto put;
    }
    spin_lock(&d->grants->lock);
    *map = (struct mapping){
        .granter = granter /* keeps our reference */, .gfn = at.n, .ref = op->ref, .state = MAP_LIVE, .write = write
    };
    spin_unlock(&d->grants->lock);
    op->handle = handle;
    op->dev_bus_addr = op->flags & GNTMAP_device_map ? op->host_addr & PAGE_MASK : 0;
    return;
put:
    domain_put(granter);
}

/* Undoes a mapping that the caller has made MAP_BUSY, or that nobody else can reach. */
static int unmap_page(struct domain *d, uint32_t handle)
{
    struct mapping *map = mapping_of(d->grants, handle);
    struct domain *granter = map->granter;
    struct p2m_entry entry = p2m_lookup(&d->p2m, gfn(map->gfn));
    bool ours = (entry.type == P2M_GRANT_RW || entry.type == P2M_GRANT_RO) &&
                entry.mfn.n == active_of(granter->grants, map->ref)->mfn; /* stable: pinned by us */

    /* If the guest has put something else there since, there is nothing left to unmap. */
    if (ours && p2m_unmap(&d->p2m, gfn(map->gfn), 0)) {
        spin_lock(&d->grants->lock);
        map->state = MAP_LIVE;
        spin_unlock(&d->grants->lock);
        return GNTST_general_error;
    }
    unpin(granter, map->ref, map->write);
    handle_free(d->grants, handle);
    domain_put(granter);
    return GNTST_okay;
}

/* An unmapping of the device's part alone (no host_addr) does nothing: it goes with the other. */
void grant_unmap(struct domain *d, struct gnttab_unmap_grant_ref *op)
{
    struct grant_table *t = d->grants;

    spin_lock(&t->lock);
    struct mapping *map = op->handle < t->nr_handles ? mapping_of(t, op->handle) : NULL;
    op->status = GNTST_okay;
    if (!map || map->state != MAP_LIVE)
        op->status = GNTST_bad_handle;
    else if (op->host_addr && op->host_addr >> PAGE_SHIFT != map->gfn)
        op->status = GNTST_bad_virt_addr;
    bool ours = !op->status && op->host_addr;
    if (ours)
        map->state = MAP_BUSY;
    spin_unlock(&t->lock);
    if (ours)
        op->status = unmap_page(d, op->handle);
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

static int grow_locked(struct grant_table *t, unsigned frames)
{
    BUG_ON(!lock_check_held(&t->lock));
    if (frames > GRANT_FRAMES_MAX)
        return GNTST_general_error;
    for (unsigned n = load_relaxed(&t->nr_frames); n < frames; n++) {
        t->shared[n] = page_alloc();
        t->active[n] = pages_alloc(ACTIVE_ORDER);
        if (!t->shared[n] || !t->active[n]) {
            page_free(t->shared[n]);
            pages_free(t->active[n], ACTIVE_ORDER);
            return GNTST_general_error;
        }
        frame_set_gfn(ptr_mfn(t->shared[n]), INVALID_GFN); /* not mapped yet */
        store_relaxed(&t->nr_frames, n + 1);
    }
    return GNTST_okay;
}

int grant_grow(struct domain *d, unsigned frames)
{
    spin_lock(&d->grants->lock);
    int rc = grow_locked(d->grants, frames);
    spin_unlock(&d->grants->lock);
    return rc;
}

mfn_t grant_frame(struct domain *d, uint64_t index)
{
    if (index >= GRANT_FRAMES_MAX || grant_grow(d, index + 1))
        return INVALID_MFN;
    return ptr_mfn(d->grants->shared[index]); /* it stays */
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
    return grant_grow(d, 1) ? -ENOMEM : 0;
}

int grant_destroy(struct domain *d)
{
    struct grant_table *t = d->grants;
    for (unsigned i = 0; i < DESTROY_STEP && t->cursor < t->nr_handles; i++) {
        if (mapping_of(t, t->cursor)->state == MAP_LIVE && unmap_page(d, t->cursor))
            break; /* no memory to split a p2m entry: that one again */
        t->cursor++;
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
