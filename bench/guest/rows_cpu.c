/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group cpu: instructions every hypervisor has to take.
 *
 *   overhead        nothing: the call of an empty operation between two clock readings. It is part
 *                   of every row that does not keep its own clock, and subtracted from none.
 *   cpuid           CPUID leaf 0
 *   msr_efer_read   RDMSR of EFER
 *   hypercall_kvm   the cheapest KVM hypercall (1, KVM_HC_VAPIC_POLL_IRQ), under KVM only
 */
#include "measure.h"
#include "platform.h"
#include "text.h"
#include "x86.h"

static int64_t op_nothing(void)
{
    return 0;
}

static int64_t op_cpuid(void)
{
    cpuid(0);
    return 0;
}

static int64_t op_efer(void)
{
    msr_read(MSR_EFER);
    return 0;
}

static bool amd;

static int64_t op_kvm(void)
{
    uint64_t rax = 1;

    if (amd)
        __asm__ volatile("vmmcall" : "+a"(rax) : : "memory");
    else
        __asm__ volatile("vmcall" : "+a"(rax) : : "memory");
    return 0;
}

void rows_cpu(void)
{
    static const struct row rows[] = {
        {"overhead", op_nothing},
        {"cpuid", op_cpuid},
        {"msr_efer_read", op_efer},
    };
    static const struct row kvm = {"hypercall_kvm", op_kvm};

    amd = text_equal(platform.cpu, "AuthenticAMD") || text_equal(platform.cpu, "HygonGenuine");
    measure_rows("cpu", rows, sizeof(rows) / sizeof(rows[0]), NULL);
    if (text_equal(platform.hypervisor, "KVMKVMKVM"))
        measure_row("cpu", &kvm, NULL);
    else
        measure_skip("cpu", kvm.name, "not-kvm");
}
