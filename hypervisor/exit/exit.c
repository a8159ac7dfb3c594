/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What a guest's exit means: one const table by kind. Each handler does its part and returns; a vCPU that must wait or
 * stop has got a blocked bit or work by then, and vcpu_loop sees it.
 *
 * Ports and memory go to the hypervisor's own devices first, then to the hardware where the domain may touch it, else
 * to nobody: reads are all ones, writes vanish.
 */
#include "insn.h"

#include <hv/domain.h>
#include <hv/exit.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>

enum { VECTOR_AC = 17, VECTOR_MC = 18 };

#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc

/* --- instructions that exit: true: done, RIP moves on; false: #GP ------------------------------------------------- */

static bool on_cpuid(struct vcpu *v)
{
    struct cpuid_regs out;
    uint64_t *r = v->regs.r;
    policy_cpuid(v, r[RAX], r[RCX], &out);
    r[RAX] = out.eax;
    r[RBX] = out.ebx;
    r[RCX] = out.ecx;
    r[RDX] = out.edx;
    return true;
}

static bool on_rdmsr(struct vcpu *v)
{
    uint64_t value, *r = v->regs.r;
    if (!policy_rdmsr(v, r[RCX], &value))
        return false;
    r[RAX] = (uint32_t)value;
    r[RDX] = value >> 32;
    return true;
}

static bool on_wrmsr(struct vcpu *v)
{
    const uint64_t *r = v->regs.r;
    return policy_wrmsr(v, r[RCX], (uint32_t)r[RAX] | r[RDX] << 32);
}

static bool on_hlt(struct vcpu *v)
{
    vcpu_block(v, BLOCK_HALT);
    return true;
}

static bool on_invd(struct vcpu *v)
{
    /* Only who drives real devices may need it; INVD would lose others' data and becomes WBINVD. */
    if (v->domain->control)
        metal_wbinvd();
    return true;
}

static bool on_xsetbv(struct vcpu *v)
{
    const uint64_t *r = v->regs.r;
    struct vcpu_paging p;
    hv->paging(v, &p); /* the exit may come before the check of the privilege (APM2 15.9) */
    return p.cpl == 0 && (uint32_t)r[RCX] == 0 && metal_set_xcr0(v, (uint32_t)r[RAX] | r[RDX] << 32);
}

/* --- ports and memory ------------------------------------------------------------------------------------------- */

/* Ports 0xcf8 and 0xcfc to 0xcff: mechanism #1 of PCI. False: no register; these are never the domain's own ports. */
static bool pci_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    struct domain *d = v->domain;
    if (port == PCI_ADDRESS_PORT && size == 4) {
        if (in)
            *value = d->pci_address;
        else
            d->pci_address = *value;
        return true;
    }
    uint32_t address = d->pci_address, sbdf = address >> 8 & 0xffff;
    unsigned reg = (address & 0xfc) + (port & 3) + (address >> 16 & 0xf00);
    if ((port & ~3) != PCI_DATA_PORT || !d->control || !(address & BIT(31)) || (port & 3) + size > 4)
        return false;
    if (in)
        *value = vpci_read(d, sbdf, reg, size);
    else
        vpci_write(d, sbdf, reg, size, *value);
    return true;
}

static void access_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    struct domain *d = v->domain;
    if (virqchip_port(v, port, size, in, value) || pci_port(v, port, size, in, value))
        return;
    if (!rangeset_contains(&d->ioports, port, port + size - 1))
        *value = in ? ~0u : *value;
    else if (in)
        *value = metal_port_read(port, size);
    else if (!d->control || !metal_sleep_write(v, port, size, *value))
        metal_port_write(port, size, *value);
}

static void on_pio(struct vcpu *v, const struct vm_exit *x)
{
    if (x->pio.string) { /* nobody does that to what is played here */
        inject_ud(v);
        return;
    }
    uint64_t *rax = &v->regs.r[RAX];
    uint32_t mask = ~0u >> (32 - 8 * x->pio.size), value = *rax & mask;
    access_port(v, x->pio.port, x->pio.size, x->pio.in, &value);
    if (x->pio.in)
        *rax = x->pio.size == 4 ? value : (*rax & ~(uint64_t)mask) | (value & mask);
    insn_retire(v, x->length);
}

void exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct domain *d = v->domain;
    bool possible = !(size & (size - 1));
    if (possible && (vlapic_mmio(v, gpa, size, write, value) || virqchip_mmio(v, gpa, size, write, value)))
        return;
    if (possible && d->control &&
        (vpci_ecam_access(d, gpa, size, write, value) || vpci_msix_access(d, gpa, size, write, value)))
        return;
    if (!write)
        *value = ~0ull;
}

/*
 * Registers of the hardware that the domain may touch are mapped when it first does, one to one, in the largest piece
 * that holds nothing else. True: mapped, the instruction runs again.
 */
static bool map_hardware(struct domain *d, gfn_t g)
{
    static const unsigned orders[] = { 9, 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(orders) && rangeset_contains(&d->iomem, g.n, g.n); i++) {
        uint64_t count = 1ull << orders[i], first = g.n & ~(count - 1);
        if (!rangeset_contains(&d->iomem, first, first + count - 1) || vpci_traps_range(d, gfn(first), count))
            continue;
        struct p2m_entry there = p2m_lookup(&d->p2m, gfn(first));
        if (orders[i] && (there.type != P2M_NONE || there.order < orders[i]))
            continue;
        int rc = p2m_map(&d->p2m, gfn(first), mfn(first), count, P2M_MMIO);
        if (rc) {
            log_guest(d, "registers at %lx cannot be mapped, error %d", first << PAGE_SHIFT, -rc);
            continue;
        }
        /* A table may have moved there meanwhile: whoever came second takes it out. */
        if (vpci_traps_range(d, gfn(first), count) && p2m_unmap(&d->p2m, gfn(first), count))
            domain_crash(d, "A device's registers at %lx could not be trapped", first << PAGE_SHIFT);
        return true;
    }
    return false;
}

/* Whether the p2m's entry allows what faulted: somebody changed it since. */
static bool is_allowed(enum p2m_type type, const struct vm_exit *x)
{
    static const uint32_t runs = BIT(P2M_RAM) | BIT(P2M_RAM_RO);
    static const uint32_t writes =
        BIT(P2M_RAM) | BIT(P2M_MMIO) | BIT(P2M_GRANT_RW) | BIT(P2M_FOREIGN) | BIT(P2M_XENHEAP);
    return type != P2M_NONE && (!x->fault.fetch || BIT(type) & runs) && (!x->fault.write || BIT(type) & writes);
}

static void on_fault(struct vcpu *v, const struct vm_exit *x)
{
    struct domain *d = v->domain;
    gfn_t g = gpa_gfn(x->fault.gpa);
    enum p2m_type type = p2m_lookup(&d->p2m, g).type;
    if (is_allowed(type, x) || (type == P2M_NONE && map_hardware(d, g)))
        return;
    if (x->fault.table_walk || x->fault.delivering) {
        domain_crash(d, "vCPU %u: has %s at %lx, where it cannot be, rip %lx", v->id,
                     x->fault.table_walk ? "page tables" : "a descriptor table or stack", x->fault.gpa, v->regs.rip);
    } else if (x->fault.fetch) {
        log_guest(d, "vCPU %u: runs code at %lx, where it may not, rip %lx", v->id, x->fault.gpa, v->regs.rip);
        inject_ud(v);
    } else {
        insn_emulate(v, x);
    }
}

/* --- the rest ---------------------------------------------------------------------------------------------------- */

static void on_hypercall(struct vcpu *v, const struct vm_exit *x) { hypercall_run(v, x->length); }

/* vcpu_loop delivers what can be delivered now. */
static void on_window(struct vcpu *v, const struct vm_exit *x) { atomic_fetch_or(&v->work, WORK_LAPIC); }

static void on_cr8(struct vcpu *v, const struct vm_exit *x)
{
    struct insn i;
    struct vcpu_paging p;
    if (!insn_fetch(v, &i) || i.op != OP_MOV_CR)
        return; /* the guest runs what is there by now */
    hv->paging(v, &p);
    if (p.cpl || v->regs.r[i.base] > 15) {
        inject_gp(v);
        return;
    }
    v->cr8 = v->regs.r[i.base];
    on_window(v, x);
    insn_retire(v, i.length);
}

static void on_exception(struct vcpu *v, const struct vm_exit *x)
{
    if (x->vector == VECTOR_MC)
        metal_machine_check();
    hv->inject(v, INJECT_EXCEPTION, x->vector, x->vector == VECTOR_AC, 0, 0);
}

/* A triple fault, or a state that the processor does not run. */
static void on_death(struct vcpu *v, const struct vm_exit *x)
{
    hv->dump(v);
    domain_crash(v->domain, "vCPU %u: %s, rip %lx", v->id,
                 x->kind == EXIT_SHUTDOWN ? "triple fault" : "the processor does not run its state", v->regs.rip);
}

static void on_forbidden(struct vcpu *v, const struct vm_exit *x) { inject_gp(v); }
static void on_undefined(struct vcpu *v, const struct vm_exit *x) { inject_ud(v); }

static bool (*const instructions[NR_EXITS])(struct vcpu *v) = {
    [EXIT_CPUID] = on_cpuid, [EXIT_RDMSR] = on_rdmsr, [EXIT_WRMSR] = on_wrmsr,
    [EXIT_HLT] = on_hlt,     [EXIT_INVD] = on_invd,   [EXIT_XSETBV] = on_xsetbv,
};

static void on_instruction(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    if (!length) /* the guest runs it again with what it had */
        return;
    if (likely(instructions[x->kind](v)))
        insn_retire(v, length);
    else
        inject_gp(v);
}

static void (*const handlers[NR_EXITS])(struct vcpu *v, const struct vm_exit *x) = {
    [EXIT_CPUID... EXIT_XSETBV] = on_instruction,
    [EXIT_PIO] = on_pio,
    [EXIT_FAULT] = on_fault,
    [EXIT_HYPERCALL] = on_hypercall,
    [EXIT_WINDOW] = on_window,
    [EXIT_CR8] = on_cr8,
    [EXIT_EXCEPTION] = on_exception,
    [EXIT_SHUTDOWN] = on_death,
    [EXIT_FORBIDDEN] = on_forbidden,
    [EXIT_UNDEFINED] = on_undefined,
    [EXIT_INVALID] = on_death,
};

void exit_dispatch(struct vcpu *v, const struct vm_exit *x) { handlers[x->kind](v, x); }
