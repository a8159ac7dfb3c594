/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whether this processor, as the firmware left it, can run the hypervisor; asked first, while there is still a way
 * back. APM 2, 15.4 (enabling SVM), 15.30.1 (VM_CR); APM 3, appendix E (CPUID).
 */
#include "loader.h"

#define VM_CR 0xc0010114u
#define VM_CR_SVMDIS (1u << 4)

struct leaf {
    uint32_t a, b, c, d;
};

static struct leaf cpuid(uint32_t number)
{
    struct leaf l;

    __asm__ volatile("cpuid" : "=a"(l.a), "=b"(l.b), "=c"(l.c), "=d"(l.d) : "a"(number), "c"(0));
    return l;
}

/* The leaf, or zeros when the processor has none of that number. */
static struct leaf extended(uint32_t number)
{
    return cpuid(0x80000000u).a >= number ? cpuid(number) : (struct leaf){0};
}

static uint64_t read_msr(uint32_t number)
{
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(number));
    return (uint64_t)high << 32 | low;
}

static bool five_level_paging(void)
{
    uint64_t cr4;

    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    return cr4 >> 12 & 1;
}

bool cpu_has_1g_pages(void)
{
    return extended(0x80000001u).d >> 26 & 1;
}

void cpu_check(void)
{
    if (!(extended(0x80000001u).c >> 2 & 1)) {
        if (cpuid(1).c >> 5 & 1)
            fail(EFI_UNSUPPORTED, "It has Intel's VT-x, which this version of Bulkhead does not support yet.",
                 "Use a computer with an AMD processor.", "This processor cannot run Bulkhead.");
        fail(EFI_UNSUPPORTED, "It has no AMD-V (SVM), or the firmware hides it.",
             "Turn on 'SVM', 'AMD-V' or 'virtualization' in the firmware's setup; in a virtual machine, allow nesting.",
             "This processor cannot run Bulkhead.");
    }
    if (read_msr(VM_CR) & VM_CR_SVMDIS)
        fail(EFI_UNSUPPORTED, "The firmware has turned AMD-V (SVM) off and locked it.",
             "Turn on 'SVM', 'AMD-V' or 'virtualization' in the firmware's setup, then switch the computer off and on.",
             "This processor cannot run Bulkhead.");
    if (!(extended(0x8000000au).d & 1))
        fail(EFI_UNSUPPORTED, "It has AMD-V, but no nested paging (NPT).",
             "Use a newer processor; in a virtual machine, allow nested paging.",
             "This processor cannot run Bulkhead.");
    if (five_level_paging())
        fail(EFI_UNSUPPORTED, "The firmware uses page tables of five levels.",
             "Turn off '5-level paging' or 'LA57' in the firmware's setup.", "Bulkhead cannot take over here.");
}
