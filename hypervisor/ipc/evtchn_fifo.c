/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery by the FIFO ABI: an event word for each port in pages of the guest (the event array), linked into one of 16
 * queues of the vCPU that is notified, whose heads are in that vCPU's control block.
 *
 * We append, the guest takes from the head. A word is in a queue while LINKED is set; whoever sets it owns the word's
 * place and appends it. Of a queue only the tail is kept here; a tail that is not LINKED any more was consumed, so the
 * queue is empty. The link is written by compare-and-exchange that expects LINKED, so that the guest's clearing it
 * decides who is responsible: it either sees our link, or we write the head.
 *
 * Nothing the guest writes is believed: links are never followed, the head is never read, and a word that keeps
 * changing is given up after LINK_TRIES. A broken queue costs its own guest events, nothing else.
 *
 * Locks: one for each vCPU's queues (LOCK_EVENT_QUEUE), for their tails and the `last` of the ports whose last queue is
 * among them. Two are never held together: a port that moves is taken out of the old queue (LINKED is set by then),
 * only then put into the new one. Array and control blocks appear once, published with a release, and go only when no
 * port is bound (fifo_free).
 */
#include "evtchn_port.h"

#include <hv/frame.h>
#include <hv/log.h>
#include <hv/metal.h>

#define PENDING (1u << EVTCHN_FIFO_PENDING)
#define MASKED (1u << EVTCHN_FIFO_MASKED)
#define LINKED (1u << EVTCHN_FIFO_LINKED)
#define BUSY (1u << EVTCHN_FIFO_BUSY)
#define WORDS_PER_PAGE (PAGE_SIZE / sizeof(event_word_t))
#define ARRAY_PAGES (EVTCHN_FIFO_NR_CHANNELS / WORDS_PER_PAGE)
#define LINK_TRIES 4

struct vcpu_queues {
    spinlock_t lock;                                   /* LOCK_EVENT_QUEUE */
    uint32_t tail[EVTCHN_FIFO_MAX_QUEUES];             /* a port, 0: none */
    struct evtchn_fifo_control_block *_Atomic control; /* in a page of the guest, referenced; NULL: not yet */
};

struct evtchn_fifo {
    uint32_t nr_pages;
    _Atomic uint32_t *_Atomic array[ARRAY_PAGES]; /* pages of the guest, referenced */
    struct vcpu_queues vcpu[MAX_VCPUS];
};
#define FIFO_ORDER 2
_Static_assert(sizeof(struct evtchn_fifo) <= PAGE_SIZE << FIFO_ORDER, "fits");

/* A queue by one number, as in port.last. */
static uint32_t queue_id(unsigned vcpu, unsigned priority) { return vcpu << 4 | priority; }
static struct vcpu_queues *queues_of(struct evtchn_fifo *f, uint32_t id) { return &f->vcpu[id >> 4]; }

static _Atomic uint32_t *word_of(const struct evtchn_fifo *f, uint32_t port)
{
    _Atomic uint32_t *page = load_acquire(&f->array[port / WORDS_PER_PAGE % ARRAY_PAGES]);
    return likely(page) ? page + port % WORDS_PER_PAGE : NULL;
}

/*
 * Makes `port` follow the tail; false when the guest has consumed that already. BUSY asks the guest to leave the word
 * alone; a guest that changes it all the same loses the event.
 */
static bool link_tail(struct evtchn_space *s, _Atomic uint32_t *tail, uint32_t port)
{
    uint32_t word = load_relaxed(tail);
    for (unsigned i = 0; i < LINK_TRIES; i++) {
        if (!(word & LINKED))
            break;
        uint32_t linked = (word & ~(BUSY | EVTCHN_FIFO_LINK_MASK)) | port;
        if (atomic_compare_exchange_strong(tail, &word, linked))
            return true;
        if (!(word & LINKED))
            break;
        word = atomic_fetch_or(tail, BUSY) | BUSY;
    }
    bool consumed = !(word & LINKED);
    if (word & BUSY)
        atomic_fetch_and(tail, ~BUSY);
    if (!consumed)
        log_guest(s->domain, "event word of a queue's tail keeps changing, port %u is lost", port);
    return !consumed;
}

/* Appends a port whose LINKED we have set. True when it is the queue's head now: the vCPU has to be told. */
static bool append(struct evtchn_space *s, struct vcpu_queues *q, unsigned priority, uint32_t port)
{
    uint32_t last = q->tail[priority];
    bool linked = last && link_tail(s, word_of(s->fifo, last), port);
    if (!linked)
        __atomic_store_n(&load_relaxed(&q->control)->head[priority], port, __ATOMIC_RELEASE);
    q->tail[priority] = port;
    return !linked;
}

/*
 * Takes the port from the queue it was in last and appends it to the one it belongs to now, unless it is masked or in a
 * queue. `last` is read without its queue's lock and looked at again under it; that it changes each time takes a guest
 * that does nothing but rebind the port, whose event stays pending but unlinked then.
 */
static void enqueue(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p, _Atomic uint32_t *word)
{
    struct evtchn_fifo_control_block *control = load_acquire(&s->fifo->vcpu[v->id].control);
    unsigned priority = load_relaxed(&p->priority);
    uint32_t id = queue_id(v->id, priority);

    for (unsigned i = 0; control && i < LINK_TRIES; i++) {
        uint32_t last = load_relaxed(&p->last);
        struct vcpu_queues *q = queues_of(s->fifo, last);
        spin_lock(&q->lock);
        if (unlikely(load_relaxed(&p->last) != last)) {
            spin_unlock(&q->lock);
            continue;
        }
        if (load_relaxed(word) & MASKED || atomic_fetch_or(word, LINKED) & LINKED) {
            spin_unlock(&q->lock);
            return;
        }
        if (q->tail[last & 15] == port)
            q->tail[last & 15] = 0; /* it was consumed; now that it is LINKED again nothing may be linked to it here */
        if (unlikely(last != id)) {
            store_relaxed(&p->last, id);
            spin_unlock(&q->lock);
            q = queues_of(s->fifo, id);
            spin_lock(&q->lock);
        }
        bool head = append(s, q, priority, port);
        spin_unlock(&q->lock);
        if (head && !bit_set((_Atomic uint32_t *)&control->ready, priority))
            upcall_raise(v);
        return;
    }
}

static bool set_pending(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    _Atomic uint32_t *word = word_of(s->fifo, port);
    if (unlikely(!word)) {
        /* Looked at again by fifo_expand(), after the page is there: one of the two sees the other. */
        atomic_store(&p->missed, true);
        if (!(word = word_of(s->fifo, port)) || !atomic_exchange(&p->missed, false))
            return true;
    }
    bool was = atomic_fetch_or(word, PENDING) & PENDING;
    if (!(load_relaxed(word) & (MASKED | LINKED)))
        enqueue(s, v, port, p, word);
    return !was;
}

static void clear_pending(struct evtchn_space *s, uint32_t port, struct port *p)
{
    _Atomic uint32_t *word = word_of(s->fifo, port);
    atomic_store(&p->missed, false);
    if (word)
        atomic_fetch_and(word, ~PENDING);
}

static bool is_pending(const struct evtchn_space *s, uint32_t port)
{
    _Atomic uint32_t *word = word_of(s->fifo, port);
    return word && load_relaxed(word) & PENDING;
}

static void unmask(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    _Atomic uint32_t *word = word_of(s->fifo, port);
    if (word && atomic_fetch_and(word, ~MASKED) & PENDING)
        enqueue(s, v, port, p, word);
}

const struct evtchn_ops evtchn_ops_fifo = {
    .max_ports = EVTCHN_FIFO_NR_CHANNELS,
    .set_pending = set_pending,
    .clear_pending = clear_pending,
    .unmask = unmask,
    .is_pending = is_pending,
};

bool fifo_is_busy(const struct evtchn_space *s, uint32_t port)
{
    _Atomic uint32_t *word = s->fifo ? word_of(s->fifo, port) : NULL;
    return word && load_relaxed(word) & LINKED;
}

/* From 2-level to FIFO: ports that are pending now count as missed until their word exists (the ABI lets them be lost).
 */
static void switch_to_fifo(struct evtchn_space *s)
{
    for (unsigned i = 0; i < MAX_VCPUS; i++)
        spin_init(&s->fifo->vcpu[i].lock, LOCK_EVENT_QUEUE);
    for (uint32_t port = 1; port < load_relaxed(&s->nr_ports); port++) {
        struct port *p = port_of(s, port);
        if (p->state != PORT_FREE && evtchn_ops_2l.is_pending(s, port))
            atomic_store(&p->missed, true);
    }
    store_release(&s->ops, &evtchn_ops_fifo); /* senders that see it see s->fifo too */
}

int fifo_init_control(struct evtchn_space *s, struct vcpu *v, gfn_t control, uint32_t offset)
{
    if (offset > PAGE_SIZE - sizeof(struct evtchn_fifo_control_block) || offset & 7)
        return -EINVAL;
    if (!s->fifo && !(s->fifo = pages_alloc(FIFO_ORDER)))
        return -ENOMEM;
    struct vcpu_queues *q = &s->fifo->vcpu[v->id];
    mfn_t m = load_relaxed(&q->control) ? INVALID_MFN : p2m_get_frame(&s->domain->p2m, control, true, false);
    if (!mfn_valid(m))
        return -EINVAL;
    struct evtchn_fifo_control_block *c = (void *)((char *)mfn_ptr(m) + offset);
    *c = (struct evtchn_fifo_control_block){ 0 };
    store_release(&q->control, c);
    if (load_relaxed(&s->ops) != &evtchn_ops_fifo)
        switch_to_fifo(s);
    return 0;
}

int fifo_expand(struct evtchn_space *s, gfn_t array)
{
    struct evtchn_fifo *f = s->fifo;
    if (!f || load_relaxed(&s->ops) != &evtchn_ops_fifo)
        return -ENOSYS;
    if (f->nr_pages == ARRAY_PAGES)
        return -ENOSPC;
    mfn_t m = p2m_get_frame(&s->domain->p2m, array, true, false);
    if (!mfn_valid(m))
        return -EINVAL;

    _Atomic uint32_t *words = mfn_ptr(m);
    uint32_t first = f->nr_pages++ * WORDS_PER_PAGE;
    atomic_store(&f->array[first / WORDS_PER_PAGE], words); /* seq_cst: before `missed` is looked at */

    for (uint32_t port = first; port < first + WORDS_PER_PAGE; port++) {
        struct port *p = port_of(s, port);
        if (p && atomic_exchange(&p->missed, false))
            set_pending(s, s->domain->vcpu[load_relaxed(&p->vcpu)], port, p);
    }
    return 0;
}

void fifo_free(struct evtchn_space *s)
{
    struct evtchn_fifo *f = s->fifo;
    if (!f)
        return;
    s->fifo = NULL;
    for (unsigned i = 0; i < f->nr_pages; i++)
        frame_put(ptr_mfn(load_relaxed(&f->array[i])));
    for (unsigned i = 0; i < MAX_VCPUS; i++)
        if (load_relaxed(&f->vcpu[i].control))
            frame_put(ptr_mfn(load_relaxed(&f->vcpu[i].control)));
    pages_free(f, FIFO_ORDER);
}
