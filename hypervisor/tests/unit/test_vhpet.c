/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The HPET: counter, one-shot and periodic timers of both widths, edge and level, legacy replacement, odd accesses. */
/* sources: vdev/virqchip.c vdev/vlapic.c vdev/platform.c vdev/vtime.c vdev/vhpet.c */
#include "board_fakes.h"

#define TICK_NS(n) ((n)*125 / 2)
#define H VHPET_BASE

static void start(uint64_t now)
{
    fresh();
    fake_now = now;
    for (unsigned gsi = 20; gsi < 24; gsi++)
        listen(gsi, gsi == 21);
    listen(2, false);
    listen(8, false);
}

static void at(uint64_t now)
{
    fake_now = now;
    vtime_tick(&dom, now);
}

static void test_counter(void)
{
    start(5000);
    CHECK(mmio_read(H, 8) == 0x03b9aca08086a201ull && mmio_read(H, 4) == 0x8086a201 && mmio_read(H + 4, 4) == 62500000);
    CHECK(mmio_read(H + 0xf0, 8) == 0 && mmio_read(H + 0x100, 8) == 0x00f0000000000030ull &&
          mmio_read(H + 0x148, 8) == ~0ull);
    fake_now += 1000000;
    CHECK(mmio_read(H + 0xf0, 8) == 0);
    mmio_write(H + 0x10, 4, 1);
    fake_now += 1000000000;
    CHECK(mmio_read(H + 0xf0, 8) == 16000000);
    mmio_write(H + 0x10, 8, 0);
    fake_now += 1000000000;
    CHECK(mmio_read(H + 0xf0, 4) == 16000000);
    mmio_write(H + 0xf4, 4, 0xff);
    CHECK(mmio_read(H + 0xf0, 8) == (0xffull << 32 | 16000000));
    mmio_write(H + 0xf0, 8, ~0ull);
    mmio_write(H + 0x10, 4, 1);
    fake_now += 1000;
    CHECK(mmio_read(H + 0xf0, 8) == 15); /* it wraps */
    /* Accesses that do not exist. */
    CHECK(mmio_read(H + 0xf0, 1) == ~0ull && mmio_read(H + 0xf4, 8) == ~0ull && mmio_read(H + 0x160, 8) == 0);
    CHECK(mmio_read(H + 0x110, 4) == 0 && mmio_read(H + 0x3f8, 8) == 0);
    mmio_write(H + 0xf2, 2, 0);
    mmio_write(H + 0x0, 8, 0);
    mmio_write(H + 0x3f8, 8, 0);
    mmio_write(H + 0x118, 8, ~0ull);
}

static void test_one_shot(void)
{
    start(0);
    mmio_write(H + 0x10, 4, 1);
    mmio_write(H + 0x140, 4, 20 << 9 | 4);
    mmio_write(H + 0x148, 8, 16000);
    CHECK(vtime_next(&dom) == 1000001 && cpus[0].work & WORK_TIMER);
    at(1000000);
    CHECK(!got(20));
    at(1000001);
    CHECK(got(20) && !got(20) && vtime_next(&dom) == ~0ull);
    /* 32 bits: it comes at each wrap. */
    mmio_write(H + 0x140, 4, 20 << 9 | 4 | 0x100);
    mmio_write(H + 0x148, 4, 32000);
    at(2000001);
    CHECK(got(20) && vtime_next(&dom) == 2000000 + TICK_NS(BIT(32)) + 1);
    /* Level: stays until its status bit is written; nothing comes while it is set but by the line. */
    mmio_write(H + 0x140, 4, 21 << 9 | 4 | 2);
    mmio_write(H + 0x148, 4, 64000);
    at(4000001);
    CHECK(mmio_read(H + 0x20, 4) == 4 && got(21) && got(21));
    mmio_write(H + 0x20, 4, 3);
    CHECK(mmio_read(H + 0x20, 4) == 4 && got(21));
    mmio_write(H + 0x20, 4, 4);
    CHECK(mmio_read(H + 0x20, 4) == 0);
    CHECK(got(21) && !got(21));    /* the one that was in the IRR */
    mmio_write(H + 0x148, 8, 100); /* behind: in 36,000 years */
    CHECK(vtime_next(&dom) == ~0ull);
    mmio_write(H + 0x10, 4, 0); /* a stopped counter stops its timers */
    mmio_write(H + 0x148, 8, 1000000);
    CHECK(vtime_next(&dom) == ~0ull);
}

static void test_periodic(void)
{
    for (unsigned narrow = 0; narrow < 2; narrow++) {
        start(1000);
        mmio_write(H + 0x100, 4, 22 << 9 | 4 | 8 | 0x40 | narrow << 8);
        mmio_write(H + 0x108, narrow ? 4 : 8, 16000);
        mmio_write(H + 0x108, narrow ? 4 : 8, 32000);
        mmio_write(H + 0x10, 4, 1);
        uint64_t due = 1000 + 1000000 + 1;
        for (unsigned n = 0; n < 500; n++, due += 2000000) {
            CHECK(vtime_next(&dom) == due);
            at(due - 1);
            CHECK(!got(22));
            at(due + n);
            CHECK(got(22) && !got(22));
        }
        uint64_t gap = narrow ? 100000 : 3000000; /* periods missed; beyond 32 bits, a narrow one slips in phase */
        at(due + 2000000 * gap + 5);
        CHECK(got(22) && !got(22) && vtime_next(&dom) == due + 2000000 * (gap + 1));
        CHECK((mmio_read(H + 0x108, 8) >> 32 == 0) == narrow);
        at(due + 2000000 * (gap + 40000) + 5); /* over the wrap of 32 bits */
        CHECK(got(22) && !got(22) && vtime_next(&dom) == due + 2000000 * (gap + 40001));
    }
    /* One write with VAL_SET is both; a hostile period is served at most every 10 us; one of 0 not at all. */
    start(0);
    mmio_write(H + 0x10, 4, 1);
    mmio_write(H + 0x100, 4, 22 << 9 | 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 1);
    unsigned n = 0;
    for (unsigned i = 1; i <= 1000; i++) {
        at(i * 1000);
        n += got(22);
    }
    CHECK(n >= 90 && n <= 101);
    mmio_write(H + 0x100, 4, 22 << 9 | 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 0);
    at(BIT(62));
    (void)got(22);
    at(BIT(63));
    CHECK(!got(22));
}

static void test_legacy(void)
{
    start(0);
    uint32_t value = 0x34;
    CHECK(vplatform_port(&cpus[0], 0x43, 1, false, &value, 0));
    out(0x40, 0);
    out(0x40, 0x10);
    (void)got(2);
    CHECK(vtime_next(&dom) != ~0ull);
    mmio_write(H + 0x100, 4, 23 << 9 | 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 16000);
    mmio_write(H + 0x120, 4, 23 << 9 | 4);
    mmio_write(H + 0x128, 8, 24000);
    mmio_write(H + 0x10, 4, 3);
    at(1000001);
    CHECK(got(2) && !got(23));
    at(1500001);
    CHECK(got(8) && !got(23));
    mmio_write(H + 0x10, 4, 1); /* PIT and its line are back */
    (void)got(2);
    at(2000002);
    CHECK(got(23));
    at(20000000);
    CHECK(vlapic_pending(&cpus[0]) >= 0);
    (void)in(0x40);
}

int main(void)
{
    test_counter();
    test_one_shot();
    test_periodic();
    test_legacy();
    done();
    return 0;
}
