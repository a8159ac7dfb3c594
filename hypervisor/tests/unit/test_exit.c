/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/exit.c exit/insn.c */
/* What exits mean: instructions that are carried out or refused, and by whom a port or an address is answered. */
#include "fake_metal.h"

#include "../../exit/insn.h"

#include <hv/domain.h>
#include <hv/hypercall.h>
#include <hv/ops.h>
#include <hv/p2m.h>
#include <hv/policy.h>
#include <hv/sched.h>
#include <hv/vdev.h>
#include <string.h>

static struct domain domain = { .control = true };
static struct vcpu vcpu = { .domain = &domain };
static const char *code;
static struct vcpu_paging paging;
static int injected;
static uint64_t xcr0;

/* --- the rooms below --------------------------------------------------------------------------------------------- */

void guest_code_page(struct vcpu *v) {}
unsigned guest_fetch(struct vcpu *v, uint8_t bytes[15], enum walk_fault *fault, uint32_t *error)
{
    memset(bytes, 0x90, 15);
    memcpy(bytes, code, strnlen(code, 15));
    return 15;
}

static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging; }
static void get_state(const struct vcpu *v, struct vcpu_state *s) { *s = (struct vcpu_state){ 0 }; }
static void inject(struct vcpu *v, enum inject kind, uint8_t vector, bool has_code, uint32_t error, uint64_t cr2)
{
    injected = vector;
}
static void end_shadow(struct vcpu *v) {}
static const struct hv_ops ops = {
    .paging = get_paging,
    .state_get = get_state,
    .inject = inject,
    .end_shadow = end_shadow,
};
const struct hv_ops *hv = &ops;

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
enum insn_result insn_emulate(struct vcpu *v, const struct vm_exit *x, bool device) { return INSN_UNHANDLED; }
bool virqchip_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value) { return false; }
bool vlapic_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value) { return false; }
bool virqchip_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value) { return false; }
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
    code = bytes;
    injected = -1;
    vcpu.work = 0;
    vcpu.regs.rip = 0x1000;
    exit_dispatch(&vcpu, &x);
    return vcpu.regs.rip - 0x1000;
}

static void test_xsetbv(void)
{
    paging = (struct vcpu_paging){ .long_mode = true, .code64 = true };
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
    paging = (struct vcpu_paging){ 0 };
    vcpu.regs.r[RCX] = 0x500000005; /* the upper half is out of sight */
    CHECK(moved("\xf0\x0f\x22\xc1", EXIT_CR8) == 4 && vcpu.cr8 == 5);
    CHECK(moved("\x0f\xa2", EXIT_CR8) == 0 && vcpu.cr8 == 5 && injected == -1); /* somebody rewrote it */
}

/* Mechanism #1 reaches the registers of the address; nobody answers at other ports. */
static void test_ports(void)
{
    uint32_t value = 0x80000000 | 0x1a << 8 | 0x40;
    paging = (struct vcpu_paging){ .long_mode = true, .code64 = true };
    CHECK(exit_port(&vcpu, 0xcf8, 4, false, &value) == 0);
    CHECK(exit_port(&vcpu, 0xcfe, 2, true, &value) == 0 && value == (0x1a << 16 | 0x42));
    CHECK(exit_port(&vcpu, 0xcfe, 4, true, &value) == 0 && value == ~0u);
    CHECK(exit_port(&vcpu, 0x1234, 1, true, &value) == 0 && value == 0xff);
    domain.control = false;
    CHECK(exit_port(&vcpu, 0xcfc, 4, true, &value) == 0 && value == ~0u);
    domain.control = true;
    vcpu.regs.r[RAX] = ~0ull;
    struct vm_exit x = { .kind = EXIT_PIO, .length = 2, .pio = { .port = 0xcfc, .size = 2, .in = true } };
    vcpu.regs.rip = 0x1000;
    exit_dispatch(&vcpu, &x);
    CHECK(vcpu.regs.r[RAX] == 0xffffffffffff0040 && vcpu.regs.rip == 0x1002);
    uint64_t wide = 0;
    CHECK(exit_mmio(&vcpu, 0xd0000000, 8, false, &wide) == 0 && wide == ~0ull);
}

int main(void)
{
    test_xsetbv();
    test_cr8();
    test_ports();
    return 0;
}
