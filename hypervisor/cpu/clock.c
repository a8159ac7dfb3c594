/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Time: the time-stamp counter, measured against the HPET or the PM timer at boot, gives nanoseconds since the start;
 * each CPU's APIC timer gives its alarm.
 *
 * The counters of all CPUs are taken to be in step, as firmware has left them on all processors with nested paging.
 */
#include "apic.h"
#include <hv/board.h>
#include "cpu.h"
#include "x86.h"

#include <hv/log.h>
#include <hv/metal.h>

#define HPET_PERIOD 4
#define HPET_CONFIG 0x10
#define HPET_COUNTER 0xf0
#define PM_TIMER_HZ 3579545ull
#define NS 1000000000ull
#define MEASURE_NS 4000000ull

uint64_t hv_tsc_khz;
_Atomic uint64_t hv_epoch;
static uint64_t tsc_start;
static uint64_t ns_per_tick;  /* 32.32 fixed point */
static uint64_t ticks_per_ns; /* 32.32 */

static uint64_t scale(uint64_t value, uint64_t factor) { return (unsigned __int128)value * factor >> 32; }

uint64_t metal_now(void) { return ns_per_tick ? scale(rdtsc() - tsc_start, ns_per_tick) : 0; }
uint64_t clock_tsc_start(void) { return tsc_start; }

/* A counter that runs at a known speed; its width in bits. */
struct reference {
    uint32_t (*read)(void);
    uint64_t mask, period_fs;
};

static volatile uint8_t *hpet;
static uint32_t read_hpet(void) { return *(volatile uint32_t *)(hpet + HPET_COUNTER); }
static uint32_t read_pm_timer(void) { return inl(hv_board.fadt.pm_timer); }

/* The counter and the TSC at the same moment: of a few readings the one that took least, for an SMI or, under another
 * hypervisor, the loss of the CPU may come in between. */
static uint64_t read_both(const struct reference *r, uint64_t *tsc)
{
    uint64_t best = ~0ull, count = 0;
    for (unsigned i = 0; i < 5; i++) {
        uint64_t before = rdtsc(), now = r->read(), took = rdtsc() - before;
        if (took >= best)
            continue;
        best = took;
        count = now;
        *tsc = before + took / 2;
    }
    return count;
}

/* TSC ticks in about MEASURE_NS, and how long it was exactly (ns); 0: the counter stands still. */
static uint64_t measure(const struct reference *r, uint64_t *ns)
{
    uint64_t start, end, want = MEASURE_NS * 1000000 / r->period_fs, limit = rdtsc() + 20000000000ull;
    uint64_t first = read_both(r, &start);
    while (((r->read() - first) & r->mask) < want)
        if (rdtsc() > limit)
            return 0;
    uint64_t passed = (read_both(r, &end) - first) & r->mask;
    *ns = passed * r->period_fs / 1000000;
    return end - start;
}

static uint64_t measure_hpet(uint64_t *ns)
{
    hpet = metal_map_mmio(hv_board.hpet, 1024);
    struct reference r = { read_hpet, ~0u, *(volatile uint32_t *)(hpet + HPET_PERIOD) };
    *(volatile uint32_t *)(hpet + HPET_CONFIG) |= 1;
    return r.period_fs < 100000 || r.period_fs > 100000000 ? 0 : measure(&r, ns);
}

static uint64_t measure_pm_timer(uint64_t *ns)
{
    struct reference r = { read_pm_timer, 0xffffff, 1000000000000000ull / PM_TIMER_HZ };
    return measure(&r, ns);
}

static uint8_t cmos(uint8_t reg)
{
    outb(0x70, reg); /* bit 7 would keep NMIs away */
    return inb(0x71);
}

/* Days since 1970 of a date of the Gregorian calendar. */
static uint64_t days(unsigned year, unsigned month, unsigned day)
{
    year -= month <= 2;
    unsigned era_year = year % 400, shifted = month > 2 ? month - 3 : month + 9;
    uint64_t in_year = (153 * shifted + 2) / 5 + day - 1;
    return year / 400 * 146097ull + era_year * 365 + era_year / 4 - era_year / 100 + in_year - 719468;
}

/* Seconds since 1970 of second, minute, hour, day, month and year as the RTC counts them. */
static uint64_t rtc_seconds(const uint8_t raw[6], uint8_t format)
{
    bool afternoon = raw[2] & 0x80 && !(format & BIT(1));
    unsigned t[6];
    for (unsigned i = 0; i < 6; i++) {
        uint8_t value = i == 2 ? raw[i] & 0x7f : raw[i];
        t[i] = format & BIT(2) ? value : (value >> 4) * 10 + (value & 15);
    }
    unsigned hour = format & BIT(1) ? t[2] : t[2] % 12 + 12 * afternoon;
    return ((days(2000 + t[5], t[4], t[3]) * 24 + hour) * 60 + t[1]) * 60 + t[0];
}

/*
 * The battery-backed clock (MC146818A), which is taken for UTC; register 11 says whether it counts in BCD, and to 12 or
 * 24. It counts between two looks; what counts is what a second one finds unchanged.
 */
static uint64_t read_rtc(void)
{
    static const uint8_t regs[6] = { 0, 2, 4, 7, 8, 9 };
    uint8_t now[6] = { 0 }, format = cmos(11);
    bool same = false;
    for (unsigned attempt = 0; attempt < 100000 && !same; attempt++) {
        same = !(cmos(10) & 0x80);
        for (unsigned i = 0; i < 6; i++) {
            uint8_t value = cmos(regs[i]);
            same &= now[i] == value;
            now[i] = value;
        }
    }
    return rtc_seconds(now, format);
}

void clock_init(void)
{
    uint64_t ns = 0, ticks = 0;
    if (hv_board.hpet)
        ticks = measure_hpet(&ns);
    if (!ticks && hv_board.fadt.pm_timer)
        ticks = measure_pm_timer(&ns);
    if (!ticks)
        panic("There is no clock (HPET or ACPI PM timer) to measure the processor's speed with.");
    hv_tsc_khz = ticks * 1000000 / ns;
    ns_per_tick = (1000000ull << 32) / hv_tsc_khz;
    ticks_per_ns = (hv_tsc_khz << 32) / 1000000;
    tsc_start = rdtsc();
    store_relaxed(&hv_epoch, read_rtc() * NS);
    log_line("Clock: TSC %lu.%03lu MHz", hv_tsc_khz / 1000, hv_tsc_khz % 1000);
}

static uint64_t suspended_at, suspended_seconds; /* TSC, RTC */

void clock_suspend(void)
{
    suspended_seconds = read_rtc();
    suspended_at = rdtsc();
}

uint64_t clock_resume(uint64_t *seconds)
{
    uint64_t ticks = rdtsc() - suspended_at; /* it may have begun anew: this wraps, and all that it is added to */
    tsc_start += ticks;
    *seconds = MAX(read_rtc(), suspended_seconds) - suspended_seconds;
    return ticks;
}

/* pvclock's pair (Xen's vcpu_time_info): ns = ((ticks << shift) * mul) >> 32, all in 32 bits. */
void clock_scale(uint32_t *mul, int8_t *shift)
{
    uint64_t factor = ns_per_tick;
    *shift = 0;
    for (; factor >= 1ull << 32; factor >>= 1)
        (*shift)++;
    for (; factor < 1ull << 31; factor <<= 1)
        (*shift)--;
    *mul = factor;
}

void metal_set_alarm(uint64_t when)
{
    struct cpu *c = this_cpu();
    if (when == c->alarm)
        return;
    c->alarm = when;
    if (when == ~0ull) {
        apic_timer_set(0);
        return;
    }
    uint64_t now = metal_now(), ns = when > now ? when - now : 1;
    apic_timer_set(MAX(scale(MIN(ns, NS), ticks_per_ns), 1));
}

void delay_us(unsigned us)
{
    uint64_t until = rdtsc() + us * hv_tsc_khz / 1000;
    while (rdtsc() < until)
        cpu_relax();
}
