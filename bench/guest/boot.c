/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The PVH start info and what it points to, all of it below 4 GiB. */
#include "boot.h"

#include "text.h"

#include <stdbool.h>
#include <xen/xen.h>
#include <xen/arch-x86/hvm/start_info.h>

#define E820_RAM 1u
#define LARGE_PAGE 0x200000ull
#define FOUR_GIB (1ull << 32)

struct boot boot;
extern uint8_t image_end[];

static void line_take(uint64_t address)
{
    const char *from = (const char *)(uintptr_t)address;
    size_t n = 0;

    for (; from && from[n] && n + 1 < sizeof(boot.command_line); n++)
        boot.command_line[n] = from[n];
    boot.command_line[n] = 0;
}

static void ram_add(uint64_t start, uint64_t length, uint32_t type)
{
    if (type != E820_RAM || boot.ram_count == sizeof(boot.ram) / sizeof(boot.ram[0]))
        return;
    boot.ram[boot.ram_count++] = (struct region){start, start + length};
}

const char *boot_read(uint32_t info)
{
    const struct hvm_start_info *s = (const void *)(uintptr_t)info;
    const struct hvm_memmap_table_entry *m;

    if (s->magic != XEN_HVM_START_MAGIC_VALUE)
        return "no-PVH-start-info";
    boot.rsdp = s->rsdp_paddr;
    line_take(s->cmdline_paddr);
    m = (const void *)(uintptr_t)s->memmap_paddr;
    if (s->version < 1 || !m)
        return "no-memory-map";
    for (uint32_t i = 0; i < s->memmap_entries; i++)
        ram_add(m[i].addr, m[i].size, m[i].type);
    return NULL;
}

struct region boot_untouched(void)
{
    struct region best = {0, 0};

    for (unsigned i = 0; i < boot.ram_count; i++) {
        struct region r = boot.ram[i];

        if (r.start < (uintptr_t)image_end)
            r.start = (uintptr_t)image_end;
        /* The top may hold what firmware left there; three quarters are plenty. */
        r.start = (r.start + LARGE_PAGE) & ~(LARGE_PAGE - 1);
        r.end = (r.end < FOUR_GIB ? r.end : FOUR_GIB) & ~(LARGE_PAGE - 1);
        if (r.end <= r.start)
            continue;
        r.end = r.start + ((r.end - r.start) * 3 / 4 & ~(LARGE_PAGE - 1));
        if (r.end - r.start > best.end - best.start)
            best = r;
    }
    return best;
}
