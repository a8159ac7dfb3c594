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

bool acpi_table_at(paddr_t at, struct acpi_table *out)
{
    struct acpi_table t = { at ? acpi_map(at, ACPI_HEADER) : NULL, ACPI_HEADER, at };
    if (!t.bytes)
        return false;
    t.size = acpi_field(&t, 4, 4);
    /* The FACS has a length, but no header behind it (5.2.10). */
    if (t.size < ACPI_HEADER || t.size > ACPI_TABLE_MAX || at + t.size < at)
        return false;
    t.bytes = acpi_map(at, t.size);
    /* Were it to change its size between the two looks, the first one counts. */
    *out = t;
    return t.bytes;
}

bool acpi_root(paddr_t rsdp, struct acpi_table *root)
{
    /* 5.2.5.3: 20 bytes in ACPI 1.0; since 2000 longer, with a second checksum over all of it. */
    struct acpi_table t = { rsdp ? acpi_map(rsdp, ACPI_RSDP_SIZE) : NULL, ACPI_RSDP_SIZE, rsdp };
    return t.bytes && memcmp(t.bytes, "RSD PTR ", 8) == 0 && !sum_of(t.bytes, 20) && !sum_of(t.bytes, t.size) &&
           acpi_table_at(acpi_field(&t, 24, 8), root) && acpi_is(root, "XSDT") && !sum_of(root->bytes, root->size);
}

bool acpi_next_table(const struct acpi_table *root, unsigned *index, struct acpi_table *out)
{
    while (*index < (root->size - ACPI_HEADER) / 8) {
        paddr_t at = acpi_field(root, ACPI_HEADER + 8 * (*index)++, 8);
        if (acpi_table_at(at, out))
            return true;
    }
    return false;
}

struct acpi_table acpi_find(const struct acpi_table *root, const char *signature)
{
    struct acpi_table t;
    for (unsigned i = 0; acpi_next_table(root, &i, &t);)
        if (acpi_is(&t, signature))
            return t;
    return (struct acpi_table){ 0 };
}

bool acpi_next_part(const struct acpi_table *list, uint32_t *at, unsigned width, struct acpi_table *out)
{
    uint32_t length = acpi_field(list, *at + width, width);
    if (*at >= list->size || length < 2 * width || length > list->size - *at)
        return false;
    *out = (struct acpi_table){ list->bytes + *at, length, list->at + *at };
    *at += length;
    return true;
}

/* --- FADT: 5.2.9, MCFG, HPET --- */

/* The port of the generic address at `extended`, else of the field at `legacy`; 0: it has none. */
static uint16_t port_of(const struct acpi_table *t, uint32_t extended, uint32_t legacy)
{
    if (!acpi_field(t, extended + 4, 8))
        return acpi_field(t, legacy, 4);
    return acpi_field(t, extended, 1) == 1 ? acpi_field(t, extended + 4, 8) : 0;
}

struct acpi_fadt acpi_parse_fadt(const struct acpi_table *t)
{
    uint64_t facs = acpi_field(t, 132, 8);
    return (struct acpi_fadt){
        .facs = facs ? facs : acpi_field(t, 36, 4),
        .pm1a_control = port_of(t, 172, 64),
        .pm1b_control = port_of(t, 184, 68),
        .pm_timer = port_of(t, 208, 76),
        .reset = acpi_field(t, 112, 4) & BIT(10) ? port_of(t, 116, ~0u) : 0,
        .reset_value = acpi_field(t, 128, 1),
    };
}

unsigned acpi_parse_mcfg(const struct acpi_table *t, struct acpi_ecam *out, unsigned max)
{
    unsigned n = 0;
    for (uint32_t at = ACPI_HEADER + 8; at + 16 <= t->size && n < max; at += 16) {
        out[n] = (struct acpi_ecam){ acpi_field(t, at, 8), acpi_field(t, at + 8, 2), acpi_field(t, at + 10, 1),
                                     acpi_field(t, at + 11, 1) };
        n += out[n].first_bus <= out[n].last_bus && !(out[n].base & (MIB(1) - 1)) && out[n].base < 1ull << 51;
    }
    return n;
}

paddr_t acpi_hpet_base(const struct acpi_table *t) { return acpi_field(t, 40, 1) == 0 ? acpi_field(t, 44, 8) : 0; }

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
    put(w, 0, 4);        /* length, see finish() */
    put(w, revision, 2); /* and the checksum */
    put_bytes(w, "BULKHDBULKHEAD\1\0\0\0BLHD\1\0\0\0", 26);
}

static size_t finish(struct writer *w)
{
    if (w->full)
        return 0;
    memcpy(w->out + 4, &w->used, 4);
    w->out[9] = -sum_of(w->out, w->used);
    return w->used;
}

size_t acpi_build_madt(uint8_t *out, size_t size, const struct acpi_madt_plan *plan)
{
    struct writer w = { out, size };
    struct acpi_table e;
    put_header(&w, "APIC", 5);
    put(&w, 0xfee00000, 4);
    put(&w, acpi_field(plan->host, ACPI_HEADER + 4, 4) & 1, 4); /* whether there are PICs too */
    for (unsigned i = 0; i < plan->nr_cpus; i++)
        put(&w, MADT_LAPIC | 8 << 8 | i << 16 | (uint64_t)plan->apic_ids[i] << 24 | 1ull << 32, 8);
    for (const struct acpi_ioapic *io = plan->ioapics; io < plan->ioapics + plan->nr_ioapics; io++) {
        put(&w, MADT_IOAPIC | 12 << 8 | (uint32_t)io->id << 16, 4);
        put(&w, io->address, 4);
        put(&w, io->gsi_base, 4);
    }
    for (uint32_t at = ACPI_MADT_PARTS; acpi_next_part(plan->host, &at, 1, &e);)
        if (e.bytes[0] == MADT_OVERRIDE || e.bytes[0] == MADT_NMI_SOURCE)
            put_bytes(&w, e.bytes, e.size);
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

size_t acpi_build_xsdt(uint8_t *out, size_t size, const struct acpi_table *root, paddr_t madt)
{
    struct writer w = { out, size };
    struct acpi_table t;
    put_header(&w, "XSDT", 1);
    put(&w, madt, 8);
    for (unsigned i = 0; !w.full && acpi_next_table(root, &i, &t);)
        if (!is_hidden(&t))
            put(&w, t.at, 8);
    return finish(&w);
}

void acpi_build_rsdp(uint8_t *out, paddr_t xsdt)
{
    struct writer w = { out, ACPI_RSDP_SIZE };
    put_bytes(&w, "RSD PTR \0BULKHD\2\0\0\0", 20); /* no RSDT */
    put(&w, ACPI_RSDP_SIZE, 4);
    put(&w, xsdt, 8);
    put(&w, 0, 4);
    out[8] = -sum_of(out, 20);
    out[32] = -sum_of(out, ACPI_RSDP_SIZE);
}
