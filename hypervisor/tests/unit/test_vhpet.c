/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The HPET: counter, one-shot and periodic timers, edge and level, legacy replacement, odd accesses. */
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
    CHECK(mmio_read(H, 8) == 0x03b9aca080868201ull && mmio_read(H, 4) == 0x80868201 && mmio_read(H + 4, 4) == 62500000);
    CHECK(mmio_read(H + 0xf0, 8) == 0 && mmio_read(H + 0x100, 8) == 0x00f0000000000010ull &&
          mmio_read(H + 0x148, 8) == 0xffffffff);
    fake_now += 1000000;
    CHECK(mmio_read(H + 0xf0, 8) == 0);
    mmio_write(H + 0x10, 4, 1);
    fake_now += 1000000000;
    CHECK(mmio_read(H + 0xf0, 8) == 16000000);
    mmio_write(H + 0x10, 8, 0);
    fake_now += 1000000000;
    CHECK(mmio_read(H + 0xf0, 4) == 16000000);
    mmio_write(H + 0xf4, 4, 0xff); /* 32 bits are all there is */
    CHECK(mmio_read(H + 0xf0, 8) == 16000000);
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
    CHECK(got(20) && !got(20)); /* and again at each wrap */
    CHECK(vtime_next(&dom) == 1000000 + TICK_NS(BIT(32)) + 1);
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
    mmio_write(H + 0x148, 8, 100); /* behind: after the wrap */
    CHECK(vtime_next(&dom) == TICK_NS(BIT(32) + 100) + 1);
    mmio_write(H + 0x10, 4, 0); /* a stopped counter stops its timers */
    mmio_write(H + 0x148, 8, 1000000);
    CHECK(vtime_next(&dom) == ~0ull);
}

static void test_periodic(void)
{
    start(1000);
    mmio_write(H + 0x100, 4, 22 << 9 | 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 16000);
    mmio_write(H + 0x108, 4, 32000);
    mmio_write(H + 0x10, 4, 1);
    uint64_t due = 1000 + 1000000 + 1, gap = 100000; /* periods missed; beyond 32 bits it slips in phase */
    for (unsigned n = 0; n < 500; n++, due += 2000000) {
        CHECK(vtime_next(&dom) == due);
        at(due - 1);
        CHECK(!got(22));
        at(due + n);
        CHECK(got(22) && !got(22));
    }
    at(due + 2000000 * gap + 5);
    CHECK(got(22) && !got(22) && vtime_next(&dom) == due + 2000000 * (gap + 1));
    at(due + 2000000 * (gap + 40000) + 5); /* over the wrap */
    CHECK(got(22) && !got(22) && vtime_next(&dom) == due + 2000000 * (gap + 40001));
    /* One write with VAL_SET is both; a hostile period is served at most every 10 us; one of 0 is a one-shot. */
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
    at(TICK_NS(BIT(32)) + 1);
    CHECK(got(22) && vtime_next(&dom) == TICK_NS(BIT(33)) + 1);
}

static void test_legacy(void)
{
    start(0);
    uint32_t value = 0x34;
    CHECK(vplatform_port(&cpus[0], 0x43, 1, false, &value));
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
