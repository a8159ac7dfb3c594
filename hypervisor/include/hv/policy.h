/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain sees of the processor: CPUID leaves and MSRs. Computed once from the host's CPUID and what the
 * hypervisor supports; looked up by each CPUID exit, so small and sorted by leaf.
 */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

struct cpuid_regs {
    uint32_t eax, ebx, ecx, edx;
};

struct domain;

/* The host's CPUID, read through a function so that tests can play other processors. */
typedef void (*cpuid_fn)(uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

must_check int policy_init(struct domain *d, cpuid_fn host);
void policy_free(struct domain *d);
/* The answer for this vCPU now (some bits depend on CR4, APIC base, its id). */
void policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out);

/* MSRs that exits bring; false: #GP. */
bool policy_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value);
bool policy_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value);

/* The MSRs that v holds itself, as the domain finds them at its start: MTRRs on, all write-back. */
void policy_vcpu_init(struct vcpu *v);

/* XCR0 bits a domain may set where the host has them: x87, SSE, AVX. */
#define POLICY_XCR0 7u

/* Xen's leaves (arch-x86/cpuid.h) begin here. */
#define POLICY_XEN_LEAVES 0x40000000u
