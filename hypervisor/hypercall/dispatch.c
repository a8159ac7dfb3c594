/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From VMMCALL to the door: who may call, where the arguments are, which door, and how the result gets back.
 *
 * A door that returns HC_AGAIN has put what is left into its arguments; they go back into the guest's registers and RIP
 * stays on the instruction, so that the call goes on after whatever was urgent. The registers are the guest's own
 * meanwhile: the door checks them again like any others.
 */
#include "doors.h"

#include <hv/domain.h>
#include <hv/metal.h>
#include <hv/ops.h>

#include <xen/xen.h>

#define STEP_NS 500000 /* a hypercall may keep interrupts waiting that long */

struct row {
    long (*door)(struct hc_call *c);
    bool control; /* of the control domain only */
};

/* All others: -ENOSYS. So are all calls from code that is not 64-bit: their structures would be others. */
static const struct row rows[64] = {
    [__HYPERVISOR_platform_op] = { hc_platform, .control = true },
    [__HYPERVISOR_memory_op] = { hc_memory },
    [__HYPERVISOR_multicall] = { hc_multicall },
    [__HYPERVISOR_set_timer_op] = { hc_set_timer },
    [__HYPERVISOR_xen_version] = { hc_version },
    [__HYPERVISOR_console_io] = { hc_console, .control = true },
    [__HYPERVISOR_grant_table_op] = { hc_grant_table },
    [__HYPERVISOR_vcpu_op] = { hc_vcpu },
    [__HYPERVISOR_sched_op] = { hc_sched },
    [__HYPERVISOR_event_channel_op] = { hc_event_channel },
    [__HYPERVISOR_physdev_op] = { hc_physdev, .control = true },
    [__HYPERVISOR_hvm_op] = { hc_hvm },
    [__HYPERVISOR_sysctl] = { hc_sysctl, .control = true },
    [__HYPERVISOR_domctl] = { hc_domctl, .control = true },
};

/* Where arguments are. */
static const uint8_t args[6] = { RDI, RSI, RDX, R10, R8, R9 };

long hypercall_one(struct hc_call *c, uint64_t number)
{
    if (unlikely(number >= ARRAY_SIZE(rows)))
        return -ENOSYS;
    const struct row *row = &rows[number];
    if (unlikely(!row->door))
        return -ENOSYS;
    if (unlikely(row->control && !c->d->control))
        return -EPERM;
    return row->door(c);
}

void hypercall_run(struct vcpu *v, unsigned length)
{
    struct vcpu_paging mode;
    struct hc_call c;
    struct regs *regs = &v->regs;
    hv->paging(v, &mode);
    bool code64 = mode.long_mode && mode.code64;
    long result = mode.cpl ? -EPERM : -ENOSYS;
    if (likely(code64 && mode.cpl == 0)) {
        c.v = v;
        c.d = v->domain;
        c.stop_at = 0;
        for (unsigned i = 0; i < 6; i++)
            c.arg[i] = regs->r[args[i]];
        result = hypercall_one(&c, regs->r[RAX]);
        if (unlikely(result == HC_AGAIN)) {
            for (unsigned i = 0; i < 6; i++)
                regs->r[args[i]] = c.arg[i];
            return;
        }
    }
    regs->r[RAX] = code64 ? (uint64_t)result : (uint32_t)result;
    regs->rip = code64 ? regs->rip + length : (uint32_t)(regs->rip + length);
    hv->end_shadow(v);
}

bool hypercall_preempt(struct hc_call *c)
{
    uint64_t now = metal_now();
    if (!c->stop_at)
        c->stop_at = now + STEP_NS;
    return load_relaxed(&c->v->work) || now > c->stop_at;
}

int door_domain(struct hc_call *c, domid_t id, struct domain **d)
{
    if (id == DOMID_SELF)
        id = c->d->id;
    if (id != c->d->id && !c->d->control)
        return -EPERM;
    *d = domain_get(id);
    return *d ? 0 : -ESRCH;
}

int door_read(struct hc_call *c, void *arg, size_t size, domid_t *id, struct domain **d)
{
    return guest_read(c->v, arg, c->arg[1], size) ? -EFAULT : door_domain(c, *id, d);
}
