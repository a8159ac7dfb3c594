/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: mem/p2m.c mem/frame.c hvm/npt.c */
/* The p2m on a fake memory: entry sizes, splits and joins, references, what devices see, exhaustion, lookups meanwhile.
 */
#include "fake_metal.h"

#include "../../hvm/hvm.h"
#include <hv/domain.h>
#include <hv/frame.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct domain dom = { .id = 4 }, other = { .id = 6 };
static struct p2m *const p = &dom.p2m;

static int block_map(struct p2m *to, gfn_t g, mfn_t m, unsigned order, enum p2m_type type)
{
    return p2m_map(to, g, m, 1ull << order, type);
}

static int block_unmap(struct p2m *from, gfn_t g, unsigned order) { return p2m_unmap(from, g, 1ull << order); }

/* What devices see: three levels, 2 MiB, as AMD's format. */
static struct p2m devices;
static unsigned device_flushes, device_syncs;
static bool device_stuck;

static bool device_flush(void)
{
    CHECK(lock_check_held(&devices.lock));
    device_flushes++;
    return !device_stuck;
}

static void device_sync(const volatile void *start, size_t bytes) { device_syncs++; }

static const uint8_t device_largest = 2;
static const struct p2m_codec device_codec = {
    .rights = { [P2M_RAM] = 0x7000000000000001, [P2M_RAM_RO] = 0x3000000000000001 },
    .empty = 1 << 9,
    .table = 0x6000000000000001,
    .table_level = 1 << 9,
    .present = 1,
    .large = 0x80,
    .type_shift = 1,
    .largest = &device_largest,
    .flush = device_flush,
    .sync = device_sync,
};

/* The entry that decides about g, its level in *level. */
static uint64_t device_entry(uint64_t g, unsigned *level)
{
    mfn_t table = devices.root;
    for (*level = devices.levels;; (*level)--) {
        uint64_t e = ((uint64_t *)mfn_ptr(table))[g >> (9 * *level - 9) & 511];
        if (!(e & 1) || !(e >> 9 & 7))
            return e;
        CHECK((e >> 9 & 7) == *level - 1u && e >> 61 == 3);
        table = paddr_mfn(e & P2M_ADDRESS);
    }
}

static bool device_sees(uint64_t g, uint64_t m, bool writable, unsigned want)
{
    unsigned level;
    uint64_t e = device_entry(g, &level);
    return level == want && e >> 60 == (writable ? 7 : 3) &&
           paddr_mfn(e & P2M_ADDRESS).n + (g & ((1 << (9 * level - 9)) - 1)) == m;
}

static bool device_blind(uint64_t g)
{
    unsigned level;
    return device_entry(g, &level) == 1 << 9;
}

static uint64_t free_pages(void)
{
    struct frame_stats s;
    frame_stats(&s);
    return s.free;
}

static bool maps_to(uint64_t g, uint64_t m, enum p2m_type type, unsigned order)
{
    struct p2m_entry e = p2m_lookup(p, gfn(g));
    return e.mfn.n == m && e.type == type && e.order == order;
}

static mfn_t take(unsigned order)
{
    mfn_t m = frame_alloc(order, dom.id);
    CHECK(mfn_valid(m));
    return m;
}

static void start(bool gigabyte)
{
    npt_init(gigabyte);
    CHECK(p2m_init(p, &dom, &npt_codec) == 0);
}

static void finish(void)
{
    p2m_free(p);
    CHECK(!p->leaves[1] && !p->leaves[2] && !p->leaves[3] && !p->ram);
}

static void test_sizes(void)
{
    start(true);
    CHECK(block_map(p, gfn(1 << 18), mfn(5ull << 18), 18, P2M_MMIO) == 0 && p->leaves[3] == 1);
    CHECK(maps_to((1 << 18) + 70000, (5ull << 18) + 70000, P2M_MMIO, 18));
    CHECK(p2m_map(p, gfn((1 << 18) + 600), mfn(99), 1, P2M_MMIO) == 0);
    CHECK(p->leaves[3] == 0 && p->leaves[2] == 511 && p->leaves[1] == 512);
    CHECK(maps_to((1 << 18) + 600, 99, P2M_MMIO, 0) && maps_to((1 << 18) + 601, (5ull << 18) + 601, P2M_MMIO, 0));
    CHECK(maps_to((1 << 18) + 1024, (5ull << 18) + 1024, P2M_MMIO, 9));
    CHECK(block_map(p, gfn((1 << 18) + 600), mfn((5ull << 18) + 600), 0, P2M_MMIO) == 0);
    CHECK(p->leaves[3] == 1 && p->leaves[2] == 0 && p->leaves[1] == 0); /* joined twice */
    CHECK(block_unmap(p, gfn((1 << 18) + 512), 9) == 0 && p->leaves[2] == 511 &&
          !maps_to((1 << 18) + 512, 0, P2M_MMIO, 9));
    CHECK(maps_to((1 << 18) + 512, ~0ull, P2M_NONE, 9) && maps_to(1, ~0ull, P2M_NONE, 18));
    /* unaligned to each other: small pages only */
    CHECK(p2m_map(p, gfn(0x1000), mfn(0x2001), 1024, P2M_MMIO) == 0 && p->leaves[1] == 1024);
    /* head, middle, tail */
    CHECK(p2m_map(p, gfn(0x300ff), mfn(0x500ff), 1024, P2M_MMIO) == 0 && p->leaves[2] == 512 && p->leaves[1] == 1536);
    CHECK(block_unmap(p, gfn(0), 36) == 0 && !p->leaves[1] && !p->leaves[2] && !p->leaves[3]);
    finish();
    start(false);
    CHECK(block_map(p, gfn(1 << 18), mfn(5ull << 18), 18, P2M_MMIO) == 0 && p->leaves[2] == 512 && p->leaves[3] == 0);
    finish();
}

/* A processor may walk the table of joined entries until it is told to forget it, which must be before it is another.
 */
static void test_table_taken_again(void)
{
    start(true);
    CHECK(block_map(p, gfn(0), mfn(0), 9, P2M_MMIO) == 0 && block_map(p, gfn(512), mfn(512), 9, P2M_MMIO) == 0);
    CHECK(block_map(p, gfn(5), mfn(99), 0, P2M_MMIO) == 0 && block_map(p, gfn(5), mfn(5), 0, P2M_MMIO) == 0);
    CHECK(p->leaves[2] == 2);
    unsigned flushes = fake_flushes;
    CHECK(block_map(p, gfn(517), mfn(99), 0, P2M_MMIO) == 0 && fake_flushes == flushes + 2);
    CHECK(block_map(p, gfn(518), mfn(99), 0, P2M_MMIO) == 0 && fake_flushes == flushes + 3);
    /* One that had nothing in it when it went, too: they remember where it is. */
    for (unsigned g = 512; g < 1024; g++)
        CHECK(block_unmap(p, gfn(g), 0) == 0);
    flushes = fake_flushes;
    CHECK(block_unmap(p, gfn(512), 9) == 0 && mfn_valid(p->spare[1]) && fake_flushes == flushes);
    CHECK(block_map(p, gfn(1024), mfn(99), 0, P2M_MMIO) == 0 && fake_flushes == flushes + 1);
    finish();
}

static void test_arguments(void)
{
    start(true);
    CHECK(block_map(p, gfn(1ull << 36), mfn(1), 0, P2M_MMIO) == -EINVAL &&
          block_map(p, gfn((1ull << 36) - 1), mfn(1), 1, P2M_MMIO) == -EINVAL);
    CHECK(block_map(p, gfn((1ull << 36) - 1), mfn((1ull << 40) - 1), 0, P2M_MMIO) == 0);
    CHECK(maps_to((1ull << 36) - 1, (1ull << 40) - 1, P2M_MMIO, 0) && maps_to(1ull << 36, ~0ull, P2M_NONE, 0));
    CHECK(block_map(p, gfn(0), mfn(1ull << 40), 0, P2M_MMIO) == -EINVAL &&
          block_map(p, gfn(0), INVALID_MFN, 0, P2M_MMIO) == -EINVAL);
    CHECK(block_map(p, gfn(0), mfn(0), 37, P2M_MMIO) == -EINVAL);
    CHECK(block_map(p, gfn(0), mfn(0), 0, P2M_NONE) == -EINVAL &&
          block_map(p, gfn(0), mfn(0), 0, P2M_TYPES) == -EINVAL);
    CHECK(p2m_map(p, gfn(0), mfn(0), 0, P2M_MMIO) == -EINVAL && p2m_map(p, gfn(1), mfn(0), ~0ull, P2M_MMIO) == -EINVAL);
    CHECK(block_unmap(p, gfn(1), 36) == -EINVAL && block_unmap(p, gfn(0), 40) == -EINVAL &&
          block_unmap(p, INVALID_GFN, 0) == -EINVAL);
    CHECK(!mfn_valid(p2m_get_frame(p, INVALID_GFN, false, true)) && !mfn_valid(p2m_get_frame(p, gfn(0), false, true)));
    finish();
}

static void test_references(void)
{
    uint64_t before = free_pages();
    start(true);
    mfn_t big = take(9), small = take(0), foreign = frame_alloc(0, other.id), heap = ptr_mfn(page_alloc());
    CHECK(block_map(p, gfn(512), big, 9, P2M_RAM) == 0 && p->leaves[2] == 1);
    unsigned flushes = fake_flushes;
    CHECK(block_map(p, gfn(700), small, 0, P2M_RAM_RO) == 0 && fake_flushes == flushes + 1);
    CHECK(frame_refs(mfn(big.n + 188)) == 0 && frame_refs(mfn(big.n + 187)) == 1);
    CHECK(block_map(p, gfn(0), foreign, 0, P2M_FOREIGN) == 0 && block_map(p, gfn(1), heap, 0, P2M_XENHEAP) == 0);
    CHECK(fake_flushes == flushes + 1); /* nothing was there before */

    CHECK(p2m_get_frame(p, gfn(513), true, false).n == big.n + 1 && frame_refs(mfn(big.n + 1)) == 2);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(700), true, true)) && p2m_get_frame(p, gfn(700), false, false).n == small.n);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(0), false, false)) && p2m_get_frame(p, gfn(0), true, true).n == foreign.n);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(1), true, false)) && p2m_get_frame(p, gfn(1), true, true).n == heap.n);
    CHECK(frame_refs(foreign) == 2 && frame_refs(heap) == 2 && frame_refs(small) == 2);
    frame_put(foreign);
    frame_put(heap);
    frame_put(small);

    CHECK(block_unmap(p, gfn(513), 0) == 0 && frame_refs(mfn(big.n + 1)) == 1 && fake_flushes == flushes + 2);
    frame_put(mfn(big.n + 1)); /* what p2m_get_frame gave outlived the entry */
    flushes = fake_flushes;
    CHECK(block_unmap(p, gfn(512), 9) == 0 && fake_flushes == flushes + 1 && frame_refs(big) == 0 &&
          frame_refs(small) == 0);
    CHECK(block_unmap(p, gfn(0), 1) == 0 && frame_refs(foreign) == 0 && frame_refs(heap) == 1);
    page_free(mfn_ptr(heap));

    big = take(10);
    CHECK(block_map(p, gfn(1024), big, 10, P2M_RAM) == 0);
    unsigned calls = 1;
    for (; p2m_clear(p, 2) == -ERESTART; calls++)
        CHECK(calls < 1000);
    CHECK(!p->ram && frame_refs(big) == 0 && p2m_clear(p, 1) == 0);
    /* Who still holds the domain may look, and put something in. */
    CHECK(maps_to(1024, ~0ull, P2M_NONE, 9) && block_map(p, gfn(7), take(0), 0, P2M_RAM) == 0);
    finish();
    CHECK(free_pages() == before);
}

/* 1 GiB goes in steps, too. */
static void test_clear(void)
{
    unsigned calls = 0;
    start(true);
    CHECK(block_map(p, gfn(1 << 18), mfn(5ull << 18), 18, P2M_MMIO) == 0);
    while (p2m_clear(p, 100) == -ERESTART)
        calls++;
    CHECK(calls > 5 && !p->leaves[2] && !p->leaves[3]);
    finish();
}

static void test_devices(void)
{
    uint64_t before = free_pages();
    start(true);
    CHECK(p2m_init(&devices, NULL, &device_codec) == 0);
    devices.levels = 3;
    p->mirror = &devices;
    device_flushes = device_syncs = 0;
    mfn_t big = take(9), grant = frame_alloc(0, other.id);
    CHECK(p2m_map(p, gfn(0), big, 512, P2M_RAM) == 0 && device_sees(5, big.n + 5, true, 2) && device_blind(512));
    CHECK(!device_flushes && device_syncs == 3); /* nothing was there; the root had none before, a table, two entries */
    /* Units that remember holes are told. */
    devices.holes_cached = true;
    CHECK(p2m_map(p, gfn(0x300), grant, 1, P2M_GRANT_RO) == 0 && device_flushes == 1);
    CHECK(device_sees(0x300, grant.n, false, 1) && frame_refs(grant) == 1);
    devices.holes_cached = false;
    /* References are given back after they forgot. */
    CHECK(block_unmap(p, gfn(2), 0) == 0 && device_flushes == 2 && device_blind(2) &&
          device_sees(3, big.n + 3, true, 1));
    CHECK(block_map(p, gfn(3), mfn(9), 0, P2M_XENHEAP) == 0 && device_flushes == 3 && device_blind(3));
    /* What firmware reserved stays when the processors get at it, and what is beyond their reach is no error. */
    CHECK(p2m_map(&devices, gfn(0x80000), mfn(0x80000), 16, P2M_RAM) == 0);
    CHECK(block_map(p, gfn(0x80000), mfn(0x80000), 9, P2M_MMIO) == 0 && device_sees(0x80005, 0x80005, true, 1));
    CHECK(block_unmap(p, gfn(0x80005), 0) == 0 && device_sees(0x80005, 0x80005, true, 1));
    CHECK(block_map(p, gfn(1 << 27), mfn(7), 3, P2M_MMIO) == 0 && block_unmap(p, gfn(1 << 27), 3) == 0);
    CHECK(p2m_map(p, gfn(1 << 27), mfn(7), 1, P2M_RAM) == -EINVAL);
    /* Many pages of which some are RAM. */
    CHECK(block_unmap(p, gfn(0), 36) == 0 && device_blind(5) && device_blind(0x80005) && !p->ram);
    p->mirror = NULL;
    finish();
    p2m_free(&devices);
    CHECK(free_pages() == before);
}

/* A unit that does not answer may still walk tables: they are not taken for something else. */
static void test_stuck(void)
{
    uint64_t before = free_pages();
    CHECK(p2m_init(&devices, NULL, &device_codec) == 0);
    CHECK(p2m_map(&devices, gfn(0), mfn(5), 1, P2M_RAM) == 0);
    device_stuck = true;
    CHECK(p2m_unmap(&devices, gfn(0), 512) == 0 && mfn_valid(devices.spare[1]));
    uint64_t tables = devices.tables;
    CHECK(p2m_map(&devices, gfn(0), mfn(5), 1, P2M_RAM) == 0 && devices.tables == tables + 1);
    device_stuck = false;
    CHECK(p2m_map(&devices, gfn(512), mfn(5), 1, P2M_RAM) == 0 && devices.tables == tables + 1);
    p2m_free(&devices);
    CHECK(free_pages() == before);
}

static void test_no_memory(void)
{
    start(true);
    CHECK(block_map(p, gfn(0), take(9), 9, P2M_RAM) == 0);
    mfn_t m = take(0), list = INVALID_MFN, x;
    while (mfn_valid(x = frame_alloc(0, 1))) {
        frame_set_gfn(x, gfn(list.n));
        list = x;
    }
    CHECK(block_map(p, gfn(5), m, 0, P2M_RAM) == -ENOMEM && block_unmap(p, gfn(5), 0) == -ENOMEM);
    CHECK(block_map(p, gfn(1 << 20), m, 0, P2M_RAM) == -ENOMEM && frame_refs(m) == 1 && p->leaves[2] == 1);
    CHECK(block_unmap(p, gfn(0), 9) == 0);
    for (; mfn_valid(list); list = x) {
        x = mfn(frame_gfn(list).n);
        frame_put(list);
    }
    frame_put(m);
    finish();
}

static _Atomic bool stop;

static void *looker(void *data)
{
    struct {
        uint64_t ram;
    } *want = data;
    unsigned long looks = 0;
    while (!stop) {
        uint64_t g = looks++ * 7 % 2048;
        struct p2m_entry e = p2m_lookup(p, gfn(g));
        CHECK(!mfn_valid(e.mfn) || (g < 1024 && e.mfn.n == want->ram + g) || (g >= 1024 && e.mfn.n == 0x100000 + g));
        mfn_t m = p2m_get_frame(p, gfn(g % 1024), true, false);
        if (mfn_valid(m)) {
            CHECK(m.n == want->ram + g % 1024 && frame_owner(m) == dom.id);
            frame_put(m);
        }
    }
    return NULL;
}

/* Lookups on other CPUs while entries come, go, split and join, and tables are taken again. */
static void test_threads(void)
{
    uint64_t before = free_pages();
    start(true);
    mfn_t ram = take(10);
    pthread_t threads[2];
    uint64_t want = ram.n;
    CHECK(block_map(p, gfn(0), ram, 10, P2M_RAM) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, looker, &want) == 0);
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t g = rand() % 1024;
        CHECK(frame_get(mfn(ram.n + g), dom.id));
        CHECK(block_unmap(p, gfn(g), 0) == 0);
        CHECK(block_map(p, gfn(g), mfn(ram.n + g), 0, P2M_RAM) == 0);
        CHECK(block_map(p, gfn(1024 + g), mfn(0x100000 + 1024 + g), 0, P2M_MMIO) == 0);
        if (round % 7 == 0)
            CHECK(block_unmap(p, gfn(1024), 10) == 0);
    }
    stop = true;
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
    CHECK(p->leaves[2] == 2 && p->tables < 12);
    finish();
    CHECK(free_pages() == before);
}

/* Several CPUs that map and unmap the same few pages: the count of the domain's RAM says what is mapped in the end. */
static void *changer(void *data)
{
    uint64_t seed = (uintptr_t)data + 1;
    fake_cpu = 40 + (uintptr_t)data;
    for (unsigned round = 0; round < 4000; round++) {
        seed = seed * 6364136223846793005 + 1442695040888963407;
        gfn_t g = gfn(seed >> 60);
        if (seed >> 40 & 1)
            CHECK(block_unmap(p, g, 0) == 0);
        else
            CHECK(block_map(p, g, take(0), 0, P2M_RAM) == 0);
    }
    return NULL;
}

static void test_accounting(void)
{
    uint64_t before = free_pages(), present = 0;
    pthread_t threads[3];
    start(true);
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, changer, (void *)i) == 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    for (uint64_t g = 0; g < 16; g++)
        present += p2m_lookup(p, gfn(g)).type == P2M_RAM;
    CHECK(p->ram == present && p->leaves[1] == present);
    finish();
    CHECK(free_pages() == before);
}

int main(void)
{
    fake_metal_init(256);
    page_free(page_alloc()); /* backs the chunk, so that counts below are those of pages */
    test_sizes();
    test_table_taken_again();
    test_arguments();
    test_references();
    test_clear();
    test_devices();
    test_stuck();
    test_no_memory();
    test_threads();
    test_accounting();
    return 0;
}
