/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * vpci.c against devices made of bytes: MSI of both widths, MSI-X with tables that move, bus mastering, capability
 * lists that lie, ECAM. irq_bind_msi() is played here: it hands out a message that can be told from the guest's.
 */
/* sources: vdev/vpci.c */
#include "fake_metal.h"

#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <stdlib.h>
#include <string.h>

#define TABLE 0xfe001000ul
#define HOST_ADDRESS 0xfee55000ul
#define HOST_DATA 0x77

static struct domain dom;
static unsigned bound, unbound, maps, unmapped;
static int bind_error;
static struct msi_message last_guest;
static uint32_t last_sbdf;
static uint8_t registers[0x40000]; /* at 0xfe000000 */
static bool ram_there;
static unsigned assigned; /* devices, to a domain */
static int assign_error;
struct board hv_board = { .nr_ecam = 2, .ecam = { { 0xe0000000, 0, 0, 0 }, { GIB(8), 3, 0x10, 0x1f } } };

bool iommu_is_unit(uint32_t sbdf) { return sbdf == 48; }
int iommu_assign(struct domain *d, uint32_t sbdf)
{
    assigned += d ? !assign_error : -1u;
    return d ? assign_error : 0;
}

int irq_bind_msi(struct binding **at, uint32_t sbdf, struct msi_message guest, struct msi_message *out)
{
    if (bind_error)
        return bind_error;
    bound++;
    last_sbdf = sbdf;
    *at = (struct binding *)1;
    last_guest = guest;
    *out = (struct msi_message){ HOST_ADDRESS, HOST_DATA };
    return 0;
}
void irq_unbind_msi(struct binding **at)
{
    unbound += *at != NULL;
    *at = NULL;
}
void *metal_map_mmio(paddr_t base, size_t size)
{
    maps++;
    return base >= 0xfe000000 && base + size <= 0xfe000000 + sizeof(registers) ? registers + (base - 0xfe000000) : NULL;
}
void *pages_alloc(unsigned order)
{
    void *p = aligned_alloc(4096, 4096ul << order);
    memset(p, 0, 4096ul << order);
    return p;
}
void pages_free(void *p, unsigned order) { free(p); }
bool frame_known(mfn_t m) { return ram_there; }
bool rangeset_contains(const struct rangeset *s, uint64_t first, uint64_t last) { return first >= 0xe0000; }
struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g) { return (struct p2m_entry){ mfn(g.n), P2M_MMIO, 0 }; }
int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count)
{
    CHECK(count == 1);
    unmapped++;
    return 0;
}

static uint8_t *reset(unsigned devfn)
{
    uint8_t *c = fake_pci[devfn];
    memset(c, 0, 4096);
    memcpy(c, "\x86\x80\x34\x12", 4);
    c[6] = 0x10;
    c[0x34] = 0x40;
    return c;
}

static void put(uint8_t *c, unsigned reg, uint32_t value) { memcpy(c + reg, &value, 4); }
static uint32_t get(const uint8_t *c, unsigned reg)
{
    uint32_t value;
    memcpy(&value, c + reg, 4);
    return value;
}

static bool trapped(uint64_t page) { return vpci_traps_range(&dom, gfn(page), 1); }

static void start(void)
{
    memset(&dom, 0, sizeof(dom));
    spin_init(&dom.lock, LOCK_DOMAIN);
    dom.control = true;
    CHECK(vpci_init(&dom) == 0);
    bound = unbound = maps = unmapped = bind_error = assigned = assign_error = 0;
    ram_there = false;
}

static void finish(void)
{
    for (unsigned devfn = 0; devfn < 256; devfn++)
        CHECK(vpci_remove_device(&dom, devfn) == 0);
    pages_free(dom.pci, 4);
}

static void test_msi(bool wide)
{
    start();
    uint8_t *c = reset(8);
    put(c, 0x40, 0x05 | 0x0a << 16 | 1 << 16 | (wide ? 0x80 << 16 : 0)); /* firmware left it on; 32 messages offered */
    CHECK(vpci_add_device(&dom, 8) == 0 && vpci_add_device(&dom, 8) == 0);
    CHECK(!(get(c, 0x40) & 1 << 16));
    unsigned data = wide ? 0x4c : 0x48;
    CHECK((vpci_read(&dom, 8, 0x42, 2) & 0x7e) == 0);
    vpci_write(&dom, 8, 0x44, 4, 0xfee01003);
    if (wide)
        vpci_write(&dom, 8, 0x48, 4, 0);
    vpci_write(&dom, 8, data, 1, 0x31);
    CHECK(vpci_read(&dom, 8, 0x44, 4) == 0xfee01000 && vpci_read(&dom, 8, data, 2) == 0x31);
    CHECK(vpci_read(&dom, 8, 0x46, 2) == 0xfee0 && vpci_read(&dom, 8, 0x45, 1) == 0x10);
    CHECK(bound == 0 && get(c, 0x44) == 0);
    vpci_write(&dom, 8, 0x42, 2, 0x51); /* on, with 32 messages */
    CHECK(bound == 1 && last_guest.address == 0xfee01000 && last_guest.data == 0x31);
    CHECK(get(c, 0x44) == HOST_ADDRESS && (get(c, data) & 0xffff) == HOST_DATA);
    CHECK((get(c, 0x40) >> 16 & 0x7f) == 0x01);
    CHECK(vpci_read(&dom, 8, 0x44, 4) == 0xfee01000 && vpci_read(&dom, 8, data, 2) == 0x31);
    vpci_write(&dom, 8, data, 2, 0x32);
    CHECK(bound == 2 && last_guest.data == 0x32 && get(c, 0x44) == HOST_ADDRESS);
    /* masks behind it pass through; a reset behind our back shows */
    vpci_write(&dom, 8, data + 4, 4, 0x1234);
    CHECK(get(c, data + 4) == 0x1234);
    put(c, 0x40, get(c, 0x40) & ~(1u << 16));
    put(c, 0x44, 0);
    vpci_write(&dom, 8, 0x42, 2, 1);
    CHECK(bound == 3 && get(c, 0x44) == HOST_ADDRESS);
    vpci_write(&dom, 8, 0x42, 2, 0);
    CHECK(unbound == 1 && !(get(c, 0x40) & 1 << 16));
    bind_error = -EINVAL;
    vpci_write(&dom, 8, 0x43, 1, 0);
    vpci_write(&dom, 8, 0x42, 1, 1);
    CHECK(!(vpci_read(&dom, 8, 0x42, 2) & 1));
    finish();
}

static uint8_t *msix_device(unsigned devfn, uint32_t bar, unsigned entries)
{
    uint8_t *c = reset(devfn);
    put(c, 4, 0x100000);
    put(c, 0x18, bar | 4); /* BAR 2, 64 bits */
    put(c, 0x40, 0x11 | (entries - 1) << 16);
    put(c, 0x44, 0x1000 | 2);
    put(c, 0x48, 0x1800 | 2);
    CHECK(vpci_add_device(&dom, devfn) == 0);
    return c;
}

static uint32_t table_read(uint64_t gpa)
{
    uint64_t value = 0x5555555555555555;
    CHECK(vpci_msix_access(&dom, gpa, 4, false, &value));
    return value;
}

static void table_write(uint64_t gpa, unsigned size, uint64_t value)
{
    CHECK(vpci_msix_access(&dom, gpa, size, true, &value));
}

static void test_msix(void)
{
    start();
    memset(registers, 0, sizeof(registers));
    uint8_t *c = msix_device(9, 0xfe000000, 4), *hw = registers + 0x1000;
    uint64_t value = 0;
    CHECK(!trapped(TABLE >> 12) && !vpci_msix_access(&dom, TABLE, 4, false, &value));
    vpci_write(&dom, 9, 4, 2, 2);
    CHECK(trapped(TABLE >> 12) && unmapped == 1 && maps == 0);
    CHECK(!trapped((TABLE >> 12) + 1) && !trapped((TABLE >> 12) - 1));
    CHECK(table_read(TABLE + 12) == 1 && table_read(TABLE) == 0);
    table_write(TABLE + 16, 8, 0xfee02000);
    table_write(TABLE + 24, 4, 0x41);
    table_write(TABLE + 28, 4, 0);
    CHECK(bound == 0 && get(hw, 16) == 0);
    vpci_write(&dom, 9, 0x42, 2, 0xc000); /* on, all masked */
    CHECK(bound == 1 && last_guest.address == 0xfee02000 && last_guest.data == 0x41);
    CHECK(get(hw, 16) == HOST_ADDRESS && get(hw, 24) == HOST_DATA && get(hw, 28) == 0 && get(hw, 12) == 1);
    CHECK((get(c, 0x40) >> 16) == 0xc000 && table_read(TABLE + 16) == 0xfee02000 && table_read(TABLE + 28) == 0);
    vpci_write(&dom, 9, 0x42, 2, 0x8000);
    CHECK((get(c, 0x40) >> 16) == 0x8000 && bound == 1);
    table_write(TABLE + 28, 4, 1);
    CHECK(get(hw, 28) == 1 && bound == 1 && unbound == 0);
    table_write(TABLE + 24, 8, 0x42); /* data and control in one */
    CHECK(bound == 2 && last_guest.data == 0x42 && get(hw, 28) == 0);
    CHECK(vpci_msix_access(&dom, TABLE + 24, 8, false, &value) && value == 0x42);
    /* given back: masked, message zero */
    table_write(TABLE + 28, 4, 1);
    table_write(TABLE + 16, 8, 0);
    table_write(TABLE + 28, 4, 1);
    CHECK(unbound == 1);
    /* no message, no unmasking */
    bind_error = -ENOSPC;
    table_write(TABLE + 44, 4, 0);
    CHECK(get(hw, 44) == 1);
    bind_error = 0;
    /* other registers of the page pass through in all sizes; odd accesses do nothing */
    for (unsigned size = 1; size <= 8; size *= 2)
        table_write(TABLE + 0x808, size, 0x1122334455667788);
    value = 0;
    CHECK(vpci_msix_access(&dom, TABLE + 0x808, 8, false, &value) && value == 0x1122334455667788);
    CHECK(get(hw, 0x808) == 0x55667788);
    CHECK(vpci_msix_access(&dom, TABLE + 2, 4, false, &value) && value == ~0ull);
    CHECK(vpci_msix_access(&dom, TABLE, 2, false, &value) && value == ~0ull);
    table_write(TABLE + 16, 2, 0xffff);
    CHECK(table_read(TABLE + 16) == 0);
    CHECK(vpci_remove_device(&dom, 9) == 0 && !trapped(TABLE >> 12) && vpci_remove_device(&dom, 9) == 0);
    finish();
}

static void test_msix_moves(void)
{
    start();
    memset(registers, 0, sizeof(registers));
    uint8_t *c = msix_device(9, 0xfe000000, 300); /* 4,800 bytes: two pages */
    vpci_write(&dom, 9, 4, 1, 2);
    CHECK(trapped(0xfe002) && !trapped(0xfe003));
    table_write(0xfe002000 + 12, 4, 0);
    vpci_write(&dom, 9, 0x40, 4, 0x8000u << 16);
    CHECK(bound == 1 && get(registers, 0x2000) == HOST_ADDRESS);
    vpci_write(&dom, 9, 0x18, 4, 0xfe010004);
    CHECK(!trapped(0xfe001) && trapped(0xfe011) && bound == 2);
    CHECK(get(registers, 0x12000) == HOST_ADDRESS);
    vpci_write(&dom, 9, 0x1c, 4, 0xffffffff); /* out of the world */
    CHECK(!trapped(0xfe011));
    vpci_write(&dom, 9, 0x1c, 4, 0);
    CHECK(trapped(0xfe011));
    vpci_write(&dom, 9, 0x18, 4, 0x00010004); /* not its memory */
    CHECK(!trapped(0x11));
    ram_there = true;
    vpci_write(&dom, 9, 0x18, 4, 0xfe010004);
    CHECK(!trapped(0xfe011));
    ram_there = false;
    unsigned before = maps;
    for (unsigned i = 0; i < 100; i++)
        vpci_write(&dom, 9, 0x18, 4, (0xfe000004 + ((i & 7) << 12)));
    CHECK(maps - before < 20);
    /* a window that does not exist, moves used up: nothing but a log line */
    table_write(0xfe004000 + 12, 4, 0);
    put(c, 0x18, 0);
    vpci_write(&dom, 9, 4, 1, 0);
    CHECK(!trapped(0xfe008));
    finish();
}

/* A function that comes and goes a thousand times: its registers are mapped as often as for one that stays. */
static void test_comes_and_goes(void)
{
    start();
    for (unsigned i = 0; i < 1000; i++) {
        msix_device(9, 0xfe000000, 4);
        vpci_write(&dom, 9, 4, 2, 2);
        vpci_write(&dom, 9, 0x42, 2, 0x8000);
        table_write(TABLE + 12, 4, 0);
        CHECK(bound == i + 1 && unbound == i);
        CHECK(vpci_remove_device(&dom, 9) == 0 && !trapped(TABLE >> 12));
    }
    CHECK(maps == 1);
    finish();
}

/* Two devices with their tables on one page, and a long table. */
static void test_neighbours(void)
{
    start();
    memset(registers, 0, sizeof(registers));
    put(msix_device(9, 0xfe000000, 4), 0x44, 0x1000 | 2);
    uint8_t *c = reset(10);
    put(c, 0x18, 0xfe000004);
    put(c, 0x40, 0x11 | 3 << 16);
    put(c, 0x44, 0x1100 | 2);
    CHECK(vpci_add_device(&dom, 10) == 0);
    vpci_write(&dom, 9, 4, 2, 2);
    vpci_write(&dom, 10, 4, 2, 2);
    table_write(TABLE, 4, 0x1000);
    table_write(TABLE + 0x100, 4, 0x2000);
    CHECK(table_read(TABLE) == 0x1000 && table_read(TABLE + 0x100) == 0x2000);
    c = reset(11);
    put(c, 0x10, 0xfe00f000);
    put(c, 0x40, 0x11 | 2047 << 16);
    CHECK(vpci_add_device(&dom, 11) == 0);
    vpci_write(&dom, 11, 4, 2, 2);
    for (unsigned page = 0xf; page <= 0x16; page++)
        CHECK(trapped(0xfe000 + page));
    CHECK(!trapped(0xfe017));
    table_write(0xfe00f000 + 2047 * 16, 4, 0x99);
    CHECK(table_read(0xfe00f000 + 2047 * 16) == 0x99);
    finish();
}

static void test_liars(void)
{
    start();
    uint8_t *c = reset(16); /* a cycle of one, of two */
    put(c, 0x40, 0x09 | 0x40 << 8);
    CHECK(vpci_add_device(&dom, 16) == 0);
    c = reset(17);
    put(c, 0x40, 0x09 | 0x50 << 8);
    put(c, 0x50, 0x05 | 0x40 << 8);
    CHECK(vpci_add_device(&dom, 17) == 0);
    c = reset(23); /* MSI over the end of the space */
    c[0x34] = 0xfc;
    put(c, 0xfc, 0x05);
    CHECK(vpci_add_device(&dom, 23) == 0);
    vpci_write(&dom, 23, 0xfc, 4, 0x00010005);
    CHECK(bound == 1 && get(c, 0x100) == HOST_ADDRESS);
    c = reset(18); /* MSI into MSI-X, twice */
    c[0x34] = 0x60;
    put(c, 0x60, 0x05 | 0x68 << 8);
    put(c, 0x68, 0x11 | 0x90 << 8);
    put(c, 0x90, 0x05);
    CHECK(vpci_add_device(&dom, 18) == 0);
    vpci_write(&dom, 18, 0x68, 4, 0x80000000); /* the end of the MSI capability at 0x60: data */
    CHECK(vpci_read(&dom, 18, 0x68, 2) == 0);
    vpci_write(&dom, 18, 0x90, 4, 0x00010005);
    CHECK(get(c, 0x90) == 0x00010005);
    c = reset(19); /* BIR 7; BAR 5 of 64 bits, of I/O */
    put(c, 0x40, 0x11 | 7 << 16);
    put(c, 0x44, 7);
    CHECK(vpci_add_device(&dom, 19) == 0);
    vpci_write(&dom, 19, 4, 2, 2);
    vpci_write(&dom, 19, 0x42, 2, 0x8000);
    c = reset(21);
    put(c, 0x40, 0x11);
    put(c, 0x44, 5);
    put(c, 0x24, 0xfe000004);
    put(c, 0x28, 0x12345678);
    CHECK(vpci_add_device(&dom, 21) == 0);
    vpci_write(&dom, 21, 4, 2, 2);
    CHECK(!trapped(0xfe000));
    vpci_write(&dom, 21, 0x24, 4, 0xfe000001);
    CHECK(!trapped(0xfe000));
    vpci_write(&dom, 21, 0x24, 4, 0xfe000000);
    CHECK(trapped(0xfe000));
    memset(fake_pci[22], 0xff, 4096);
    CHECK(vpci_add_device(&dom, 22) == -ENODEV);
    /* unaligned, too wide, beyond */
    CHECK(vpci_read(&dom, 16, 1, 4) == ~0u && vpci_read(&dom, 16, 0, 3) == 0xffffff);
    CHECK(vpci_read(&dom, 16, 4096, 1) == 0xff);
    vpci_write(&dom, 16, 2, 4, 0);
    CHECK(get(fake_pci[16], 0) == 0x12348086);
    finish();
}

/* Only what was added and is confined is a bus master; bridges pass on what devices behind them send. */
static void test_bus_master(void)
{
    start();
    uint8_t *c = reset(32);
    c[4] = 4; /* firmware left it on */
    vpci_write(&dom, 32, 4, 2, 6);
    CHECK(c[4] == 2); /* not added yet */
    CHECK(vpci_add_device(&dom, 32) == 0 && assigned == 1);
    vpci_write(&dom, 32, 4, 1, 6);
    CHECK(c[4] == 6 && vpci_read(&dom, 32, 4, 2) == 6 && vpci_add_device(&dom, 32) == 0 && assigned == 1);
    CHECK(vpci_remove_device(&dom, 32) == 0 && assigned == 0);
    vpci_write(&dom, 32, 4, 4, 6);
    CHECK(c[4] == 2);
    c[4] = 6;
    assign_error = -EOPNOTSUPP;
    CHECK(vpci_add_device(&dom, 32) == -EOPNOTSUPP && c[4] == 2);
    for (unsigned size = 1; size <= 4; size *= 2) {
        vpci_write(&dom, 32, 4, size, 7);
        CHECK(c[4] == 3);
    }
    reset(33)[0x0e] = 0x81;
    CHECK(vpci_add_device(&dom, 33) == 0);
    vpci_write(&dom, 33, 4, 2, 7);
    CHECK(fake_pci[33][4] == 7);
    finish();
}

static void test_ecam_and_units(void)
{
    start();
    uint64_t value, at = 0xe0000000 + (49 << 12);
    put(reset(49), 0x50, 0xcafe);
    CHECK(vpci_ecam_access(&dom, at + 0x50, 4, false, &value) && value == 0xcafe);
    CHECK(vpci_ecam_access(&dom, at, 8, false, &value) && value == 0x10000012348086);
    value = 0x1122334455667788;
    CHECK(vpci_ecam_access(&dom, at + 0x58, 8, true, &value));
    CHECK(get(fake_pci[49], 0x58) == 0x55667788 && get(fake_pci[49], 0x5c) == 0x11223344);
    CHECK(vpci_ecam_access(&dom, at + 0x5c, 8, false, &value) && value == ~0ull);
    CHECK(!vpci_ecam_access(&dom, 0xe0100000, 4, false, &value) &&
          !vpci_ecam_access(&dom, 0xdfffffff, 1, false, &value));
    /* some buses of a segment: nobody is there */
    CHECK(!vpci_ecam_access(&dom, GIB(8) + MIB(16) - 4, 4, false, &value) &&
          !vpci_ecam_access(&dom, GIB(8) + MIB(32), 4, false, &value));
    CHECK(vpci_ecam_access(&dom, GIB(8) + MIB(16), 4, false, &value) && value == ~0u);
    /* a unit of the IOMMU */
    put(reset(48), 0x50, 0xcafe);
    CHECK(vpci_read(&dom, 48, 0, 4) == ~0u && vpci_read(&dom, 48, 0, 1) == 0xff);
    CHECK(vpci_add_device(&dom, 48) == -ENODEV);
    vpci_write(&dom, 48, 0x50, 4, 1);
    CHECK(get(fake_pci[48], 0x50) == 0xcafe);
    struct vpci *p = dom.pci;
    dom.pci = NULL; /* another domain */
    CHECK(!trapped(TABLE >> 12));
    dom.pci = p;
    finish();
}

/* All there can be on a bus, added and removed again. */
static void test_many(void)
{
    start();
    for (unsigned round = 0; round < 3; round++) {
        for (unsigned devfn = 0; devfn < 256; devfn++) {
            put(reset(devfn), 0x40, 0x11 | 2047 << 16);
            CHECK(vpci_add_device(&dom, devfn) == (devfn == 48 ? -ENODEV : 0));
        }
        for (unsigned devfn = 0; devfn < 256; devfn++)
            CHECK(vpci_remove_device(&dom, devfn) == 0);
    }
    finish();
}

int main(void)
{
    test_msi(false);
    test_msi(true);
    test_msix();
    test_msix_moves();
    test_comes_and_goes();
    test_neighbours();
    test_liars();
    test_bus_master();
    test_ecam_and_units();
    test_many();
    return 0;
}
