/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Ticket spinlocks with levels.
 *
 * The hypervisor runs with interrupts off (cpu/irq.c opens one window, in vcpu_loop), so no lock needs to save
 * an interrupt flag. What may come in between is an NMI or a machine check; those handlers take the console by force.
 *
 * A CPU may only take a lock of a higher level than those it holds; the tests' builds check that (tests/lock_check.c).
 * C11 atomics, so that pure rooms run with real threads in tests.
 */
#pragma once

#include <hv/types.h>

enum lock_level {
    LOCK_DOMAINS = 10, /* the list of domains */
    LOCK_DOMAIN = 20,  /* one domain's life */
    LOCK_GRANT = 40,
    LOCK_EVTCHN = 50,
    LOCK_PORT = 52,        /* one event channel port */
    LOCK_EVENT_QUEUE = 54, /* one FIFO queue of one vCPU */
    LOCK_VDEV = 60,
    LOCK_IRQ = 64,   /* host interrupts */
    LOCK_SCHED = 66, /* a CPU's run queue */
    LOCK_P2M = 70,
    LOCK_IOMMU = 75,      /* a domain's I/O page tables */
    LOCK_IOMMU_UNIT = 76, /* a unit's queue and tables */
    LOCK_FRAME = 80,      /* the page allocator */
    LOCK_CONSOLE = 90,
};

typedef struct {
    _Atomic uint32_t next, owner;
    uint8_t level;
} spinlock_t;

#define SPINLOCK(lvl) ((spinlock_t){ .level = (lvl) })

/* Checks of the order, per CPU; nothing in the image. */
#ifdef HV_LOCK_CHECK
void lock_check_take(const spinlock_t *lock);
void lock_check_drop(const spinlock_t *lock);
bool lock_check_held(const spinlock_t *lock);
#else
static inline void lock_check_take(const spinlock_t *lock) {}
static inline void lock_check_drop(const spinlock_t *lock) {}
static inline bool lock_check_held(const spinlock_t *lock) { return true; }
#endif

static inline void spin_init(spinlock_t *lock, enum lock_level level) { *lock = SPINLOCK(level); }

#ifdef HV_HOST /* tests' threads outnumber the CPUs: who holds a lock, or is next in line, may not be running */
int sched_yield(void);
static inline void cpu_relax(void) { sched_yield(); }
#else
static inline void cpu_relax(void) { __builtin_ia32_pause(); }
#endif

static inline void spin_lock(spinlock_t *lock)
{
    lock_check_take(lock);
    uint32_t ticket = atomic_fetch_add_explicit(&lock->next, 1, memory_order_relaxed);
    /* Pairs with the release in spin_unlock(). */
    while (atomic_load_explicit(&lock->owner, memory_order_acquire) != ticket)
        cpu_relax();
}

static inline void spin_unlock(spinlock_t *lock)
{
    lock_check_drop(lock);
    uint32_t owner = atomic_load_explicit(&lock->owner, memory_order_relaxed);
    atomic_store_explicit(&lock->owner, owner + 1, memory_order_release);
}

/* Takes the lock until the end of the block, however that is left. */
#define spin_guard(l) __attribute__((cleanup(spin_guard_end), unused)) spinlock_t *guarded = spin_guard_begin(l)
static inline spinlock_t *spin_guard_begin(spinlock_t *lock)
{
    spin_lock(lock);
    return lock;
}
static inline void spin_guard_end(spinlock_t **lock) { spin_unlock(*lock); }

#define load_acquire(p) atomic_load_explicit(p, memory_order_acquire)
#define load_relaxed(p) atomic_load_explicit(p, memory_order_relaxed)
#define store_release(p, v) atomic_store_explicit(p, v, memory_order_release)
#define store_relaxed(p, v) atomic_store_explicit(p, v, memory_order_relaxed)
