/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: lib/acpi.c */
/* Tables we write are read back by our own parser: root pointer, XSDT, MADT; MCFG and short tables. */
#include "fake_metal.h"

#include <hv/acpi.h>
#include <string.h>

static uint8_t memory[8192];

const void *acpi_map(paddr_t at, size_t size)
{
    return at <= sizeof(memory) && size <= sizeof(memory) - at ? memory + at : NULL;
}

static void table(paddr_t at, const char *signature, uint32_t size)
{
    uint8_t sum = 0;
    memcpy(memory + at, signature, 4);
    memcpy(memory + at + 4, &size, 4);
    memory[at + 9] = 0;
    for (uint32_t i = 0; i < size; i++)
        sum += memory[at + i];
    memory[at + 9] = -sum;
}

static uint8_t sum(const struct acpi_table *t)
{
    uint8_t sum = 0;
    for (uint32_t i = 0; i < t->size; i++)
        sum += t->bytes[i];
    return sum;
}

int main(void)
{
    static const uint32_t ids[] = { 0, 2, 254 };
    static const uint8_t override[] = { 2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0 };
    struct acpi_table root, t, host;
    struct acpi_ioapic ioapic = { 7, 0xfec00000, 24 };
    struct acpi_ecam ecam[2];
    uint32_t at;
    unsigned index = 0;

    memcpy(memory + 0x400 + 44, override, sizeof(override));
    table(0x400, "APIC", 44 + sizeof(override));
    uint64_t base = 0xe0000000;
    memcpy(memory + 0x500 + 44, &base, 8);
    memory[0x500 + 54] = 3;
    memory[0x500 + 55] = 2; /* buses 3 to 2: left out */
    memcpy(memory + 0x500 + 60, memory + 0x500 + 44, 16);
    memory[0x500 + 71] = 255;
    table(0x500, "MCFG", 76);
    table(0x600, "DMAR", 48);
    CHECK(acpi_table_at(0x400, &host) && !acpi_table_at(0, &t));

    uint64_t list[] = { 0x400, 0x500, 0x600, 1ull << 60, ~0ull };
    memcpy(memory + 0x300 + ACPI_HEADER, list, sizeof(list));
    table(0x300, "XSDT", ACPI_HEADER + sizeof(list));
    acpi_build_rsdp(memory + 0x100, 0x300);
    CHECK(acpi_root(0x100, &root) && acpi_find(&root, "DMAR").at == 0x600);
    t = acpi_find(&root, "IVRS");
    CHECK(!t.size && !acpi_parse_mcfg(&t, ecam, 2) && !acpi_parse_fadt(&t).pm1a_control && !acpi_is(&t, "IVRS") &&
          !acpi_field(&t, 0, 4));
    t = acpi_find(&root, "MCFG");
    CHECK(acpi_parse_mcfg(&t, ecam, 2) == 1 && acpi_parse_mcfg(&t, ecam, 0) == 0);
    CHECK(ecam[0].base == base && ecam[0].last_bus == 255 && ecam[0].first_bus == 3);
    memory[0x108]++;
    CHECK(!acpi_root(0x100, &t));

    struct acpi_madt_plan plan = { ids, 3, &host, &ioapic, 1 };
    size_t n = acpi_build_madt(memory + 0x1000, 0x800, &plan);
    CHECK(n == 44 + 8 + 8 + 8 + 12 + 10 && acpi_build_madt(memory + 0x1800, n - 1, &plan) == 0);
    CHECK(acpi_table_at(0x1000, &t) && sum(&t) == 0);
    static const uint8_t parts[] = {
        0, 8,  0, 0,   1,  0, 0,    0,                   /* CPU 0 */
        0, 8,  1, 2,   1,  0, 0,    0,                   /* CPU 1, APIC id 2 */
        0, 8,  2, 254, 1,  0, 0,    0,                   /* CPU 2, APIC id 254 */
        1, 12, 7, 0,   0,  0, 0xc0, 0xfe, 24,   0, 0, 0, /* IOAPIC */
        2, 10, 0, 9,   20, 0, 0,    0,    0x0f, 0,       /* the firmware's override */
    };
    CHECK(t.size == 44 + sizeof(parts) && memcmp(t.bytes + 44, parts, sizeof(parts)) == 0);
    struct acpi_table part;
    at = ACPI_MADT_PARTS;
    for (unsigned i = 0; i < 5; i++)
        CHECK(acpi_next_part(&t, &at, 1, &part) && part.at + part.size == 0x1000 + at);
    CHECK(!acpi_next_part(&t, &at, 1, &part) && at == t.size);
    memory[0x400 + 45] = 11; /* longer than the list */
    at = ACPI_MADT_PARTS;
    CHECK(!acpi_next_part(&host, &at, 1, &part) && at == ACPI_MADT_PARTS);

    n = acpi_build_xsdt(memory + 0x1800, 0x800, &root, 0x1000);
    CHECK(n == ACPI_HEADER + 16 && acpi_table_at(0x1800, &root) && sum(&root) == 0);
    CHECK(acpi_next_table(&root, &index, &t) && t.at == 0x1000);
    CHECK(acpi_next_table(&root, &index, &t) && t.at == 0x500 && !acpi_next_table(&root, &index, &t));
    return 0;
}
