/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: domain/domain.c domain/reset.c domain/vcpu.c domain/sched.c hypercall/copy.c mem/frame.c mem/p2m.c hvm/npt.c
 */
/* sources: ipc/evtchn.c ipc/evtchn_2l.c ipc/evtchn_fifo.c ipc/grant.c lib/rangeset.c lib/lib.c hypercall/memory.c */
/* sources: hypercall/dispatch.c hypercall/self.c hypercall/host.c hypercall/platform.c hypercall/domctl.c */
/* sources: hypercall/event_channel.c hypercall/grant_table.c */
/*
 * The life of domains: ids, references, taking apart while others look, pausing while they run, shutdown and crash; and
 * kicks against blocking, with real threads.
 */
#include <pthread.h>
#include <time.h>

#include "../doors_fakes.h"

#include <hv/grant.h>

#include <xen/xen.h>
#include <xen/grant_table.h>
#include <xen/sched.h>

static uint64_t free_pages(void)
{
    struct frame_stats stats;
    frame_stats(&stats);
    return stats.free;
}

static void kill_all(struct domain *d)
{
    int rc;
    do
        rc = domain_kill(d);
    while (rc == -ERESTART);
    CHECK(rc == 0);
}

static void test_life(void)
{
    uint64_t before = free_pages();
    CHECK(!domain_create(5, 0) && !domain_create(5, MAX_VCPUS + 1) && !domain_create(0x7ff0, 1));
    struct domain *d = domain_create(5, 3);
    CHECK(d && d->id == 5 && d->vcpu[2] && d->vcpu[2]->blocked == BLOCK_DOWN &&
          load_relaxed(&d->vcpu[2]->timer_when) == ~0ull);
    CHECK(!domain_create(5, 1)); /* in use; and nothing leaks */
    struct domain *e = domain_create(2, 1);
    struct domain *found = domain_get(5);
    CHECK(found == d && !domain_get(4));
    domain_put(found);
    found = domain_next(3);
    CHECK(found == d);
    domain_put(found);
    found = domain_next(1);
    CHECK(found == e);
    domain_put(found);
    CHECK(!domain_next(6));
    fake_ram(d, 100);
    kill_all(d);
    CHECK(!domain_get(5)); /* gone for others, ours still */
    CHECK(d->dying && d->vcpu[0]->blocked & BLOCK_DYING);
    domain_put(d);
    kill_all(e);
    domain_put(e);
    CHECK(free_pages() == before);
}

static void test_exhaustion(void)
{
    static void *taken[70000];
    unsigned count = 0;
    uint64_t before = free_pages();
    while (count < 70000 && (taken[count] = page_alloc()))
        count++;
    for (unsigned give = 0; give < 60 && give < count; give++) { /* with any number of pages: all or nothing */
        page_free(taken[--count]);
        struct domain *d = domain_create(9, 2);
        if (d) {
            kill_all(d);
            domain_put(d);
        }
        CHECK(free_pages() == give + 1);
    }
    while (count)
        page_free(taken[--count]);
    CHECK(free_pages() == before);
}

static void test_shutdown(void)
{
    struct domain *d = domain_create(5, 2);
    vcpu_wake(d->vcpu[0], BLOCK_DOWN);
    domain_crash(d, "ring index %u > %u", 7, 3);
    CHECK(d->shutdown_code == SHUTDOWN_crash && d->vcpu[0]->blocked == BLOCK_DYING);
    domain_shutdown(d, SHUTDOWN_poweroff); /* the first one counts */
    CHECK(d->shutdown_code == SHUTDOWN_crash);
    kill_all(d);
    domain_put(d);
    d = domain_create(5, 2);
    vcpu_wake(d->vcpu[0], BLOCK_DOWN);
    CHECK(domain_unpause(d) == -EINVAL);
    for (unsigned i = 0; i < 255; i++)
        CHECK(!domain_pause(d));
    CHECK(domain_pause(d) == -EINVAL && d->vcpu[1]->blocked == (BLOCK_PAUSE | BLOCK_DOWN));
    for (unsigned i = 0; i < 254; i++)
        CHECK(!domain_unpause(d));
    CHECK(d->vcpu[0]->blocked == BLOCK_PAUSE && !domain_unpause(d));
    CHECK(d->vcpu[0]->blocked == 0 && d->vcpu[1]->blocked == BLOCK_DOWN);
    kill_all(d);
    domain_put(d);
}

static unsigned startup;

unsigned vlapic_take_init(struct vcpu *v)
{
    unsigned taken = startup;
    startup = 0;
    return taken;
}

void vlapic_reset(struct vcpu *v) {}

static void arrive(struct vcpu *v, unsigned what)
{
    startup = what;
    v->sipi_vector = 0x9a;
    vcpu_kick(v, WORK_INIT);
    atomic_fetch_and(&v->work, ~WORK_INIT);
    vcpu_start_up(v);
}

static void test_start_up(void)
{
    struct domain *d = domain_create(5, 1);
    struct vcpu *v = d->vcpu[0];
    arrive(v, VLAPIC_INIT);
    CHECK(v->blocked == BLOCK_SIPI && !v->initialised);
    arrive(v, VLAPIC_SIPI);
    CHECK(!v->blocked && v->regs.rip == 0 && fake_state.seg[SEG_CS].base == 0x9a000 && v->initialised);
    v->regs.rip = 0x55;
    arrive(v, VLAPIC_SIPI); /* the second one, late */
    CHECK(!v->blocked && v->regs.rip == 0x55);
    arrive(v, VLAPIC_INIT | VLAPIC_SIPI);
    CHECK(!v->blocked && v->regs.rip == 0);
    startup = VLAPIC_INIT;
    v->work = WORK_INIT; /* the SIPI comes while the INIT is being looked at, and finds nobody blocked */
    vcpu_start_up(v);
    CHECK(!v->blocked);
    kill_all(d);
    domain_put(d);
}

/* --- threads ------------------------------------------------------------------------------------------------------ */

static _Atomic bool stop;
static _Atomic unsigned found;

static void *look(void *arg)
{
    fake_cpu = 30 + (uintptr_t)arg; /* a CPU each: what is kept by CPU is not shared */
    while (!stop)
        for (unsigned id = 20; id < 24; id++) {
            struct domain *d = domain_get(id);
            if (!d)
                continue;
            CHECK(d->id == id && d->max_vcpus == 2);
            found++;
            domain_put(d);
        }
    return NULL;
}

static void *come_and_go(void *arg)
{
    unsigned id = fake_cpu = 20 + (uintptr_t)arg;
    for (unsigned i = 0; i < 40; i++) {
        struct domain *d = domain_create(id, 2);
        CHECK(d);
        for (unsigned j = 0; j < 100; j++)
            cpu_relax();
        kill_all(d);
        domain_put(d);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t lookers[2], makers[4];
    uint64_t before = free_pages();
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(!pthread_create(&lookers[i], NULL, look, (void *)i));
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(!pthread_create(&makers[i], NULL, come_and_go, (void *)i));
    for (unsigned i = 0; i < 4; i++)
        pthread_join(makers[i], NULL);
    stop = true;
    for (unsigned i = 0; i < 2; i++)
        pthread_join(lookers[i], NULL);
    CHECK(free_pages() == before);
}

/* Two CPUs take the same domain apart; in its mappings no reference may be left. */
static void *kill_it(void *arg)
{
    struct domain *d;
    fake_cpu = 10 + (uintptr_t)arg;
    while ((d = domain_get(40))) {
        (void)!domain_kill(d);
        domain_put(d);
    }
    return NULL;
}

static void test_killers(void)
{
    uint64_t before = free_pages();
    for (unsigned round = 0; round < 10; round++) {
        pthread_t killers[2];
        struct domain *d = domain_create(40, 1), *granter = domain_create(41, 1);
        fake_ram(granter, 1);
        struct grant_entry_v1 *entry = mfn_ptr(grant_frame(granter, 0));
        entry[9] = (struct grant_entry_v1){ .flags = GTF_permit_access, .domid = 40 };
        for (unsigned i = 1; i <= 1000; i++) {
            struct gnttab_map_grant_ref op = { .host_addr = i << 12, .flags = GNTMAP_host_map, .ref = 9, .dom = 41 };
            grant_map(d, &op);
            CHECK(!op.status);
        }
        domain_put(d);
        for (uintptr_t i = 0; i < 2; i++)
            CHECK(!pthread_create(&killers[i], NULL, kill_it, (void *)i));
        for (unsigned i = 0; i < 2; i++)
            pthread_join(killers[i], NULL);
        CHECK(granter->refs == 2 && entry[9].flags == GTF_permit_access);
        kill_all(granter);
        domain_put(granter);
    }
    CHECK(free_pages() == before);
}

/* One CPU runs a vCPU that blocks over and over; another kicks it: no kick may be lost. And a third pauses it. */
static struct domain *subject;
static _Atomic uint64_t kicks, answers;
static _Atomic bool entered;

static void *cpu_one(void *arg)
{
    struct vcpu *v = NULL;
    fake_cpu = 1;
    while (!stop) {
        fake_now += 1000;
        v = sched_pick(1, v, load_relaxed(&fake_now));
        if (!v)
            continue;
        while (!atomic_load(&v->blocked)) {
            atomic_store(&entered, true); /* between here and below nobody may find it paused */
            if (atomic_fetch_and(&v->work, 0) & WORK_LAPIC)
                answers = kicks;
            atomic_store(&entered, false);
            vcpu_block(v, BLOCK_HALT);
        }
    }
    return NULL;
}

static void *pauser(void *arg)
{
    fake_cpu = 2;
    while (!stop) {
        CHECK(!domain_pause(subject));
        for (unsigned i = 0; i < 50; i++)
            CHECK(!entered);
        CHECK(!domain_unpause(subject));
        nanosleep(&(struct timespec){ 0, 1000000 }, NULL);
    }
    return NULL;
}

static void *pause_once(void *arg)
{
    fake_cpu = 2;
    CHECK(!domain_pause(subject));
    return NULL;
}

/* Who waits for a vCPU to stand still that somebody lets go on does not wait for ever. */
static void test_pause_undone(void)
{
    pthread_t thread;
    subject = domain_create(31, 1);
    struct vcpu *v = subject->vcpu[0];
    for (unsigned i = 0; i < 4; i++)
        v->affinity_hard[i] = i ? 0 : BIT(3);
    vcpu_wake(v, BLOCK_DOWN);
    CHECK(sched_pick(3, NULL, fake_now) == v); /* and it stays there */
    CHECK(!pthread_create(&thread, NULL, pause_once, NULL));
    while (!subject->pause_count)
        cpu_relax();
    CHECK(!domain_unpause(subject));
    pthread_join(thread, NULL);
    atomic_fetch_or(&v->blocked, BLOCK_HALT);
    CHECK(!sched_pick(3, v, fake_now));
    kill_all(subject);
    domain_put(subject);
}

static void test_kicks(void)
{
    pthread_t threads[2];
    stop = false;
    subject = domain_create(30, 1);
    struct vcpu *v = subject->vcpu[0];
    for (unsigned i = 0; i < 4; i++)
        v->affinity_hard[i] = i ? 0 : BIT(1);
    v->cpu = 1;
    vcpu_wake(v, BLOCK_DOWN);
    CHECK(!pthread_create(&threads[0], NULL, cpu_one, NULL));
    CHECK(!pthread_create(&threads[1], NULL, pauser, NULL));
    for (unsigned i = 1; i <= 300; i++) {
        kicks = i;
        vcpu_kick(v, WORK_LAPIC);
        while (answers != i)
            nanosleep(&(struct timespec){ 0, 20000 }, NULL);
    }
    stop = true;
    pthread_join(threads[0], NULL);
    pthread_join(threads[1], NULL);
}

int main(void)
{
    fake_metal_init(160);
    fake_control_domain(1);
    test_life();
    test_exhaustion();
    test_shutdown();
    test_start_up();
    test_threads();
    test_killers();
    test_pause_undone();
    test_kicks();
    return 0;
}
