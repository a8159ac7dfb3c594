/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: mem/frame.c */
/* The frame table: ranges with holes, lazily backed chunks, claims, limits, exhaustion; get and put by many threads. */
#include "fake_metal.h"

#include <hv/frame.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define RAM_MIB 1024

static struct frame_stats now(void)
{
    struct frame_stats s;
    frame_stats(&s);
    return s;
}

/* Claims what is free at or after `at`, and looks where it was. */
static bool claims(paddr_t at, uint64_t size, domid_t owner, paddr_t where, uint64_t got)
{
    uint64_t claimed = frame_claim(&at, size, owner);
    return claimed == got && (!got || at == where);
}

static void put_all(paddr_t start, paddr_t end)
{
    for (; start < end; start += PAGE_SIZE)
        frame_put(paddr_mfn(start));
}

static void test_ranges(void)
{
    CHECK(!frame_known(mfn(300)) && !frame_get(mfn(300), 0) && !frame_get(INVALID_MFN, 0) &&
          !frame_get(mfn(1ull << 40), 0));
    CHECK(now().total == (MIB(RAM_MIB - 1) >> PAGE_SHIFT) && now().free == now().total && now().hv == 0);
    CHECK(frame_add_ram(GIB(32), GIB(32) + MIB(4)) == 0); /* for the pieces of the table */
    CHECK(claims(GIB(33), PAGE_SIZE, 7, 0, 0) && claims(~0ull & PAGE_MASK, PAGE_SIZE, 7, 0, 0));
}

static void test_claim(void)
{
    struct frame_stats before = now();
    CHECK(claims(MIB(100), MIB(200), 7, MIB(100), MIB(200)));
    CHECK(now().free == before.free - (MIB(200) >> PAGE_SHIFT) - 512 && now().hv == 512);
    CHECK(frame_owner(mfn(MIB(100) >> 12)) == 7 && frame_refs(mfn((MIB(300) >> 12) - 1)) == 1);
    CHECK(frame_gfn(mfn(MIB(200) >> 12)).n == MIB(200) >> 12);
    CHECK(frame_owner(mfn((MIB(100) >> 12) - 1)) == DOMID_NONE && frame_owner(mfn(MIB(300) >> 12)) == DOMID_NONE);
    CHECK(frame_known(mfn(300)) && !frame_known(mfn(100)) && !frame_known(mfn(0)));
    /* From what is free to what is not, or to the chunk's end. */
    CHECK(claims(MIB(99), MIB(2), 8, MIB(99), MIB(1)));
    CHECK(claims(MIB(100), MIB(2) + 1, 8, MIB(300), MIB(2)) && claims(MIB(511), MIB(2), 8, MIB(511), MIB(1)));
    CHECK(claims(0, PAGE_SIZE, 8, MIB(1), PAGE_SIZE) && claims(MIB(1), 100, 8, 0, 0));
    put_all(MIB(1), MIB(1) + PAGE_SIZE);
    put_all(MIB(99), MIB(302));
    put_all(MIB(511), MIB(512));
    CHECK(claims(0, GIB(4), 3, MIB(1), MIB(511)) && claims(0, GIB(4), 3, MIB(512), MIB(512)));
    put_all(MIB(1), MIB(RAM_MIB));
    CHECK(now().free == before.free - 2 * 512 && now().hv == 2 * 512); /* two chunks' tables, from above */
    CHECK(claims(GIB(1), PAGE_SIZE, 8, 0, 0));
}

/* 1.5 GiB of which 1 GiB is claimed while the last piece is in use: the table's pieces come from wherever there is
 * room.
 */
static void test_claim_tight(void)
{
    pid_t child = fork();
    int status;
    CHECK(child >= 0);
    if (!child) {
        fake_metal_init(1536);
        CHECK(mfn_valid(frame_alloc(0, 5)));
        CHECK(claims(PAGE_SIZE, PAGE_SIZE, 0, MIB(1), PAGE_SIZE)); /* the first chunk is known now, and taken last */
        for (unsigned i = 0; i < 1000; i++)
            CHECK(frame_alloc(0, 5).n >= MIB(1024) >> PAGE_SHIFT);
        uint64_t left = GIB(1), size;
        for (paddr_t at = 0; left && (size = frame_claim(&at, left, 0)); at += size)
            left -= size;
        CHECK(!left && frame_owner(mfn(MIB(2) >> 12)) == 0 && frame_owner(mfn(MIB(1019) >> 12)) == 0);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && status == 0);
}

static void test_release(void)
{
    uint64_t total = now().total;
    CHECK(frame_add_ram(MIB(1) - KIB(64), MIB(1)) == 0);
    CHECK(now().total == total + 16 && frame_known(mfn(0xf0)) && !frame_known(mfn(0xef)));
    CHECK(claims(0, MIB(1), 3, MIB(1) - KIB(64), MIB(1)));
    put_all(MIB(1) - KIB(64), MIB(2) - KIB(64));
}

static void test_references(void)
{
    mfn_t m = frame_alloc(0, 5);
    CHECK(mfn_valid(m) && frame_owner(m) == 5 && frame_refs(m) == 1 && frame_gfn(m).n == INVALID_GFN.n);
    CHECK(frame_get(m, 5) && !frame_get(m, 6) && !frame_get(m, DOMID_HV) && frame_refs(m) == 2);
    frame_set_gfn(m, gfn(77));
    CHECK(frame_gfn(m).n == 77);
    frame_put(m);
    frame_put(m);
    CHECK(!frame_get(m, 5) && frame_refs(m) == 0 && frame_owner(m) == DOMID_NONE);
    /* No number a caller could come up with is the owner of a free page. */
    for (unsigned owner = 0; owner < 65536; owner++)
        CHECK(!frame_get(m, owner) && !frame_get(mfn(400), owner));
    m = frame_alloc(0, 0); /* a count does not wrap */
    hv_frame_table[m.n].state = 0x7ffffffe;
    CHECK(frame_get(m, 0) && !frame_get(m, 0));
    hv_frame_table[m.n].state = 1;
    frame_put(m);
}

static void test_alloc(void)
{
    static mfn_t got[1 << 18];
    uint64_t free = now().free;
    CHECK(!mfn_valid(frame_alloc(19, 1)) && !mfn_valid(frame_alloc(18, 1)));
    for (unsigned order = 0; order <= 17; order++) {
        mfn_t m = frame_alloc(order, 1);
        CHECK(mfn_valid(m) && !(m.n & ((1ull << order) - 1)) && m.n + (1ull << order) <= GIB(1) >> 12);
        for (uint64_t i = 0; i < 1ull << order; i++) {
            CHECK(frame_owner(mfn(m.n + i)) == 1 && frame_refs(mfn(m.n + i)) == 1);
            frame_put(mfn(m.n + i));
        }
    }
    CHECK(now().free == free);
    unsigned n = 0;
    for (; mfn_valid(got[n] = frame_alloc(0, 2)); n++)
        frame_set_gfn(got[n], gfn(n));
    CHECK(n == free && now().free == 0);
    for (unsigned i = 0; i < n; i++)
        CHECK(frame_gfn(got[i]).n == i);
    for (unsigned i = n; i > 0; i--) { /* in any order */
        unsigned k = rand() % i;
        frame_put(got[k]);
        got[k] = got[i - 1];
    }
    mfn_t m = frame_alloc(17, 1); /* all came together again */
    CHECK(mfn_valid(m));
    for (unsigned i = 0; i < 1 << 17; i++)
        frame_put(mfn(m.n + i));
    CHECK(now().free == free);
}

/* 16 TiB more cost nothing until they are used; last, for the test's table does not reach them. */
static void test_huge(void)
{
    struct frame_stats before = now();
    CHECK(frame_add_ram(GIB(128), GIB(128) + (16ull << 40)) == 0);
    CHECK(now().hv == before.hv && now().free == before.free + (16ull << 28));
    CHECK(frame_add_ram(FRAME_PADDR_MAX, FRAME_PADDR_MAX + MIB(1)) == -ENOSPC);
    CHECK(frame_add_ram(FRAME_PADDR_MAX - MIB(4), FRAME_PADDR_MAX) == 0);
    unsigned pieces = 0;
    while (frame_add_ram(GIB(33) + MIB(pieces), GIB(33) + MIB(pieces) + KIB(4)) == 0)
        CHECK(++pieces < 4096); /* a map of more pieces than there is room for is no fault */
    CHECK(pieces > 400);
}

static mfn_t shared;
static _Atomic unsigned taken;

static void *user(void *number)
{
    fake_cpu = (uintptr_t)number;
    for (unsigned i = 0; i < 100000; i++) {
        if (frame_get(shared, 9)) {
            taken++;
            frame_put(shared);
        }
        /* Seldom: a ticket lock among more threads than CPUs waits for the scheduler each time. */
        if (i % 2000)
            continue;
        mfn_t m = frame_alloc(i % 3, 20 + fake_cpu);
        CHECK(mfn_valid(m));
        for (unsigned k = 0; k < 1u << (i % 3); k++) {
            CHECK(frame_owner(mfn(m.n + k)) == 20 + fake_cpu && frame_refs(mfn(m.n + k)) == 1);
            frame_put(mfn(m.n + k));
        }
        if (i == 50000 && fake_cpu == 0)
            frame_put(shared); /* the allocation; from now on nobody gets one of domain 9 */
    }
    return NULL;
}

static void test_threads(void)
{
    uint64_t free = now().free;
    pthread_t threads[3];
    shared = frame_alloc(0, 9);
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, user, (void *)i) == 0);
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(taken >= 50000 && frame_owner(shared) != 9 && now().free == free);
}

int main(void)
{
    test_claim_tight();
    fake_metal_init(RAM_MIB);
    test_ranges();
    test_claim();
    test_release();
    test_references();
    test_alloc();
    test_threads();
    test_huge();
    return 0;
}
