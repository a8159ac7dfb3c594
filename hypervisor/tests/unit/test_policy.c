/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/policy.c */
/* What domains see of several hosts (EPYC with and without XSAVE, all bits set), and the MSRs. */
#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/ops.h>
#include <hv/policy.h>
#include <hv/vdev.h>
#include <stdlib.h>
#include <string.h>

static struct domain domain = { .max_vcpus = 6, .id = 3 };
static struct vcpu vcpu = { .domain = &domain, .id = 5 };
static struct vcpu_paging paging;
static bool apic_on = true, all_bits, no_xsave, bare;
static struct vcpu_state state = { .efer = BIT(8) | BIT(10) };
static uint8_t guest_page[4096];
static uint32_t apic_msr;
static uint64_t guest_xcr0 = 1;
__attribute__((weak)) uint64_t hv_tsc_khz = 2000000;

static void host(uint32_t leaf, uint32_t sub, struct cpuid_regs *r)
{
    *r = all_bits ? (struct cpuid_regs){ ~0u, ~0u, ~0u, ~0u } : (struct cpuid_regs){ 0 };
    if (leaf == 0) {
        r->eax = 0x10;
        memcpy(&r->ebx, "Auth", 4);
    } else if (leaf == 0x80000000)
        r->eax = 0x80000021;
    else if (all_bits)
        return;
    else if (leaf == 1)
        *r = (struct cpuid_regs){ 0x830f10, 0x3010800, no_xsave ? 0x00d83203 : 0x7ed8320b, 0x178bfbff };
    else if (leaf == 7 && sub == 0)
        *r = (struct cpuid_regs){ 0, 0x219c91a9, 0x400004, 0 };
    else if (leaf == 0xd)
        *r = sub == 0   ? (struct cpuid_regs){ 0x207, 832, 2696, 0 }
             : sub == 1 ? (struct cpuid_regs){ 15, 1, 1, 1 }
                        : (struct cpuid_regs){ 256, 576 };
    else if (leaf == 0x80000001)
        *r = (struct cpuid_regs){ 0x830f10, 0, 0x75c237ff, 0x2fd3fbff };
    else if (leaf == 0x80000008)
        *r = (struct cpuid_regs){ 0x3030, bare ? 0x205 : 0x91ef657, 0x4007, 0x10000 };
    else if (leaf == 0x8000001d && sub < 4)
        *r = (struct cpuid_regs){ sub == 3 ? 0x4163 : 0x4121, 1, 2, 3 };
}

void *page_alloc(void) { return calloc(1, 4096); }
void page_free(void *p) { free(p); }
bool vlapic_enabled(const struct vcpu *v) { return apic_on; }
bool vlapic_msr_read(struct vcpu *v, uint32_t msr, uint64_t *value) { return (apic_msr = msr) != 0; }
bool vlapic_msr_write(struct vcpu *v, uint32_t msr, uint64_t value) { return (apic_msr = msr) != 0; }
uint64_t metal_xcr0(void) { return guest_xcr0; }
int guest_write_phys(struct domain *d, gpa_t to, const void *from, size_t size)
{
    if (to < 0x5000 || to + size > 0x6000)
        return -EFAULT;
    memcpy(guest_page + to - 0x5000, from, size);
    return 0;
}
static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging, p->efer = state.efer; }
static void get_state(const struct vcpu *v, struct vcpu_state *to) { *to = state; }
static void put_state(struct vcpu *v, const struct vcpu_state *from) { state = *from; }
static void set_tsc_offset(struct vcpu *v, int64_t offset) {}
static unsigned time_told;
void vcpu_update_time(struct vcpu *v) { time_told++; }
static const struct hv_ops ops = { .hypercall = { 0x0f, 0x01, 0xd9 },
                                   .paging = get_paging,
                                   .state_get = get_state,
                                   .state_put = put_state,
                                   .set_tsc_offset = set_tsc_offset };
const struct hv_ops *hv = &ops;

static struct cpuid_regs ask(uint32_t leaf, uint32_t sub)
{
    struct cpuid_regs r;
    policy_cpuid(&vcpu, leaf, sub, &r);
    return r;
}

static void common(void)
{
    struct cpuid_regs one = ask(1, 0);
    CHECK(!(one.ecx & (BIT(3) | BIT(5) | BIT(6) | BIT(15) | BIT(27))) && one.ecx & BIT(31) && one.ecx & BIT(21) &&
          one.ecx & BIT(24));
    CHECK(one.ebx >> 24 == 10 && one.edx & BIT(9) && one.edx & BIT(28));
    CHECK(!(ask(0x80000001, 0).ecx & (BIT(2) | BIT(10) | BIT(12) | BIT(29))) && !ask(0x8000000a, 0).edx);
    CHECK(!(ask(7, 0).ebx >> 16 & 0xdc23) && !(ask(7, 0).ecx & (BIT(3) | BIT(16))) && !ask(7, 9).ebx);
    CHECK((ask(0xd, 0).eax & ~7u) == 0 && !(ask(0xd, 1).eax & 8) && !ask(0xd, 5).eax);
    struct cpuid_regs t = ask(0xb, 0), c = ask(0xb, 1), e = ask(0xb, 2);
    CHECK(t.eax == 1 && t.ebx == 1 && t.ecx == 0x100 && t.edx == 10);
    CHECK(c.eax == 4 && c.ebx == 6 && c.ecx == 0x201 && e.ecx == 2 && !e.eax && e.edx == 10);
    CHECK(ask(0x40000000, 0).eax == 0x40000005 && ask(0x40000000, 0).ebx == 0x566e6558 &&
          ask(0x40000001, 0).eax == 0x40011);
    CHECK(ask(0x40000002, 0).ebx == 0x40000000 && ask(0x40000003, 0).ecx == hv_tsc_khz && !ask(0x40000003, 2).eax);
    CHECK(ask(0x40000004, 0).eax == 0x58 && ask(0x40000004, 0).ebx == 5 && ask(0x40000004, 0).ecx == 3 &&
          !ask(0x40000004, 1).eax);
    CHECK(!ask(0x40000006, 0).eax && !ask(0x40000100, 0).eax && !ask(0x17, 0).eax && !ask(0xffffffff, 0).eax &&
          !ask(0xa, 0).eax);
    CHECK(ask(0x80000000, 0).eax >= 0x80000008 && !ask(ask(0x80000000, 0).eax + 1, 0).eax &&
          (ask(0x80000008, 0).eax >> 8 & 0xff) == 48);
}

static void play(bool bits, bool without_xsave)
{
    all_bits = bits, no_xsave = without_xsave;
    CHECK(policy_init(&domain, host) == 0);
    policy_vcpu_init(&vcpu);
    common();
}

static void test_hosts(void)
{
    play(true, false);
    CHECK(ask(0x8000001e, 0).eax == 10 && ask(0x8000001e, 0).ebx == 5);
    policy_free(&domain);
    play(false, true);
    CHECK(!(ask(1, 0).ecx & (BIT(26) | BIT(28) | BIT(12))) && !(ask(7, 0).ebx & BIT(5)) && !ask(0xd, 0).eax &&
          !ask(0xd, 0).ebx);
    policy_free(&domain);
    play(false, false);
    CHECK(ask(0xd, 0).eax == 7 && ask(0xd, 0).ebx == 576 && ask(0xd, 0).ecx == 832 && ask(0xd, 1).eax == 7);
    guest_xcr0 = 7;
    CHECK(ask(0xd, 0).ebx == 832 && ask(0xd, 2).eax == 256);
    CHECK(ask(0x80000008, 0).ecx == (5 | 4 << 12) && (ask(0x8000001d, 3).eax >> 14 & 0xfff) == 15 &&
          !(ask(0x8000001d, 0).eax >> 14 & 0xfff));
    paging.cr4 = BIT(18);
    apic_on = false;
    CHECK(ask(1, 0).ecx & BIT(27) && !(ask(1, 0).edx & BIT(9)) && !(ask(0x80000001, 0).edx & BIT(9)));
}

/* What holds speculation back: offered where the host has it, and only what is switched. */
static void test_speculation(void)
{
    uint64_t x;
    struct vcpu *v = &vcpu;
    bare = true;
    CHECK(policy_init(&domain, host) == 0);
    CHECK(!policy_rdmsr(v, 0x48, &x) && !policy_wrmsr(v, 0x48, 0));
    CHECK(!(ask(0x80000008, 0).ebx & (BIT(12) | BIT(14) | BIT(15) | BIT(24) | BIT(25))));
    policy_free(&domain);
    bare = false;
    CHECK(policy_init(&domain, host) == 0);
    CHECK(ask(0x80000008, 0).ebx & BIT(12) && ask(0x80000008, 0).ebx & BIT(24) && !(ask(0x80000008, 0).ebx & BIT(25)));
    CHECK(policy_wrmsr(v, 0x48, 4) && v->spec_ctrl == 4 && policy_rdmsr(v, 0x48, &x) && x == 4);
    CHECK(!policy_wrmsr(v, 0x48, 8) && !policy_wrmsr(v, 0x48, BIT(32)) && v->spec_ctrl == 4);
    policy_free(&domain);
}

static void test_msrs(void)
{
    uint64_t x;
    struct vcpu *v = &vcpu;
    CHECK(policy_rdmsr(v, 0x808, &x) && apic_msr == 0x808 && policy_wrmsr(v, 0x6e0, 5) && apic_msr == 0x6e0 &&
          policy_rdmsr(v, 0x1b, &x));
    CHECK(!policy_wrmsr(v, 0xc0000080, BIT(12)) && !policy_wrmsr(v, 0xc0000080, BIT(20)) &&
          policy_wrmsr(v, 0xc0000080, BIT(8) | BIT(11)));
    CHECK(state.efer == (BIT(8) | BIT(10) | BIT(11)) && policy_rdmsr(v, 0xc0000080, &x) && x == state.efer);
    state.cr0 = BIT(31);
    CHECK(!policy_wrmsr(v, 0xc0000080, BIT(11)) && policy_wrmsr(v, 0xc0000080, BIT(8)));
    CHECK(policy_wrmsr(v, 0x277, 0x0007040600070406) && !policy_wrmsr(v, 0x277, 2) &&
          !policy_wrmsr(v, 0x277, 8ull << 56) && policy_rdmsr(v, 0x277, &x) && x == 0x0007040600070406);
    CHECK(policy_rdmsr(v, 0xfe, &x) && x == 0x508 && policy_rdmsr(v, 0x2ff, &x) && x == 0xc06 &&
          policy_rdmsr(v, 0x26f, &x) && x == 0x0606060606060606);
    CHECK(policy_rdmsr(v, 0x250, &x) && policy_rdmsr(v, 0x258, &x) && policy_rdmsr(v, 0x259, &x) &&
          policy_rdmsr(v, 0x268, &x));
    CHECK(!policy_rdmsr(v, 0x251, &x) && !policy_rdmsr(v, 0x25a, &x) && !policy_rdmsr(v, 0x270, &x) &&
          !policy_rdmsr(v, 0x210, &x));
    CHECK(policy_wrmsr(v, 0x200, 0x80000006) && policy_rdmsr(v, 0x200, &x) && x == 0x80000006);
    CHECK(policy_wrmsr(v, 0x10, 1000) && time_told == 1 && policy_rdmsr(v, 0x10, &x) && x >= 1000 && x < 1000000000000);
    CHECK(policy_rdmsr(v, 0xc0010114, &x) && x == 0x18 && policy_wrmsr(v, 0xc0010114, 0) &&
          !policy_rdmsr(v, 0xc0010117, &x));
    CHECK(!policy_rdmsr(v, 0x1a0, &x) && !policy_rdmsr(v, 0xc0010064, &x) && !policy_rdmsr(v, 0xda0, &x) &&
          !policy_wrmsr(v, 0x48, 8));
    CHECK(!policy_wrmsr(v, 0x40000000, 0x5001) && !policy_wrmsr(v, 0x40000000, 0x7000) &&
          policy_wrmsr(v, 0x40000000, 0x5000));
    CHECK(!memcmp(guest_page + 32 * 34, "\xb8\x22\0\0\0\x0f\x01\xd9\xc3\xcc", 10));
}

int main(void)
{
    test_speculation();
    test_hosts();
    test_msrs();
    policy_free(&domain);
    return 0;
}
