/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random accesses to the ports, memory and MSRs of interrupt controllers by two vCPUs, with time that creeps or leaps
 * by years. Nothing may take long or leave its bounds; what is due is never in the past for ever.
 */
/* sources: vdev/virqchip.c vdev/vlapic.c */
#include <fake_metal.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

uint64_t hv_tsc_khz = 2100000;
static struct domain dom;
static struct vcpu cpus[2];
static bool bound[256];

void vcpu_kick(struct vcpu *v, uint32_t work) { atomic_fetch_or(&v->work, work); }
void *page_alloc(void) { return calloc(1, PAGE_SIZE); }
void page_free(void *page) { free(page); }
int irq_bind_gsi(unsigned gsi, bool level, bool active_low, unsigned vcpu)
{
    CHECK(gsi < 256 && vcpu < 2);
    if (gsi % 7 == 3)
        return -ENOSPC;
    bound[gsi] = true;
    return 0;
}
void irq_mask_gsi(unsigned gsi, bool masked) { CHECK(bound[gsi]); }
void irq_gsi_eoi(unsigned gsi) { CHECK(bound[gsi]); }

struct op {
    uint8_t kind, cpu, size;
    uint8_t place[2], value[8], time;
} packed;

static void run(struct vcpu *v, uint64_t now)
{
    vlapic_tick(v, now);
    for (unsigned i = 0; i < 3; i++) {
        int vector = vlapic_pending(v);
        CHECK(vector == -1 || (vector >= 16 && vector < 256));
        if (vector >= 0)
            vlapic_acknowledge(v, vector);
    }
    (void)vlapic_take_init(v);
}

static void step(const struct op *o, uint64_t now)
{
    static const uint16_t ports[] = { 0x20, 0x21, 0xa0, 0xa1, 0x40 };
    struct vcpu *v = &cpus[o->cpu & 1];
    uint16_t place = o->place[0] | o->place[1] << 8;
    uint64_t value;
    memcpy(&value, o->value, 8);
    unsigned width = 1u << (o->size & 3);
    uint32_t word = value;
    bool write = o->cpu & 2;
    switch (o->kind % 8) {
    case 0: (void)virqchip_port(v, ports[place % ARRAY_SIZE(ports)], MIN(width, 4), !write, &word); return;
    case 1: (void)virqchip_mmio(v, VIOAPIC_BASE + (place & 0x1053), width, write, &value); return;
    case 2: (void)vlapic_mmio(v, 0xfee00000 + (place & 0xfff), width, write, &value); return;
    case 3:
        (void)(write ? vlapic_msr_write(v, 0x800 + place % 64, value) : vlapic_msr_read(v, 0x800 + place % 64, &value));
        return;
    case 4:
        (void)vlapic_msr_write(v, place & 1 ? 0x6e0 : 0x1b, place & 2 ? 0xfee00000 | (value & 0xd00) : value);
        return;
    case 5: virqchip_host_gsi(&dom, place % 260); return;
    case 6: vlapic_eoi(v); return;
    default:
        if (write)
            v->cr8 = value & 15;
        run(v, now);
        return;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    memset(bound, 0, sizeof(bound));
    dom = (struct domain){ .max_vcpus = 2 };
    uint64_t now = data[0] & 1 ? 0 : BIT(63) - 1000000;
    for (unsigned i = 0; i < 2; i++) {
        cpus[i] = (struct vcpu){ .id = i, .domain = &dom };
        dom.vcpu[i] = &cpus[i];
        uint64_t on = 0x1ff;
        CHECK(vlapic_init(&cpus[i]) == 0 && vlapic_mmio(&cpus[i], 0xfee000f0, 4, true, &on));
    }
    CHECK(virqchip_init(&dom, data[1] + 1) == 0);
    for (size_t at = 2; at + sizeof(struct op) <= size; at += sizeof(struct op)) {
        struct op o;
        memcpy(&o, data + at, sizeof(o));
        now += 1ull << o.time % 63; /* up to 146 years a step; it may wrap around */
        fake_now = now;
        step(&o, now);
        run(&cpus[o.size >> 7], now);
    }
    free(dom.irqchip);
    for (unsigned i = 0; i < 2; i++)
        vlapic_free(&cpus[i]);
    return 0;
}
