/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: hypercall/dispatch.c hypercall/memory.c hypercall/self.c hypercall/host.c hypercall/platform.c
 * hypercall/domctl.c */
/* sources: hypercall/copy.c hypercall/event_channel.c hypercall/grant_table.c domain/domain.c domain/vcpu.c
 * domain/sched.c */
/* sources: ipc/evtchn.c ipc/evtchn_2l.c ipc/evtchn_fifo.c ipc/grant.c mem/frame.c mem/p2m.c lib/rangeset.c hvm/npt.c
 * lib/lib.c */
/*
 * Sequences of hypercalls of a control domain that may do everything: number, sub-operation, argument structure and
 * buffers come from the input. Each may fail; none may touch what is not the guest's, leak the domain, or go on for
 * ever.
 */
#define GUEST_PAGES 128
#include "../doors_fakes.h"

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/platform.h>
#include <xen/sysctl.h>

#define ARG 0x20000ull
#define DATA 0x30000ull

static const uint8_t numbers[] = { 7, 12, 13, 15, 17, 18, 20, 21, 24, 29, 32, 33, 34, 35, 36 };

struct input {
    uint8_t number, cmd, mode, size; /* size of the argument in 8 bytes */
    uint16_t count;
};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void one(struct vcpu *v, const struct input *in, const uint8_t *arg, size_t size)
{
    uint64_t number = numbers[in->number % ARRAY_SIZE(numbers)], cmd = in->cmd;
    uint8_t *at = guest(ARG);
    memset(at, 0, 256);
    memcpy(at, arg, size);
    if (in->mode & 1) /* pointers that lead somewhere: all-ones words become buffers */
        for (size_t i = 0; i + 8 <= size; i += 8)
            if (at[i] == 0xff && at[i + 1] == 0xff)
                memcpy(at + i, &(uint64_t){ DATA + at[i + 2] * 64 }, 8);
    bool versioned =
        number == __HYPERVISOR_domctl || number == __HYPERVISOR_sysctl || number == __HYPERVISOR_platform_op;
    if (versioned) {
        memcpy(at, &(uint32_t){ cmd }, 4);
        memcpy(
            at + 4,
            &(uint32_t){ number == __HYPERVISOR_platform_op ? XENPF_INTERFACE_VERSION : XEN_DOMCTL_INTERFACE_VERSION },
            4);
    }
    struct regs *r = &v->regs;
    fake_mode.code64 = !(in->mode & 2);
    fake_mode.cpl = in->mode >> 2 == 63 ? 3 : 0;
    r->rip = 0x1000;
    r->r[RAX] = number;
    r->r[RDI] = versioned ? ARG : number == __HYPERVISOR_multicall ? ARG : cmd | (uint64_t)(in->count & 0xff00) << 4;
    r->r[RSI] = number == __HYPERVISOR_vcpu_op || number == __HYPERVISOR_multicall ? in->count & 3 : ARG;
    r->r[RDX] = number == __HYPERVISOR_vcpu_op ? ARG : number == __HYPERVISOR_console_io ? DATA : in->count;
    if (number == __HYPERVISOR_console_io)
        r->r[RSI] = in->count;
    r->r[R10] = in->count;
    fake_console_used = 0;
    for (unsigned rounds = 0; r->rip == 0x1000; rounds++) {
        v->work = 0;
        r->r[RAX] = number;
        hypercall_run(v, 3);
        CHECK(rounds < 20000);
        fake_now += 100;
    }
    /* What the loop would do; and the control domain never ends. */
    v->work = 0;
    if (v->poll_until != ~0ull)
        v->poll_until = ~0ull;
    vcpu_wake(v, ~0u & ~BLOCK_PAUSE);
    hv_control_domain->shutdown_code = DOMAIN_IS_UP;
    hv_control_domain->control = true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static bool ready;
    if (!ready) {
        fake_metal_init(512);
        memset(fake_pci, 0x22, sizeof(fake_pci));
        ready = true;
    }
    fake_now = 1000000;
    fake_control_domain(2);
    struct domain *d = hv_control_domain;
    d->max_pages = GUEST_PAGES + 4096;
    struct vcpu *v = d->vcpu[0];
    struct domain *other = domain_create(5, 1);
    fake_ram(other, 16);
    for (unsigned calls = 0; size >= sizeof(struct input) && calls < 16; calls++) {
        struct input in;
        memcpy(&in, data, sizeof(in));
        data += sizeof(in);
        size -= sizeof(in);
        size_t arg = MIN(MIN((in.size % 20) * 8u, size), 160u);
        /* The page tables and the arguments stay where they are, else there is nothing left to test. */
        if (p2m_lookup(&d->p2m, gfn(PML4)).type != P2M_RAM || p2m_lookup(&d->p2m, gfn(PDPT)).type != P2M_RAM ||
            !mfn_valid(p2m_lookup(&d->p2m, gpa_gfn(ARG)).mfn))
            break;
        one(v, &in, data, arg);
        data += arg;
        size -= arg;
    }
    atomic_fetch_or(&v->blocked, BLOCK_HALT);
    CHECK(!sched_pick(0, v, metal_now()) || true);
    struct domain *all[] = { other, d };
    for (unsigned i = 0; i < 2; i++) {
        all[i]->control = false;
        while (domain_kill(all[i]) == -ERESTART) {
        }
        domain_put(all[i]);
    }
    hv_control_domain = NULL;
    return 0;
}
