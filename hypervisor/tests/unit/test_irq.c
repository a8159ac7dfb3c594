/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * irq.c on a made-up machine: IOAPICs of 24 lines, remapping that can be switched on, four CPUs. At the end real
 * threads: two that bind and unbind, two CPUs that take interrupts all the time.
 */
/* sources: cpu/irq.c */
#include "fake_metal.h"

#include "../../cpu/apic.h"
#include "../../cpu/cpu.h"
#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

static struct domain dom;
struct domain *hv_control_domain = &dom;
static struct binding *msi[4][1024];
static struct vcpu vcpus[4];
static _Atomic unsigned delivered, eois, gsis, directed, timer_ticks;
static _Atomic uint32_t last_dest, last_vector, last_gsi, last_mode;
static uint32_t ioapic[2][64];
static bool remaps;
static _Atomic int entries;
static int remap_error;
struct board hv_board;

void apic_eoi(void) { eois++; }
uint32_t apic_id_of(unsigned cpu) { return cpu * 2; }
void clock_alarm(void) { timer_ticks++; }
void console_poll(void) {}
void ioapic_map(unsigned io, paddr_t address) {}
uint32_t ioapic_read(unsigned io, uint8_t reg) { return reg == 1 ? 23 << 16 | (io ? 0x11 : 0x20) : ioapic[io][reg]; }
void ioapic_write(unsigned io, uint8_t reg, uint32_t value) { ioapic[io][reg] = value; }
void ioapic_directed_eoi(unsigned io, uint8_t vector) { directed++; }
bool iommu_remaps_interrupts(void) { return remaps; }
int32_t iommu_ioapic_sbdf(uint8_t id) { return id == 7 ? 0xa0 : -1; }
int iommu_remap(uint32_t sbdf, int *entry, uint8_t vector, uint32_t apic_id, bool level, struct msi_message *out)
{
    if (remap_error)
        return remap_error;
    if (remaps && *entry < 0) {
        *entry = 0x105;
        entries++;
    }
    *out = (struct msi_message){ 0xfee00000 | apic_id << 12, vector };
    if (remaps)
        out->data = *entry; /* as with AMD-Vi */
    return 0;
}
void iommu_remap_free(uint32_t sbdf, int entry)
{
    CHECK(entry == 0x105);
    entries--;
}
unsigned vlapic_target(struct domain *d, uint32_t dest, bool logical)
{
    return logical ? (unsigned)__builtin_ctz(dest | 0x80) : dest / 2;
}
uint64_t iommu_ioapic_rte(const struct msi_message *m, bool level, bool active_low, bool masked)
{
    return (m->address >> 4 & 0xffff) << 48 | (m->data & 0x7ff) | active_low << 13 | level << 15 | masked << 16;
}
void vlapic_deliver(struct domain *d, uint32_t dest, bool logical, uint8_t mode, uint8_t vector, bool level)
{
    CHECK(d == &dom);
    delivered++;
    last_dest = dest;
    last_vector = vector;
    last_mode = mode;
}
void virqchip_host_gsi(struct domain *d, unsigned gsi)
{
    gsis++;
    last_gsi = gsi;
}
void *page_alloc(void)
{
    void *p = aligned_alloc(4096, 4096);
    return p ? memset(p, 0, 4096) : p;
}

static void fire(unsigned cpu, uint8_t vector)
{
    fake_cpu = cpu;
    irq_handle(vector);
}

static struct msi_message message(unsigned vcpu, uint8_t vector)
{
    return (struct msi_message){ 0xfee00000 | vcpu << 13, vector };
}

static uint8_t bind(unsigned device, unsigned index, struct msi_message m, unsigned *cpu)
{
    struct msi_message out;
    CHECK(irq_bind_msi(&msi[device][index], device, m, &out) == 0);
    CHECK(out.data >= VECTOR_FIRST && out.data <= VECTOR_LAST && out.address >> 20 == 0xfee);
    *cpu = (out.address >> 12 & 0xff) / 2;
    return out.data;
}

static void test_msi(void)
{
    unsigned cpu;
    fire(0, 0x40); /* before anything is bound */
    CHECK(eois == 1 && delivered == 0);
    uint8_t v = bind(0, 0, message(2, 0x51), &cpu);
    CHECK(cpu == 2);
    fire(cpu, v);
    CHECK(delivered == 1 && last_dest == 4 && last_vector == 0x51 && eois == 2);
    fire(0, v); /* not there */
    CHECK(delivered == 1 && eois == 3);
    CHECK(bind(0, 0, message(2, 0x52), &cpu) == v && cpu == 2); /* the vector is the guest's business */
    fire(2, v);
    CHECK(last_vector == 0x52);
    CHECK(bind(0, 0, message(1, 0x53), &cpu) == v && cpu == 1); /* moves, the number stays */
    fire(1, v);
    CHECK(last_dest == 2 && last_vector == 0x53 && delivered == 3);
    fire(2, v); /* late */
    CHECK(last_vector == 0x53 && delivered == 4);
    vcpus[1].cpu = 3;
    CHECK(bind(0, 0, message(1, 0x53), &cpu) == v && cpu == 3);
    vcpus[1].cpu = 1;
    fire(2, v); /* the one before the last */
    CHECK(delivered == 4);
    struct msi_message out, m = message(1, 0x53);
    m.data = 0xf;
    CHECK(irq_bind_msi(&msi[0][0], 0, m, &out) == -EINVAL);
    m.data = 0x250; /* SMI */
    CHECK(irq_bind_msi(&msi[0][0], 0, m, &out) == -EINVAL);
    m.data = 0x400;
    CHECK(irq_bind_msi(&msi[0][1], 0, m, &out) == 0);
    irq_unbind_msi(&msi[0][1]);
    m = (struct msi_message){ 0x1fee00000, 0x50 };
    CHECK(irq_bind_msi(&msi[0][0], 0, m, &out) == -EINVAL);
    bind(0, 0, (struct msi_message){ 0xfee00004 | 8 << 12, 0x150 }, &cpu); /* logical, flat: vCPU 3; lowest priority */
    fire(cpu, v);
    CHECK(cpu == 3 && last_mode == 1);
    bind(0, 0, (struct msi_message){ 0xfee0000c | 8 << 12, 0x50 }, &cpu); /* the same by a hint */
    fire(cpu, v);
    CHECK(cpu == 3 && last_mode == 1);
    bind(0, 0, (struct msi_message){ 0xfeeff004, 0x50 }, &cpu);
    bind(0, 0, (struct msi_message){ 0xfee80004, 0x50 }, &cpu);
    bind(0, 0, (struct msi_message){ 0xfee00004, 0x50 }, &cpu);
    bind(0, 0, (struct msi_message){ 0xfeeff000, 0x50 }, &cpu);
    CHECK(cpu == 0);
    fire(cpu, v);
    unsigned before = delivered;
    irq_unbind_msi(&msi[0][0]);
    irq_unbind_msi(&msi[0][0]);
    fire(cpu, v);
    CHECK(delivered == before);
}

static void test_exhaustion(void)
{
    struct msi_message out;
    unsigned n = 0, all = 4 * (VECTOR_LAST - VECTOR_FIRST + 1);
    while (irq_bind_msi(&msi[1][n], 1, message(0, 0x50), &out) == 0)
        n++;
    CHECK(n == all && irq_bind_msi(&msi[2][0], 2, message(3, 0x50), &out) == -ENOSPC);
    unsigned cpu;
    bind(1, 0, message(3, 0x50), &cpu); /* where there is no room it stays where it is */
    CHECK(cpu == 0);
    while (n-- > 0)
        irq_unbind_msi(&msi[1][n]);
    /* an old vector is kept until the next move: back to it, or away for good */
    uint8_t vector = bind(1, 0, message(0, 0x51), &cpu);
    for (n = 0; n < all / 4; n++)
        bind(1, n, message(0, 0x51), &cpu);
    for (n = 0; n < all / 4; n++)
        bind(1, n, message(1, 0x51), &cpu);
    bind(2, 0, message(0, 0x50), &cpu);
    CHECK(cpu == 2);
    CHECK(bind(1, 0, message(0, 0x52), &cpu) == vector && cpu == 0);
    fire(1, vector);
    CHECK(last_vector == 0x52);
    remap_error = -ENOMEM; /* changes nothing */
    CHECK(irq_bind_msi(&msi[1][0], 1, message(1, 0x53), &out) == -ENOMEM);
    CHECK(irq_bind_msi(&msi[1][0], 1, message(3, 0x53), &out) == -ENOMEM);
    CHECK(irq_bind_msi(&msi[2][1], 2, message(3, 0x53), &out) == -ENOMEM && !msi[2][1]);
    remap_error = 0;
    unsigned count = delivered;
    fire(0, vector);
    fire(1, vector);
    CHECK(delivered == count + 2 && last_vector == 0x52);
    fire(3, vector);
    CHECK(delivered == count + 2);
    bind(1, 0, message(3, 0x52), &cpu);
    bind(2, 1, message(1, 0x50), &cpu);
    CHECK(cpu == 1);
    for (n = 0; n < all / 4; n++)
        irq_unbind_msi(&msi[1][n]);
    irq_unbind_msi(&msi[2][0]);
    irq_unbind_msi(&msi[2][1]);
    for (n = 0; n < all; n++)
        bind(1, n, message(0, 0x50), &cpu);
    for (n = 0; n < all; n++)
        irq_unbind_msi(&msi[1][n]);
}

static uint32_t rte(unsigned gsi) { return ioapic[gsi / 24][0x10 + 2 * (gsi % 24)]; }

static void test_lines(void)
{
    CHECK(irq_nr_gsis() == 48);
    for (unsigned gsi = 0; gsi < 48; gsi++)
        CHECK(rte(gsi) & 0x10000);
    CHECK(irq_bind_gsi(48, true, true, 0) == -EINVAL && irq_bind_gsi(~0u, true, true, 0) == -EINVAL);
    CHECK(irq_bind_gsi(10, true, true, 1) == 0);
    CHECK((rte(10) & ~0xffu) == 0xa000 && ioapic[0][0x25] == 2u << 24);
    unsigned n = gsis;
    fire(1, rte(10));
    CHECK(gsis == n + 1 && last_gsi == 10 && rte(10) & 0x10000);
    irq_gsi_eoi(10);
    irq_gsi_eoi(10);
    CHECK(!(rte(10) & 0x10000));
    irq_mask_gsi(10, true);
    CHECK(rte(10) & 0x10000);
    CHECK(irq_bind_gsi(10, true, true, 2) == 0 && rte(10) & 0x10000); /* the mask stays */
    irq_mask_gsi(10, false);
    CHECK(!(rte(10) & 0x10000));
    fire(2, rte(10));
    CHECK(irq_bind_gsi(10, false, false, 2) == 0 && !(rte(10) & 0x1a000)); /* to edge: nothing is in service */
    irq_mask_gsi(11, false);
    CHECK(rte(11) & 0x10000); /* nobody's */
    CHECK(irq_bind_gsi(30, false, false, 0) == 0);
    uint8_t v = rte(30);
    memset(ioapic, 0, sizeof(ioapic));
    irq_resume();
    CHECK(!(rte(30) & 0x10000) && (uint8_t)rte(30) == v && rte(31) & 0x10000);
    /* the hypervisor's own */
    CHECK(irq_route_isa(3, VECTOR_SERIAL) == -ENODEV);
    CHECK(irq_route_isa(4, VECTOR_SERIAL) == 0 && rte(20) == (0xa000 | VECTOR_SERIAL));
    CHECK(irq_bind_gsi(20, true, true, 0) == -EBUSY);
}

static void test_remapped_lines(void)
{
    remaps = true;
    CHECK(irq_bind_gsi(31, true, true, 0) == -ENODEV); /* the tables do not know IOAPIC 8 */
    CHECK(irq_bind_gsi(5, true, true, 3) == 0 && entries == 1);
    CHECK((rte(5) & 0x7ff) == 0x105);
    unsigned n = directed, count = gsis;
    for (unsigned v = VECTOR_FIRST; v <= VECTOR_LAST && gsis == count; v++)
        fire(3, v);
    CHECK(gsis == count + 1 && last_gsi == 5 && rte(5) & 0x10000);
    irq_gsi_eoi(5);
    CHECK(directed == n + 1 && !(rte(5) & 0x10000));
    CHECK(irq_bind_gsi(5, true, true, 1) == 0 && entries == 1);
    remaps = false;
}

static _Atomic bool stop;

static void *binder(void *arg)
{
    unsigned self = (uintptr_t)arg;
    struct msi_message out;
    unsigned before = delivered;
    fake_cpu = 2 + self;
    for (unsigned i = 0; i < 3000 || (delivered < before + 10 && i < 10000000); i++) {
        CHECK(irq_bind_msi(&msi[2 + self][i % 8], 2 + self, message(i % 4, 0x20 + i % 200), &out) == 0);
        if (i % 5 == 0)
            irq_unbind_msi(&msi[2 + self][i % 8]);
        if (i % 3 == 0)
            CHECK(irq_bind_gsi(10 + self, i & 1, true, i % 4) == 0);
        irq_mask_gsi(10 + self, i & 2);
        irq_gsi_eoi(10 + self);
    }
    for (unsigned i = 0; i < 8; i++)
        irq_unbind_msi(&msi[2 + self][i]);
    return NULL;
}

static void *taker(void *arg)
{
    for (unsigned n = 0; !stop; n++) {
        sched_yield();
        fire((uintptr_t)arg, VECTOR_FIRST + n % (VECTOR_LAST - VECTOR_FIRST + 1));
    }
    return NULL;
}

static void test_threads(void)
{
    pthread_t binders[2], takers[2];
    unsigned before = delivered;
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&takers[i], NULL, taker, (void *)i) == 0);
    for (uintptr_t i = 0; i < 2; i++)
        CHECK(pthread_create(&binders[i], NULL, binder, (void *)i) == 0);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(binders[i], NULL);
    stop = true;
    for (unsigned i = 0; i < 2; i++)
        pthread_join(takers[i], NULL);
    CHECK(delivered > before);
    before = delivered;
    for (unsigned cpu = 0; cpu < 4; cpu++) {
        for (unsigned v = VECTOR_FIRST; v <= VECTOR_LAST; v++)
            fire(cpu, v);
    }
    CHECK(delivered == before);
}

int main(void)
{
    for (unsigned i = 0; i < 4; i++) {
        vcpus[i] = (struct vcpu){ .id = i, .cpu = i };
        dom.vcpu[i] = &vcpus[i];
    }
    dom.max_vcpus = 4;
    hv_board = (struct board){ .nr_ioapics = 4,
                               .ioapic = { { 7, 0xfec00000, 0 },
                                           { 8, 0xfec01000, 24 },
                                           { 9, 0xfec02000, 500 }, /* too far */
                                           { 10, 0xfec03000, ~0u } },
                               .isa = { [3] = { .gsi = 512 }, [4] = { 20, true, true } } };
    irq_init(4);
    test_msi();
    test_exhaustion();
    test_lines();
    test_remapped_lines();
    unsigned n = eois;
    fire(0, VECTOR_TIMER);
    fire(0, VECTOR_KICK);
    CHECK(timer_ticks == 1 && eois == n + 2);
    fire(0, VECTOR_SPURIOUS);
    CHECK(eois == n + 2);
    test_threads();
    return 0;
}
