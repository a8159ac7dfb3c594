/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Asked first, while there is a way back. APM 2, 15.4 (enabling SVM), 15.30.1 (VM_CR); APM 3, appendix E (CPUID). */
#include <cpuid.h>

#include "pure.h"

#define VM_CR 0xc0010114u
#define TURN_ON "Turn on 'SVM', 'AMD-V' or 'virtualization' in the firmware's setup; "

bool cpu_suits(const struct cpu_facts *f, struct trouble *t)
{
    if (!f->svm && f->vmx)
        return trouble_set(t, "Use a computer with an AMD processor.",
                           "The processor has Intel's VT-x, which this version of Bulkhead does not support yet.");
    if (!f->svm)
        return trouble_set(t, TURN_ON "in a virtual machine, allow nesting.",
                           "The processor has no AMD-V (SVM), or the firmware hides it.");
    if (f->locked)
        return trouble_set(t, TURN_ON "then switch the computer off and on.",
                           "The firmware has turned AMD-V (SVM) off and locked it.");
    if (!f->nested_paging)
        return trouble_set(t, "Use a newer processor; in a virtual machine, allow nested paging.",
                           "The processor has AMD-V, but no nested paging (NPT).");
    if (f->five_levels)
        return trouble_set(t, "Turn off '5-level paging' or 'LA57' in the firmware's setup.",
                           "The firmware uses page tables of five levels.");
    return true;
}

#ifndef HV_HOST
struct cpu_facts cpu_read(void)
{
    uint32_t a, b, c, d, low = 0, high;
    struct cpu_facts f;
    uint64_t cr4;

    f.vmx = __get_cpuid(1, &a, &b, &c, &d) && c >> 5 & 1;
    f.svm = __get_cpuid(0x80000001u, &a, &b, &c, &d) && c >> 2 & 1;
    f.nested_paging = __get_cpuid(0x8000000au, &a, &b, &c, &d) && d & 1;
    if (f.svm)
        __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(VM_CR));
    f.locked = low >> 4 & 1; /* SVMDIS */
    __asm__ volatile("mov %%cr4, %0" : "=r"(cr4));
    f.five_levels = cr4 >> 12 & 1;
    return f;
}
#endif
