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

bool acpi_checksum_ok(const struct acpi_table *t) { return sum_of(t->bytes, t->size) == 0; }

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
    if (!t.bytes || memcmp(t.bytes, "RSD PTR ", 8) != 0 || !acpi_checksum_ok(&t))
        return false;
    paddr_t rsdt = acpi_field(&t, 16, 4);
    if (acpi_field(&t, 15, 1) >= 2) {
        t = (struct acpi_table){ s->map(s->data, rsdp, ACPI_RSDP_SIZE), ACPI_RSDP_SIZE, rsdp };
        if (t.bytes && acpi_field(&t, 20, 4) >= ACPI_RSDP_SIZE && acpi_checksum_ok(&t) &&
            acpi_table_at(s, acpi_field(&t, 24, 8), root) && acpi_is(root, "XSDT") && acpi_checksum_ok(root))
            return true;
    }
    return acpi_table_at(s, rsdt, root) && acpi_is(root, "RSDT") && acpi_checksum_ok(root);
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

bool acpi_next(const struct acpi_table *t, enum acpi_kind kind, uint32_t *offset, struct acpi_table *out)
{
    uint32_t at = *offset;
    uint32_t length = kind == ACPI_SHORT ? acpi_field(t, at + 1, 1) : acpi_field(t, at + 2, 2);
    if (at >= t->size || length < (uint32_t)kind || length > t->size - at)
        return false;
    *out = (struct acpi_table){ t->bytes + at, length, t->at + at };
    *offset = at + length;
    return true;
}

/* --- MADT: 5.2.12 --- */

static bool madt_parse(const struct acpi_table *r, struct acpi_madt_entry *e)
{
    static const uint8_t sizes[] = {
        [MADT_LAPIC] = 8,     [MADT_IOAPIC] = 12,        [MADT_OVERRIDE] = 10, [MADT_NMI_SOURCE] = 8,
        [MADT_LAPIC_NMI] = 6, [MADT_LAPIC_ADDRESS] = 12, [MADT_X2APIC] = 16,   [MADT_X2APIC_NMI] = 12
    };
    uint32_t flags;
    if (e->type < ARRAY_SIZE(sizes) && r->size < sizes[e->type])
        return false;
    switch (e->type) {
    case MADT_LAPIC:
    case MADT_X2APIC:
        e->cpu.uid = e->type == MADT_LAPIC ? acpi_field(r, 2, 1) : acpi_field(r, 12, 4);
        e->cpu.apic_id = e->type == MADT_LAPIC ? acpi_field(r, 3, 1) : acpi_field(r, 4, 4);
        flags = acpi_field(r, e->type == MADT_LAPIC ? 4 : 8, 4);
        e->cpu.enabled = flags & 1;
        e->cpu.can_be_enabled = flags & 3;
        break;
    case MADT_IOAPIC:
        e->ioapic.id = acpi_field(r, 2, 1);
        e->ioapic.address = acpi_field(r, 4, 4);
        e->ioapic.gsi_base = acpi_field(r, 8, 4);
        break;
    case MADT_OVERRIDE:
    case MADT_NMI_SOURCE:
        e->override.irq = e->type == MADT_OVERRIDE ? acpi_field(r, 3, 1) : 0;
        e->override.gsi = acpi_field(r, 4, 4);
        flags = acpi_field(r, e->type == MADT_OVERRIDE ? 8 : 2, 2);
        e->override.active_low = (flags & 3) == 3;
        e->override.level = (flags >> 2 & 3) == 3;
        break;
    case MADT_LAPIC_NMI:
    case MADT_X2APIC_NMI:
        e->nmi.uid = e->type == MADT_LAPIC_NMI ? acpi_field(r, 2, 1) : acpi_field(r, 4, 4);
        e->nmi.lint = acpi_field(r, e->type == MADT_LAPIC_NMI ? 5 : 8, 1);
        if (e->type == MADT_LAPIC_NMI && e->nmi.uid == 0xff)
            e->nmi.uid = ~0u;
        break;
    case MADT_LAPIC_ADDRESS: e->lapic_address = acpi_field(r, 4, 8); break;
    }
    return true;
}

bool acpi_madt_next(const struct acpi_table *madt, uint32_t *offset, struct acpi_madt_entry *out)
{
    *offset = MAX(*offset, ACPI_HEADER + 8); /* behind the local APICs' address and flags */
    do {
        *out = (struct acpi_madt_entry){ 0 };
        if (!acpi_next(madt, ACPI_SHORT, offset, &out->raw))
            return false;
        out->type = acpi_field(&out->raw, 0, 1);
    } while (!madt_parse(&out->raw, out));
    return true;
}

/* --- FADT: 5.2.9, MCFG, HPET --- */

/* The generic address at `extended`, else the port at `legacy` with `length` bytes. */
static struct acpi_gas gas_of(const struct acpi_table *t, uint32_t extended, uint32_t legacy, unsigned length)
{
    struct acpi_gas gas = {
        .space = acpi_field(t, extended, 1),
        .bits = acpi_field(t, extended + 1, 1),
        .access = acpi_field(t, extended + 3, 1),
        .address = acpi_field(t, extended + 4, 8),
    };
    if (gas.address || !legacy)
        return gas;
    return (struct acpi_gas){ .space = 1, .bits = MIN(8 * length, 255u), .address = acpi_field(t, legacy, 4) };
}

bool acpi_parse_fadt(const struct acpi_table *t, struct acpi_fadt *f)
{
    *f = (struct acpi_fadt){ 0 };
    if (!acpi_is(t, "FACP") || t->size < 116)
        return false;
    uint64_t facs = acpi_field(t, 132, 8), dsdt = acpi_field(t, 140, 8);
    f->facs = facs ? facs : acpi_field(t, 36, 4);
    f->dsdt = dsdt ? dsdt : acpi_field(t, 40, 4);
    f->sci = acpi_field(t, 46, 2);
    f->smi_command = acpi_field(t, 48, 2);
    f->acpi_enable = acpi_field(t, 52, 1);
    f->acpi_disable = acpi_field(t, 53, 1);
    f->pm1_event_length = acpi_field(t, 88, 1);
    f->pm1_control_length = acpi_field(t, 89, 1);
    f->century = acpi_field(t, 108, 1);
    f->boot_flags = acpi_field(t, 109, 2);
    f->flags = acpi_field(t, 112, 4);
    f->pm1a_event = gas_of(t, 148, 56, f->pm1_event_length);
    f->pm1b_event = gas_of(t, 160, 60, f->pm1_event_length);
    f->pm1a_control = gas_of(t, 172, 64, f->pm1_control_length);
    f->pm1b_control = gas_of(t, 184, 68, f->pm1_control_length);
    f->pm2_control = gas_of(t, 196, 72, acpi_field(t, 90, 1));
    f->pm_timer = gas_of(t, 208, 76, acpi_field(t, 91, 1));
    f->gpe0 = gas_of(t, 220, 80, acpi_field(t, 92, 1));
    f->gpe1 = gas_of(t, 232, 84, acpi_field(t, 93, 1));
    f->reset = gas_of(t, 116, 0, 0);
    f->reset_value = acpi_field(t, 128, 1);
    f->pm_timer_32bit = f->flags & BIT(8);
    f->reset_supported = f->flags & BIT(10) && f->reset.address;
    f->hardware_reduced = f->flags & BIT(20);
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

bool acpi_parse_hpet(const struct acpi_table *t, struct acpi_hpet *out)
{
    if (!acpi_is(t, "HPET") || t->size < 55 || acpi_field(t, 40, 1) != 0)
        return false;
    *out = (struct acpi_hpet){ acpi_field(t, 44, 8), acpi_field(t, 36, 4), acpi_field(t, 52, 1), acpi_field(t, 53, 2) };
    return out->base;
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
    put(&w, plan->host ? acpi_field(plan->host, ACPI_HEADER + 4, 4) & 1 : 1, 4); /* whether there are PICs too */
    for (unsigned i = 0; i < plan->nr_cpus; i++)
        put_cpu(&w, i, plan->apic_ids[i]);
    for (unsigned i = 0; i < plan->nr_ioapics; i++)
        put_ioapic(&w, &plan->ioapics[i]);
    for (uint32_t at = 0; plan->host && acpi_madt_next(plan->host, &at, &e);) {
        if (e.type == MADT_OVERRIDE || e.type == MADT_NMI_SOURCE || (e.type == MADT_IOAPIC && !plan->nr_ioapics))
            put_bytes(&w, e.raw.bytes, e.raw.size);
    }
    return finish(&w);
}

/* IOMMUs are the hypervisor's; the others speak of the host's processors (APIC ids, nodes, power domains). */
static bool is_hidden(const struct acpi_table *t, bool hide_hpet)
{
    static const char hidden[][5] = { "DMAR", "IVRS", "APIC", "SRAT", "SLIT", "HMAT",
                                      "MSCT", "MPST", "PMTT", "PPTT", "PCCT", "DRTM" };
    for (unsigned i = 0; i < ARRAY_SIZE(hidden); i++) {
        if (acpi_is(t, hidden[i]))
            return true;
    }
    return hide_hpet && acpi_is(t, "HPET");
}

size_t acpi_build_xsdt(uint8_t *out, size_t size, const struct acpi_xsdt_plan *plan)
{
    struct writer w = { out, size };
    struct acpi_table t;
    put_header(&w, "XSDT", 1);
    put(&w, plan->madt, 8);
    for (unsigned i = 0; !w.full && acpi_next_table(plan->source, plan->root, &i, &t);) {
        if (!is_hidden(&t, plan->hide_hpet))
            put(&w, t.at, 8);
    }
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
