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

/* Room for the firmware's map, of which some 2,700 entries fit, and for the ranges it can become. */
#define MEMMAP_SIZE (128u << 10)
#define MEMMAP_RANGES (2 * (MEMMAP_SIZE / sizeof(struct efi_memory_descriptor)) + 1)

struct memmap {
    const void *entries; /* struct efi_memory_descriptor, `step` bytes apart */
    uint64_t size, step;
};

/* Fills in ranges[MEMMAP_RANGES] and returns how many there are. */
unsigned int memmap_convert(const struct memmap *map, struct boot_range *ranges);

#endif
