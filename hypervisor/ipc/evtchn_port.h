/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What evtchn.c and its two ways of delivery share: a port, a domain's ports, and the small table of operations that
 * the 2-level (evtchn_2l.c) and the FIFO ABI (evtchn_fifo.c) implement. Locks: see evtchn.c.
 */
#pragma once

#include <hv/domain.h>
#include <xen/xen.h>
#include <xen/event_channel.h>

/* What EVTCHNOP_status tells. Port 0 is never used: it means "none" in many places. */
enum port_state {
    PORT_FREE = EVTCHNSTAT_closed,
    PORT_UNBOUND = EVTCHNSTAT_unbound,
    PORT_INTERDOMAIN = EVTCHNSTAT_interdomain,
    PORT_VIRQ = EVTCHNSTAT_virq,
    PORT_IPI = EVTCHNSTAT_ipi,
};

struct port {
    spinlock_t lock;          /* LOCK_PORT: state, remote, number; to change them the binding lock is needed as well */
    uint8_t state;            /* enum port_state */
    _Atomic uint8_t vcpu;     /* who is notified; its vCPU exists or is 0 */
    _Atomic uint8_t priority; /* FIFO */
    _Atomic bool missed;      /* FIFO: sent to while its event word was not there yet */
    struct domain *remote;    /* PORT_INTERDOMAIN: lives as long as this state lasts */
    uint32_t number;       /* the remote port; the VIRQ; unbound: the domain that may bind; free: the next free port */
    _Atomic uint32_t last; /* FIFO: the queue it was put into last; changed under that queue's lock */
};
_Static_assert(sizeof(struct port) == 32, "a page has no room to waste");

#define PORTS_PER_PAGE (PAGE_SIZE / sizeof(struct port))
_Static_assert(MAX_VCPUS <= 256, "port.vcpu");

struct evtchn_space;

struct evtchn_ops {
    uint32_t max_ports;
    /* Makes the port pending and notifies v when that wants it; true when it was not pending before. */
    bool (*set_pending)(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p);
    void (*clear_pending)(struct evtchn_space *s, uint32_t port, struct port *p);
    void (*unmask)(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p);
    bool (*is_pending)(const struct evtchn_space *s, uint32_t port);
};

struct evtchn_space {
    _Atomic(const struct evtchn_ops *) ops;
    struct domain *domain;
    _Atomic uint32_t nr_ports; /* ports that were used so far; all below have a struct port */
    _Atomic bool polled;       /* a vCPU may be in SCHEDOP_poll */
    /* The binding lock: */
    bool closed;                 /* no more bindings: the domain dies */
    uint32_t free_first, cursor; /* of the list of free ports; how far evtchn_destroy() got */
    struct evtchn_fifo *fifo;
    struct port *_Atomic pages[EVTCHN_FIFO_NR_CHANNELS / PORTS_PER_PAGE];
};

extern const struct evtchn_ops evtchn_ops_2l, evtchn_ops_fifo;

/* A port's struct, or NULL. It never goes away before its domain does. */
static inline struct port *port_of(struct evtchn_space *s, uint32_t port)
{
    /* Pairs with the release in port_fresh(): the page is there before the count covers it. */
    if (unlikely(port >= load_acquire(&s->nr_ports)))
        return NULL;
    return load_relaxed(&s->pages[port / PORTS_PER_PAGE]) + port % PORTS_PER_PAGE;
}

/* Registration moves it at any time. */
static inline struct vcpu_info *info_of(const struct vcpu *v) { return __atomic_load_n(&v->info, __ATOMIC_ACQUIRE); }

/* Sets evtchn_upcall_pending; the vCPU learns of it when it was not set. */
static inline void upcall_raise(struct vcpu *v)
{
    if (!__atomic_exchange_n(&info_of(v)->evtchn_upcall_pending, 1, __ATOMIC_SEQ_CST))
        vcpu_kick(v, WORK_EVENT);
}

/* Bits in words the guest changes too. Little endian: bit n is the same whatever its word size. */
static inline bool bit_set(_Atomic uint32_t *words, uint32_t n)
{
    uint32_t mask = 1u << n % 32;
    return atomic_fetch_or(&words[n / 32], mask) & mask;
}

static inline void bit_clear(_Atomic uint32_t *words, uint32_t n) { atomic_fetch_and(&words[n / 32], ~(1u << n % 32)); }
static inline bool bit_test(_Atomic uint32_t *words, uint32_t n) { return words[n / 32] >> n % 32 & 1; }

/* evtchn_fifo.c; all with the binding lock held. */
must_check int fifo_init_control(struct evtchn_space *s, struct vcpu *v, gfn_t control, uint32_t offset);
must_check int fifo_expand(struct evtchn_space *s, gfn_t array);
void fifo_free(struct evtchn_space *s); /* no port may be bound, now or later */
/* The port was closed, but the guest has yet to take it from a queue: it would show up in the wrong one. */
bool fifo_is_busy(const struct evtchn_space *s, uint32_t port);
