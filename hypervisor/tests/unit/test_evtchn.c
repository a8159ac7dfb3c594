/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels: bindings and their errors, both ways of delivery, polling, exhaustion, hostile FIFO words, and real
 * threads: senders against closers, and senders against a guest that consumes FIFO queues as Linux does and must not
 * lose an event.
 */
/* sources: ipc/evtchn.c ipc/evtchn_2l.c ipc/evtchn_fifo.c mem/frame.c lib/rangeset.c */
/* flags: -pthread */
#include "fake_metal.h"

#include "../../ipc/evtchn_port.h"

#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/frame.h>
#include <pthread.h>
#include <sched.h>
#include <string.h>
#include <xen/xen.h>
#include <xen/event_channel.h>

#define GFNS 256
#define VCPUS 4

static struct vcpu vcpus[2][VCPUS];
static struct domain doms[2];
static mfn_t map[2][GFNS];
static _Atomic unsigned kicks[2][VCPUS], wakes[2][VCPUS];

void vcpu_kick(struct vcpu *v, uint32_t work)
{
    CHECK(work == WORK_EVENT);
    kicks[v->domain->id - 1][v->id]++;
}

static void *(*while_waking)(void *); /* what another CPU does just then */

void vcpu_wake(struct vcpu *v, uint32_t blocks)
{
    CHECK(blocks == BLOCK_POLL);
    atomic_fetch_and(&v->blocked, ~blocks);
    wakes[v->domain->id - 1][v->id]++;
    pthread_t t;
    if (!while_waking)
        return;
    CHECK(pthread_create(&t, NULL, while_waking, NULL) == 0);
    while_waking = NULL;
    pthread_join(t, NULL);
}

mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    unsigned d = p->domain->id - 1;
    if (g.n >= GFNS || !mfn_valid(map[d][g.n]) || !frame_get(map[d][g.n], p->domain->id))
        return INVALID_MFN;
    return map[d][g.n];
}

static void domains_make(void)
{
    memset(vcpus, 0, sizeof vcpus);
    memset(doms, 0, sizeof doms);
    for (unsigned i = 0; i < 2; i++) {
        struct domain *d = &doms[i];
        d->id = i + 1;
        d->p2m.domain = d;
        d->max_vcpus = VCPUS;
        spin_init(&d->lock, LOCK_DOMAIN);
        d->shared_info = page_alloc();
        for (unsigned k = 0; k < VCPUS; k++) {
            d->vcpu[k] = &vcpus[i][k];
            vcpus[i][k].domain = d;
            vcpus[i][k].id = k;
            vcpus[i][k].info = &d->shared_info->vcpu_info[k];
            kicks[i][k] = wakes[i][k] = 0;
        }
        for (unsigned k = 0; k < GFNS; k++) {
            map[i][k] = frame_alloc(0, d->id);
            memset(mfn_ptr(map[i][k]), 0, PAGE_SIZE);
        }
        CHECK(evtchn_init(d) == 0);
    }
}

static void domains_free(void)
{
    for (unsigned i = 0; i < 2; i++) {
        int rc;
        while ((rc = evtchn_destroy(&doms[i])) == -ERESTART)
            ;
        CHECK(rc == 0);
        uint32_t port;
        CHECK(evtchn_bind_ipi(&doms[i], 0, &port) == -EINVAL);
    }
    for (unsigned i = 0; i < 2; i++) {
        evtchn_free(&doms[i]);
        page_free(doms[i].shared_info);
        for (unsigned k = 0; k < GFNS; k++) {
            CHECK(frame_refs(map[i][k]) == 1); /* all pins are gone */
            frame_put(map[i][k]);
        }
    }
}

static bool pending_2l(struct domain *d, uint32_t port)
{
    return d->shared_info->evtchn_pending[port / 64] >> port % 64 & 1;
}
static void clear_2l(struct domain *d, uint32_t port) { d->shared_info->evtchn_pending[port / 64] &= ~BIT(port % 64); }

static void connect(uint32_t *a, uint32_t *b)
{
    CHECK(evtchn_alloc_unbound(&doms[0], 2, a) == 0);
    CHECK(evtchn_bind_interdomain(&doms[1], &doms[0], *a, b) == 0);
}

static uint32_t status_of(struct domain *d, uint32_t port)
{
    struct evtchn_status s = { 0 };
    return evtchn_get_status(d, port, &s) ? ~0u : s.status;
}

static void test_bindings(void)
{
    struct domain *a = &doms[0], *b = &doms[1];
    uint32_t p, q, r;
    domains_make();
    CHECK(evtchn_send(a, 0) == -EINVAL && evtchn_close(a, 0) == -EINVAL && evtchn_unmask(a, 0) == -EINVAL);
    CHECK(evtchn_send(a, 1) == -EINVAL && evtchn_send(a, ~0u) == -EINVAL);
    CHECK(status_of(a, 0) == EVTCHNSTAT_closed && status_of(a, 1) == ~0u);

    CHECK(evtchn_alloc_unbound(a, 2, &p) == 0 && p == 1);
    CHECK(evtchn_send(a, p) == 0 && !pending_2l(a, p));     /* nobody there */
    CHECK(evtchn_bind_interdomain(a, a, p, &q) == -EINVAL); /* it is for domain 2 */
    CHECK(evtchn_bind_interdomain(b, a, p + 1, &q) == -EINVAL);
    CHECK(evtchn_bind_interdomain(b, a, p, &q) == 0 && pending_2l(b, q));
    CHECK(evtchn_bind_interdomain(b, a, p, &r) == -EINVAL);
    clear_2l(b, q);
    CHECK(evtchn_send(a, p) == 0 && pending_2l(b, q) && !pending_2l(a, p));
    CHECK(evtchn_send(b, q) == 0 && pending_2l(a, p));
    struct evtchn_status s = { 0 };
    CHECK(evtchn_get_status(a, p, &s) == 0 && s.status == EVTCHNSTAT_interdomain && s.u.interdomain.dom == 2 &&
          s.u.interdomain.port == q);
    CHECK(evtchn_close(b, q) == 0 && !pending_2l(b, q) && status_of(a, p) == EVTCHNSTAT_unbound);
    CHECK(evtchn_send(b, q) == -EINVAL && evtchn_send(a, p) == 0);
    CHECK(evtchn_bind_interdomain(b, a, p, &q) == 0);
    CHECK(evtchn_close(a, p) == 0 && status_of(b, q) == EVTCHNSTAT_unbound);
    CHECK(evtchn_close(a, p) == -EINVAL && evtchn_close(b, q) == 0);

    CHECK(evtchn_alloc_unbound(a, 1, &p) == 0 && evtchn_bind_interdomain(a, a, p, &q) == 0); /* loopback */
    CHECK(evtchn_send(a, q) == 0 && pending_2l(a, p));
    CHECK(evtchn_close(a, q) == 0 && evtchn_close(a, p) == 0);

    CHECK(evtchn_bind_ipi(a, VCPUS, &p) == -ENOENT && evtchn_bind_ipi(a, 2, &p) == 0);
    CHECK(evtchn_bind_vcpu(a, p, 1) == -EINVAL && status_of(a, p) == EVTCHNSTAT_ipi);
    CHECK(evtchn_send(a, p) == 0 && kicks[0][2] == 1 && a->shared_info->vcpu_info[2].evtchn_upcall_pending == 1);
    CHECK(evtchn_upcall_pending(a->vcpu[2]) && !evtchn_upcall_pending(a->vcpu[1]));
    CHECK(evtchn_send(a, p) == 0 && kicks[0][2] == 1); /* it knows */

    CHECK(evtchn_bind_virq(a, VIRQ_CONSOLE, 0, &p) == 0 && evtchn_send(a, p) == -EINVAL);
    CHECK(evtchn_bind_vcpu(a, p, 3) == 0 && evtchn_bind_vcpu(a, p, VCPUS) == -ENOENT);
    domains_free();
}

static void test_virqs(void)
{
    struct domain *a = &doms[0];
    uint32_t p, q, g;
    domains_make();
    evtchn_virq(a, 0, VIRQ_CONSOLE); /* not bound: nothing */
    CHECK(evtchn_bind_virq(a, NR_VIRQS, 0, &p) == -EINVAL && evtchn_bind_virq(a, VIRQ_TIMER, 9, &p) == -ENOENT);
    CHECK(evtchn_bind_virq(a, VIRQ_TIMER, 1, &p) == 0 && evtchn_bind_virq(a, VIRQ_TIMER, 1, &q) == -EEXIST);
    CHECK(evtchn_bind_virq(a, VIRQ_TIMER, 2, &q) == 0 && evtchn_bind_vcpu(a, q, 0) == -EINVAL);
    CHECK(evtchn_bind_virq(a, VIRQ_CONSOLE, 1, &g) == -EINVAL && evtchn_bind_virq(a, VIRQ_CONSOLE, 0, &g) == 0);
    CHECK(evtchn_bind_virq(a, VIRQ_CONSOLE, 0, &g) == -EEXIST && evtchn_bind_vcpu(a, g, 3) == 0);
    evtchn_virq(a, 1, VIRQ_TIMER);
    CHECK(pending_2l(a, p) && !pending_2l(a, q) && kicks[0][1] == 1);
    evtchn_virq(a, 0, VIRQ_CONSOLE);
    CHECK(pending_2l(a, g) && kicks[0][3] == 1 && evtchn_send(a, g) == -EINVAL);
    CHECK(evtchn_close(a, p) == 0);
    evtchn_virq(a, 1, VIRQ_TIMER);
    CHECK(!pending_2l(a, p) && evtchn_bind_virq(a, VIRQ_TIMER, 1, &p) == 0);
    domains_free();
}

static void test_2l(void)
{
    struct domain *a = &doms[0];
    struct vcpu_info *info;
    uint32_t p, q, ports[4096], n = 0;
    domains_make();
    info = &a->shared_info->vcpu_info[0];
    connect(&p, &q);
    a->shared_info->evtchn_mask[0] = BIT(p);
    CHECK(evtchn_send(&doms[1], q) == 0 && pending_2l(a, p) && !info->evtchn_pending_sel && !kicks[0][0]);
    CHECK(evtchn_unmask(a, p) == 0 && info->evtchn_pending_sel == 1 && kicks[0][0] == 1);
    CHECK(!(a->shared_info->evtchn_mask[0] & BIT(p)));

    /* A registered vcpu_info takes over, and everything is looked at again. */
    struct vcpu_info *mine = page_alloc();
    a->vcpu[0]->info = mine;
    evtchn_resend(a->vcpu[0]);
    CHECK(mine->evtchn_pending_sel == ~0ul && mine->evtchn_upcall_pending == 1 && kicks[0][0] == 2);
    a->vcpu[0]->info = info;
    page_free(mine);

    while (evtchn_bind_ipi(a, 0, &ports[n]) == 0)
        n++;
    CHECK(n == 4096 - 2 && evtchn_bind_ipi(a, 0, &p) == -ENOSPC);
    CHECK(evtchn_send(a, ports[n - 1]) == 0 && pending_2l(a, 4095) && info->evtchn_pending_sel >> 63);
    CHECK(evtchn_close(a, ports[7]) == 0 && evtchn_bind_ipi(a, 0, &p) == 0 && p == ports[7]);
    int rc, calls = 0;
    while ((rc = evtchn_destroy(a)) == -ERESTART)
        calls++;
    CHECK(rc == 0 && calls == 15 && evtchn_bind_ipi(a, 0, &p) == -EINVAL);
    domains_free();
}

static void test_poll(void)
{
    struct domain *a = &doms[0];
    uint32_t p, q;
    domains_make();
    connect(&p, &q);
    struct vcpu *one = a->vcpu[1], *any = a->vcpu[2];
    one->poll_port = p;
    one->blocked = any->blocked = BLOCK_POLL;
    CHECK(!evtchn_is_pending(a, p) && evtchn_is_pending(a, 77) == -EINVAL && !evtchn_is_pending(a, 0));
    uint32_t ipi;
    CHECK(evtchn_bind_ipi(a, 0, &ipi) == 0 && evtchn_send(a, ipi) == 0);
    CHECK(wakes[0][2] == 1 && wakes[0][1] == 0 && one->blocked == BLOCK_POLL);
    CHECK(evtchn_send(&doms[1], q) == 0 && wakes[0][1] == 1 && !one->blocked && evtchn_is_pending(a, p));
    CHECK(evtchn_send(&doms[1], q) == 0 && wakes[0][1] == 1);
    domains_free();
}

static uint32_t raced[2]; /* a port of each domain, connected */

static void *send_raced(void *data)
{
    CHECK(evtchn_send(&doms[1], raced[1]) == 0);
    return NULL;
}

static void *poll_raced(void *data)
{
    struct vcpu *v = doms[0].vcpu[1];
    v->poll_port = raced[0];
    atomic_fetch_or(&v->blocked, BLOCK_POLL);
    CHECK(!evtchn_is_pending(&doms[0], raced[0]));
    return NULL;
}

/* Two events at once for two pollers; and a poll that begins when the last poller is woken. None sleeps for ever. */
static void test_poll_races(void)
{
    struct domain *a = &doms[0];
    uint32_t ipi;
    domains_make();
    connect(&raced[0], &raced[1]);
    CHECK(evtchn_bind_ipi(a, 0, &ipi) == 0);
    struct vcpu *first = a->vcpu[1], *second = a->vcpu[2];
    first->poll_port = ipi;
    second->poll_port = raced[0];
    first->blocked = second->blocked = BLOCK_POLL;
    CHECK(!evtchn_is_pending(a, ipi) && !evtchn_is_pending(a, raced[0]));
    while_waking = send_raced;
    CHECK(evtchn_send(a, ipi) == 0 && !first->blocked && !second->blocked);
    domains_free();

    domains_make();
    connect(&raced[0], &raced[1]);
    CHECK(evtchn_bind_ipi(a, 0, &ipi) == 0);
    second->poll_port = ipi;
    second->blocked = BLOCK_POLL;
    CHECK(!evtchn_is_pending(a, ipi));
    while_waking = poll_raced;
    CHECK(evtchn_send(a, ipi) == 0 && !second->blocked);
    (void)send_raced(NULL);
    CHECK(!first->blocked);
    domains_free();
}

/* --- FIFO
 * -------------------------------------------------------------------------------------------------------------- */

static _Atomic uint32_t *word(unsigned d, uint32_t port)
{
    return (_Atomic uint32_t *)mfn_ptr(map[d][100 + port / 1024]) + port % 1024;
}
static struct evtchn_fifo_control_block *control(unsigned d, unsigned vcpu)
{
    return (void *)((char *)mfn_ptr(map[d][10]) + 128 * vcpu);
}

static int init_control(struct domain *d, unsigned vcpu, uint64_t control_gfn, uint32_t offset)
{
    struct evtchn_init_control op = { .control_gfn = control_gfn, .offset = offset, .vcpu = vcpu };
    int rc = evtchn_init_control(d, &op);
    CHECK(rc || op.link_bits == 17);
    return rc;
}

static void fifo_on(unsigned d, unsigned pages)
{
    for (unsigned i = 0; i < VCPUS; i++)
        CHECK(init_control(&doms[d], i, 10, 128 * i) == 0);
    for (unsigned i = 0; i < pages; i++)
        CHECK(evtchn_expand_array(&doms[d], gfn(100 + i)) == 0);
}

/* The guest's side, as Linux does it: takes one event of queue `q`, 0: none. */
static uint32_t take(unsigned d, unsigned vcpu, unsigned q, uint32_t *head)
{
    struct evtchn_fifo_control_block *c = control(d, vcpu);
    if (!*head)
        *head = __atomic_load_n(&c->head[q], __ATOMIC_ACQUIRE);
    if (!*head)
        return 0;
    uint32_t port = *head, w = *word(d, port), busy;
    do {
        busy = w & ~(1u << EVTCHN_FIFO_BUSY);
        w = busy;
    } while (
        !atomic_compare_exchange_weak(word(d, port), &w, busy & ~(1u << EVTCHN_FIFO_LINKED | EVTCHN_FIFO_LINK_MASK)));
    *head = busy & EVTCHN_FIFO_LINK_MASK;
    if (!*head)
        atomic_fetch_and((_Atomic uint32_t *)&c->ready, ~(1u << q));
    return port;
}

static void test_fifo_order(void)
{
    struct domain *a = &doms[0];
    uint32_t p[6], head = 0;
    domains_make();
    CHECK(evtchn_set_priority(a, 1, 3) == -ENOSYS && evtchn_expand_array(a, gfn(100)) == -ENOSYS);
    CHECK(init_control(a, 0, 10, 4) == -EINVAL && init_control(a, VCPUS, 10, 0) == -ENOENT);
    CHECK(init_control(a, 0, 10, 4096 - 64) == -EINVAL && init_control(a, 0, GFNS, 0) == -EINVAL);
    CHECK(evtchn_bind_ipi(a, 0, &p[0]) == 0 && evtchn_send(a, p[0]) == 0); /* pending before the switch */
    kicks[0][0] = 0;
    a->shared_info->vcpu_info[0].evtchn_upcall_pending = 0;
    fifo_on(0, 0);
    CHECK(init_control(a, 0, 10, 0) == -EINVAL);
    CHECK(evtchn_expand_array(a, gfn(100)) == 0);
    CHECK(*word(0, p[0]) >> EVTCHN_FIFO_PENDING && control(0, 0)->head[7] == p[0] && control(0, 0)->ready == 1 << 7);
    CHECK(kicks[0][0] == 1 && take(0, 0, 7, &head) == p[0] && !head);

    for (unsigned i = 1; i < 6; i++)
        CHECK(evtchn_bind_ipi(a, 0, &p[i]) == 0);
    for (unsigned i = 1; i < 4; i++)
        CHECK(evtchn_send(a, p[i]) == 0);
    CHECK(evtchn_set_priority(a, p[4], 16) == -EINVAL && evtchn_set_priority(a, 99, 1) == -EINVAL);
    CHECK(evtchn_set_priority(a, p[4], 2) == 0 && evtchn_send(a, p[4]) == 0);
    CHECK(control(0, 0)->head[2] == p[4] && control(0, 0)->ready == (1 << 7 | 1 << 2));
    CHECK(evtchn_send(a, p[2]) == 0); /* linked already */
    for (unsigned i = 1; i < 4; i++)
        CHECK(take(0, 0, 7, &head) == p[i]);
    CHECK(!head && !(control(0, 0)->ready & 1 << 7));

    /* Masked: pending, not linked; unmasking links it. Closing clears; a linked port is not used again yet. */
    atomic_fetch_or(word(0, p[5]), 1u << EVTCHN_FIFO_MASKED);
    CHECK(evtchn_send(a, p[5]) == 0 && *word(0, p[5]) == 3u << EVTCHN_FIFO_MASKED && evtchn_is_pending(a, p[5]));
    CHECK(evtchn_unmask(a, p[5]) == 0 && control(0, 0)->head[7] == p[5]);
    uint32_t again;
    CHECK(evtchn_close(a, p[5]) == 0 && evtchn_bind_ipi(a, 0, &again) == 0 && again != p[5]);
    CHECK(take(0, 0, 7, &head) == p[5] && evtchn_bind_ipi(a, 0, &again) == 0 && again == p[5]);

    /* From one vCPU's queue to another's while it is that one's tail. */
    uint32_t g, h;
    CHECK(evtchn_bind_virq(a, VIRQ_CONSOLE, 0, &g) == 0 && evtchn_bind_virq(a, VIRQ_TIMER, 0, &h) == 0);
    evtchn_virq(a, 0, VIRQ_CONSOLE);
    CHECK(take(0, 0, 7, &head) == g && evtchn_bind_vcpu(a, g, 1) == 0);
    evtchn_virq(a, 0, VIRQ_CONSOLE);
    evtchn_virq(a, 0, VIRQ_TIMER);
    CHECK(control(0, 1)->head[7] == g && control(0, 0)->head[7] == h && !(*word(0, g) & EVTCHN_FIFO_LINK_MASK));

    domains_free();
}

static void test_fifo_limits(void)
{
    struct domain *a = &doms[0];
    uint32_t p, n = 0;
    domains_make();
    fifo_on(0, 128);
    CHECK(evtchn_expand_array(a, gfn(1)) == -ENOSPC);
    while (evtchn_bind_ipi(a, 1, &p) == 0)
        n++;
    CHECK(n == EVTCHN_FIFO_NR_CHANNELS - 1 && p == n && evtchn_send(a, p) == 0 && control(0, 1)->head[7] == p);
    domains_free();
}

static _Atomic bool stop;

static void *scribble(void *data)
{
    uint64_t x = 88172645463325252;
    while (!stop) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        store_relaxed(word(0, x % 8), x >> 20);
        if (x % 3 == 0)
            __atomic_store_n(&control(0, 0)->head[x >> 8 & 15], (uint32_t)(x >> 32), __ATOMIC_RELAXED);
        if (x % 64 == 0)
            sched_yield();
    }
    return NULL;
}

static void *rebind(void *data)
{
    for (unsigned i = 0; !stop; i++) {
        (void)!evtchn_bind_vcpu(&doms[0], 1 + i % 7, i / 7 % VCPUS);
        (void)!evtchn_set_priority(&doms[0], 1 + i % 7, i % 16);
        if (i % 16 == 0)
            sched_yield();
    }
    return NULL;
}

static void *send_all(void *data)
{
    for (unsigned i = 0; i < 10000; i++) {
        (void)!evtchn_send(&doms[1], 1 + i % 7);
        (void)!evtchn_unmask(&doms[0], 1 + i % 5);
        (void)!evtchn_is_pending(&doms[0], 1 + i % 5);
    }
    return NULL;
}

static void run(void *(*threads[])(void *), unsigned n, unsigned until)
{
    pthread_t t[8];
    stop = false;
    for (unsigned i = 0; i < n; i++)
        CHECK(pthread_create(&t[i], NULL, threads[i], (void *)(uintptr_t)i) == 0);
    for (unsigned i = 0; i < until; i++)
        pthread_join(t[i], NULL);
    stop = true;
    for (unsigned i = until; i < n; i++)
        pthread_join(t[i], NULL);
}

static void test_fifo_hostile(void)
{
    uint32_t p, q;
    domains_make();
    fifo_on(0, 1);
    for (unsigned i = 0; i < 7; i++)
        connect(&p, &q);
    run((void *(*[])(void *)){ send_all, send_all, scribble, rebind }, 4, 2);
    domains_free();
}

/* --- no event is lost between honest senders and an honest consumer
 * ------------------------------------------------------- */

#define CHANNELS 16
#define SENDS 8000
static _Atomic unsigned asked[CHANNELS + 1], seen[CHANNELS + 1];
static _Atomic unsigned senders_left;

static void *send_count(void *data)
{
    for (unsigned i = 0; i < SENDS; i++) {
        uint32_t port = 1 + (i + (uintptr_t)data) % CHANNELS;
        asked[port]++;
        CHECK(evtchn_send(&doms[1], port) == 0);
    }
    senders_left--;
    return NULL;
}

static void *consume(void *data)
{
    uint32_t head[16] = { 0 }, idle = 0;
    while (idle < 3) {
        bool last = !senders_left, any = false;
        sched_yield();
        __atomic_exchange_n(&doms[0].shared_info->vcpu_info[0].evtchn_upcall_pending, 0, __ATOMIC_SEQ_CST);
        for (unsigned q = 0; q < 16; q++) {
            if (!head[q] && !(__atomic_load_n(&control(0, 0)->ready, __ATOMIC_SEQ_CST) >> q & 1))
                continue;
            uint32_t port = take(0, 0, q, &head[q]);
            if (!port)
                continue;
            any = true;
            unsigned now = asked[port];
            if (atomic_fetch_and(word(0, port), ~(1u << EVTCHN_FIFO_PENDING)) >> EVTCHN_FIFO_PENDING)
                now = asked[port];
            seen[port] = now;
        }
        idle = last && !any ? idle + 1 : 0;
    }
    return NULL;
}

static void *reprioritise(void *data)
{
    for (unsigned i = 0; !stop; i++) {
        CHECK(evtchn_set_priority(&doms[0], 1 + i % CHANNELS, 6 + i / CHANNELS % 3) == 0);
        sched_yield();
    }
    return NULL;
}

static void test_fifo_lossless(void)
{
    uint32_t p, q;
    domains_make();
    fifo_on(0, 1);
    for (unsigned i = 0; i < CHANNELS; i++)
        connect(&p, &q);
    senders_left = 2;
    run((void *(*[])(void *)){ send_count, send_count, consume, reprioritise }, 4, 3);
    for (unsigned i = 1; i <= CHANNELS; i++)
        CHECK(!(*word(0, i) >> EVTCHN_FIFO_PENDING) && asked[i] == 2 * SENDS / CHANNELS && seen[i] == asked[i]);
    domains_free();
}

/* --- senders and unmaskers against closers and binders
 * ---------------------------------------------------------------------- */

static void *send_any(void *data)
{
    struct domain *d = &doms[(uintptr_t)data % 2];
    for (unsigned i = 0; i < 10000; i++) {
        (void)!evtchn_send(d, i % 12);
        (void)!evtchn_unmask(d, i % 11);
        evtchn_virq(d, 0, VIRQ_CONSOLE);
    }
    return NULL;
}

static void *bind_close(void *data)
{
    struct domain *d = &doms[(uintptr_t)data % 2], *other = &doms[1 - (uintptr_t)data % 2];
    uint32_t p;
    for (unsigned i = 0; !stop; i++) {
        switch (i % 5) {
        case 0: (void)!evtchn_alloc_unbound(d, other->id, &p); break;
        case 1: (void)!evtchn_bind_interdomain(d, other, i / 5 % 12, &p); break;
        case 2: (void)!evtchn_close(d, i / 5 % 12); break;
        case 3: (void)!evtchn_bind_virq(d, VIRQ_CONSOLE, 0, &p); break;
        case 4: (void)!evtchn_bind_vcpu(d, i / 5 % 12, i % VCPUS); break;
        }
        if (i % 16 == 0)
            sched_yield();
        if (i % 100 == 7) {
            (void)!init_control(d, i / 100 % VCPUS, 10, 128 * (i / 100 % VCPUS));
            (void)!evtchn_expand_array(d, gfn(100));
        }
    }
    return NULL;
}

static void test_races(void)
{
    domains_make();
    run((void *(*[])(void *)){ send_any, send_any, bind_close, bind_close }, 4, 2);
    domains_free();
}

int main(void)
{
    fake_metal_init(64);
    struct frame_stats before, after;
    test_bindings();
    frame_stats(&before);
    test_virqs();
    test_2l();
    test_poll();
    test_poll_races();
    test_fifo_order();
    test_fifo_limits();
    test_fifo_hostile();
    test_fifo_lossless();
    test_races();
    frame_stats(&after);
    CHECK(after.free == before.free); /* nothing leaked */
    return 0;
}
