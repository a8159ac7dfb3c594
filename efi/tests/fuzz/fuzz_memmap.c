/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as the firmware's memory map: the ranges are sorted, apart, whole pages, and fit their room. */
/* sources: memmap.c ../hypervisor/lib/lib.c */
#include "../../efi.h"
#include "../../pure.h"
#include "../check.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const size_t room = MEMMAP_RANGES(size);
    struct boot_range *ranges = malloc(room * sizeof(*ranges));
    unsigned int n = memmap_convert(data, size, sizeof(struct efi_memory_descriptor), ranges);

    CHECK(n <= room);
    for (unsigned int i = 0; i < n; i++) {
        CHECK(ranges[i].start < ranges[i].end && !((ranges[i].start | ranges[i].end) & 4095));
        CHECK(!i || ranges[i - 1].end <= ranges[i].start);
    }
    free(ranges);
    return 0;
}
