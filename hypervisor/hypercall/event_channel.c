/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EVENT_CHANNEL_OP: one row an operation, with the size of its structure and what the guest gets back of it. The
 * structures of 32-bit guests are the same.
 *
 * A structure is read once into a copy, the operation works on the copy, and it is written back when it has results.
 * Where that fails the new port is closed again, so that a guest never owns a port it does not know of.
 */
#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/hypercall.h>
#include <hv/log.h>
#include <xen/xen.h>
#include <xen/event_channel.h>

#include "doors.h"

_Static_assert(sizeof(struct evtchn_status) == 24, "the same for 32-bit guests");
_Static_assert(sizeof(struct evtchn_init_control) == 24, "the same for 32-bit guests");

union evtchn_arg {
    struct evtchn_bind_interdomain bind_interdomain;
    struct evtchn_bind_virq bind_virq;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_status status;
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_unmask unmask;
    struct evtchn_init_control init_control;
    struct evtchn_expand_array expand_array;
    struct evtchn_set_priority set_priority;
};

static long alloc_unbound(struct hc_call *c, struct domain *d, struct evtchn_alloc_unbound *op)
{
    return evtchn_alloc_unbound(d, op->remote_dom == DOMID_SELF ? c->d->id : op->remote_dom, &op->port);
}

static long bind_interdomain(struct hc_call *c, struct evtchn_bind_interdomain *op)
{
    struct domain *remote = domain_get(op->remote_dom == DOMID_SELF ? c->d->id : op->remote_dom);
    if (!remote)
        return -ESRCH;
    long rc = evtchn_bind_interdomain(c->d, remote, op->remote_port, &op->local_port);
    domain_put(remote);
    return rc;
}

/* `d`: the caller's domain, or the one that the operation names. */
static long run(struct hc_call *c, struct domain *d, uint32_t cmd, union evtchn_arg *a)
{
    switch (cmd) {
    case EVTCHNOP_send: return evtchn_send(d, a->send.port);
    case EVTCHNOP_unmask: return evtchn_unmask(d, a->unmask.port);
    case EVTCHNOP_close: return evtchn_close(d, a->close.port);
    case EVTCHNOP_status: return evtchn_get_status(d, a->status.port, &a->status);
    case EVTCHNOP_alloc_unbound: return alloc_unbound(c, d, &a->alloc_unbound);
    case EVTCHNOP_bind_interdomain: return bind_interdomain(c, &a->bind_interdomain);
    case EVTCHNOP_bind_virq: return evtchn_bind_virq(d, a->bind_virq.virq, a->bind_virq.vcpu, &a->bind_virq.port);
    case EVTCHNOP_bind_ipi: return evtchn_bind_ipi(d, a->bind_ipi.vcpu, &a->bind_ipi.port);
    case EVTCHNOP_bind_vcpu: return evtchn_bind_vcpu(d, a->bind_vcpu.port, a->bind_vcpu.vcpu);
    case EVTCHNOP_set_priority: return evtchn_set_priority(d, a->set_priority.port, a->set_priority.priority);
    case EVTCHNOP_init_control: return evtchn_init_control(d, &a->init_control);
    default: return evtchn_expand_array(d, gfn(a->expand_array.array_gfn));
    }
}

#define PORT_OF(type, field) offsetof(struct type, field)

/* `size`: of the structure, 0: no such operation; `out`: it is written back; `port`: where in it a new port is, 0:
 * there is none; `names`: it begins with the domain that it is about. */
static const struct row {
    uint8_t size, port;
    bool out, names;
} rows[] = {
    [EVTCHNOP_bind_interdomain] = { sizeof(struct evtchn_bind_interdomain),
                                    PORT_OF(evtchn_bind_interdomain, local_port), true },
    [EVTCHNOP_bind_virq] = { sizeof(struct evtchn_bind_virq), PORT_OF(evtchn_bind_virq, port), true },
    [EVTCHNOP_close] = { sizeof(struct evtchn_close) },
    [EVTCHNOP_send] = { sizeof(struct evtchn_send) },
    [EVTCHNOP_status] = { sizeof(struct evtchn_status), .out = true, .names = true },
    [EVTCHNOP_alloc_unbound] = { sizeof(struct evtchn_alloc_unbound), PORT_OF(evtchn_alloc_unbound, port), true, true },
    [EVTCHNOP_bind_ipi] = { sizeof(struct evtchn_bind_ipi), PORT_OF(evtchn_bind_ipi, port), true },
    [EVTCHNOP_bind_vcpu] = { sizeof(struct evtchn_bind_vcpu) },
    [EVTCHNOP_unmask] = { sizeof(struct evtchn_unmask) },
    [EVTCHNOP_init_control] = { sizeof(struct evtchn_init_control), .out = true },
    [EVTCHNOP_expand_array] = { sizeof(struct evtchn_expand_array) },
    [EVTCHNOP_set_priority] = { sizeof(struct evtchn_set_priority) },
};

long hc_event_channel(struct hc_call *c)
{
    uint32_t cmd = c->arg[0];
    struct domain *d = c->d;
    union evtchn_arg a;

    if (unlikely(cmd >= ARRAY_SIZE(rows) || !rows[cmd].size))
        return -ENOSYS;
    const struct row *row = &rows[cmd];
    if (unlikely(guest_read(c->v, &a, c->arg[1], row->size)))
        return -EFAULT;
    long rc = unlikely(row->names) ? door_domain(c, *(domid_t *)&a, &d) : 0;
    if (unlikely(rc))
        return rc;
    rc = run(c, d, cmd, &a);
    if (unlikely(!rc && row->out) && unlikely(guest_write(c->v, c->arg[1], &a, row->size))) {
        rc = -EFAULT;
        /* Nobody is told of the new port. Its owner, when that is another domain, may have closed it meanwhile. */
        if (row->port && evtchn_close(d, *(uint32_t *)((char *)&a + row->port)))
            log_guest(d, "a port was closed before its owner knew it");
    }
    if (unlikely(row->names))
        domain_put(d);
    return rc;
}
