/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The board's old clocks: PIT (Intel 8254) with port 0x61, RTC with its CMOS memory (MC146818A), ACPI PM timer.
 *
 * Nothing counts here: each device computes from when it was started and `now` (devices.h says why, and what becomes of
 * missed interrupts). A control domain has the hardware's RTC and PM timer, so it does not get to those here.
 *
 * The PM timer raises no interrupt when its top bit changes: that would be an SCI, which belongs to the device model's
 * ACPI registers, and no guest needs it with a 32-bit counter (19 minutes) that is read more often.
 */
#include "devices.h"

#include <hv/lib.h>
#include <hv/metal.h>

#define PIT_HZ 1193182u
#define PM_HZ 3579545u
#define RTC_HZ 32768u

/* --- PIT --- */
/*
 * Modes 0, 2, 3 and 4, counting in binary: what firmware and operating systems use. The modes that a rise of the gate
 * triggers (1 and 5) are taken for 0 and 4; the read-back command latches nothing. Channel 2 alone has a gate.
 */
static uint64_t pit_elapsed(const struct pit_channel *c, uint64_t now)
{
    return c->gate ? mul_div(now - c->start, PIT_HZ, SECOND) : c->start;
}

static bool pit_output(const struct pit_channel *c, uint64_t now)
{
    if (!c->loaded)
        return c->mode != 0;
    uint64_t t = pit_elapsed(c, now);
    switch (c->mode) {
    case 0: return t >= c->count;
    case 2: return !c->gate || t % c->count != c->count - 1;
    case 3: return !c->gate || t % c->count < (c->count + 1) / 2;
    default: return t != c->count;
    }
}

static uint16_t pit_count(const struct pit_channel *c, uint64_t now)
{
    uint64_t t = c->loaded ? pit_elapsed(c, now) : 0;
    if (c->mode == 2)
        t %= c->count;
    else if (c->mode == 3)
        t = t * 2 % c->count & ~1ull;
    return c->count - t;
}

/* Channel 0: when its output rises next. */
static void pit_rearm(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    const struct pit_channel *c = &t->pit[0];
    uint64_t elapsed = pit_elapsed(c, now), next = 0;
    if (c->mode == 2 || c->mode == 3)
        next = (elapsed / c->count + 1) * c->count;
    else if (c->mode == 0 && elapsed < c->count)
        next = c->count;
    else if (c->mode == 4 && elapsed <= c->count)
        next = c->count + 1;
    t->pit_due = NEVER;
    if (next && c->loaded && !t->legacy_off)
        t->pit_due = MAX(c->start + mul_div(next, SECOND, PIT_HZ) + 1, now + PERIOD_MIN);
    vplatform_due(d);
}

static void pit_line(struct domain *d, uint64_t now)
{
    const struct vtime *t = &d->platform->time;
    virqchip_line(d, GSI_PIT, LINE_PIT, !t->legacy_off && pit_output(&t->pit[0], now));
    pit_rearm(d, now);
}

void vtime_pit_tick(struct domain *d, uint64_t now)
{
    if (now < d->platform->time.pit_due || d->platform->time.pit_due == NEVER)
        return;
    virqchip_line(d, GSI_PIT, LINE_PIT, false); /* the low pulse or half period went by */
    virqchip_line(d, GSI_PIT, LINE_PIT, true);
    pit_rearm(d, now);
}

static void pit_load(struct domain *d, unsigned n, uint16_t value, uint64_t now)
{
    struct pit_channel *c = &d->platform->time.pit[n];
    c->count = value ? value : 65536;
    c->loaded = true;
    c->start = c->gate ? now : 0;
    if (n == 0)
        pit_line(d, now);
}

/* Data sheet, "Gate": low stops counting, a rise goes on (modes 0 and 4) or begins anew. */
static void pit_set_gate(struct pit_channel *c, bool gate, uint64_t now)
{
    if (gate == c->gate)
        return;
    uint64_t elapsed = pit_elapsed(c, now);
    c->gate = gate;
    if (!gate)
        c->start = elapsed;
    else
        c->start = c->mode & 2 ? now : now - mul_div(elapsed, SECOND, PIT_HZ);
}

static void pit_control(struct domain *d, uint8_t value, uint64_t now)
{
    unsigned n = value >> 6, mode = value >> 1 & 7;
    if (n == 3)
        return;
    struct pit_channel *c = &d->platform->time.pit[n];
    if (value & 0x30) {
        *c = (struct pit_channel){ .mode = mode & 2 ? mode & 3 : mode & 4, .access = value >> 4 & 3, .gate = c->gate };
        c->count = 65536;
        c->start = c->gate ? now : 0;
        if (n == 0)
            pit_line(d, now);
    } else if (!c->latched) {
        c->latch = pit_count(c, now);
        c->latched = c->access == 3 ? 2 : 1;
    }
}

static uint8_t pit_read(struct pit_channel *c, uint64_t now)
{
    uint16_t value = c->latched ? c->latch : pit_count(c, now);
    bool high = c->access == 2;
    if (c->access == 3) {
        high = c->read_high;
        c->read_high = !high;
    }
    if (c->latched)
        c->latched--;
    return high ? value >> 8 : value;
}

static void pit_write(struct domain *d, unsigned n, uint8_t value, uint64_t now)
{
    struct pit_channel *c = &d->platform->time.pit[n];
    if (c->access == 3 && !c->write_high) {
        c->low = value;
        c->write_high = true;
        return;
    }
    c->write_high = false;
    pit_load(d, n, c->access == 1 ? value : value << 8 | c->low, now);
}

uint32_t vtime_in(struct domain *d, uint16_t port, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    if (port == 0x61) /* bit 4: memory refresh, every 15 us by channel 1 of old; guests time loops with it */
        return t->pit[2].gate | t->speaker << 1 | (now / 15085 & 1) << 4 | pit_output(&t->pit[2], now) << 5;
    return port == 0x43 ? 0xff : pit_read(&t->pit[port & 3], now);
}

void vtime_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    if (port == 0x61) {
        t->speaker = value & 2;
        pit_set_gate(&t->pit[2], value & 1, now);
    } else if (port == 0x43) {
        pit_control(d, value, now);
    } else {
        pit_write(d, port & 3, value, now);
    }
}

uint32_t vtime_pm_timer(uint64_t now) { return mul_div(now, PM_HZ, SECOND); }

/* --- RTC --- */
enum { RTC_SECOND, RTC_SECOND_ALARM, RTC_MINUTE, RTC_MINUTE_ALARM, RTC_HOUR, RTC_HOUR_ALARM, RTC_WEEKDAY, RTC_DAY };
enum { RTC_MONTH = 8, RTC_YEAR, RTC_A, RTC_B, RTC_C, RTC_D, RTC_CENTURY = 0x32 };
enum { B_24H = 2, B_SET = 0x80, B_WRITABLE = 0xf0 };
enum { FLAG_UPDATE = 0x10, FLAG_ALARM = 0x20, FLAG_PERIODIC = 0x40, FLAGS = 0x70 };

#define DAY 86400
#define ALARM_LATE 100 /* s: an alarm that nobody looked for in this time is lost */

/* BCD and 24 hours are the only formats: register B says so whatever is written to it. */
static uint8_t to_bcd(unsigned n) { return n / 10 << 4 | n % 10; }
static unsigned from_bcd(uint8_t b) { return (b >> 4) * 10u + (b & 15); }

/* Our wall clock as the domain shall see it, without what the guest set. Good until 2262. */
static int64_t rtc_wall(const struct domain *d, uint32_t *ns)
{
    int64_t total = (int64_t)(load_relaxed(&hv_epoch) + metal_now() + (uint64_t)d->time_offset);
    int64_t second = (int64_t)SECOND;
    *ns = (uint32_t)((total % second + second) % second);
    return (total - *ns) / second;
}

/* Days since 1970 of the Gregorian calendar; years begin in March, so that the leap day is the last one. */
static int64_t days_of(int64_t year, unsigned month /* 1 to 12 */, unsigned day)
{
    year -= month <= 2;
    int64_t in_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    return year * 365 + year / 4 - year / 100 + year / 400 + in_year - 719468;
}

/* The time registers for `seconds` since 1970, which is cut to what four digits of year can say. */
static void rtc_fill(struct vtime *t, int64_t seconds)
{
    seconds = MIN(MAX(seconds, 0), 253402300799ll);
    unsigned second = seconds % DAY, month = 1;
    int64_t days = seconds / DAY, year = 1970 + days * 400 / 146097;
    while (days_of(year, 1, 1) > days) /* the estimate is off by one at most */
        year--;
    while (days_of(year + 1, 1, 1) <= days)
        year++;
    while (month < 12 && days_of(year, month + 1, 1) <= days)
        month++;
    uint8_t *cmos = t->cmos;
    cmos[RTC_SECOND] = to_bcd(second % 60);
    cmos[RTC_MINUTE] = to_bcd(second / 60 % 60);
    cmos[RTC_HOUR] = to_bcd(second / 3600);
    cmos[RTC_WEEKDAY] = to_bcd((days + 4) % 7 + 1);
    cmos[RTC_DAY] = to_bcd(days - days_of(year, month, 1) + 1);
    cmos[RTC_MONTH] = to_bcd(month);
    cmos[RTC_YEAR] = to_bcd(year % 100);
    cmos[RTC_CENTURY] = to_bcd(year / 100);
}

/* The reverse; nonsense in a register gives some time, not a fault. */
static int64_t rtc_parse(const uint8_t *cmos)
{
    int64_t year = from_bcd(cmos[RTC_CENTURY]) * 100 + from_bcd(cmos[RTC_YEAR]) % 100;
    unsigned month = (from_bcd(cmos[RTC_MONTH]) + 11) % 12 + 1;
    return days_of(year, month, from_bcd(cmos[RTC_DAY])) * DAY + from_bcd(cmos[RTC_HOUR]) * 3600 +
           from_bcd(cmos[RTC_MINUTE]) * 60 + from_bcd(cmos[RTC_SECOND]);
}

/* 0xc0 and up match all. */
static bool alarm_field(uint8_t alarm, unsigned value) { return alarm >= 0xc0 || alarm == to_bcd(value); }

/* Whether the alarm's time lies in (from, to]. */
static bool alarm_passed(const uint8_t *cmos, int64_t from, int64_t to)
{
    for (int64_t at = MAX(from + 1, to - ALARM_LATE); at <= to; at++) {
        unsigned second = (at % DAY + DAY) % DAY;
        if (alarm_field(cmos[RTC_SECOND_ALARM], second % 60) && alarm_field(cmos[RTC_MINUTE_ALARM], second / 60 % 60) &&
            alarm_field(cmos[RTC_HOUR_ALARM], second / 3600))
            return true;
    }
    return false;
}

static uint64_t rtc_next_period(const struct vtime *t, uint64_t now)
{
    unsigned rate = t->cmos[RTC_A] & 15;
    if (!rate)
        return NEVER;
    /* Rates 1 and 2 are those of 8 and 9. The divider chain runs from time 0. */
    uint64_t ticks = 1ull << (rate < 3 ? rate + 6 : rate - 1);
    return mul_div((mul_div(now, RTC_HZ, SECOND) / ticks + 1) * ticks, SECOND, RTC_HZ) + 1;
}

/* When an interrupt that is enabled and not flagged already may come next: for an alarm each second is looked at. */
static void rtc_rearm(struct domain *d, uint32_t ns, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    uint8_t *cmos = t->cmos, wanted = cmos[RTC_B] & ~cmos[RTC_C];
    t->rtc_due = wanted & FLAG_PERIODIC ? t->rtc_period_due : NEVER;
    if (!(cmos[RTC_B] & B_SET) && wanted & (FLAG_UPDATE | FLAG_ALARM))
        t->rtc_due = MIN(t->rtc_due, now + SECOND - ns);
    vplatform_due(d);
}

/* Brings the flags up to `now`, and the interrupt line in step with them. */
static void rtc_run(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    uint8_t *cmos = t->cmos;
    uint32_t ns;
    int64_t seconds = rtc_wall(d, &ns) + t->rtc_shift;
    if (!(cmos[RTC_B] & B_SET) && seconds != t->rtc_seen) {
        cmos[RTC_C] |= FLAG_UPDATE | (alarm_passed(cmos, t->rtc_seen, seconds) ? FLAG_ALARM : 0);
        t->rtc_seen = seconds;
    }
    if (now >= t->rtc_period_due) {
        cmos[RTC_C] |= FLAG_PERIODIC;
        t->rtc_period_due = rtc_next_period(t, now);
    }
    bool interrupt = cmos[RTC_C] & cmos[RTC_B] & FLAGS;
    cmos[RTC_C] = (cmos[RTC_C] & FLAGS) | (interrupt ? 0x80 : 0);
    virqchip_line(d, GSI_RTC, LINE_RTC, interrupt && !t->legacy_off);
    rtc_rearm(d, ns, now);
}

void vtime_rtc_tick(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    if (now >= t->rtc_due && t->rtc_due != NEVER)
        rtc_run(d, now);
}

static bool rtc_is_time(unsigned reg)
{
    return reg == RTC_SECOND || reg == RTC_MINUTE || (reg >= RTC_HOUR && reg <= RTC_YEAR && reg != RTC_HOUR_ALARM) ||
           reg == RTC_CENTURY;
}

uint32_t vtime_rtc_in(struct domain *d, uint16_t port, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    unsigned reg = t->rtc_index;
    if (port == 0x70)
        return 0xff;
    rtc_run(d, now);
    bool set = t->cmos[RTC_B] & B_SET;
    if (reg == RTC_A) { /* update in progress: within 244 us before the second (data sheet) */
        uint32_t ns;
        (void)rtc_wall(d, &ns);
        return t->cmos[RTC_A] | (!set && ns > SECOND - 244000 ? 0x80 : 0);
    }
    if (reg == RTC_C) {
        uint8_t flags = t->cmos[RTC_C];
        t->cmos[RTC_C] = 0;
        rtc_run(d, now);
        return flags;
    }
    if (rtc_is_time(reg) && !set)
        rtc_fill(t, t->rtc_seen);
    return t->cmos[reg];
}

static void rtc_set_time(struct domain *d)
{
    struct vtime *t = &d->platform->time;
    uint32_t ns;
    t->rtc_seen = rtc_parse(t->cmos);
    t->rtc_shift = t->rtc_seen - rtc_wall(d, &ns);
}

void vtime_rtc_out(struct domain *d, uint16_t port, uint8_t value, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    unsigned reg = t->rtc_index;
    if (port == 0x70) {
        t->rtc_index = value & 0x7f;
        return;
    }
    rtc_run(d, now);
    uint8_t old_b = t->cmos[RTC_B];
    if (!(old_b & B_SET)) /* the registers as they stand, of which this write may change one */
        rtc_fill(t, t->rtc_seen);
    switch (reg) {
    case RTC_A:
        t->cmos[reg] = value & 0x7f;
        t->rtc_period_due = rtc_next_period(t, now);
        break;
    case RTC_B:
        t->cmos[reg] = (value & B_WRITABLE) | B_24H;
        if (old_b & B_SET && !(value & B_SET))
            rtc_set_time(d);
        break;
    case RTC_C:
    case RTC_D: break;
    default:
        t->cmos[reg] = value;
        if (rtc_is_time(reg) && !(old_b & B_SET))
            rtc_set_time(d);
        break;
    }
    rtc_run(d, now);
}

/* --- both --- */
void vtime_legacy(struct domain *d, bool off, uint64_t now)
{
    d->platform->time.legacy_off = off;
    pit_line(d, now);
    rtc_run(d, now);
}

void vtime_init(struct vtime *t)
{
    for (unsigned i = 0; i < 3; i++)
        t->pit[i] = (struct pit_channel){ .count = 65536, .access = 3, .gate = i != 2 };
    t->pit_due = t->rtc_due = NEVER;
    t->cmos[RTC_A] = 0x26; /* 32,768 Hz crystal, 1,024 Hz */
    t->cmos[RTC_B] = B_24H;
    t->cmos[RTC_D] = 0x80; /* the battery is good */
    t->rtc_period_due = NEVER;
}
