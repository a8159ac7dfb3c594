/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The HPET (IA-PC HPET specification 1.0a): a 64-bit counter at 16 MHz and three timers, each one-shot or periodic, of
 * 32 or 64 bits, through IOAPIC inputs or in place of PIT and RTC (legacy replacement). No message interrupts: what
 * wants those has a local APIC timer.
 *
 * The counter is `base` plus what passed since `start`; each timer knows when it is due. Missed periods are skipped
 * (devices.h).
 */
#include "devices.h"

#define TICKS_PER_SECOND 16000000u
#define PERIOD_FS 62500000ull
#define CAPABILITIES (PERIOD_FS << 32 | 0x8086u << 16 | BIT(15) | BIT(13) | (HPET_TIMERS - 1) << 8 | 1)

enum { CONFIG_ENABLED = 1, CONFIG_LEGACY = 2 };
enum { TIMER_LEVEL = 2, TIMER_INTERRUPT = 4, TIMER_PERIODIC = 8 };
enum { TIMER_SET = 0x40, TIMER_32 = 0x100, TIMER_ROUTE = 0x3e00 };
#define TIMER_WRITABLE (TIMER_LEVEL | TIMER_INTERRUPT | TIMER_PERIODIC | TIMER_SET | TIMER_32 | TIMER_ROUTE)
/* Periodic and 64 bits wide are possible; inputs 20 to 23, which a board has free for it, are allowed. */
#define TIMER_CAPABILITIES (0xf00000ull << 32 | 0x30)

static uint64_t counter(const struct hpet *h, uint64_t now)
{
    return h->config & CONFIG_ENABLED ? h->base + mul_div(now - h->start, TICKS_PER_SECOND, SECOND) : h->base;
}

static unsigned timer_gsi(const struct hpet *h, unsigned n)
{
    if (h->config & CONFIG_LEGACY && n < 2)
        return n ? GSI_RTC : GSI_PIT;
    return h->timer[n].config >> 9 & 31;
}

static void timer_line(struct domain *d, unsigned n, bool high)
{
    virqchip_line(d, timer_gsi(&d->platform->hpet, n), LINE_HPET << n, high);
}

/* `least`: ticks until it may come, for a timer that just fired and must not do so at the same count. */
static void timer_arm(struct hpet *h, unsigned n, uint64_t now, uint64_t least)
{
    struct hpet_timer *t = &h->timer[n];
    t->due = NEVER;
    if (!(h->config & CONFIG_ENABLED) || !(t->config & TIMER_INTERRUPT))
        return;
    uint64_t count = counter(h, now), left = t->compare - count - least;
    if (t->config & TIMER_32)
        left = (uint32_t)left;
    if (left >> 58)
        return; /* centuries; also a 64-bit comparator that lies behind */
    t->due = h->start + mul_div(count - h->base + left + least, SECOND, TICKS_PER_SECOND) + 1;
}

static void timer_fire(struct domain *d, unsigned n, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    struct hpet_timer *t = &h->timer[n];
    if (t->config & TIMER_LEVEL) {
        h->status |= 1u << n;
        timer_line(d, n, true);
    } else {
        timer_line(d, n, true);
        timer_line(d, n, false);
    }
    if (t->config & TIMER_PERIODIC && t->period) {
        uint64_t behind = counter(h, now) - t->compare;
        if (t->config & TIMER_32)
            behind = (uint32_t)behind;
        t->compare += (behind / t->period + 1) * t->period;
        if (t->config & TIMER_32)
            t->compare = (uint32_t)t->compare;
    }
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
}

uint64_t vhpet_due(const struct hpet *h)
{
    uint64_t due = NEVER;
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        due = MIN(due, h->timer[n].due);
    return due;
}

static uint64_t reg_read(const struct hpet *h, unsigned reg, uint64_t now)
{
    unsigned n = (reg - 0x100) / 0x20;
    switch (reg) {
    case 0x00: return CAPABILITIES;
    case 0x10: return h->config;
    case 0x20: return h->status;
    case 0xf0: return counter(h, now);
    default:
        if (reg < 0x100 || n >= HPET_TIMERS || reg & 0x10)
            return 0;
        return reg & 8 ? h->timer[n].compare : h->timer[n].config | TIMER_CAPABILITIES;
    }
}

uint64_t vhpet_read(struct domain *d, unsigned offset, unsigned size, uint64_t now)
{
    if (size < 4 || offset & (size - 1))
        return ~0ull;
    uint64_t value = reg_read(&d->platform->hpet, offset & ~7u, now) >> (offset & 4) * 8;
    return size == 4 ? (uint32_t)value : value;
}

static void set_config(struct domain *d, uint64_t value, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    h->base = counter(h, now);
    h->start = now;
    bool legacy = (h->config ^ value) & CONFIG_LEGACY;
    for (unsigned n = 0; legacy && n < 2; n++)
        timer_line(d, n, false);
    h->config = value & (CONFIG_ENABLED | CONFIG_LEGACY);
    if (legacy)
        vtime_legacy(d, value & CONFIG_LEGACY, now);
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        timer_line(d, n, h->status & 1u << n);
        timer_arm(h, n, now, 0);
    }
}

static void set_timer(struct domain *d, unsigned n, uint64_t value, uint64_t now)
{
    struct hpet *h = &d->platform->hpet;
    struct hpet_timer *t = &h->timer[n];
    timer_line(d, n, false); /* of the old route */
    t->config = value & TIMER_WRITABLE;
    if ((t->config & (TIMER_INTERRUPT | TIMER_LEVEL)) != (TIMER_INTERRUPT | TIMER_LEVEL))
        h->status &= ~(1ull << n);
    if (t->config & TIMER_32) {
        t->compare = (uint32_t)t->compare;
        t->period = (uint32_t)t->period;
    }
    timer_line(d, n, h->status & 1u << n);
    timer_arm(h, n, now, 0);
}

/* What a write of 4 or 8 bytes makes of a register. */
struct piece {
    uint64_t value, mask;
};

static uint64_t merge(uint64_t old, struct piece new) { return (old & ~new.mask) | (new.value &new.mask); }

/* In periodic mode a write is the period; with VAL_SET also the accumulator (2.3.9.2.2). Guests that write once with it
 * mean both. */
static void set_comparator(struct hpet *h, unsigned n, struct piece new, uint64_t now)
{
    struct hpet_timer *t = &h->timer[n];
    if (t->config & TIMER_32)
        new.mask &= 0xffffffff;
    if (t->config & TIMER_PERIODIC)
        t->period = merge(t->period, new);
    if (!(t->config & TIMER_PERIODIC) || t->config & TIMER_SET)
        t->compare = merge(t->compare, new);
    t->config &= ~(uint64_t)TIMER_SET;
    timer_arm(h, n, now, 0);
}

static void set_status(struct domain *d, uint64_t clear)
{
    struct hpet *h = &d->platform->hpet;
    for (unsigned n = 0; n < HPET_TIMERS; n++) {
        if (!(clear & h->status & 1u << n))
            continue;
        h->status &= ~(1ull << n);
        timer_line(d, n, false);
    }
}

void vhpet_write(struct domain *d, unsigned offset, unsigned size, uint64_t value, uint64_t now)
{
    if (size < 4 || offset & (size - 1))
        return;
    struct hpet *h = &d->platform->hpet;
    unsigned reg = offset & ~7u, shift = (offset & 4) * 8, n = (reg - 0x100) / 0x20;
    struct piece new = { value << shift, size == 4 ? 0xffffffffull << shift : ~0ull };
    vhpet_tick(d, now); /* what came so far goes by the old settings */
    switch (reg) {
    case 0x10: set_config(d, merge(h->config, new), now); return;
    case 0x20: set_status(d, merge(0, new)); return;
    case 0xf0:
        h->base = merge(counter(h, now), new);
        h->start = now;
        for (n = 0; n < HPET_TIMERS; n++)
            timer_arm(h, n, now, 0);
        return;
    default:
        if (reg < 0x100 || n >= HPET_TIMERS || reg & 0x10)
            return;
        if (reg & 8)
            set_comparator(h, n, new, now);
        else
            set_timer(d, n, merge(h->timer[n].config, new), now);
        return;
    }
}

void vhpet_init(struct vplatform *p)
{
    for (unsigned n = 0; n < HPET_TIMERS; n++)
        p->hpet.timer[n] = (struct hpet_timer){ .compare = ~0ull, .due = NEVER };
}
