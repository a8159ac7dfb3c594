/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The drivers against emulated units, one process for each kind: registers in memory, and a thread that plays the unit
 * (consumes its queue, stores what waits ask for, answers commands). Its clock runs with its loop.
 */
/* sources: iommu/iommu.c iommu/amdvi.c iommu/vtd.c iommu/tables.c lib/acpi.c mem/p2m.c */
#include "../../iommu/unit.h"
#include "fake_metal.h"
#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/machine.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGES 16384
static uint64_t links[PAGES];
static bool taken[PAGES];
static unsigned in_use;

static pthread_mutex_t pages_lock = PTHREAD_MUTEX_INITIALIZER;

static void *pages_find(unsigned order)
{
    for (unsigned i = 1 << order > 512 ? 1 << order : 512; i + (1 << order) <= PAGES; i += 1 << order) {
        bool busy = false;
        for (unsigned k = 0; k < 1u << order; k++)
            busy |= taken[i + k];
        if (busy)
            continue;
        memset(taken + i, 1, 1 << order);
        in_use += 1 << order;
        return memset(paddr_ptr((uint64_t)i << PAGE_SHIFT), 0, PAGE_SIZE << order);
    }
    return NULL;
}

void *pages_alloc(unsigned order)
{
    pthread_mutex_lock(&pages_lock);
    void *pages = pages_find(order);
    pthread_mutex_unlock(&pages_lock);
    return pages;
}

void *page_alloc(void) { return pages_alloc(0); }
void page_free(void *page)
{
    pthread_mutex_lock(&pages_lock);
    CHECK(taken[ptr_mfn(page).n]);
    taken[ptr_mfn(page).n] = false;
    in_use--;
    pthread_mutex_unlock(&pages_lock);
}

gfn_t frame_gfn(mfn_t m) { return gfn(links[m.n]); }
void frame_set_gfn(mfn_t m, gfn_t g) { links[m.n] = g.n; }
/* Trees of devices hold no references. */
bool frame_get(mfn_t m, domid_t owner) { abort(); }
void frame_put(mfn_t m) { abort(); }
domid_t frame_owner(mfn_t m) { abort(); }

static int map(uint64_t g, uint64_t m, uint64_t count, enum p2m_type type)
{
    return p2m_map(iommu_tree(), gfn(g), mfn(m), count, type);
}

static int unmap(uint64_t g, uint64_t count) { return p2m_unmap(iommu_tree(), gfn(g), count); }

struct machine hv_machine;
struct board hv_board;
static bool x2apic = true, too_old, far_ram;

bool metal_msr_read(uint32_t msr, uint64_t *value)
{
    CHECK(msr == 0x1b);
    *value = x2apic ? 0xfee00d00 : 0xfee00900;
    return true;
}

/* --- the unit --------------------------------------------------------------------------------------------------- */
static uint8_t regs[0x5000] __attribute__((aligned(4096)));
static _Atomic bool stalled, quit;
static _Atomic unsigned commands[16]; /* by kind */
static _Atomic uint64_t last_flush;   /* hardware id of the last one for a domain */
static bool amd;

#define R64(at) (*(volatile uint64_t *)(regs + (at)))
#define R32(at) (*(volatile uint32_t *)(regs + (at)))

void *metal_map_mmio(paddr_t base, size_t size)
{
    CHECK(base == 0xfed80000 && size <= sizeof(regs));
    return regs;
}

static void amd_step(void)
{
    if ((R64(0x18) & 0x1001) != 0x1001)
        return;
    while (R64(0x2000) != R64(0x2008)) {
        const volatile uint64_t *c = paddr_ptr((R64(8) & P2M_ADDRESS) + R64(0x2000));
        unsigned kind = c[0] >> 60;
        if (kind == 1 && (c[0] & 1))
            *(volatile uint64_t *)paddr_ptr(c[0] & 0x000ffffffffffff8) = c[1];
        if (kind == 3)
            last_flush = c[0] >> 32 & 0xffff;
        commands[kind]++;
        R64(0x2000) = (R64(0x2000) + 16) % 4096;
    }
}

static void vtd_step(void)
{
    uint32_t command = R32(0x18), states = command & 0x86000000;
    uint32_t sticky = (R32(0x1c) | command) & 0x41000000;
    R32(0x1c) = states | sticky;
    if (!(states & 0x04000000)) {
        R64(0x80) = 0;
        return;
    }
    while (R64(0x80) != R64(0x88)) {
        const volatile uint64_t *c = paddr_ptr((R64(0x90) & P2M_ADDRESS) + R64(0x80));
        unsigned kind = c[0] & 15;
        if (kind == 5 && (c[0] & 0x20))
            *(volatile uint32_t *)paddr_ptr(c[1]) = c[0] >> 32;
        if (kind == 2 && (c[0] >> 4 & 3) == 2)
            last_flush = c[0] >> 16 & 0xffff;
        commands[kind]++;
        R64(0x80) = (R64(0x80) + 16) % 4096;
    }
}

static uint64_t translate(uint16_t bdf, uint64_t address, bool write);
static _Atomic uint64_t at_start; /* what 00:02.0 reached in its reserved memory when the unit was switched on */

static void *unit_run(void *arg)
{
    bool on = false;
    while (!quit) {
        fake_now += 2000;
        sched_yield();
        if (stalled)
            continue;
        if (amd)
            amd_step();
        else
            vtd_step();
        bool now = amd ? R64(0x18) & 1 : R32(0x1c) >> 31;
        if (now && !on)
            at_start = translate(0x10, 0x800000, true);
        on = now;
    }
    return NULL;
}

static uint64_t entries[5]; /* that the last translation went through, by level */

/* What device bdf reaches at `address`; ~0: nothing. From the registers on. */
static uint64_t translate(uint16_t bdf, uint64_t address, bool write)
{
    const uint64_t *table;
    unsigned level;
    if (amd) {
        const uint64_t *dte = paddr_ptr((R64(0) & P2M_ADDRESS) + bdf * 32ul);
        CHECK((R64(0x18) & 1) && (dte[0] & 3) == 3 && !(dte[1] & 0x100) && (dte[0] & 0x803000000000007c) == 0);
        level = dte[0] >> 9 & 7;
        CHECK(level == 4);
        if (!(dte[0] & BIT(61)) || !(dte[0] & BIT(62)))
            return ~0ull;
        table = paddr_ptr(dte[0] & P2M_ADDRESS);
    } else {
        const uint64_t *root = paddr_ptr(R64(0x20) + (bdf >> 8) * 16), *context;
        CHECK(R32(0x1c) & BIT(31));
        if (!(root[0] & 1))
            return ~0ull;
        context = (uint64_t *)paddr_ptr(root[0] & P2M_ADDRESS) + 2 * (bdf & 0xff);
        if (!(context[0] & 1))
            return ~0ull;
        level = (context[1] & 7) + 2;
        table = paddr_ptr(context[0] & P2M_ADDRESS);
    }
    for (;; level--) {
        uint64_t e = table[address >> (3 + 9 * level) & 511], low = (1ull << (3 + 9 * level)) - 1;
        entries[level] = e;
        if (!(e & 1) || (write && !(e & (amd ? BIT(62) : BIT(1)))))
            return ~0ull;
        CHECK(!amd || !(e >> 9 & 7) || (e >> 9 & 7) == level - 1u);
        if (amd ? !(e >> 9 & 7) : level == 1 || (e & BIT(7)))
            return (e & P2M_ADDRESS & ~low) | (address & low);
        table = paddr_ptr(e & P2M_ADDRESS);
    }
}

/* --- the machine ------------------------------------------------------------------------------------------------ */
static uint8_t *acpi; /* at 1 MiB */
static char *said;    /* the log */
static size_t said_length;

static bool log_has(const char *what)
{
    fflush(stderr);
    return said && strstr(said, what);
}

static void log_clear(void)
{
    fflush(stderr);
    if (said)
        memset(said, ' ', said_length);
}

static void make_ivrs(void)
{
    static const uint8_t body[] = {
        0x10, 0x01, 24 + 4 + 8 + 8,
        0,    0x18, 0,
        0x40, 0,    0,
        0,    0xd8, 0xfe,
        0,    0,    0,
        0,    0,    0,
        0,    0,    0,
        0,    0,    0, /* unit */
        1,    0,    0,
        0x40, 0x42, 0x08,
        0x01, 0,    0,
        0x00, 0x01, 0, /* all; 01:01.0 appears as 01:00.0 */
        0x48, 0,    0,
        0xd7, 0,    0xa0,
        0,    1, /* IOAPIC 0 at 00:14.0 */
        0x21, 7,    32,
        0,    0x10, 0,
        0,    0,    0,
        0,    0,    0,
        0,    0,    0,
        0,    0,    0,
        0x80, 0x00, 0,
        0,    0,    0,
        0,    0,    1,
        0,    0,    0,
        0,    0,
    };
    uint32_t length = 48 + sizeof(body);
    memcpy(acpi, "IVRS", 4);
    memcpy(acpi + 4, &length, 4);
    memcpy(acpi + 48, body, sizeof(body));
}

/* Firmware's claim to RAM, at 12 MiB for 00:04.0. */
static void claim_ram(void)
{
    static const uint8_t ivmd[] = { 0x21, 7, 32,   0, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0,
                                    0,    0, 0xc0, 0, 0,    0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0 };
    static const uint8_t rmrr[] = { 1,    0,    32,   0, 0, 0, 0, 0, 0, 0, 0xc0, 0, 0, 0, 0, 0,
                                    0xff, 0xff, 0xc0, 0, 0, 0, 0, 0, 1, 8, 0,    0, 0, 0, 4, 0 };
    static struct e820entry ram = { MIB(12), MIB(1), 1 };
    uint32_t length;
    memcpy(&length, acpi + 4, 4);
    memcpy(acpi + length, amd ? ivmd : rmrr, 32);
    length += 32;
    memcpy(acpi + 4, &length, 4);
    hv_machine.e820 = &ram;
    hv_machine.nr_e820 = 1;
    hv_machine.max_page = (1 << 27) + far_ram; /* the end of what a unit reaches, or behind it */
}

static void make_dmar(void)
{
    static const uint8_t body[] = {
        0, 0, 24, 0, 1, 0, 0, 0, 0, 0, 0xd8, 0xfe, 0, 0, 0, 0, 3,    8,    0,    0, 0, 0xff, 0, 0, /* unit, IOAPIC 0 at
                                                                                                      ff:00.0 */
        1, 0, 32, 0, 0, 0, 0, 0, 0, 0, 0x80, 0,    0, 0, 0, 0, 0xff, 0xff, 0x80, 0, 0, 0,    0, 0, 1,
        8, 0, 0,  0, 0, 2, 0,
    };
    uint32_t length = 48 + sizeof(body);
    memcpy(acpi, "DMAR", 4);
    memcpy(acpi + 4, &length, 4);
    memcpy(acpi + 48, body, sizeof(body));
    acpi[36] = 38; /* 39 bits of address */
    acpi[37] = 1;
    /* A PCI Express to PCI bridge at 00:1e.0 with bus 1 behind it, and a plain device there. */
    memset(fake_pci, 0xff, sizeof(fake_pci));
    memset(fake_pci[0xf0], 0, 256);
    fake_pci[0xf0][0x0e] = 1;
    fake_pci[0xf0][0x19] = fake_pci[0xf0][0x1a] = 1;
    fake_pci[0xf0][0x34] = 0x40;
    fake_pci[0xf0][0x40] = 0x10;
    fake_pci[0xf0][0x42] = 0x72;
    memset(fake_pci[0], 0, 256);
    /* CAP: 39 and 48 bits, 2 MiB and 1 GiB, fault records at 0x220, 64K domains; ECAP: coherent, QI, IR, EIM. */
    R64(8) = 6 | 6ull << 8 | 3ull << 34 | 0x22ull << 24 | 1ull << 40;
    R64(0x10) = 1 | 2 | 8 | 16;
}

static struct domain dom0 = { .control = true };

static void test_boot(void)
{
    CHECK(iommu_is_unit(0x18) == amd && !iommu_is_unit(0) && !iommu_is_unit(0x10018));
    CHECK(iommu_present() && iommu_remaps_interrupts());
    while (!at_start)
        sched_yield();
    CHECK(at_start == 0x800000);
    /* All blocked but the reserved region of 00:02.0. */
    CHECK(translate(0x10, 0x800000, true) == 0x800000 && translate(0x10, 0x80ffff, true) == 0x80ffff);
    CHECK(translate(0x10, 0x810000, true) == ~0ull && translate(0x18, 0x800000, false) == ~0ull);
    CHECK(translate(0x20, MIB(12), false) == ~0ull && log_has("0xc00000, reserved by firmware for a device, is RAM"));
    CHECK(iommu_ioapic_sbdf(0) == (amd ? 0xa0 : 0xff00) && iommu_ioapic_sbdf(1) == -1);
}

static void test_memory(void)
{
    CHECK(map(0, 0, GIB(4) >> PAGE_SHIFT, P2M_RAM) == 0);
    CHECK(iommu_assign(&dom0, 0x18) == 0 && iommu_assign(&dom0, 0x10) == 0);
    CHECK(translate(0x18, 0x12345678, true) == 0x12345678 && translate(0x18, GIB(4), false) == ~0ull);
    /* Taken away: gone from the tables, and the units told. */
    last_flush = 0;
    CHECK(unmap(0x12345, 1) == 0);
    CHECK(last_flush == IOMMU_DOMAIN && translate(0x18, 0x12345678, false) == ~0ull);
    CHECK(entries[1] == (amd ? 1 << 9 : 0)); /* for QEMU */
    CHECK(translate(0x18, 0x12344678, true) == 0x12344678);
    /* The entries bit by bit, but for those that units ignore. */
    CHECK((entries[4] & ~P2M_ADDRESS) == (amd ? 3ull << 61 | 3 << 9 | 1 : 3));
    CHECK((entries[2] & ~P2M_ADDRESS) == (amd ? 3ull << 61 | 1 << 9 | 1 : 3));
    CHECK((entries[1] & ~(amd ? 0x1feull : BIT(52) * 0x3ff)) == (0x12344000 | (amd ? 7ull << 60 | 1 : 3)));
    CHECK(translate(0x18, 0x40000000, true) == 0x40000000);
    CHECK((entries[3] & ~(amd ? 0x1feull : BIT(52) * 0x3ff)) == (0x40000000 | (amd ? 7ull << 60 | 1 : 0x83)));
    /* Nothing that could be cached changed: no flush. */
    last_flush = 0;
    CHECK(map(0x12345, 0x12345, 1, P2M_RAM) == 0 && last_flush == 0 && unmap(0x12345, 1) == 0);
    CHECK(last_flush == IOMMU_DOMAIN);
    /* Read-only pages. */
    CHECK(map(0x100, 0x777, 1, P2M_RAM_RO) == 0);
    CHECK(translate(0x18, 0x100004, false) == 0x777004 && translate(0x18, 0x100004, true) == ~0ull);
    CHECK((entries[1] & ~(amd ? 0x1feull : BIT(52) * 0x3ff)) == (0x777000 | (amd ? 3ull << 60 | 1 : 1)));
    CHECK(translate(0x18, 0x101004, true) == 0x101004);
}

static void test_devices(void)
{
    /* Behind a bridge, the requests of 01:01.0 and 01:02.0 carry 01:00.0; it stays when one of them goes. */
    CHECK(translate(0x100, 0x1000, true) == ~0ull);
    CHECK(iommu_assign(&dom0, 0x108) == 0 && translate(0x100, 0x1000, true) == 0x1000);
    CHECK(iommu_assign(&dom0, 0x110) == 0 && translate(0x108, 0x1000, true) == 0x1000);
    CHECK(iommu_assign(NULL, 0x108) == 0 && translate(0x108, 0x1000, true) == ~0ull);
    CHECK(translate(0x100, 0x1000, true) == 0x1000);
    /* A bridge that came later: 02:03.0 appears as the conventional bridge 00:1d.0. */
    memset(fake_pci[0xe8], 0, 256);
    fake_pci[0xe8][0x0e] = 1;
    fake_pci[0xe8][0x19] = fake_pci[0xe8][0x1a] = 2;
    CHECK(iommu_assign(&dom0, 0x218) == 0 && translate(0xe8, 0x1000, true) == 0x1000);
    /* No unit for segment 1. */
    CHECK(iommu_assign(&dom0, 0x10018) == -EOPNOTSUPP && iommu_assign(NULL, 0x10018) == 0);
    /* Taken away, and given again. */
    CHECK(iommu_assign(NULL, 0x10) == 0 && translate(0x10, 0x800000, true) == ~0ull);
    CHECK(iommu_assign(&dom0, 0x10) == 0 && translate(0x10, 0x800000, true) == 0x800000);
}

static const uint64_t *amd_irte_at(uint16_t bdf, unsigned index)
{
    const uint64_t *dte = paddr_ptr((R64(0) & P2M_ADDRESS) + bdf * 32ul);
    CHECK((dte[2] & 0x3f) == (8 << 1 | 1) && (dte[2] >> 60 & 3) == 2);
    return (const uint64_t *)paddr_ptr(dte[2] & 0x000fffffffffffc0) + 2 * index;
}

static void test_interrupts(void)
{
    struct msi_message m;
    int entry = -1, second = -1;
    CHECK(iommu_remap(0x18, &entry, 0x55, 3, false, &m) == 0 && entry == 0);
    CHECK(iommu_remap(0x18, &second, 0x56, 4, false, &m) == 0 && second == 1);
    if (amd) {
        CHECK(m.address == 0xfee00000 && m.data == 1);
        const uint64_t *irte = amd_irte_at(0x18, 0);
        CHECK(irte[0] == (1 | 3 << 8) && irte[1] == 0x55 && irte[2] == (1 | 4 << 8) && irte[3] == 0x56);
        const uint64_t *none = paddr_ptr((R64(0) & P2M_ADDRESS) + 0x20 * 32ul);
        CHECK((none[2] & 1) && !(none[2] >> 60 & 3));           /* without a table: aborted */
        none = paddr_ptr((R64(0) & P2M_ADDRESS) + 0xa0 * 32ul); /* the IOAPIC's others pass as firmware says, 0xd7 */
        CHECK(none[2] >> 56 == 0xc7 && (none[1] >> 40 & 3) == 1);
    } else {
        const uint64_t *irte = paddr_ptr(R64(0xb8) & P2M_ADDRESS);
        CHECK(m.address == (0xfee00010 | 1 << 5) && m.data == 0x56 && (R64(0xb8) & 0xfff) == (BIT(11) | 11));
        CHECK(irte[2] == (1 | 0x56 << 16 | 4ull << 32) && irte[3] == (0x18 | 1 << 18) && (R32(0x1c) & BIT(25)));
    }
    /* The same entry again, another vector; freed ones are used again. */
    CHECK(iommu_remap(0x18, &entry, 0x57, 3, false, &m) == 0 && entry == 0);
    iommu_remap_free(0x18, 0);
    entry = -1;
    CHECK(iommu_remap(0x18, &entry, 0x58, 3, false, &m) == 0 && entry == 0);
    iommu_remap_free(0x18, -1);
    /* 32-bit destinations. */
    CHECK(iommu_remap(0x18, &second, 0x58, 0x12345678, false, &m) == 0);
    if (amd)
        CHECK(amd_irte_at(0x18, 1)[0] == (1 | 0x345678 << 8) && amd_irte_at(0x18, 1)[1] == (0x58 | 0x12ull << 56));
    else
        CHECK(((uint64_t *)paddr_ptr(R64(0xb8) & P2M_ADDRESS))[2] == (1 | 0x58 << 16 | 0x12345678ull << 32));
    /* An IOAPIC's. */
    entry = -1;
    CHECK(iommu_remap(iommu_ioapic_sbdf(0), &entry, 0x61, 2, true, &m) == 0);
    uint64_t rte = iommu_ioapic_rte(&m, true, true, true);
    CHECK(rte == (amd ? 0x1a000 : (0x1a000 | 0x61 | 1ull << 48 | (uint64_t)entry << 49)));
    /* Until there is none left. Most of VT-d's are taken by hand, each would be a round trip. */
    uint64_t *irt = amd ? NULL : paddr_ptr(R64(0xb8) & P2M_ADDRESS);
    for (unsigned i = 3; !amd && i < 4090; i++)
        irt[2 * i] = 1;
    for (unsigned n = 0, all = amd ? 256 : 6; n <= all; n++) {
        int more = -1;
        CHECK(iommu_remap(0x20, &more, 0x40, 0, false, &m) == (n < all ? 0 : -ENOSPC));
        CHECK(more == (n < all ? (int)(amd ? n : 4090 + n) : -1));
    }
    for (unsigned i = 3; !amd && i < 4090; i++)
        irt[2 * i] = 0;
    m = (struct msi_message){ 0xfee03000, 0x41 };
    CHECK(iommu_ioapic_rte(&m, false, false, false) == (3ull << 56 | 0x41));
}

static void put_event(unsigned n, uint16_t bdf, uint64_t address)
{
    if (amd) {
        volatile uint64_t *e = paddr_ptr((R64(0x10) & P2M_ADDRESS) + n * 16);
        e[1] = address;
        e[0] = bdf | 2ull << 60 | BIT(53);
        R64(0x2018) = (n + 1) * 16;
    } else {
        R64(0x220 + 16 * (n & 1)) = address & PAGE_MASK;
        R64(0x228 + 16 * (n & 1)) = bdf | 5ull << 32 | BIT(63);
        R32(0x34) = 2 | (n & 1) << 8;
    }
}

static void test_faults(void)
{
    R32(0x34) = 0;
    log_clear();
    iommu_poll_faults();
    CHECK(!log_has("blocked"));
    put_event(0, 0x10, 0xdead000);
    iommu_poll_faults();
    CHECK(log_has("device 00:02.0: DMA write to 0xdead000 blocked"));
    memset(regs + (amd ? 0x3000 : 0x220), 0, 32);
    put_event(1, 0x28, 0xbeef000);
    iommu_poll_faults();
    CHECK(log_has("device 00:05.0: DMA write to 0xbeef000 blocked") && !log_has("not shown"));
    /* A flood: some of it. */
    unsigned flood = amd ? 60 : 2;
    for (unsigned n = 2; n < 2 + flood; n++)
        put_event(n, 0x28, 0x1000);
    R32(amd ? 0x2020 : 0x34) |= 1;
    log_clear();
    iommu_poll_faults();
    CHECK(log_has("00:05.0: DMA write to 0x1000") && log_has("52 more faults") == amd);
    if (amd) /* written to be cleared, which memory does not do */
        CHECK((R64(0x18) & 4) && R64(0x2010) == R64(0x2018));
    R32(amd ? 0x2020 : 0x34) = 0;
    if (amd) { /* as QEMU: only the PCI status tells */
        log_clear();
        iommu_poll_faults();
        CHECK(!log_has("blocked"));
        fake_pci[0x18][7] = 8;
        iommu_poll_faults();
        CHECK(log_has("DMA blocked; the unit does not tell") && fake_pci[0x18][7] == 8);
        fake_pci[0x18][7] = 0;
    }
}

/* Everything is lost but RAM: all is as before afterwards. */
static void test_suspend(void)
{
    static const unsigned amd_regs[] = { 0, 8, 0x10, 0x18 }, vtd_regs[] = { 0x18, 0x20, 0x38, 0x90, 0xb8 };
    const unsigned *kept = amd ? amd_regs : vtd_regs, nr = amd ? ARRAY_SIZE(amd_regs) : ARRAY_SIZE(vtd_regs);
    uint64_t before[8], cap = R64(8), ecap = R64(0x10), efr = R64(0x30);
    for (unsigned i = 0; i < nr; i++)
        before[i] = R64(kept[i]);
    iommu_suspend();
    CHECK(!(amd ? R64(0x18) & 1 : R32(0x18) & BIT(31)));
    stalled = true;
    usleep(10000);
    memset(regs, 0, sizeof(regs));
    if (amd) {
        R64(0x30) = efr;
    } else {
        R64(8) = cap;
        R64(0x10) = ecap;
    }
    stalled = false;
    iommu_resume();
    CHECK(translate(0x18, 0x100004, false) == 0x777004 && translate(0x10, 0x200004, true) == 0x200004);
    for (unsigned i = 0; i < nr; i++)
        CHECK(R64(kept[i]) == before[i]);
}

static void test_timeout(void)
{
    log_clear();
    stalled = true;
    CHECK(unmap(0x100, 1) == 0 && log_has("does not answer") && iommu_tree()->walked);
    CHECK(unmap(0x101, 1) == 0); /* shorter now */
    stalled = false;
    last_flush = 0;
    CHECK(unmap(0x102, 1) == 0 && last_flush == IOMMU_DOMAIN && !iommu_tree()->walked);
}

static void *mapper(void *arg)
{
    static _Atomic unsigned cpus;
    fake_cpu = ++cpus;
    for (unsigned n = 0; n < 60; n++) {
        uint64_t at = (n * 977) % 5000;
        CHECK(map(at, at, 1 + n % 700, P2M_RAM) == 0);
        CHECK(unmap(at + n % 50, 1 + n % 300) == 0);
    }
    return NULL;
}

static void test_threads(void)
{
    /* The tree's lock is fought for. More threads than processors would wait for each other's time
     * slices. */
    pthread_t threads[2];
    for (unsigned i = 0; i < 2; i++)
        pthread_create(&threads[i], NULL, mapper, NULL);
    for (unsigned i = 0; i < 2; i++)
        pthread_join(threads[i], NULL);
}

static void test_end(void) { CHECK(unmap(0, 1ull << 36) == 0 && translate(0x10, 0x12344678, true) == ~0ull); }

/* What went wrong was said into the log. */
static void show(int signal)
{
    fflush(stderr);
    if (write(2, said, said_length) < 0)
        _exit(2);
    _exit(1);
}

static void start(pthread_t *thread)
{
    fake_metal_init(64);
    setenv("HV_TEST_VERBOSE", "1", 1);
    stderr = open_memstream(&said, &said_length);
    signal(SIGABRT, show);
    acpi = paddr_ptr(MIB(1));
    R64(0x30) = 1 << 6 | 1 << 7 | 1 << 2; /* AMD-Vi: EFR with INVALIDATE_IOMMU_ALL, 128-bit entries, x2APIC */
    if (amd)
        make_ivrs();
    else
        make_dmar();
    claim_ram();
    if (!amd && !x2apic)
        R64(8) &= ~BIT(10); /* three levels only */
    if (too_old)
        R64(amd ? 0x30 : 0x10) = 0;
    struct acpi_table found = { acpi, acpi[4] | acpi[5] << 8, MIB(1) };
    *(amd ? &hv_board.ivrs : &hv_board.dmar) = found;
    pthread_create(thread, NULL, unit_run, NULL);
    iommu_init();
}

static void finish(pthread_t thread)
{
    quit = true;
    pthread_join(thread, NULL);
}

static void run(bool is_amd)
{
    pthread_t thread;
    amd = is_amd;
    start(&thread);
    test_boot();
    test_memory();
    test_devices();
    test_interrupts();
    test_faults();
    test_suspend();
    test_timeout();
    test_threads();
    test_end();
    finish(thread);
}

/* 32-bit destinations are for processors in x2APIC mode. */
static void test_xapic(bool is_amd)
{
    struct msi_message m;
    pthread_t thread;
    int entry = -1;
    amd = is_amd;
    x2apic = false;
    start(&thread);
    CHECK(iommu_remaps_interrupts() && iommu_remap(0x18, &entry, 0x55, 0x103, false, &m) == -EINVAL);
    CHECK(iommu_remap(0x18, &entry, 0x55, 3, false, &m) == 0 && entry == 0);
    const uint64_t *irte = amd ? amd_irte_at(0x18, 0) : paddr_ptr(R64(0xb8) & P2M_ADDRESS);
    CHECK(irte[0] == (amd ? 1 | 3 << 8 : 1 | 0x55 << 16 | 3ull << 40) && !(R64(0xb8) & BIT(11)));
    CHECK(!amd || (R64(0x18) & BIT(17) && !(R64(0x18) & BIT(50))));
    CHECK(translate(0x10, 0x800000, true) == 0x800000 && iommu_tree()->levels == (amd ? 4 : 3));
    finish(thread);
}

/* VT-d that cannot reach all RAM is left alone, and devices do not reach anything. */
static void test_far_ram(bool is_amd)
{
    pthread_t thread;
    amd = is_amd;
    far_ram = true;
    start(&thread);
    CHECK(!iommu_present() && !R64(0x20)); /* it was not touched */
    CHECK(iommu_assign(&dom0, 0x18) == -EOPNOTSUPP && log_has("RAM beyond their reach"));
    finish(thread);
}

/* Units that are too old: all of them fail, devices are not to be bus masters, and that is said. */
static void test_old_units(bool is_amd)
{
    struct msi_message m;
    pthread_t thread;
    int entry = -1;
    amd = is_amd;
    too_old = true;
    start(&thread);
    CHECK(!iommu_present() && !iommu_remaps_interrupts() && log_has("its devices will not reach memory"));
    CHECK(iommu_assign(&dom0, 0x18) == -EOPNOTSUPP && !iommu_tree());
    CHECK(iommu_remap(0x18, &entry, 0x33, 7, false, &m) == 0 && m.address == 0xfee07000 && m.data == 0x33);
    iommu_poll_faults();
    finish(thread);
}

static void test_without(void)
{
    struct msi_message m;
    int entry = -1;
    iommu_init();
    CHECK(!iommu_present() && !iommu_remaps_interrupts() && !iommu_is_unit(0));
    CHECK(!iommu_tree() && iommu_assign(&dom0, 8) == 0);
    iommu_poll_faults();
    iommu_suspend();
    iommu_resume();
    CHECK(iommu_remap(8, &entry, 0x33, 7, false, &m) == 0 && entry == -1 && m.address == 0xfee07000 && m.data == 0x33);
    CHECK(iommu_remap(8, &entry, 0x33, 256, false, &m) == -EINVAL);
    iommu_remap_free(8, -1);
}

static void in_process(void (*test)(bool), bool arg)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        test(arg);
        _exit(0);
    }
    CHECK(waitpid(child, &status, 0) == child && WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

int main(void)
{
    in_process(run, true);
    in_process(run, false);
    in_process(test_xapic, true);
    in_process(test_xapic, false);
    in_process(test_far_ram, false);
    in_process(test_old_units, true);
    in_process(test_old_units, false);
    test_without();
    return 0;
}
