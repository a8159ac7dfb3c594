/* SPDX-License-Identifier: GPL-2.0-or-later */
/* IVRS and DMAR: tables as QEMU and real firmware write them, aliases and bridges, each kind of damage, every
 * truncation. */
/* sources: iommu/tables.c lib/acpi.c */
#include "../../iommu/unit.h"
#include "fake_metal.h"
#include <stdlib.h>
#include <string.h>

static uint8_t table[4096];
static size_t used;
static struct iommu_tables t;

static void begin(const char *signature)
{
    memset(table, 0, sizeof(table));
    memcpy(table, signature, 4);
    used = 48;
}

static void put(const void *bytes, size_t n)
{
    memcpy(table + used, bytes, n);
    used += n;
}

#define PUT(...) put((uint8_t[]){ __VA_ARGS__ }, sizeof((uint8_t[]){ __VA_ARGS__ }))

/* From an exact copy, so that the address sanitizer sees any byte too many; and from each shorter one. True: sound. */
static bool parse(void (*parser)(const struct acpi_table *, struct iommu_tables *))
{
    for (size_t cut = 0; cut <= used; cut++) {
        uint8_t *copy = malloc(cut + 1);
        memcpy(copy, table, cut);
        copy = realloc(copy, cut ? cut : 1);
        memset(&t, 0, sizeof(t));
        parser(&(struct acpi_table){ copy, cut }, &t);
        CHECK(cut >= 48 || (t.broken && !t.nr_units));
        free(copy);
    }
    return !t.broken;
}

static void ivhd(uint8_t type, uint16_t length, uint64_t base)
{
    uint8_t b[40] = { type, 0x31, length, length >> 8, 0x08, 0, 0x40, 0 };
    memcpy(b + 8, &base, 8);
    put(b, type == 0x10 ? 24 : 40);
}

static void ivmd(uint8_t type, uint8_t flags, uint16_t first, uint16_t last, uint64_t start, uint64_t size)
{
    uint8_t b[32] = { type, flags, 32, 0, first, first >> 8, last, last >> 8 };
    memcpy(b + 16, &start, 8);
    memcpy(b + 24, &size, 8);
    put(b, 32);
}

static int unit_of(uint16_t bdf, const struct iommu_range **r)
{
    *r = iommu_find_range(&t, 0, bdf);
    return *r ? (*r)->unit : -1;
}

static void test_ivrs_qemu(void)
{
    const struct iommu_range *r;
    begin("IVRS");
    ivhd(0x10, 24 + 3 * 4 + 8 + 8, 0xfed80000);
    PUT(2, 0x00, 0x00, 0, 2, 0x08, 0x00, 0, 3, 0x10, 0, 0x40);
    PUT(4, 0xff, 0x01, 0, 0, 0, 0, 0);
    PUT(0x48, 1, 0, 0xd7, 0, 0xa0, 0, 1);
    CHECK(parse(ivrs_parse));
    CHECK(t.nr_units == 1 && t.unit[0].base == 0xfed80000 && t.unit[0].sbdf == 8 && t.unit[0].last == 0x1ff);
    CHECK(t.unit[0].flags == 0x31 && t.may_remap);
    CHECK(t.nr_specials == 1 && t.special[0].sbdf == 0xa0 && t.special[0].id == 0);
    CHECK(unit_of(0x00, &r) == 0 && unit_of(0x09, &r) == -1 && unit_of(0x1ff, &r) == 0 && r->setting == 0x40);
    CHECK(unit_of(0xa0, &r) == 0 && r->setting == 0xd7); /* inside the range, but the later says more */
    CHECK(unit_of(0x200, &r) == -1 && !iommu_find_range(&t, 1, 0x10));
}

static void test_ivrs_firmware(void)
{
    const struct iommu_range *r;
    begin("IVRS");
    ivhd(0x10, 24 + 4, 0xfeb80000);
    PUT(1, 0, 0, 0);
    ivhd(0x11, 40 + 4, 0xfeb80000);
    PUT(1, 0, 0, 0);
    ivhd(0x40, 40 + 4 + 8 + 8 + 4 + 8 + 24, 0xfeb80000);
    PUT(1, 0, 0, 0);
    PUT(0x42, 0x00, 0x05, 0, 0, 0x80, 0x04, 0);
    PUT(0x43, 0x08, 0x05, 0, 0, 0x81, 0x04, 0, 4, 0x1f, 0x05, 0);
    PUT(0x48, 0, 0, 0, 3, 0xa1, 0, 2);
    PUT(0xf0, 0, 1, 0, 'A', 'M', 'D', 'I', '0', '0', '2', '0', 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 'x', 'y');
    ivmd(0x20, 3, 0, 0, 0x1000, 0x1800);
    ivmd(0x21, 7, 0x10, 0, 0xdf000000, 0x100000);
    ivmd(0x22, 8, 0x20, 0x2f, 0xe0000000, 0x1000);
    ivmd(0x22, 8, 0x20, 0x1f, 0xe0000000, 0x1000); /* nonsense, left out */
    ivmd(0x21, 8, 0x20, 0, 0xe0000000, 0);
    CHECK(parse(ivrs_parse));
    CHECK(t.nr_units == 1 && t.unit[0].last == 0xffff && !t.may_remap);
    CHECK(unit_of(0x500, &r) == 0 && r->aliased && r->alias == 0x480);
    CHECK(unit_of(0x50a, &r) == 0 && r->aliased && r->alias == 0x481);
    CHECK(unit_of(0x520, &r) == 0 && !r->aliased);
    CHECK(t.nr_specials == 0 && unit_of(0xa1, &r) == 0 && !r->aliased);
    CHECK(t.nr_reserved == 3);
    CHECK(t.reserved[0].base == 1 && t.reserved[0].end == 3 && t.reserved[0].last == 0xffff && !t.reserved[0].writable);
    CHECK(t.reserved[1].first == 0x10 && t.reserved[1].last == 0x10 && t.reserved[1].writable);
    CHECK(t.reserved[2].first == 0x20 && t.reserved[2].last == 0x2f && t.reserved[2].writable);
}

static void test_ivrs_damage(void)
{
    begin("IVRS");
    ivhd(0x10, 24 + 4, 0xfed80000);
    PUT(4, 0x10, 0, 0); /* an end of nothing */
    CHECK(!parse(ivrs_parse));
    begin("IVRS");
    ivhd(0x10, 24 + 4, 0);
    PUT(1, 0, 0, 0);
    CHECK(!parse(ivrs_parse)); /* registers at 0 */
    begin("IVRS");
    ivhd(0x10, 24 + 2, 0xfed80000);
    PUT(0x42, 0);
    CHECK(!parse(ivrs_parse)); /* an entry over the end */
    begin("IVRS");
    PUT(0x77, 0, 0, 0);
    CHECK(!parse(ivrs_parse)); /* no progress */
    begin("IVRS");
    for (unsigned i = 0; i <= IOMMU_MAX_UNITS; i++)
        ivhd(0x10, 24, 0xfed00000 + i * 0x4000);
    CHECK(!parse(ivrs_parse) && t.nr_units == IOMMU_MAX_UNITS);
}

static void drhd(uint16_t length, uint8_t flags, uint64_t base)
{
    uint8_t b[16] = { 0, 0, length, 0, flags };
    memcpy(b + 8, &base, 8);
    put(b, 16);
}

static void rmrr(uint16_t length, uint64_t base, uint64_t limit)
{
    uint8_t b[24] = { 1, 0, length };
    memcpy(b + 8, &base, 8);
    memcpy(b + 16, &limit, 8);
    put(b, 24);
}

static void test_dmar(void)
{
    const struct iommu_range *r;
    fake_pci[0xe0][0x19] = 3; /* 00:1c.0 leads to buses 3 to 5 */
    fake_pci[0xe0][0x1a] = 5;
    begin("DMAR");
    table[36] = 38;
    table[37] = 3;
    drhd(16 + 8, 0, 0xfed90000);
    PUT(1, 8, 0, 0, 0, 0, 2, 0);
    drhd(16 + 8 + 10, 0, 0xfed91000);
    PUT(2, 8, 0, 0, 0, 0, 0x1c, 0);
    PUT(1, 10, 0, 0, 0, 0, 0x1c, 0, 7, 1);
    drhd(16 + 8 + 8, 1, 0xfed92000);
    PUT(3, 8, 0, 0, 2, 0xff, 0, 0);
    PUT(4, 8, 0, 0, 0, 0xf0, 0x1f, 0);
    rmrr(24 + 16, 0xdf000000, 0xdf1fffff);
    PUT(1, 8, 0, 0, 0, 0, 2, 0);
    PUT(1, 8, 0, 0, 0, 0, 0x14, 0);
    rmrr(24 + 8, 0xdf200000, 0xdf000000); /* nonsense, left out */
    PUT(1, 8, 0, 0, 0, 0, 2, 0);
    PUT(9, 0, 4, 0); /* a kind of the future */
    CHECK(parse(dmar_parse));
    CHECK(t.nr_units == 3 && t.may_remap && t.no_x2apic);
    CHECK(unit_of(0x10, &r) == 0 && unit_of(0xe0, &r) == 1 && unit_of(0x300, &r) == 1 && unit_of(0x5ff, &r) == 1);
    CHECK(unit_of(0x600, &r) == 2 && unit_of(0xff00, &r) == 2 && !iommu_find_range(&t, 1, 0x10));
    CHECK(unit_of(0x339, &r) == 1);
    CHECK(t.nr_specials == 1 && t.special[0].id == 2 && t.special[0].sbdf == 0xff00 && unit_of(0xf0f8, &r) == 2);
    CHECK(t.nr_reserved == 2 && t.reserved[0].base == 0xdf000 && t.reserved[0].end == 0xdf200);
    CHECK(t.reserved[1].first == 0xa0 && t.reserved[1].last == 0xa0 && t.reserved[1].writable);

    begin("DMAR");
    drhd(16 + 8, 0, 0xfed90000);
    PUT(1, 9, 0, 0, 0, 0, 2, 0); /* a scope over the end */
    CHECK(!parse(dmar_parse));
    begin("DMAR");
    drhd(16 + 8, 0, 0xfed90010);
    PUT(1, 8, 0, 0, 0, 0, 2, 0);
    CHECK(!parse(dmar_parse));
    begin("DMAR");
    drhd(16 + 10, 0, 0xfed90000);
    PUT(1, 10, 0, 0, 0, 0, 0x1d, 0, 7, 1); /* through a bridge that is not set up */
    CHECK(parse(dmar_parse) && t.nr_ranges == 0);
}

int main(void)
{
    fake_metal_init(16);
    test_ivrs_qemu();
    test_ivrs_firmware();
    test_ivrs_damage();
    test_dmar();
    return 0;
}
