/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaving the firmware. All memory is taken before; then the map is read and boot services are left with its key,
 * again if an event of the firmware's changed the map in between (UEFI 7.4.6); then only plain memory is touched.
 */
#include "loader.h"

#define TRIES 8

noreturn void enter(uint64_t root, void *stack_end, const struct bootinfo *info);

/* Tables for the first 4 GiB, and up to where this program lies: its last instructions run on them. */
static uint64_t build_paging(const struct bootinfo *info)
{
    uint64_t gib = ((uint64_t)fw_loaded->base + fw_loaded->size + GIB(1) - 1) / GIB(1);
    void *pool;

    gib = gib < 4 ? 4 : gib;
    if (gib > PAGING_MAX_GIB)
        fail("The firmware put it above 512 GiB.", "Update the firmware.", "This loader cannot run where it is.");
    pool = pages_get(PAGING_PAGES(gib) * 4096, 4096, "page tables");
    memset(pool, 0, PAGING_PAGES(gib) * 4096);
    paging_build(pool, gib, info->image_start, info->image_size);
    return (uint64_t)pool;
}

void jump(struct bootinfo *info)
{
    static _Alignas(16) uint8_t stack[16384];
    const uint64_t root = build_paging(info);
    unsigned int tries = 0;

    while (boot_services->exit_boot_services(fw_image, pages_map(info)) != EFI_SUCCESS)
        if (++tries == TRIES)
            fail("It does not accept its own memory map.", "Update the firmware.",
                 "The firmware does not let go of the machine.");
    enter(root, stack + sizeof(stack), info);
}
