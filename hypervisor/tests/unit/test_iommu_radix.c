/* SPDX-License-Identifier: GPL-2.0-or-later */
/* I/O page tables of both formats against an array of what should be mapped; entries bit by bit; exhaustion; no page
 * lost. */
/* sources: iommu/radix.c */
#include "../../iommu/unit.h"
#include "fake_metal.h"
#include <hv/frame.h>
#include <stdlib.h>
#include <string.h>

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

/* What a unit would find: the entry, its level in *level; 0: nothing. */
static uint64_t walk(const struct io_tree *t, uint64_t dfn, unsigned *level)
{
    const struct io_codec *c = t->format->codec;
    const uint64_t *table = t->root;
    for (*level = t->format->levels;; (*level)--) {
        uint64_t e = table[dfn >> (9 * (*level - 1)) & 511];
        if (!(e & c->present)) {
            CHECK(e == c->empty);
            return 0;
        }
        if (c->is_leaf(e, *level))
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
    CHECK(!(e & t->format->codec->writable) == !writable);
}

static unsigned level_of(const struct io_tree *t, uint64_t dfn)
{
    unsigned level;
    return walk(t, dfn, &level) ? level : 0;
}

static void finish(struct io_tree *t)
{
    io_tree_bury_all(t);
    io_dead_free(io_tree_take_dead(t));
    CHECK(in_use == 0);
}

static void test_sizes(const struct io_format *f)
{
    struct io_tree t;
    CHECK(io_tree_init(&t, f) == 0);
    /* 64 GiB less the first MiB and half a page table: edges in small pages, the middle in the largest. */
    uint64_t all = GIB(64) >> PAGE_SHIFT;
    CHECK(io_tree_map(&t, 256, mfn(256), all - 256, true) == 0);
    unsigned pages = in_use, top = f->max_leaf;
    CHECK(level_of(&t, 0) == 0 && level_of(&t, 256) == 1 && level_of(&t, 512) == MIN(2, top));
    CHECK(level_of(&t, 1 << 18) == top && level_of(&t, all - 1) == top && level_of(&t, all) == 0);
    if (top == 3)
        CHECK(pages <= 5);
    expect(&t, all - 1, all - 1, true);
    /* Again, as a whole and in part: nothing changes. */
    CHECK(io_tree_map(&t, 256, mfn(256), all - 256, true) == 0 && io_tree_map(&t, 1 << 18, mfn(1 << 18), 1, true) == 0);
    CHECK(in_use == pages && level_of(&t, 1 << 18) == top && !mfn_valid(t.dead));
    /* A hole splits; filling it with the whole makes it one again; the tables are dead, not free. */
    uint64_t hole = (2ull << 18) + 12345;
    CHECK(io_tree_unmap(&t, hole, 1) == 0 && level_of(&t, hole) == 0 && level_of(&t, hole + 1) == 1);
    expect(&t, hole - 1, hole - 1, true);
    expect(&t, hole + 512, hole + 512, true);
    CHECK(io_tree_map(&t, hole, mfn(7), 1, false) == 0);
    expect(&t, hole, 7, false);
    unsigned split = in_use;
    CHECK(split >= pages && io_tree_map(&t, 2ull << 18, mfn(2ull << 18), 1 << 18, true) == 0);
    CHECK(in_use == split && level_of(&t, hole) == top);
    io_dead_free(io_tree_take_dead(&t));
    CHECK(in_use == pages);
    /* Everything away. */
    CHECK(io_tree_unmap(&t, 0, all + 100) == 0 && level_of(&t, 256) == 0);
    io_dead_free(io_tree_take_dead(&t));
    /* Bounds. */
    uint64_t end = 1ull << (9 * f->levels);
    CHECK(io_tree_map(&t, end - 1, mfn(5), 1, true) == 0);
    expect(&t, end - 1, 5, true);
    CHECK(io_tree_map(&t, end - 1, mfn(5), 2, true) == -ERANGE && io_tree_map(&t, end, mfn(5), 1, true) == -ERANGE);
    CHECK(io_tree_map(&t, 0, mfn(1ull << 40), 1, true) == -ERANGE &&
          io_tree_map(&t, 1, mfn(1), ~0ull, true) == -ERANGE);
    CHECK(io_tree_map(&t, 1, mfn(1), 0, true) == 0 && level_of(&t, 1) == 0);
    finish(&t);
}

/* Random changes against a plain array. */
static void test_random(const struct io_format *f, unsigned seed)
{
    static uint64_t model[1 << 12];                 /* mfn * 2 + writable; 0: nothing */
    const uint64_t base = (1ull << 18) - (1 << 11); /* across a 1 GiB line */
    struct io_tree t;
    memset(model, 0, sizeof(model));
    CHECK(io_tree_init(&t, f) == 0);
    srand(seed);
    for (unsigned n = 0; n < 400; n++) {
        uint64_t first = rand() % ARRAY_SIZE(model), count = 1 + rand() % (rand() & 1 ? 8 : 2048);
        count = MIN(count, ARRAY_SIZE(model) - first);
        bool writable = rand() & 1;
        uint64_t to = rand() & 1 ? base + first : 1 + rand() % 100000;
        bool map = rand() % 3;
        CHECK((map ? io_tree_map(&t, base + first, mfn(to), count, writable)
                   : io_tree_unmap(&t, base + first, count)) == 0);
        for (uint64_t i = 0; i < count; i++)
            model[first + i] = map ? (to + i) * 2 + writable : 0;
        if (rand() % 8 == 0)
            io_dead_free(io_tree_take_dead(&t));
        for (unsigned i = 0; i < ARRAY_SIZE(model); i += 1 + rand() % 7)
            if (model[i])
                expect(&t, base + i, model[i] / 2, model[i] & 1);
            else
                CHECK(level_of(&t, base + i) == 0);
    }
    CHECK(level_of(&t, base - 1) == 0 && level_of(&t, base + ARRAY_SIZE(model)) == 0);
    finish(&t);
}

static void test_exhaustion(const struct io_format *f)
{
    struct io_tree t;
    limit = 0;
    CHECK(io_tree_init(&t, f) == -ENOMEM);
    limit = 1;
    CHECK(io_tree_init(&t, f) == 0);
    for (; io_tree_map(&t, 1000, mfn(1), 3, true); limit++)
        CHECK(limit < 10 && level_of(&t, 1000) == 0);
    CHECK(limit == f->levels);
    expect(&t, 1002, 3, true);
    limit = PAGES;
    finish(&t);
}

static void test_bits(void)
{
    CHECK(amdvi_codec.leaf(0x1234000, 2, true) == (0x1234000 | 1ull << 60 | 3ull << 61 | 1));
    CHECK(amdvi_codec.leaf(0x1234000, 1, false) == (0x1234000 | 1ull << 60 | 1ull << 61 | 1));
    CHECK(amdvi_codec.table(0x5000, 3) == (0x5000 | 3 << 9 | 3ull << 61 | 1));
    CHECK(amdvi_codec.empty != 0 && !(amdvi_codec.empty & 1));
    CHECK(vtd_codec.leaf(0x200000, 2, true) == 0x200083 && vtd_codec.leaf(0x1000, 1, false) == 0x1001);
    CHECK(vtd_codec.table(0x5000, 2) == 0x5003 && vtd_codec.empty == 0);
}

int main(void)
{
    static const struct io_format formats[] = {
        { .codec = &amdvi_codec, .levels = 4, .max_leaf = 3, .snooped = true },
        { .codec = &vtd_codec, .levels = 4, .max_leaf = 3, .snooped = true },
        { .codec = &vtd_codec, .levels = 3, .max_leaf = 2, .snooped = false },
    };
    fake_metal_init(16);
    test_bits();
    for (unsigned i = 0; i < ARRAY_SIZE(formats); i++) {
        test_sizes(&formats[i]);
        test_exhaustion(&formats[i]);
        for (unsigned seed = 1; seed <= 5; seed++)
            test_random(&formats[i], seed);
    }
    /* Only small pages: 1 MiB across a 2 MiB line. */
    struct io_format small = { .codec = &vtd_codec, .levels = 3, .max_leaf = 1, .snooped = true };
    test_random(&small, 9);
    return 0;
}
