/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The local APIC: states, priorities, destinations, errors, the timer's three modes, and arrival from other threads. */
/* sources: vdev/vlapic.c */
#include <fake_metal.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/vdev.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#define CPUS 20

uint64_t hv_tsc_khz = 2000000;
static struct domain dom;
static struct vcpu cpus[CPUS];
static unsigned level_eois;
static uint8_t level_eoi;

void vcpu_kick(struct vcpu *v, uint32_t work) { atomic_fetch_or(&v->work, work); }
void *page_alloc(void) { return calloc(1, PAGE_SIZE); }
void page_free(void *page) { free(page); }
void virqchip_eoi(struct domain *d, uint8_t vector)
{
    level_eois++;
    level_eoi = vector;
}

static void fresh(void)
{
    for (unsigned i = 0; i < CPUS; i++) {
        if (cpus[i].lapic)
            vlapic_free(&cpus[i]);
        cpus[i] = (struct vcpu){ .id = i, .domain = &dom };
        dom.vcpu[i] = &cpus[i];
        CHECK(vlapic_init(&cpus[i]) == 0);
    }
    dom.max_vcpus = CPUS;
    level_eois = 0;
}

static uint32_t rd(unsigned cpu, unsigned offset, uint64_t now)
{
    uint64_t value = 0xdead;
    fake_now = now;
    CHECK(vlapic_mmio(&cpus[cpu], 0xfee00000 + offset, 4, false, &value));
    return value;
}

static void wr(unsigned cpu, unsigned offset, uint64_t now, uint32_t value)
{
    uint64_t wide = value;
    fake_now = now;
    CHECK(vlapic_mmio(&cpus[cpu], 0xfee00000 + offset, 4, true, &wide));
}

static bool wrmsr(unsigned cpu, uint32_t msr, uint64_t value) { return vlapic_msr_write(&cpus[cpu], msr, value); }
static uint64_t rdmsr(unsigned cpu, uint32_t msr)
{
    uint64_t value = ~0ull;
    CHECK(vlapic_msr_read(&cpus[cpu], msr, &value));
    return value;
}

static void enable(unsigned cpu, bool x2)
{
    if (x2)
        CHECK(wrmsr(cpu, 0x1b, rdmsr(cpu, 0x1b) | 0x400));
    if (x2)
        CHECK(wrmsr(cpu, 0x80f, 0x1ff));
    else
        wr(cpu, 0xf0, 0, 0x1ff);
    cpus[cpu].work = 0;
}

static void test_reset(void)
{
    static const struct {
        unsigned offset;
        uint32_t value;
    } state[] = {
        { 0x30, 0x50014 },  { 0x80, 0 },        { 0xa0, 0 },        { 0xd0, 0 },        { 0xe0, ~0u },
        { 0xf0, 0xff },     { 0x100, 0 },       { 0x1f0, 0 },       { 0x270, 0 },       { 0x280, 0 },
        { 0x300, 0 },       { 0x310, 0 },       { 0x320, 0x10000 }, { 0x330, 0x10000 }, { 0x340, 0x10000 },
        { 0x350, 0x10000 }, { 0x360, 0x10000 }, { 0x370, 0x10000 }, { 0x380, 0 },       { 0x390, 0 },
        { 0x3e0, 0 },
    };
    fresh();
    for (unsigned pass = 0; pass < 2; pass++) {
        for (unsigned i = 0; i < ARRAY_SIZE(state); i++)
            CHECK(rd(3, state[i].offset, 5) == state[i].value);
        CHECK(rd(3, 0x20, 5) == 6u << 24);
        /* Dirt, and INIT again. */
        wr(3, 0xf0, 5, 0x1ff);
        for (unsigned offset = 0x80; offset < 0x400; offset += 16)
            if (offset != 0x300)
                wr(3, offset, 5, 0x5a5a5a5a);
        vlapic_accept(&cpus[3], 0x80, true);
        vlapic_reset(&cpus[3]);
        CHECK(vlapic_pending(&cpus[3]) == -1 && vlapic_next(&cpus[3]) == ~0ull && cpus[3].cr8 == 0);
    }
    CHECK(rdmsr(0, 0x1b) == 0xfee00900 && rdmsr(1, 0x1b) == 0xfee00800);
}

static void test_priorities(void)
{
    fresh();
    struct vcpu *v = &cpus[0];
    vlapic_accept(v, 0x31, false);
    CHECK(vlapic_pending(v) == -1); /* disabled by software: held */
    enable(0, false);
    v->work = 0;
    wr(0, 0xf0, 0, 0x1ff);
    CHECK(v->work & WORK_LAPIC && vlapic_pending(v) == 0x31);
    vlapic_accept(v, 0x55, false);
    vlapic_accept(v, 0x58, false);
    CHECK(vlapic_pending(v) == 0x58);
    wr(0, 0x80, 0, 0x50);
    CHECK(vlapic_pending(v) == -1 && v->cr8 == 5 && rd(0, 0xa0, 0) == 0x50 && vlapic_held(v) == 0x58);
    v->cr8 = 4; /* the hardware did that */
    CHECK(vlapic_pending(v) == 0x58 && rd(0, 0x80, 0) == 0x40);
    vlapic_acknowledge(v, 0x58);
    CHECK(rd(0, 0xa0, 0) == 0x50 && rd(0, 0x120, 0) == 1u << 24 && vlapic_pending(v) == -1); /* 0x55: same class */
    CHECK(vlapic_held(v) == -1);
    vlapic_accept(v, 0xff, true);
    CHECK(vlapic_pending(v) == 0xff);
    vlapic_acknowledge(v, 0xff);
    CHECK(rd(0, 0xa0, 0) == 0xf0 && rd(0, 0x1f0, 0) == 1u << 31);
    vlapic_eoi(v);
    CHECK(level_eois == 1 && level_eoi == 0xff && rd(0, 0xa0, 0) == 0x50);
    vlapic_accept(v, 0xff, false); /* edge now: TMR falls */
    CHECK(rd(0, 0x1f0, 0) == 0);
    vlapic_acknowledge(v, 0xff);
    wr(0, 0xb0, 0, 0);
    v->work = 0;
    wr(0, 0xb0, 0, 0);
    CHECK(level_eois == 1 && v->work & WORK_LAPIC && vlapic_pending(v) == 0x55);
    vlapic_acknowledge(v, 0x55);
    vlapic_eoi(v);
    v->cr8 = 3;
    CHECK(vlapic_pending(v) == -1 && vlapic_held(v) == 0x31);
    v->cr8 = 2;
    CHECK(vlapic_pending(v) == 0x31);
    vlapic_acknowledge(v, 0x31);
    vlapic_eoi(v);
    vlapic_eoi(v); /* nothing in service: nothing happens */
    CHECK(vlapic_pending(v) == -1 && rd(0, 0xa0, 0) == 0x20);
}

/* Which CPUs of the first 4 and the last got it. */
static uint32_t got(uint8_t vector)
{
    uint32_t set = 0;
    for (unsigned i = 0; i < CPUS; i++)
        if (vlapic_pending(&cpus[i]) == vector) {
            set |= 1u << i;
            vlapic_acknowledge(&cpus[i], vector);
            vlapic_eoi(&cpus[i]);
        }
    return set;
}

static void test_destinations(void)
{
    static const struct {
        bool x2, logical;
        uint32_t dest, who;
    } cases[] = {
        { false, false, 0, 1 },
        { false, false, 2, 2 },
        { false, false, 3, 0 },
        { false, false, 0xff, 0xfffff },
        { false, false, 38, 1u << 19 },
        { false, false, 40, 0 },
        { false, true, 0x1, 1 },
        { false, true, 0x6, 6 },
        { false, true, 0xff, 0xff },
        { false, true, 0, 0 },
        { true, false, 0xffffffff, 0xfffff },
        { true, false, 6, 8 },
        { true, false, 0x10000, 0 },
        { true, true, 0x1, 1 },
        { true, true, 0x5, 3 },
        { true, true, 0x2, 0 },
        { true, true, 0x20000 | 0x40, 1u << 19 },
        { true, true, 0xffffffff, 0xfffff },
        { true, true, 0x10001, 1u << 8 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(cases); i++) {
        fresh();
        for (unsigned c = 0; c < CPUS; c++) {
            enable(c, cases[i].x2);
            if (!cases[i].x2)
                wr(c, 0xd0, 0, c < 8 ? 1u << (24 + c) : 0);
        }
        vlapic_deliver(&dom, cases[i].dest, cases[i].logical, 0, 0x40, false);
        CHECK(got(0x40) == cases[i].who);
        vlapic_deliver(&dom, cases[i].dest, cases[i].logical, 1, 0x41, false);
        uint32_t one = got(0x41);
        CHECK(one == 0 ? !cases[i].who : (one & cases[i].who) == one && !(one & (one - 1)));
    }
    /* xAPIC clusters */
    fresh();
    for (unsigned c = 0; c < CPUS; c++) {
        enable(c, false);
        wr(c, 0xe0, 0, 0);
        wr(c, 0xd0, 0, (c / 4) << 28 | 1u << (24 + c % 4));
        CHECK(rd(c, 0xe0, 0) == 0x0fffffff);
    }
    vlapic_deliver(&dom, 0x23, true, 0, 0x40, false);
    CHECK(got(0x40) == 3u << 8);
    vlapic_deliver(&dom, 0xff, true, 0, 0x40, false);
    CHECK(got(0x40) == 0xfffff);
    /* The lowest priority wins; those that are off do not take part. */
    for (unsigned c = 0; c < CPUS; c++)
        wr(c, 0x80, 0, c == 7 ? 0 : 0x30);
    for (unsigned i = 0; i < 5; i++) {
        vlapic_deliver(&dom, 0xff, false, 1, 0x50, false);
        CHECK(got(0x50) == 1u << 7);
    }
    wr(7, 0xf0, 0, 0xff);
    vlapic_deliver(&dom, 0xff, false, 1, 0x50, false);
    CHECK(!(got(0x50) & 1u << 7));
}

static void test_icr(void)
{
    fresh();
    for (unsigned c = 0; c < CPUS; c++)
        enable(c, c & 1);
    wr(0, 0x300, 0, 0x40 | 1 << 18);
    CHECK(got(0x40) == 1);
    wr(0, 0x300, 0, 0x40 | 2 << 18);
    CHECK(got(0x40) == 0xfffff);
    wr(0, 0x300, 0, 0x40 | 3 << 18);
    CHECK(got(0x40) == 0xffffe);
    wr(0, 0x310, 0, 6 << 24);
    wr(0, 0x300, 0, 0x41);
    CHECK(got(0x41) == 8 && rd(0, 0x300, 0) == 0x41);
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x42));
    CHECK(got(0x42) == 4 && rdmsr(1, 0x830) == (4ull << 32 | 0x42));
    CHECK(wrmsr(1, 0x83f, 0x43));
    CHECK(got(0x43) == 2);
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x400));
    CHECK(cpus[2].work & WORK_NMI);
    /* INIT, SIPI, de-assert, in the ways Linux sends them */
    cpus[2].work = 0;
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0xc500));
    CHECK(cpus[2].work & WORK_INIT);
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x8500));
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x69a));
    CHECK(vlapic_take_init(&cpus[2]) == (VLAPIC_INIT | VLAPIC_SIPI) && cpus[2].sipi_vector == 0x9a);
    CHECK(vlapic_take_init(&cpus[2]) == 0);
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x69b) && wrmsr(1, 0x830, 4ull << 32 | 0xc500));
    CHECK(vlapic_take_init(&cpus[2]) == VLAPIC_INIT);                                  /* the INIT came last */
    CHECK(wrmsr(1, 0x830, 4ull << 32 | 0x200) && wrmsr(1, 0x830, 4ull << 32 | 0x700)); /* SMI, ExtINT: nothing */
    CHECK(got(0) == 0);
}

static void test_errors(void)
{
    fresh();
    enable(0, false);
    wr(0, 0x370, 0, 0x66);
    wr(0, 0x300, 0, 0x0f | 1 << 18);
    CHECK(rd(0, 0x280, 0) == 0 && got(0x66) == 1);
    wr(0, 0x300, 0, 0x0e | 1 << 18);
    CHECK(got(0x66) == 0);
    vlapic_accept(&cpus[0], 3, false);
    rd(0, 0x90, 0);
    wr(0, 0x280, 0, 0x1234);
    CHECK(rd(0, 0x280, 0) == 0xe0 && got(0x66) == 1);
    wr(0, 0x280, 0, 0);
    CHECK(rd(0, 0x280, 0) == 0);
    wr(0, 0x370, 0, 5); /* an error vector that is one itself */
    wr(0, 0x3d0, 0, 0);
    wr(0, 0x280, 0, 0);
    CHECK(rd(0, 0x280, 0) == 0xc0 && got(0x66) == 0);
    CHECK(vlapic_pending(&cpus[0]) == -1);
    CHECK(rd(0, 0xff0, 0) == 0);
    wr(0, 0xff0, 0, 1);
}

/* The registers' page, in odd pieces. */
static void test_memory(void)
{
    uint64_t value = 0x70;
    fresh();
    enable(0, false);
    CHECK(vlapic_mmio(&cpus[0], 0xfee00032, 1, false, &value) && value == 5 && rd(0, 0x34, 0) == 0);
    wr(0, 0x80, 0, 0x30);
    value = 0x70;
    CHECK(vlapic_mmio(&cpus[0], 0xfee00080, 1, true, &value));
    wr(0, 0x84, 0, 0x70);
    CHECK(rd(0, 0x80, 0) == 0x30 && cpus[0].cr8 == 3);
    wr(0, 0x280, 0, 0);
    CHECK(rd(0, 0x280, 0) == 0); /* none of these is an error */
    CHECK(!vlapic_mmio(&cpus[0], 0xfee01000, 4, false, &value) && !vlapic_mmio(&cpus[0], 0xfedfffff, 1, false, &value));
    CHECK(!vlapic_mmio(&cpus[0], 0x100fee00000, 4, false, &value));
    CHECK(wrmsr(0, 0x1b, 0xfee00100) && !vlapic_mmio(&cpus[0], 0xfee00030, 4, false, &value)); /* off */
}

static void test_x2apic(void)
{
    static const struct {
        uint32_t msr;
        uint64_t value;
        bool ok;
    } writes[] = {
        { 0x808, 0xff, true },     { 0x808, 0x100, false },   { 0x808, BIT(32), false }, { 0x80b, 0, true },
        { 0x80b, 1, false },       { 0x802, 0, false },       { 0x803, 0, false },       { 0x80a, 0, false },
        { 0x80d, 0, false },       { 0x80e, 0, false },       { 0x80f, 0x11ff, false },  { 0x80f, 0x1ff, true },
        { 0x810, 0, false },       { 0x827, 0, false },       { 0x828, 0, true },        { 0x828, 1, false },
        { 0x830, 0x1000, false },  { 0x830, 0x30000, false }, { 0x831, 0, false },       { 0x832, 0x600ff, true },
        { 0x832, 0x80000, false }, { 0x837, 0x7ff, false },   { 0x839, 0, false },       { 0x83e, 4, false },
        { 0x83f, 0x100, false },   { 0x801, 0, false },       { 0x840, 0, false },       { 0x7ff, 0, false },
        { 0xffffffff, 0, false },
    };
    static const struct {
        uint64_t from, to;
        bool ok;
    } bases[] = {
        { 0x800, 0xc00, true },
        { 0xc00, 0x800, false },
        { 0xc00, 0, true },
        { 0, 0xc00, false },
        { 0, 0x800, true },
        { 0, 0x400, false },
        { 0x800, 0x400, false },
        { 0x800, 0x900, true },
        { 0x800, 0x801, false },
        { 0x800, 0x1800, false },
        { 0x800, 0x800 | BIT(40), false },
        { 0xc00, 0xc00, true },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(writes); i++) {
        fresh();
        CHECK(!wrmsr(19, 0x808, 0)); /* not in xAPIC mode */
        enable(19, true);
        CHECK(wrmsr(19, writes[i].msr, writes[i].value) == writes[i].ok);
    }
    /* As Linux writes it when it powers off: what it read, status bits and all. */
    CHECK(wrmsr(19, 0x835, 0x5700) && (rdmsr(19, 0x835) & 0x7700) == 0x700);
    static const uint32_t none[] = { 0x800, 0x80b, 0x80e, 0x831, 0x83a, 0x83f, 0x82f, 0x840, 0x90 };
    uint64_t value;
    for (unsigned i = 0; i < ARRAY_SIZE(none); i++)
        CHECK(!vlapic_msr_read(&cpus[19], none[i], &value));
    CHECK(rdmsr(19, 0x802) == 38 && rdmsr(19, 0x80d) == 0x20040 && rdmsr(19, 0x803) == 0x50014);
    CHECK(!vlapic_mmio(&cpus[19], 0xfee00020, 4, false, &value) &&
          !vlapic_mmio(&cpus[19], 0xfee00080, 4, true, &value));
    for (unsigned i = 0; i < ARRAY_SIZE(bases); i++) {
        fresh();
        cpus[1].xapic_base = 0xfee00000 | bases[i].from;
        CHECK(wrmsr(1, 0x1b, 0xfee00000 | bases[i].to) == bases[i].ok);
        CHECK(rdmsr(1, 0x1b) == (0xfee00000 | (bases[i].ok ? bases[i].to & ~0x100ull : bases[i].from)));
    }
    fresh();
    enable(0, true);
    CHECK(wrmsr(0, 0x808, 0x70) && cpus[0].cr8 == 7);
    CHECK(wrmsr(0, 0x1b, 0xfee00000) && !vlapic_enabled(&cpus[0]) && cpus[0].cr8 == 0); /* disabling resets */
}

static void test_timer(void)
{
    static const struct {
        uint32_t tdcr;
        unsigned divide;
    } divides[] = {
        { 0, 2 }, { 1, 4 }, { 2, 8 }, { 3, 16 }, { 8, 32 }, { 9, 64 }, { 10, 128 }, { 11, 1 },
    };
    struct vcpu *v = &cpus[0];
    for (unsigned i = 0; i < ARRAY_SIZE(divides); i++) {
        fresh();
        enable(0, false);
        uint64_t base = 1000000007, period = 50000ull * divides[i].divide;
        wr(0, 0x3e0, base, divides[i].tdcr);
        wr(0, 0x320, base, 0x40);
        wr(0, 0x380, base, 50000);
        CHECK(vlapic_next(v) == base + period && v->work & WORK_TIMER && rd(0, 0x390, base) == 50000);
        CHECK(rd(0, 0x390, base + period / 2) == 25000);
        vlapic_tick(v, base + period - 1);
        CHECK(vlapic_pending(v) == -1);
        vlapic_tick(v, base + period);
        CHECK(got(0x40) == 1 && vlapic_next(v) == ~0ull && rd(0, 0x390, base + period + 1) == 0);
        /* Periodic: exact for ever; of missed ones, one. */
        wr(0, 0x320, base, 0x20041);
        wr(0, 0x380, base, 50000);
        for (unsigned n = 1; n < 50; n++) {
            vlapic_tick(v, base + n * period + n);
            CHECK(got(0x41) == 1 && vlapic_next(v) == base + (n + 1) * period);
        }
        vlapic_tick(v, base + 1000 * period + 5);
        CHECK(got(0x41) == 1 && vlapic_next(v) == base + 1001 * period);
        vlapic_tick(v, base + 1000 * period + 6);
        CHECK(got(0x41) == 0);
        CHECK(rd(0, 0x390, base + 1000 * period + period / 2) == 25000);
        wr(0, 0x380, base + 1000 * period, 0);
        CHECK(vlapic_next(v) == ~0ull);
    }
    fresh();
    enable(0, false);
    wr(0, 0x320, 0, 0x10040); /* masked: nobody has to wake up, and unmasking later brings nothing old */
    wr(0, 0x380, 0, 1000);
    CHECK(vlapic_next(v) == ~0ull && rd(0, 0x390, 1000) == 500);
    wr(0, 0x320, 5000, 0x40);
    CHECK(vlapic_next(v) == ~0ull && got(0x40) == 0);
    /* A hostile period is served at most every 10 us, and its count stays in range. */
    wr(0, 0x3e0, 5000, 11);
    wr(0, 0x320, 5000, 0x20040);
    wr(0, 0x380, 5000, 1);
    for (uint64_t now = 5001; now < 100000; now += 777) {
        vlapic_tick(v, now);
        CHECK(rd(0, 0x390, now) <= 1);
    }
    CHECK(vlapic_next(v) > 100000);
    vlapic_tick(v, BIT(62)); /* a century later */
    CHECK(got(0x40) == 1 && vlapic_next(v) == BIT(62) + 10000);
    /* Divide changes while it runs: the count goes on. */
    wr(0, 0x380, 0, 0);
    wr(0, 0x320, 0, 0x40);
    wr(0, 0x380, 0, 1000);
    wr(0, 0x3e0, 400, 0);
    CHECK(vlapic_next(v) == 400 + 600 * 2 && rd(0, 0x390, 400) == 600);
    /* Off by software masks it. */
    wr(0, 0xf0, 500, 0xff);
    CHECK(vlapic_next(v) == ~0ull && rd(0, 0x320, 500) == 0x10040);
    wr(0, 0x320, 500, 0x40);
    CHECK(rd(0, 0x320, 500) == 0x10040);
}

static void test_deadline(void)
{
    struct vcpu *v = &cpus[0];
    fresh();
    enable(0, true);
    fake_now = 1000000;
    v->tsc_offset = -1000000; /* the guest's TSC is half a millisecond behind ours (2 GHz) */
    CHECK(wrmsr(0, 0x6e0, 5000000) && rdmsr(0, 0x6e0) == 0); /* not in that mode */
    CHECK(wrmsr(0, 0x832, 0x40044));
    CHECK(wrmsr(0, 0x6e0, 5000000) && rdmsr(0, 0x6e0) == 5000000);
    CHECK(vlapic_next(v) == 3000001 && v->work & WORK_TIMER);
    CHECK(wrmsr(0, 0x838, 77)); /* ignored */
    CHECK(rdmsr(0, 0x838) == 0 && rdmsr(0, 0x839) == 0);
    vlapic_tick(v, 3000000);
    CHECK(got(0x44) == 0);
    vlapic_tick(v, 3000001);
    CHECK(got(0x44) == 1 && rdmsr(0, 0x6e0) == 0 && vlapic_next(v) == ~0ull);
    fake_now = 4000000;
    CHECK(wrmsr(0, 0x6e0, 1)); /* long past: at once */
    CHECK(got(0x44) == 1 && vlapic_next(v) == ~0ull);
    CHECK(wrmsr(0, 0x6e0, ~0ull));
    CHECK(vlapic_next(v) > BIT(58) && vlapic_next(v) != ~0ull);
    CHECK(wrmsr(0, 0x6e0, 0) && vlapic_next(v) == ~0ull);
    CHECK(wrmsr(0, 0x6e0, 99999999999));
    CHECK(wrmsr(0, 0x832, 0x44)); /* another mode disarms it */
    CHECK(vlapic_next(v) == ~0ull && rdmsr(0, 0x6e0) == 0);
}

static _Atomic unsigned round_begun, round_sent;

static void *sender(void *arg)
{
    for (unsigned i = 1; i <= 20000; i++) {
        while (atomic_load(&round_begun) < i)
            sched_yield();
        vlapic_accept(&cpus[0], 0x30, false);
        atomic_store(&round_sent, i);
    }
    return NULL;
}

/* An interrupt that meets a reset is lost or not, but the next one of its vector is seen. */
static void test_reset_meets_interrupt(void)
{
    fresh();
    pthread_t thread;
    CHECK(pthread_create(&thread, NULL, sender, NULL) == 0);
    for (unsigned i = 1; i <= 20000; i++) {
        atomic_store(&round_begun, i);
        while (atomic_load(&round_sent) < i)
            vlapic_reset(&cpus[0]);
        wr(0, 0xf0, 0, 0x1ff);
        vlapic_accept(&cpus[0], 0x30, false);
        CHECK(vlapic_pending(&cpus[0]) == 0x30);
    }
    pthread_join(thread, NULL);
}

static _Atomic unsigned taken[4];

static void *producer(void *arg)
{
    unsigned n = (uintptr_t)arg;
    for (unsigned i = 0; i < 30000; i++) {
        vlapic_accept(&cpus[0], 0x30 + n * 0x41, n & 1);
        while (atomic_load(&taken[n]) <= i)
            sched_yield();
    }
    return NULL;
}

/* An interrupt that arrives while the vCPU takes another is never lost: each producer waits for its own. */
static void test_threads(void)
{
    fresh();
    enable(0, true);
    pthread_t threads[3];
    for (uintptr_t i = 0; i < 3; i++)
        CHECK(pthread_create(&threads[i], NULL, producer, (void *)i) == 0);
    for (unsigned left = 90000; left;) {
        int vector = vlapic_pending(&cpus[0]);
        if (vector < 0) {
            sched_yield();
            continue;
        }
        vlapic_acknowledge(&cpus[0], vector);
        atomic_fetch_add(&taken[(vector - 0x30) / 0x41], 1);
        vlapic_eoi(&cpus[0]);
        left--;
    }
    for (unsigned i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    CHECK(vlapic_pending(&cpus[0]) == -1);
}

int main(void)
{
    test_reset();
    test_priorities();
    test_destinations();
    test_icr();
    test_errors();
    test_memory();
    test_x2apic();
    test_timer();
    test_deadline();
    test_reset_meets_interrupt();
    test_threads();
    for (unsigned i = 0; i < CPUS; i++)
        vlapic_free(&cpus[i]);
    return 0;
}
