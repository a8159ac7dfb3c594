/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/exit.c exit/insn.c */
/* What exits mean: instructions that are carried out or refused, and by whom a port or an address is answered. */
#include "exit_fakes.h"

#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>

static uint64_t xcr0;

/* --- the rooms below --------------------------------------------------------------------------------------------- */

bool metal_set_xcr0(struct vcpu *v, uint64_t value)
{
    xcr0 = value;
    return value & 1;
}
void metal_wbinvd(void) {}
void metal_machine_check(void) {}
bool metal_sleep_write(struct vcpu *v, uint16_t port, unsigned size, uint32_t value) { return false; }
void vcpu_block(struct vcpu *v, uint32_t block) {}
void policy_cpuid(struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out) {}
bool policy_rdmsr(struct vcpu *v, uint32_t msr, uint64_t *value) { return false; }
bool policy_wrmsr(struct vcpu *v, uint32_t msr, uint64_t value) { return false; }
void hypercall_run(struct vcpu *v, unsigned length) {}
void insn_emulate(struct vcpu *v, const struct vm_exit *x) {}
bool virqchip_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value) { return false; }
bool vlapic_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value) { return false; }
bool virqchip_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    CHECK(size == 1 || size == 2 || size == 4 || size == 8);
    *value = 0x1234;
    return gpa == VIOAPIC_BASE;
}
uint32_t vpci_read(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size) { return sbdf << 16 | reg; }
void vpci_write(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value) {}
bool vpci_msix_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value) { return false; }
bool vpci_ecam_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value) { return false; }
bool vpci_traps_range(struct domain *d, gfn_t g, uint64_t count) { return false; }
bool rangeset_contains(const struct rangeset *r, uint64_t first, uint64_t last) { return false; }
struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g) { return (struct p2m_entry){ .type = P2M_NONE }; }
int p2m_map(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type) { return 0; }
int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count) { return 0; }
void domain_crash(struct domain *d, const char *format, ...) { CHECK(!"crash"); }

/* --- tests ------------------------------------------------------------------------------------------------------- */

static uint64_t moved(const char *bytes, enum exit_kind kind)
{
    struct vm_exit x = { .kind = kind };
    set_code(bytes, strlen(bytes));
    vcpu.work = 0;
    vcpu.regs.rip = 0x1000;
    exit_dispatch(&vcpu, &x);
    return vcpu.regs.rip - 0x1000;
}

static void test_xsetbv(void)
{
    vcpu.regs.r[RCX] = vcpu.regs.r[RDX] = 0;
    vcpu.regs.r[RAX] = 7;
    CHECK(moved("\x0f\x01\xd1", EXIT_XSETBV) == 3 && injected == -1 && xcr0 == 7);
    paging.cpl = 3; /* the exit comes before the check of the privilege */
    vcpu.regs.r[RAX] = 3;
    CHECK(moved("\x0f\x01\xd1", EXIT_XSETBV) == 0 && injected == 13 && xcr0 == 7);
    paging.cpl = 0;
    vcpu.regs.r[RCX] = 1;
    CHECK(moved("\x0f\x01\xd1", EXIT_XSETBV) == 0 && injected == 13 && xcr0 == 7);
}

static void test_cr8(void)
{
    vcpu.cr8 = 15;
    vcpu.regs.r[RAX] = 16;
    vcpu.regs.r[R9] = 3;
    CHECK(moved("\x45\x0f\x22\xc1", EXIT_CR8) == 4 && vcpu.cr8 == 3 && vcpu.work == WORK_LAPIC);
    CHECK(moved("\x44\x0f\x22\xc0", EXIT_CR8) == 0 && vcpu.cr8 == 3 && injected == 13 && !vcpu.work);
    paging.cpl = 3;
    vcpu.regs.r[RAX] = 0;
    CHECK(moved("\x44\x0f\x22\xc0", EXIT_CR8) == 0 && vcpu.cr8 == 3 && injected == 13);
    paging.cpl = 0;
    CHECK(moved("\x0f\xa2", EXIT_CR8) == 0 && vcpu.cr8 == 3 && injected == 6); /* somebody rewrote it */
    CHECK(moved("\x89\x06", EXIT_CR8) == 0 && vcpu.cr8 == 3 && injected == -1);
}

static uint64_t port_in(uint16_t port, unsigned size)
{
    struct vm_exit x = { .kind = EXIT_PIO, .length = 2, .pio = { .port = port, .size = size, .in = true } };
    vcpu.regs.rip = 0x1000;
    vcpu.regs.r[RAX] = 0x1111111111111111;
    exit_dispatch(&vcpu, &x);
    CHECK(vcpu.regs.rip == 0x1002);
    return vcpu.regs.r[RAX];
}

/* Mechanism #1 reaches the registers of the address; nobody answers at other ports. */
static void test_ports(void)
{
    struct vm_exit x = { .kind = EXIT_PIO, .length = 1, .pio = { .port = 0xcf8, .size = 4 } };
    vcpu.regs.r[RAX] = 0x80000000 | 0x1a << 8 | 0x40;
    exit_dispatch(&vcpu, &x);
    CHECK(port_in(0xcf8, 4) == (0x80000000 | 0x1a << 8 | 0x40));
    CHECK(port_in(0xcfc, 4) == (0x1a << 16 | 0x40));
    CHECK(port_in(0xcfe, 2) == 0x1111111111110042 && port_in(0xcff, 1) == 0x1111111111111143);
    CHECK(port_in(0xcfe, 4) == ~0u && port_in(0x1234, 1) == 0x11111111111111ff &&
          port_in(0x1234, 2) == 0x111111111111ffff);
    domain.control = false;
    CHECK(port_in(0xcfc, 4) == ~0u);
    domain.control = true;
    x.pio.string = true;
    vcpu.regs.rip = 0x1000;
    injected = -1;
    exit_dispatch(&vcpu, &x);
    CHECK(vcpu.regs.rip == 0x1000 && injected == 6);
}

static void test_memory(void)
{
    uint64_t value = 0;
    exit_mmio(&vcpu, VIOAPIC_BASE, 2, false, &value);
    CHECK(value == 0x1234);
    exit_mmio(&vcpu, VIOAPIC_BASE, 3, false, &value); /* of an operand across pages */
    CHECK(value == ~0ull);
    value = 0;
    exit_mmio(&vcpu, 0xd0000000, 8, false, &value);
    CHECK(value == ~0ull);
}

int main(void)
{
    test_xsetbv();
    test_cr8();
    test_ports();
    test_memory();
    return 0;
}
