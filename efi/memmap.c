/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware may list memory in any order, and twice. Kinds are inserted strongest first, each only where nothing is
 * yet, so a page that two entries claim gets the kind that harms least: never RAM if anything else is said of it.
 */
#include "memmap.h"

#define PAGE 4096ull
#define TOP (~0ull << 12)

/* Strongest first. */
static const uint32_t by_strength[] = {
    BOOT_UNUSABLE, BOOT_RESERVED,   BOOT_MMIO, BOOT_RUNTIME_CODE, BOOT_RUNTIME_DATA,
    BOOT_ACPI_NVS, BOOT_PERSISTENT, BOOT_ACPI, BOOT_LOADER,       BOOT_RAM,
};

/* UEFI 7.2.3: types the loader does not know are not touched; boot services' memory is free once they are left. */
static uint32_t kind_of(uint32_t type)
{
    static const uint8_t kinds[] = {
        [EFI_RESERVED] = BOOT_RESERVED,
        [EFI_LOADER_CODE] = BOOT_LOADER,
        [EFI_LOADER_DATA] = BOOT_LOADER,
        [EFI_BOOT_CODE] = BOOT_RAM,
        [EFI_BOOT_DATA] = BOOT_RAM,
        [EFI_CONVENTIONAL] = BOOT_RAM,
        [EFI_RUNTIME_CODE] = BOOT_RUNTIME_CODE,
        [EFI_RUNTIME_DATA] = BOOT_RUNTIME_DATA,
        [EFI_UNUSABLE] = BOOT_UNUSABLE,
        [EFI_ACPI_RECLAIM] = BOOT_ACPI,
        [EFI_ACPI_NVS] = BOOT_ACPI_NVS,
        [EFI_MMIO] = BOOT_MMIO,
        [EFI_MMIO_PORTS] = BOOT_MMIO,
        [EFI_PERSISTENT] = BOOT_PERSISTENT,
    };

    return type < sizeof(kinds) && kinds[type] ? kinds[type] : BOOT_RESERVED;
}

/* The range of one descriptor, which begins at a page (UEFI 7.2.3); of one that ends nowhere what there can be. */
static struct boot_range to_range(const struct efi_memory_descriptor *d)
{
    const uint64_t start = d->physical_start & ~(PAGE - 1), room = (TOP - start) / PAGE;
    struct boot_range r = {.start = start,
                           .end = start + (d->pages < room ? d->pages : room) * PAGE,
                           .kind = kind_of(d->type),
                           .efi_type = d->type,
                           .efi_attributes = d->attributes};

    /* One value for all that is used alike, so that neighbours join. */
    if (r.kind == BOOT_RAM)
        r.efi_type = EFI_CONVENTIONAL;
    else if (r.kind == BOOT_LOADER)
        r.efi_type = EFI_LOADER_DATA;
    return r;
}

/* Inserts what of `r` lies in the gaps between ranges[0..count); returns the new count. */
static unsigned int insert(struct boot_range *ranges, unsigned int count, struct boot_range r)
{
    for (unsigned int i = 0; r.start < r.end; i++) {
        uint64_t gap_end = i < count && ranges[i].start < r.end ? ranges[i].start : r.end;

        if (r.start < gap_end) {
            for (unsigned int j = count; j > i; j--)
                ranges[j] = ranges[j - 1];
            ranges[i] = r;
            ranges[i].end = gap_end;
            r.start = gap_end;
            count++;
        } else if (ranges[i].end > r.start) {
            r.start = ranges[i].end;
        }
    }
    return count;
}

static unsigned int join(struct boot_range *ranges, unsigned int count)
{
    unsigned int last = 0;

    for (unsigned int i = 1; i < count; i++) {
        struct boot_range *a = &ranges[last], *b = &ranges[i];

        if (a->end == b->start && a->efi_type == b->efi_type && a->efi_attributes == b->efi_attributes)
            a->end = b->end;
        else
            ranges[++last] = *b;
    }
    return count ? last + 1 : 0;
}

/*
 * MEMMAP_RANGES are enough: each descriptor has two ends, so n of them cut the address space into at most 2n + 1
 * pieces, and no two ranges share a piece.
 */
unsigned int memmap_convert(const struct memmap *map, struct boot_range *ranges)
{
    const uint64_t entries = map->size / map->step;
    unsigned int count = 0;

    for (unsigned int k = 0; k < sizeof(by_strength) / sizeof(by_strength[0]); k++) {
        for (uint64_t i = 0; i < entries; i++) {
            struct efi_memory_descriptor d;

            memcpy(&d, (const uint8_t *)map->entries + i * map->step, sizeof(d));
            if (kind_of(d.type) == by_strength[k])
                count = insert(ranges, count, to_range(&d));
        }
    }
    return join(ranges, count);
}
