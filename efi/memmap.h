/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firmware's memory map as the hypervisor wants it (hv/bootinfo.h): sorted, without overlaps, whole pages,
 * neighbours of one kind joined. Pure.
 */
#ifndef EFI_MEMMAP_H
#define EFI_MEMMAP_H

#include <hv/bootinfo.h>

#include "efi.h"
#include "text.h"

struct memmap {
    const void *entries; /* struct efi_memory_descriptor, `step` bytes apart */
    uint64_t size, step;
};

/* Ranges that memmap_convert may need for this map at most. */
static inline uint64_t memmap_room(const struct memmap *map)
{
    return 2 * (map->size / map->step) + 1;
}

/* Writes at most memmap_room() ranges and returns how many. */
unsigned int memmap_convert(const struct memmap *map, struct boot_range *ranges);

/* RAM of any use, in bytes; and where the last of it below `limit` ends. */
uint64_t memmap_ram(const struct boot_range *ranges, unsigned int count, uint64_t limit, uint64_t *end);

/* The highest aligned place below `limit` for `size` bytes that the firmware has not given to anyone; 0: none. */
uint64_t memmap_fit(const struct memmap *map, uint64_t size, uint64_t align, uint64_t limit);

#endif
