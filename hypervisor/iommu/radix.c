/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * I/O page tables: one builder of radix trees for both formats, AMD's host tables (48882, 2.2.3) and VT-d's second
 * level (VT-d 3.7, 9.8). Largest leaves that alignment and the units allow; split when part of one changes, and a table
 * gives way to a leaf when all of it is mapped as one.
 *
 * Entries are written in one piece, so units may walk meanwhile. A table that is no longer used is only listed as dead,
 * contents unchanged: a unit may hold a pointer to it until it was flushed. The caller locks.
 */
#include "unit.h"

#include <hv/frame.h>

struct run {
    uint64_t dfn, mfn, count;
    bool map, writable;
};

static uint64_t amdvi_table(paddr_t next, unsigned level)
{
    /* Permissions of all levels are ANDed. */
    return next | level << 9 | BIT(61) | BIT(62) | BIT(0);
}

static uint64_t amdvi_leaf(paddr_t page, unsigned level, bool writable)
{
    /* Next level 0, force coherent, read, write. */
    return page | BIT(60) | BIT(61) | (writable ? BIT(62) : 0) | BIT(0);
}

static bool amdvi_is_leaf(uint64_t entry, unsigned level) { return (entry >> 9 & 7) == 0; }

/*
 * Units ignore all bits of an entry without the present bit, but QEMU 7.2 takes a translation that ends there for a
 * silent one; with a next level in it, it sees a fault and tells (amdvi.c, told_by_status).
 */
const struct io_codec amdvi_codec = {
    .empty = 1 << 9,
    .present = BIT(0),
    .writable = BIT(62),
    .table = amdvi_table,
    .leaf = amdvi_leaf,
    .is_leaf = amdvi_is_leaf,
};

static uint64_t vtd_table(paddr_t next, unsigned level) { return next | 3; }

static uint64_t vtd_leaf(paddr_t page, unsigned level, bool writable)
{
    return page | (level > 1 ? BIT(7) : 0) | (writable ? 3 : 1);
}

static bool vtd_is_leaf(uint64_t entry, unsigned level) { return level == 1 || (entry & BIT(7)); }

const struct io_codec vtd_codec = {
    .present = BIT(0),
    .writable = BIT(1),
    .table = vtd_table,
    .leaf = vtd_leaf,
    .is_leaf = vtd_is_leaf,
};

void io_sync(const struct io_format *format, const volatile void *start, size_t bytes)
{
    if (format->snooped)
        return;
    for (uintptr_t at = ROUND_DOWN((uintptr_t)start, 64); at < (uintptr_t)start + bytes; at += 64)
        __asm__ volatile("clflush %0" : : "m"(*(const volatile uint8_t *)at) : "memory");
    __asm__ volatile("mfence" : : : "memory");
}

static void entry_write(struct io_tree *t, uint64_t *at, uint64_t entry)
{
    t->changes += (*at & t->format->codec->present) || t->format->caches_nothing;
    *(volatile uint64_t *)at = entry;
    io_sync(t->format, at, sizeof(*at));
}

static uint64_t *entry_table(uint64_t entry) { return paddr_ptr(entry & IO_ADDRESS); }

/* A table with 512 entries from `entry`, each `step` above the one before. NULL: no memory. */
static uint64_t *table_new(struct io_tree *t, uint64_t entry, uint64_t step)
{
    uint64_t *table = page_alloc();
    if (!table)
        return NULL;
    for (unsigned i = 0; entry && i < 512; i++)
        table[i] = entry + i * step;
    io_sync(t->format, table, PAGE_SIZE);
    return table;
}

int io_tree_init(struct io_tree *t, const struct io_format *format)
{
    t->format = format;
    t->dead = INVALID_MFN;
    t->root = table_new(t, format->codec->empty, 0);
    return t->root ? 0 : -ENOMEM;
}

static void table_bury(struct io_tree *t, uint64_t *table, unsigned level)
{
    const struct io_codec *c = t->format->codec;
    for (unsigned i = 0; level > 1 && i < 512; i++)
        if ((table[i] & c->present) && !c->is_leaf(table[i], level))
            table_bury(t, entry_table(table[i]), level - 1);
    frame_set_gfn(ptr_mfn(table), gfn(t->dead.n));
    t->dead = ptr_mfn(table);
}

/* The table below an entry: made, or made of the leaf that is there. */
static uint64_t *table_below(struct io_tree *t, uint64_t *at, unsigned level)
{
    const struct io_codec *c = t->format->codec;
    uint64_t entry = *at, fill = c->empty, step = 0;
    if ((entry & c->present) && !c->is_leaf(entry, level))
        return entry_table(entry);
    if (entry & c->present) {
        fill = c->leaf(entry & IO_ADDRESS & ~(PAGE_SIZE - 1), level - 1, entry & c->writable);
        step = PAGE_SIZE << (9 * (level - 2));
    }
    uint64_t *table = table_new(t, fill, step);
    if (table)
        entry_write(t, at, c->table(ptr_paddr(table), level - 1));
    return table;
}

static bool leaf_has(const struct io_codec *c, uint64_t entry, uint64_t offset, const struct run *r)
{
    return ((entry & IO_ADDRESS) >> PAGE_SHIFT) + offset == r->mfn && !(entry & c->writable) == !r->writable;
}

/* Whether the pages of the run below one entry are as wanted, or were made so by changing this entry. */
static bool entry_settle(struct io_tree *t, uint64_t *at, unsigned level, const struct run *r, uint64_t pages)
{
    const struct io_codec *c = t->format->codec;
    uint64_t old = *at, span = 1ull << (9 * (level - 1));
    bool present = old & c->present, leaf = present && c->is_leaf(old, level);
    if (r->map ? leaf && leaf_has(c, old, r->dfn & (span - 1), r) : !present)
        return true;
    if (pages < span || (r->map && (level > t->format->max_leaf || (r->mfn & (span - 1)))))
        return false;
    entry_write(t, at, r->map ? c->leaf(r->mfn << PAGE_SHIFT, level, r->writable) : c->empty);
    if (present && !leaf)
        table_bury(t, entry_table(old), level - 1);
    return true;
}

/* Recursion is as deep as the tree. */
static int table_change(struct io_tree *t, uint64_t *table, unsigned level, struct run *r)
{
    unsigned shift = 9 * (level - 1);
    do {
        uint64_t *at = &table[r->dfn >> shift & 511];
        uint64_t span = 1ull << shift, pages = MIN(r->count, span - (r->dfn & (span - 1)));
        if (entry_settle(t, at, level, r, pages)) {
            r->dfn += pages;
            r->mfn += pages;
            r->count -= pages;
            continue;
        }
        uint64_t *below = table_below(t, at, level);
        int rc = below ? table_change(t, below, level - 1, r) : -ENOMEM;
        if (rc)
            return rc;
    } while (r->count && (r->dfn >> shift & 511));
    return 0;
}

static int tree_change(struct io_tree *t, struct run r)
{
    uint64_t pages = 1ull << (9 * t->format->levels), frames = (IO_ADDRESS >> PAGE_SHIFT) + 1;
    if (r.dfn >= pages || r.count > pages - r.dfn || r.mfn >= frames || r.count > frames - r.mfn)
        return -ERANGE;
    return r.count ? table_change(t, t->root, t->format->levels, &r) : 0;
}

int io_tree_map(struct io_tree *t, uint64_t dfn, mfn_t m, uint64_t count, bool writable)
{
    return tree_change(t, (struct run){ .dfn = dfn, .mfn = m.n, .count = count, .map = true, .writable = writable });
}

/* What lies beyond the tree is not mapped. */
int io_tree_unmap(struct io_tree *t, uint64_t dfn, uint64_t count)
{
    uint64_t pages = 1ull << (9 * t->format->levels);
    if (dfn >= pages)
        return 0;
    count = MIN(count, pages - dfn);
    return tree_change(t, (struct run){ .dfn = dfn, .count = count });
}

mfn_t io_tree_take_dead(struct io_tree *t)
{
    mfn_t dead = t->dead;
    t->dead = INVALID_MFN;
    return dead;
}

void io_dead_free(mfn_t dead)
{
    while (mfn_valid(dead)) {
        mfn_t next = mfn(frame_gfn(dead).n);
        page_free(mfn_ptr(dead));
        dead = next;
    }
}

void io_tree_bury_all(struct io_tree *t)
{
    table_bury(t, t->root, t->format->levels);
    t->root = NULL;
}
