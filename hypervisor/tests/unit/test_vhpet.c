/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The HPET: counter, one-shot and periodic timers, legacy replacement, odd accesses. */
/* sources: vdev/virqchip.c vdev/vlapic.c vdev/platform.c vdev/vpit.c vdev/vhpet.c */
#include "board_fakes.h"

#define TICK_NS(n) ((n)*125 / 2)
#define H VHPET_BASE

static void start(uint64_t now)
{
    fresh();
    fake_now = now;
    listen(2);
    listen(8);
}

static void at(uint64_t now)
{
    fake_now = now;
    vplatform_tick(&dom, now);
}

static void test_counter(void)
{
    start(5000);
    CHECK(mmio_read(H, 8) == 0x03b9aca080868201ull && mmio_read(H, 4) == 0x80868201 && mmio_read(H + 4, 4) == 62500000);
    CHECK(mmio_read(H + 0xf0, 8) == 0 && mmio_read(H + 0x100, 8) == 0x10 && mmio_read(H + 0x148, 8) == 0xffffffff);
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
    mmio_write(H + 0x10, 4, 3);
    mmio_write(H + 0x120, 4, ~8u);
    CHECK(mmio_read(H + 0x120, 8) == 0x54); /* no routes, no levels, no messages */
    mmio_write(H + 0x128, 8, 16000);
    CHECK(vplatform_next(&dom) == 1000001 && cpus[0].work & WORK_TIMER);
    at(1000000);
    CHECK(!got(8));
    at(1000001);
    CHECK(got(8) && !got(8)); /* and again at each wrap */
    CHECK(vplatform_next(&dom) == 1000000 + TICK_NS(BIT(32)) + 1);
    mmio_write(H + 0x128, 4, 32000);
    at(2000001);
    CHECK(got(8) && vplatform_next(&dom) == 2000000 + TICK_NS(BIT(32)) + 1);
    mmio_write(H + 0x20, 4, 7);
    CHECK(mmio_read(H + 0x20, 4) == 0);
    mmio_write(H + 0x128, 8, 100); /* behind: after the wrap */
    CHECK(vplatform_next(&dom) == TICK_NS(BIT(32) + 100) + 1);
    /* An input that the guest took for level-triggered: again after its EOI. */
    mmio_write(VIOAPIC_BASE, 4, 0x20);
    mmio_write(VIOAPIC_BASE + 0x10, 4, 0x8048);
    at(vplatform_next(&dom));
    CHECK(vlapic_pending(&cpus[0]) == 0x48);
    vlapic_acknowledge(&cpus[0], 0x48);
    mmio_write(H + 0x128, 4, mmio_read(H + 0xf0, 4) + 16);
    at(vplatform_next(&dom));
    CHECK(vlapic_pending(&cpus[0]) == -1);
    vlapic_eoi(&cpus[0]);
    mmio_write(H + 0x128, 4, mmio_read(H + 0xf0, 4) + 16);
    at(vplatform_next(&dom));
    CHECK(got(8));
    mmio_write(H + 0x10, 4, 0); /* a stopped counter stops its timers */
    mmio_write(H + 0x128, 8, 1000000);
    CHECK(vplatform_next(&dom) == ~0ull);
}

static void test_periodic(void)
{
    start(1000);
    mmio_write(H + 0x100, 4, 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 16000);
    mmio_write(H + 0x108, 4, 32000);
    mmio_write(H + 0x10, 4, 3);
    uint64_t due = 1000 + 1000000 + 1, gap = 100000; /* periods missed; beyond 32 bits it slips in phase */
    for (unsigned n = 0; n < 500; n++, due += 2000000) {
        CHECK(vplatform_next(&dom) == due);
        at(due - 1);
        CHECK(!got(2));
        at(due + n);
        CHECK(got(2) && !got(2));
    }
    at(due + 2000000 * gap + 5);
    CHECK(got(2) && !got(2) && vplatform_next(&dom) == due + 2000000 * (gap + 1));
    at(due + 2000000 * (gap + 40000) + 5); /* over the wrap */
    CHECK(got(2) && !got(2) && vplatform_next(&dom) == due + 2000000 * (gap + 40001));
    /* One write with VAL_SET is both; a hostile period is served at most every 10 us; one of 0 is a one-shot. */
    start(0);
    mmio_write(H + 0x10, 4, 3);
    mmio_write(H + 0x100, 4, 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 1);
    unsigned n = 0;
    for (unsigned i = 1; i <= 1000; i++) {
        at(i * 1000);
        n += got(2);
    }
    CHECK(n >= 90 && n <= 101);
    mmio_write(H + 0x100, 4, 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 0);
    at(TICK_NS(BIT(32)) + 1);
    CHECK(got(2) && vplatform_next(&dom) == TICK_NS(BIT(33)) + 1);
}

static void test_legacy(void)
{
    start(0);
    uint32_t value = 0x34;
    CHECK(vplatform_port(&cpus[0], 0x43, 1, false, &value));
    out(0x40, 0);
    out(0x40, 0x10);
    (void)got(2);
    CHECK(vplatform_next(&dom) != ~0ull);
    mmio_write(H + 0x100, 4, 4 | 8 | 0x40);
    mmio_write(H + 0x108, 8, 16000);
    mmio_write(H + 0x120, 4, 4);
    mmio_write(H + 0x128, 8, 24000);
    mmio_write(H + 0x140, 4, 4);
    mmio_write(H + 0x148, 8, 24001);
    mmio_write(H + 0x10, 4, 3);
    at(1000001);
    CHECK(got(2) && !got(8));
    at(1500001);
    CHECK(got(8) && !got(2));
    at(1600000); /* timer 2 has nobody to tell */
    CHECK(!got(8) && !got(2));
    mmio_write(H + 0x10, 4, 1); /* the PIT's line is back */
    at(2000002);
    CHECK(!got(2) && !got(8));
    at(20000000);
    CHECK(got(2) && !got(8));
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
