/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who answers where: ports by rows and widths, memory, whom timers wake. */
/* sources: vdev/virqchip.c vdev/vlapic.c vdev/platform.c vdev/vpit.c vdev/vhpet.c */
#include "board_fakes.h"

static void visit(void *data, uint64_t first, uint64_t count)
{
    char *seen = data;
    if (first == 0xfee00 && count == 1)
        seen[0]++;
    else if (first == 0xfec00 && count == 1)
        seen[1]++;
    else if (first == 0xfed00 && count == 1)
        seen[2]++;
    else
        seen[3]++;
}

static void test_ports(void)
{
    static const struct {
        uint16_t port;
        bool there;
    } ports[] = {
        { 0x1f, false },  { 0x20, true },    { 0x22, false }, { 0x40, true }, { 0x43, true },
        { 0x44, false },  { 0x61, true },    { 0x70, false }, { 0xa1, true }, { 0x4d1, true },
        { 0xcf8, false }, { 0xffff, false }, { 0, false },
    };
    uint32_t value;
    for (unsigned i = 0; i < ARRAY_SIZE(ports); i++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            fresh();
            CHECK(vplatform_port(&cpus[0], ports[i].port, size, true, &value) == (ports[i].there && size == 1));
            value = 0;
            CHECK(vplatform_port(&cpus[0], ports[i].port, size, false, &value) == (ports[i].there && size == 1));
        }
}

static void test_memory(void)
{
    fresh();
    fake_now = 0;
    uint64_t value;
    char seen[4] = { 0 };
    vplatform_mmio_ranges(&dom, visit, seen);
    CHECK(seen[0] == 1 && seen[1] == 1 && seen[2] == 1 && !seen[3]);
    static const uint64_t nobody[] = { 0, 0xfebfffff, 0xfec01000, 0xfed00400, 0xfee01000, 0xfedfffff, ~0ull, BIT(52) };
    for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++)
        CHECK(!vplatform_mmio(&cpus[0], nobody[i], 4, false, &value));
    /* The local APIC's page, in odd pieces */
    CHECK(mmio_read(0xfee00030, 4) == 0x50014 && mmio_read(0xfee00032, 1) == 5 && mmio_read(0xfee00034, 4) == 0);
    mmio_write(0xfee00080, 4, 0x30);
    mmio_write(0xfee00080, 1, 0x70);
    mmio_write(0xfee00084, 4, 0x70);
    CHECK(mmio_read(0xfee00080, 4) == 0x30 && cpus[0].cr8 == 3);
    CHECK(mmio_read(0xfee00ff0, 4) == 0);
    CHECK(vlapic_msr_write(&cpus[0], 0x1b, 0xfee00c00));
    CHECK(!vplatform_mmio(&cpus[0], 0xfee00030, 4, false, &value));
    /* The IOAPIC's index as a byte */
    mmio_write(VIOAPIC_BASE, 1, 1);
    CHECK(mmio_read(VIOAPIC_BASE + 0x10, 4) == 0x2f0020 && mmio_read(VIOAPIC_BASE + 0x12, 2) == 0x2f);
    CHECK(mmio_read(VIOAPIC_BASE + 0x20, 4) == 0);
    mmio_write(VIOAPIC_BASE + 0xffc, 4, 1);
    mmio_write(VIOAPIC_BASE + 0x10, 2, 1);
}

/* CPU 1 programs a timer: CPU 0, which keeps the alarm, is told, but only of an earlier one. */
static void test_wake(void)
{
    fresh();
    uint64_t value = 1;
    CHECK(vplatform_next(&dom) == ~0ull);
    CHECK(vplatform_mmio(&cpus[1], VHPET_BASE + 0x10, 4, true, &value));
    value = 4;
    CHECK(vplatform_mmio(&cpus[1], VHPET_BASE + 0x100, 4, true, &value));
    value = 16000;
    cpus[0].work = 0;
    CHECK(vplatform_mmio(&cpus[1], VHPET_BASE + 0x108, 8, true, &value));
    CHECK(cpus[0].work == WORK_TIMER && vplatform_next(&dom) == 1000001);
    value = 32000;
    cpus[0].work = 0;
    CHECK(vplatform_mmio(&cpus[1], VHPET_BASE + 0x108, 8, true, &value));
    CHECK(cpus[0].work == 0 && vplatform_next(&dom) == 2000001);
    vplatform_tick(&dom, 2000000);
    CHECK(vplatform_next(&dom) == 2000001);
    vplatform_tick(&dom, 2000001);
    CHECK(vplatform_next(&dom) == 2000001 + 268435456000);
}

int main(void)
{
    test_ports();
    test_memory();
    test_wake();
    (void)listen;
    (void)got;
    (void)in;
    (void)out;
    done();
    return 0;
}
