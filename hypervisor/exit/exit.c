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

enum { VECTOR_DB = 1, VECTOR_UD = 6, VECTOR_GP = 13, VECTOR_AC = 17, VECTOR_MC = 18 };

#define RFLAGS_IF BIT(9)
#define PCI_ADDRESS_PORT 0xcf8
#define PCI_DATA_PORT 0xcfc

static uint32_t low_bits(unsigned size) { return size >= 4 ? ~0u : (1u << 8 * size) - 1; }
static void inject_gp(struct vcpu *v) { hv->inject(v, INJECT_EXCEPTION, VECTOR_GP, true, 0, 0); }
static void inject_ud(struct vcpu *v) { hv->inject(v, INJECT_EXCEPTION, VECTOR_UD, false, 0, 0); }

/* The length of the instruction comes first: when it cannot be told, the guest runs it again with what it had. */

static void on_cpuid(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    struct cpuid_regs out;
    uint64_t *r = v->regs.r;
    if (!length)
        return;
    policy_cpuid(v, r[RAX], r[RCX], &out);
    r[RAX] = out.eax;
    r[RBX] = out.ebx;
    r[RCX] = out.ecx;
    r[RDX] = out.edx;
    insn_retire(v, length);
}

static void on_rdmsr(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    uint64_t value, *r = v->regs.r;
    if (!length)
        return;
    if (!policy_rdmsr(v, r[RCX], &value)) {
        inject_gp(v);
        return;
    }
    r[RAX] = (uint32_t)value;
    r[RDX] = value >> 32;
    insn_retire(v, length);
}

static void on_wrmsr(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    uint64_t *r = v->regs.r;
    if (!length)
        return;
    if (policy_wrmsr(v, r[RCX], (uint32_t)r[RAX] | r[RDX] << 32))
        insn_retire(v, length);
    else
        inject_gp(v);
}

/* Ports 0xcf8 and 0xcfc to 0xcff: mechanism #1 of PCI. */
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
    if ((port & ~3) != PCI_DATA_PORT || !d->control)
        return false;
    if (!(d->pci_address & BIT(31)) || (port & 3) + size > 4) {
        *value = in ? low_bits(size) : *value;
        return true;
    }
    uint32_t sbdf = d->pci_address >> 8 & 0xffff;
    unsigned reg = (d->pci_address & 0xfc) + (port & 3) + (d->pci_address >> 16 & 0xf00);
    if (in)
        *value = vpci_read(d, sbdf, reg, size);
    else
        vpci_write(d, sbdf, reg, size, *value);
    return true;
}

static int do_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value)
{
    struct domain *d = v->domain;
    if (vplatform_port(v, port, size, in, value) || pci_port(v, port, size, in, value))
        return 0;
    if (!rangeset_contains(&d->ioports, port, port + size - 1)) {
        *value = in ? low_bits(size) : *value;
    } else if (in) {
        *value = metal_port_read(port, size);
    } else {
        metal_port_write(port, size, *value);
    }
    return 0;
}

/* Memory of a device. Nobody there: all ones, as on a PC. */
static int do_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct domain *d = v->domain;
    if (vplatform_mmio(v, gpa, size, write, value))
        return 0;
    if (d->control && (vpci_ecam_access(d, gpa, size, write, value) || vpci_msix_access(d, gpa, size, write, value)))
        return 0;
    if (!write)
        *value = ~0ull;
    return 0;
}

static const struct insn_io io = { .mmio = do_mmio, .port = do_port };

static void on_pio(struct vcpu *v, const struct vm_exit *x)
{
    if (x->pio.string) {
        if (insn_string_io(v, x, &io) == INSN_UNHANDLED)
            inject_ud(v);
        return;
    }
    unsigned length = insn_length(v, x);
    if (!length)
        return;
    uint64_t *rax = &v->regs.r[RAX];
    uint32_t mask = low_bits(x->pio.size), value = *rax & mask;
    do_port(v, x->pio.port, x->pio.size, x->pio.in, &value);
    if (x->pio.in)
        *rax = x->pio.size == 4 ? value : (*rax & ~(uint64_t)mask) | (value & mask);
    insn_retire(v, length);
}

/*
 * Registers of the hardware that the domain may touch are mapped when it first does, one to one, in the largest piece
 * that holds nothing else. True: mapped, the instruction runs again.
 */
static bool map_hardware(struct domain *d, gfn_t g)
{
    static const unsigned orders[] = { 9, 0 };
    for (unsigned i = 0; i < ARRAY_SIZE(orders); i++) {
        uint64_t count = 1ull << orders[i], first = g.n & ~(count - 1);
        if (!rangeset_contains(&d->iomem, first, first + count - 1) || vpci_traps_range(d, gfn(first), count))
            continue;
        if (orders[i] && !p2m_range_empty(&d->p2m, gfn(first), count))
            continue;
        int rc = p2m_map(&d->p2m, gfn(first), mfn(first), orders[i], P2M_MMIO);
        if (rc) {
            log_guest(d, "registers at %lx cannot be mapped, error %d", first << PAGE_SHIFT, -rc);
            continue;
        }
        /* A table may have moved there meanwhile: whoever came second takes it out. */
        if (vpci_traps_range(d, gfn(first), count) && p2m_unmap(&d->p2m, gfn(first), orders[i]))
            domain_crash(d, "A device's registers at %lx could not be trapped", first << PAGE_SHIFT);
        return true;
    }
    return false;
}

static void on_fault(struct vcpu *v, const struct vm_exit *x)
{
    struct domain *d = v->domain;
    gfn_t g = gpa_gfn(x->fault.gpa);
    struct p2m_entry e = p2m_lookup(&d->p2m, g);
    bool allowed = e.type == P2M_RAM || e.type == P2M_MMIO || e.type == P2M_GRANT_RW || e.type == P2M_XENHEAP ||
                   (e.type == P2M_FOREIGN && !x->fault.fetch);
    if (allowed || (e.type == P2M_NONE && map_hardware(d, g)))
        return; /* another CPU mapped it, or we did */
    if (x->fault.fetch || x->fault.table_walk || x->fault.delivering) {
        domain_crash(d, "vCPU %u: %s at %lx, where there is no memory, rip %lx", v->id,
                     x->fault.fetch        ? "runs code"
                     : x->fault.table_walk ? "has page tables"
                                           : "has a descriptor table or stack",
                     x->fault.gpa, v->regs.rip);
        return;
    }
    if (insn_emulate(v, &io) == INSN_UNHANDLED)
        domain_crash(d, "vCPU %u: an instruction at rip %lx that %s %lx is not one that devices are used with", v->id,
                     v->regs.rip, x->fault.write ? "writes" : "reads", x->fault.gpa);
}

static void on_hypercall(struct vcpu *v, const struct vm_exit *x) { hypercall_run(v, x->length); }

static void on_hlt(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    if (!length)
        return;
    insn_retire(v, length);
    vcpu_block(v, BLOCK_HALT);
}

static void on_window(struct vcpu *v, const struct vm_exit *x)
{
    hv->want_window(v, false);
    atomic_fetch_or(&v->work, WORK_LAPIC);
}

static void on_exception(struct vcpu *v, const struct vm_exit *x)
{
    if (x->exception.vector == VECTOR_MC)
        panic("The processor reports a machine check while domain %u ran.", v->domain->id);
    hv->inject(v, INJECT_EXCEPTION, x->exception.vector, x->exception.has_code, x->exception.code, x->exception.cr2);
}

static void on_shutdown(struct vcpu *v, const struct vm_exit *x)
{
    hv->dump(v);
    domain_crash(v->domain, "vCPU %u: triple fault, rip %lx", v->id, v->regs.rip);
}

static void on_invd(struct vcpu *v, const struct vm_exit *x)
{
    /* Only who drives real devices may need it; INVD would lose others' data and becomes WBINVD. */
    if (v->domain->control)
        metal_wbinvd();
    insn_skip(v, x);
}

static void on_xsetbv(struct vcpu *v, const struct vm_exit *x)
{
    unsigned length = insn_length(v, x);
    const uint64_t *r = v->regs.r;
    if (!length)
        return;
    if ((uint32_t)r[RCX] == 0 && metal_set_xcr0(v, (uint32_t)r[RAX] | r[RDX] << 32))
        insn_retire(v, length);
    else
        inject_gp(v);
}

static void on_pause(struct vcpu *v, const struct vm_exit *x)
{
    insn_skip(v, x);
    sched_yield(v);
}

static void on_forbidden(struct vcpu *v, const struct vm_exit *x) { inject_gp(v); }
static void on_undefined(struct vcpu *v, const struct vm_exit *x) { inject_ud(v); }

static void on_unknown(struct vcpu *v, const struct vm_exit *x)
{
    hv->dump(v);
    domain_crash(v->domain, "vCPU %u: the processor does not run its state, exit %lx (%lx, %lx)", v->id,
                 x->invalid.code, x->invalid.info1, x->invalid.info2);
}

static void on_task_switch(struct vcpu *v, const struct vm_exit *x)
{
    domain_crash(v->domain, "vCPU %u: a hardware task switch, rip %lx", v->id, v->regs.rip);
}

static void (*const handlers[NR_EXITS])(struct vcpu *v, const struct vm_exit *x) = {
    [EXIT_CPUID] = on_cpuid,
    [EXIT_RDMSR] = on_rdmsr,
    [EXIT_WRMSR] = on_wrmsr,
    [EXIT_PIO] = on_pio,
    [EXIT_FAULT] = on_fault,
    [EXIT_HYPERCALL] = on_hypercall,
    [EXIT_HLT] = on_hlt,
    [EXIT_WINDOW] = on_window,
    [EXIT_EXCEPTION] = on_exception,
    [EXIT_SHUTDOWN] = on_shutdown,
    [EXIT_INVD] = on_invd,
    [EXIT_RDPMC] = on_forbidden,
    [EXIT_MONITOR] = on_undefined,
    [EXIT_MWAIT] = on_undefined,
    [EXIT_XSETBV] = on_xsetbv,
    [EXIT_UNDEFINED] = on_undefined,
    [EXIT_TASK_SWITCH] = on_task_switch,
    [EXIT_PAUSE] = on_pause,
    [EXIT_INVALID_STATE] = on_unknown,
};

void exit_dispatch(struct vcpu *v, const struct vm_exit *x)
{
    void (*handler)(struct vcpu *, const struct vm_exit *) = handlers[x->kind];
    if (likely(handler))
        handler(v, x);
}
