/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: a domain's ports and what they are bound to. How an event reaches the guest is behind struct
 * evtchn_ops.
 *
 * Two kinds of lock. Binding is rare and short, so all of it, in all domains, is done under one: the binding lock
 * (LOCK_EVTCHN); both ends of a channel change together and no order between domains is needed. Sending is hot and
 * takes only the lock of the port it is called on (LOCK_PORT), never a domain's and never the remote port's.
 *
 * Why that is enough: an interdomain port's lock keeps it connected. Who closes the other end holds the binding lock
 * and has to turn this port to unbound under this port's lock before the other end becomes free. So while a sender
 * holds its lock, the remote domain exists and the remote port is bound to it. The two port locks are taken one after
 * the other, never together: close:  peer -> unbound (peer's lock), then port -> free (port's lock); bind:   port ->
 * interdomain (port's lock), then peer -> interdomain (peer's lock). In between one direction works, which a sender
 * cannot tell from having come a little earlier or later. VIRQs, IPIs and unmasking hold the lock of the port that
 * becomes pending. So when all ports of a domain are free and the binding lock is held, nobody is in evtchn_ops of this
 * domain: that is what tears the FIFO pages down safely.
 */
#include <hv/evtchn.h>

#include <hv/frame.h>
#include <hv/metal.h>

#include "evtchn_port.h"

#define CLOSE_STEP 256 /* ports looked at before -ERESTART */
#define BUSY_TRIES 4

static spinlock_t binding_lock = SPINLOCK(LOCK_EVTCHN);

static const struct evtchn_ops *ops_of(const struct evtchn_space *s) { return load_acquire(&s->ops); }

static struct vcpu *vcpu_of(const struct domain *d, unsigned id) { return id < d->max_vcpus ? d->vcpu[id] : NULL; }

/* Pending for the next poll, or for one that is about to block: see evtchn_is_pending(). */
static void wake_pollers(struct evtchn_space *s, uint32_t port)
{
    struct domain *d = s->domain;
    atomic_store(&s->polled, false);
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (!v || !(atomic_load(&v->blocked) & BLOCK_POLL))
            continue;
        uint32_t wanted = __atomic_load_n(&v->poll_port, __ATOMIC_RELAXED);
        if (!wanted || wanted == port)
            vcpu_wake(v, BLOCK_POLL);
        else
            atomic_store(&s->polled, true);
    }
}

/* The caller holds what keeps the port bound (top of this file). */
static void deliver(struct evtchn_space *s, uint32_t port, struct port *p)
{
    struct vcpu *v = s->domain->vcpu[load_relaxed(&p->vcpu)];
    if (ops_of(s)->set_pending(s, v, port, p) && unlikely(atomic_load(&s->polled)))
        wake_pollers(s, port);
}

/* --- ports; the binding lock is held ------------------------------------------------------------------------------ */

/* A port that was never used. */
static int port_fresh(struct evtchn_space *s, uint32_t *port)
{
    uint32_t n = load_relaxed(&s->nr_ports);
    if (n >= ops_of(s)->max_ports)
        return -ENOSPC;
    if (!load_relaxed(&s->pages[n / PORTS_PER_PAGE])) {
        struct port *page = page_alloc();
        if (!page)
            return -ENOMEM;
        for (unsigned i = 0; i < PORTS_PER_PAGE; i++)
            spin_init(&page[i].lock, LOCK_PORT);
        store_relaxed(&s->pages[n / PORTS_PER_PAGE], page);
    }
    store_release(&s->nr_ports, n + 1); /* pairs with port_of() */
    *port = n;
    return 0;
}

static void free_append(struct evtchn_space *s, uint32_t port)
{
    port_of(s, port)->number = 0;
    if (s->free_last)
        port_of(s, s->free_last)->number = port;
    else
        s->free_first = port;
    s->free_last = port;
}

static uint32_t free_take(struct evtchn_space *s)
{
    uint32_t port = s->free_first;
    s->free_first = port_of(s, port)->number;
    if (!s->free_first)
        s->free_last = 0;
    return port;
}

/* A port for a new binding: the one that was closed longest ago, so that its guest has most likely forgotten it. */
static int port_take(struct evtchn_space *s, uint32_t *port)
{
    int rc = 0;
    BUG_ON(!lock_check_held(&binding_lock));
    if (s->closed)
        return -EINVAL;
    for (unsigned i = 0; i < BUSY_TRIES && s->free_first; i++) {
        *port = free_take(s);
        if (!ops_of(s)->is_busy(s, *port))
            goto taken;
        free_append(s, *port);
    }
    rc = port_fresh(s, port);
    if (rc)
        return rc;
taken:
    s->active++;
    struct port *p = port_of(s, *port);
    store_relaxed(&p->vcpu, 0);
    store_relaxed(&p->priority, EVTCHN_FIFO_PRIORITY_DEFAULT);
    return 0;
}

static void port_bind(struct port *p, enum port_state state, struct domain *remote, uint32_t number)
{
    spin_lock(&p->lock);
    p->state = state;
    p->remote = remote;
    p->number = number;
    spin_unlock(&p->lock);
}

static void port_unbind(struct port *p, domid_t remote)
{
    spin_lock(&p->lock);
    p->state = PORT_UNBOUND;
    p->remote = NULL;
    p->remote_id = remote;
    spin_unlock(&p->lock);
}

static bool virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

static _Atomic uint32_t *virq_slot(struct evtchn_space *s, uint32_t virq, unsigned vcpu)
{
    return virq_is_global(virq) ? &s->virqs[virq] : &s->domain->vcpu[vcpu]->virq_port[virq];
}

static int port_close(struct evtchn_space *s, uint32_t port)
{
    struct port *p = port_of(s, port);
    BUG_ON(!lock_check_held(&binding_lock));
    if (!p)
        return -EINVAL;
    switch (p->state) {
    case PORT_FREE:
    case PORT_RESERVED: return -EINVAL;
    case PORT_INTERDOMAIN: port_unbind(port_of(p->remote->events, p->number), s->domain->id); break;
    case PORT_VIRQ: store_relaxed(virq_slot(s, p->number, load_relaxed(&p->vcpu)), 0); break;
    }
    port_bind(p, PORT_FREE, NULL, 0);
    ops_of(s)->clear_pending(s, port, p);
    free_append(s, port);
    s->active--;
    return 0;
}

/* Closes up to CLOSE_STEP ports from where the last call stopped; 0: went through all. */
static int close_some(struct evtchn_space *s)
{
    uint32_t nr = load_relaxed(&s->nr_ports), to = MIN(nr, s->cursor + CLOSE_STEP);
    for (; s->cursor < to; s->cursor++)
        (void)port_close(s, s->cursor);
    if (s->cursor < nr)
        return -ERESTART;
    s->cursor = 0;
    return 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

static unsigned space_order(void)
{
    unsigned order = 0;
    while (PAGE_SIZE << order < sizeof(struct evtchn_space))
        order++;
    return order;
}

int evtchn_init(struct domain *d)
{
    struct evtchn_space *s = pages_alloc(space_order());
    uint32_t port;
    if (!s)
        return -ENOMEM;
    s->domain = d;
    atomic_init(&s->ops, &evtchn_ops_2l);
    if (port_fresh(s, &port)) {
        pages_free(s, space_order());
        return -ENOMEM;
    }
    port_of(s, port)->state = PORT_RESERVED; /* port 0 means "none" in many places */
    d->events = s;
    return 0;
}

int evtchn_destroy(struct domain *d)
{
    struct evtchn_space *s = d->events;
    if (!s)
        return 0;
    spin_lock(&binding_lock);
    if (!s->closed) {
        s->closed = true;
        s->cursor = 0;
    }
    int rc = close_some(s);
    if (!rc)
        fifo_free(s);
    spin_unlock(&binding_lock);
    return rc;
}

void evtchn_free(struct domain *d)
{
    struct evtchn_space *s = d->events;
    if (!s)
        return;
    BUG_ON(s->active);
    for (unsigned i = 0; i < ARRAY_SIZE(s->pages); i++)
        if (load_relaxed(&s->pages[i]))
            page_free(load_relaxed(&s->pages[i]));
    pages_free(s, space_order());
    d->events = NULL;
}

int evtchn_reset(struct domain *d)
{
    struct evtchn_space *s = d->events;
    spin_lock(&binding_lock);
    int rc = close_some(s);
    if (!rc && s->active)
        rc = -EAGAIN; /* bound again behind our back */
    if (!rc) {
        fifo_free(s);
        s->free_first = s->free_last = 0;
        store_release(&s->nr_ports, 1);
    }
    spin_unlock(&binding_lock);
    return rc;
}

/* --- binding --------------------------------------------------------------------------------------------------------
 */

int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port)
{
    spin_lock(&binding_lock);
    int rc = port_take(d->events, port);
    if (!rc)
        port_unbind(port_of(d->events, *port), remote);
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port, uint32_t *port)
{
    struct evtchn_space *s = d->events;
    int rc = -EINVAL;
    spin_lock(&binding_lock);
    struct port *peer = port_of(remote->events, remote_port);
    if (!peer || peer->state != PORT_UNBOUND || peer->remote_id != d->id)
        goto unlock;
    rc = port_take(s, port);
    if (rc)
        goto unlock;
    struct port *p = port_of(s, *port);
    port_bind(p, PORT_INTERDOMAIN, remote, remote_port);
    port_bind(peer, PORT_INTERDOMAIN, d, *port);
    deliver(s, *port, p); /* what the other end sent while it was unbound went nowhere */
unlock:
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_bind_virq(struct domain *d, uint32_t virq, unsigned vcpu, uint32_t *port)
{
    struct evtchn_space *s = d->events;
    if (virq >= NR_VIRQS || (virq_is_global(virq) && vcpu))
        return -EINVAL;
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_lock(&binding_lock);
    _Atomic uint32_t *slot = virq_slot(s, virq, vcpu);
    int rc = load_relaxed(slot) ? -EEXIST : port_take(s, port);
    if (!rc) {
        struct port *p = port_of(s, *port);
        store_relaxed(&p->vcpu, vcpu);
        port_bind(p, PORT_VIRQ, NULL, virq);
        store_release(slot, *port); /* pairs with virq_raise() */
    }
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_bind_ipi(struct domain *d, unsigned vcpu, uint32_t *port)
{
    struct evtchn_space *s = d->events;
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_lock(&binding_lock);
    int rc = port_take(s, port);
    if (!rc) {
        store_relaxed(&port_of(s, *port)->vcpu, vcpu);
        port_bind(port_of(s, *port), PORT_IPI, NULL, 0);
    }
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_close(struct domain *d, uint32_t port)
{
    spin_lock(&binding_lock);
    int rc = port_close(d->events, port);
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_bind_vcpu(struct domain *d, uint32_t port, unsigned vcpu)
{
    int rc = -EINVAL;
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_lock(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (p && p->state != PORT_FREE && p->state != PORT_RESERVED && p->state != PORT_IPI &&
        !(p->state == PORT_VIRQ && !virq_is_global(p->number))) {
        store_relaxed(&p->vcpu, vcpu);
        rc = 0;
    }
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_get_status(struct domain *d, uint32_t port, struct evtchn_status *out)
{
    static const uint8_t abi[] = {
        [PORT_FREE] = EVTCHNSTAT_closed,     [PORT_RESERVED] = EVTCHNSTAT_closed,
        [PORT_UNBOUND] = EVTCHNSTAT_unbound, [PORT_INTERDOMAIN] = EVTCHNSTAT_interdomain,
        [PORT_VIRQ] = EVTCHNSTAT_virq,       [PORT_IPI] = EVTCHNSTAT_ipi,
    };
    spin_lock(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (p) {
        out->status = abi[p->state];
        out->vcpu = load_relaxed(&p->vcpu);
        if (p->state == PORT_UNBOUND) {
            out->u.unbound.dom = p->remote_id;
        } else if (p->state == PORT_INTERDOMAIN) {
            out->u.interdomain.dom = p->remote->id;
            out->u.interdomain.port = p->number;
        } else if (p->state == PORT_VIRQ) {
            out->u.virq = p->number;
        }
    }
    spin_unlock(&binding_lock);
    return p ? 0 : -EINVAL;
}

int evtchn_init_control(struct domain *d, struct evtchn_init_control *op)
{
    struct vcpu *v = vcpu_of(d, op->vcpu);
    if (!v)
        return -ENOENT;
    spin_lock(&binding_lock);
    int rc = d->events->closed ? -EINVAL : fifo_init_control(d->events, v, gfn(op->control_gfn), op->offset);
    spin_unlock(&binding_lock);
    op->link_bits = EVTCHN_FIFO_LINK_BITS;
    return rc;
}

int evtchn_expand_array(struct domain *d, gfn_t array)
{
    spin_lock(&binding_lock);
    int rc = d->events->closed ? -EINVAL : fifo_expand(d->events, array);
    spin_unlock(&binding_lock);
    return rc;
}

int evtchn_set_priority(struct domain *d, uint32_t port, uint32_t priority)
{
    int rc = -EINVAL;
    if (ops_of(d->events) != &evtchn_ops_fifo)
        return -ENOSYS;
    if (priority > EVTCHN_FIFO_PRIORITY_MIN)
        return -EINVAL;
    spin_lock(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (p && p->state != PORT_FREE && p->state != PORT_RESERVED) {
        store_relaxed(&p->priority, priority);
        rc = 0;
    }
    spin_unlock(&binding_lock);
    return rc;
}

/* --- sending ---------------------------------------------------------------------------------------------------------
 */

int evtchn_send(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);
    int rc = 0;

    if (unlikely(!p))
        return -EINVAL;
    spin_lock(&p->lock);
    if (likely(p->state == PORT_INTERDOMAIN)) {
        s = p->remote->events;
        deliver(s, p->number, port_of(s, p->number));
    } else if (likely(p->state == PORT_IPI)) {
        deliver(s, port, p);
    } else if (p->state != PORT_UNBOUND) { /* to an unbound one: nobody listens, no error */
        rc = -EINVAL;
    }
    spin_unlock(&p->lock);
    return rc;
}

int evtchn_unmask(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);
    if (!p)
        return -EINVAL;
    spin_lock(&p->lock);
    bool bound = p->state != PORT_FREE && p->state != PORT_RESERVED;
    if (bound)
        ops_of(s)->unmask(s, d->vcpu[load_relaxed(&p->vcpu)], port, p);
    spin_unlock(&p->lock);
    return bound ? 0 : -EINVAL;
}

static void virq_raise(struct domain *d, _Atomic uint32_t *slot, uint32_t virq)
{
    uint32_t port = load_acquire(slot);
    struct port *p = port ? port_of(d->events, port) : NULL;
    if (!p)
        return;
    spin_lock(&p->lock);
    if (p->state == PORT_VIRQ && p->number == virq) /* not closed since the slot was read */
        deliver(d->events, port, p);
    spin_unlock(&p->lock);
}

void evtchn_virq_vcpu(struct vcpu *v, uint32_t virq)
{
    BUG_ON(virq >= NR_VIRQS || virq_is_global(virq));
    virq_raise(v->domain, &v->virq_port[virq], virq);
}

void evtchn_virq_global(struct domain *d, uint32_t virq)
{
    BUG_ON(virq >= NR_VIRQS || !virq_is_global(virq));
    virq_raise(d, &d->events->virqs[virq], virq);
}

void evtchn_resend(struct vcpu *v)
{
    struct vcpu_info *info = info_of(v);
    if (!info)
        return;
    __atomic_store_n(&info->evtchn_pending_sel, ~0ul, __ATOMIC_SEQ_CST);
    __atomic_store_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    vcpu_kick(v, WORK_EVENT);
}

bool evtchn_is_pending(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);
    if (!p)
        return false;
    atomic_store(&s->polled, true); /* before the port is looked at: pairs with deliver() */
    spin_lock(&p->lock);
    bool pending = p->state != PORT_FREE && p->state != PORT_RESERVED && ops_of(s)->is_pending(s, port);
    spin_unlock(&p->lock);
    return pending;
}

bool evtchn_port_valid(struct domain *d, uint32_t port) { return port_of(d->events, port) != NULL; }

bool evtchn_upcall_pending(const struct vcpu *v)
{
    const struct vcpu_info *info = info_of(v);
    return info && __atomic_load_n(&info->evtchn_upcall_pending, __ATOMIC_RELAXED);
}
