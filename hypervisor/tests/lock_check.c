/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks of the lock order (lock.h), in all tests: which locks a thread, which plays a CPU, holds, and that it takes
 * them upwards.
 *
 * Two locks of one level may be held where their room says in what order they are taken: event channels (by the
 * domains' ids), and a run queue inside of a CPU's timers.
 */
#include <hv/lock.h>

#define MAX_HELD 12

static _Thread_local struct held {
    const spinlock_t *lock[MAX_HELD];
    unsigned count;
} here;

static bool may_follow(const spinlock_t *lock, const spinlock_t *held)
{
    bool pairs = lock->level == LOCK_EVTCHN || lock->level == LOCK_SCHED;
    return lock != held && (lock->level > held->level || (pairs && lock->level == held->level));
}

void lock_check_take(const spinlock_t *lock)
{
    struct held *h = &here;
    BUG_ON(!lock->level);
    for (unsigned i = 0; i < h->count; i++)
        BUG_ON(!may_follow(lock, h->lock[i]));
    BUG_ON(h->count == MAX_HELD);
    h->lock[h->count++] = lock;
}

void lock_check_drop(const spinlock_t *lock)
{
    struct held *h = &here;
    unsigned i = h->count;
    while (i && h->lock[i - 1] != lock)
        i--;
    BUG_ON(!i);
    for (h->count--; i <= h->count; i++)
        h->lock[i - 1] = h->lock[i];
}

bool lock_check_held(const spinlock_t *lock)
{
    const struct held *h = &here;
    for (unsigned i = 0; i < h->count; i++) {
        if (h->lock[i] == lock)
            return true;
    }
    return false;
}
