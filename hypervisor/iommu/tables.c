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

#define TABLE_HEADER 36

/* A piece of a table, [at, end). */
struct bytes {
    const uint8_t *at, *end;
};

static uint64_t get(const uint8_t *p, unsigned bytes) { return bytes ? p[0] | get(p + 1, bytes - 1) << 8 : 0; }

static size_t left(struct bytes b) { return b.end - b.at; }

static bool table_body(const uint8_t *table, size_t size, const char *signature, struct bytes *body)
{
    if (size < TABLE_HEADER + 12 || memcmp(table, signature, 4) || get(table + 4, 4) > size ||
        get(table + 4, 4) < TABLE_HEADER + 12)
        return false;
    *body = (struct bytes){ table + TABLE_HEADER + 12, table + get(table + 4, 4) };
    return true;
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

static int add_special(struct iommu_tables *t, struct iommu_special s)
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
    uint8_t unit = t->nr_units - 1;
    uint16_t bdf = get(e + 1, 2);
    struct iommu_range r = { .first = bdf, .last = bdf, .unit = unit, .setting = e[3] };
    switch (e[0]) {
    case IVHD_ALL: return add_range(t, (struct iommu_range){ .last = 0xffff, .unit = unit, .setting = e[3] });
    case IVHD_ALIAS:
    case IVHD_ALIAS_START:
        r.aliased = true;
        r.alias = get(e + 5, 2);
        break;
    case IVHD_END: open->last = bdf; return add_range(t, *open);
    case IVHD_SPECIAL:
        r.first = r.last = get(e + 5, 2);
        if (e[7] == 1 || e[7] == 2) {
            struct iommu_special s = { (uint32_t)t->unit[unit].segment << 16 | r.first, e[4], e[7] == 2 };
            int rc = add_special(t, s);
            if (rc)
                return rc;
        }
        break;
    case IVHD_SELECT:
    case IVHD_START:
    case IVHD_EXT:
    case IVHD_EXT_START:
    case IVHD_HID: break;
    default: return 0;
    }
    *open = r;
    bool start = e[0] == IVHD_START || e[0] == IVHD_ALIAS_START || e[0] == IVHD_EXT_START;
    return start ? 0 : add_range(t, r);
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
static int ivmd_parse(struct iommu_tables *t, const uint8_t *e, size_t length)
{
    if (length < 32)
        return -EINVAL;
    uint64_t start = get(e + 16, 8), size = get(e + 24, 8);
    if (size > 1ull << 52 || start > 1ull << 52)
        return -EINVAL;
    struct iommu_reserved r = {
        .base = start >> PAGE_SHIFT,
        .end = (start + size + PAGE_SIZE - 1) >> PAGE_SHIFT,
        .segment = get(e + 8, 2),
        .first = e[0] == 0x20 ? 0 : get(e + 4, 2),
        .last = e[0] == 0x20 ? 0xffff : get(e[0] == 0x22 ? e + 6 : e + 4, 2),
        .writable = e[1] & (BIT(2) | BIT(3)),
    };
    return add_reserved(t, r);
}

/* Blocks of different age may describe one unit: all of one type are taken, 0x11 before 0x10 before 0x40. */
static uint8_t ivhd_best(struct bytes b)
{
    static const uint8_t order[] = { 0x40, 0x10, 0x11 };
    unsigned best = 0;
    while (left(b) >= 4 && get(b.at + 2, 2) >= 4 && get(b.at + 2, 2) <= left(b)) {
        for (unsigned i = best; i < ARRAY_SIZE(order); i++)
            best = b.at[0] == order[i] ? i : best;
        b.at += get(b.at + 2, 2);
    }
    return order[best];
}

int ivrs_parse(const uint8_t *table, size_t size, struct iommu_tables *t)
{
    struct bytes b;
    if (!table_body(table, size, "IVRS", &b))
        return -EINVAL;
    uint8_t best = ivhd_best(b);
    int rc = 0;
    while (!rc && b.at < b.end) {
        size_t length = left(b) < 4 ? 0 : get(b.at + 2, 2);
        if (length < 4 || length > left(b))
            return -EINVAL;
        if (b.at[0] == best)
            rc = ivhd_parse(t, (struct bytes){ b.at, b.at + length });
        else if (b.at[0] >= 0x20 && b.at[0] <= 0x22)
            rc = ivmd_parse(t, b.at, length);
        b.at += length;
    }
    /* QEMU names the IOAPIC only when it remaps; without the name its entries could not be routed anyway. */
    for (unsigned i = 0; i < t->nr_specials; i++)
        t->may_remap |= !t->special[i].hpet;
    return rc;
}

/* --- DMAR ----------------------------------------------------------------------------------------------- */

enum { SCOPE_ENDPOINT = 1, SCOPE_BRIDGE, SCOPE_IOAPIC, SCOPE_HPET };

struct scope {
    uint8_t type, id;
    uint16_t segment, first, last;
};

/* Follows a path of (device, function) pairs from a bus. False: a bridge on it has no bus (yet). */
static bool scope_resolve(const uint8_t *e, struct scope *s)
{
    unsigned bus = e[5], hops = (e[1] - 6) / 2;
    for (unsigned i = 0;; i++) {
        s->first = bus << 8 | (e[6 + 2 * i] & 31) << 3 | (e[7 + 2 * i] & 7);
        if (i + 1 == hops)
            break;
        bus = metal_pci_read((uint32_t)s->segment << 16 | s->first, 0x19, 1);
        if (bus == 0 || bus == 0xff)
            return false;
    }
    s->last = s->first;
    return true;
}

/* Takes the next scope off `b`. 1: one, 0: one to skip, -EINVAL. */
static int scope_next(struct bytes *b, uint16_t segment, struct scope *s)
{
    const uint8_t *e = b->at;
    if (left(*b) < 8 || e[1] < 8 || e[1] > left(*b))
        return -EINVAL;
    b->at += e[1];
    *s = (struct scope){ .type = e[0], .id = e[4], .segment = segment };
    return e[0] >= SCOPE_ENDPOINT && e[0] <= SCOPE_HPET && scope_resolve(e, s);
}

static int drhd_scope(struct iommu_tables *t, const struct scope *s)
{
    struct iommu_range r = { .first = s->first, .last = s->last, .unit = t->nr_units - 1 };
    int rc = add_range(t, r);
    uint32_t sbdf = (uint32_t)s->segment << 16 | s->first;
    if (rc)
        return rc;
    if (s->type == SCOPE_IOAPIC || s->type == SCOPE_HPET)
        return add_special(t, (struct iommu_special){ sbdf, s->id, s->type == SCOPE_HPET });
    if (s->type != SCOPE_BRIDGE)
        return 0;
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
        if (rc <= 0)
            continue;
        r.first = s.first;
        r.last = s.last;
        rc = add_reserved(t, r);
    }
    return rc;
}

int dmar_parse(const uint8_t *table, size_t size, struct iommu_tables *t)
{
    struct bytes b;
    if (!table_body(table, size, "DMAR", &b))
        return -EINVAL;
    t->may_remap = table[37] & 1;
    t->no_x2apic = table[37] & 2;
    int rc = 0;
    while (!rc && b.at < b.end) {
        size_t length = left(b) < 4 ? 0 : get(b.at + 2, 2);
        if (length < 4 || length > left(b))
            return -EINVAL;
        struct bytes one = { b.at, b.at + length };
        if (get(b.at, 2) == 0)
            rc = drhd_parse(t, one);
        else if (get(b.at, 2) == 1)
            rc = rmrr_parse(t, one);
        b.at += length;
    }
    return rc;
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
