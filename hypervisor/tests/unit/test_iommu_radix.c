/* SPDX-License-Identifier: GPL-2.0-or-later */
/* I/O page tables of both formats against an array of what should be mapped; entries bit by bit; exhaustion; no page
 * lost. */
/* sources: iommu/radix.c */
#include "../../iommu/unit.h"
#include "fake_metal.h"
#include <hv/frame.h>
#include <stdlib.h>
#include <string.h>

struct io_format iommu_format;

#define PAGES 4096
static uint64_t links[PAGES];
static bool taken[PAGES];
static unsigned in_use, limit = PAGES;

void *page_alloc(void)
{
    for (unsigned i = 256; in_use < limit && i < PAGES; i++)
        if (!taken[i]) {
            taken[i] = true;
            in_use++;
            return memset(paddr_ptr((uint64_t)i << PAGE_SHIFT), 0, PAGE_SIZE);
        }
    return NULL;
}

void page_free(void *page)
{
    uint64_t n = ptr_mfn(page).n;
    CHECK(n < PAGES && taken[n]);
    taken[n] = false;
    in_use--;
}

gfn_t frame_gfn(mfn_t m) { return gfn(links[m.n]); }
void frame_set_gfn(mfn_t m, gfn_t g) { links[m.n] = g.n; }

static int map(struct io_tree *t, uint64_t dfn, uint64_t mfn, uint64_t count, bool writable)
{
    return io_tree_change(t, (struct io_run){ dfn, mfn, count, true, writable });
}

static int unmap(struct io_tree *t, uint64_t dfn, uint64_t count)
{
    return io_tree_change(t, (struct io_run){ .dfn = dfn, .count = count });
}

/* What a unit would find: the entry, its level in *level; 0: nothing. */
static uint64_t walk(const struct io_tree *t, uint64_t dfn, unsigned *level)
{
    const struct io_codec *c = iommu_format.codec;
    const uint64_t *table = t->root;
    for (*level = iommu_format.levels;; (*level)--) {
        uint64_t e = table[dfn >> (9 * (*level - 1)) & 511];
        if (!(e & IO_PRESENT)) {
            CHECK(e == c->empty);
            return 0;
        }
        if (c->levels ? !(e >> 9 & 7) : *level == 1 || (e & c->large))
            return e;
        CHECK(*level > 1);
        if (c == &amdvi_codec)
            CHECK((e >> 9 & 7) == *level - 1);
        table = paddr_ptr(e & IO_ADDRESS);
    }
}

static void expect(const struct io_tree *t, uint64_t dfn, uint64_t mfn, bool writable)
{
    unsigned level;
    uint64_t e = walk(t, dfn, &level);
    CHECK(e && ((e & IO_ADDRESS) >> PAGE_SHIFT) + (dfn & ((1ull << (9 * (level - 1))) - 1)) == mfn);
    CHECK(!(e & iommu_format.codec->writable) == !writable);
}

static unsigned level_of(const struct io_tree *t, uint64_t dfn)
{
    unsigned level;
    return walk(t, dfn, &level) ? level : 0;
}

static void finish(struct io_tree *t)
{
    CHECK(unmap(t, 0, 1ull << (9 * iommu_format.levels)) == 0);
    io_tree_clean(t);
    page_free(t->root);
    CHECK(in_use == 0);
}

static void test_sizes(void)
{
    struct io_tree t;
    CHECK(io_tree_init(&t) == 0);
    /* 64 GiB less the first MiB and half a page table: edges in small pages, the middle in the largest. */
    uint64_t all = GIB(64) >> PAGE_SHIFT;
    CHECK(map(&t, 256, 256, all - 256, true) == 0);
    unsigned pages = in_use, top = iommu_format.max_leaf;
    CHECK(level_of(&t, 0) == 0 && level_of(&t, 256) == 1 && level_of(&t, 512) == MIN(2, top));
    CHECK(level_of(&t, 1 << 18) == top && level_of(&t, all - 1) == top && level_of(&t, all) == 0);
    if (top == 3)
        CHECK(pages <= 5);
    expect(&t, all - 1, all - 1, true);
    /* Again, as a whole and in part: nothing changes. */
    CHECK(map(&t, 256, 256, all - 256, true) == 0 && map(&t, 1 << 18, 1 << 18, 1, true) == 0);
    CHECK(in_use == pages && level_of(&t, 1 << 18) == top && !mfn_valid(t.dead));
    /* A hole splits; filling it with the whole makes it one again; the tables are dead, not free. */
    uint64_t hole = (2ull << 18) + 12345;
    CHECK(unmap(&t, hole, 1) == 0 && level_of(&t, hole) == 0 && level_of(&t, hole + 1) == 1);
    expect(&t, hole - 1, hole - 1, true);
    expect(&t, hole + 512, hole + 512, true);
    CHECK(map(&t, hole, 7, 1, false) == 0);
    expect(&t, hole, 7, false);
    unsigned split = in_use;
    CHECK(split >= pages && map(&t, 2ull << 18, 2ull << 18, 1 << 18, true) == 0);
    CHECK(in_use == split && level_of(&t, hole) == top);
    io_tree_clean(&t);
    CHECK(in_use == pages);
    /* Everything away. */
    CHECK(unmap(&t, 0, all + 100) == 0 && level_of(&t, 256) == 0);
    io_tree_clean(&t);
    /* Bounds. */
    uint64_t end = 1ull << (9 * iommu_format.levels);
    CHECK(map(&t, end - 1, 5, 1, true) == 0);
    expect(&t, end - 1, 5, true);
    CHECK(map(&t, end - 1, 5, 2, true) == -ERANGE && map(&t, end, 5, 1, true) == -ERANGE);
    CHECK(map(&t, 0, 1ull << 40, 1, true) == -ERANGE && map(&t, 1, 1, ~0ull, true) == -ERANGE);
    CHECK(map(&t, 1, 1, 0, true) == 0 && level_of(&t, 1) == 0);
    finish(&t);
}

/* Random changes against a plain array. */
static void test_random(unsigned seed)
{
    static uint64_t model[1 << 12];                 /* mfn * 2 + writable; 0: nothing */
    const uint64_t base = (1ull << 18) - (1 << 11); /* across a 1 GiB line */
    struct io_tree t;
    memset(model, 0, sizeof(model));
    CHECK(io_tree_init(&t) == 0);
    srand(seed);
    for (unsigned n = 0; n < 400; n++) {
        uint64_t first = rand() % ARRAY_SIZE(model), count = 1 + rand() % (rand() & 1 ? 8 : 2048);
        count = MIN(count, ARRAY_SIZE(model) - first);
        bool writable = rand() & 1;
        uint64_t to = rand() & 1 ? base + first : 1u + rand() % 100000;
        bool mapped = rand() % 3;
        CHECK((mapped ? map(&t, base + first, to, count, writable) : unmap(&t, base + first, count)) == 0);
        for (uint64_t i = 0; i < count; i++)
            model[first + i] = mapped ? (to + i) * 2 + writable : 0;
        if (rand() % 8 == 0)
            io_tree_clean(&t);
        for (unsigned i = 0; i < ARRAY_SIZE(model); i += 1 + rand() % 7)
            if (model[i])
                expect(&t, base + i, model[i] / 2, model[i] & 1);
            else
                CHECK(level_of(&t, base + i) == 0);
    }
    CHECK(level_of(&t, base - 1) == 0 && level_of(&t, base + ARRAY_SIZE(model)) == 0);
    finish(&t);
}

static void test_exhaustion(void)
{
    struct io_tree t;
    limit = 0;
    CHECK(io_tree_init(&t) == -ENOMEM);
    limit = 1;
    CHECK(io_tree_init(&t) == 0);
    for (; map(&t, 1000, 1, 3, true); limit++)
        CHECK(limit < 10 && level_of(&t, 1000) == 0);
    CHECK(limit == iommu_format.levels);
    expect(&t, 1002, 3, true);
    limit = PAGES;
    finish(&t);
}

/* Entries bit by bit: one page and 2 MiB, below tables of two levels. */
static void test_bits(uint64_t table, uint64_t page, uint64_t large)
{
    struct io_tree t;
    CHECK(io_tree_init(&t) == 0 && map(&t, 1, 0x1234, 1, false) == 0 && map(&t, 512, 0x200, 512, true) == 0);
    uint64_t top = t.root[0], *third = paddr_ptr(top & IO_ADDRESS), *second = paddr_ptr(third[0] & IO_ADDRESS);
    uint64_t *first = paddr_ptr(second[0] & IO_ADDRESS);
    CHECK((top & ~IO_ADDRESS) == (table | (iommu_format.codec->levels ? 3 << 9 : 0)) && top & IO_ADDRESS);
    CHECK((second[0] & ~IO_ADDRESS) == (table | (iommu_format.codec->levels ? 1 << 9 : 0)));
    CHECK(first[1] == (0x1234000 | page) && second[1] == (0x200000 | large) && first[2] == iommu_format.codec->empty);
    CHECK(!(iommu_format.codec->empty & IO_PRESENT));
    finish(&t);
}

int main(void)
{
    static const struct io_format formats[] = {
        { .codec = &amdvi_codec, .levels = 4, .max_leaf = 3, .snooped = true },
        { .codec = &vtd_codec, .levels = 4, .max_leaf = 3, .snooped = true },
        { .codec = &vtd_codec, .levels = 3, .max_leaf = 2, .snooped = false },
    };
    fake_metal_init(16);
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        iommu_format = formats[i];
        if (i == 0)
            test_bits(3ull << 61 | 1, 3ull << 60 | 1, 7ull << 60 | 1);
        if (i == 1)
            test_bits(3, 1, 0x83);
        test_sizes();
        test_exhaustion();
        for (unsigned seed = 1; seed <= 5; seed++)
            test_random(seed);
    }
    /* Only small pages: 1 MiB across a 2 MiB line. */
    iommu_format.max_leaf = 1;
    test_random(9);
    return 0;
}
