/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a domain sees of the processor. CPUID: features pass if they are on the list below and the host has them; leaves
 * that tell topology and addresses are made for the domain; Xen's own leaves follow arch-x86/cpuid.h. The answers are
 * one page, indexed by leaf; four things in them change at run time and are filled in by policy_cpuid().
 *
 * MSRs: those of the APIC are vdev's, what the processor switches does not come here (hv_ops.vcpu_init), the rest is
 * here. Unknown ones do not exist.
 * No locks: the page is constant after policy_init(), and MSRs are a vCPU's own.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/vdev.h>
#include <xen/arch-x86/cpufeatureset.h>
#include <xen/arch-x86/cpuid.h>

#define NR_BASIC 0x17
#define NR_EXTENDED 0x22
#define EXTENDED 0x80000000u
#define NR_CACHES 4
#define NR_XSTATES 3
#define NR_WORDS 12 /* of features */
#define CR0_PG BIT(31)
#define CR4_OSXSAVE BIT(18)
#define EFER_LME BIT(8)
#define EFER_LMA BIT(10)

#define MSR_TSC 0x10
#define MSR_SPEC_CTRL 0x48
#define MSR_APIC_BASE 0x1b
#define MSR_MTRR_CAP 0xfe
#define MSR_DEBUGCTL 0x1d9
#define MSR_MTRR_VARIABLE 0x200
#define MSR_MTRR_FIXED 0x250
#define FIXED_MTRRS 0xff000301u /* from there: for pieces of 64 KiB, 16 KiB, 4 KiB */
#define MSR_PAT 0x277
#define MSR_MTRR_DEFAULT 0x2ff
#define MSR_TSC_DEADLINE 0x6e0
#define MSR_X2APIC 0x800
#define MSR_EFER 0xc0000080

#define SPEC_CTRL_IBRS BIT(0)
#define SPEC_CTRL_STIBP BIT(1)
#define SPEC_CTRL_SSBD BIT(2)

struct cpu_policy {
    uint32_t max_basic, max_extended; /* number of leaves */
    bool xsave;
    uint64_t efer, spec_ctrl; /* bits that may be set */
    struct cpuid_regs basic[NR_BASIC], extended[NR_EXTENDED], xen[XEN_CPUID_MAX_NUM_LEAVES + 1];
    struct cpuid_regs caches[NR_CACHES] /* leaf 8000001d */, features[2] /* 7 */, xstates[NR_XSTATES] /* d */;
};
_Static_assert(sizeof(struct cpu_policy) <= PAGE_SIZE, "it is one page");

#define F(name) XEN_X86_FEATURE_##name

/* The host's features a domain may have. */
/* clang-format off */
static const uint16_t allowed[] = {
    /* the instruction set every 64-bit kernel expects, and the MSRs that go with it */
    F(FPU), F(VME), F(DE), F(PSE), F(TSC), F(MSR), F(PAE), F(MCE), F(CX8), F(SEP), F(MTRR), F(PGE), F(MCA), F(CMOV),
    F(PAT), F(PSE36), F(CLFLUSH), F(MMX), F(FXSR), F(SSE), F(SSE2), F(SYSCALL), F(NX), F(MMXEXT), F(FFXSR),
    F(PAGE1GB), F(RDTSCP), F(LM), F(3DNOWEXT), F(3DNOW), F(LAHF_LM), F(CR8_LEGACY),
    /* more instructions, without state of their own */
    F(SSE3), F(PCLMULQDQ), F(SSSE3), F(CX16), F(SSE4_1), F(SSE4_2), F(MOVBE), F(POPCNT), F(AESNI), F(RDRAND), F(ABM),
    F(SSE4A), F(MISALIGNSSE), F(3DNOWPREFETCH), F(BMI1), F(BMI2), F(ERMS), F(RDSEED), F(ADX), F(CLFLUSHOPT), F(CLWB),
    F(SHA), F(GFNI), F(RDPID), F(CLDEMOTE), F(MOVDIRI), F(MOVDIR64B), F(FSRM), F(SERIALIZE), F(CLZERO), F(WBNOINVD),
    F(TBM), F(FZRM), F(FSRS), F(FSRCS),
    /* address translation and protection, which nested paging leaves to the guest; not LA57, PKU, CET (own state) */
    F(PCID), F(INVPCID), F(FSGSBASE), F(SMEP), F(SMAP), F(UMIP),
    /* what holds speculation back: SPEC_CTRL is switched, PRED_CMD passes */
    F(IBPB), F(IBRS), F(AMD_STIBP), F(IBRS_ALWAYS), F(STIBP_ALWAYS), F(IBRS_FAST), F(IBRS_SAME_MODE), F(AMD_SSBD),
    F(IBPB_RET),
    /* facts about the host that stay true in a guest */
    F(ITSC), F(FDP_EXCP_ONLY), F(NO_FPU_SEL), F(RSTR_FP_ERR_PTRS), F(LFENCE_DISPATCH), F(NSCB), F(TOPOEXT), F(SSB_NO),
    F(BTC_NO), F(MD_CLEAR),
};
/* clang-format on */

/* And with XSAVE: AVX and how its state is kept; not AVX-512, AMX, XSAVES: their state is not switched. */
static const uint16_t allowed_with_xsave[] = {
    F(XSAVE), F(XSAVEOPT), F(XSAVEC),     F(XGETBV1), F(AVX),  F(FMA),      F(F16C),
    F(AVX2),  F(VAES),     F(VPCLMULQDQ), F(XOP),     F(FMA4), F(AVX_VNNI),
};

/* What the hypervisor plays, whatever the host has. APIC and OSXSAVE depend on the moment. */
static const uint16_t played[] = { F(X2APIC), F(TSC_DEADLINE), F(HYPERVISOR) };

/* The register that holds a word of features (cpufeatureset.h). */
static uint32_t *feature_word(struct cpu_policy *p, unsigned word)
{
    uint32_t *const words[NR_WORDS] = {
        &p->basic[1].edx,    &p->basic[1].ecx,    &p->extended[1].edx, &p->extended[1].ecx,
        &p->xstates[1].eax,  &p->features[0].ebx, &p->features[0].ecx, &p->extended[7].edx,
        &p->extended[8].ebx, &p->features[0].edx, &p->features[1].eax, &p->extended[0x21].eax,
    };
    return words[word];
}

static bool has(struct cpu_policy *p, unsigned feature) { return *feature_word(p, feature / 32) >> feature % 32 & 1; }

static void add_features(uint32_t words[NR_WORDS], const uint16_t *list, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        words[list[i] / 32] |= 1u << list[i] % 32;
}

/* Bits needed for APIC ids up to those of `n` vCPUs; an id is twice the vCPU's. */
static unsigned id_bits(unsigned n)
{
    unsigned bits = 1;
    while (1u << bits < 2 * n)
        bits++;
    return bits;
}

static void filter_features(struct cpu_policy *p)
{
    uint32_t mask[NR_WORDS] = { 0 }, always[NR_WORDS] = { 0 };
    p->xsave = has(p, F(XSAVE));
    add_features(mask, allowed, ARRAY_SIZE(allowed));
    if (p->xsave)
        add_features(mask, allowed_with_xsave, ARRAY_SIZE(allowed_with_xsave));
    add_features(always, played, ARRAY_SIZE(played));
    for (unsigned i = 0; i < NR_WORDS; i++)
        *feature_word(p, i) = (*feature_word(p, i) & mask[i]) | always[i];
}

/* Copies what exists on the host, and zeroes leaves with facts that do not hold for a guest. */
static void read_host(struct cpu_policy *p, cpuid_fn host)
{
    static const uint32_t no_basic = BIT(3) | BIT(4) | BIT(5) | BIT(6) | BIT(8) | BIT(9) | BIT(0xa) | BIT(0xc) |
                                     BIT(0xe) | BIT(0xf) | BIT(0x10) | BIT(0x11) | BIT(0x12) | BIT(0x13) | BIT(0x14);
    struct cpuid_regs r;
    host(0, 0, &r);
    uint32_t max = r.eax;
    /* Leaf 0xb exists with x2APIC. */
    p->max_basic = MAX(0xb, MIN(max, NR_BASIC - 1)) + 1;
    for (unsigned i = 0; i <= max && i < NR_BASIC; i++)
        if (!(no_basic >> i & 1))
            host(i, 0, &p->basic[i]);
    if (max >= 7) {
        host(7, 0, &p->features[0]);
        if (p->features[0].eax >= 1)
            host(7, 1, &p->features[1]);
    }
    for (unsigned i = 0; i < NR_XSTATES && max >= 0xd; i++)
        host(0xd, i, &p->xstates[i]);

    host(EXTENDED, 0, &p->extended[0]);
    uint32_t count = p->extended[0].eax >= EXTENDED ? p->extended[0].eax - EXTENDED + 1 : 0;
    p->max_extended = MAX(9, MIN(count, NR_EXTENDED));
    for (unsigned i = 1; i < count && i < NR_EXTENDED; i++)
        if (i <= 8 || i == 0x19 || i == 0x1a || i == 0x21) /* not SVM, IBS, LWP, SEV, QoS */
            host(EXTENDED + i, 0, &p->extended[i]);
    for (unsigned i = 0; i < NR_CACHES && count > 0x1d; i++)
        host(EXTENDED + 0x1d, i, &p->caches[i]);
}

/* One package with a core for each vCPU, one thread each; the last cache is shared by all. */
static void set_topology(struct cpu_policy *p, unsigned vcpus)
{
    unsigned bits = id_bits(vcpus), ids = 1u << bits;
    p->basic[1].ebx = (p->basic[1].ebx & 0xff00) | MIN(ids, 255u) << 16;
    p->basic[1].edx |= vcpus > 1 ? 1u << F(HTT) % 32 : 0;
    p->extended[1].ecx |= vcpus > 1 ? 1u << F(CMP_LEGACY) % 32 : 0;
    p->extended[8].ecx = (vcpus - 1) | bits << 12;
    for (unsigned i = 0; i < NR_CACHES; i++) {
        uint32_t *eax = &p->caches[i].eax, level = *eax >> 5 & 7;
        if (*eax & 31)
            *eax = (*eax & 0x3fff) | (level >= 3 ? ids - 1 : 0) << 14;
    }
}

static void set_xstate(struct cpu_policy *p)
{
    if (!p->xsave) {
        for (unsigned i = 0; i < NR_XSTATES; i++)
            p->xstates[i] = (struct cpuid_regs){ 0 };
        return;
    }
    uint32_t *avx = &p->basic[1].ecx, avx_bit = 1u << F(AVX) % 32;
    p->xstates[0].eax &= POLICY_XCR0;
    p->xstates[0].edx = 0;
    if (!(*avx & avx_bit))
        p->xstates[0].eax &= ~4u;
    if (!(p->xstates[0].eax & 4))
        p->xstates[2] = (struct cpuid_regs){ 0 };
    /* The legacy area and header take 576 bytes; leaf 0xd.2 says where AVX' part is. */
    p->xstates[0].ecx = MAX(576u, p->xstates[2].eax + p->xstates[2].ebx);
    p->xstates[1] = (struct cpuid_regs){ .eax = p->xstates[1].eax };
}

static void set_xen_leaves(struct cpu_policy *p, const struct domain *d)
{
    uint32_t reliable = has(p, F(ITSC)) ? 2 : 0, rdtscp = has(p, F(RDTSCP)) ? 4 : 0;
    p->xen[0] = (struct cpuid_regs){ XEN_CPUID_LEAF(XEN_CPUID_MAX_NUM_LEAVES), XEN_CPUID_SIGNATURE_EBX,
                                     XEN_CPUID_SIGNATURE_ECX, XEN_CPUID_SIGNATURE_EDX };
    p->xen[1].eax = 4 << 16 | 17;
    p->xen[2] = (struct cpuid_regs){ .eax = 1 /* hypercall page */, .ebx = POLICY_XEN_LEAVES /* its MSR */ };
    p->xen[3] = (struct cpuid_regs){ .eax = reliable | rdtscp, .ecx = hv_tsc_khz };
    p->xen[4].eax = XEN_HVM_CPUID_VCPU_ID_PRESENT | XEN_HVM_CPUID_DOMID_PRESENT | XEN_HVM_CPUID_UPCALL_VECTOR;
    p->xen[4].ecx = d->id;
    p->xen[5].ebx = p->extended[8].eax & 0xff;
}

int policy_init(struct domain *d, cpuid_fn host)
{
    struct cpu_policy *p = page_alloc();
    if (!p)
        return -ENOMEM;
    read_host(p, host);
    filter_features(p);
    set_topology(p, d->max_vcpus);
    set_xstate(p);
    p->basic[0].eax = p->max_basic - 1;
    p->basic[6] = (struct cpuid_regs){ .eax = 4 }; /* the APIC's timer runs always */
    p->features[0].eax = 1;
    p->features[1] = (struct cpuid_regs){ .eax = p->features[1].eax };
    p->extended[7] = (struct cpuid_regs){ .edx = p->extended[7].edx };
    /* 48 bits of linear addresses, no guest-physical limit of its own. */
    p->extended[8].eax = (p->extended[8].eax & 0xff ? p->extended[8].eax & 0xff : 36) | 48 << 8;
    p->extended[8].edx = 0;
    p->extended[0x21] = (struct cpuid_regs){ .eax = p->extended[0x21].eax };
    if (!has(p, F(TOPOEXT)))
        p->max_extended = MIN(p->max_extended, 0x1d);
    p->extended[0].eax = EXTENDED + p->max_extended - 1;
    p->extended[1].edx |= p->basic[1].edx & 0x0183f1ff; /* they are repeated there; APIC is added later */
    p->spec_ctrl = (has(p, F(IBRS)) ? SPEC_CTRL_IBRS : 0) | (has(p, F(AMD_STIBP)) ? SPEC_CTRL_STIBP : 0) |
                   (has(p, F(AMD_SSBD)) ? SPEC_CTRL_SSBD : 0);
    p->efer = BIT(0) | BIT(8) | BIT(10) | (has(p, F(NX)) ? BIT(11) : 0) | (has(p, F(FFXSR)) ? BIT(14) : 0);
    set_xen_leaves(p, d);
    d->policy = p;
    return 0;
}

void policy_free(struct domain *d)
{
    if (d->policy)
        page_free(d->policy);
    d->policy = NULL;
}

static void basic_leaf(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    const struct cpu_policy *p = v->domain->policy;
    struct vcpu_paging paging;

    *out = p->basic[leaf];
    switch (leaf) {
    case 1:
        hv->paging(v, &paging);
        out->ebx |= 2 * v->id << 24;
        out->ecx |= paging.cr4 & CR4_OSXSAVE ? 1u << F(OSXSAVE) % 32 : 0;
        out->edx |= vlapic_enabled(v) ? 1u << F(APIC) % 32 : 0;
        break;
    case 7: *out = subleaf < ARRAY_SIZE(p->features) ? p->features[subleaf] : (struct cpuid_regs){ 0 }; break;
    case 0xb: /* level 0: threads of a core, 1: cores of the package */
        *out = (struct cpuid_regs){ .ecx = subleaf & 0xff, .edx = 2 * v->id };
        if (subleaf > 1)
            break;
        out->eax = subleaf ? id_bits(v->domain->max_vcpus) : 1;
        out->ebx = subleaf ? v->domain->max_vcpus : 1;
        out->ecx |= (subleaf + 1) << 8;
        break;
    case 0xd:
        *out = subleaf < NR_XSTATES ? p->xstates[subleaf] : (struct cpuid_regs){ 0 };
        if (subleaf < 2 && p->xsave) /* what XSAVE, or XSAVEC, writes now */
            out->ebx = metal_xcr0() & 4 ? p->xstates[0].ecx : 576;
        break;
    }
}

static void extended_leaf(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    const struct cpu_policy *p = v->domain->policy;
    *out = p->extended[leaf];
    if (leaf == 1)
        out->edx |= vlapic_enabled(v) ? 1u << F(APIC) % 32 : 0;
    if (leaf == 0x1d)
        *out = subleaf < NR_CACHES ? p->caches[subleaf] : (struct cpuid_regs){ 0 };
    if (leaf == 0x1e)
        *out = (struct cpuid_regs){ .eax = 2 * v->id, .ebx = v->id };
}

void policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    const struct cpu_policy *p = v->domain->policy;
    if (leaf < p->max_basic) {
        basic_leaf(v, leaf, subleaf, out);
    } else if (leaf - EXTENDED < p->max_extended) {
        extended_leaf(v, leaf - EXTENDED, subleaf, out);
    } else if (leaf - POLICY_XEN_LEAVES < ARRAY_SIZE(p->xen)) {
        leaf -= POLICY_XEN_LEAVES;
        *out = subleaf ? (struct cpuid_regs){ 0 } : p->xen[leaf];
        if (leaf == 4 && !subleaf)
            out->ebx = v->id;
    } else {
        *out = (struct cpuid_regs){ 0 };
    }
}

/* --- MSRs ------------------------------------------------------------------------------------------------------- */

/* They read as this; what is written is forgotten, as kernels write them without asking. */
static const struct {
    uint32_t msr, value;
} constant[] = {
    { 0x8b, 0 },                     /* PATCH_LEVEL: the hypervisor's business */
    { 0x179, 0 },                    /* MCG_CAP: no banks */
    { 0x17a, 0 },                    /* MCG_STATUS */
    { MSR_DEBUGCTL, 0 },             /* no last branches */
    { POLICY_XEN_LEAVES, 0 },        /* hypercall page, when read */
    { 0xc0010010, 0 },               /* SYSCFG */
    { 0xc0010015, BIT(24) },         /* HWCR: the TSC counts at the P0 frequency */
    { 0xc001001a, 0 },               /* TOP_MEM */
    { 0xc001001d, 0 },               /* TOP_MEM2 */
    { 0xc001001f, 0 },               /* NB_CFG */
    { 0xc0010055, 0 },               /* interrupt pending message */
    { 0xc0010058, 0 },               /* MMIO configuration base: by ACPI only */
    { 0xc0010114, BIT(3) | BIT(4) }, /* VM_CR: SVM is off, locked */
    { 0xc0011020, 0 },               /* LS_CFG */
    { 0xc0011021, 0 },               /* IC_CFG */
    { 0xc0011022, 0 },               /* DC_CFG */
    { 0xc0011029, BIT(1) },          /* DE_CFG: LFENCE serialises */
    { 0xc001102a, 0 },               /* BU_CFG2 */
};

static bool constant_msr(uint32_t msr, uint64_t *value)
{
    for (unsigned i = 0; i < ARRAY_SIZE(constant); i++) {
        if (constant[i].msr == msr) {
            *value = constant[i].value;
            return true;
        }
    }
    return false;
}

/* Where the value of an MSR that is only stored is kept; NULL: not one. */
static uint64_t *stored_msr(struct vcpu *v, uint32_t msr)
{
    if (msr - MSR_MTRR_VARIABLE < ARRAY_SIZE(v->mtrr_var))
        return &v->mtrr_var[msr - MSR_MTRR_VARIABLE];
    if (msr == MSR_MTRR_DEFAULT)
        return &v->mtrr_def;
    if (msr == MSR_SPEC_CTRL && v->domain->policy->spec_ctrl)
        return &v->spec_ctrl;
    unsigned fixed = msr - MSR_MTRR_FIXED;
    return fixed < 32 && FIXED_MTRRS >> fixed & 1 ? &v->mtrr_fixed[fixed] : NULL;
}

static inline uint64_t tsc(void) { return __builtin_ia32_rdtsc(); }

void policy_vcpu_init(struct vcpu *v)
{
    v->mtrr_def = BIT(11) | BIT(10) | 6;
    for (unsigned i = 0; i < ARRAY_SIZE(v->mtrr_fixed); i++)
        v->mtrr_fixed[i] = 0x0606060606060606;
}

bool policy_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    if (msr - MSR_X2APIC < 0x40 || msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE)
        return vlapic_msr_read(v, msr, value);
    if (msr == MSR_EFER) {
        struct vcpu_paging paging;
        hv->paging(v, &paging);
        *value = paging.efer;
        return true;
    }
    if (msr == MSR_PAT) {
        struct vcpu_state state;
        hv->state_get(v, &state);
        *value = state.pat;
        return true;
    }
    const uint64_t *stored = stored_msr(v, msr);
    if (stored) {
        *value = *stored;
        return true;
    }
    if (msr == MSR_TSC) {
        *value = tsc() + v->tsc_offset;
        return true;
    }
    if (msr == MSR_MTRR_CAP) {
        *value = ARRAY_SIZE(v->mtrr_var) / 2 | BIT(8) /* fixed ones */ | BIT(10) /* write combining */;
        return true;
    }
    if (constant_msr(msr, value))
        return true;
    log_guest(v->domain, "vCPU %u: reads MSR %x, which does not exist for it, at %lx", v->id, msr, v->regs.rip);
    return false;
}

/* Memory types, one a byte: UC, WC, WT, WP, WB, UC-. */
static bool pat_valid(uint64_t types)
{
    for (; types; types >>= 8)
        if ((types & 0xff) > 7 || (types & 0xfe) == 2)
            return false;
    return true;
}

static bool put_hardware(struct vcpu *v, uint32_t msr, uint64_t value)
{
    struct vcpu_state s;
    hv->state_get(v, &s);
    if (msr == MSR_PAT ? !pat_valid(value)
                       : value & ~v->domain->policy->efer || ((value ^ s.efer) & EFER_LME && s.cr0 & CR0_PG))
        return false;
    if (msr == MSR_PAT)
        s.pat = value;
    else
        s.efer = (value & ~EFER_LMA) | (s.efer & EFER_LMA);
    hv->state_put(v, &s);
    return true;
}

/* Fills the page: 32 bytes a call, "mov eax, number; vmcall; ret". */
static bool put_hypercall_page(struct vcpu *v, uint64_t gpa)
{
    if (gpa & ~PAGE_MASK) /* there is one page, number 0 */
        return false;
    for (unsigned n = 0; n < PAGE_SIZE / 32; n++) {
        uint8_t stub[32] = { 0xb8, n, 0, 0, 0, hv->hypercall[0], hv->hypercall[1], hv->hypercall[2], 0xc3 };
        for (unsigned i = 9; i < sizeof stub; i++)
            stub[i] = 0xcc;
        if (guest_write_phys(v->domain, gpa + 32 * n, stub, sizeof stub))
            return false;
    }
    return true;
}

bool policy_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    uint64_t ignored;
    if (msr - MSR_X2APIC < 0x40 || msr == MSR_APIC_BASE || msr == MSR_TSC_DEADLINE)
        return vlapic_msr_write(v, msr, value);
    if (msr == MSR_EFER || msr == MSR_PAT)
        return put_hardware(v, msr, value);
    uint64_t *stored = stored_msr(v, msr);
    if (stored) { /* MTRRs mean nothing to nested paging: whatever is written can be read */
        bool refused = msr == MSR_SPEC_CTRL && value & ~v->domain->policy->spec_ctrl;
        *stored = refused ? *stored : value;
        return !refused;
    }
    if (msr == MSR_TSC) {
        v->tsc_offset = value - tsc();
        hv->set_tsc_offset(v, v->tsc_offset);
        vcpu_update_time(v);
        return true;
    }
    if (msr == POLICY_XEN_LEAVES)
        return put_hypercall_page(v, value);
    if (constant_msr(msr, &ignored))
        return true;
    log_guest(v->domain, "vCPU %u: writes MSR %x, which does not exist for it, at %lx", v->id, msr, v->regs.rip);
    return false;
}
