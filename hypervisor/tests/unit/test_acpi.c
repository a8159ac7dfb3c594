/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: lib/acpi.c */
/* Tables we write are read back by our own parser: root pointer, XSDT, MADT; MCFG and short tables. */
#include "fake_metal.h"

#include <hv/acpi.h>
#include <string.h>

static uint8_t memory[8192];

static const void *map(void *data, paddr_t at, size_t size)
{
    return at <= sizeof(memory) && size <= sizeof(memory) - at ? memory + at : NULL;
}

static const struct acpi_source source = { map, NULL };

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
    static const uint32_t ids[] = { 0, 2, 300 };
    static const uint8_t override[] = { 2, 10, 0, 9, 20, 0, 0, 0, 0x0f, 0 };
    struct acpi_table root, t, host;
    struct acpi_madt_entry e, ioapic = { .type = MADT_IOAPIC, .ioapic = { 7, 0xfec00000, 24 } };
    struct acpi_ecam ecam;
    uint32_t at = 0;
    unsigned index = 0;

    memcpy(memory + 0x400 + 44, override, sizeof(override));
    table(0x400, "APIC", 44 + sizeof(override));
    uint64_t base = 0xe0000000;
    memcpy(memory + 0x500 + 44, &base, 8);
    memory[0x500 + 55] = 255;
    table(0x500, "MCFG", 60);
    table(0x600, "DMAR", 48);
    CHECK(acpi_table_at(&source, 0x400, &host) && !acpi_table_at(&source, 0, &t));

    uint64_t list[] = { 0x400, 0x500, 0x600, 1ull << 60, ~0ull };
    memcpy(memory + 0x300 + ACPI_HEADER, list, sizeof(list));
    table(0x300, "XSDT", ACPI_HEADER + sizeof(list));
    CHECK(acpi_build_rsdp(memory + 0x100, 35, 0x300) == 0 && acpi_build_rsdp(memory + 0x100, 36, 0x300) == 36);
    CHECK(acpi_root(&source, 0x100, &root) && acpi_find(&source, &root, "DMAR", &t) && t.at == 0x600);
    CHECK(!acpi_find(&source, &root, "IVRS", &t) && acpi_find(&source, &root, "MCFG", &t));
    CHECK(acpi_mcfg_entry(&t, 0, &ecam) && ecam.base == base && ecam.last_bus == 255 && !acpi_mcfg_entry(&t, 1, &ecam));
    memory[0x108]++;
    CHECK(!acpi_root(&source, 0x100, &t));

    struct acpi_madt_plan plan = { ids, 3, &host, &ioapic, 1 };
    size_t n = acpi_build_madt(memory + 0x1000, 0x800, &plan);
    CHECK(n == 44 + 8 + 8 + 16 + 12 + 10 && acpi_build_madt(memory + 0x1800, n - 1, &plan) == 0);
    CHECK(acpi_table_at(&source, 0x1000, &t) && sum(&t) == 0);
    for (unsigned i = 0; i < 3; i++)
        CHECK(acpi_madt_next(&t, &at, &e) && e.cpu.enabled && e.cpu.uid == i && e.cpu.apic_id == ids[i]);
    CHECK(acpi_madt_next(&t, &at, &e) && e.type == MADT_IOAPIC && e.ioapic.id == 7 && e.ioapic.gsi_base == 24);
    CHECK(acpi_madt_next(&t, &at, &e) && e.override.irq == 9 && e.override.gsi == 20 && e.override.level &&
          e.override.active_low);
    CHECK(!acpi_madt_next(&t, &at, &e));

    n = acpi_build_xsdt(memory + 0x1800, 0x800, &source, &root, 0x1000);
    CHECK(n == ACPI_HEADER + 16 && acpi_table_at(&source, 0x1800, &root) && sum(&root) == 0);
    CHECK(acpi_next_table(&source, &root, &index, &t) && t.at == 0x1000);
    CHECK(acpi_next_table(&source, &root, &index, &t) && t.at == 0x500 && !acpi_next_table(&source, &root, &index, &t));
    return 0;
}
