/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Reading and writing ACPI tables. See acpi.h; numbers in comments are sections of ACPI 6.4.
 *
 * Reading: bytes reach a result only through acpi_field(), which knows where a table ends. Writing: through struct
 * writer, which knows where the caller's buffer ends.
 */
#include <hv/acpi.h>
#include <hv/lib.h>

uint64_t acpi_field(const struct acpi_table *t, uint32_t offset, unsigned size)
{
    uint64_t value = 0;
    if (offset > t->size || size > t->size - offset || size > 8)
        return 0;
    for (unsigned i = 0; i < size; i++)
        value |= (uint64_t)t->bytes[offset + i] << (8 * i);
    return value;
}

bool acpi_is(const struct acpi_table *t, const char *signature)
{
    return t->size >= 4 && memcmp(t->bytes, signature, 4) == 0;
}

static uint8_t sum_of(const uint8_t *bytes, size_t size)
{
    uint8_t sum = 0;
    while (size--)
        sum += *bytes++;
    return sum;
}

static bool sum_is_zero(const struct acpi_table *t) { return sum_of(t->bytes, t->size) == 0; }

bool acpi_table_at(const struct acpi_source *s, paddr_t at, struct acpi_table *out)
{
    struct acpi_table t = { at ? s->map(s->data, at, ACPI_HEADER) : NULL, ACPI_HEADER, at };
    if (!t.bytes)
        return false;
    t.size = acpi_field(&t, 4, 4);
    /* The FACS has a length, but no header behind it (5.2.10). */
    if (t.size < ACPI_HEADER || t.size > ACPI_TABLE_MAX || at + t.size < at)
        return false;
    t.bytes = s->map(s->data, at, t.size);
    /* Were it to change its size between the two looks, the first one counts. */
    *out = t;
    return t.bytes;
}

bool acpi_root(const struct acpi_source *s, paddr_t rsdp, struct acpi_table *root)
{
    /* 5.2.5.3: 20 bytes in ACPI 1.0; later longer, with a second checksum over all of it. */
    struct acpi_table t = { rsdp ? s->map(s->data, rsdp, 20) : NULL, 20, rsdp };
    if (!t.bytes || memcmp(t.bytes, "RSD PTR ", 8) != 0 || !sum_is_zero(&t))
        return false;
    paddr_t rsdt = acpi_field(&t, 16, 4);
    if (acpi_field(&t, 15, 1) >= 2) {
        t = (struct acpi_table){ s->map(s->data, rsdp, ACPI_RSDP_SIZE), ACPI_RSDP_SIZE, rsdp };
        if (t.bytes && acpi_field(&t, 20, 4) >= ACPI_RSDP_SIZE && sum_is_zero(&t) &&
            acpi_table_at(s, acpi_field(&t, 24, 8), root) && acpi_is(root, "XSDT") && sum_is_zero(root))
            return true;
    }
    return acpi_table_at(s, rsdt, root) && acpi_is(root, "RSDT") && sum_is_zero(root);
}

bool acpi_next_table(const struct acpi_source *s, const struct acpi_table *root, unsigned *index,
                     struct acpi_table *out)
{
    unsigned width = acpi_is(root, "XSDT") ? 8 : 4;
    while (*index < (root->size - ACPI_HEADER) / width) {
        paddr_t at = acpi_field(root, ACPI_HEADER + width * (*index)++, width);
        if (acpi_table_at(s, at, out))
            return true;
    }
    return false;
}

bool acpi_find(const struct acpi_source *s, const struct acpi_table *root, const char *signature,
               struct acpi_table *out)
{
    for (unsigned i = 0; acpi_next_table(s, root, &i, out);) {
        if (acpi_is(out, signature))
            return true;
    }
    return false;
}

/* --- MADT: 5.2.12 --- */

static bool madt_parse(const struct acpi_table *r, struct acpi_madt_entry *e)
{
    static const uint8_t sizes[] = {
        [MADT_LAPIC] = 8, [MADT_IOAPIC] = 12, [MADT_OVERRIDE] = 10, [MADT_NMI_SOURCE] = 8, [MADT_X2APIC] = 16
    };
    uint32_t flags;
    if (e->type < ARRAY_SIZE(sizes) && r->size < sizes[e->type])
        return false;
    switch (e->type) {
    case MADT_LAPIC:
    case MADT_X2APIC:
        e->cpu.uid = e->type == MADT_LAPIC ? acpi_field(r, 2, 1) : acpi_field(r, 12, 4);
        e->cpu.apic_id = e->type == MADT_LAPIC ? acpi_field(r, 3, 1) : acpi_field(r, 4, 4);
        e->cpu.enabled = acpi_field(r, e->type == MADT_LAPIC ? 4 : 8, 4) & 1;
        break;
    case MADT_IOAPIC:
        e->ioapic.id = acpi_field(r, 2, 1);
        e->ioapic.address = acpi_field(r, 4, 4);
        e->ioapic.gsi_base = acpi_field(r, 8, 4);
        break;
    case MADT_OVERRIDE:
        e->override.irq = acpi_field(r, 3, 1);
        e->override.gsi = acpi_field(r, 4, 4);
        flags = acpi_field(r, 8, 2);
        e->override.active_low = (flags & 3) == 3;
        e->override.level = (flags >> 2 & 3) == 3;
        break;
    }
    return true;
}

/* Structures follow one another: type:8 length:8. */
bool acpi_madt_next(const struct acpi_table *madt, uint32_t *offset, struct acpi_madt_entry *out)
{
    uint32_t at = MAX(*offset, ACPI_HEADER + 8); /* behind the local APICs' address and flags */
    for (;;) {
        uint32_t length = acpi_field(madt, at + 1, 1);
        if (at >= madt->size || length < 2 || length > madt->size - at)
            return false;
        struct acpi_table raw = { madt->bytes + at, length, madt->at + at };
        *out = (struct acpi_madt_entry){ .type = madt->bytes[at], .raw = raw };
        *offset = at += length;
        if (madt_parse(&raw, out))
            return true;
    }
}

/* --- FADT: 5.2.9, MCFG, HPET --- */

/* The generic address at `extended`, else the port at `legacy`. */
static struct acpi_gas gas_of(const struct acpi_table *t, uint32_t extended, uint32_t legacy)
{
    struct acpi_gas gas = { .space = acpi_field(t, extended, 1), .address = acpi_field(t, extended + 4, 8) };
    return gas.address ? gas : (struct acpi_gas){ .space = 1, .address = acpi_field(t, legacy, 4) };
}

bool acpi_parse_fadt(const struct acpi_table *t, struct acpi_fadt *f)
{
    *f = (struct acpi_fadt){ 0 };
    if (!acpi_is(t, "FACP") || t->size < 116)
        return false;
    uint64_t facs = acpi_field(t, 132, 8);
    f->facs = facs ? facs : acpi_field(t, 36, 4);
    f->sci = acpi_field(t, 46, 2);
    f->pm1a_event = gas_of(t, 148, 56);
    f->pm1a_control = gas_of(t, 172, 64);
    f->pm1b_control = gas_of(t, 184, 68);
    f->pm_timer = gas_of(t, 208, 76);
    f->reset = (struct acpi_gas){ acpi_field(t, 116, 1), acpi_field(t, 120, 8) };
    f->reset_value = acpi_field(t, 128, 1);
    f->reset_supported = acpi_field(t, 112, 4) & BIT(10) && f->reset.address;
    return true;
}

bool acpi_mcfg_entry(const struct acpi_table *t, unsigned index, struct acpi_ecam *out)
{
    if (!acpi_is(t, "MCFG") || t->size < ACPI_HEADER + 8 || index >= (t->size - ACPI_HEADER - 8) / 16)
        return false;
    uint32_t at = ACPI_HEADER + 8 + 16 * index;
    *out = (struct acpi_ecam){ acpi_field(t, at, 8), acpi_field(t, at + 8, 2), acpi_field(t, at + 10, 1),
                               acpi_field(t, at + 11, 1) };
    return true;
}

paddr_t acpi_hpet_base(const struct acpi_table *t)
{
    return acpi_is(t, "HPET") && acpi_field(t, 40, 1) == 0 ? acpi_field(t, 44, 8) : 0;
}

/* --- writing --- */

struct writer {
    uint8_t *out;
    size_t size, used;
    bool full;
};

static void put(struct writer *w, uint64_t value, unsigned size)
{
    if (w->full || size > w->size - w->used) {
        w->full = true;
        return;
    }
    for (unsigned i = 0; i < size; i++)
        w->out[w->used++] = value >> (8 * i);
}

static void put_bytes(struct writer *w, const void *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        put(w, ((const uint8_t *)bytes)[i], 1);
}

static void put_header(struct writer *w, const char *signature, uint8_t revision)
{
    put_bytes(w, signature, 4);
    put(w, 0, 4); /* length, see finish() */
    put(w, revision, 1);
    put(w, 0, 1); /* checksum */
    put_bytes(w, "BULKHDBULKHEAD", 14);
    put(w, 1, 4);
    put_bytes(w, "BLHD", 4);
    put(w, 1, 4);
}

static size_t finish(struct writer *w)
{
    if (w->full)
        return 0;
    for (unsigned i = 0; i < 4; i++)
        w->out[4 + i] = w->used >> (8 * i);
    w->out[9] = -sum_of(w->out, w->used);
    return w->used;
}

static void put_cpu(struct writer *w, uint32_t uid, uint32_t apic_id)
{
    bool wide = apic_id >= 255 || uid >= 255; /* 5.2.12.12: smaller ones have the short entry */
    put(w, wide ? MADT_X2APIC : MADT_LAPIC, 1);
    put(w, wide ? 16 : 8, 1);
    put(w, wide ? 0 : uid | apic_id << 8, 2);
    if (wide)
        put(w, apic_id, 4);
    put(w, 1, 4);
    if (wide)
        put(w, uid, 4);
}

static void put_ioapic(struct writer *w, const struct acpi_madt_entry *e)
{
    put(w, MADT_IOAPIC | 12 << 8 | (uint32_t)e->ioapic.id << 16, 4);
    put(w, e->ioapic.address, 4);
    put(w, e->ioapic.gsi_base, 4);
}

size_t acpi_build_madt(uint8_t *out, size_t size, const struct acpi_madt_plan *plan)
{
    struct writer w = { out, size };
    struct acpi_madt_entry e;
    put_header(&w, "APIC", 5);
    put(&w, 0xfee00000, 4);
    put(&w, acpi_field(plan->host, ACPI_HEADER + 4, 4) & 1, 4); /* whether there are PICs too */
    for (unsigned i = 0; i < plan->nr_cpus; i++)
        put_cpu(&w, i, plan->apic_ids[i]);
    for (unsigned i = 0; i < plan->nr_ioapics; i++)
        put_ioapic(&w, &plan->ioapics[i]);
    for (uint32_t at = 0; acpi_madt_next(plan->host, &at, &e);)
        if (e.type == MADT_OVERRIDE || e.type == MADT_NMI_SOURCE)
            put_bytes(&w, e.raw.bytes, e.raw.size);
    return finish(&w);
}

/* IOMMUs are the hypervisor's; the others speak of the host's processors (APIC ids, nodes, power domains). */
static bool is_hidden(const struct acpi_table *t)
{
    static const char hidden[][5] = { "DMAR", "IVRS", "APIC", "SRAT", "SLIT", "HMAT",
                                      "MSCT", "MPST", "PMTT", "PPTT", "PCCT", "DRTM" };
    for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++)
        if (acpi_is(t, hidden[i]))
            return true;
    return false;
}

size_t acpi_build_xsdt(uint8_t *out, size_t size, const struct acpi_source *s, const struct acpi_table *root,
                       paddr_t madt)
{
    struct writer w = { out, size };
    struct acpi_table t;
    put_header(&w, "XSDT", 1);
    put(&w, madt, 8);
    for (unsigned i = 0; !w.full && acpi_next_table(s, root, &i, &t);)
        if (!is_hidden(&t))
            put(&w, t.at, 8);
    return finish(&w);
}

size_t acpi_build_rsdp(uint8_t *out, size_t size, paddr_t xsdt)
{
    struct writer w = { out, size };
    put_bytes(&w, "RSD PTR ", 8);
    put(&w, 0, 1);
    put_bytes(&w, "BULKHD", 6);
    put(&w, 2, 1);
    put(&w, 0, 4); /* no RSDT */
    put(&w, ACPI_RSDP_SIZE, 4);
    put(&w, xsdt, 8);
    put(&w, 0, 4);
    if (w.full)
        return 0;
    out[8] = -sum_of(out, 20);
    out[32] = -sum_of(out, ACPI_RSDP_SIZE);
    return w.used;
}
