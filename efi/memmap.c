/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware may list memory in any order, and twice. From the lowest address on, up to the next edge of any entry, the
 * strongest kind that an entry says counts (hv/bootinfo.h): the one that harms least, and never RAM if anything else is
 * said. That is n entries for each of 2n edges, some hundred of either.
 */
#include "efi.h"
#include "pure.h"

/* By EFI_MEMORY_TYPE (UEFI 7.2.3). Boot services' memory is free once they are left; other types are not touched. */
static const uint8_t kinds[] = {
    BOOT_RESERVED,     /* reserved */
    BOOT_LOADER,       /* the loader's code */
    BOOT_LOADER,       /* and data */
    BOOT_RAM,          /* boot services' code */
    BOOT_RAM,          /* and data */
    BOOT_RUNTIME_CODE, /* runtime services' code */
    BOOT_RUNTIME_DATA, /* and data */
    BOOT_RAM,          /* free */
    BOOT_UNUSABLE,     /* with errors */
    BOOT_ACPI,         /* tables */
    BOOT_ACPI_NVS,     /* firmware's own */
    BOOT_MMIO,         /* registers */
    BOOT_MMIO,         /* ports */
    BOOT_RESERVED,     /* Itanium's firmware */
    BOOT_PERSISTENT,   /* survives power loss */
};

/* The range of one descriptor, which begins at a page (UEFI 7.2.3); empty if it ends beyond all addresses. */
static struct boot_range to_range(const void *descriptor)
{
    const struct efi_memory_descriptor *d = descriptor;
    const uint64_t start = ROUND_DOWN(d->physical_start, PAGE_SIZE);

    return (struct boot_range){
        .start = start,
        .end = d->pages < (~0ull - start) / PAGE_SIZE ? start + d->pages * PAGE_SIZE : start,
        .kind = d->type < sizeof(kinds) ? kinds[d->type] : BOOT_RESERVED,
        .efi_attributes = d->attributes,
    };
}

unsigned int memmap_convert(const void *map, uint64_t size, uint64_t step, struct boot_range *ranges)
{
    struct boot_range *last = NULL;

    for (uint64_t at = 0, next; at != ~0ull; at = next) {
        struct boot_range best = {0};

        next = ~0ull;
        for (uint64_t i = 0; i < size / step; i++) {
            const struct boot_range r = to_range((const uint8_t *)map + i * step);
            const uint64_t edge = r.start > at ? r.start : r.end;

            if (edge > at && edge < next)
                next = edge;
            if (r.start <= at && r.end > at && r.kind > best.kind)
                best = r;
        }
        if (!best.kind)
            continue;
        if (last && last->end == at && last->kind == best.kind && last->efi_attributes == best.efi_attributes) {
            last->end = next;
            continue;
        }
        last = last ? last + 1 : ranges;
        *last = (struct boot_range){at, next, best.kind, best.efi_attributes};
    }
    return last ? (unsigned int)(last - ranges) + 1 : 0;
}
