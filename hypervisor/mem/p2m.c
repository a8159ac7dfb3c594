/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tree from gfn to mfn. See p2m.h.
 *
 * A change has two steps: prepare() makes the tables it needs (splitting entries that reach beyond the range), which
 * may fail and changes no translation; then entries are written, which cannot fail. What they held is gathered in a
 * batch of frames; references are dropped only after one flush of processors and devices for the whole batch.
 *
 * Tables never change their level: a lookup that is inside one which was taken again still finds tables and leaves
 * where it expects them, and learns from p2m->reused that its answer is void.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/metal.h>
#include <hv/p2m.h>

#define P2M_PAGES (1ull << 36)
#define LEVEL_SHIFT(level) (9 * ((level)-1)) /* of the pages that an entry covers */
#define LEVEL_PAGES(level) (1ull << LEVEL_SHIFT(level))
#define BATCH 24

typedef _Atomic uint64_t entry_t;

#define TYPE(t) (1u << (t))
#define RAM (TYPE(P2M_RAM) | TYPE(P2M_RAM_RO))
#define COUNTED (RAM | TYPE(P2M_GRANT_RW) | TYPE(P2M_GRANT_RO) | TYPE(P2M_FOREIGN))
#define OTHERS (TYPE(P2M_GRANT_RW) | TYPE(P2M_GRANT_RO) | TYPE(P2M_FOREIGN) | TYPE(P2M_XENHEAP))
#define WRITABLE (TYPE(P2M_RAM) | TYPE(P2M_GRANT_RW) | TYPE(P2M_FOREIGN) | TYPE(P2M_XENHEAP))
/* Not devices' registers: no device of a domain needs another's, and they may lie beyond what an IOMMU reaches. */
#define DMA_WRITABLE (TYPE(P2M_RAM) | TYPE(P2M_GRANT_RW) | TYPE(P2M_FOREIGN))
#define DMA (DMA_WRITABLE | TYPE(P2M_RAM_RO) | TYPE(P2M_GRANT_RO))

/* Frames whose references are dropped after the next flush. */
struct batch {
    struct p2m *p;
    unsigned used;
    bool flush; /* a translation went away, counted or not */
    struct {
        uint64_t m, count;
    } part[BATCH];
};

static bool is_present(const struct p2m *p, uint64_t e) { return e & p->codec->present; }

static bool is_leaf(const struct p2m *p, uint64_t e, unsigned level) { return level == 1 || e & p->codec->large; }

static enum p2m_type type_of(const struct p2m *p, uint64_t e) { return e >> p->codec->type_shift & P2M_TYPE_MASK; }

static mfn_t mfn_of(uint64_t e) { return paddr_mfn(e & P2M_ADDRESS); }

static entry_t *slot_in(mfn_t table, uint64_t g, unsigned level)
{
    return (entry_t *)mfn_ptr(table) + (g >> LEVEL_SHIFT(level) & 511);
}

/* --- lookups: no lock --- */

static inline uint64_t entry_in(paddr_t table, uint64_t g, unsigned level)
{
    const entry_t *entries = paddr_ptr(table);
    return load_acquire(&entries[g >> LEVEL_SHIFT(level) & 511]); /* pairs with set_entry(): filled before named */
}

/* The entry that decides about g, and its level. No loop: this is under each guest memory access. */
static inline uint64_t walk(const struct p2m *p, uint64_t g, unsigned *level)
{
    const uint64_t present = p->codec->present, large = p->codec->large;
    uint64_t e = entry_in(mfn_paddr(p->root), g, *level = 4);
    if (e & present)
        e = entry_in(e & P2M_ADDRESS, g, *level = 3);
    if (*level == 3 && e & present && !(e & large))
        e = entry_in(e & P2M_ADDRESS, g, *level = 2);
    if (*level == 2 && e & present && !(e & large))
        e = entry_in(e & P2M_ADDRESS, g, *level = 1);
    return e;
}

/* The same, certain not to have been in a table that was taken for something else meanwhile. */
static inline uint64_t walk_sure(const struct p2m *p, uint64_t g, unsigned *level)
{
    for (;;) {
        uint64_t reused = load_acquire(&p->reused), e = walk(p, g, level);
        if (likely(load_relaxed(&p->reused) == reused))
            return e;
        /* Somebody split an entry just now, which takes far longer than this: it does not go on for ever. */
    }
}

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    unsigned level;
    if (unlikely(g.n >= P2M_PAGES))
        return (struct p2m_entry){ INVALID_MFN, P2M_NONE, 0 };
    uint64_t e = walk_sure(p, g.n, &level);
    if (!is_present(p, e))
        return (struct p2m_entry){ INVALID_MFN, P2M_NONE, LEVEL_SHIFT(level) };
    mfn_t m = mfn(mfn_of(e).n + (g.n & (LEVEL_PAGES(level) - 1)));
    return (struct p2m_entry){ m, type_of(p, e), LEVEL_SHIFT(level) };
}

mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    uint32_t wanted = RAM | (grants ? OTHERS : 0);
    if (write)
        wanted &= WRITABLE;
    if (unlikely(g.n >= P2M_PAGES))
        return INVALID_MFN;
    /* Once more when the entry changed between looking and taking; who changes it that often gets nothing. */
    for (unsigned tries = 0; tries < 4; tries++) {
        unsigned level, again;
        uint64_t e = walk_sure(p, g.n, &level);
        enum p2m_type type = type_of(p, e);
        if (!is_present(p, e) || !(wanted & TYPE(type)))
            return INVALID_MFN;
        mfn_t m = mfn(mfn_of(e).n + (g.n & (LEVEL_PAGES(level) - 1)));
        if (!frame_get(m, TYPE(type) & OTHERS ? frame_owner(m) : p->domain->id))
            continue;
        if (likely(walk_sure(p, g.n, &again) == e))
            return m;
        frame_put(m);
    }
    return INVALID_MFN;
}

/* --- dropping what entries held --- */

/* A leaf came (1) or goes (-1). */
static void count_leaf(struct p2m *p, uint64_t e, unsigned level, int sign)
{
    p->leaves[level] += sign;
    if (RAM & TYPE(type_of(p, e)))
        store_relaxed(&p->ram, load_relaxed(&p->ram) + sign * (int64_t)LEVEL_PAGES(level));
}

static void flush(struct p2m *p)
{
    metal_flush_p2m(p->domain);
    p->walked = false;
}

static void batch_finish(struct batch *b)
{
    struct p2m *p = b->p;
    if (b->flush)
        flush(p);
    if (b->flush && p->mirror)
        iommu_flush(p->domain);
    for (unsigned i = 0; i < b->used; i++) {
        for (uint64_t k = 0; k < b->part[i].count; k++)
            frame_put(mfn(b->part[i].m + k));
    }
    b->used = 0;
    b->flush = false;
}

/* A leaf is gone from the tree (or the table it is in is). */
static void batch_leaf(struct batch *b, uint64_t e, unsigned level)
{
    struct p2m *p = b->p;
    uint64_t m = mfn_of(e).n, count = LEVEL_PAGES(level);
    b->flush = true;
    count_leaf(p, e, level, -1);
    if (!(COUNTED & TYPE(type_of(p, e))))
        return;
    unsigned last = b->used - 1;
    if (b->used && b->part[last].m + b->part[last].count == m) {
        b->part[last].count += count;
        return;
    }
    if (b->used == BATCH) {
        batch_finish(b);
        b->flush = true; /* entries that go later need another one */
    }
    b->part[b->used].m = m;
    b->part[b->used++].count = count;
}

/* Nothing names the table any more; its contents stay for lookups that are inside. */
static void table_retire(struct p2m *p, mfn_t table, unsigned level)
{
    frame_set_gfn(table, gfn(p->spare[level].n));
    p->spare[level] = table;
}

static void batch_table(struct batch *b, mfn_t table, unsigned level)
{
    entry_t *entries = mfn_ptr(table);
    for (unsigned i = 0; i < 512; i++) {
        uint64_t e = load_relaxed(&entries[i]);
        if (!is_present(b->p, e))
            continue;
        if (is_leaf(b->p, e, level))
            batch_leaf(b, e, level);
        else
            batch_table(b, mfn_of(e), level - 1);
    }
    table_retire(b->p, table, level);
}

/* Writes an entry at `level` (0: nothing) and gathers what it replaces. */
static void set_entry(struct batch *b, entry_t *slot, uint64_t e, unsigned level)
{
    uint64_t old = load_relaxed(slot);
    store_release(slot, e); /* pairs with walk() */
    if (e)
        count_leaf(b->p, e, level, 1);
    if (!is_present(b->p, old))
        return;
    if (is_leaf(b->p, old, level))
        batch_leaf(b, old, level);
    else
        batch_table(b, mfn_of(old), level - 1);
}

/* --- tables --- */

/* A table for entries of `level`, with the contents of `old`, an entry of the level above: 512 pieces, or nothing. */
static mfn_t table_make(struct p2m *p, uint64_t old, unsigned level)
{
    mfn_t table = p->spare[level];
    if (mfn_valid(table)) {
        p->spare[level] = mfn(frame_gfn(table).n);
        if (p->walked)
            flush(p);
        /* Before it changes: pairs with walk_sure(). */
        atomic_fetch_add_explicit(&p->reused, 1, memory_order_seq_cst);
    } else {
        void *page = page_alloc();
        if (!page)
            return INVALID_MFN;
        table = ptr_mfn(page);
        p->tables++;
        if (!is_present(p, old))
            return table;
    }
    entry_t *entries = mfn_ptr(table);
    uint64_t e = is_present(p, old) ? p->codec->leaf(mfn_of(old), type_of(p, old), level) : 0;
    uint64_t step = e ? LEVEL_PAGES(level) << PAGE_SHIFT : 0;
    for (unsigned i = 0; i < 512; i++, e += step)
        store_release(&entries[i], e);
    if (is_present(p, old)) {
        p->leaves[level + 1]--;
        p->leaves[level] += 512;
    }
    return table;
}

/* The slot for g at `level`, with tables made and leaves split on the way; NULL: no memory. */
static entry_t *slot_make(struct p2m *p, uint64_t g, unsigned level)
{
    mfn_t table = p->root;
    for (unsigned l = 4; l > level; l--) {
        entry_t *slot = slot_in(table, g, l);
        uint64_t e = load_relaxed(slot);
        if (!is_present(p, e) || is_leaf(p, e, l)) {
            table = table_make(p, e, l - 1);
            if (!mfn_valid(table))
                return NULL;
            store_release(slot, p->codec->table(table));
        } else {
            table = mfn_of(e);
        }
    }
    return slot_in(table, g, level);
}

/* Splits a leaf that has `g` inside, so that one begins there. */
static bool split_at(struct p2m *p, uint64_t g)
{
    unsigned level;
    if (g >= P2M_PAGES)
        return true;
    while (is_present(p, walk(p, g, &level)) && g & (LEVEL_PAGES(level) - 1)) {
        if (!slot_make(p, g, level - 1))
            return false;
    }
    return true;
}

/* The level of the largest entry that can begin a range of `count` pages; `bits` are those of g and what it maps to. */
static unsigned piece_level(const struct p2m *p, uint64_t bits, uint64_t count)
{
    if (*p->codec->gigabyte && !(bits & (LEVEL_PAGES(3) - 1)) && count >= LEVEL_PAGES(3))
        return 3;
    return !(bits & (LEVEL_PAGES(2) - 1)) && count >= LEVEL_PAGES(2) ? 2 : 1;
}

/* --- joining --- */

/* One entry instead of the 512 of the table that has g's entry of `level`, if they are pieces of one. */
static void join(struct p2m *p, uint64_t g, unsigned level)
{
    uint64_t step = LEVEL_PAGES(level) << PAGE_SHIFT;
    mfn_t table = p->root;
    entry_t *up = NULL;
    if (level == 2 && !*p->codec->gigabyte)
        return;
    for (unsigned l = 4; l > level; l--) {
        up = slot_in(table, g, l);
        uint64_t next = load_relaxed(up);
        if (!is_present(p, next) || is_leaf(p, next, l))
            return;
        table = mfn_of(next);
    }
    const entry_t *entries = mfn_ptr(table);
    uint64_t first = load_relaxed(&entries[0]), index = g >> LEVEL_SHIFT(level) & 511;
    /* Most of the time these tell already. */
    if (load_relaxed(&entries[index]) != first + index * step || !is_present(p, first) || !is_leaf(p, first, level) ||
        mfn_of(first).n & (LEVEL_PAGES(level + 1) - 1))
        return;
    for (unsigned i = 1; i < 512; i++) {
        if (load_relaxed(&entries[i]) != first + i * step)
            return;
    }
    store_release(up, p->codec->leaf(mfn_of(first), type_of(p, first), level + 1));
    table_retire(p, table, level);
    p->walked = true;
    p->leaves[level] -= 512;
    p->leaves[level + 1]++;
}

/* --- changes --- */

static bool range_ok(uint64_t n, uint64_t count, uint64_t limit) { return count && n < limit && count <= limit - n; }

/* Makes the tables for the range; true: nothing can go wrong any more. */
static bool prepare_map(struct p2m *p, uint64_t g, uint64_t m, uint64_t count)
{
    for (uint64_t pages; count; g += pages, m += pages, count -= pages) {
        unsigned level = piece_level(p, g | m, count);
        pages = LEVEL_PAGES(level);
        if (!slot_make(p, g, level))
            return false;
    }
    return true;
}

static int mirror(struct p2m *p, uint64_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    if (!p->mirror)
        return 0;
    return DMA & TYPE(type) ? iommu_map(p->domain, g, m, count, DMA_WRITABLE & TYPE(type))
                            : iommu_unmap(p->domain, g, count);
}

static void map_locked(struct p2m *p, uint64_t g, uint64_t m, uint64_t count, enum p2m_type type)
{
    BUG_ON(!lock_check_held(&p->lock));
    struct batch b = { .p = p };
    uint64_t first = g, last = g + count - 1;
    for (uint64_t pages; count; g += pages, m += pages, count -= pages) {
        unsigned level = piece_level(p, g | m, count);
        entry_t *slot = slot_make(p, g, level);
        BUG_ON(!slot);
        set_entry(&b, slot, p->codec->leaf(mfn(m), type, level), level);
        pages = LEVEL_PAGES(level);
    }
    if (p->mirror && !b.flush)
        iommu_flush(p->domain);
    batch_finish(&b);
    /* Only at its ends can the range complete a larger entry: inside it has the largest ones already. */
    for (unsigned level = 1; level <= 2; level++) {
        join(p, first, level);
        if (first >> LEVEL_SHIFT(level + 1) != last >> LEVEL_SHIFT(level + 1))
            join(p, last, level);
    }
}

int p2m_map_range(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    if (!range_ok(g.n, count, P2M_PAGES) || !range_ok(m.n, count, 1ull << 40) || !type || type >= P2M_TYPES)
        return -EINVAL;
    spin_lock(&p->lock);
    int rc = prepare_map(p, g.n, m.n, count) ? 0 : -ENOMEM;
    if (!rc && (rc = mirror(p, g.n, m, count, type))) {
        /* Devices must not keep half of it. They lose what the range was before; processors do not. */
        if (iommu_unmap(p->domain, g.n, count) == 0)
            iommu_flush(p->domain);
    }
    if (!rc)
        map_locked(p, g.n, m.n, count, type);
    spin_unlock(&p->lock);
    return rc;
}

int p2m_map(struct p2m *p, gfn_t g, mfn_t m, unsigned order, enum p2m_type type)
{
    return order > 36 ? -EINVAL : p2m_map_range(p, g, m, 1ull << order, type);
}

static void unmap_locked(struct p2m *p, uint64_t g, uint64_t count)
{
    BUG_ON(!lock_check_held(&p->lock));
    struct batch b = { .p = p };
    uint64_t end = g + count;
    while (g < end) {
        mfn_t table = p->root;
        unsigned level = 4;
        uint64_t e;
        /* Down to a hole, or to what lies in the range as a whole. */
        while (e = load_relaxed(slot_in(table, g, level)), is_present(p, e)) {
            if (!(g & (LEVEL_PAGES(level) - 1)) && end - g >= LEVEL_PAGES(level))
                break;
            BUG_ON(is_leaf(p, e, level));
            table = mfn_of(e);
            level--;
        }
        if (is_present(p, e))
            set_entry(&b, slot_in(table, g, level), 0, level);
        g = (g | (LEVEL_PAGES(level) - 1)) + 1;
    }
    batch_finish(&b);
}

int p2m_unmap(struct p2m *p, gfn_t g, unsigned order)
{
    if (order > 36 || !range_ok(g.n, 1ull << order, P2M_PAGES))
        return -EINVAL;
    spin_lock(&p->lock);
    int rc = split_at(p, g.n) && split_at(p, g.n + (1ull << order)) ? 0 : -ENOMEM;
    if (!rc && p->mirror)
        rc = iommu_unmap(p->domain, g.n, 1ull << order);
    if (!rc)
        unmap_locked(p, g.n, 1ull << order);
    spin_unlock(&p->lock);
    return rc;
}

/* --- beginning and end --- */

int p2m_init(struct p2m *p, struct domain *d, const struct p2m_codec *codec)
{
    void *root = page_alloc();
    if (!root)
        return -ENOMEM;
    *p = (struct p2m){
        .root = ptr_mfn(root),
        .codec = codec,
        .domain = d,
        .tables = 1,
        .spare = { INVALID_MFN, INVALID_MFN, INVALID_MFN, INVALID_MFN },
    };
    spin_init(&p->lock, LOCK_P2M);
    return 0;
}

/* Drops references of the entry that was cleared last; false: the budget is used up. */
static bool drop_going(struct p2m *p, unsigned *budget)
{
    for (; p->going_count && *budget; p->going_count--, p->going.n++, (*budget)--)
        frame_put(p->going);
    return !p->going_count;
}

static bool free_table(struct p2m *p, mfn_t table, unsigned level, unsigned *budget)
{
    entry_t *entries = mfn_ptr(table);
    for (unsigned i = 0; i < 512; i++) {
        uint64_t e = load_relaxed(&entries[i]);
        if (!is_present(p, e))
            continue;
        if (!is_leaf(p, e, level)) {
            if (!free_table(p, mfn_of(e), level - 1, budget))
                return false;
            store_relaxed(&entries[i], 0);
            continue;
        }
        if (!*budget)
            return false;
        store_relaxed(&entries[i], 0);
        count_leaf(p, e, level, -1);
        if (COUNTED & TYPE(type_of(p, e))) {
            p->going = mfn_of(e);
            p->going_count = LEVEL_PAGES(level);
        } else {
            (*budget)--;
        }
        if (!drop_going(p, budget))
            return false;
    }
    page_free(mfn_ptr(table));
    p->tables--;
    return true;
}

static void free_spare(struct p2m *p)
{
    for (unsigned level = 1; level <= 3; level++) {
        for (mfn_t table; mfn_valid(table = p->spare[level]); p->tables--) {
            p->spare[level] = mfn(frame_gfn(table).n);
            page_free(mfn_ptr(table));
        }
    }
}

int p2m_free(struct p2m *p, unsigned budget)
{
    int rc = 0;
    spin_lock(&p->lock);
    if (mfn_valid(p->root)) {
        metal_flush_p2m(p->domain);
        if (!drop_going(p, &budget) || !free_table(p, p->root, 4, &budget))
            rc = -ERESTART;
    }
    if (!rc) {
        free_spare(p);
        p->root = INVALID_MFN;
    }
    spin_unlock(&p->lock);
    return rc;
}
