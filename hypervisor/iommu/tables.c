/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware says about IOMMUs: AMD's IVRS (48882 ch. 5.2) and Intel's DMAR (VT-d ch. 8). Bytes in, struct
 * iommu_tables out. Reading beyond a structure gives zeros (acpi.h), unknown ones are skipped by their length, and what
 * is malformed makes the whole unreliable: a device might be taken for another unit's.
 *
 * Paths of DMAR are followed through bridges, whose bus numbers are read from configuration space.
 */
#include "unit.h"

#define TABLE_HEADER 48 /* both have 12 bytes behind ACPI's 36 */

/* Whether there is room for one more. */
static bool room(struct iommu_tables *t, unsigned used, unsigned max)
{
    t->broken |= used == max;
    return used < max;
}

static void add_unit(struct iommu_tables *t, struct iommu_place place)
{
    /* Registers at 0, or not of a page: nothing that can be used. */
    t->broken |= !place.base || place.base & (PAGE_SIZE - 1) || place.base >> 52;
    if (room(t, t->nr_units, IOMMU_MAX_UNITS))
        t->unit[t->nr_units++] = place;
}

static void add_range(struct iommu_tables *t, struct iommu_range r)
{
    uint16_t *last = &t->unit[r.unit].last;
    *last = MAX(*last, MAX(r.last, r.aliased ? r.alias : 0));
    t->broken |= r.first > r.last;
    if (room(t, t->nr_ranges, IOMMU_MAX_RANGES))
        t->range[t->nr_ranges++] = r;
}

static void add_reserved(struct iommu_tables *t, struct iommu_reserved r)
{
    /* Firmware has such mistakes; units are worth more than the region: who needs it is blocked and logged. */
    if (r.base < r.end && r.end <= 1ull << 40 && r.first <= r.last && room(t, t->nr_reserved, IOMMU_MAX_RESERVED))
        t->reserved[t->nr_reserved++] = r;
}

static void add_ioapic(struct iommu_tables *t, uint16_t bdf, uint8_t id)
{
    uint32_t segment = t->unit[t->nr_units - 1].sbdf & 0xffff0000;
    if (room(t, t->nr_specials, IOMMU_MAX_SPECIALS))
        t->special[t->nr_specials++] = (struct iommu_special){ segment | bdf, id };
}

/* --- IVRS ----------------------------------------------------------------------------------------------- */

enum { IVHD_ALL = 1, IVHD_SELECT, IVHD_START, IVHD_END };
enum { IVHD_ALIAS = 0x42, IVHD_ALIAS_START, IVHD_EXT = 0x46, IVHD_EXT_START, IVHD_SPECIAL, IVHD_HID = 0xf0 };

static uint32_t ivhd_length(const struct acpi_table *b, uint32_t at)
{
    uint8_t type = acpi_field(b, at, 1);
    return type == IVHD_HID ? 22 + acpi_field(b, at + 21, 1) : 4u << (type >> 6);
}

static void ivhd_entry(struct iommu_tables *t, const struct acpi_table *e, struct iommu_range *open)
{
    uint8_t type = acpi_field(e, 0, 1);
    uint16_t bdf = acpi_field(e, type == IVHD_SPECIAL ? 5 : 1, 2);
    struct iommu_range r = { .first = bdf, .last = bdf, .unit = t->nr_units - 1, .setting = acpi_field(e, 3, 1) };
    switch (type) {
    case IVHD_START:
    case IVHD_EXT_START: *open = r; return;
    case IVHD_ALIAS_START:
    case IVHD_ALIAS:
        r.aliased = true;
        r.alias = acpi_field(e, 5, 2);
        *open = r;
        if (type == IVHD_ALIAS_START)
            return;
        break;
    case IVHD_ALL:
        r.first = 0;
        r.last = 0xffff;
        break;
    case IVHD_END:
        open->last = bdf;
        r = *open;
        break;
    case IVHD_SPECIAL:
        if (acpi_field(e, 7, 1) == 1)
            add_ioapic(t, bdf, acpi_field(e, 4, 1));
        break;
    case IVHD_SELECT:
    case IVHD_EXT:
    case IVHD_HID: break;
    default: return;
    }
    add_range(t, r);
}

static void ivhd_parse(struct iommu_tables *t, const struct acpi_table *b)
{
    add_unit(t, (struct iommu_place){ .base = acpi_field(b, 8, 8) & ~0x3fffull,
                                      .sbdf = acpi_field(b, 16, 2) << 16 | acpi_field(b, 4, 2),
                                      .capability = acpi_field(b, 6, 2),
                                      .flags = acpi_field(b, 1, 1) });
    /* An end without a start is malformed. */
    struct iommu_range open = { .first = 0xffff, .unit = t->nr_units - 1 };
    for (uint32_t length, at = acpi_field(b, 0, 1) == 0x10 ? 24 : 40; at < b->size; at += length) {
        length = ivhd_length(b, at);
        if (length > b->size - at) {
            t->broken = true;
            return;
        }
        ivhd_entry(t, &(struct acpi_table){ b->bytes + at, length, 0 }, &open);
    }
}

/* Memory that devices may reach whatever happens; exclusion ranges are treated as unity maps. */
static void ivmd_parse(struct iommu_tables *t, const struct acpi_table *b)
{
    uint8_t type = acpi_field(b, 0, 1);
    uint64_t start = acpi_field(b, 16, 8), end = start + acpi_field(b, 24, 8);
    struct iommu_reserved r = {
        .base = start >> PAGE_SHIFT,
        .end = ROUND_UP(end, PAGE_SIZE) >> PAGE_SHIFT,
        .segment = acpi_field(b, 8, 2),
        .first = type == 0x20 ? 0 : acpi_field(b, 4, 2),
        .last = type == 0x20 ? 0xffff : acpi_field(b, type == 0x22 ? 6 : 4, 2),
        .writable = acpi_field(b, 1, 1) & (BIT(2) | BIT(3)),
    };
    add_reserved(t, r);
}

void ivrs_parse(const struct acpi_table *ivrs, struct iommu_tables *t)
{
    struct acpi_table b;
    uint8_t newest = 0;
    /* Blocks of different age may describe one unit: only those of the newest type are taken. */
    for (uint32_t at = TABLE_HEADER; acpi_next_part(ivrs, &at, 2, &b);)
        if (b.bytes[0] == 0x10 || b.bytes[0] == 0x11 || b.bytes[0] == 0x40)
            newest = MAX(newest, b.bytes[0]);
    uint32_t at = TABLE_HEADER;
    while (acpi_next_part(ivrs, &at, 2, &b)) {
        if (b.bytes[0] == newest)
            ivhd_parse(t, &b);
        else if (b.bytes[0] >= 0x20 && b.bytes[0] <= 0x22)
            ivmd_parse(t, &b);
    }
    t->broken |= at != ivrs->size;
    /* QEMU names the IOAPIC only when it remaps; without the name its entries could not be routed anyway. */
    t->may_remap = t->nr_specials;
}

/* --- DMAR ----------------------------------------------------------------------------------------------- */

enum { SCOPE_ENDPOINT = 1, SCOPE_BRIDGE, SCOPE_IOAPIC, SCOPE_HPET };

/* Takes the next scope off a list, with its path of (device, function) pairs from a bus followed to `bdf`. The type; 0:
 * one to skip (a kind of the future, or a bridge on its path has no bus yet); -1: no more. */
static int scope_next(const struct acpi_table *list, uint32_t *at, uint16_t segment, uint16_t *bdf, uint8_t *id)
{
    struct acpi_table s;
    if (!acpi_next_part(list, at, 1, &s))
        return -1;
    unsigned type = acpi_field(&s, 0, 1), bus = acpi_field(&s, 5, 1);
    *id = acpi_field(&s, 4, 1);
    for (uint32_t hop = 6; hop + 2 <= s.size; hop += 2) {
        if (hop > 6)
            bus = metal_pci_read((uint32_t)segment << 16 | *bdf, 0x19, 1);
        if (hop > 6 && (bus == 0 || bus == 0xff))
            return 0;
        *bdf = bus << 8 | (s.bytes[hop] & 31) << 3 | (s.bytes[hop + 1] & 7);
    }
    return s.size >= 8 && type <= SCOPE_HPET ? type : 0;
}

static void drhd_parse(struct iommu_tables *t, const struct acpi_table *b)
{
    uint16_t segment = acpi_field(b, 6, 2), bdf;
    uint8_t id;
    add_unit(t, (struct iommu_place){ .base = acpi_field(b, 8, 8), .sbdf = (uint32_t)segment << 16, .last = 0xffff });
    struct iommu_range all = { .last = 0xffff, .unit = t->nr_units - 1 }; /* of its segment, that no other names */
    if (acpi_field(b, 4, 1) & 1)
        add_range(t, all);
    uint32_t at = 16;
    for (int type; (type = scope_next(b, &at, segment, &bdf, &id)) >= 0;) {
        struct iommu_range r = { .first = bdf, .last = bdf, .unit = all.unit };
        if (type == SCOPE_IOAPIC)
            add_ioapic(t, bdf, id);
        if (type)
            add_range(t, r);
        uint32_t sbdf = (uint32_t)segment << 16 | bdf;
        unsigned from = metal_pci_read(sbdf, 0x19, 1), to = metal_pci_read(sbdf, 0x1a, 1);
        r.first = from << 8;
        r.last = to << 8 | 0xff;
        if (type == SCOPE_BRIDGE && from != 0 && from != 0xff && to >= from)
            add_range(t, r);
    }
    t->broken |= at != b->size;
}

static void rmrr_parse(struct iommu_tables *t, const struct acpi_table *b)
{
    struct iommu_reserved r = {
        .base = acpi_field(b, 8, 8) >> PAGE_SHIFT,
        .end = (acpi_field(b, 16, 8) >> PAGE_SHIFT) + 1,
        .segment = acpi_field(b, 6, 2),
        .writable = true,
    };
    uint32_t at = 24;
    uint8_t id;
    for (int type; (type = scope_next(b, &at, r.segment, &r.first, &id)) >= 0;) {
        r.last = r.first;
        if (type)
            add_reserved(t, r);
    }
    t->broken |= at != b->size;
}

void dmar_parse(const struct acpi_table *dmar, struct iommu_tables *t)
{
    struct acpi_table b;
    uint32_t at = TABLE_HEADER;
    uint8_t width = acpi_field(dmar, 36, 1), flags = acpi_field(dmar, 37, 1);
    t->address_bits = width < 51 ? width + 1 : 0;
    t->may_remap = flags & 1;
    t->no_x2apic = flags & 2;
    while (acpi_next_part(dmar, &at, 2, &b)) {
        uint16_t type = acpi_field(&b, 0, 2);
        if (type == 0)
            drhd_parse(t, &b);
        else if (type == 1)
            rmrr_parse(t, &b);
    }
    t->broken |= at != dmar->size;
}

const struct iommu_range *iommu_find_range(const struct iommu_tables *t, uint16_t segment, uint16_t bdf)
{
    const struct iommu_range *found = NULL;
    for (const struct iommu_range *r = t->range; r < t->range + t->nr_ranges; r++)
        /* The narrowest, and the last of those: "all" comes first, or in DMAR means what nobody names. */
        if (bdf >= r->first && bdf <= r->last && t->unit[r->unit].sbdf >> 16 == segment &&
            (!found || r->last - r->first <= found->last - found->first))
            found = r;
    return found;
}
