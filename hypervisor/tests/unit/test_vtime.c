/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIT modes, latches and gate; RTC time and interrupts; PM timer; long jumps and drift. */
/* sources: vdev/virqchip.c vdev/vlapic.c vdev/platform.c vdev/vtime.c vdev/vhpet.c */
#include "board_fakes.h"

#define HZ 1193182ull
/* The first ns at which `ticks` of the PIT have gone by. */
static uint64_t ns(uint64_t ticks) { return (ticks * 1000000000 + HZ - 1) / HZ; }

static uint16_t count(unsigned channel)
{
    out(0x43, channel << 6);
    uint8_t low = in(0x40 + channel);
    return low | in(0x40 + channel) << 8;
}

static void load(unsigned channel, uint8_t control, uint16_t value)
{
    out(0x43, channel << 6 | control);
    out(0x40 + channel, value);
    out(0x40 + channel, value >> 8);
}

static bool speaker_out(void) { return in(0x61) & 0x20; }

static void test_pit_modes(void)
{
    /* Channel 2 with the gate on: its output at some ticks after the count was loaded; `high` bit n: at tick[n]. */
    static const struct {
        uint8_t control;
        uint16_t load;
        unsigned tick[6];
        unsigned high;
        uint16_t count[6];
    } modes[] = {
        { 0x30, 100, { 0, 1, 99, 100, 101, 70000 }, 0x38, { 100, 99, 1, 0, 65535, 0 } },
        { 0x34, 100, { 0, 1, 98, 99, 100, 199 }, 0x17, { 100, 99, 2, 1, 100, 1 } },
        { 0x36, 100, { 0, 49, 50, 99, 100, 151 }, 0x13, { 100, 2, 100, 2, 100, 98 } },
        { 0x38, 100, { 0, 99, 100, 101, 200, 5000 }, 0x3b, { 100, 1, 0, 65535, 65436, 60636 } },
        { 0x3c, 100, { 0, 1, 98, 99, 100, 199 }, 0x17, { 100, 99, 2, 1, 100, 1 } },
        { 0x3a, 100, { 0, 99, 100, 101, 200, 5000 }, 0x3b, { 100, 1, 0, 65535, 65436, 60636 } }, /* as mode 4 */
        { 0x32, 100, { 0, 1, 99, 100, 101, 70000 }, 0x38, { 100, 99, 1, 0, 65535, 0 } },         /* as mode 0 */
        { 0x30, 0, { 0, 1, 65535, 65536, 65537, 131072 }, 0x38, { 0, 65535, 1, 0, 65535, 0 } },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(modes); i++)
        for (unsigned k = 0; k < 6; k++) {
            fresh();
            fake_now = 123456789012345;
            out(0x61, 1);
            load(2, modes[i].control, modes[i].load);
            fake_now += ns(modes[i].tick[k]);
            CHECK(speaker_out() == (modes[i].high >> k & 1));
            if (k < 5 || (modes[i].control != 0x30 && modes[i].control != 0x32))
                CHECK(count(2) == modes[i].count[k]);
        }
}

static void test_pit_access(void)
{
    fresh();
    fake_now = 0;
    out(0x43, 0x10); /* channel 0, low byte, mode 0 */
    out(0x40, 200);
    CHECK(in(0x40) == 200);
    out(0x43, 0x20); /* high byte */
    out(0x40, 3);
    CHECK(in(0x40) == 3 && in(0x40) == 3);
    load(0, 0x34, 0x1234);
    CHECK(in(0x40) == 0x34 && in(0x40) == 0x12 && in(0x40) == 0x34 && in(0x40) == 0x12);
    out(0x43, 0x00); /* a latch stands still, and a second one does not replace it */
    fake_now = ns(100);
    out(0x43, 0x00);
    CHECK(in(0x40) == 0x34 && in(0x40) == 0x12 && in(0x40) == 0xd0);
    CHECK(in(0x40) == 0x11);
    out(0x43, 0xc2); /* read back: nothing */
    CHECK(in(0x40) == 0xd0 && in(0x40) == 0x11 && in(0x43) == 0xff);
    bool refresh = in(0x61) & 0x10;
    fake_now += 15085;
    CHECK(!!(in(0x61) & 0x10) != refresh);
    out(0x61, 0xff);
    CHECK((in(0x61) & 0x0f) == 3);
}

static void test_pit_gate(void)
{
    fresh();
    fake_now = 5000;
    load(2, 0x30, 1000);
    fake_now += ns(5000);
    CHECK(!speaker_out() && count(2) == 1000); /* the gate is closed */
    out(0x61, 1);
    fake_now += ns(400);
    CHECK(count(2) == 600);
    out(0x61, 0);
    fake_now += ns(77777);
    CHECK(count(2) == 600 && !speaker_out());
    out(0x61, 1);
    fake_now += ns(601);
    CHECK(speaker_out());
    load(2, 0x34, 1000); /* a rise begins a period anew */
    fake_now += ns(400);
    out(0x61, 0);
    CHECK(speaker_out());
    fake_now += ns(5000);
    out(0x61, 1);
    CHECK(count(2) == 1000);
    fake_now += ns(999);
    CHECK(!speaker_out());
}

static void test_pit_interrupts(void)
{
    fresh();
    listen(2, false);
    uint64_t start = 777777;
    fake_now = start;
    cpus[0].work = 0;
    load(0, 0x34, 11932); /* 100 Hz */
    (void)got(2);         /* the output rose with the control word */
    CHECK(cpus[0].work & WORK_TIMER);
    for (uint64_t n = 1; n < 300; n++) { /* never early, never late, no drift */
        uint64_t due = start + ns(n * 11932);
        CHECK(vtime_next(&dom) >= due && vtime_next(&dom) <= due + 1);
        vtime_tick(&dom, due - 1);
        CHECK(!got(2));
        vtime_tick(&dom, due + 1);
        CHECK(got(2) && !got(2));
    }
    /* 1000 missed: one, and then in step again. */
    vtime_tick(&dom, start + ns(1300 * 11932ull) + 50);
    CHECK(got(2) && !got(2));
    CHECK(vtime_next(&dom) - start - ns(1301 * 11932ull) <= 1);
    load(0, 0x30, 100);
    CHECK(vtime_next(&dom) - fake_now - ns(100) <= 1);
    vtime_tick(&dom, fake_now + ns(5000));
    CHECK(got(2) && vtime_next(&dom) == ~0ull);
    load(0, 0x38, 100);
    fake_now += ns(102);
    (void)got(2);
    vtime_tick(&dom, fake_now);
    CHECK(got(2) && vtime_next(&dom) == ~0ull);
    load(0, 0x34, 1); /* hostile: at most every 10 us */
    unsigned ticks = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fake_now += 1000;
        vtime_tick(&dom, fake_now);
        ticks += got(2);
    }
    CHECK(ticks >= 90 && ticks <= 101);
}

static uint8_t rtc(uint8_t reg)
{
    out(0x70, reg);
    return in(0x71);
}

static void rtc_set(uint8_t reg, uint8_t value)
{
    out(0x70, reg);
    out(0x71, value);
}

static bool rtc_is(const uint8_t want[8]) /* s, m, h, weekday, day, month, year, century */
{
    static const uint8_t regs[8] = { 0, 2, 4, 6, 7, 8, 9, 0x32 };
    for (unsigned i = 0; i < 8; i++)
        if (rtc(regs[i]) != want[i])
            return false;
    return true;
}

/* 1700000000, what fake_metal's clock begins with, is Tuesday 2023-11-14 22:13:20. */
static void test_rtc_time(void)
{
    fresh();
    fake_now = 100;
    CHECK(rtc_is((uint8_t[]){ 0x20, 0x13, 0x22, 3, 0x14, 0x11, 0x23, 0x20 }));
    rtc_set(0xb, 4); /* binary, 12 hours: not to be had */
    CHECK(rtc(0xb) == 2 && rtc_is((uint8_t[]){ 0x20, 0x13, 0x22, 3, 0x14, 0x11, 0x23, 0x20 }));
    dom.time_offset = -1500000000; /* 1.5 s behind */
    CHECK(rtc(0) == 0x18);
    dom.time_offset = (int64_t)86400 * 366 * 1000000000;
    CHECK(rtc_is((uint8_t[]){ 0x20, 0x13, 0x22, 5, 0x14, 0x11, 0x24, 0x20 }));
    dom.time_offset = -(int64_t)1700000001 * 1000000000; /* before 1970: cut */
    CHECK(rtc_is((uint8_t[]){ 0, 0, 0, 5, 1, 1, 0x70, 0x19 }));
    dom.time_offset = 0;
    /* Set it: registers stand still meanwhile. */
    rtc_set(0xb, 0x82);
    static const uint8_t regs[7] = { 0x32, 9, 8, 7, 4, 2, 0 }, date[7] = { 0x20, 0x00, 0x02, 0x28, 0x23, 0x59, 0x58 };
    for (unsigned i = 0; i < 7; i++)
        rtc_set(regs[i], date[i]);
    fake_now += 10000000000;
    CHECK(rtc(0) == 0x58 && !(rtc(0xa) & 0x80));
    rtc_set(0xb, 2);
    fake_now += 2000000000;
    CHECK(rtc_is((uint8_t[]){ 0, 0, 0, 3, 0x29, 2, 0, 0x20 })); /* 2000 is a leap year */
    fake_now += 86400ull * 1000000000;
    CHECK(rtc_is((uint8_t[]){ 0, 0, 0, 4, 1, 3, 0, 0x20 }));
    rtc_set(7, 0x31); /* one register, without SET */
    CHECK(rtc(7) == 0x31 && rtc(8) == 3);
    /* The update bit, and memory */
    fake_now += 999999999 - fake_now % 1000000000;
    CHECK(rtc(0xa) == 0xa6);
    fake_now += 500000000;
    CHECK(rtc(0xa) == 0x26 && rtc(0xd) == 0x80 && in(0x70) == 0xff);
    rtc_set(0xff, 0xa5);
    CHECK(rtc(0x7f) == 0xa5);
    /* Nonsense gives some time. */
    for (unsigned i = 0; i < 256; i++)
        for (unsigned r = 0; r < 10; r++) {
            rtc_set(0xb, i);
            rtc_set(r, i);
            rtc_set(0x32, i);
            (void)rtc(9);
        }
    fake_now = BIT(63);
    (void)rtc(9);
}

static void test_rtc_interrupts(void)
{
    fresh();
    fake_now = 400000000;
    listen(8, false);
    (void)rtc(0xc);
    rtc_set(0xa, 0x26);
    rtc_set(0xb, 0x42); /* 1024 Hz */
    for (uint64_t n = 410; n < 1500; n++) {
        uint64_t due = n * 1000000000 / 1024 + 1;
        CHECK(vtime_next(&dom) == due);
        vtime_tick(&dom, due - 1);
        CHECK(!got(8));
        fake_now = due;
        vtime_tick(&dom, due);
        CHECK(got(8) && vtime_next(&dom) == ~0ull); /* not again before the guest has looked */
        CHECK((rtc(0xc) & 0xc0) == 0xc0 && rtc(0xc) == 0);
    }
    fake_now += 5000000000000;
    vtime_tick(&dom, fake_now);
    CHECK(got(8) && (rtc(0xc) & 0xc0) == 0xc0 && vtime_next(&dom) <= fake_now + 976563);
    rtc_set(0xb, 0x12); /* updates */
    (void)rtc(0xc);
    for (unsigned i = 0; i < 5; i++) {
        uint64_t due = vtime_next(&dom);
        CHECK(due % 1000000000 == 0);
        fake_now = due;
        vtime_tick(&dom, due);
        CHECK(got(8) && rtc(0xc) == (i ? 0xd0 : 0xd0));
    }
    /* Alarms, with wildcards; each case begins at 23:59:30. */
    static const struct {
        uint8_t s, m, h;
        unsigned after; /* 0: not within 400 s */
    } alarms[] = {
        { 0x31, 0x59, 0x23, 1 },  { 0x30, 0x59, 0x23, 0 }, { 0, 0, 0, 30 },         { 0xff, 0xff, 0xff, 1 },
        { 0x10, 0xc0, 0xff, 40 }, { 0xff, 0, 0xff, 30 },   { 0xff, 0x58, 0x23, 0 }, { 0x05, 0x05, 0xff, 30 + 305 },
        { 0x99, 0, 0, 0 },        { 0, 0, 0x24, 0 },
    };
    for (unsigned i = 0; i < ARRAY_SIZE(alarms); i++) {
        rtc_set(0xb, 0x82);
        rtc_set(0, 0x30);
        rtc_set(2, 0x59);
        rtc_set(4, 0x23);
        rtc_set(1, alarms[i].s);
        rtc_set(3, alarms[i].m);
        rtc_set(5, alarms[i].h);
        rtc_set(0xb, 0x22);
        (void)rtc(0xc);
        uint64_t base = fake_now / 1000000000;
        unsigned came = 0;
        for (unsigned n = 1; n <= 400 && !came; n++) {
            CHECK(vtime_next(&dom) == (base + n) * 1000000000);
            fake_now = vtime_next(&dom);
            vtime_tick(&dom, fake_now);
            came = got(8) ? n : 0;
        }
        CHECK(came == alarms[i].after && ((rtc(0xc) & 0xa0) == 0xa0) == (came != 0));
    }
    /* Late by a minute it comes; without its interrupt nobody wakes up for it. */
    rtc_set(1, 0);
    rtc_set(3, 0xff);
    rtc_set(5, 0xff);
    (void)rtc(0xc);
    fake_now += 100000000000;
    vtime_tick(&dom, fake_now);
    CHECK(got(8) && (rtc(0xc) & 0x20));
    rtc_set(0xb, 2);
    CHECK(vtime_next(&dom) == ~0ull);
}

static void test_pm_timer(void)
{
    static const struct {
        uint64_t now;
        uint32_t value;
    } times[] = {
        { 0, 0 },   { 1000000000, 3579545 }, { 1000000000ull * 1200, (uint32_t)(3579545ull * 1200) }, { 280, 1 },
        { 279, 0 },
    };
    fresh();
    for (unsigned i = 0; i < ARRAY_SIZE(times); i++) {
        uint32_t value;
        fake_now = times[i].now;
        CHECK(vplatform_port(&cpus[0], 0xb008, 4, true, &value) && value == times[i].value);
        CHECK(vplatform_port(&cpus[0], 0xb009, 2, true, &value) && value == (times[i].value >> 8 & 0xffff));
        CHECK(vplatform_port(&cpus[0], 0xb008, 4, false, &value));
    }
}

int main(void)
{
    test_pit_modes();
    test_pit_access();
    test_pit_gate();
    test_pit_interrupts();
    test_rtc_time();
    test_rtc_interrupts();
    test_pm_timer();
    done();
    return 0;
}
