/* SPDX-License-Identifier: GPL-2.0-or-later */
/* All by pages of 2 MiB, which every processor has. Pages of the pool: root, levels 3 and 2 of the image, the rest. */
#include "pure.h"

#define PRESENT_WRITE 3ull
#define LARGE 0x80ull
#define TWO_MIB 0x200000ull

void paging_build(uint64_t *pool, uint64_t gib, uint64_t image, uint64_t image_size)
{
    uint64_t *const upper = pool + 512, *const lower = pool + 1024, *const level3 = pool + 1536,
                    *const level2 = pool + 2048;

    pool[0] = pool[HV_DIRECT_MAP >> 39 & 511] = (uintptr_t)level3 | PRESENT_WRITE;
    pool[HV_IMAGE_BASE >> 39 & 511] = (uintptr_t)upper | PRESENT_WRITE;
    upper[HV_IMAGE_BASE >> 30 & 511] = (uintptr_t)lower | PRESENT_WRITE;
    for (uint64_t i = 0; i * TWO_MIB < image_size; i++)
        lower[i] = (image + i * TWO_MIB) | LARGE | PRESENT_WRITE;
    for (uint64_t i = 0; i < gib; i++)
        level3[i] = (uintptr_t)(level2 + 512 * i) | PRESENT_WRITE;
    for (uint64_t i = 0; i < gib * 512; i++)
        level2[i] = i * TWO_MIB | LARGE | PRESENT_WRITE;
}
