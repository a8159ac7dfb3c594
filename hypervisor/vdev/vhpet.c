/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HPET (IA-PC HPET specification 1.0a): a 32-bit counter at 16 MHz and three timers, each one-shot or periodic. The
 * first two interrupt in place of PIT and RTC (legacy replacement); there are no other routes, for the board's inputs
 * are the host's devices', and no messages: what wants those has a local APIC timer. So no timer is ever
 * level-triggered and the status register is always 0.
 *
 * The counter is `base` plus what passed since `start`; each timer knows when it is due. Missed periods are skipped
 * (devices.h).
 */
#include "devices.h"

#define TICKS_PER_SECOND 16000000u
#define PERIOD_FS 62500000u
#define CAPABILITIES (0x8086u << 16 | BIT(15) | (HPET_TIMERS - 1) << 8 | 1)

enum { CONFIG_ENABLED = 1, CONFIG_LEGACY = 2 };
enum { TIMER_INTERRUPT = 4, TIMER_PERIODIC = 8, TIMER_CAN_REPEAT = 0x10, TIMER_SET = 0x40 };
#define TIMER_WRITABLE (TIMER_INTERRUPT | TIMER_PERIODIC | TIMER_SET)

static uint64_t ticks(const struct hpet *h, uint64_t now)
{
    return h->config & CONFIG_ENABLED ? mul_div(now - h->start, TICKS_PER_SECOND, SECOND) : 0;
}

static uint32_t counter(const struct hpet *h, uint64_t now) { return h->base + ticks(h, now); }

/* `least`: ticks until it may come, for a timer that just fired and must not do so at the same count. */
static void timer_arm(struct hpet *h, unsigned n, uint64_t now, uint32_t least)
{
    struct hpet_timer *t = &h->timer[n];
    uint64_t gone = ticks(h, now);
    uint32_t left = t->compare - (uint32_t)(h->base + gone) - least;
    t->due = NEVER;
    if (h->config & CONFIG_ENABLED && t->config & TIMER_INTERRUPT)
        t->due = h->start + mul_div(gone + left + least, SECOND, TICKS_PER_SECOND) + 1;
}

static void timer_fire(struct domain *d, unsigned n, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    struct hpet_timer *t = &h->timer[n];
    if (h->config & CONFIG_LEGACY && n < 2)
        virqchip_edge(d, n ? GSI_RTC : GSI_PIT);
    if (t->config & TIMER_PERIODIC && t->period)
        t->compare += ((counter(h, now) - t->compare) / t->period + 1) * t->period;
    timer_arm(h, n, now, 1);
    if (t->due != NEVER)
        t->due = MAX(t->due, now + PERIOD_MIN);
}

void vhpet_tick(struct domain *d, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        if (now >= h->timer[n].due && h->timer[n].due != NEVER)
            timer_fire(d, n, now);
    vplatform_due(d);
}

uint64_t vhpet_due(const struct hpet *h)
{
    uint64_t due = NEVER;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        due = MIN(due, h->timer[n].due);
    return due;
}

static uint32_t reg_read(const struct hpet *h, unsigned reg, uint64_t now)
{
    unsigned n = (reg - 0x100) / 0x20;
    switch (reg) {
    case 0x00: return CAPABILITIES;
    case 0x04: return PERIOD_FS;
    case 0x10: return h->config;
    case 0xf0: return counter(h, now);
    default: break;
    }
    if (reg < 0x100 || n >= HPET_TIMERS)
        return 0;
    switch (reg & 0x1c) {
    case 0x00: return h->timer[n].config | TIMER_CAN_REPEAT;
    case 0x08: return h->timer[n].compare;
    default: return 0;
    }
}

uint64_t vhpet_read(struct domain *d, unsigned offset, unsigned size, uint64_t now)
{
    const struct hpet *h = &d->platform->hpet;
    if (size < 4 || offset & (size - 1))
        return ~0ull;
    return reg_read(h, offset, now) | (size == 8 ? (uint64_t)reg_read(h, offset + 4, now) << 32 : 0);
}

static void arm_all(struct hpet *h, uint64_t now)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        timer_arm(h, n, now, 0);
}

static void set_config(struct domain *d, uint32_t value, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    h->base = counter(h, now);
    h->start = now;
    h->config = value & (CONFIG_ENABLED | CONFIG_LEGACY);
    vpit_silence(d, value & CONFIG_LEGACY, now);
    arm_all(h, now);
}

/* In periodic mode a write is the period; with VAL_SET also the accumulator (2.3.9.2.2). Guests that write once with it
 * mean both. */
static void set_comparator(struct hpet *h, unsigned n, uint32_t value, uint64_t now)
{
    struct hpet_timer *t = &h->timer[n];
    if (t->config & TIMER_PERIODIC)
        t->period = value;
    if (!(t->config & TIMER_PERIODIC) || t->config & TIMER_SET)
        t->compare = value;
    t->config &= ~(uint32_t)TIMER_SET;
    timer_arm(h, n, now, 0);
}

static void reg_write(struct domain *d, unsigned reg, uint32_t value, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    unsigned n = (reg - 0x100) / 0x20;
    if (reg == 0x10) {
        set_config(d, value, now);
    } else if (reg == 0xf0) {
        h->base = value;
        h->start = now;
        arm_all(h, now);
    } else if (reg >= 0x100 && n < HPET_TIMERS && (reg & 0x1c) == 0) {
        h->timer[n].config = value & TIMER_WRITABLE;
        timer_arm(h, n, now, 0);
    } else if (reg >= 0x100 && n < HPET_TIMERS && (reg & 0x1c) == 8) {
        set_comparator(h, n, value, now);
    }
}

/* Upper halves of registers are all read-only. */
void vhpet_write(struct domain *d, unsigned offset, unsigned size, uint64_t value, uint64_t now)
{
    if (size < 4 || offset & (size - 1))
        return;
    vhpet_tick(d, now); /* what came so far goes by the old settings */
    reg_write(d, offset, value, now);
    vplatform_due(d);
}

void vhpet_init(struct vplatform *p)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        p->hpet.timer[n] = (struct hpet_timer){ .compare = ~0u, .due = NEVER };
}
