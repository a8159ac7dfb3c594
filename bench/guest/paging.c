/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Page rights over the one-to-one map of entry.S, by 2 MiB (measure.lds lays the image out for it):
 * no page is both writable and executable, and there is nothing below a stack. Large pages keep the
 * walks short that a hypervisor without decode assists makes for each exit, as in any kernel.
 * Only the low 2 MiB are split, for the trampoline.
 */
#include "cpu.h"
#include "x86.h"

#define ENTRY_PRESENT 1ull
#define ENTRY_WRITE 2ull
#define ENTRY_NX (1ull << 63)
#define LARGE_SHIFT 21
#define ENTRIES 2048u

enum { PAGE_TEXT = 8, PAGE_HOLE_1 = 9, PAGE_DATA = 10, PAGE_HOLE_2 = 11, PAGE_SPECIAL = 12 };

extern uint64_t page_directories[ENTRIES];
extern uint32_t efer_bits;
extern uint8_t start32[], boot_stack[], ap_stack[];

static uint64_t low_table[512] __attribute__((aligned(4096)));
static uint64_t no_execute;

static void flush_all(void)
{
    uint64_t cr3;

    __asm__ volatile("movq %%cr3, %0; movq %0, %%cr3" : "=r"(cr3) : : "memory");
}

static bool has_nx(void)
{
    return cpuid(0x80000000).eax >= 0x80000001 && (cpuid(0x80000001).edx >> 20 & 1);
}

static void check_layout(void)
{
    if ((uintptr_t)start32 >> LARGE_SHIFT != PAGE_TEXT ||
        (uintptr_t)boot_stack != (uintptr_t)PAGE_DATA << LARGE_SHIFT ||
        (uintptr_t)ap_stack != (uintptr_t)PAGE_SPECIAL << LARGE_SHIFT)
        guest_fail("image-layout");
}

void paging_protect(void)
{
    check_layout();
    if (has_nx()) {
        no_execute = ENTRY_NX;
        efer_bits |= EFER_NXE;
        msr_write(MSR_EFER, msr_read(MSR_EFER) | EFER_NXE);
    }
    for (unsigned i = 0; i < 512; i++)
        low_table[i] = i * PAGE_SIZE | ENTRY_PRESENT | ENTRY_WRITE | no_execute;
    for (unsigned i = 0; i < ENTRIES; i++)
        page_directories[i] |= no_execute;
    page_directories[0] = (uintptr_t)low_table | ENTRY_PRESENT | ENTRY_WRITE;
    page_directories[PAGE_TEXT] &= ~(no_execute | ENTRY_WRITE);
    page_directories[PAGE_HOLE_1] = 0;
    page_directories[PAGE_HOLE_2] = 0;
    flush_all();
}

void paging_execute_low(uintptr_t page)
{
    low_table[page / PAGE_SIZE] = page | ENTRY_PRESENT;
    page_flush(page);
}
