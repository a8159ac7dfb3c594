/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the firmware's memory map: the ranges are sorted, apart, whole pages, and fit their room. */
/* sources: memmap.c text.c */
#include "../../memmap.h"
#include "../check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct memmap map = {.entries = data, .size = size, .step = sizeof(struct efi_memory_descriptor)};
    struct boot_range *ranges = malloc(memmap_room(&map) * sizeof(*ranges));
    unsigned int n = memmap_convert(&map, ranges);
    uint64_t end, at;

    CHECK(n <= memmap_room(&map));
    for (unsigned int i = 0; i < n; i++) {
        CHECK(ranges[i].start < ranges[i].end && !((ranges[i].start | ranges[i].end) & 4095));
        CHECK(!i || ranges[i - 1].end <= ranges[i].start);
    }
    memmap_ram(ranges, n, 1ull << 39, &end);
    CHECK(end <= 1ull << 39);
    at = memmap_fit(&map, 0x300000, 0x200000, 1ull << 32);
    CHECK(!(at & 0x1fffff) && at + 0x300000 <= 1ull << 32);
    free(ranges);
    return 0;
}
