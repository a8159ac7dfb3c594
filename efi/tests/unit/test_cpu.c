/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Every reason a processor can be refused for, most of which no machine of the bench has. */
/* sources: cpu.c ../hypervisor/lib/lib.c */
#include "../../pure.h"
#include "../check.h"

static void refuse(struct cpu_facts f, const char *why, const char *remedy)
{
    struct trouble t = {0};

    CHECK(!cpu_suits(&f, &t) && strstr(t.why, why) && strstr(t.remedy, remedy));
}

int main(void)
{
    const struct cpu_facts good = {.svm = true, .nested_paging = true};
    struct trouble t;

    CHECK(cpu_suits(&good, &t));
    refuse((struct cpu_facts){.vmx = true}, "Intel's VT-x", "AMD processor");
    refuse((struct cpu_facts){0}, "no AMD-V (SVM)", "allow nesting");
    refuse((struct cpu_facts){.svm = true, .nested_paging = true, .locked = true}, "off and locked", "off and on");
    refuse((struct cpu_facts){.svm = true}, "no nested paging", "newer processor");
    refuse((struct cpu_facts){.svm = true, .nested_paging = true, .five_levels = true}, "five levels", "LA57");
    return 0;
}
