/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What firmware says about IOMMUs: AMD's IVRS (48882 ch. 5.2) and Intel's DMAR (VT-d ch. 8). Bytes in, struct
 * iommu_tables out; each structure and entry is checked against the one around it. Unknown ones are skipped by their
 * length.
 *
 * Paths of DMAR are followed through bridges, whose bus numbers are read from configuration space.
 */
#include "unit.h"

#include <hv/lib.h>

#define TABLE_HEADER 48 /* both have 12 bytes behind ACPI's 36 */

/* A piece of a table, [at, end). */
struct bytes {
    const uint8_t *at, *end;
};

static uint64_t get(const uint8_t *p, unsigned bytes) { return bytes ? p[0] | get(p + 1, bytes - 1) << 8 : 0; }

static size_t left(struct bytes b) { return b.end - b.at; }

/* Hands each structure of a table to `take`; in both tables they have their length in bytes 2 and 3. */
static int each_block(const uint8_t *table, size_t size, struct iommu_tables *t,
                      int (*take)(struct iommu_tables *t, struct bytes block))
{
    int rc = 0;
    struct bytes b = { table + TABLE_HEADER, table + size };
    while (!rc && b.at < b.end) {
        size_t length = left(b) < 4 ? 0 : get(b.at + 2, 2);
        if (length < 4 || length > left(b))
            return -EINVAL;
        rc = take(t, (struct bytes){ b.at, b.at + length });
        b.at += length;
    }
    return rc;
}

/* The length of a table; 0: it is none, or longer than there are bytes. */
static size_t table_length(const uint8_t *table, size_t size, const char *signature)
{
    size_t length = size < TABLE_HEADER || memcmp(table, signature, 4) ? 0 : get(table + 4, 4);
    return length >= TABLE_HEADER && length <= size ? length : 0;
}

static int add_unit(struct iommu_tables *t, struct iommu_place place)
{
    /* Registers at 0, or not of a page: nothing that can be used. */
    if (!place.base || place.base & (PAGE_SIZE - 1) || place.base >> 52)
        return -EINVAL;
    if (t->nr_units == IOMMU_MAX_UNITS)
        return -E2BIG;
    t->unit[t->nr_units++] = place;
    return 0;
}

static int add_range(struct iommu_tables *t, struct iommu_range r)
{
    struct iommu_range *last = t->nr_ranges ? &t->range[t->nr_ranges - 1] : NULL;
    struct iommu_place *unit = &t->unit[r.unit];
    if (r.first > r.last)
        return -EINVAL;
    unit->last = MAX(unit->last, MAX(r.last, r.aliased ? r.alias : 0));
    /* Firmware likes to name each function. */
    if (last && last->unit == r.unit && last->setting == r.setting && !last->aliased && !r.aliased &&
        last->last + 1 == r.first) {
        last->last = r.last;
        return 0;
    }
    if (t->nr_ranges == IOMMU_MAX_RANGES)
        return -E2BIG;
    t->range[t->nr_ranges++] = r;
    return 0;
}

static int add_reserved(struct iommu_tables *t, struct iommu_reserved r)
{
    /* Firmware has such mistakes; units are worth more than the region: who needs it is blocked and logged. */
    if (r.base >= r.end || r.end > 1ull << 40 || r.first > r.last)
        return 0;
    if (t->nr_reserved == IOMMU_MAX_RESERVED)
        return -E2BIG;
    t->reserved[t->nr_reserved++] = r;
    return 0;
}

static int add_ioapic(struct iommu_tables *t, struct iommu_special s)
{
    if (t->nr_specials == IOMMU_MAX_SPECIALS)
        return -E2BIG;
    t->special[t->nr_specials++] = s;
    return 0;
}

/* --- IVRS ----------------------------------------------------------------------------------------------- */

enum { IVHD_ALL = 1, IVHD_SELECT, IVHD_START, IVHD_END };
enum { IVHD_ALIAS = 0x42, IVHD_ALIAS_START, IVHD_EXT = 0x46, IVHD_EXT_START, IVHD_SPECIAL, IVHD_HID = 0xf0 };

/* Length of an IVHD entry; 0: runs over the end. */
static size_t ivhd_length(struct bytes b)
{
    size_t length = 4u << (b.at[0] >> 6);
    if (b.at[0] == IVHD_HID)
        length = left(b) < 22 ? 0 : 22 + b.at[21];
    return length > left(b) ? 0 : length;
}

static int ivhd_entry(struct iommu_tables *t, const uint8_t *e, struct iommu_range *open)
{
    uint16_t bdf = get(e + (e[0] == IVHD_SPECIAL ? 5 : 1), 2);
    struct iommu_range r = { .first = bdf, .last = bdf, .unit = t->nr_units - 1, .setting = e[3] };
    int rc = 0;
    switch (e[0]) {
    case IVHD_ALL:
        r.first = 0;
        r.last = 0xffff;
        return add_range(t, r);
    case IVHD_START:
    case IVHD_EXT_START: *open = r; return 0;
    case IVHD_ALIAS:
    case IVHD_ALIAS_START:
        r.aliased = true;
        r.alias = get(e + 5, 2);
        *open = r;
        return e[0] == IVHD_ALIAS ? add_range(t, r) : 0;
    case IVHD_END: open->last = bdf; return add_range(t, *open);
    case IVHD_SPECIAL:
        if (e[7] == 1)
            rc = add_ioapic(t, (struct iommu_special){ (uint32_t)t->unit[r.unit].segment << 16 | bdf, e[4] });
        return rc ? rc : add_range(t, r);
    case IVHD_SELECT:
    case IVHD_EXT:
    case IVHD_HID: return add_range(t, r);
    default: return 0;
    }
}

static int ivhd_parse(struct iommu_tables *t, struct bytes b)
{
    size_t header = b.at[0] == 0x10 ? 24 : 40;
    if (left(b) < header)
        return -EINVAL;
    int rc = add_unit(t, (struct iommu_place){ .base = get(b.at + 8, 8) & ~0x3fffull,
                                               .segment = get(b.at + 16, 2),
                                               .bdf = get(b.at + 4, 2),
                                               .capability = get(b.at + 6, 2),
                                               .flags = b.at[1] });
    /* An end without a start is malformed. */
    struct iommu_range open = { .first = 0xffff, .unit = t->nr_units - 1 };
    for (b.at += header; !rc && b.at < b.end;) {
        size_t length = ivhd_length(b);
        if (!length)
            return -EINVAL;
        rc = ivhd_entry(t, b.at, &open);
        b.at += length;
    }
    return rc;
}

/* Memory that devices may reach whatever happens; exclusion ranges are treated as unity maps. */
static int ivmd_parse(struct iommu_tables *t, struct bytes b)
{
    const uint8_t *e = b.at;
    if (left(b) < 32 || get(e + 16, 8) > 1ull << 52 || get(e + 24, 8) > 1ull << 52)
        return -EINVAL;
    uint64_t start = get(e + 16, 8), end = start + get(e + 24, 8);
    struct iommu_reserved r = {
        .base = start >> PAGE_SHIFT,
        .end = ROUND_UP(end, PAGE_SIZE) >> PAGE_SHIFT,
        .segment = get(e + 8, 2),
        .first = e[0] == 0x20 ? 0 : get(e + 4, 2),
        .last = e[0] == 0x20 ? 0xffff : get(e[0] == 0x22 ? e + 6 : e + 4, 2),
        .writable = e[1] & (BIT(2) | BIT(3)),
    };
    return add_reserved(t, r);
}

/* Blocks of different age may describe one unit: only those of the newest type (0x10, 0x11, 0x40) are taken. */
static int ivhd_newest(struct iommu_tables *t, struct bytes b)
{
    if (b.at[0] == 0x10 || b.at[0] == 0x11 || b.at[0] == 0x40)
        t->ivhd_type = MAX(t->ivhd_type, b.at[0]);
    return 0;
}

static int ivrs_block(struct iommu_tables *t, struct bytes b)
{
    if (b.at[0] == t->ivhd_type)
        return ivhd_parse(t, b);
    return b.at[0] >= 0x20 && b.at[0] <= 0x22 ? ivmd_parse(t, b) : 0;
}

int ivrs_parse(const uint8_t *table, size_t size, struct iommu_tables *t)
{
    size = table_length(table, size, "IVRS");
    int rc = size ? each_block(table, size, t, ivhd_newest) : -EINVAL;
    rc = rc ? rc : each_block(table, size, t, ivrs_block);
    /* QEMU names the IOAPIC only when it remaps; without the name its entries could not be routed anyway. */
    t->may_remap = t->nr_specials;
    return rc;
}

/* --- DMAR ----------------------------------------------------------------------------------------------- */

enum { SCOPE_ENDPOINT = 1, SCOPE_BRIDGE, SCOPE_IOAPIC, SCOPE_HPET };

struct scope {
    uint8_t type, id;
    uint16_t bdf;
};

/* Takes the next scope off `b` and follows its path of (device, function) pairs from a bus. 1: one, 0: one to skip (a
 * kind of the future, or a bridge on its path has no bus yet), -EINVAL. */
static int scope_next(struct bytes *b, uint16_t segment, struct scope *s)
{
    const uint8_t *e = b->at;
    if (left(*b) < 8 || e[1] < 8 || e[1] > left(*b))
        return -EINVAL;
    b->at += e[1];
    unsigned bus = e[5], hops = (e[1] - 6) / 2;
    *s = (struct scope){ .type = e[0], .id = e[4] };
    for (unsigned i = 0; i < hops; i++) {
        if (i)
            bus = metal_pci_read((uint32_t)segment << 16 | s->bdf, 0x19, 1);
        if (i && (bus == 0 || bus == 0xff))
            return 0;
        s->bdf = bus << 8 | (e[6 + 2 * i] & 31) << 3 | (e[7 + 2 * i] & 7);
    }
    return s->type >= SCOPE_ENDPOINT && s->type <= SCOPE_HPET;
}

static int drhd_scope(struct iommu_tables *t, const struct scope *s)
{
    struct iommu_range r = { .first = s->bdf, .last = s->bdf, .unit = t->nr_units - 1 };
    uint32_t sbdf = (uint32_t)t->unit[r.unit].segment << 16 | s->bdf;
    int rc = add_range(t, r);
    if (!rc && s->type == SCOPE_IOAPIC)
        rc = add_ioapic(t, (struct iommu_special){ sbdf, s->id });
    if (rc || s->type != SCOPE_BRIDGE)
        return rc;
    unsigned from = metal_pci_read(sbdf, 0x19, 1), to = metal_pci_read(sbdf, 0x1a, 1);
    if (from == 0 || from == 0xff || to < from)
        return 0;
    r.first = from << 8;
    r.last = to << 8 | 0xff;
    return add_range(t, r);
}

static int drhd_parse(struct iommu_tables *t, struct bytes b)
{
    if (left(b) < 16)
        return -EINVAL;
    uint16_t segment = get(b.at + 6, 2);
    struct iommu_place place = { .base = get(b.at + 8, 8), .segment = segment, .last = 0xffff, .all = b.at[4] & 1 };
    struct scope s;
    int rc = add_unit(t, place);
    for (b.at += 16; !rc && b.at < b.end;) {
        rc = scope_next(&b, segment, &s);
        rc = rc > 0 ? drhd_scope(t, &s) : rc;
    }
    return rc;
}

static int rmrr_parse(struct iommu_tables *t, struct bytes b)
{
    if (left(b) < 24 || get(b.at + 16, 8) == ~0ull)
        return -EINVAL;
    struct iommu_reserved r = {
        .base = get(b.at + 8, 8) >> PAGE_SHIFT,
        .end = (get(b.at + 16, 8) >> PAGE_SHIFT) + 1,
        .segment = get(b.at + 6, 2),
        .writable = true,
    };
    struct scope s;
    int rc = 0;
    for (b.at += 24; rc >= 0 && b.at < b.end;) {
        rc = scope_next(&b, r.segment, &s);
        r.first = r.last = s.bdf;
        rc = rc > 0 ? add_reserved(t, r) : rc;
    }
    return rc;
}

static int dmar_block(struct iommu_tables *t, struct bytes b)
{
    uint64_t type = get(b.at, 2);
    return type == 0 ? drhd_parse(t, b) : type == 1 ? rmrr_parse(t, b) : 0;
}

int dmar_parse(const uint8_t *table, size_t size, struct iommu_tables *t)
{
    size = table_length(table, size, "DMAR");
    if (!size)
        return -EINVAL;
    t->address_bits = table[36] < 51 ? table[36] + 1 : 0;
    t->may_remap = table[37] & 1;
    t->no_x2apic = table[37] & 2;
    return each_block(table, size, t, dmar_block);
}

int iommu_find_unit(const struct iommu_tables *t, uint16_t segment, uint16_t bdf, const struct iommu_range **range)
{
    const struct iommu_range *found = NULL;
    for (unsigned i = 0; i < t->nr_ranges; i++) {
        const struct iommu_range *r = &t->range[i];
        /* A later entry says more than an earlier one (all, then some with an alias). */
        if (bdf >= r->first && bdf <= r->last && t->unit[r->unit].segment == segment)
            found = r;
    }
    *range = found;
    for (unsigned i = 0; !found && i < t->nr_units; i++)
        if (t->unit[i].all && t->unit[i].segment == segment)
            return i;
    return found ? found->unit : -1;
}
