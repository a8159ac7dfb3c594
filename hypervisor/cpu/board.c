/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the firmware's ACPI tables once and keeps what the hypervisor needs of them. */
#include <hv/board.h>

#include "cpu.h"

#include <hv/acpi.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>

struct board hv_board;

/* Tables lie in RAM of kinds the direct map holds; firmware that puts them elsewhere gets a mapping. */
static const void *map_table(void *data, paddr_t at, size_t size)
{
    const struct boot_range *r = boot_range_at(at);
    if (r && r->kind <= BOOT_RUNTIME_DATA && size <= r->end - at)
        return paddr_ptr(at);
    return at < GIB(4) && size <= MIB(1) ? metal_map_mmio(at, size) : NULL;
}

const struct acpi_source hv_acpi_source = { .map = map_table };

static void add_cpu(uint32_t apic_id, uint32_t acpi_id, uint32_t flags)
{
    if ((flags & 1) && hv_machine.nr_cpus < MAX_CPUS)
        hv_machine.cpu[hv_machine.nr_cpus++] = (struct machine_cpu){ .apic_id = apic_id, .acpi_id = acpi_id };
}

static void read_madt(void)
{
    struct acpi_table e;
    for (unsigned irq = 0; irq < ARRAY_SIZE(hv_board.isa); irq++)
        hv_board.isa[irq].gsi = irq;
    for (uint32_t at = ACPI_MADT_PARTS; acpi_next_part(&hv_board.madt, &at, 1, &e);) {
        if (e.bytes[0] == MADT_LAPIC)
            add_cpu(acpi_field(&e, 3, 1), acpi_field(&e, 2, 1), acpi_field(&e, 4, 4));
        else if (e.bytes[0] == MADT_X2APIC)
            add_cpu(acpi_field(&e, 4, 4), acpi_field(&e, 12, 4), acpi_field(&e, 8, 4));
        else if (e.bytes[0] == MADT_IOAPIC && e.size >= 12 && hv_board.nr_ioapics < BOARD_MAX_IOAPICS)
            hv_board.ioapic[hv_board.nr_ioapics++] = (struct acpi_ioapic){ .id = acpi_field(&e, 2, 1),
                                                                           .address = acpi_field(&e, 4, 4),
                                                                           .gsi_base = acpi_field(&e, 8, 4) };
        else if (e.bytes[0] == MADT_OVERRIDE && e.size >= 10 && e.bytes[3] < ARRAY_SIZE(hv_board.isa))
            hv_board.isa[e.bytes[3]] = (struct board_line){ .gsi = acpi_field(&e, 4, 4),
                                                            .level = (e.bytes[8] >> 2 & 3) == 3,
                                                            .active_low = (e.bytes[8] & 3) == 3 };
    }
}

static void read_fadt(const struct acpi_table *table)
{
    paddr_t facs = acpi_parse_fadt(table, &hv_board.fadt) ? hv_board.fadt.facs : 0;
    if (facs && facs % 64 == 0)
        hv_board.facs = (struct acpi_facs *)map_table(NULL, facs, sizeof(struct acpi_facs));
}

void board_init(paddr_t rsdp)
{
    const struct acpi_source *s = &hv_acpi_source;
    struct acpi_table root, t;
    uint32_t at = 0;
    if (!rsdp || !acpi_root(s, rsdp, &root))
        panic("The firmware gives no ACPI tables.");
    hv_board.rsdp = rsdp;
    hv_board.madt = acpi_find(s, &root, "APIC");
    if (!hv_board.madt.size)
        panic("The firmware's ACPI tables do not list the processors (MADT).");
    read_madt();
    t = acpi_find(s, &root, "FACP");
    read_fadt(&t);
    t = acpi_find(s, &root, "MCFG");
    while (hv_board.nr_ecam < BOARD_MAX_ECAM && acpi_mcfg_next(&t, &at, &hv_board.ecam[hv_board.nr_ecam]))
        hv_board.nr_ecam++;
    t = acpi_find(s, &root, "HPET");
    hv_board.hpet = acpi_hpet_base(&t);
    hv_board.ivrs = acpi_find(s, &root, "IVRS");
    hv_board.dmar = acpi_find(s, &root, "DMAR");
}
