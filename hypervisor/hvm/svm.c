/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD's half of the vendor seam (APM2 chapter 15): moves state between struct vcpu and the VMCB and decodes exits.
 * Nothing is decided here (hv/ops.h).
 *
 * The VMCB belongs to the CPU that runs the vCPU; whoever else reads it has paused the vCPU.
 */
#include "vmcb.h"

#include "../cpu/cpu.h"
#include "../cpu/x86.h"
#include "hvm.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>

#define SVM_LEAF 0x8000000a
#define VM_CR_SVMDIS BIT(4)
#define TLB_FLUSH_ALL 1
#define MSRPM_RANGE 0x2000u
#define VECTOR_DB 1
#define VECTOR_BP 3
#define VECTOR_OF 4
#define VECTOR_PF 14
#define VECTOR_AC 17
#define VECTOR_MC 18

/* One page: this, then nothing. The VMCB is a page of its own. */
struct hw_vcpu {
    struct vmcb *vmcb;
    uint64_t asid_generation;
    uint64_t window; /* bits of virtual_interrupt, but for the task priority; QEMU 7.2 forgets those of the VMCB */
    bool nmi_masked;
};

void svm_run(struct regs *regs, paddr_t vmcb, paddr_t host_vmcb);

static struct vmcb *vmcb_of(const struct vcpu *v) { return v->hw->vmcb; }
static void dirty(struct vcpu *v, uint32_t bits) { vmcb_of(v)->clean &= ~bits; }

static int svm_cpu_on(void)
{
    struct cpu *c = this_cpu();
    if (rdmsr(MSR_VM_CR) & VM_CR_SVMDIS) {
        log_line("The firmware has switched SVM off (VM_CR.SVMDIS). Switch \"SVM\" or \"AMD-V\" on in the firmware's "
                 "setup.");
        return -EPERM;
    }
    if (!c->hsave) {
        void *save = page_alloc(), *host = page_alloc();
        BUG_ON(!save || !host);
        c->hsave = ptr_paddr(save);
        c->host_vmcb = ptr_paddr(host);
    }
    wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_SVME);
    wrmsr(MSR_VM_HSAVE_PA, c->hsave);
    __asm__ volatile("vmsave %0" : : "a"(c->host_vmcb) : "memory");
    struct cpuid_result r = cpuid(SVM_LEAF, 0);
    hv_features.asids = r.ebx;
    hv_features.nrips = r.edx & BIT(3);
    c->asid_generation = (c->asid_generation | (uint64_t)c->id << 48) + 1; /* no other CPU has the same */
    c->asid_next = 1;
    return 0;
}

/* What exits, and what that means: both are numbered by exit codes. CR8_WRITE and IRET exit on demand only. */
static const uint8_t kinds[] = {
    [VMEXIT_CR8_WRITE] = EXIT_CR8,
    /* #DB and #AC could loop for ever in microcode; #MC is ours */
    [VMEXIT_EXCEPTION + VECTOR_DB] = EXIT_EXCEPTION,
    [VMEXIT_EXCEPTION + VECTOR_AC] = EXIT_EXCEPTION,
    [VMEXIT_EXCEPTION + VECTOR_MC] = EXIT_EXCEPTION,
    [VMEXIT_INTR... VMEXIT_INIT] = EXIT_NONE,
    [VMEXIT_VINTR] = EXIT_WINDOW,
    [VMEXIT_RDPMC] = EXIT_FORBIDDEN,
    [VMEXIT_CPUID] = EXIT_CPUID,
    [VMEXIT_IRET] = EXIT_WINDOW,
    [VMEXIT_INVD] = EXIT_INVD,
    [VMEXIT_HLT] = EXIT_HLT,
    [VMEXIT_INVLPGA] = EXIT_UNDEFINED,
    [VMEXIT_IO] = EXIT_PIO,
    [VMEXIT_MSR] = EXIT_RDMSR,
    [VMEXIT_SHUTDOWN] = EXIT_SHUTDOWN,
    [VMEXIT_VMRUN] = EXIT_UNDEFINED,
    [VMEXIT_VMMCALL] = EXIT_HYPERCALL,
    [VMEXIT_VMLOAD... VMEXIT_SKINIT] = EXIT_UNDEFINED,
    [VMEXIT_WBINVD] = EXIT_INVD,
    [VMEXIT_MONITOR... VMEXIT_MWAIT] = EXIT_UNDEFINED,
    [VMEXIT_XSETBV] = EXIT_XSETBV,
    [VMEXIT_RDPRU] = EXIT_UNDEFINED,
};

static void intercept(struct vcpu *v, enum vmcb_exit code, bool on)
{
    uint32_t *word = &vmcb_of(v)->intercepts[code / 32], bit = 1u << code % 32, old = *word;
    *word = on ? old | bit : old & ~bit;
    if (*word != old)
        dirty(v, CLEAN_INTERCEPTS);
}

/* Those that VMLOAD and VMSAVE switch, or vcpu_load(), or that keep nothing: two bits each, in ranges (15.11). */
static void open_msrs(uint8_t *map)
{
    static const uint32_t own[] = { MSR_FS_BASE, MSR_GS_BASE,      MSR_KERNEL_GS_BASE, MSR_STAR,
                                    MSR_LSTAR,   MSR_CSTAR,        MSR_SFMASK,         MSR_SYSENTER_CS,
                                    MSR_TSC_AUX, MSR_SYSENTER_ESP, MSR_SYSENTER_EIP,   MSR_PRED_CMD };
    unsigned count = ARRAY_SIZE(own) - !hv_features.ibpb;
    for (unsigned i = 0; i < count; i++) {
        uint32_t bit = ((own[i] >> 31) * MSRPM_RANGE + own[i] % MSRPM_RANGE) * 2;
        map[bit / 8] &= ~(3 << bit % 8);
    }
}

static int svm_vcpu_init(struct vcpu *v)
{
    struct hw_vcpu *hw = page_alloc();
    struct vmcb *b = page_alloc();
    if (!hw || !b) {
        page_free(hw);
        page_free(b);
        return -ENOMEM;
    }
    hw->vmcb = b;
    v->hw = hw;
    for (unsigned code = 0; code < ARRAY_SIZE(kinds); code++)
        intercept(v, code, kinds[code] != EXIT_INVALID && code != VMEXIT_CR8_WRITE && code != VMEXIT_IRET);
    b->iopm = ptr_paddr(v->domain->port_bitmap);
    b->msrpm = ptr_paddr(v->domain->msr_bitmap);
    open_msrs((uint8_t *)v->domain->msr_bitmap);
    b->nested_control = 1;
    b->nested_cr3 = mfn_paddr(v->domain->p2m.root);
    hw->window = VINTR_MASKING;
    b->efer = EFER_SVME;
    b->pat = 0x0007040600070406ull;
    return 0;
}

static void svm_vcpu_free(struct vcpu *v)
{
    if (!v->hw)
        return;
    page_free(v->hw->vmcb);
    page_free(v->hw);
    v->hw = NULL;
}

/* A tag for cached translations that nobody else on this CPU uses (15.16). */
static void assign_asid(struct hw_vcpu *hw, struct cpu *c)
{
    if (likely(hw->asid_generation == c->asid_generation))
        return;
    if (c->asid_next >= hv_features.asids) {
        c->asid_generation++;
        c->asid_next = 1;
        hw->vmcb->tlb_control = TLB_FLUSH_ALL;
    }
    hw->vmcb->asid = c->asid_next++;
    hw->asid_generation = c->asid_generation;
    hw->vmcb->clean = 0;
}

/* The next entry takes another tag. */
static void svm_flush(struct vcpu *v) { v->hw->asid_generation = 0; }

static void decode_io(const struct vmcb *b, struct vm_exit *x)
{
    uint64_t info = b->exit_info1;
    x->pio.port = info >> 16;
    x->pio.in = info & BIT(0);
    x->pio.string = info & BIT(2);
    x->pio.size = info >> 4 & 7;
    x->length = b->exit_info2 - b->rip;
}

static void decode_fault(const struct vmcb *b, struct vm_exit *x)
{
    x->fault.gpa = b->exit_info2;
    x->fault.write = b->exit_info1 & BIT(1);
    x->fault.fetch = b->exit_info1 & BIT(4);
    x->fault.table_walk = b->exit_info1 & BIT(33);
    x->fault.delivering = b->exit_int_info & EVENT_VALID;
}

/* An NMI handler's end: another may come. (It may come one instruction early, which handlers bear.) */
static void end_nmi(struct vcpu *v)
{
    intercept(v, VMEXIT_IRET, false);
    v->hw->nmi_masked = false;
}

static void svm_decode(struct vcpu *v, const struct vmcb *b, struct vm_exit *x)
{
    uint64_t code = b->exit_code;
    x->kind = code < ARRAY_SIZE(kinds) ? kinds[code] : code == VMEXIT_NPF ? EXIT_FAULT : EXIT_INVALID;
    x->length = hv_features.nrips ? b->next_rip - b->rip : 0; /* of those that are instructions */
    switch (x->kind) {
    case EXIT_RDMSR: x->kind = b->exit_info1 & 1 ? EXIT_WRMSR : EXIT_RDMSR; break;
    case EXIT_HYPERCALL: x->length = 3; break;
    case EXIT_FAULT: decode_fault(b, x); break;
    case EXIT_PIO: decode_io(b, x); break;
    case EXIT_WINDOW:
        if (code == VMEXIT_IRET)
            end_nmi(v);
        break;
    case EXIT_EXCEPTION: x->vector = code - VMEXIT_EXCEPTION; break;
    default: break;
    }
}

/*
 * 15.20: an exit cut the delivery of this event short; it comes again. What an instruction raised (INT n, INT3, INTO)
 * is raised by it again.
 */
static uint64_t event_again(uint64_t event)
{
    unsigned type = event >> 8 & 7, vector = event & 0xff;
    bool instruction =
        type == EVENT_SOFTWARE || (type == EVENT_EXCEPTION && (vector == VECTOR_BP || vector == VECTOR_OF));
    return instruction ? 0 : event;
}

static void svm_enter(struct vcpu *v, struct vm_exit *x)
{
    struct hw_vcpu *hw = v->hw;
    struct vmcb *b = hw->vmcb;
    struct cpu *c = this_cpu();
    uint64_t spec_ctrl = v->spec_ctrl; /* the hypervisor's own is 0 */
    assign_asid(hw, c);
    b->rax = v->regs.r[RAX];
    b->rsp = v->regs.r[RSP];
    b->rip = v->regs.rip;
    b->rflags = v->regs.rflags;
    uint64_t virtual = hw->window | v->cr8;
    if (virtual != b->virtual_interrupt) {
        b->virtual_interrupt = virtual;
        b->clean &= ~CLEAN_TPR;
    }
    if (unlikely(spec_ctrl))
        wrmsr(MSR_SPEC_CTRL, spec_ctrl);
    svm_run(&v->regs, ptr_paddr(b), c->host_vmcb);
    if (unlikely(spec_ctrl))
        wrmsr(MSR_SPEC_CTRL, 0);
    v->regs.r[RAX] = b->rax;
    v->regs.r[RSP] = b->rsp;
    v->regs.rip = b->rip;
    v->regs.rflags = b->rflags;
    v->cr8 = b->virtual_interrupt & 15;
    b->tlb_control = 0;
    b->clean = CLEAN_ALL & ~CLEAN_TPR;
    b->event_injection = unlikely(b->exit_int_info & EVENT_VALID) ? event_again(b->exit_int_info) : 0;
    svm_decode(v, b, x);
}

/* What struct vcpu_state and the VMCB both have, in the same order. */
static const struct {
    uint16_t state, vmcb, size;
} both[] = {
    { offsetof(struct vcpu_state, seg), offsetof(struct vmcb, es), NR_SEGS * sizeof(struct segment) },
    { offsetof(struct vcpu_state, cr4), offsetof(struct vmcb, cr4), 5 * 8 },
    { offsetof(struct vcpu_state, star), offsetof(struct vmcb, star), 9 * 8 },
    { offsetof(struct vcpu_state, efer), offsetof(struct vmcb, efer), 8 },
    { offsetof(struct vcpu_state, pat), offsetof(struct vmcb, pat), 8 },
    { offsetof(struct vcpu_state, cpl), offsetof(struct vmcb, cpl), 1 },
};
_Static_assert(offsetof(struct vcpu_state, dr6) - offsetof(struct vcpu_state, cr4) ==
                       offsetof(struct vmcb, dr6) - offsetof(struct vmcb, cr4) &&
                   offsetof(struct vcpu_state, cr2) - offsetof(struct vcpu_state, star) ==
                       offsetof(struct vmcb, cr2) - offsetof(struct vmcb, star),
               "the same order");

static void svm_state_get(const struct vcpu *v, struct vcpu_state *s)
{
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        memcpy((char *)s + both[i].state, (const char *)vmcb_of(v) + both[i].vmcb, both[i].size);
    s->efer &= ~EFER_SVME;
}

static void svm_state_put(struct vcpu *v, const struct vcpu_state *s)
{
    struct vmcb *b = vmcb_of(v);
    for (unsigned i = 0; i < ARRAY_SIZE(both); i++)
        memcpy((char *)b + both[i].vmcb, (const char *)s + both[i].state, both[i].size);
    b->efer |= EFER_SVME;
    b->event_injection = b->shadow = 0; /* INIT: what was to be delivered was the old state's */
    b->clean = 0;
}

static void svm_paging(const struct vcpu *v, struct vcpu_paging *p)
{
    const struct vmcb *b = vmcb_of(v);
    p->cr0 = b->cr0;
    p->cr3 = b->cr3;
    p->cr4 = b->cr4;
    p->efer = b->efer & ~EFER_SVME;
    p->cpl = b->cpl;
    p->long_mode = b->efer & EFER_LMA;
    p->code64 = p->long_mode && b->cs.attributes & BIT(9);
}

static bool svm_ready(const struct vcpu *v, enum inject kind)
{
    const struct vmcb *b = vmcb_of(v);
    if (b->event_injection & EVENT_VALID)
        return false;
    if (kind == INJECT_NMI)
        return !v->hw->nmi_masked && !(b->shadow & 1);
    return v->regs.rflags & RFLAGS_IF && !(b->shadow & 1);
}

static void svm_inject(struct vcpu *v, enum inject kind, uint8_t vector, bool has_code, uint32_t code, uint64_t cr2)
{
    struct vmcb *b = vmcb_of(v);
    uint64_t type = kind == INJECT_EXCEPTION ? EVENT_EXCEPTION : kind == INJECT_NMI ? EVENT_NMI : EVENT_INTERRUPT;
    b->event_injection = vector | type << 8 | EVENT_VALID;
    if (has_code)
        b->event_injection |= EVENT_HAS_CODE | (uint64_t)code << 32;
    if (kind == INJECT_EXCEPTION && vector == VECTOR_PF) {
        b->cr2 = cr2;
        dirty(v, CLEAN_CR2);
    }
    if (kind == INJECT_NMI) {
        v->hw->nmi_masked = true;
        intercept(v, VMEXIT_IRET, true);
    }
}

/*
 * A virtual interrupt that is never delivered: the moment it could be, it exits (15.21). Its own priority would wait
 * for CR8, too, but QEMU 7.2 ends itself when the guest writes CR8 while a virtual interrupt is there: so that exits.
 */
static void svm_want_window(struct vcpu *v, enum window window)
{
    v->hw->window = VINTR_MASKING | (window == WINDOW_ANY ? VINTR_IRQ | VINTR_IGNORE_TPR : 0);
    intercept(v, VMEXIT_CR8_WRITE, window != WINDOW_OFF);
}

static void svm_end_shadow(struct vcpu *v) { vmcb_of(v)->shadow &= ~1ull; }

static void svm_set_tsc_offset(struct vcpu *v, int64_t offset)
{
    vmcb_of(v)->tsc_offset = offset;
    dirty(v, CLEAN_INTERCEPTS);
}

static void svm_dump(const struct vcpu *v)
{
    const struct vmcb *b = vmcb_of(v);
    log_line("VMCB: exit %lx info %lx %lx event %lx inject %lx intr %lx shadow %lx asid %u", b->exit_code,
             b->exit_info1, b->exit_info2, b->exit_int_info, b->event_injection, b->virtual_interrupt, b->shadow,
             b->asid);
    log_line("  rip %016lx rsp %016lx rflags %lx cpl %u cr0 %lx cr2 %lx cr3 %lx cr4 %lx efer %lx", b->rip, b->rsp,
             b->rflags, b->cpl, b->cr0, b->cr2, b->cr3, b->cr4, b->efer);
    const struct segment *s = &b->es;
    static const char *const names[] = { "es", "cs", "ss", "ds", "fs", "gs", "gdtr", "ldtr", "idtr", "tr" };
    for (unsigned i = 0; i < NR_SEGS; i++)
        log_line("  %4s %04x %03x %08x %016lx", names[i], s[i].selector, s[i].attributes, s[i].limit, s[i].base);
}

const struct hv_ops svm_ops = {
    .name = "SVM",
    .hypercall = { 0x0f, 0x01, 0xd9 }, /* VMMCALL */
    .codec = &npt_codec,
    .cpu_on = svm_cpu_on,
    .vcpu_init = svm_vcpu_init,
    .vcpu_free = svm_vcpu_free,
    .enter = svm_enter,
    .state_get = svm_state_get,
    .state_put = svm_state_put,
    .paging = svm_paging,
    .ready = svm_ready,
    .inject = svm_inject,
    .want_window = svm_want_window,
    .end_shadow = svm_end_shadow,
    .flush = svm_flush,
    .set_tsc_offset = svm_set_tsc_offset,
    .dump = svm_dump,
};
