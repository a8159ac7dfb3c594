/* SPDX-License-Identifier: GPL-2.0-or-later */
/* PIT modes, latches, gate and interrupts; long jumps and drift. */
/* sources: vdev/virqchip.c vdev/vlapic.c vdev/platform.c vdev/vpit.c vdev/vhpet.c */
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
    listen(2);
    uint64_t start = 777777;
    fake_now = start;
    cpus[0].work = 0;
    load(0, 0x34, 11932); /* 100 Hz */
    CHECK(cpus[0].work & WORK_TIMER);
    for (uint64_t n = 1; n < 300; n++) { /* never early, never late, no drift */
        uint64_t due = start + ns(n * 11932);
        CHECK(vplatform_next(&dom) >= due && vplatform_next(&dom) <= due + 1);
        vplatform_tick(&dom, due - 1);
        CHECK(!got(2));
        vplatform_tick(&dom, due + 1);
        CHECK(got(2) && !got(2));
    }
    /* 1000 missed: one, and then in step again. */
    vplatform_tick(&dom, start + ns(1300 * 11932ull) + 50);
    CHECK(got(2) && !got(2));
    CHECK(vplatform_next(&dom) - start - ns(1301 * 11932ull) <= 1);
    load(0, 0x30, 100);
    CHECK(vplatform_next(&dom) - fake_now - ns(100) <= 1);
    vplatform_tick(&dom, fake_now + ns(5000));
    CHECK(got(2) && vplatform_next(&dom) == ~0ull);
    load(0, 0x38, 100);
    fake_now += ns(102);
    vplatform_tick(&dom, fake_now);
    CHECK(got(2) && vplatform_next(&dom) == ~0ull);
    /* An access that comes before the tick that is due loses it not. */
    load(0, 0x30, 100);
    fake_now += ns(200);
    load(0, 0x30, 100);
    CHECK(got(2));
    load(0, 0x34, 1); /* hostile: at most every 10 us */
    unsigned ticks = 0;
    for (unsigned i = 0; i < 1000; i++) {
        fake_now += 1000;
        vplatform_tick(&dom, fake_now);
        ticks += got(2);
    }
    CHECK(ticks >= 90 && ticks <= 101);
}

int main(void)
{
    test_pit_modes();
    test_pit_access();
    test_pit_gate();
    test_pit_interrupts();
    done();
    return 0;
}
