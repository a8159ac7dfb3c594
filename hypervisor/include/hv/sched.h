/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The scheduler: a run queue for each CPU, ordered by weighted virtual time, with caps and affinity.
 *
 * Lock: each run queue's (LOCK_SCHED). A vCPU is on one queue or running or blocked. sched_pick() runs with none held.
 */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

#define SCHED_WEIGHT 256
#define SCHED_SLICE_NS 10000000ull
#define SCHED_CAP_PERIOD_NS 30000000ull /* a domain with a cap may use what it is due in this time at once */
#define SCHED_GRANULE_NS 1000000ull     /* who wakes up preempts when it is behind by more than this */
#define SCHED_MAX_CPUS 256

void sched_init(unsigned cpus);
void sched_vcpu_init(struct vcpu *v);
void sched_vcpu_remove(struct vcpu *v); /* before it is freed; it is blocked for good, but may still be on a queue */
/* The vCPU that shall run on this CPU now, marked running; NULL: none, idle. `prev` ran here until now (or NULL). */
struct vcpu *sched_pick(unsigned cpu, struct vcpu *prev, uint64_t now);
/* A vCPU became runnable: queues it where it runs best, kicks that CPU when it shall preempt. */
void sched_wake(struct vcpu *v, uint64_t now);
/* The vCPU that runs here gives way: SCHEDOP_yield. */
void sched_give_way(struct vcpu *v);
/* When this CPU has to pick again (end of a slice, or of what a cap leaves); ~0: no need. For itself only. */
uint64_t sched_alarm_time(unsigned cpu);
/* An idle CPU looks at this before it halts: something came to its queue since the last sched_pick(). */
bool sched_has_work(unsigned cpu);
void sched_affinity_changed(struct vcpu *v);
void sched_runstate(struct vcpu *v, uint64_t now, uint64_t times[4]); /* state_time up to `now` */
/* Whether it has a CPU. Once it is blocked and this is false, it stands still until it is woken. */
bool sched_running(struct vcpu *v);
uint64_t sched_idle_time(unsigned cpu, uint64_t now);
