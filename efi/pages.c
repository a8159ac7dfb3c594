/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The loader's memory: whole pages of the type "loader data", taken as high as they fit, so that the low memory that
 * devices and the control domain want stays free. The list exists for the way back to the firmware.
 */
#include "loader.h"

#define MAX_HELD 32
#define PAGE 4096ull

static struct {
    uint64_t at, pages;
} held[MAX_HELD];
static unsigned int nr_held;
static uint64_t map_buffer, map_room;

/*
 * The buffer is one page allocation that is kept: allocating changes the map, so the size asked for leaves room, and
 * a map for leaving boot services must not allocate at all.
 */
void pages_map(struct memmap *map, uint64_t *key)
{
    efi_status status = EFI_SUCCESS;
    uint64_t wanted;
    uint32_t version;

    for (unsigned int tries = 0; tries < 8; tries++) {
        map->size = map_room;
        map->entries = (const void *)map_buffer;
        status = boot_services->get_memory_map(&map->size, (void *)map_buffer, key, &map->step, &version);
        if (status == EFI_SUCCESS && map->step >= sizeof(struct efi_memory_descriptor))
            return;
        if (status != EFI_BUFFER_TOO_SMALL)
            break;
        if (map_buffer)
            boot_services->free_pages(map_buffer, map_room / PAGE);
        wanted = (map->size + 64 * map->step + PAGE - 1) & ~(PAGE - 1);
        map_buffer = map_room = 0;
        status = boot_services->allocate_pages(EFI_ANY_PAGES, EFI_LOADER_DATA, wanted / PAGE, &map_buffer);
        if (status != EFI_SUCCESS)
            break;
        map_room = wanted;
    }
    fail(status, status_text(status), "Update the firmware.", "The firmware's memory map cannot be read.");
}

void *pages_get(uint64_t size, uint64_t align, uint64_t limit, const char *what)
{
    uint64_t pages = (size + PAGE - 1) / PAGE, at, key;
    struct memmap map;

    pages_map(&map, &key);
    at = memmap_fit(&map, pages * PAGE, align, FOUR_GIB);
    if (!at && limit > FOUR_GIB)
        at = memmap_fit(&map, pages * PAGE, align, limit);
    if (!at || nr_held == MAX_HELD ||
        boot_services->allocate_pages(EFI_AT_ADDRESS, EFI_LOADER_DATA, pages, &at) != EFI_SUCCESS)
        fail(EFI_LOAD_ERROR, "No free memory in one piece is large enough.",
             "Use a smaller initrd, or a machine with more memory.", "There are no %llu MiB of memory for %s.",
             (unsigned long long)(size + MIB(1) - 1) >> 20, what);
    held[nr_held].at = at;
    held[nr_held++].pages = pages;
    return (void *)at;
}

void pages_release_all(void)
{
    while (nr_held) {
        nr_held--;
        boot_services->free_pages(held[nr_held].at, held[nr_held].pages);
    }
    if (map_buffer)
        boot_services->free_pages(map_buffer, map_room / PAGE);
    map_buffer = map_room = 0;
}
