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

/*
 * AMD-Vi: read and write in bits 61 and 62, of all levels ANDed; leaves force coherence. Units ignore all bits of an
 * entry without the present bit, but QEMU 7.2 takes a translation that ends there for a silent one; with a next level
 * in it, it sees a fault and tells (amdvi.c, told_by_status).
 */
const struct io_codec amdvi_codec = {
    .empty = 1 << 9,
    .table = BIT(0) | BIT(61) | BIT(62),
    .leaf = BIT(0) | BIT(60) | BIT(61),
    .writable = BIT(62),
    .levels = true,
};

const struct io_codec vtd_codec = { .table = 3, .leaf = 1, .writable = BIT(1), .large = BIT(7) };

static uint64_t leaf_entry(const struct io_codec *c, paddr_t page, unsigned level, bool writable)
{
    return page | c->leaf | (level > 1 ? c->large : 0) | (writable ? c->writable : 0);
}

static bool is_leaf(const struct io_codec *c, uint64_t entry, unsigned level)
{
    return c->levels ? !(entry >> 9 & 7) : level == 1 || (entry & c->large);
}

void io_sync(const volatile void *start, size_t bytes)
{
    if (iommu_format.snooped)
        return;
    for (uintptr_t at = ROUND_DOWN((uintptr_t)start, 64); at < (uintptr_t)start + bytes; at += 64)
        __asm__ volatile("clflush %0" : : "m"(*(const volatile uint8_t *)at) : "memory");
    __asm__ volatile("mfence" : : : "memory");
}

static void entry_write(struct io_tree *t, uint64_t *at, uint64_t entry)
{
    t->dirty |= (*at & IO_PRESENT) || iommu_format.caches_nothing;
    *(volatile uint64_t *)at = entry;
    io_sync(at, sizeof(*at));
}

static uint64_t *entry_table(uint64_t entry) { return paddr_ptr(entry & IO_ADDRESS); }

/* A table with 512 entries from `entry`, each `step` above the one before. NULL: no memory. */
static uint64_t *table_new(uint64_t entry, uint64_t step)
{
    uint64_t *table = page_alloc();
    if (!table)
        return NULL;
    for (unsigned i = 0; entry && i < 512; i++)
        table[i] = entry + i * step;
    io_sync(table, PAGE_SIZE);
    return table;
}

int io_tree_init(struct io_tree *t)
{
    *t = (struct io_tree){ .root = table_new(iommu_format.codec->empty, 0), .dead = INVALID_MFN };
    return t->root ? 0 : -ENOMEM;
}

static void table_bury(struct io_tree *t, uint64_t *table, unsigned level)
{
    const struct io_codec *c = iommu_format.codec;
    for (unsigned i = 0; level > 1 && i < 512; i++)
        if ((table[i] & IO_PRESENT) && !is_leaf(c, table[i], level))
            table_bury(t, entry_table(table[i]), level - 1);
    frame_set_gfn(ptr_mfn(table), gfn(t->dead.n));
    t->dead = ptr_mfn(table);
}

/* The table below an entry: made, or made of the leaf that is there. */
static uint64_t *table_below(struct io_tree *t, uint64_t *at, unsigned level)
{
    const struct io_codec *c = iommu_format.codec;
    uint64_t entry = *at, fill = c->empty, step = 0;
    if ((entry & IO_PRESENT) && !is_leaf(c, entry, level))
        return entry_table(entry);
    if (entry & IO_PRESENT) {
        fill = leaf_entry(c, entry & IO_ADDRESS, level - 1, entry & c->writable);
        step = PAGE_SIZE << (9 * (level - 2));
    }
    uint64_t *table = table_new(fill, step);
    if (table)
        entry_write(t, at, ptr_paddr(table) | c->table | (c->levels ? (level - 1) << 9 : 0));
    return table;
}

static bool leaf_has(const struct io_codec *c, uint64_t entry, uint64_t offset, const struct io_run *r)
{
    return ((entry & IO_ADDRESS) >> PAGE_SHIFT) + offset == r->mfn && !(entry & c->writable) == !r->writable;
}

/* Whether the pages of the run below one entry are as wanted, or were made so by changing this entry. */
static bool entry_settle(struct io_tree *t, uint64_t *at, unsigned level, const struct io_run *r, uint64_t pages)
{
    const struct io_codec *c = iommu_format.codec;
    uint64_t old = *at, span = 1ull << (9 * (level - 1));
    bool present = old & IO_PRESENT, leaf = present && is_leaf(c, old, level);
    if (r->map ? leaf && leaf_has(c, old, r->dfn & (span - 1), r) : !present)
        return true;
    if (pages < span || (r->map && (level > iommu_format.max_leaf || (r->mfn & (span - 1)))))
        return false;
    entry_write(t, at, r->map ? leaf_entry(c, r->mfn << PAGE_SHIFT, level, r->writable) : c->empty);
    if (present && !leaf)
        table_bury(t, entry_table(old), level - 1);
    return true;
}

/* Recursion is as deep as the tree. */
static int table_change(struct io_tree *t, uint64_t *table, unsigned level, struct io_run *r)
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

int io_tree_change(struct io_tree *t, struct io_run r)
{
    uint64_t pages = 1ull << (9 * iommu_format.levels), frames = (IO_ADDRESS >> PAGE_SHIFT) + 1;
    /* What lies beyond the tree is not mapped. */
    if (!r.map)
        r.count = r.dfn < pages ? MIN(r.count, pages - r.dfn) : 0;
    else if (r.dfn >= pages || r.count > pages - r.dfn || r.mfn >= frames || r.count > frames - r.mfn)
        return -ERANGE;
    return r.count ? table_change(t, t->root, iommu_format.levels, &r) : 0;
}

void io_tree_clean(struct io_tree *t)
{
    while (mfn_valid(t->dead)) {
        mfn_t next = mfn(frame_gfn(t->dead).n);
        page_free(mfn_ptr(t->dead));
        t->dead = next;
    }
}
