/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page tables of the jump, walked as the processor does. And sections of a PE image. */
/* sources: paging.c section.c text.c */
#include <hv/bootinfo.h>

#include "../../paging.h"
#include "../../section.h"
#include "../check.h"

#define POOL 0x7700000ull
#define FAULT (~0ull)

static uint64_t *pool;
static uint64_t pages;

static uint64_t walk(uint64_t address)
{
    uint64_t table = POOL;

    for (int shift = 39; shift >= 12; shift -= 9) {
        uint64_t e;

        CHECK(table >= POOL && table < POOL + pages * 4096);
        e = pool[(table - POOL) / 8 + (address >> shift & 511)];
        if (!(e & 1))
            return FAULT;
        CHECK(e & 2);
        if (e & 0x80) {
            CHECK(!(e & ((1ull << shift) - 1) & ~0xfffull)); /* reserved bits of a large page */
            return (e & ~0xfffull) + (address & ((1ull << shift) - 1));
        }
        table = e & ~0xfffull;
    }
    return FAULT;
}

static void test_paging(uint64_t gib, bool has_1g)
{
    struct paging p = {.identity_end = gib << 30, .image_start = 0x1da00000, .image_size = 0x304000, .has_1g = has_1g};

    pages = paging_pages(&p);
    pool = calloc(pages, 4096);
    paging_build(&p, pool, POOL);
    for (uint64_t i = 0; i < gib; i++)
        CHECK(walk((i << 30) + 0x12345678) == (i << 30) + 0x12345678);
    CHECK(walk(p.identity_end - 1) == p.identity_end - 1 && walk(0) == 0);
    CHECK(gib == 512 || walk(p.identity_end) == FAULT);
    CHECK(walk(HV_IMAGE_BASE) == 0x1da00000 && walk(HV_IMAGE_BASE + 0x303fff) == 0x1dd03fff);
    CHECK(walk(HV_IMAGE_BASE + 0x400000) == FAULT && walk(HV_IMAGE_BASE - 1) == FAULT);
    free(pool);
}

static void test_sections(void)
{
    static uint8_t image[0x4000];
    uint64_t at, size;

    memcpy(image, "MZ", 2);
    image[60] = 0x80;
    memcpy(image + 0x80, "PE\0\0", 4);
    image[0x86] = 2; /* sections */
    image[0x94] = 16;
    memcpy(image + 0xa8, ".bhlinux\x10\0\0\0\0\x10\0\0", 16);
    memcpy(image + 0xd0, ".bhconf\0\x20\0\0\0\0\x20\0\0", 16);
    CHECK(pe_find_section(image, sizeof(image), ".bhlinux", &at, &size) && at == 0x1000 && size == 0x10);
    CHECK(pe_find_section(image, sizeof(image), ".bhconf", &at, &size) && at == 0x2000 && size == 0x20);
    CHECK(!pe_find_section(image, sizeof(image), ".bhcon", &at, &size));
    CHECK(!pe_find_section(image, sizeof(image), ".bhlinuxx", &at, &size));
    CHECK(!pe_find_section(image, 0x1008, ".bhlinux", &at, &size)); /* reaches beyond the image */
    for (uint64_t n = 0; n < 0xa8 + 40; n++) {
        uint8_t *copy = malloc(n ? n : 1);

        memcpy(copy, image, n);
        CHECK(!pe_find_section(copy, n, ".bhlinux", &at, &size));
        free(copy);
    }
    memset(image + 60, 0xff, 4);
    CHECK(!pe_find_section(image, sizeof(image), ".bhlinux", &at, &size));
}

int main(void)
{
    for (int has_1g = 0; has_1g < 2; has_1g++) {
        test_paging(4, has_1g);
        test_paging(5, has_1g);
        test_paging(512, has_1g);
    }
    test_sections();
    return 0;
}
