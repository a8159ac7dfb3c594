/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: hvm/svm.c hvm/npt.c hvm/switch.c */
/*
 * AMD's half of the vendor seam with a processor that the test plays: svm_run() leaves in the VMCB what an exit leaves,
 * GS leads to a CPU's block, and instructions of the kernel's (XSETBV, debug registers) trap to trapped().
 */
#include "fake_metal.h"

#include "../../cpu/cpu.h"
#include "../../cpu/x86.h"
#include "../../hvm/hvm.h"
#include "../../hvm/vmcb.h"

#include <asm/prctl.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/log.h>
#include <hv/ops.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

extern const struct hv_ops svm_ops;
struct cpu_features hv_features = { .asids = 16 };
static struct cpu cpu = { .self = &cpu, .asid_generation = 1, .asid_next = 1 };
static struct domain domain;
static struct vcpu vcpu = { .domain = &domain };
static struct vmcb *vmcb; /* as the last exit saw it */
static struct vmcb at_exit;
static unsigned nr_xcr0, nr_dr;
static uint64_t xcr0[16];

void *page_alloc(void)
{
    void *page = aligned_alloc(PAGE_SIZE, PAGE_SIZE);
    CHECK(page);
    return memset(page, 0, PAGE_SIZE);
}
void page_free(void *page) { free(page); }

/* The guest runs: what it found is kept, and what the test wants is in its place. */
void svm_run(struct regs *regs, paddr_t at, paddr_t host_vmcb)
{
    vmcb = paddr_ptr(at);
    vmcb->exit_code = at_exit.exit_code;
    vmcb->exit_info1 = at_exit.exit_info1;
    vmcb->exit_info2 = at_exit.exit_info2;
    vmcb->exit_int_info = at_exit.exit_int_info;
    vmcb->event_injection = 0; /* the processor has taken it */
}

static struct vm_exit leave(uint64_t code, uint64_t event)
{
    struct vm_exit x;
    at_exit = (struct vmcb){ .exit_code = code, .exit_int_info = event };
    svm_ops.enter(&vcpu, &x);
    return x;
}

static void fresh(void)
{
    if (vcpu.hw)
        svm_ops.vcpu_free(&vcpu);
    CHECK(svm_ops.vcpu_init(&vcpu) == 0);
    leave(VMEXIT_INTR, 0);
}

static bool exits_on(enum vmcb_exit code) { return vmcb->intercepts[code / 32] >> code % 32 & 1; }

/* What is the hypervisor's exits, and what it exits for is understood; anything else ends the guest. */
static void test_intercepts(void)
{
    static const uint32_t want[6] = { 0, 0, 0x60002 /* #DB, #AC, #MC */, 0x9d44801f, 0x6e7f };
    fresh();
    CHECK(!memcmp(vmcb->intercepts, want, sizeof want));
    for (unsigned code = 0; code < 0xa0; code++)
        CHECK(!exits_on(code) || leave(code, 0).kind != EXIT_INVALID);
    CHECK(leave(VMEXIT_VMRUN + 3, 0).kind == EXIT_UNDEFINED && leave(0x77, 0).kind == EXIT_INVALID);
    CHECK(leave(~0ull, 0).kind == EXIT_INVALID && leave(0x401, 0).kind == EXIT_INVALID);
}

/* An event whose delivery an exit cut short comes again, unless an instruction raises it again. */
static void test_events_again(void)
{
    static const struct {
        uint64_t event;
        bool again;
    } events[] = {
        { EVENT_VALID | EVENT_INTERRUPT << 8 | 0x31, true },
        { EVENT_VALID | EVENT_NMI << 8 | 2, true },
        { EVENT_VALID | EVENT_EXCEPTION << 8 | 14 | EVENT_HAS_CODE | 2ull << 32, true },
        { EVENT_VALID | EVENT_EXCEPTION << 8 | 3, false }, /* INT3 */
        { EVENT_VALID | EVENT_EXCEPTION << 8 | 4, false }, /* INTO */
        { EVENT_VALID | EVENT_SOFTWARE << 8 | 0x80, false },
        { EVENT_INTERRUPT << 8 | 0x31, false }, /* nothing was being delivered */
    };
    fresh();
    for (unsigned i = 0; i < ARRAY_SIZE(events); i++) {
        CHECK(leave(VMEXIT_NPF, events[i].event).kind == EXIT_FAULT);
        CHECK(vmcb->event_injection == (events[i].again ? events[i].event : 0));
        vcpu.regs.rflags = BIT(9);
        CHECK(svm_ops.ready(&vcpu, INJECT_INTERRUPT) == !events[i].again);
    }
}

/* INIT, and whoever else writes a whole state: what was to be delivered to the old one does not come. */
static void test_a_new_state_has_no_event(void)
{
    struct vcpu_state s;
    fresh();
    svm_ops.inject(&vcpu, INJECT_INTERRUPT, 0x31, false, 0, 0);
    vmcb->shadow = 1;
    svm_ops.state_get(&vcpu, &s);
    s.cr3 = 0x5000;
    svm_ops.state_put(&vcpu, &s);
    CHECK(vmcb->event_injection == 0 && vmcb->shadow == 0 && vmcb->cr3 == 0x5000 && vmcb->clean == 0);
}

/* CR8 exits exactly while something may wait for it, and no virtual interrupt has a priority (see svm_want_window()).
 */
static void test_windows(void)
{
    static const struct {
        enum window window;
        bool cr8;
        uint64_t virtual;
    } windows[] = {
        { WINDOW_ANY, true, VINTR_MASKING | VINTR_IRQ | VINTR_IGNORE_TPR },
        { WINDOW_CR8, true, VINTR_MASKING },
        { WINDOW_OFF, false, VINTR_MASKING },
    };
    fresh();
    for (unsigned i = 0; i < ARRAY_SIZE(windows); i++) {
        vcpu.cr8 = 9;
        svm_ops.want_window(&vcpu, windows[i].window);
        CHECK(exits_on(VMEXIT_CR8_WRITE) == windows[i].cr8 && (i == 1 || !(vmcb->clean & CLEAN_INTERCEPTS)));
        CHECK(leave(VMEXIT_CR8_WRITE, 0).kind == EXIT_CR8);
        CHECK(vmcb->virtual_interrupt == (windows[i].virtual | 9) && vcpu.cr8 == 9);
    }
    CHECK(leave(VMEXIT_VINTR, 0).kind == EXIT_WINDOW);
}

/* Two bits an MSR: what is the guest's own passes, and nothing else. */
static void test_msrs(void)
{
    const uint8_t *map = (const uint8_t *)domain.msr_bitmap;
    unsigned open = 0;
    fresh();
    for (unsigned i = 0; i < PAGE_SIZE * 2; i++)
        open += 8 - (unsigned)__builtin_popcount(map[i]);
    CHECK(open == 2 * 11 && vmcb->msrpm == ptr_paddr(map));
    CHECK((map[0x174 / 4] & 3) == 0 && (map[0x175 / 4] & 0xc) == 0 && (map[0x48 / 4] & 0xf) == 0xf);
    CHECK(map[0x800 + 0x80 / 4] == 0x03 && map[0x800 + 0x84 / 4] == 0xfc && map[0x800 + 0x100 / 4] == 0x00);
    hv_features.ibpb = true;
    fresh();
    CHECK((map[0x48 / 4] & 0xf) == 3); /* PRED_CMD, not SPEC_CTRL */
}

/* From NMI to IRET no other one is taken. */
static void test_nmis(void)
{
    fresh();
    CHECK(svm_ops.ready(&vcpu, INJECT_NMI));
    svm_ops.inject(&vcpu, INJECT_NMI, 2, false, 0, 0);
    leave(VMEXIT_INTR, 0);
    CHECK(!svm_ops.ready(&vcpu, INJECT_NMI) && exits_on(VMEXIT_IRET));
    CHECK(leave(VMEXIT_IRET, 0).kind == EXIT_WINDOW);
    CHECK(svm_ops.ready(&vcpu, INJECT_NMI) && !exits_on(VMEXIT_IRET));
}

static void trapped(int signal, siginfo_t *info, void *context)
{
    greg_t *r = ((ucontext_t *)context)->uc_mcontext.gregs;
    const uint8_t *at = (const uint8_t *)r[REG_RIP];
    if (at[0] == 0x41) { /* for R8 to R15 */
        at++;
        r[REG_RIP]++;
    }
    CHECK(at[0] == 0x0f);
    if (at[1] == 0x01 && at[2] == 0xd1) {
        xcr0[nr_xcr0++] = (uint32_t)r[REG_RAX] | (uint64_t)r[REG_RDX] << 32;
    } else {
        CHECK(at[1] == 0x21 || at[1] == 0x23); /* from and to debug registers */
        nr_dr++;
    }
    r[REG_RIP] += 3;
}

/*
 * What a vCPU leaves in registers is no other's: all components are saved and loaded while XCR0 has them all, also for
 * one whose own XCR0 has fewer, and only then it gets its own.
 */
static void test_no_registers_leak(void)
{
    struct vcpu other = { .domain = &domain };
    static uint64_t secret[4] = { 1, 2, 3, 4 }, seen[4];
    hv_features.xsave = true;
    hv_features.xcr0 = 7;
    vcpu.extra = page_alloc();
    other.extra = page_alloc();
    metal_reset_fpu(&vcpu);
    metal_reset_fpu(&other);
    vcpu_load(&vcpu);
    CHECK(nr_xcr0 == 2 && (xcr0[0] & 7) == 7 && xcr0[1] == 1 && nr_dr == 4);
    __asm__ volatile("vmovdqu %0, %%ymm7" : : "m"(secret) : "xmm7");
    vcpu_unload(&vcpu);
    CHECK(nr_xcr0 == 3 && (xcr0[2] & 7) == 7 && nr_dr == 8);
    vcpu_load(&other);
    __asm__ volatile("vmovdqu %%ymm7, %0" : "=m"(seen));
    CHECK(!seen[0] && !seen[3] && (xcr0[3] & 7) == 7 && xcr0[4] == 1);
    vcpu_load(&vcpu);
    __asm__ volatile("vmovdqu %%ymm7, %0" : "=m"(seen));
    CHECK(!memcmp(seen, secret, sizeof seen));
    page_free(vcpu.extra);
    page_free(other.extra);
}

int main(void)
{
    struct sigaction trap = { .sa_sigaction = trapped, .sa_flags = SA_SIGINFO };
    static uint64_t bitmap[2 * PAGE_SIZE / 8] = { [0 ... 2 * PAGE_SIZE / 8 - 1] = ~0ull };
    domain.msr_bitmap = bitmap;
    CHECK(syscall(SYS_arch_prctl, ARCH_SET_GS, &cpu) == 0);
    CHECK(sigaction(SIGSEGV, &trap, NULL) == 0);
    test_intercepts();
    test_events_again();
    test_a_new_state_has_no_event();
    test_windows();
    test_nmis();
    test_msrs();
    if (__builtin_cpu_supports("avx") && cpuid(0xd, 0).ebx <= 3584) /* what this computer's XSAVE writes fits */
        test_no_registers_leak();
    svm_ops.vcpu_free(&vcpu);
    return 0;
}
