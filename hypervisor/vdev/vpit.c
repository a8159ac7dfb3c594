/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The PIT (Intel 8254) with port 0x61: modes 0, 2, 3 and 4, counting in binary, which is what firmware and operating
 * systems use. The modes that a rise of the gate triggers (1 and 5) are taken for 0 and 4; the read-back command
 * latches nothing. Channel 2 alone has a gate. Channel 0 interrupts when its output rises at the end of a count.
 */
#include "devices.h"

#define PIT_HZ 1193182u

static uint64_t ticks(const struct pit_channel *c, uint64_t now)
{
    return c->gate ? mul_div(now - c->start, PIT_HZ, SECOND) : c->start;
}

static bool output(const struct pit_channel *c, uint64_t now)
{
    if (!c->loaded)
        return c->mode != 0;
    uint64_t t = ticks(c, now);
    switch (c->mode) {
    case 0: return t >= c->count;
    case 2: return !c->gate || t % c->count != c->count - 1;
    case 3: return !c->gate || t % c->count < (c->count + 1) / 2;
    default: return t != c->count;
    }
}

static uint16_t count_now(const struct pit_channel *c, uint64_t now)
{
    uint64_t t = c->loaded ? ticks(c, now) : 0;
    if (c->mode == 2)
        t %= c->count;
    else if (c->mode == 3)
        t = t * 2 % c->count & ~1ull;
    return c->count - t;
}

/* Channel 0: when its output rises next. */
static void rearm(struct domain *d, uint64_t now)
{
    struct pit *p = &d->platform->pit;
    const struct pit_channel *c = &p->channel[0];
    uint64_t elapsed = ticks(c, now), next = 0;
    if (c->mode == 2 || c->mode == 3)
        next = (elapsed / c->count + 1) * c->count;
    else if (c->mode == 0 && elapsed < c->count)
        next = c->count;
    else if (c->mode == 4 && elapsed <= c->count)
        next = c->count + 1;
    p->due = NEVER;
    if (next && c->loaded && !p->silent)
        p->due = MAX(c->start + mul_div(next, SECOND, PIT_HZ) + 1, now + PERIOD_MIN);
    vplatform_due(d);
}

void vpit_tick(struct domain *d, uint64_t now)
{
    if (now < d->platform->pit.due || d->platform->pit.due == NEVER)
        return;
    virqchip_edge(d, GSI_PIT);
    rearm(d, now);
}

static void load(struct domain *d, unsigned n, uint16_t value, uint64_t now)
{
    struct pit_channel *c = &d->platform->pit.channel[n];
    c->count = value ? value : 65536;
    c->loaded = true;
    c->start = c->gate ? now : 0;
    if (n == 0)
        rearm(d, now);
}

/* Data sheet, "Gate": low stops counting, a rise goes on (modes 0 and 4) or begins anew. */
static void set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    uint64_t elapsed = ticks(c, now);
    c->gate = gate;
    if (!gate)
        c->start = elapsed;
    else
        c->start = c->mode & 2 ? now : now - mul_div(elapsed, SECOND, PIT_HZ);
}

static void control(struct domain *d, uint8_t value, uint64_t now)
{
    unsigned n = value >> 6, mode = value >> 1 & 7;
    if (n == 3)
        return;
    struct pit_channel *c = &d->platform->pit.channel[n];
    if (value & 0x30) {
        *c = (struct pit_channel){ .mode = mode & 2 ? mode & 3 : mode & 4, .access = value >> 4 & 3, .gate = c->gate };
        c->count = 65536;
        c->start = c->gate ? now : 0;
        if (n == 0)
            rearm(d, now);
    } else if (!c->latched) {
        c->latch = count_now(c, now);
        c->latched = c->access == 3 ? 2 : 1;
    }
}

static uint8_t read_count(struct pit_channel *c, uint64_t now)
{
    uint16_t value = c->latched ? c->latch : count_now(c, now);
    bool high = c->access == 2;
    if (c->access == 3) {
        high = c->read_high;
        c->read_high = !high;
    }
    if (c->latched)
        c->latched--;
    return high ? value >> 8 : value;
}

static void write_count(struct domain *d, unsigned n, uint8_t value, uint64_t now)
{
    struct pit_channel *c = &d->platform->pit.channel[n];
    if (c->access == 3 && !c->write_high) {
        c->low = value;
        c->write_high = true;
        return;
    }
    c->write_high = false;
    load(d, n, c->access == 1 ? value : value << 8 | c->low, now);
}

uint32_t vpit_in(struct domain *d, uint16_t port, uint64_t now)
{
    struct pit *p = &d->platform->pit;
    if (port == 0x61) /* bit 4: memory refresh, every 15 us by channel 1 of old; guests time loops with it */
        return p->channel[2].gate | p->speaker << 1 | (now / 15085 & 1) << 4 | output(&p->channel[2], now) << 5;
    return port == 0x43 ? 0xff : read_count(&p->channel[port & 3], now);
}

void vpit_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now)
{
    struct pit *p = &d->platform->pit;
    vpit_tick(d, now); /* what came so far goes by the old settings */
    if (port == 0x61) {
        p->speaker = value & 2;
        set_gate(&p->channel[2], value & 1, now);
    } else if (port == 0x43) {
        control(d, value, now);
    } else {
        write_count(d, port & 3, value, now);
    }
}

/* HPET's legacy replacement takes channel 0's line, or gives it back. */
void vpit_silence(struct domain *d, bool silent, uint64_t now)
{
    d->platform->pit.silent = silent;
    rearm(d, now);
}

void vpit_init(struct pit *p)
{
    for (unsigned i = 0; i < 3; i++)
        p->channel[i] = (struct pit_channel){ .count = 65536, .access = 3, .gate = i != 2 };
    p->due = NEVER;
}
