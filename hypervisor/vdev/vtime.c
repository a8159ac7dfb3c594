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
static uint64_t pit_elapsed(const struct pit_channel *c, uint64_t now)
{
    bool stopped = !c->gate && c->mode != 1 && c->mode != 5;
    return stopped ? c->start : mul_div(now - c->start, PIT_HZ, SECOND);
}

static bool pit_output(const struct pit_channel *c, uint64_t now)
{
    if (!c->loaded)
        return c->mode != 0;
    uint64_t t = pit_elapsed(c, now);
    switch (c->mode) {
    case 0: return t >= c->count;
    case 1: return !c->triggered || t >= c->count;
    case 2: return !c->gate || t % c->count != c->count - 1;
    case 3: return !c->gate || t % c->count < (c->count + 1) / 2;
    case 4: return t != c->count;
    default: return !c->triggered || t != c->count;
    }
}

static uint16_t to_bcd4(uint32_t n) { return n % 10 | n / 10 % 10 << 4 | n / 100 % 10 << 8 | n / 1000 % 10 << 12; }
static uint32_t from_bcd4(uint16_t b) { return (b & 15) + (b >> 4 & 15) * 10 + (b >> 8 & 15) * 100 + (b >> 12) * 1000; }

static uint16_t pit_count(const struct pit_channel *c, uint64_t now)
{
    uint64_t t = c->loaded ? pit_elapsed(c, now) : 0, wrap = c->bcd ? 10000 : 65536;
    if (c->mode == 2)
        t %= c->count;
    else if (c->mode == 3)
        t = t * 2 % c->count & ~1ull;
    else if ((c->mode == 1 || c->mode == 5) && !c->triggered)
        t = 0;
    uint32_t value = (c->count + wrap - t % wrap) % wrap;
    return c->bcd ? to_bcd4(value) : value;
}

/* Channel 0: when its output rises next. */
static void pit_rearm(struct vtime *t, uint64_t now)
{
    const struct pit_channel *c = &t->pit[0];
    t->pit_due = NEVER;
    if (!c->loaded || t->pit_off)
        return;
    uint64_t elapsed = pit_elapsed(c, now), next;
    if (c->mode == 2 || c->mode == 3)
        next = (elapsed / c->count + 1) * c->count;
    else if (c->mode == 0 && elapsed < c->count)
        next = c->count;
    else if (c->mode == 4 && elapsed <= c->count)
        next = c->count + 1;
    else
        return;
    t->pit_due = MAX(c->start + mul_div(next, SECOND, PIT_HZ) + 1, now + PERIOD_MIN);
}

static void pit_line(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    virqchip_line(d, GSI_PIT, LINE_PIT, !t->pit_off && pit_output(&t->pit[0], now));
    pit_rearm(t, now);
}

void vtime_pit_tick(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    if (now < t->pit_due || t->pit_due == NEVER)
        return;
    virqchip_line(d, GSI_PIT, LINE_PIT, false); /* the low pulse or half period went by */
    virqchip_line(d, GSI_PIT, LINE_PIT, true);
    pit_rearm(t, now);
}

static void pit_load(struct domain *d, unsigned n, uint16_t value, uint64_t now)
{
    struct pit_channel *c = &d->platform->time.pit[n];
    c->count = c->bcd ? from_bcd4(value) : value;
    if (!c->count)
        c->count = c->bcd ? 10000 : 65536;
    c->loaded = true;
    c->triggered = false;
    c->start = c->gate || c->mode == 1 || c->mode == 5 ? now : 0;
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
    bool goes_on = c->mode == 0 || c->mode == 4;
    if (gate) {
        c->start = goes_on ? now - mul_div(elapsed, SECOND, PIT_HZ) : now;
        c->triggered = true;
    } else if (c->mode != 1 && c->mode != 5) {
        c->start = elapsed;
    }
}

static void pit_latch(struct pit_channel *c, uint64_t now)
{
    if (c->latched)
        return;
    c->latch = pit_count(c, now);
    c->latched = c->access == 3 ? 2 : 1;
}

static void pit_latch_status(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched)
        return;
    c->status = pit_output(c, now) << 7 | !c->loaded << 6 | c->access << 4 | c->mode << 1 | c->bcd;
    c->status_latched = true;
}

static void pit_control(struct domain *d, uint8_t value, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    unsigned n = value >> 6;
    if (n == 3) { /* read back */
        for (unsigned i = 0; i < 3; i++) {
            if (!(value & 2u << i))
                continue;
            if (!(value & 0x20))
                pit_latch(&t->pit[i], now);
            if (!(value & 0x10))
                pit_latch_status(&t->pit[i], now);
        }
        return;
    }
    struct pit_channel *c = &t->pit[n];
    if (!(value & 0x30)) {
        pit_latch(c, now);
        return;
    }
    uint8_t mode = value >> 1 & 7;
    *c = (struct pit_channel){ .mode = mode > 5 ? mode - 4 : mode,
                               .access = value >> 4 & 3,
                               .bcd = value & 1,
                               .gate = c->gate,
                               .count = c->count };
    c->start = c->gate ? now : 0;
    if (n == 0)
        pit_line(d, now);
}

static uint8_t pit_read(struct pit_channel *c, uint64_t now)
{
    if (c->status_latched) {
        c->status_latched = false;
        return c->status;
    }
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
    if (c->access == 1) {
        pit_load(d, n, value, now);
    } else if (c->access == 2) {
        pit_load(d, n, value << 8, now);
    } else if (!c->write_high) {
        c->low = value;
        c->write_high = true;
    } else {
        c->write_high = false;
        pit_load(d, n, value << 8 | c->low, now);
    }
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
enum { B_24H = 2, B_BINARY = 4, B_SET = 0x80 };
enum { FLAG_UPDATE = 0x10, FLAG_ALARM = 0x20, FLAG_PERIODIC = 0x40, FLAGS = 0x70 };

#define DAY 86400
#define NO_ALARM INT64_MAX

static uint8_t to_bcd(unsigned n) { return n / 10 << 4 | n % 10; }
static unsigned from_bcd(uint8_t b) { return (b >> 4) * 10u + (b & 15); }
static uint8_t rtc_encode(const struct vtime *t, unsigned n) { return t->cmos[RTC_B] & B_BINARY ? n : to_bcd(n); }
static unsigned rtc_decode(const struct vtime *t, uint8_t v) { return t->cmos[RTC_B] & B_BINARY ? v : from_bcd(v); }

static unsigned rtc_decode_hour(const struct vtime *t, uint8_t value)
{
    if (t->cmos[RTC_B] & B_24H)
        return rtc_decode(t, value);
    return rtc_decode(t, value & 0x7f) % 12 + (value & 0x80 ? 12 : 0);
}

static uint8_t rtc_encode_hour(const struct vtime *t, unsigned hour)
{
    if (t->cmos[RTC_B] & B_24H)
        return rtc_encode(t, hour);
    return rtc_encode(t, hour % 12 ? hour % 12 : 12) | (hour >= 12 ? 0x80 : 0);
}

/* Our wall clock as the domain shall see it, without what the guest set. */
static int64_t rtc_wall(const struct domain *d, uint32_t *ns)
{
    int64_t seconds = (int64_t)metal_wallclock_seconds(ns) + d->time_offset / (int64_t)SECOND;
    int64_t rest = *ns + d->time_offset % (int64_t)SECOND;
    if (rest < 0) {
        rest += SECOND;
        seconds--;
    } else if (rest >= (int64_t)SECOND) {
        rest -= SECOND;
        seconds++;
    }
    *ns = rest;
    return seconds;
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
    cmos[RTC_SECOND] = rtc_encode(t, second % 60);
    cmos[RTC_MINUTE] = rtc_encode(t, second / 60 % 60);
    cmos[RTC_HOUR] = rtc_encode_hour(t, second / 3600);
    cmos[RTC_WEEKDAY] = rtc_encode(t, (days + 4) % 7 + 1);
    cmos[RTC_DAY] = rtc_encode(t, days - days_of(year, month, 1) + 1);
    cmos[RTC_MONTH] = rtc_encode(t, month);
    cmos[RTC_YEAR] = rtc_encode(t, year % 100);
    cmos[RTC_CENTURY] = to_bcd(year / 100);
}

/* The reverse; nonsense in a register gives some time, not a fault. */
static int64_t rtc_parse(const struct vtime *t)
{
    const uint8_t *cmos = t->cmos;
    int64_t year = from_bcd(cmos[RTC_CENTURY]) * 100 + rtc_decode(t, cmos[RTC_YEAR]) % 100;
    unsigned month = (rtc_decode(t, cmos[RTC_MONTH]) + 11) % 12 + 1;
    int64_t day = days_of(year, month, rtc_decode(t, cmos[RTC_DAY]));
    return day * DAY + rtc_decode_hour(t, cmos[RTC_HOUR]) * 3600 + rtc_decode(t, cmos[RTC_MINUTE]) * 60 +
           rtc_decode(t, cmos[RTC_SECOND]);
}

/* The first second after `from` that the alarm registers match; 0xc0 and up match all. At most 1441 steps. */
static int64_t rtc_next_alarm(const struct vtime *t, int64_t from)
{
    const uint8_t *a = t->cmos;
    bool any_s = a[RTC_SECOND_ALARM] >= 0xc0, any_m = a[RTC_MINUTE_ALARM] >= 0xc0, any_h = a[RTC_HOUR_ALARM] >= 0xc0;
    unsigned s = rtc_decode(t, a[RTC_SECOND_ALARM]), m = rtc_decode(t, a[RTC_MINUTE_ALARM]);
    unsigned h = rtc_decode_hour(t, a[RTC_HOUR_ALARM]);
    int64_t first = from + 1, minute = first - (first % 60 + 60) % 60;
    unsigned least = first - minute; /* second of the first minute */
    for (unsigned i = 0; i <= DAY / 60; i++, minute += 60, least = 0) {
        unsigned of_day = (minute % DAY + DAY) % DAY / 60, second = any_s ? least : s;
        if ((any_h || of_day / 60 == h) && (any_m || of_day % 60 == m) && second >= least && second < 60)
            return minute + second;
    }
    return NO_ALARM;
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

/* When the next interrupt is due that is enabled and not flagged already. */
static void rtc_rearm(struct vtime *t, uint32_t ns, uint64_t now)
{
    uint8_t *cmos = t->cmos, wanted = cmos[RTC_B] & ~cmos[RTC_C] & FLAGS;
    t->rtc_due = NEVER;
    if (wanted & FLAG_PERIODIC)
        t->rtc_due = t->rtc_period_due;
    if (cmos[RTC_B] & B_SET)
        return;
    if (wanted & FLAG_UPDATE)
        t->rtc_due = MIN(t->rtc_due, now + SECOND - ns);
    if (wanted & FLAG_ALARM && t->rtc_alarm != NO_ALARM)
        t->rtc_due = MIN(t->rtc_due, now + (uint64_t)(t->rtc_alarm - t->rtc_seen) * SECOND - ns);
}

/* Brings the flags up to `now`, and the interrupt line in step with them. */
static void rtc_run(struct domain *d, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    uint8_t *cmos = t->cmos;
    uint32_t ns;
    int64_t seconds = rtc_wall(d, &ns) + t->rtc_shift;
    if (!(cmos[RTC_B] & B_SET) && seconds != t->rtc_seen) {
        cmos[RTC_C] |= FLAG_UPDATE;
        if (seconds >= t->rtc_alarm)
            cmos[RTC_C] |= FLAG_ALARM;
        if (seconds >= t->rtc_alarm || seconds < t->rtc_seen)
            t->rtc_alarm = rtc_next_alarm(t, seconds);
        t->rtc_seen = seconds;
    }
    if (now >= t->rtc_period_due) {
        cmos[RTC_C] |= FLAG_PERIODIC;
        t->rtc_period_due = rtc_next_period(t, now);
    }
    bool interrupt = cmos[RTC_C] & cmos[RTC_B] & FLAGS;
    cmos[RTC_C] = (cmos[RTC_C] & FLAGS) | (interrupt ? 0x80 : 0);
    virqchip_line(d, GSI_RTC, LINE_RTC, interrupt && !t->rtc_off);
    rtc_rearm(t, ns, now);
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
    t->rtc_seen = rtc_parse(t);
    t->rtc_shift = t->rtc_seen - rtc_wall(d, &ns);
    t->rtc_alarm = rtc_next_alarm(t, t->rtc_seen);
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
        t->cmos[reg] = value;
        if (old_b & B_SET && !(value & B_SET))
            rtc_set_time(d);
        break;
    case RTC_C:
    case RTC_D: break;
    default:
        t->cmos[reg] = value;
        if (rtc_is_time(reg) && !(old_b & B_SET))
            rtc_set_time(d);
        else if (reg <= RTC_HOUR_ALARM)
            t->rtc_alarm = rtc_next_alarm(t, t->rtc_seen);
        break;
    }
    rtc_run(d, now);
}

/* --- both --- */
void vtime_legacy(struct domain *d, bool off, uint64_t now)
{
    struct vtime *t = &d->platform->time;
    t->pit_off = t->rtc_off = off;
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
    t->rtc_alarm = NO_ALARM;
    t->rtc_period_due = NEVER;
}
