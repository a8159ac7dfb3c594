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

static bool is_table(const struct p2m *p, uint64_t e, unsigned level)
{
    return is_present(p, e) && !is_leaf(p, e, level);
}

static enum p2m_type type_of(const struct p2m *p, uint64_t e) { return e >> p->codec->type_shift & P2M_TYPE_MASK; }

static mfn_t mfn_of(uint64_t e) { return paddr_mfn(e & P2M_ADDRESS); }

static uint64_t leaf_entry(const struct p2m *p, mfn_t m, enum p2m_type type, unsigned level)
{
    const struct p2m_codec *c = p->codec;
    return mfn_paddr(m) | c->rights[type] | (uint64_t)type << c->type_shift | (level > 1 ? c->large : 0);
}

static uint64_t pages_of(const struct p2m *p) { return LEVEL_PAGES(p->levels + 1); }

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

/* The entry that decides about g, and its level. No loop and no call: this is under each guest memory access. */
static inline __attribute__((always_inline)) uint64_t walk(const struct p2m *p, uint64_t g, unsigned *level)
{
    const uint64_t present = p->codec->present, large = p->codec->large;
    uint64_t reused, e;
    /* Once more if a table was taken for something else meanwhile. Somebody split an entry then, which takes far longer
     * than this: it does not go on for ever. */
    do {
        reused = load_acquire(&p->reused);
        e = entry_in(mfn_paddr(p->root), g, *level = 4);
        if (e & present)
            e = entry_in(e & P2M_ADDRESS, g, *level = 3);
        if (*level == 3 && e & present && !(e & large))
            e = entry_in(e & P2M_ADDRESS, g, *level = 2);
        if (*level == 2 && e & present && !(e & large))
            e = entry_in(e & P2M_ADDRESS, g, *level = 1);
    } while (unlikely(load_relaxed(&p->reused) != reused));
    return e;
}

struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g)
{
    unsigned level;
    if (unlikely(g.n >= P2M_PAGES))
        return (struct p2m_entry){ INVALID_MFN, P2M_NONE, 0 };
    uint64_t e = walk(p, g.n, &level);
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
        uint64_t e = walk(p, g.n, &level);
        enum p2m_type type = type_of(p, e);
        if (!is_present(p, e) || !(wanted & TYPE(type)))
            return INVALID_MFN;
        mfn_t m = mfn(mfn_of(e).n + (g.n & (LEVEL_PAGES(level) - 1)));
        if (!frame_get(m, TYPE(type) & OTHERS ? frame_owner(m) : p->domain->id))
            continue;
        if (likely(walk(p, g.n, &again) == e))
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
    if (p->domain)
        metal_flush_p2m(p->domain);
    p->walked = !p->domain && !p->codec->flush();
}

static void batch_finish(struct batch *b)
{
    if (b->flush)
        flush(b->p);
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
    if (!p->domain || !(COUNTED & TYPE(type_of(p, e))))
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
    p->walked = true;
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

static void entry_write(const struct p2m *p, entry_t *slot, uint64_t e)
{
    store_release(slot, e); /* pairs with walk() */
    if (p->codec->sync)
        p->codec->sync(slot, sizeof(*slot));
}

/* Writes an entry at `level` and gathers what it replaces. */
static void set_entry(struct batch *b, entry_t *slot, uint64_t e, unsigned level)
{
    uint64_t old = load_relaxed(slot);
    entry_write(b->p, slot, e);
    if (is_present(b->p, e))
        count_leaf(b->p, e, level, 1);
    if (is_table(b->p, old, level))
        batch_table(b, mfn_of(old), level - 1);
    else if (is_present(b->p, old))
        batch_leaf(b, old, level);
}

/* --- tables --- */

/* A table for entries of `level`, with the contents of `old`, an entry of the level above: 512 pieces, or nothing. */
static mfn_t table_make(struct p2m *p, uint64_t old, unsigned level)
{
    mfn_t table = p->spare[level];
    if (mfn_valid(table) && p->walked)
        flush(p);
    if (mfn_valid(table) && !p->walked) {
        p->spare[level] = mfn(frame_gfn(table).n);
        /* Before it changes: pairs with walk(). */
        atomic_fetch_add_explicit(&p->reused, 1, memory_order_seq_cst);
    } else {
        void *page = page_alloc();
        if (!page)
            return INVALID_MFN;
        table = ptr_mfn(page);
        p->tables++;
    }
    entry_t *entries = mfn_ptr(table);
    uint64_t e = p->codec->empty, step = 0;
    if (is_present(p, old)) {
        e = leaf_entry(p, mfn_of(old), type_of(p, old), level);
        step = LEVEL_PAGES(level) << PAGE_SHIFT;
        p->leaves[level + 1]--;
        p->leaves[level] += 512;
    }
    for (unsigned i = 0; i < 512; i++, e += step)
        store_release(&entries[i], e);
    if (p->codec->sync)
        p->codec->sync(entries, PAGE_SIZE);
    return table;
}

/* The slot that decides about g, not below *level, which becomes its own. */
static entry_t *slot_find(const struct p2m *p, uint64_t g, unsigned *level)
{
    mfn_t table = p->root;
    unsigned l = p->levels;
    for (uint64_t e; l > *level && is_table(p, e = load_relaxed(slot_in(table, g, l)), l); l--)
        table = mfn_of(e);
    *level = l;
    return slot_in(table, g, l);
}

/* The slot for g at `level`, with tables made and leaves split on the way; NULL: no memory. */
static entry_t *slot_make(struct p2m *p, uint64_t g, unsigned level)
{
    for (;;) {
        unsigned l = level;
        entry_t *slot = slot_find(p, g, &l);
        if (l == level)
            return slot;
        mfn_t table = table_make(p, load_relaxed(slot), l - 1);
        if (!mfn_valid(table))
            return NULL;
        entry_write(p, slot, mfn_paddr(table) | p->codec->table | (l - 1) * p->codec->table_level);
    }
}

/* The level, at most `largest`, of the largest entry that can begin a range of `count` pages; `bits` are those of g and
 * what it maps to. */
static unsigned piece_level(uint64_t bits, uint64_t count, unsigned largest)
{
    while (largest > 1 && (bits & (LEVEL_PAGES(largest) - 1) || count < LEVEL_PAGES(largest)))
        largest--;
    return largest;
}

/* Splits a leaf that has `g` inside, so that one begins there. */
static bool split_at(struct p2m *p, uint64_t g)
{
    unsigned fits = piece_level(g, ~0ull, p->levels), level = fits;
    entry_t *slot = slot_find(p, g, &level);
    return level == fits || !is_present(p, load_relaxed(slot)) || slot_make(p, g, fits);
}

/* --- joining --- */

/* One entry instead of the 512 of the table that has g's entry of `level`, if they are pieces of one. */
static void join(struct p2m *p, uint64_t g, unsigned level)
{
    uint64_t step = LEVEL_PAGES(level) << PAGE_SHIFT;
    unsigned l = level + 1;
    entry_t *up = slot_find(p, g, &l);
    mfn_t table = mfn_of(load_relaxed(up));
    if (level == *p->codec->largest || l > level + 1 || !is_table(p, load_relaxed(up), l))
        return;
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
    entry_write(p, up, leaf_entry(p, mfn_of(first), type_of(p, first), level + 1));
    table_retire(p, table, level);
    p->leaves[level] -= 512;
    p->leaves[level + 1]++;
}

/* Only at its ends can a range that was mapped complete a larger entry: inside it has the largest ones already. */
static void join_ends(struct p2m *p, uint64_t first, uint64_t last)
{
    for (unsigned level = 1; level <= 2; level++) {
        join(p, first, level);
        if (first >> LEVEL_SHIFT(level + 1) != last >> LEVEL_SHIFT(level + 1))
            join(p, last, level);
    }
}

/* --- changes --- */

static bool range_ok(uint64_t n, uint64_t count, uint64_t limit) { return count && n < limit && count <= limit - n; }

/* Type P2M_NONE: only makes the tables, after which nothing can go wrong any more. */
static bool map_pieces(struct batch *b, uint64_t g, uint64_t m, uint64_t count, enum p2m_type type)
{
    for (uint64_t pages; count; g += pages, m += pages, count -= pages) {
        unsigned level = piece_level(g | m, count, *b->p->codec->largest);
        entry_t *slot = slot_make(b->p, g, level);
        if (!slot)
            return false;
        if (type != P2M_NONE)
            set_entry(b, slot, leaf_entry(b->p, mfn(m), type, level), level);
        pages = LEVEL_PAGES(level);
    }
    return true;
}

static void unmap_locked(struct p2m *p, uint64_t g, uint64_t end)
{
    BUG_ON(!lock_check_held(&p->lock));
    struct batch b = { .p = p };
    while (g < end) {
        /* A hole, or what lies in the range as a whole. */
        unsigned fits = piece_level(g, end - g, p->levels), level = fits;
        entry_t *slot = slot_find(p, g, &level);
        if (is_present(p, load_relaxed(slot))) {
            BUG_ON(level > fits);
            set_entry(&b, slot, p->codec->empty, level);
        }
        g = (g | (LEVEL_PAGES(level) - 1)) + 1;
    }
    batch_finish(&b);
}

/* Devices follow, before the processors do. */
static int mirror(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    struct p2m *to = p->mirror;
    if (!to)
        return 0;
    if (DMA & TYPE(type))
        return p2m_map(to, g, m, count, DMA_WRITABLE & TYPE(type) ? P2M_RAM : P2M_RAM_RO);
    /* Where there was nothing for them, they keep what firmware reserved. */
    struct p2m_entry was = p2m_lookup(p, g);
    bool nothing = !(DMA & TYPE(was.type)) && g.n >> was.order == (g.n + count - 1) >> was.order;
    return nothing || g.n >= pages_of(to) ? 0 : p2m_unmap(to, g, MIN(count, pages_of(to) - g.n));
}

int p2m_map(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type)
{
    if (!range_ok(g.n, count, pages_of(p)) || !range_ok(m.n, count, 1ull << 40) || !type || type >= P2M_TYPES)
        return -EINVAL;
    struct batch b = { .p = p, .flush = p->holes_cached };
    spin_lock(&p->lock);
    int rc = map_pieces(&b, g.n, m.n, count, P2M_NONE) ? mirror(p, g, m, count, type) : -ENOMEM;
    if (!rc) {
        bool all = map_pieces(&b, g.n, m.n, count, type);
        BUG_ON(!all);
        batch_finish(&b);
        join_ends(p, g.n, g.n + count - 1);
    }
    spin_unlock(&p->lock);
    return rc;
}

int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count)
{
    if (!range_ok(g.n, count, pages_of(p)))
        return -EINVAL;
    uint64_t end = g.n + count;
    spin_lock(&p->lock);
    int rc = split_at(p, g.n) && split_at(p, end) ? mirror(p, g, INVALID_MFN, count, P2M_NONE) : -ENOMEM;
    if (!rc)
        unmap_locked(p, g.n, end);
    spin_unlock(&p->lock);
    return rc;
}

/* --- beginning and end --- */

int p2m_init(struct p2m *p, struct domain *d, const struct p2m_codec *codec)
{
    mfn_t none = INVALID_MFN;
    *p = (struct p2m){ .codec = codec, .domain = d, .spare = { none, none, none, none, none } };
    spin_init(&p->lock, d ? LOCK_P2M : LOCK_IOMMU);
    p->root = table_make(p, codec->empty, 4);
    p->levels = mfn_valid(p->root) ? 4 : 0;
    return p->levels ? 0 : -ENOMEM;
}

int p2m_clear(struct p2m *p, unsigned budget)
{
    spin_lock(&p->lock);
    for (; budget && p->cleared < pages_of(p); budget--) {
        uint64_t g = p->cleared;
        struct p2m_entry e = p2m_lookup(p, gfn(g));
        /* 1 GiB in pieces, but for when there is no memory to split it. */
        bool split = e.type != P2M_NONE && e.order > 9 && split_at(p, g + LEVEL_PAGES(2));
        p->cleared = g + (split ? LEVEL_PAGES(2) : 1ull << MAX(e.order, LEVEL_SHIFT(2)));
        unmap_locked(p, g, p->cleared);
    }
    int rc = p->cleared < pages_of(p) ? -ERESTART : 0;
    spin_unlock(&p->lock);
    return rc;
}

void p2m_free(struct p2m *p)
{
    if (!p->levels)
        return;
    spin_lock(&p->lock);
    unmap_locked(p, 0, pages_of(p));
    table_retire(p, p->root, 4);
    spin_unlock(&p->lock);
    for (unsigned level = 1; level <= 4; level++) {
        for (mfn_t table; mfn_valid(table = p->spare[level]); page_free(mfn_ptr(table)))
            p->spare[level] = mfn(frame_gfn(table).n);
    }
}
