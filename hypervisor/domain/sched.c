/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: a run queue for each CPU, in the order of weighted virtual time (CPU time * 256 / weight), so that CPU
 * time is shared by weight. Who wakes up starts near the queue's time: sleeping earns half a slice at most. A domain
 * with a cap may use what it is due in 30 ms at once; what it overdraws it waits for.
 *
 * Balance: who wakes up, or has to wait again at the end of its slice, goes to an idle CPU it may use, else to a
 * shorter queue among a few; so three that compute on two CPUs take turns in being two. An idle CPU looks at a few
 * others' queues before it sleeps. A vCPU that is woken by the one that runs on its own CPU runs next if that one then
 * blocks (directed hand-over: the answer to a request does not wait behind others).
 *
 * Lock: each queue's (LOCK_SCHED), and never two. vcpu.cpu and vcpu.sched are guarded by the lock of the queue of
 * vcpu.cpu; a vCPU that changes CPUs is on no queue meanwhile and `running` tells that somebody has it in hand.
 */
#include <hv/domain.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/sched.h>

#define LOOKS 8 /* other CPUs whose queues are compared, or stolen from */
#define SLEEPER_NS (SCHED_SLICE_NS / 2)

struct queue {
    spinlock_t lock;     /* LOCK_SCHED: all below */
    struct list waiting; /* by deadline, the smallest first */
    struct vcpu *current, *handover;
    _Atomic uint64_t vtime; /* the smallest deadline here; never goes back; read without the lock */
    uint64_t slice_end;     /* when its CPU picks again; that CPU's own, without the lock */
    uint64_t idle_since, idle_time;
    _Atomic unsigned nr_waiting; /* this and the next: read without the lock by thieves */
    _Atomic bool busy;           /* its CPU runs one */
    _Atomic bool news;           /* something came since the last pick */
} cache_aligned;

static struct queue queues[SCHED_MAX_CPUS];
static unsigned nr_queues;
static _Atomic uint64_t idle_cpus[SCHED_MAX_CPUS / 64];
static _Atomic unsigned next_look;

static bool may_run(const struct vcpu *v, unsigned cpu)
{
    return load_relaxed(&v->affinity_hard[cpu / 64]) & BIT(cpu % 64);
}

static struct queue *lock_queue(const struct vcpu *v)
{
    for (;;) {
        unsigned cpu = load_relaxed(&v->cpu);
        spin_lock(&queues[cpu].lock);
        if (cpu == load_relaxed(&v->cpu))
            return &queues[cpu];
        spin_unlock(&queues[cpu].lock);
    }
}

/* A queue that is locked: whichever it is at the end of the block is unlocked then. */
#define locked __attribute__((cleanup(unlock_queue), unused))
static void unlock_queue(struct queue **q) { spin_unlock(&(*q)->lock); }

static void set_idle(unsigned cpu) { atomic_fetch_or(&idle_cpus[cpu / 64], BIT(cpu % 64)); }

/* Whether it was idle: two that wake up at once shall not both go to the same CPU. */
static bool claim_idle(unsigned cpu)
{
    return load_relaxed(&idle_cpus[cpu / 64]) & BIT(cpu % 64) &&
           atomic_fetch_and(&idle_cpus[cpu / 64], ~BIT(cpu % 64)) & BIT(cpu % 64);
}

/* --- caps ----------------------------------------------------------------------------------------------------- */

/* A domain's sched_due is the time until which its share of CPU time is spent. */
static void cap_spend(struct domain *d, uint64_t ran, uint64_t now)
{
    uint32_t cap = load_relaxed(&d->sched_cap);
    uint64_t due = load_relaxed(&d->sched_due), next;
    if (!cap)
        return;
    do
        next = MAX(due, now - ran) + ran * 100 / cap;
    while (!atomic_compare_exchange_weak(&d->sched_due, &due, next));
}

/* CPU time the domain may use now. */
static uint64_t cap_left(struct domain *d, uint64_t now)
{
    uint32_t cap = load_relaxed(&d->sched_cap);
    uint64_t due = load_relaxed(&d->sched_due), ahead = due > now ? due - now : 0;
    return !cap ? ~0ull : ahead < SCHED_CAP_PERIOD_NS ? (SCHED_CAP_PERIOD_NS - ahead) * cap / 100 : 0;
}

/* --- accounting; with the lock of the vCPU's queue -------------------------------------------------------------- */

static void set_state(struct vcpu *v, enum runstate state, uint64_t now)
{
    struct sched_vcpu *s = &v->sched;
    if (now > s->state_since) {
        s->state_time[s->state] += now - s->state_since;
        s->state_since = now;
    }
    s->state = state;
}

static void account(struct vcpu *v, uint64_t now)
{
    struct sched_vcpu *s = &v->sched;
    struct domain *d = v->domain;
    uint64_t ran = s->state == RUN_RUNNING && now > s->state_since ? now - s->state_since : 0;
    set_state(v, s->state, now);
    s->deadline += ran * SCHED_WEIGHT / MAX(load_relaxed(&d->sched_weight), 1u);
    cap_spend(d, ran, now);
}

void sched_runstate(struct vcpu *v, uint64_t now, uint64_t times[4])
{
    locked struct queue *q = lock_queue(v);
    account(v, now);
    memcpy(times, v->sched.state_time, sizeof(v->sched.state_time));
}

bool sched_running(struct vcpu *v)
{
    locked struct queue *q = lock_queue(v);
    return v->sched.running;
}

uint64_t sched_idle_time(unsigned cpu, uint64_t now)
{
    struct queue *q = &queues[cpu];
    spin_guard(&q->lock);
    return q->idle_time + (!q->current && now > q->idle_since ? now - q->idle_since : 0);
}

/* --- queues --------------------------------------------------------------------------------------------------- */

void sched_init(unsigned cpus)
{
    BUG_ON(!cpus || cpus > SCHED_MAX_CPUS);
    nr_queues = cpus;
    for (unsigned i = 0; i < ARRAY_SIZE(idle_cpus); i++)
        atomic_init(&idle_cpus[i], 0);
    for (unsigned i = 0; i < cpus; i++) {
        queues[i] = (struct queue){ .idle_since = metal_now() };
        spin_init(&queues[i].lock, LOCK_SCHED);
        list_init(&queues[i].waiting);
        set_idle(i);
    }
}

void sched_vcpu_init(struct vcpu *v)
{
    list_init(&v->sched.queue);
    v->sched.state = RUN_OFFLINE;
    v->sched.state_since = metal_now();
    store_relaxed(&v->cpu, v->id % nr_queues);
    for (unsigned i = 0; i < ARRAY_SIZE(v->affinity_hard); i++) {
        store_relaxed(&v->affinity_hard[i], ~0ull);
        store_relaxed(&v->affinity_soft[i], ~0ull);
    }
}

static struct vcpu *vcpu_of(struct list *l) { return container_of(l, struct vcpu, sched.queue); }

static void enqueue(struct queue *q, struct vcpu *v)
{
    struct list *at = q->waiting.prev;
    while (at != &q->waiting && vcpu_of(at)->sched.deadline > v->sched.deadline)
        at = at->prev;
    list_insert(at, &v->sched.queue);
    v->sched.queued = true;
    atomic_fetch_add(&q->nr_waiting, 1);
}

static void dequeue(struct queue *q, struct vcpu *v)
{
    list_remove(&v->sched.queue);
    v->sched.queued = false;
    atomic_fetch_sub(&q->nr_waiting, 1);
    if (q->handover == v)
        q->handover = NULL;
}

void sched_vcpu_remove(struct vcpu *v)
{
    locked struct queue *q = lock_queue(v);
    BUG_ON(v->sched.running);
    if (v->sched.queued)
        dequeue(q, v);
}

/* The first idle CPU that `v` may use: its own, one of its soft affinity, any. -1: none. */
static int find_idle(const struct vcpu *v)
{
    unsigned own = load_relaxed(&v->cpu), words = (nr_queues + 63) / 64;
    if (may_run(v, own) && claim_idle(own))
        return own;
    for (unsigned soft = 2; soft-- > 0;)
        for (unsigned i = 0; i < words; i++) {
            uint64_t mask = load_relaxed(&idle_cpus[i]) & load_relaxed(&v->affinity_hard[i]);
            if (soft)
                mask &= load_relaxed(&v->affinity_soft[i]);
            if (mask && claim_idle(i * 64 + __builtin_ctzll(mask)))
                return i * 64 + __builtin_ctzll(mask);
        }
    return -1;
}

/* Where it shall wait: an idle CPU, else its own, or one with a shorter queue. It may itself be in its CPU's queue. */
static unsigned find_cpu(const struct vcpu *v)
{
    int idle = find_idle(v);
    if (idle >= 0)
        return idle;
    unsigned best = load_relaxed(&v->cpu), start = atomic_fetch_add_explicit(&next_look, 1, memory_order_relaxed);
    unsigned least = may_run(v, best) ? load_relaxed(&queues[best].nr_waiting) : ~0u;
    for (unsigned i = 0; i < nr_queues && (i < LOOKS || least == ~0u); i++) {
        unsigned cpu = (start + i) % nr_queues;
        if (may_run(v, cpu) && load_relaxed(&queues[cpu].nr_waiting) < least) {
            best = cpu;
            least = load_relaxed(&queues[cpu].nr_waiting);
        }
    }
    return best;
}

/* The queue's time follows the smallest deadline. */
static void advance(struct queue *q)
{
    uint64_t least = q->current ? q->current->sched.deadline : ~0ull;
    if (!list_empty(&q->waiting))
        least = MIN(least, vcpu_of(q->waiting.next)->sched.deadline);
    if (least != ~0ull && least > load_relaxed(&q->vtime))
        store_relaxed(&q->vtime, least);
}

/* Makes a CPU look at its queue: `current`, when there is one, gives way. */
static void interrupt(struct queue *q, struct vcpu *current)
{
    if (current)
        atomic_fetch_or(&current->work, WORK_RESCHEDULE);
    if (q != &queues[metal_cpu()])
        metal_kick(q - queues);
}

/* Puts a vCPU that is neither queued nor running on the queue of vcpu.cpu. With that queue's lock. */
static void insert(struct queue *q, struct vcpu *v, uint64_t now)
{
    if (q->current)
        account(q->current, now);
    advance(q);
    uint64_t vtime = load_relaxed(&q->vtime);
    v->sched.deadline = MAX(v->sched.deadline, vtime - MIN(vtime, SLEEPER_NS));
    v->sched.deadline =
        MIN(v->sched.deadline, vtime + 10 * SCHED_SLICE_NS); /* no debt for ever, e.g. of a low weight */
    set_state(v, RUN_RUNNABLE, now);
    enqueue(q, v);
    store_relaxed(&q->news, true);
    if (!q->current || q->current->sched.deadline > v->sched.deadline + SCHED_GRANULE_NS)
        interrupt(q, q->current); /* else at the end of the slice */
}

static bool idle_in_hand(const struct vcpu *v) { return !v->sched.queued && !load_relaxed(&v->sched.running); }

/* Makes `cpu` the one of a vCPU that is neither queued nor running. Takes the lock of its present queue, returns with
 * that of its queue, which may be a third one then. */
static struct queue *move(struct queue *q, struct vcpu *v, unsigned cpu)
{
    if (q == &queues[cpu])
        return q;
    uint64_t vtime = load_relaxed(&q->vtime);
    v->sched.deadline = load_relaxed(&queues[cpu].vtime) + (v->sched.deadline - MIN(v->sched.deadline, vtime));
    store_relaxed(&v->cpu, cpu);
    spin_unlock(&q->lock);
    return lock_queue(v);
}

/* One that waits in queue `q` goes where it is better off. As move(). */
static struct queue *move_waiting(struct queue *q, struct vcpu *v, uint64_t now)
{
    unsigned cpu = find_cpu(v);
    if (q == &queues[cpu])
        return q;
    dequeue(q, v);
    q = move(q, v, cpu);
    if (idle_in_hand(v))
        insert(q, v, now);
    return q;
}

void sched_wake(struct vcpu *v, uint64_t now)
{
    locked struct queue *q = lock_queue(v);
    if (!idle_in_hand(v) || atomic_load(&v->blocked))
        return;
    q = move(q, v, find_cpu(v));
    if (!idle_in_hand(v) || atomic_load(&v->blocked))
        return;
    insert(q, v, now);
    if (q->current && q == &queues[metal_cpu()])
        q->handover = v;
}

void sched_give_way(struct vcpu *v)
{
    locked struct queue *q = lock_queue(v);
    if (list_empty(&q->waiting))
        return;
    /* Behind the first one that waits, as far as its deadline is concerned. */
    uint64_t first = vcpu_of(q->waiting.next)->sched.deadline;
    account(v, metal_now());
    v->sched.deadline = MAX(v->sched.deadline, first + 1);
    atomic_fetch_or(&v->work, WORK_RESCHEDULE);
}

void sched_affinity_changed(struct vcpu *v)
{
    locked struct queue *q = lock_queue(v);
    if (may_run(v, q - queues))
        return;
    if (v->sched.running)
        interrupt(q, v);
    else if (v->sched.queued)
        q = move_waiting(q, v, metal_now());
}

/* --- picking -------------------------------------------------------------------------------------------------- */

static void set_blocked(struct vcpu *v, uint32_t blocked, uint64_t now)
{
    set_state(v, blocked & (BLOCK_DOWN | BLOCK_PAUSE | BLOCK_SIPI | BLOCK_DYING) ? RUN_OFFLINE : RUN_BLOCKED, now);
}

/* Whether a queued one can run on `cpu` now; one that was blocked while it waited leaves the queue. */
static bool can_start(struct queue *q, struct vcpu *v, unsigned cpu, uint64_t now)
{
    uint32_t blocked = atomic_load(&v->blocked);
    if (blocked) {
        dequeue(q, v);
        set_blocked(v, blocked, now);
        return false;
    }
    return may_run(v, cpu) && cap_left(v->domain, now);
}

/* The best one in queue `q` that can run on `cpu`. With its lock. */
static struct vcpu *best_waiting(struct queue *q, unsigned cpu, uint64_t now)
{
    struct vcpu *v = q->handover;
    if (v && can_start(q, v, cpu, now))
        return v;
    for (struct list *l = q->waiting.next, *next; l != &q->waiting; l = next) {
        next = l->next;
        if (can_start(q, vcpu_of(l), cpu, now))
            return vcpu_of(l);
    }
    return NULL;
}

/* Takes one that waits at a busy CPU's queue; it is `running` and belongs to this CPU then. No lock is held. An idle
 * CPU has been kicked for what waits there: all that look for work would only meet at its lock. */
static struct vcpu *steal(unsigned cpu, uint64_t now)
{
    unsigned start = atomic_fetch_add_explicit(&next_look, 1, memory_order_relaxed);
    for (unsigned i = 0; i < MIN(nr_queues, LOOKS); i++) {
        struct queue *q = &queues[(start + i) % nr_queues];
        if (q == &queues[cpu] || !load_relaxed(&q->nr_waiting) || !load_relaxed(&q->busy))
            continue;
        spin_guard(&q->lock);
        struct vcpu *v = best_waiting(q, cpu, now);
        if (!v)
            continue;
        dequeue(q, v);
        v->sched.deadline = load_relaxed(&queues[cpu].vtime);
        store_relaxed(&v->sched.running, true);
        store_relaxed(&v->cpu, cpu);
        return v;
    }
    return NULL;
}

/* What ran here until now goes back to the queue or to sleep. With the lock. */
static void put_back(struct queue *q, struct vcpu *prev, uint64_t now)
{
    uint32_t blocked = atomic_load(&prev->blocked);
    account(prev, now);
    advance(q);
    q->current = NULL;
    store_relaxed(&prev->sched.running, false);
    if (blocked) {
        set_blocked(prev, blocked, now);
        return;
    }
    set_state(prev, RUN_RUNNABLE, now);
    q->handover = NULL; /* it did not wait for an answer */
    enqueue(q, prev);
}

static void start(struct queue *q, struct vcpu *v, uint64_t now)
{
    q->current = v;
    store_relaxed(&q->busy, true);
    (void)claim_idle(q - queues);
    if (v->sched.queued)
        dequeue(q, v);
    store_relaxed(&v->sched.running, true);
    atomic_fetch_and(&v->work, ~WORK_RESCHEDULE);
    advance(q);
    set_state(v, RUN_RUNNING, now);
    q->slice_end = now + MIN(MAX(cap_left(v->domain, now), SCHED_GRANULE_NS / 10), SCHED_SLICE_NS);
}

/* Nothing to do: for a while, when somebody waits for its cap. */
static void go_idle(struct queue *q, bool was_idle, uint64_t now)
{
    q->current = NULL;
    store_relaxed(&q->busy, false);
    if (!was_idle)
        q->idle_since = now;
    set_idle(q - queues);
    q->slice_end = list_empty(&q->waiting) ? ~0ull : now + SCHED_SLICE_NS;
}

struct vcpu *sched_pick(unsigned cpu, struct vcpu *prev, uint64_t now)
{
    struct queue *q = &queues[cpu];
    spin_lock(&q->lock);
    bool was_idle = !q->current;
    BUG_ON(q->current != prev);
    store_relaxed(&q->news, false);
    if (prev)
        put_back(q, prev, now);
    struct vcpu *v = best_waiting(q, cpu, now);
    if (!v) {
        spin_unlock(&q->lock);
        v = steal(cpu, now);
        spin_lock(&q->lock);
        if (!v) /* something may have come meanwhile */
            v = best_waiting(q, cpu, now);
    }
    if (was_idle && v && now > q->idle_since)
        q->idle_time += now - q->idle_since;
    if (v)
        start(q, v, now);
    else
        go_idle(q, was_idle, now);
    q->handover = NULL; /* a hand-over counts for one change only */
    if (prev && prev != v && prev->sched.queued && load_relaxed(&prev->cpu) == cpu && (v || !may_run(prev, cpu)))
        q = move_waiting(q, prev, now);
    spin_unlock(&q->lock);
    return v;
}

bool sched_has_work(unsigned cpu) { return load_acquire(&queues[cpu].news); }

uint64_t sched_alarm_time(unsigned cpu) { return queues[cpu].slice_end; }
