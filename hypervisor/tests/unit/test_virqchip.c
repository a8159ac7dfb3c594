/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IOAPIC entries, edge and level, the host's lines, and what is left of the 8259A. */
/* sources: vdev/virqchip.c vdev/vlapic.c */
#include <fake_metal.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <stdlib.h>
#include <string.h>

uint64_t hv_tsc_khz = 2000000;
static struct domain dom;
static struct vcpu cpus[3];
/* What the host's line 20 was told, in order. */
static char told[64];
static unsigned nr_told;
static int bind_result;
static bool line_masked[VIOAPIC_MAX_GSIS];

void vcpu_kick(struct vcpu *v, uint32_t work) { atomic_fetch_or(&v->work, work); }
void *page_alloc(void) { return calloc(1, PAGE_SIZE); }
void page_free(void *page) { free(page); }

static void tell(char c)
{
    CHECK(nr_told < sizeof(told) - 1);
    told[nr_told++] = c;
    told[nr_told] = 0;
}

int irq_bind_gsi(unsigned gsi, bool level, bool active_low, unsigned vcpu)
{
    tell('B');
    tell(level ? active_low ? 'l' : 'L' : active_low ? 'e' : 'E');
    tell('0' + vcpu);
    return bind_result;
}
void irq_mask_gsi(unsigned gsi, bool masked) /* as the real one, which does nothing when nothing changes */
{
    if (line_masked[gsi] != masked)
        tell(masked ? 'm' : 'u');
    line_masked[gsi] = masked;
}
void irq_gsi_eoi(unsigned gsi) { tell('a'); }

static bool heard(const char *what)
{
    bool same = !__builtin_strcmp(told, what);
    nr_told = 0;
    told[0] = 0;
    return same;
}

static void fresh(unsigned gsis)
{
    free(dom.irqchip);
    nr_told = told[0] = 0;
    memset(line_masked, 0, sizeof(line_masked));
    dom.max_vcpus = 3;
    for (unsigned i = 0; i < 3; i++) {
        if (cpus[i].lapic)
            vlapic_free(&cpus[i]);
        cpus[i] = (struct vcpu){ .id = i, .domain = &dom };
        dom.vcpu[i] = &cpus[i];
        uint64_t on = 0x1ff;
        CHECK(vlapic_init(&cpus[i]) == 0 && vlapic_mmio(&cpus[i], 0xfee000f0, 4, true, &on));
    }
    CHECK(virqchip_init(&dom, gsis) == 0);
}

static uint32_t mmio_read(uint64_t at)
{
    uint64_t value = 0;
    CHECK(virqchip_mmio(&cpus[0], at, 4, false, &value));
    return value;
}

static void mmio_write(uint64_t at, uint32_t v)
{
    uint64_t value = v;
    CHECK(virqchip_mmio(&cpus[0], at, 4, true, &value));
}

static uint32_t io_read(unsigned chip, uint8_t reg)
{
    mmio_write(VIOAPIC_BASE + chip * 0x1000, reg);
    return mmio_read(VIOAPIC_BASE + chip * 0x1000 + 0x10);
}

static void io_write(unsigned chip, uint8_t reg, uint32_t value)
{
    mmio_write(VIOAPIC_BASE + chip * 0x1000, reg);
    mmio_write(VIOAPIC_BASE + chip * 0x1000 + 0x10, value);
}

static void rte(unsigned gsi, uint32_t low, uint8_t dest)
{
    io_write(gsi / 120, 0x11 + gsi % 120 * 2, (uint32_t)dest << 24);
    io_write(gsi / 120, 0x10 + gsi % 120 * 2, low);
}

/* Takes what is there at CPU `cpu`; -1: nothing. */
static int take(unsigned cpu)
{
    int vector = vlapic_pending(&cpus[cpu]);
    if (vector >= 0)
        vlapic_acknowledge(&cpus[cpu], vector);
    return vector;
}

static void test_ioapic(void)
{
    CHECK(virqchip_init(&dom, 0) == -EINVAL);
    fresh(48);
    CHECK(io_read(0, 0) == 1u << 24 && io_read(0, 1) == 0x2f0020 && io_read(0, 2) == 1u << 24);
    CHECK(io_read(0, 0x10 + 47 * 2) == 0x10000 && io_read(0, 0x10 + 48 * 2) == 0 && io_read(0, 0xff) == 0);
    io_write(0, 0, 0xffffffff);
    CHECK(io_read(0, 0) == 1u << 24);
    io_write(0, 0xff, 0xffffffff); /* beyond its inputs */
    uint64_t value;
    CHECK(!virqchip_mmio(&cpus[0], VIOAPIC_BASE + 0x1000, 4, false, &value));
    io_write(0, 0x10 + 40, ~0u);
    CHECK(io_read(0, 0x10 + 40) == 0x1afff); /* no delivery status, no remote IRR */
    /* Edge: each once; at a masked input lost. */
    rte(20, 0x41, 2);
    virqchip_host_gsi(&dom, 20);
    CHECK(take(1) == 0x41 && take(1) == -1);
    vlapic_eoi(&cpus[1]);
    rte(20, 0x10041, 2);
    virqchip_host_gsi(&dom, 20);
    rte(20, 0x41, 2);
    CHECK(take(1) == -1);
    /* Level: acknowledged by the EOI, the EOI register, and the trick with edge mode. */
    (void)heard("");
    rte(21, 0x8052, 4);
    CHECK(heard("BL2"));
    for (unsigned i = 0; i < 3; i++) {
        virqchip_host_gsi(&dom, 21);
        CHECK(take(2) == 0x52 && io_read(0, 0x10 + 42) == 0xc052 && take(2) == -1 && heard(""));
        vlapic_eoi(&cpus[2]);
        CHECK(io_read(0, 0x10 + 42) == 0x8052 && heard("a"));
    }
    virqchip_host_gsi(&dom, 21);
    CHECK(take(2) == 0x52);
    mmio_write(VIOAPIC_BASE + 0x40, 0x52);
    CHECK(io_read(0, 0x10 + 42) == 0x8052 && heard("a"));
    vlapic_eoi(&cpus[2]);
    virqchip_host_gsi(&dom, 21);
    CHECK(take(2) == 0x52);
    rte(21, 0x10052, 4);
    rte(21, 0x18052, 4);
    CHECK(io_read(0, 0x10 + 42) == 0x18052 && heard("am"));
    vlapic_eoi(&cpus[2]);
    CHECK(heard(""));
    /* Other modes */
    rte(22, 0x400, 2);
    virqchip_host_gsi(&dom, 22);
    CHECK(cpus[1].work & WORK_NMI);
    rte(23, 0x8453, 2); /* a level NMI does not hang */
    virqchip_host_gsi(&dom, 23);
    CHECK(!(io_read(0, 0x10 + 46) & 0x4000));
    rte(24, 0x3, 0); /* a vector that is not one */
    virqchip_host_gsi(&dom, 24);
    CHECK(take(0) == -1);
    virqchip_host_gsi(&dom, 48);
    virqchip_host_gsi(&dom, ~0u);
}

static void test_two_chips(void)
{
    fresh(1000);
    CHECK(io_read(0, 1) == 0x770020 && io_read(1, 1) == 0x770020 && io_read(1, 0) == 2u << 24);
    rte(239, 0x8061, 2);
    virqchip_host_gsi(&dom, 239);
    CHECK(take(1) == 0x61);
    mmio_write(VIOAPIC_BASE + 0x40, 0x61); /* the other chip's */
    CHECK(io_read(1, 0x10 + 119 * 2) == 0xc061);
    vlapic_eoi(&cpus[1]);
    CHECK(io_read(1, 0x10 + 119 * 2) == 0x8061);
    fresh(121);
    CHECK(io_read(1, 1) == 0x20);
}

static void test_host(void)
{
    fresh(24);
    rte(20, 0x1a052, 2);
    CHECK(heard(""));
    rte(20, 0xa052, 2);
    CHECK(heard("Bl1"));
    virqchip_host_gsi(&dom, 20);
    CHECK(heard("") && take(1) == 0x52 && io_read(0, 0x10 + 40) == 0xe052);
    rte(20, 0x1a052, 2); /* masked in service, as threaded handlers do */
    vlapic_eoi(&cpus[1]);
    CHECK(heard("ma"));
    rte(20, 0xa052, 2);
    CHECK(heard("u"));
    virqchip_host_gsi(&dom, 20); /* still asserted */
    CHECK(take(1) == 0x52);
    /* Moved to another CPU while in service: nothing is lost or doubled. */
    rte(20, 0xa052, 4);
    CHECK(heard("Bl2"));
    virqchip_host_gsi(&dom, 20); /* it should not, but if it does: after the EOI */
    CHECK(heard("") && take(2) == -1);
    vlapic_eoi(&cpus[1]);
    CHECK(heard("a"));
    virqchip_host_gsi(&dom, 20);
    CHECK(take(2) == 0x52 && heard(""));
    rte(20, 0x10052, 4); /* to edge: that acknowledges */
    CHECK(heard("am"));
    vlapic_eoi(&cpus[2]);
    CHECK(heard(""));
    rte(20, 0x52, 4);
    CHECK(heard("BE2u"));
    virqchip_host_gsi(&dom, 20);
    CHECK(take(2) == 0x52);
    vlapic_eoi(&cpus[2]);
    CHECK(heard(""));
    /* It fires while the guest masks it. */
    rte(20, 0x8052, 4);
    CHECK(heard("BL2"));
    rte(20, 0x18052, 4);
    virqchip_host_gsi(&dom, 20);
    CHECK(heard("ma") && take(2) == -1);
    /* Level NMI: there is no EOI to wait for. */
    rte(20, 0x8452, 4);
    CHECK(heard("u"));
    virqchip_host_gsi(&dom, 20);
    CHECK(heard("a"));
    bind_result = -ENOSPC;
    rte(9, 0x8039, 0);
    CHECK(heard("BL0"));
    virqchip_host_gsi(&dom, 9);
    CHECK(take(0) == -1);
    rte(20, 0x8452, 2); /* cannot move: stays where it was */
    CHECK(heard("BL1BL1"));
    bind_result = 0;
    rte(9, 0x8039, 0);
    rte(20, 0x8452, 4);
    CHECK(heard("BL0"));
    virqchip_host_gsi(&dom, 9);
    CHECK(take(0) == 0x39);
    virqchip_host_gsi(&dom, 4000);
}

static void test_no_board(void)
{
    static struct domain none;
    struct vcpu v = { .domain = &none };
    uint64_t value;
    uint32_t word;
    CHECK(!virqchip_mmio(&v, VIOAPIC_BASE, 4, false, &value) && !virqchip_port(&v, 0x21, 1, true, &word));
    virqchip_eoi(&none, 0x52);
    virqchip_host_gsi(&none, 1);
}

static void test_odd_accesses(void)
{
    fresh(48);
    uint64_t value = 1;
    CHECK(virqchip_mmio(&cpus[0], VIOAPIC_BASE, 1, true, &value)); /* the index as a byte */
    CHECK(mmio_read(VIOAPIC_BASE + 0x10) == 0x2f0020 && mmio_read(VIOAPIC_BASE + 0x12) == 0x2f);
    CHECK(mmio_read(VIOAPIC_BASE + 0x20) == 0);
    mmio_write(VIOAPIC_BASE + 0xffc, 1);
    mmio_write(VIOAPIC_BASE, 0x10);
    CHECK(virqchip_mmio(&cpus[0], VIOAPIC_BASE + 0x10, 2, true, &value));
    CHECK(mmio_read(VIOAPIC_BASE + 0x10) == 0x10000);
    static const uint64_t nobody[] = { 0, 0xfebfffff, 0xfec01000, 0xfed00000, 0xfee00000, ~0ull, BIT(52) };
    for (unsigned i = 0; i < ARRAY_SIZE(nobody); i++)
        CHECK(!virqchip_mmio(&cpus[0], nobody[i], 4, false, &value));
}

static void out(uint16_t port, uint8_t byte)
{
    uint32_t value = byte;
    CHECK(virqchip_port(&cpus[0], port, 1, false, &value));
}

static uint8_t in(uint16_t port)
{
    uint32_t value = ~0u;
    CHECK(virqchip_port(&cpus[0], port, 1, true, &value) && value < 256);
    return value;
}

/* A kernel that looks for it finds it; its commands do nothing, and it has no ports but these. */
static void test_pic(void)
{
    fresh(48);
    CHECK(in(0x21) == 0xff && in(0xa1) == 0xff);
    out(0x21, 0xfb);
    out(0xa1, 0x5a);
    out(0x20, 0x11);
    out(0xa0, 0x20);
    CHECK(in(0x21) == 0xfb && in(0xa1) == 0x5a && in(0x20) == 0 && in(0xa0) == 0);
    for (unsigned port = 0; port < 0x10000; port++)
        for (unsigned size = 1; size <= 4; size *= 2) {
            bool there = (port == 0x20 || port == 0x21 || port == 0xa0 || port == 0xa1) && size == 1;
            uint32_t value = 0;
            CHECK(virqchip_port(&cpus[0], port, size, port & 1, &value) == there);
        }
}

int main(void)
{
    test_ioapic();
    test_two_chips();
    test_host();
    test_no_board();
    test_odd_accesses();
    test_pic();
    free(dom.irqchip);
    for (unsigned i = 0; i < 3; i++)
        vlapic_free(&cpus[i]);
    return 0;
}
