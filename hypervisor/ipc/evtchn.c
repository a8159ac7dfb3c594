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
#define SPACE_ORDER 2
_Static_assert(sizeof(struct evtchn_space) <= PAGE_SIZE << SPACE_ORDER, "fits");

_Static_assert(ARRAY_SIZE(((struct vcpu *)0)->virq_port) == NR_VIRQS, "one for each");

static spinlock_t binding_lock = SPINLOCK(LOCK_EVTCHN);

static const struct evtchn_ops *ops_of(const struct evtchn_space *s) { return load_acquire(&s->ops); }

static struct vcpu *vcpu_of(const struct domain *d, unsigned id) { return id < d->max_vcpus ? d->vcpu[id] : NULL; }

/* Those that poll `port`; 0: all. True: others still do. */
static bool wake_those(struct domain *d, uint32_t port)
{
    bool others = false;
    for (unsigned i = 0; i < d->max_vcpus; i++) {
        struct vcpu *v = d->vcpu[i];
        if (!(atomic_load(&v->blocked) & BLOCK_POLL))
            continue;
        uint32_t wanted = __atomic_load_n(&v->poll_port, __ATOMIC_RELAXED);
        if (!port || !wanted || wanted == port)
            vcpu_wake(v, BLOCK_POLL);
        else
            others = true;
    }
    return others;
}

/* Pending for the next poll, or for one that is about to block: see evtchn_is_pending(). While somebody polls, `polled`
 * stays set, for other senders. One who began to poll before it was cleared may have lost an event by that: it is woken
 * and asks again. */
static void wake_pollers(struct evtchn_space *s, uint32_t port)
{
    if (wake_those(s->domain, port))
        return;
    atomic_store(&s->polled, false);
    (void)wake_those(s->domain, 0);
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

static void port_bind(struct port *p, enum port_state state, struct domain *remote, uint32_t number)
{
    spin_guard(&p->lock);
    p->state = state;
    p->remote = remote;
    p->number = number;
}

/* A port for a new binding, bound. */
static int port_new(struct evtchn_space *s, unsigned vcpu, enum port_state state, uint32_t number, uint32_t *port)
{
    BUG_ON(!lock_check_held(&binding_lock));
    if (s->closed)
        return -EINVAL;
    uint32_t n = s->free_first;
    if (n && !fifo_is_busy(s, n)) {
        s->free_first = port_of(s, n)->number;
    } else {
        int rc = port_fresh(s, &n);
        if (rc)
            return rc;
    }
    struct port *p = port_of(s, n);
    store_relaxed(&p->vcpu, vcpu);
    store_relaxed(&p->priority, EVTCHN_FIFO_PRIORITY_DEFAULT);
    port_bind(p, state, NULL, number);
    *port = n;
    return 0;
}

static bool virq_is_global(uint32_t virq)
{
    return virq != VIRQ_TIMER && virq != VIRQ_DEBUG && virq != VIRQ_XENOPROF && virq != VIRQ_XENPMU;
}

/* Where the port of a VIRQ is kept; global ones belong to vCPU 0 whoever is notified. */
static _Atomic uint32_t *virq_slot(const struct domain *d, uint32_t virq, unsigned vcpu)
{
    return &d->vcpu[virq_is_global(virq) ? 0 : vcpu]->virq_port[virq];
}

static int port_close(struct evtchn_space *s, uint32_t port)
{
    struct port *p = port_of(s, port);
    BUG_ON(!lock_check_held(&binding_lock));
    if (!p || p->state == PORT_FREE)
        return -EINVAL;
    if (p->state == PORT_INTERDOMAIN)
        port_bind(port_of(p->remote->events, p->number), PORT_UNBOUND, NULL, s->domain->id);
    else if (p->state == PORT_VIRQ)
        store_relaxed(virq_slot(s->domain, p->number, load_relaxed(&p->vcpu)), 0);
    port_bind(p, PORT_FREE, NULL, s->free_first);
    s->free_first = port;
    ops_of(s)->clear_pending(s, port, p);
    return 0;
}

/* --- life ----------------------------------------------------------------------------------------------------------
 */

int evtchn_init(struct domain *d)
{
    struct evtchn_space *s = d->events = pages_alloc(SPACE_ORDER);
    uint32_t none;
    if (!s)
        return -ENOMEM;
    s->domain = d;
    atomic_init(&s->ops, &evtchn_ops_2l);
    return port_fresh(s, &none);
}

int evtchn_destroy(struct domain *d)
{
    struct evtchn_space *s = d->events;
    spin_guard(&binding_lock);
    s->closed = true;
    uint32_t nr = load_relaxed(&s->nr_ports), to = MIN(nr, s->cursor + CLOSE_STEP);
    for (; s->cursor < to; s->cursor++)
        (void)port_close(s, s->cursor);
    if (to == nr)
        fifo_free(s);
    return to == nr ? 0 : -ERESTART;
}

void evtchn_free(struct domain *d)
{
    struct evtchn_space *s = d->events;
    if (!s)
        return;
    for (unsigned i = 0; i < ARRAY_SIZE(s->pages); i++)
        page_free(load_relaxed(&s->pages[i]));
    pages_free(s, SPACE_ORDER);
    d->events = NULL;
}

/* --- binding --------------------------------------------------------------------------------------------------------
 */

int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port)
{
    spin_guard(&binding_lock);
    return port_new(d->events, 0, PORT_UNBOUND, remote, port);
}

int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port, uint32_t *port)
{
    struct evtchn_space *s = d->events;
    spin_guard(&binding_lock);
    struct port *peer = port_of(remote->events, remote_port);
    if (!peer || peer->state != PORT_UNBOUND || peer->number != d->id)
        return -EINVAL;
    int rc = port_new(s, 0, PORT_UNBOUND, remote->id, port);
    if (rc)
        return rc;
    struct port *p = port_of(s, *port);
    port_bind(p, PORT_INTERDOMAIN, remote, remote_port);
    port_bind(peer, PORT_INTERDOMAIN, d, *port);
    deliver(s, *port, p); /* what the other end sent while it was unbound went nowhere */
    return 0;
}

int evtchn_bind_virq(struct domain *d, uint32_t virq, unsigned vcpu, uint32_t *port)
{
    if (virq >= NR_VIRQS || (virq_is_global(virq) && vcpu))
        return -EINVAL;
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_guard(&binding_lock);
    _Atomic uint32_t *slot = virq_slot(d, virq, vcpu);
    int rc = load_relaxed(slot) ? -EEXIST : port_new(d->events, vcpu, PORT_VIRQ, virq, port);
    if (!rc)
        store_release(slot, *port); /* pairs with evtchn_virq() */
    return rc;
}

int evtchn_bind_ipi(struct domain *d, unsigned vcpu, uint32_t *port)
{
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_guard(&binding_lock);
    return port_new(d->events, vcpu, PORT_IPI, 0, port);
}

int evtchn_close(struct domain *d, uint32_t port)
{
    spin_guard(&binding_lock);
    return port_close(d->events, port);
}

int evtchn_bind_vcpu(struct domain *d, uint32_t port, unsigned vcpu)
{
    if (!vcpu_of(d, vcpu))
        return -ENOENT;
    spin_guard(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (!p || p->state == PORT_FREE || p->state == PORT_IPI || (p->state == PORT_VIRQ && !virq_is_global(p->number)))
        return -EINVAL;
    store_relaxed(&p->vcpu, vcpu);
    return 0;
}

int evtchn_get_status(struct domain *d, uint32_t port, struct evtchn_status *out)
{
    spin_guard(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (!p)
        return -EINVAL;
    out->status = p->state;
    out->vcpu = load_relaxed(&p->vcpu);
    if (p->state == PORT_UNBOUND) {
        out->u.unbound.dom = p->number;
    } else if (p->state == PORT_INTERDOMAIN) {
        out->u.interdomain.dom = p->remote->id;
        out->u.interdomain.port = p->number;
    } else if (p->state == PORT_VIRQ) {
        out->u.virq = p->number;
    }
    return 0;
}

int evtchn_init_control(struct domain *d, struct evtchn_init_control *op)
{
    struct vcpu *v = vcpu_of(d, op->vcpu);
    if (!v)
        return -ENOENT;
    op->link_bits = EVTCHN_FIFO_LINK_BITS;
    spin_guard(&binding_lock);
    return fifo_init_control(d->events, v, gfn(op->control_gfn), op->offset);
}

int evtchn_expand_array(struct domain *d, gfn_t array)
{
    spin_guard(&binding_lock);
    return fifo_expand(d->events, array);
}

int evtchn_set_priority(struct domain *d, uint32_t port, uint32_t priority)
{
    if (ops_of(d->events) != &evtchn_ops_fifo)
        return -ENOSYS;
    spin_guard(&binding_lock);
    struct port *p = port_of(d->events, port);
    if (!p || p->state == PORT_FREE || priority > EVTCHN_FIFO_PRIORITY_MIN)
        return -EINVAL;
    store_relaxed(&p->priority, priority);
    return 0;
}

/* --- sending ---------------------------------------------------------------------------------------------------------
 */

int evtchn_send(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);

    if (unlikely(!p))
        return -EINVAL;
    spin_guard(&p->lock);
    if (likely(p->state == PORT_INTERDOMAIN)) {
        s = p->remote->events;
        deliver(s, p->number, port_of(s, p->number));
    } else if (likely(p->state == PORT_IPI)) {
        deliver(s, port, p);
    } else if (p->state != PORT_UNBOUND) { /* to an unbound one: nobody listens, no error */
        return -EINVAL;
    }
    return 0;
}

int evtchn_unmask(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);
    if (!p)
        return -EINVAL;
    spin_guard(&p->lock);
    if (p->state == PORT_FREE)
        return -EINVAL;
    ops_of(s)->unmask(s, d->vcpu[load_relaxed(&p->vcpu)], port, p);
    return 0;
}

void evtchn_virq(struct domain *d, unsigned vcpu, uint32_t virq)
{
    uint32_t port = load_acquire(virq_slot(d, virq, vcpu));
    struct port *p = port ? port_of(d->events, port) : NULL;
    if (!p)
        return;
    spin_guard(&p->lock);
    if (p->state == PORT_VIRQ && p->number == virq) /* not closed since the slot was read */
        deliver(d->events, port, p);
}

void evtchn_resend(struct vcpu *v)
{
    struct vcpu_info *info = info_of(v);
    __atomic_store_n(&info->evtchn_pending_sel, ~0ul, __ATOMIC_SEQ_CST);
    __atomic_store_n(&info->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST);
    vcpu_kick(v, WORK_EVENT);
}

int evtchn_is_pending(struct domain *d, uint32_t port)
{
    struct evtchn_space *s = d->events;
    struct port *p = port_of(s, port);
    if (!p)
        return -EINVAL;
    atomic_store(&s->polled, true); /* before the port is looked at: pairs with deliver() */
    spin_guard(&p->lock);
    return p->state != PORT_FREE && ops_of(s)->is_pending(s, port);
}

bool evtchn_upcall_pending(const struct vcpu *v)
{
    return __atomic_load_n(&info_of(v)->evtchn_upcall_pending, __ATOMIC_RELAXED);
}
