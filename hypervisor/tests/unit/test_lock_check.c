/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: */
/* The lock order checker, included here: hv_bug() jumps back. */
#define hv_bug caught_bug
#include "../lock_check.c"

#include "fake_metal.h"

#include <pthread.h>
#include <setjmp.h>

static jmp_buf back;
static volatile unsigned bugs;

noreturn void caught_bug(const char *file, int line, const char *what)
{
    bugs++;
    longjmp(back, 1);
}

static bool is_bug(void (*check)(const spinlock_t *), const spinlock_t *lock)
{
    unsigned before = bugs;
    if (!setjmp(back))
        check(lock);
    return bugs != before;
}

static void *other_cpu(void *p2m) /* holds nothing */
{
    spinlock_t a = SPINLOCK(LOCK_EVTCHN), b = SPINLOCK(LOCK_EVTCHN);
    CHECK(!lock_check_held(p2m) && is_bug(lock_check_drop, p2m));
    spin_lock(&a);
    spin_lock(&b);
    spin_unlock(&a);
    spin_unlock(&b);
    return NULL;
}

int main(void)
{
    spinlock_t domain = SPINLOCK(LOCK_DOMAIN), p2m = SPINLOCK(LOCK_P2M), other_p2m = SPINLOCK(LOCK_P2M), none = { 0 };
    spinlock_t frame = SPINLOCK(LOCK_FRAME), a = SPINLOCK(LOCK_EVTCHN);
    spin_lock(&domain);
    spin_lock(&p2m);
    CHECK(lock_check_held(&p2m) && lock_check_held(&domain) && !lock_check_held(&frame));
    CHECK(is_bug(lock_check_take, &a) && is_bug(lock_check_take, &p2m) && is_bug(lock_check_take, &other_p2m));
    CHECK(is_bug(lock_check_drop, &frame) && is_bug(lock_check_take, &none));
    spin_lock(&frame);
    spin_unlock(&domain); /* any order */
    CHECK(!lock_check_held(&domain) && lock_check_held(&p2m) && lock_check_held(&frame));
    spin_unlock(&frame);
    pthread_t other;
    CHECK(!pthread_create(&other, NULL, other_cpu, &p2m) && !pthread_join(other, NULL));
    spin_unlock(&p2m);
    CHECK(!lock_check_held(&p2m));
    return 0;
}
