/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: domain/sched.c */
/*
 * The scheduler on a simulated clock: shares by weight, caps, affinity, latency of waking, directed hand-over,
 * stealing, idle time; and with real threads, that no vCPU is ever lost or runs twice.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fake_metal.h"

#include <hv/domain.h>
#include <hv/lock.h>
#include <hv/sched.h>

#define MS 1000000ull

static struct domain domains[8];
static struct vcpu vcpus[128];
static struct vcpu *on_cpu[64];
static uint64_t ran[128];

static struct vcpu *setup(unsigned i, struct domain *d)
{
    struct vcpu *v = &vcpus[i];
    memset(v, 0, sizeof(*v));
    v->id = i;
    v->domain = d;
    v->blocked = BLOCK_DOWN;
    sched_vcpu_init(v);
    return v;
}

static void reset(unsigned cpus)
{
    fake_now = 1000 * MS;
    fake_nr_cpus = cpus;
    fake_cpu = 0;
    sched_init(cpus);
    memset(on_cpu, 0, sizeof(on_cpu));
    memset(ran, 0, sizeof(ran));
    for (unsigned i = 0; i < 8; i++) {
        memset(&domains[i], 0, sizeof(domains[i]));
        domains[i].sched_weight = SCHED_WEIGHT;
    }
}

static void wake(struct vcpu *v)
{
    v->blocked = 0;
    sched_wake(v, fake_now);
}

static void pin(struct vcpu *v, unsigned cpu)
{
    for (unsigned i = 0; i < 4; i++)
        v->affinity_hard[i] = 0;
    v->affinity_hard[cpu / 64] = BIT(cpu % 64);
    sched_affinity_changed(v);
}

/* What vcpu_loop does: pick again when there is a reason. */
static void step(unsigned cpu)
{
    struct vcpu *v = on_cpu[cpu];
    fake_cpu = cpu;
    if (v && !v->blocked && !(v->work & WORK_RESCHEDULE) && sched_alarm_time(cpu) > fake_now)
        return;
    if (!v && !sched_has_work(cpu) && sched_alarm_time(cpu) > fake_now)
        return;
    on_cpu[cpu] = sched_pick(cpu, v, fake_now);
    CHECK(!on_cpu[cpu] || (!on_cpu[cpu]->blocked && on_cpu[cpu]->sched.running && on_cpu[cpu]->cpu == cpu));
}

/* Everybody computes for `ms`, in steps of 100 us. */
static void run(unsigned cpus, unsigned ms)
{
    for (unsigned t = 0; t < ms * 10; t++) {
        for (unsigned cpu = 0; cpu < cpus; cpu++)
            step(cpu);
        for (unsigned cpu = 0; cpu < cpus; cpu++)
            if (on_cpu[cpu])
                ran[on_cpu[cpu]->id] += MS / 10;
        fake_now += MS / 10;
    }
}

static bool near(uint64_t value, uint64_t want, unsigned percent)
{
    return value * 100 >= want * (100 - percent) && value * 100 <= want * (100 + percent);
}

static void test_weights(void)
{
    reset(1);
    const unsigned weights[] = { 128, 256, 512, 1024 };
    for (unsigned i = 0; i < 4; i++) {
        domains[i].sched_weight = weights[i];
        wake(setup(i, &domains[i]));
    }
    run(1, 10000);
    for (unsigned i = 0; i < 4; i++)
        CHECK(near(ran[i], 10000 * MS * weights[i] / 1920, 3));
    for (unsigned i = 0; i < 4; i++) { /* books agree with what happened */
        uint64_t times[4];
        sched_runstate(&vcpus[i], fake_now, times);
        CHECK(near(times[RUN_RUNNING], ran[i], 1));
        CHECK(near(times[0] + times[1] + times[2] + times[3], 10000 * MS, 1));
    }
}

/* As `xl sched-credit2 -d` does it: while they run. */
static void test_weight_changes(void)
{
    reset(1);
    domains[1].sched_weight = 512;
    for (unsigned i = 0; i < 2; i++)
        wake(setup(i, &domains[i]));
    run(1, 3000);
    CHECK(near(ran[0], 1000 * MS, 3) && near(ran[1], 2000 * MS, 3));
    domains[0].sched_weight = 1536;
    memset(ran, 0, sizeof(ran));
    run(1, 4000);
    CHECK(near(ran[0], 3000 * MS, 3) && near(ran[1], 1000 * MS, 3));
    domains[0].sched_cap = 50; /* of the CPU; the other one has the rest */
    memset(ran, 0, sizeof(ran));
    run(1, 4000);
    CHECK(near(ran[0], 2000 * MS, 3) && near(ran[1], 2000 * MS, 3));
    domains[0].sched_weight = 16;
    domains[1].sched_weight = 4096; /* a small share is a share */
    domains[0].sched_cap = 0;
    memset(ran, 0, sizeof(ran));
    run(1, 20000);
    CHECK(ran[0] >= 50 * MS && ran[1] > 19000 * MS);
}

static void test_caps(void)
{
    reset(2);
    domains[0].sched_cap = 30;  /* of one CPU, for two vCPUs together */
    domains[1].sched_cap = 150; /* more than one CPU, less than two */
    for (unsigned i = 0; i < 2; i++) {
        wake(setup(i, &domains[0]));
        wake(setup(2 + i, &domains[1]));
    }
    run(2, 6000);
    CHECK(near(ran[0] + ran[1], 6000 * MS * 30 / 100, 5));
    CHECK(near(ran[2] + ran[3], 6000 * MS * 150 / 100, 5));
    domains[0].sched_cap = 0; /* what is left over is his now */
    memset(ran, 0, sizeof(ran));
    run(2, 3000);
    CHECK(ran[0] + ran[1] + ran[2] + ran[3] > 2 * 2980 * MS);
}

static void test_wake_latency(void)
{
    reset(1);
    for (unsigned i = 0; i < 3; i++)
        wake(setup(i, &domains[0]));
    struct vcpu *v = setup(3, &domains[1]);
    run(1, 500);
    for (unsigned round = 0; round < 50; round++) { /* an interactive one: 200 us of work every 20 ms */
        run(1, 20);
        wake(v);
        uint64_t start = fake_now;
        while (on_cpu[0] != v) {
            step(0);
            fake_now += 10000;
            CHECK(fake_now < start + MS); /* at once, not after three slices */
        }
        fake_now += 200000;
        v->blocked = BLOCK_HALT;
        step(0);
    }
    run(1, 3000); /* and nobody starved for it */
    CHECK(ran[0] > 500 * MS && ran[1] > 500 * MS && ran[2] > 500 * MS);
}

static void test_affinity(void)
{
    reset(4);
    for (unsigned i = 0; i < 6; i++) {
        setup(i, &domains[0]);
        pin(&vcpus[i], 2);
        wake(&vcpus[i]);
    }
    for (unsigned t = 0; t < 100; t++) {
        run(4, 10);
        CHECK(!on_cpu[0] && !on_cpu[1] && !on_cpu[3] && on_cpu[2]);
    }
    CHECK(near(sched_idle_time(0, fake_now), 1000 * MS, 1) && sched_idle_time(2, fake_now) < MS);
    pin(on_cpu[2], 3); /* while it runs */
    struct vcpu *moved = on_cpu[2];
    run(4, 20);
    CHECK(on_cpu[3] == moved);
    for (unsigned i = 0; i < 6; i++) { /* all may go anywhere: idle CPUs take them when they look again */
        memset((void *)vcpus[i].affinity_hard, 0xff, sizeof(vcpus[i].affinity_hard));
        sched_affinity_changed(&vcpus[i]);
    }
    struct vcpu *v = on_cpu[2];
    v->blocked = BLOCK_HALT;
    run(4, 1);
    wake(v);
    run(4, 1);
    CHECK(v->sched.running && v->cpu != 2); /* woken onto an idle one */
    v = setup(9, &domains[1]);
    memset((void *)v->affinity_soft, 0, sizeof(v->affinity_soft));
    v->affinity_soft[0] = BIT(1);
    for (unsigned i = 0; i < 6; i++)
        vcpus[i].blocked = BLOCK_HALT;
    run(4, 20);
    v->cpu = 0;
    wake(v);
    CHECK(v->cpu == 0 || v->cpu == 1);
}

static void test_handover(void)
{
    reset(1);
    for (unsigned i = 0; i < 4; i++)
        setup(i, &domains[i]);
    wake(&vcpus[0]);
    step(0);
    CHECK(on_cpu[0] == &vcpus[0]);
    wake(&vcpus[1]);
    wake(&vcpus[2]);
    fake_now += MS;
    wake(&vcpus[3]); /* vCPU 0 asks 3 and waits for the answer */
    vcpus[0].blocked = BLOCK_HALT;
    on_cpu[0] = sched_pick(0, &vcpus[0], fake_now);
    CHECK(on_cpu[0] == &vcpus[3]);
    wake(&vcpus[0]); /* 3 answers, but goes on: the others come first */
    on_cpu[0] = sched_pick(0, &vcpus[3], fake_now + SCHED_SLICE_NS);
    CHECK(on_cpu[0] == &vcpus[1] || on_cpu[0] == &vcpus[2]);
}

static void test_yield_and_blocked(void)
{
    reset(1);
    wake(setup(0, &domains[0]));
    step(0);
    sched_give_way(&vcpus[0]);
    CHECK(!(vcpus[0].work & WORK_RESCHEDULE)); /* alone */
    wake(setup(1, &domains[1]));
    vcpus[0].work = 0;
    sched_give_way(&vcpus[0]);
    step(0);
    CHECK(on_cpu[0] == &vcpus[1]);
    vcpus[0].blocked = BLOCK_PAUSE; /* while it waits */
    CHECK(!sched_running(&vcpus[0]));
    vcpus[1].blocked = BLOCK_HALT;
    step(0);
    CHECK(!on_cpu[0] && vcpus[0].sched.state == RUN_OFFLINE && vcpus[1].sched.state == RUN_BLOCKED);
    wake(&vcpus[0]);
    step(0);
    CHECK(on_cpu[0] == &vcpus[0]);
}

static void test_steal(void)
{
    reset(2);
    wake(setup(0, &domains[0]));
    wake(setup(2, &domains[0]));
    wake(setup(4, &domains[0]));
    run(2, 1000);
    CHECK(on_cpu[0] && on_cpu[1]);
    CHECK(ran[0] + ran[2] + ran[4] > 1990 * MS);
    on_cpu[1]->blocked = BLOCK_HALT;
    run(2, 50);
    CHECK(on_cpu[0] && on_cpu[1]); /* the third was taken over */
}

/* Odd numbers of equal ones on a few CPUs: none stays behind on the longer queue for good. */
static void test_balance(void)
{
    for (unsigned cpus = 2; cpus <= 4; cpus++) {
        for (unsigned n = cpus + 1; n <= 3 * cpus; n++) {
            reset(cpus);
            for (unsigned i = 0; i < n; i++)
                wake(setup(i, &domains[0]));
            run(cpus, 6000);
            for (unsigned i = 0; i < n; i++)
                CHECK(near(ran[i], 6000 * MS * cpus / n, n == cpus + 1 ? 5 : 34));
        }
    }
}

static void allow_all(struct vcpu *v)
{
    memset((void *)v->affinity_hard, 0xff, sizeof(v->affinity_hard));
    sched_affinity_changed(v);
}

static void test_many_cpus(void)
{
    reset(64);
    for (unsigned i = 0; i < 128; i++)
        setup(i, &domains[i % 8]);
    for (unsigned i = 0; i < 64; i++)
        wake(&vcpus[i]);
    run(64, 1);
    for (unsigned i = 0; i < 64; i++)
        CHECK(on_cpu[i] == &vcpus[i]); /* one each */
    for (unsigned i = 64; i < 128; i++)
        wake(&vcpus[i]);
    run(64, 2000);
    for (unsigned i = 0; i < 128; i++)
        CHECK(near(ran[i], 1000 * MS, 15));

    reset(64); /* idle CPUs that have looked in vain are found by those that wait */
    for (unsigned i = 0; i < 4; i++) {
        setup(i, &domains[0]);
        pin(&vcpus[i], 40);
        wake(&vcpus[i]);
    }
    run(64, 50);
    for (unsigned i = 0; i < 4; i++)
        allow_all(&vcpus[i]);
    run(64, 50);
    for (unsigned i = 0; i < 4; i++)
        CHECK(vcpus[i].sched.running);
}

/* vCPUs go offline and come back, as when Linux takes them out; one is freed while it waits in a queue. */
static void test_hotplug(void)
{
    reset(4);
    for (unsigned i = 0; i < 8; i++)
        wake(setup(i, &domains[0]));
    for (unsigned round = 0; round < 100; round++) {
        struct vcpu *v = &vcpus[round * 5 % 8];
        v->blocked = BLOCK_DOWN;
        run(4, 21);
        CHECK(!v->sched.running && !v->sched.queued && v->sched.state == RUN_OFFLINE);
        wake(v);
    }
    run(4, 2000);
    for (unsigned i = 0; i < 8; i++)
        CHECK(near(ran[i], 2050 * MS, 25));
    for (unsigned i = 0; i < 8; i++)
        vcpus[i].blocked = BLOCK_DYING;
    for (unsigned cpu = 0; cpu < 4; cpu++)
        on_cpu[cpu] = sched_pick(cpu, on_cpu[cpu], fake_now);
    for (unsigned i = 0; i < 8; i++) {
        sched_vcpu_remove(&vcpus[i]);
        CHECK(!vcpus[i].sched.queued);
    }
    run(4, 20);
    CHECK(!on_cpu[0] && !on_cpu[1] && !on_cpu[2] && !on_cpu[3]);
}

/* --- with threads ------------------------------------------------------------------------------------------------- */

static _Atomic bool stop;
static _Atomic int holders[64];
static _Atomic uint64_t turns[64];

static void *cpu_thread(void *arg)
{
    unsigned cpu = (uintptr_t)arg, seed = cpu + 1;
    struct vcpu *v = NULL;
    fake_cpu = cpu;
    while (!stop) {
        fake_now += 50000;
        v = sched_pick(cpu, v, fake_now);
        if (!v)
            continue;
        CHECK(atomic_fetch_add(&holders[v->id], 1) == 0); /* nobody else has it */
        turns[v->id]++;
        for (unsigned i = 0; i < 3; i++) {
            struct vcpu *other = &vcpus[rand_r(&seed) % 16];
            if (atomic_fetch_and(&other->blocked, ~BLOCK_HALT) == BLOCK_HALT)
                sched_wake(other, fake_now);
        }
        if (rand_r(&seed) % 4 == 0)
            atomic_fetch_or(&v->blocked, BLOCK_HALT);
        if (rand_r(&seed) % 16 == 0)
            sched_affinity_changed(&vcpus[rand_r(&seed) % 16]);
        atomic_fetch_sub(&holders[v->id], 1);
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t threads[4];
    reset(4);
    fake_cpu = 9; /* this thread, beside the CPUs */
    for (unsigned i = 0; i < 16; i++) {
        setup(i, &domains[i % 4]);
        wake(&vcpus[i]);
    }
    for (uintptr_t i = 0; i < 4; i++)
        CHECK(!pthread_create(&threads[i], NULL, cpu_thread, (void *)i));
    for (unsigned i = 0; i < 100; i++) {
        struct timespec pause = { 0, 10000000 };
        nanosleep(&pause, NULL);
        for (unsigned j = 0; j < 16; j++) /* a timer: whoever blocked wakes up some time */
            if (atomic_fetch_and(&vcpus[j].blocked, ~BLOCK_HALT) == BLOCK_HALT)
                sched_wake(&vcpus[j], fake_now);
    }
    stop = true;
    for (unsigned i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (unsigned i = 0; i < 16; i++)
        CHECK(turns[i] > 10);
}

int main(void)
{
    fake_metal_init(16);
    test_weights();
    test_weight_changes();
    test_caps();
    test_wake_latency();
    test_affinity();
    test_handover();
    test_yield_and_blocked();
    test_steal();
    test_balance();
    test_many_cpus();
    test_hotplug();
    test_threads();
    return 0;
}
