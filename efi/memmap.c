/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Firmware may list memory in any order, and twice. From the lowest address on, up to the next edge of any entry, the
 * strongest kind that an entry says counts (hv/bootinfo.h): the one that harms least, and never RAM if anything else is
 * said. That is n entries for each of 2n edges, some hundred of either.
 */
#include "efi.h"
#include "pure.h"

#define PAGE 4096ull

/* UEFI 7.2.3: types the loader does not know are not touched; boot services' memory is free once they are left. */
static uint32_t kind_of(uint32_t type)
{
    static const uint8_t kinds[] = {
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

/* The range of one descriptor, which begins at a page (UEFI 7.2.3); empty if it ends beyond all addresses. */
static struct boot_range to_range(const void *descriptor)
{
    const struct efi_memory_descriptor *d = descriptor;
    const uint64_t start = d->physical_start & ~(PAGE - 1);
    struct boot_range r = {.start = start,
                           .end = d->pages < (~0ull - start) / PAGE ? start + d->pages * PAGE : start,
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
        if (last && last->end == at && last->efi_type == best.efi_type && last->efi_attributes == best.efi_attributes) {
            last->end = next;
            continue;
        }
        last = last ? last + 1 : ranges;
        *last = (struct boot_range){at, next, best.kind, best.efi_type, best.efi_attributes};
    }
    return last ? (unsigned int)(last - ranges) + 1 : 0;
}
