/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as IVRS (first byte even) or DMAR: no access outside of them, and what comes out is within bounds. */
/* sources: iommu/tables.c lib/acpi.c */
#include "../../iommu/unit.h"
#include "fake_metal.h"
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct iommu_tables *t)
{
    const struct iommu_range *r;
    CHECK(t->nr_units <= IOMMU_MAX_UNITS && t->nr_ranges <= IOMMU_MAX_RANGES);
    CHECK(t->nr_reserved <= IOMMU_MAX_RESERVED && t->nr_specials <= IOMMU_MAX_SPECIALS);
    for (unsigned i = 0; i < t->nr_units; i++)
        CHECK(t->broken || (t->unit[i].base && !(t->unit[i].base & 0xfff)));
    for (unsigned i = 0; i < t->nr_ranges; i++) {
        r = &t->range[i];
        CHECK(r->unit < t->nr_units && r->last <= t->unit[r->unit].last && (t->broken || r->first <= r->last));
        CHECK(!r->aliased || r->alias <= t->unit[r->unit].last);
    }
    for (unsigned i = 0; i < t->nr_reserved; i++)
        CHECK(t->reserved[i].base < t->reserved[i].end && t->reserved[i].first <= t->reserved[i].last);
    for (unsigned bdf = 0; bdf < 0x10000; bdf += 0x101)
        if ((r = iommu_find_range(t, 0, bdf)))
            CHECK(bdf >= r->first && bdf <= r->last);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct iommu_tables t;
    if (size < 2)
        return 0;
    bool amd = !(data[0] & 1);
    uint32_t length = 48 + size - 1;
    uint8_t *table = calloc(1, length);
    memcpy(table + 48, data + 1, size - 1);
    struct acpi_table bytes = { table, length, 0 };
    memset(&fake_pci[0], data[size - 1], sizeof(fake_pci));
    memset(&t, 0, sizeof(t));
    amd ? ivrs_parse(&bytes, &t) : dmar_parse(&bytes, &t);
    check(&t);
    free(table);
    return 0;
}
