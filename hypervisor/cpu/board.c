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
const void *acpi_map(paddr_t at, size_t size)
{
    const struct boot_range *r = boot_range_at(at);
    if (r && r->kind <= BOOT_RUNTIME_DATA && size <= r->end - at)
        return paddr_ptr(at);
    return at < GIB(4) && size <= MIB(1) ? metal_map_mmio(at, size) : NULL;
}

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

static struct acpi_table find(const char *signature) { return acpi_find(&hv_board.xsdt, signature); }

void board_init(paddr_t rsdp)
{
    if (!rsdp || !acpi_root(rsdp, &hv_board.xsdt))
        panic("The firmware gives no ACPI tables.");
    hv_board.madt = find("APIC");
    if (!hv_board.madt.size)
        panic("The firmware's ACPI tables do not list the processors (MADT).");
    read_madt();
    struct acpi_table fadt = find("FACP"), mcfg = find("MCFG"), hpet = find("HPET");
    hv_board.fadt = acpi_parse_fadt(&fadt);
    if (hv_board.fadt.facs && hv_board.fadt.facs % 64 == 0)
        hv_board.facs = (struct acpi_facs *)acpi_map(hv_board.fadt.facs, sizeof(struct acpi_facs));
    hv_board.nr_ecam = acpi_parse_mcfg(&mcfg, hv_board.ecam, BOARD_MAX_ECAM);
    hv_board.hpet = acpi_hpet_base(&hpet);
    hv_board.ivrs = find("IVRS");
    hv_board.dmar = find("DMAR");
}
