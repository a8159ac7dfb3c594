/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page rights over the one-to-one map of entry.S: no page is both writable and executable. Of the 2 MiB pages,
 * those with the image and with the trampoline are split; all others are data and not executable.
 */
#include "cpu.h"
#include "x86.h"

#define ENTRY_PRESENT 1ull
#define ENTRY_WRITE 2ull
#define ENTRY_NX (1ull << 63)
#define LARGE_SHIFT 21

extern uint64_t page_directories[];
extern uint32_t efer_bits;
extern uint8_t image_start[], rodata_start[], data_start[];
extern uint8_t boot_stack_guard[], ap_stack_guard[];

static uint64_t low_table[512] __attribute__((aligned(4096)));
static uint64_t image_table[512] __attribute__((aligned(4096)));
static uint64_t no_execute;

static uint64_t image_rights(uintptr_t page)
{
    if (page == (uintptr_t)boot_stack_guard || page == (uintptr_t)ap_stack_guard)
        return 0;
    if (page < (uintptr_t)rodata_start)
        return ENTRY_PRESENT;
    if (page < (uintptr_t)data_start)
        return ENTRY_PRESENT | no_execute;
    return ENTRY_PRESENT | ENTRY_WRITE | no_execute;
}

static void split(uintptr_t base, uint64_t *table)
{
    for (unsigned i = 0; i < 512; i++)
        table[i] = (base + i * PAGE_SIZE) | ENTRY_PRESENT | ENTRY_WRITE | no_execute;
    page_directories[base >> LARGE_SHIFT] = (uintptr_t)table | ENTRY_PRESENT | ENTRY_WRITE;
}

static void flush_all(void)
{
    uint64_t cr3;

    __asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(cr3) : : "memory");
}

static bool has_nx(void)
{
    return cpuid(0x80000000).eax >= 0x80000001 && (cpuid(0x80000001).edx >> 20 & 1);
}

void paging_protect(void)
{
    uintptr_t image = (uintptr_t)image_start;

    if (has_nx()) {
        no_execute = ENTRY_NX;
        efer_bits |= EFER_NXE;
        msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE);
    }
    for (unsigned i = 0; i < 512; i++)
        image_table[i] = (image + i * PAGE_SIZE) | image_rights(image + i * PAGE_SIZE);
    for (unsigned i = 0; i < 2048; i++)
        if (i != image >> LARGE_SHIFT)
            page_directories[i] |= no_execute;
    page_directories[image >> LARGE_SHIFT] =
        (uintptr_t)image_table | ENTRY_PRESENT | ENTRY_WRITE;
    split(0, low_table);
    flush_all();
}

void paging_execute_low(uintptr_t page)
{
    low_table[page / PAGE_SIZE] = page | ENTRY_PRESENT;
    page_flush(page);
}
