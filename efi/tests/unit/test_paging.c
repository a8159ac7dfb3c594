/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page tables of the jump, walked as the processor does. And sections of a PE image. */
/* sources: paging.c section.c ../hypervisor/lib/lib.c */
#include "../../pure.h"
#include "../check.h"

#define FAULT (~0ull)
#define IMAGE 0x1da00000ull

static uint64_t *pool;
static uint64_t pages;

static uint64_t walk(uint64_t address)
{
    uint64_t *table = pool;

    for (int shift = 39; shift >= 12; shift -= 9) {
        uint64_t e;

        CHECK(table >= pool && table < pool + pages * 512);
        e = table[address >> shift & 511];
        if (!(e & 1))
            return FAULT;
        CHECK(e & 2);
        if (e & 0x80) {
            CHECK(!(e & ((1ull << shift) - 1) & ~0xfffull)); /* reserved bits of a large page */
            return (e & ~0xfffull) + (address & ((1ull << shift) - 1));
        }
        table = (uint64_t *)(uintptr_t)(e & ~0xfffull);
    }
    return FAULT;
}

static void test_paging(uint64_t gib)
{
    pages = PAGING_PAGES(gib);
    pool = aligned_alloc(4096, pages * 4096);
    memset(pool, 0, pages * 4096);
    paging_build(pool, gib, IMAGE, 0x304000);
    for (uint64_t i = 0; i < gib; i++)
        CHECK(walk((i << 30) + 0x12345678) == (i << 30) + 0x12345678 &&
              walk(HV_DIRECT_MAP + (i << 30) + 0x12345678) == (i << 30) + 0x12345678);
    CHECK(walk((gib << 30) - 1) == (gib << 30) - 1 && walk(0) == 0);
    CHECK(gib == PAGING_MAX_GIB || walk(gib << 30) == FAULT);
    CHECK(walk(HV_IMAGE_BASE) == IMAGE && walk(HV_IMAGE_BASE + 0x303fff) == IMAGE + 0x303fff);
    CHECK(walk(HV_IMAGE_BASE + 0x400000) == FAULT && walk(HV_IMAGE_BASE - 1) == FAULT);
    free(pool);
}

static bool found(const uint8_t *image, const char *name, uint64_t at, uint64_t length)
{
    struct boot_module m = section_find(image, name);

    return m.start && m.start == (uintptr_t)image + at && m.size == length;
}

static void test_sections(void)
{
    static _Alignas(8) uint8_t image[0x100];

    memcpy(image, "MZ", 2);
    image[60] = 0x80;
    memcpy(image + 0x80, "PE\0\0", 4);
    image[0x86] = 2; /* sections */
    image[0x94] = 16;
    memcpy(image + 0xa8, ".bhlinux\x10\0\0\0\0\x10\0\0", 16);
    memcpy(image + 0xd0, ".bhconf\0\x20\0\0\0\0\x20\0\0", 16);
    CHECK(found(image, ".bhlinux", 0x1000, 0x10));
    CHECK(found(image, ".bhconf", 0x2000, 0x20));
    CHECK(!section_find(image, ".bhcong").start && !section_find(image, ".bhinitr").start);
}

int main(void)
{
    test_paging(4);
    test_paging(5);
    test_paging(PAGING_MAX_GIB);
    test_sections();
    return 0;
}
