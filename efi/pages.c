/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's memory for what has no fixed size: pages of the type "loader data" that the firmware chooses, which it
 * does from above. The list exists for the way back to the firmware. All else is in the loader's own .bss.
 */
#include "loader.h"

#define MAX_HELD 8
#define MAP_SIZE (128u << 10) /* some 2,700 entries of the firmware's map */

static struct {
    uint64_t at, pages;
} held[MAX_HELD];
static unsigned int nr_held;

static bool allocate(enum efi_allocate_type how, uint64_t pages, uint64_t *at)
{
    return boot_services->allocate_pages(how, EFI_LOADER_DATA, pages, at) == EFI_SUCCESS;
}

void *pages_get(uint64_t size, uint64_t align, const char *what)
{
    uint64_t pages = (size + align - 1) / PAGE_SIZE, at = GIB(4) - 1;

    if (nr_held == MAX_HELD || (!allocate(EFI_MAX_ADDRESS, pages, &at) && !allocate(EFI_ANY_PAGES, pages, &at)))
        fail("No free memory in one piece is large enough.", "Use a smaller initrd, or a machine with more memory.",
             "There are no %llu MiB of memory for %s.", (size + MIB(1) - 1) >> 20, what);
    held[nr_held].at = at;
    held[nr_held++].pages = pages;
    return (void *)ROUND_UP(at, align);
}

void pages_release_all(void)
{
    for (; nr_held; nr_held--)
        boot_services->free_pages(held[nr_held - 1].at, held[nr_held - 1].pages);
}

uint64_t pages_map(struct bootinfo *info)
{
    static uint64_t map[MAP_SIZE / sizeof(uint64_t)];
    static struct boot_range ranges[MEMMAP_RANGES(MAP_SIZE)];
    uint64_t size = sizeof(map), key, step;
    uint32_t version;

    if (boot_services->get_memory_map(&size, map, &key, &step, &version) != EFI_SUCCESS ||
        step < sizeof(struct efi_memory_descriptor))
        fail("It is larger than this loader can take.", "Update the firmware.",
             "The firmware's memory map cannot be read.");
    info->ranges = (uint64_t)ranges;
    info->nr_ranges = memmap_convert(map, size, step, ranges);
    return key;
}
