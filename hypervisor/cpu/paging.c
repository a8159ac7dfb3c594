/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The hypervisor's own address space, the same on all CPUs:
 *
 *   0xffff800000000000  the direct map: all RAM, writable, never executable (without the image itself)
 *   0xffffc00000000000  the frame table, backed in pieces of 2 MiB
 *   0xffffe00000000000  the window: stacks with a hole below each, device registers (uncached)
 *   0xffffffff80000000  the image: code executable, constants read-only, data writable
 *
 * Nothing is ever both writable and executable, and nothing is mapped below 0xffff800000000000 but, while an AP starts,
 * its first page. The tree changes at boot and when the frame table or the window grow (window_lock); entries are only
 * added.
 */
#include "cpu.h"
#include "x86.h"

#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>

#define FRAME_TABLE 0xffffc00000000000ul
#define WINDOW 0xffffe00000000000ul
#define PTE_LARGE BIT(7)
#define PTE_GLOBAL BIT(8)
#define PTE_NX BIT(63)
#define PTE_ADDRESS 0x000ffffffffff000ull
#define DATA (PTE_P | PTE_W | PTE_NX | PTE_GLOBAL)
/* WB, WT, UC-, UC, then WC, WP in the upper half. */
#define PAT_VALUE 0x0000050100070406ull

struct frame *const hv_frame_table = (struct frame *)FRAME_TABLE;
extern char hv_image[], hv_text_end[], hv_rodata_end[], hv_image_end[];

static paddr_t root;
static paddr_t early_low, early_top; /* RAM that tables are taken from, downwards, until the allocator is there */
static bool allocator_ready;
static spinlock_t window_lock = SPINLOCK(LOCK_FRAME - 1); /* new tables come from the allocator */
static uint64_t window_next = WINDOW;

/* 0: no memory; only when the control domain may have used it up. */
static paddr_t table_new(void)
{
    if (allocator_ready) {
        void *page = page_alloc();
        return page ? ptr_paddr(page) : 0;
    }
    if (early_top - early_low < PAGE_SIZE)
        panic("Too little memory below 4 GiB for page tables.");
    early_top -= PAGE_SIZE;
    zero_page(paddr_ptr(early_top));
    return early_top;
}

/* The entry for `va` in its table of `level`; tables on the way are made. NULL: no memory. */
static uint64_t *entry_for(paddr_t tree, uint64_t va, unsigned level)
{
    for (unsigned l = 4; l > level; l--) {
        uint64_t *entry = (uint64_t *)paddr_ptr(tree) + (va >> (12 + 9 * (l - 1)) & 511);
        paddr_t table = *entry ? 0 : table_new();
        if (!*entry && !table)
            return NULL;
        if (table)
            *entry = table | PTE_P | PTE_W;
        BUG_ON(*entry & PTE_LARGE);
        tree = *entry & PTE_ADDRESS;
    }
    return (uint64_t *)paddr_ptr(tree) + (va >> (12 + 9 * (level - 1)) & 511);
}

bool paging_map(paddr_t tree, uint64_t va, paddr_t pa, uint64_t size, uint64_t flags)
{
    while (size) {
        unsigned level = 1;
        uint64_t both = va | pa;
        if (hv_features.gigabyte_pages && !(both & (GIB(1) - 1)) && size >= GIB(1))
            level = 3;
        else if (!(both & (MIB(2) - 1)) && size >= MIB(2))
            level = 2;
        uint64_t step = PAGE_SIZE << (9 * (level - 1));
        uint64_t *entry = entry_for(tree, va, level);
        if (!entry)
            return false;
        *entry = pa | flags | (level > 1 ? PTE_LARGE : 0);
        va += step;
        pa += step;
        size -= step;
    }
    return true;
}

static void map(uint64_t va, paddr_t pa, uint64_t size, uint64_t flags)
{
    BUG_ON(!paging_map(root, va, pa, size, flags));
}

/* The largest free range the loader's tables reach gives the first table pages. */
static void early_init(void)
{
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++) {
        uint64_t end = MIN(r->end, GIB(4));
        if (r->kind == BOOT_RAM && end > r->start && end - r->start > early_top - early_low) {
            early_low = r->start;
            early_top = end;
        }
    }
    if (!early_top)
        panic("The firmware gives no memory below 4 GiB.");
}

static void map_image(void)
{
    paddr_t pa = hv_bootinfo->image_start;
    uint64_t text = (uint64_t)hv_image, ro = (uint64_t)hv_text_end, rw = (uint64_t)hv_rodata_end;
    map(text, pa, ro - text, PTE_P | PTE_GLOBAL);
    map(ro, pa + (ro - text), rw - ro, PTE_P | PTE_NX | PTE_GLOBAL);
    map(rw, pa + (rw - text), (uint64_t)hv_image_end - rw, DATA);
}

static void map_ram(const struct boot_range *r)
{
    paddr_t image = hv_bootinfo->image_start, image_end = image + ROUND_UP(hv_bootinfo->image_size, PAGE_SIZE);
    paddr_t cut = MIN(MAX(image, r->start), r->end), after = MIN(MAX(image_end, r->start), r->end);
    map(hv_direct_map + r->start, r->start, cut - r->start, DATA);
    map(hv_direct_map + after, after, r->end - after, DATA);
}

/* The allocator backs the frame table with its lock held, so tables for that must be there already: one for 256 GiB. */
static void prepare_frame_table(const struct boot_range *r)
{
    for (uint64_t chunk = r->start / FRAME_CHUNK; chunk <= (r->end - 1) / FRAME_CHUNK; chunk = (chunk | 511) + 1)
        entry_for(root, FRAME_TABLE + chunk * MIB(2), 2);
}

void paging_load(void)
{
    uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_MCE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    cr4 |= hv_features.smep ? CR4_SMEP : 0;
    cr4 |= hv_features.smap ? CR4_SMAP : 0;
    cr4 |= hv_features.xsave ? CR4_OSXSAVE : 0;
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_NX);
    wrmsr(MSR_PAT, PAT_VALUE);
    write_cr0(CR0_PG | CR0_WP | CR0_NE | CR0_ET | CR0_MP | CR0_PE);
    write_cr3(root);
    write_cr4(cr4);
}

/* The loader's memory is given away later; what is asked for after that is copied. Strings are not. */
static void keep_bootinfo(void)
{
    size_t size = (uintptr_t)hv_ranges_end - (uintptr_t)hv_ranges;
    unsigned order = 0;
    while (PAGE_SIZE << order < sizeof(struct bootinfo) + size)
        order++;
    struct bootinfo *copy = pages_alloc(order);
    BUG_ON(!copy);
    *copy = *hv_bootinfo;
    hv_bootinfo = copy;
    hv_ranges = memcpy(copy + 1, hv_ranges, size);
    hv_ranges_end = hv_ranges + copy->nr_ranges;
    const struct boot_range *r = boot_range_at(copy->efi_vendor);
    if (!r || (r->kind != BOOT_RUNTIME_CODE && r->kind != BOOT_RUNTIME_DATA))
        copy->efi_vendor = 0; /* not where it stays */
}

void paging_init(void)
{
    early_init();
    root = table_new();
    map_image();
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++)
        if (r->kind <= BOOT_RUNTIME_DATA) {
            map_ram(r);
            prepare_frame_table(r);
        }
    paging_load();
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++) {
        if (r->kind != BOOT_RAM)
            continue;
        /* What the tables above were taken from is not free any more; it lies at the end of what was reached. */
        paddr_t reached = MIN(r->end, GIB(4));
        bool early = r->start == early_low;
        if (frame_add_ram(r->start, early ? early_top : r->end) || (early && frame_add_ram(reached, r->end)))
            log_line("Memory from %lx to %lx is left out: too many pieces.", r->start, r->end);
    }
    allocator_ready = true;
    keep_bootinfo();
}

void metal_back_frame_table(uint64_t chunk, paddr_t at) { map(FRAME_TABLE + chunk * MIB(2), at, MIB(2), DATA); }

/* Maps this in the window, behind an unmapped page, with large pages if it is large; 0: no memory. */
static uint64_t window_map(paddr_t pa, uint64_t size, uint64_t flags)
{
    spin_lock(&window_lock);
    uint64_t va = window_next + PAGE_SIZE;
    if (size >= MIB(2))
        va = ROUND_UP(va, MIB(2)) + pa % MIB(2);
    window_next = va + size;
    bool done = paging_map(root, va, pa, size, flags);
    spin_unlock(&window_lock);
    return done ? va : 0;
}

uint64_t stack_alloc(void)
{
    void *pages = pages_alloc(STACK_ORDER);
    uint64_t va = pages ? window_map(ptr_paddr(pages), STACK_SIZE, DATA) : 0;
    BUG_ON(!va);
    return va + STACK_SIZE;
}

void *metal_map_mmio(paddr_t base, size_t size)
{
    paddr_t first = base & PAGE_MASK;
    uint64_t va = window_map(first, ROUND_UP(base + size - first, PAGE_SIZE), DATA | PTE_UNCACHED);
    return va ? (void *)(va + (base - first)) : NULL;
}

/* Its tables are kept for the next start. */
paddr_t paging_trampoline(paddr_t page, bool mapped)
{
    map(page, page, PAGE_SIZE, mapped ? PTE_P : 0);
    invlpg((void *)page);
    return root;
}

void zero_page(void *page)
{
    uint64_t count = PAGE_SIZE / 8;
    __asm__ volatile("rep stosq" : "+D"(page), "+c"(count) : "a"(0) : "memory");
}
