// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * An EFI program that starts an unpacked Linux kernel (an ELF file's segments) by the 64-bit boot
 * protocol: an emulated processor needs a minute to unpack a bzImage itself. efi_linux.py
 * puts segments, initrd and options behind this code and a plan of them at `plan`.
 */
#include <stdint.h>

#define EFI __attribute__((ms_abi))
#define PAGE 4096ULL
#define KERNEL_ALIGNMENT 0x200000ULL
#define FOUR_GIB 0x100000000ULL
#define MAX_RANGES 128

enum { LOADER_DATA = 2, CONVENTIONAL = 7, ACPI_TABLES = 9, ACPI_NVS = 10 };
enum { ALLOCATE_BELOW = 1, ALLOCATE_AT = 2 };
enum { RAM = 1, RESERVED = 2, ACPI = 3, NVS = 4 };

struct segment {
    uint64_t address, memory, place, size;
};

/* Places count from the start of this program. Addresses are physical. */
struct plan {
    uint64_t options, initrd, initrd_size, low, high, entry, count;
    struct segment segments[8];
};

struct services {
    uint8_t header[24];
    void *raise, *restore;
    uint64_t(EFI *allocate_pages)(int how, int type, uint64_t pages, uint64_t *address);
    void *free_pages;
    uint64_t(EFI *memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *one,
                              uint32_t *version);
    void *pool[2], *events[6], *protocols[9], *images[4];
    uint64_t(EFI *exit)(void *image, uint64_t key);
    void *time[2];
    uint64_t(EFI *watchdog)(uint64_t seconds, uint64_t code, uint64_t size, void *data);
    void *drivers[2], *open[3], *handles[2];
    uint64_t(EFI *locate)(const void *guid, void *registration, void **interface);
};

struct system {
    uint8_t header[24];
    void *vendor;
    uint64_t revision;
    void *console[6], *runtime;
    struct services *boot;
};

struct mode {
    uint32_t version, width, height, format, masks[4], stride;
};

struct graphics {
    void *call[3];
    struct {
        uint32_t count, number;
        struct mode *mode;
        uint64_t mode_size, base, size;
    } * now;
};

struct memory {
    uint32_t type, pad;
    uint64_t start, virtual_start, pages, attributes;
};

struct __attribute__((packed)) range {
    uint64_t start, size;
    uint32_t type;
};

extern const char start_of_program[];
extern const struct plan plan;

void *memset(void *to, int value, uint64_t size)
{
    void *at = to;
    __asm__ volatile("rep stosb" : "+D"(at), "+c"(size) : "a"(value) : "memory");
    return to;
}

void *memcpy(void *to, const void *from, uint64_t size)
{
    void *at = to;
    __asm__ volatile("rep movsb" : "+D"(at), "+S"(from), "+c"(size) : : "memory");
    return to;
}

static void put16(uint8_t *page, unsigned offset, uint16_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

static void put32(uint8_t *page, unsigned offset, uint32_t value)
{
    memcpy(page + offset, &value, sizeof value);
}

/* The kernel's place: where it is linked to if that is free, else the lowest that fits. 0: none. */
static uint64_t find_place(struct services *boot, const uint8_t *map, uint64_t size, uint64_t one)
{
    uint64_t need = (plan.high - plan.low + PAGE - 1) / PAGE, at = plan.low;

    if (boot->allocate_pages(ALLOCATE_AT, LOADER_DATA, need, &at) == 0)
        return at;
    for (const uint8_t *next = map; next < map + size; next += one) {
        const struct memory *memory = (const void *)next;
        at = (memory->start + KERNEL_ALIGNMENT - 1) & -KERNEL_ALIGNMENT;
        if (at < plan.low)
            at = plan.low;
        if (memory->type == CONVENTIONAL && at + need * PAGE <= FOUR_GIB &&
            at + need * PAGE <= memory->start + memory->pages * PAGE &&
            boot->allocate_pages(ALLOCATE_AT, LOADER_DATA, need, &at) == 0)
            return at;
    }
    return 0;
}

static void load_kernel(uint64_t place)
{
    memset((void *)place, 0, plan.high - plan.low);
    for (uint64_t i = 0; i < plan.count; i++) {
        const struct segment *segment = &plan.segments[i];
        memcpy((void *)(place + segment->address - plan.low), start_of_program + segment->place,
               segment->size);
    }
}

static uint32_t range_type(uint32_t type)
{
    if ((type >= 1 && type <= 4) || type == CONVENTIONAL)
        return RAM;
    return type == ACPI_TABLES ? ACPI : type == ACPI_NVS ? NVS : RESERVED;
}

/* EFI's memory map as the boot protocol's list of ranges, at 0x2d0 of `page`. */
static void describe_memory(uint8_t *page, const uint8_t *map, uint64_t size, uint64_t one)
{
    struct range *ranges = (void *)(page + 0x2d0);
    unsigned count = 0;

    for (const uint8_t *next = map; next < map + size; next += one) {
        const struct memory *memory = (const void *)next;
        uint32_t type = range_type(memory->type);
        struct range *last = count ? &ranges[count - 1] : 0;
        if (last && last->type == type && last->start + last->size == memory->start)
            last->size += memory->pages * PAGE;
        else if (count < MAX_RANGES)
            ranges[count++] = (struct range){memory->start, memory->pages * PAGE, type};
    }
    page[0x1e8] = count;
}

/* The screen, for the kernel's console on it. */
static void describe_screen(uint8_t *page, struct services *boot)
{
    static const uint8_t guid[] = {0xde, 0xa9, 0x42, 0x90, 0xdc, 0x23, 0x38, 0x4a,
                                   0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a};
    struct graphics *graphics = 0;

    if (boot->locate(guid, 0, (void **)&graphics) != 0 || graphics->now->mode->format > 1)
        return;
    const struct mode *mode = graphics->now->mode;
    int blue_first = mode->format == 1;
    page[0x0f] = 0x70;
    put16(page, 0x12, mode->width);
    put16(page, 0x14, mode->height);
    put16(page, 0x16, 32);
    put32(page, 0x18, graphics->now->base);
    put32(page, 0x1c, graphics->now->size);
    put16(page, 0x24, mode->stride * 4);
    /* Size and position of red, green, blue and the rest. */
    const uint8_t colours[8] = {8, blue_first ? 16 : 0, 8, 8, 8, blue_first ? 0 : 16, 8, 24};
    memcpy(page + 0x26, colours, sizeof colours);
    put32(page, 0x3a, graphics->now->base >> 32);
}

static void describe_boot(uint8_t *page)
{
    put16(page, 0x1fe, 0xaa55);
    memcpy(page + 0x202, "HdrS", 4);
    put16(page, 0x206, 0x20f);
    page[0x210] = 0xff;
    page[0x211] = 1;
    put32(page, 0x218, (uint64_t)start_of_program + plan.initrd);
    put32(page, 0x21c, plan.initrd_size);
    put32(page, 0x228, (uint64_t)start_of_program + plan.options);
    put32(page, 0x230, KERNEL_ALIGNMENT);
    put32(page, 0x238, 2047);
}

static void describe_efi(uint8_t *page, const struct system *system, const uint8_t *map,
                         uint64_t size, uint64_t one, uint32_t version)
{
    memcpy(page + 0x1c0, "EL64", 4);
    put32(page, 0x1c4, (uint64_t)system);
    put32(page, 0x1c8, one);
    put32(page, 0x1cc, version);
    put32(page, 0x1d0, (uint64_t)map);
    put32(page, 0x1d4, size);
}

EFI uint64_t efi_main(void *image, struct system *system)
{
    struct services *boot = system->boot;
    uint64_t at = FOUR_GIB - 1, size = 15 * PAGE, key, one, place, left;
    uint32_t version;
    uint8_t *page, *map;

    if (boot->allocate_pages(ALLOCATE_BELOW, LOADER_DATA, 16, &at) != 0)
        return 1;
    page = memset((void *)at, 0, PAGE);
    map = page + PAGE;
    if ((left = boot->memory_map(&size, map, &key, &one, &version)) != 0)
        return left;
    if ((place = find_place(boot, map, size, one)) == 0)
        return 1;
    load_kernel(place);
    describe_boot(page);
    describe_screen(page, boot);
    boot->watchdog(0, 0, 0, 0);
    do {
        size = 15 * PAGE;
        if ((left = boot->memory_map(&size, map, &key, &one, &version)) != 0)
            return left;
    } while (boot->exit(image, key) != 0);
    describe_memory(page, map, size, one);
    describe_efi(page, system, map, size, one, version);
    __asm__ volatile("cli; jmp *%0" : : "r"(place + plan.entry - plan.low), "S"(page) : "memory");
    __builtin_unreachable();
}
