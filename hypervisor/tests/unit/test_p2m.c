/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: mem/p2m.c mem/frame.c hvm/npt.c */
/* The p2m on a fake memory: entry sizes, splits and joins, references, what devices see, exhaustion, lookups meanwhile.
 */
#include "fake_metal.h"

#include "../../hvm/hvm.h"
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

static struct domain dom = { .id = 4 }, other = { .id = 6 };
static struct p2m *const p = &dom.p2m;
static unsigned dma_maps, dma_unmaps, dma_flushes;
static int dma_result;

int iommu_map(struct domain *d, uint64_t dfn, mfn_t m, uint64_t count, bool writable)
{
    dma_maps++;
    return dma_result;
}

int iommu_unmap(struct domain *d, uint64_t dfn, uint64_t count)
{
    dma_unmaps++;
    return 0;
}

void iommu_flush(struct domain *d) { dma_flushes++; }

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
    while (p2m_free(p, 1000) == -ERESTART)
        ;
    CHECK(p->tables == 0 && !p->leaves[1] && !p->leaves[2] && !p->leaves[3] && p2m_free(p, 1) == 0);
}

static void test_sizes(void)
{
    start(true);
    CHECK(p2m_map(p, gfn(1 << 18), mfn(5ull << 18), 18, P2M_MMIO) == 0 && p->leaves[3] == 1);
    CHECK(maps_to((1 << 18) + 70000, (5ull << 18) + 70000, P2M_MMIO, 18));
    CHECK(p2m_map_range(p, gfn((1 << 18) + 600), mfn(99), 1, P2M_MMIO) == 0);
    CHECK(p->leaves[3] == 0 && p->leaves[2] == 511 && p->leaves[1] == 512);
    CHECK(maps_to((1 << 18) + 600, 99, P2M_MMIO, 0) && maps_to((1 << 18) + 601, (5ull << 18) + 601, P2M_MMIO, 0));
    CHECK(maps_to((1 << 18) + 1024, (5ull << 18) + 1024, P2M_MMIO, 9));
    CHECK(p2m_map(p, gfn((1 << 18) + 600), mfn((5ull << 18) + 600), 0, P2M_MMIO) == 0);
    CHECK(p->leaves[3] == 1 && p->leaves[2] == 0 && p->leaves[1] == 0); /* joined twice */
    CHECK(p2m_unmap(p, gfn((1 << 18) + 512), 9) == 0 && p->leaves[2] == 511 &&
          !maps_to((1 << 18) + 512, 0, P2M_MMIO, 9));
    CHECK(maps_to((1 << 18) + 512, ~0ull, P2M_NONE, 9) && maps_to(1, ~0ull, P2M_NONE, 18));
    /* unaligned to each other: small pages only */
    CHECK(p2m_map_range(p, gfn(0x1000), mfn(0x2001), 1024, P2M_MMIO) == 0 && p->leaves[1] == 1024);
    /* head, middle, tail */
    CHECK(p2m_map_range(p, gfn(0x300ff), mfn(0x500ff), 1024, P2M_MMIO) == 0 && p->leaves[2] == 512 &&
          p->leaves[1] == 1536);
    CHECK(p2m_unmap(p, gfn(0), 36) == 0 && !p->leaves[1] && !p->leaves[2] && !p->leaves[3]);
    finish();
    start(false);
    CHECK(p2m_map(p, gfn(1 << 18), mfn(5ull << 18), 18, P2M_MMIO) == 0 && p->leaves[2] == 512 && p->leaves[3] == 0);
    finish();
}

/* A processor may walk the table of joined entries until it is told to forget it, which must be before it is another.
 */
static void test_table_taken_again(void)
{
    start(true);
    CHECK(p2m_map(p, gfn(0), mfn(0), 9, P2M_MMIO) == 0 && p2m_map(p, gfn(512), mfn(512), 9, P2M_MMIO) == 0);
    CHECK(p2m_map(p, gfn(5), mfn(99), 0, P2M_MMIO) == 0 && p2m_map(p, gfn(5), mfn(5), 0, P2M_MMIO) == 0);
    CHECK(p->leaves[2] == 2);
    unsigned flushes = fake_flushes;
    CHECK(p2m_map(p, gfn(517), mfn(99), 0, P2M_MMIO) == 0 && fake_flushes == flushes + 2);
    CHECK(p2m_map(p, gfn(518), mfn(99), 0, P2M_MMIO) == 0 && fake_flushes == flushes + 3);
    finish();
}

static void test_arguments(void)
{
    start(true);
    CHECK(p2m_map(p, gfn(1ull << 36), mfn(1), 0, P2M_MMIO) == -EINVAL &&
          p2m_map(p, gfn((1ull << 36) - 1), mfn(1), 1, P2M_MMIO) == -EINVAL);
    CHECK(p2m_map(p, gfn((1ull << 36) - 1), mfn((1ull << 40) - 1), 0, P2M_MMIO) == 0);
    CHECK(maps_to((1ull << 36) - 1, (1ull << 40) - 1, P2M_MMIO, 0) && maps_to(1ull << 36, ~0ull, P2M_NONE, 0));
    CHECK(p2m_map(p, gfn(0), mfn(1ull << 40), 0, P2M_MMIO) == -EINVAL &&
          p2m_map(p, gfn(0), INVALID_MFN, 0, P2M_MMIO) == -EINVAL);
    CHECK(p2m_map(p, gfn(0), mfn(0), 37, P2M_MMIO) == -EINVAL && p2m_map(p, gfn(0), mfn(0), 64, P2M_MMIO) == -EINVAL);
    CHECK(p2m_map(p, gfn(0), mfn(0), 0, P2M_NONE) == -EINVAL && p2m_map(p, gfn(0), mfn(0), 0, P2M_TYPES) == -EINVAL);
    CHECK(p2m_map_range(p, gfn(0), mfn(0), 0, P2M_MMIO) == -EINVAL &&
          p2m_map_range(p, gfn(1), mfn(0), ~0ull, P2M_MMIO) == -EINVAL);
    CHECK(p2m_unmap(p, gfn(1), 36) == -EINVAL && p2m_unmap(p, gfn(0), 40) == -EINVAL &&
          p2m_unmap(p, INVALID_GFN, 0) == -EINVAL);
    CHECK(!mfn_valid(p2m_get_frame(p, INVALID_GFN, false, true)) && !mfn_valid(p2m_get_frame(p, gfn(0), false, true)));
    finish();
}

static void test_references(void)
{
    uint64_t before = free_pages();
    start(true);
    mfn_t big = take(9), small = take(0), foreign = frame_alloc(0, other.id), heap = ptr_mfn(page_alloc());
    CHECK(p2m_map(p, gfn(512), big, 9, P2M_RAM) == 0 && p->leaves[2] == 1);
    unsigned flushes = fake_flushes;
    CHECK(p2m_map(p, gfn(700), small, 0, P2M_RAM_RO) == 0 && fake_flushes == flushes + 1);
    CHECK(frame_refs(mfn(big.n + 188)) == 0 && frame_refs(mfn(big.n + 187)) == 1);
    CHECK(p2m_map(p, gfn(0), foreign, 0, P2M_FOREIGN) == 0 && p2m_map(p, gfn(1), heap, 0, P2M_XENHEAP) == 0);
    CHECK(fake_flushes == flushes + 1); /* nothing was there before */

    CHECK(p2m_get_frame(p, gfn(513), true, false).n == big.n + 1 && frame_refs(mfn(big.n + 1)) == 2);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(700), true, true)) && p2m_get_frame(p, gfn(700), false, false).n == small.n);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(0), false, false)) && p2m_get_frame(p, gfn(0), true, true).n == foreign.n);
    CHECK(!mfn_valid(p2m_get_frame(p, gfn(1), true, false)) && p2m_get_frame(p, gfn(1), true, true).n == heap.n);
    CHECK(frame_refs(foreign) == 2 && frame_refs(heap) == 2 && frame_refs(small) == 2);
    frame_put(foreign);
    frame_put(heap);
    frame_put(small);

    CHECK(p2m_unmap(p, gfn(513), 0) == 0 && frame_refs(mfn(big.n + 1)) == 1 && fake_flushes == flushes + 2);
    frame_put(mfn(big.n + 1)); /* what p2m_get_frame gave outlived the entry */
    flushes = fake_flushes;
    CHECK(p2m_unmap(p, gfn(512), 9) == 0 && fake_flushes == flushes + 1 && frame_refs(big) == 0 &&
          frame_refs(small) == 0);
    CHECK(p2m_unmap(p, gfn(0), 1) == 0 && frame_refs(foreign) == 0 && frame_refs(heap) == 1);
    page_free(mfn_ptr(heap));

    big = take(10);
    CHECK(p2m_map(p, gfn(1024), big, 10, P2M_RAM) == 0);
    unsigned calls = 1;
    for (; p2m_free(p, 100) == -ERESTART; calls++)
        CHECK(calls < 20);
    CHECK(calls == 11 && free_pages() == before);
}

static void test_iommu(void)
{
    start(true);
    p->mirror = true;
    dma_maps = dma_unmaps = dma_flushes = 0;
    CHECK(p2m_map_range(p, gfn(0), take(5), 32, P2M_RAM) == 0 && dma_maps == 1 && dma_flushes == 1);
    CHECK(p2m_unmap(p, gfn(0), 2) == 0 && dma_unmaps == 1 && dma_flushes == 2);
    CHECK(p2m_map(p, gfn(0), mfn(9), 0, P2M_XENHEAP) == 0 && dma_maps == 1 && dma_unmaps == 2);
    dma_result = -ENOMEM;
    mfn_t m = take(0);
    CHECK(p2m_map(p, gfn(8), m, 0, P2M_RAM) == -ENOMEM && frame_refs(m) == 1 && dma_unmaps == 3);
    CHECK(p2m_lookup(p, gfn(8)).mfn.n != m.n);
    dma_result = 0;
    frame_put(m);
    finish();
}

static void test_no_memory(void)
{
    start(true);
    CHECK(p2m_map(p, gfn(0), take(9), 9, P2M_RAM) == 0);
    mfn_t m = take(0), list = INVALID_MFN, x;
    while (mfn_valid(x = frame_alloc(0, 1))) {
        frame_set_gfn(x, gfn(list.n));
        list = x;
    }
    CHECK(p2m_map(p, gfn(5), m, 0, P2M_RAM) == -ENOMEM && p2m_unmap(p, gfn(5), 0) == -ENOMEM);
    CHECK(p2m_map(p, gfn(1 << 20), m, 0, P2M_RAM) == -ENOMEM && frame_refs(m) == 1 && p->leaves[2] == 1);
    CHECK(p2m_unmap(p, gfn(0), 9) == 0);
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
    CHECK(p2m_map(p, gfn(0), ram, 10, P2M_RAM) == 0);
    for (unsigned i = 0; i < 2; i++)
        CHECK(pthread_create(&threads[i], NULL, looker, &want) == 0);
    for (unsigned round = 0; round < 5000; round++) {
        uint64_t g = rand() % 1024;
        CHECK(frame_get(mfn(ram.n + g), dom.id));
        CHECK(p2m_unmap(p, gfn(g), 0) == 0);
        CHECK(p2m_map(p, gfn(g), mfn(ram.n + g), 0, P2M_RAM) == 0);
        CHECK(p2m_map(p, gfn(1024 + g), mfn(0x100000 + 1024 + g), 0, P2M_MMIO) == 0);
        if (round % 7 == 0)
            CHECK(p2m_unmap(p, gfn(1024), 10) == 0);
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
            CHECK(p2m_unmap(p, g, 0) == 0);
        else
            CHECK(p2m_map(p, g, take(0), 0, P2M_RAM) == 0);
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
    test_iommu();
    test_no_memory();
    test_threads();
    test_accounting();
    return 0;
}
