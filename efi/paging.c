/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Pages of the pool: root, identity map's level 3, image's level 3, image's level 2, then one level 2 for each GiB
 * that is mapped by 2 MiB pages: the first four always, for MMIO and RAM of different cache types share them.
 */
#include "paging.h"

#include <hv/bootinfo.h>

#define PRESENT_WRITE 3ull
#define LARGE 0x80ull
#define FIXED 4u
#define SMALL_GIB 4u
#define TWO_MIB 0x200000ull

static uint64_t small_gib(const struct paging *p)
{
    return p->has_1g ? SMALL_GIB : p->identity_end >> 30;
}

uint64_t paging_pages(const struct paging *p)
{
    return FIXED + small_gib(p);
}

void paging_build(const struct paging *p, uint64_t *pool, uint64_t at)
{
    uint64_t *root = pool, *identity = pool + 512, *upper = pool + 1024, *image = pool + 1536, *small = pool + 2048;

    root[0] = (at + 4096) | PRESENT_WRITE;
    root[HV_IMAGE_BASE >> 39 & 511] = (at + 2 * 4096) | PRESENT_WRITE;
    upper[HV_IMAGE_BASE >> 30 & 511] = (at + 3 * 4096) | PRESENT_WRITE;
    for (uint64_t i = 0; i * TWO_MIB < p->image_size; i++)
        image[i] = (p->image_start + i * TWO_MIB) | LARGE | PRESENT_WRITE;
    for (uint64_t i = 0; i < p->identity_end >> 30; i++)
        identity[i] = i < small_gib(p) ? (at + (FIXED + i) * 4096) | PRESENT_WRITE : i << 30 | LARGE | PRESENT_WRITE;
    for (uint64_t i = 0; i < small_gib(p) * 512; i++)
        small[i] = i * TWO_MIB | LARGE | PRESENT_WRITE;
}
