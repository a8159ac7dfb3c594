/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Leaving the firmware. All memory is taken before; then the map is read and boot services are left with its key,
 * again if an event of the firmware's changed the map in between (UEFI 7.4.6); then only plain memory is touched.
 */
#include "loader.h"
#include "paging.h"

#define STACK_SIZE 32768u
#define TRIES 8

/* Read by enter.S. */
struct enter {
    uint64_t root, stack_end, entry, info;
};
_Static_assert(offsetof(struct enter, entry) == 16 && offsetof(struct enter, info) == 24, "enter.S");

noreturn void enter(const struct enter *how);

/* Everything the firmware calls RAM must be in the identity map, and our own code. */
static uint64_t identity_end(const struct boot_range *ranges, unsigned int count)
{
    uint64_t end;

    memmap_ram(ranges, count, IDENTITY_MAX, &end);
    end = end < FOUR_GIB ? FOUR_GIB : end;
    if ((uint64_t)fw_loaded->base + fw_loaded->size > end)
        fail(EFI_LOAD_ERROR, "The firmware put it above 512 GiB.", "Update the firmware.",
             "This loader cannot run where it is.");
    return (end + GIB(1) - 1) & ~(GIB(1) - 1);
}

static uint64_t build_paging(struct bootinfo *info)
{
    struct paging p = {.identity_end = info->identity_end,
                       .image_start = info->image_start,
                       .image_size = info->image_size,
                       .has_1g = cpu_has_1g_pages()};
    uint64_t size = paging_pages(&p) * 4096;
    void *pool = pages_get(size, 4096, FOUR_GIB, "page tables");

    memset(pool, 0, size);
    paging_build(&p, pool, (uint64_t)pool);
    return (uint64_t)pool;
}

static void leave_boot_services(struct memmap *map)
{
    efi_status status = EFI_INVALID_PARAMETER;
    uint64_t key;

    for (unsigned int tries = 0; tries < TRIES && status == EFI_INVALID_PARAMETER; tries++) {
        pages_map(map, &key);
        status = boot_services->exit_boot_services(fw_image, key);
    }
    if (status != EFI_SUCCESS)
        fail(status, status_text(status), "Update the firmware.", "The firmware does not let go of the machine.");
}

void jump(struct bootinfo *info, uint64_t entry)
{
    struct enter how = {.entry = entry, .info = (uint64_t)info};
    struct boot_range *ranges;
    struct memmap map;
    uint64_t key, room;

    pages_map(&map, &key);
    /* What is allocated until we leave splits a few of the firmware's entries. */
    room = memmap_room(&map) + 256;
    ranges = pages_get(room * sizeof(*ranges), 4096, FOUR_GIB, "the memory map");
    how.stack_end = (uint64_t)pages_get(STACK_SIZE, 4096, FOUR_GIB, "a stack") + STACK_SIZE;
    info->nr_ranges = memmap_convert(&map, ranges);
    info->identity_end = identity_end(ranges, info->nr_ranges);
    how.root = build_paging(info);

    leave_boot_services(&map);
    info->ranges = (uint64_t)ranges;
    /* Never beyond the room: firmware that added 128 entries since loses the last ones, which is RAM unused. */
    if (memmap_room(&map) > room)
        map.size = (room - 1) / 2 * map.step;
    info->nr_ranges = memmap_convert(&map, ranges);
    enter(&how);
}
