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
    struct evtchn_bind_pirq bind_pirq;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_status status;
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_unmask unmask;
    struct evtchn_reset reset;
    struct evtchn_init_control init_control;
    struct evtchn_expand_array expand_array;
    struct evtchn_set_priority set_priority;
};

int door_target_get(struct hc_call *c, domid_t id, struct domain **d)
{
    if (id == DOMID_SELF)
        id = c->d->id;
    if (id != c->d->id && !c->d->control && !c->d->privileged_for_all)
        return -EPERM;
    *d = domain_get(id);
    return *d ? 0 : -ESRCH;
}

static long op_bind_interdomain(struct hc_call *c, union evtchn_arg *a)
{
    domid_t id = a->bind_interdomain.remote_dom;
    struct domain *remote = domain_get(id == DOMID_SELF ? c->d->id : id);
    if (!remote)
        return -ESRCH;
    long rc = evtchn_bind_interdomain(c->d, remote, a->bind_interdomain.remote_port, &a->bind_interdomain.local_port);
    domain_put(remote);
    return rc;
}

static long op_bind_virq(struct hc_call *c, union evtchn_arg *a)
{
    return evtchn_bind_virq(c->d, a->bind_virq.virq, a->bind_virq.vcpu, &a->bind_virq.port);
}

static long op_bind_pirq(struct hc_call *c, union evtchn_arg *a)
{
    bool share = a->bind_pirq.flags & BIND_PIRQ__WILL_SHARE;
    return evtchn_bind_pirq(c->d, a->bind_pirq.pirq, share, &a->bind_pirq.port);
}

static long op_close(struct hc_call *c, union evtchn_arg *a) { return evtchn_close(c->d, a->close.port); }
static long op_send(struct hc_call *c, union evtchn_arg *a) { return evtchn_send(c->d, a->send.port); }
static long op_unmask(struct hc_call *c, union evtchn_arg *a) { return evtchn_unmask(c->d, a->unmask.port); }

static long op_status(struct hc_call *c, union evtchn_arg *a)
{
    struct domain *d;
    long rc = door_target_get(c, a->status.dom, &d);
    if (rc)
        return rc;
    rc = evtchn_get_status(d, a->status.port, &a->status);
    domain_put(d);
    return rc;
}

static long op_alloc_unbound(struct hc_call *c, union evtchn_arg *a)
{
    struct domain *d;
    domid_t remote = a->alloc_unbound.remote_dom == DOMID_SELF ? c->d->id : a->alloc_unbound.remote_dom;
    long rc = door_target_get(c, a->alloc_unbound.dom, &d);
    if (rc)
        return rc;
    rc = evtchn_alloc_unbound(d, remote, &a->alloc_unbound.port);
    domain_put(d);
    return rc;
}

static long op_bind_ipi(struct hc_call *c, union evtchn_arg *a)
{
    return evtchn_bind_ipi(c->d, a->bind_ipi.vcpu, &a->bind_ipi.port);
}

static long op_bind_vcpu(struct hc_call *c, union evtchn_arg *a)
{
    return evtchn_bind_vcpu(c->d, a->bind_vcpu.port, a->bind_vcpu.vcpu);
}

/* Another domain must stand still: its vCPUs would bind again meanwhile. */
static long op_reset(struct hc_call *c, union evtchn_arg *a)
{
    struct domain *d;
    long rc = door_target_get(c, a->reset.dom, &d);
    if (rc)
        return rc;
    rc = d != c->d && !d->paused_by_tools ? -EINVAL : evtchn_reset(d);
    while (rc == -ERESTART && !hypercall_preempt(c))
        rc = evtchn_reset(d);
    domain_put(d);
    return rc; /* -ERESTART is HC_AGAIN, with the same arguments: it remembers how far it got */
}

static long op_init_control(struct hc_call *c, union evtchn_arg *a)
{
    struct evtchn_init_control *op = &a->init_control;
    return evtchn_init_control(c->d, op->vcpu, gfn(op->control_gfn), op->offset, &op->link_bits);
}

static long op_expand_array(struct hc_call *c, union evtchn_arg *a)
{
    return evtchn_expand_array(c->d, gfn(a->expand_array.array_gfn));
}

static long op_set_priority(struct hc_call *c, union evtchn_arg *a)
{
    return evtchn_set_priority(c->d, a->set_priority.port, a->set_priority.priority);
}

#define NO_PORT 0xff
#define PORT_AT(type, field) (offsetof(struct type, field))

/* `out`: the structure is written back; `port`: where in it a new port of the caller's is. */
static const struct row {
    long (*run)(struct hc_call *c, union evtchn_arg *a);
    uint8_t size, port;
    bool out;
} rows[] = {
    [EVTCHNOP_bind_interdomain] = { op_bind_interdomain, sizeof(struct evtchn_bind_interdomain),
                                    PORT_AT(evtchn_bind_interdomain, local_port), true },
    [EVTCHNOP_bind_virq] = { op_bind_virq, sizeof(struct evtchn_bind_virq), PORT_AT(evtchn_bind_virq, port), true },
    [EVTCHNOP_bind_pirq] = { op_bind_pirq, sizeof(struct evtchn_bind_pirq), PORT_AT(evtchn_bind_pirq, port), true },
    [EVTCHNOP_close] = { op_close, sizeof(struct evtchn_close), NO_PORT, false },
    [EVTCHNOP_send] = { op_send, sizeof(struct evtchn_send), NO_PORT, false },
    [EVTCHNOP_status] = { op_status, sizeof(struct evtchn_status), NO_PORT, true },
    [EVTCHNOP_alloc_unbound] = { op_alloc_unbound, sizeof(struct evtchn_alloc_unbound),
                                 PORT_AT(evtchn_alloc_unbound, port), true },
    [EVTCHNOP_bind_ipi] = { op_bind_ipi, sizeof(struct evtchn_bind_ipi), PORT_AT(evtchn_bind_ipi, port), true },
    [EVTCHNOP_bind_vcpu] = { op_bind_vcpu, sizeof(struct evtchn_bind_vcpu), NO_PORT, false },
    [EVTCHNOP_unmask] = { op_unmask, sizeof(struct evtchn_unmask), NO_PORT, false },
    [EVTCHNOP_reset] = { op_reset, sizeof(struct evtchn_reset), NO_PORT, false },
    [EVTCHNOP_init_control] = { op_init_control, sizeof(struct evtchn_init_control), NO_PORT, true },
    [EVTCHNOP_expand_array] = { op_expand_array, sizeof(struct evtchn_expand_array), NO_PORT, false },
    [EVTCHNOP_set_priority] = { op_set_priority, sizeof(struct evtchn_set_priority), NO_PORT, false },
};

/* The new port cannot be told to the guest. In alloc_unbound it may be another domain's. */
static void undo_port(struct hc_call *c, unsigned cmd, const union evtchn_arg *a)
{
    struct domain *d;
    uint32_t port = *(const uint32_t *)((const char *)a + rows[cmd].port);
    if (door_target_get(c, cmd == EVTCHNOP_alloc_unbound ? a->alloc_unbound.dom : DOMID_SELF, &d))
        return;
    if (evtchn_close(d, port))
        log_guest(d, "port %u was closed before its owner knew it", port);
    domain_put(d);
}

long hc_event_channel(struct hc_call *c)
{
    uint32_t cmd = c->arg[0];
    union evtchn_arg a;

    if (unlikely(cmd >= ARRAY_SIZE(rows) || !rows[cmd].run))
        return -ENOSYS;
    const struct row *row = &rows[cmd];
    if (unlikely(guest_read(c->v, &a, c->arg[1], row->size)))
        return -EFAULT;
    long rc = row->run(c, &a);
    if (rc || !row->out)
        return rc;
    if (likely(!guest_write(c->v, c->arg[1], &a, row->size)))
        return 0;
    if (row->port != NO_PORT)
        undo_port(c, cmd, &a);
    return -EFAULT;
}
