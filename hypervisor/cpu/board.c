/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Reads the firmware's ACPI tables once and keeps what the hypervisor needs of them. */
#include <hv/board.h>

#include "apic.h"
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
    const struct boot_range *r = paddr_ptr(hv_bootinfo->ranges);
    for (unsigned i = 0; i < hv_bootinfo->nr_ranges; i++, r++)
        if (at >= r->start && size <= r->end - r->start && at - r->start <= r->end - r->start - size &&
            r->kind <= BOOT_RUNTIME_DATA)
            return paddr_ptr(at);
    return at < GIB(4) && size <= MIB(1) ? metal_map_mmio(at, size) : NULL;
}

const struct acpi_source hv_acpi_source = { .map = map_table };

static void read_madt(const struct acpi_table *madt)
{
    struct acpi_madt_entry e;
    uint32_t offset = 0;
    hv_board.madt = madt->at;
    while (acpi_madt_next(madt, &offset, &e)) {
        unsigned cpu = hv_machine.nr_cpus, io = hv_board.nr_ioapics;
        if ((e.type == MADT_LAPIC || e.type == MADT_X2APIC) && e.cpu.enabled && cpu < MAX_CPUS) {
            hv_machine.cpu[cpu] = (struct machine_cpu){ .apic_id = e.cpu.apic_id, .acpi_id = e.cpu.uid };
            hv_machine.nr_cpus++;
        } else if (e.type == MADT_IOAPIC && io < BOARD_MAX_IOAPICS) {
            hv_board.ioapic[io].id = e.ioapic.id;
            hv_board.ioapic[io].address = e.ioapic.address;
            hv_board.ioapic[io].gsi_base = e.ioapic.gsi_base;
            hv_board.nr_ioapics++;
        }
    }
}

static void read_fadt(const struct acpi_table *table)
{
    struct acpi_fadt f;
    if (!acpi_parse_fadt(table, &f))
        return;
    if (f.facs && f.facs % 64 == 0)
        hv_board.facs = (struct acpi_facs *)map_table(NULL, f.facs, sizeof(struct acpi_facs));
    hv_board.pm_timer = f.pm_timer.space == 1 ? f.pm_timer.address : 0;
    hv_board.pm1a_control = f.pm1a_control.space == 1 ? f.pm1a_control.address : 0;
    hv_board.pm1b_control = f.pm1b_control.space == 1 ? f.pm1b_control.address : 0;
    if (f.reset_supported) {
        hv_board.reset_space = f.reset.space;
        hv_board.reset_address = f.reset.address;
        hv_board.reset_value = f.reset_value;
    }
}

void board_init(paddr_t rsdp)
{
    struct acpi_table root, t;
    if (!rsdp || !acpi_root(&hv_acpi_source, rsdp, &root))
        panic("The firmware gives no ACPI tables.");
    hv_board.rsdp = rsdp;
    if (!acpi_find(&hv_acpi_source, &root, "APIC", &t))
        panic("The firmware's ACPI tables do not list the processors (MADT).");
    read_madt(&t);
    if (acpi_find(&hv_acpi_source, &root, "FACP", &t))
        read_fadt(&t);
    if (acpi_find(&hv_acpi_source, &root, "MCFG", &t))
        while (hv_board.nr_ecam < BOARD_MAX_ECAM &&
               acpi_mcfg_entry(&t, hv_board.nr_ecam, &hv_board.ecam[hv_board.nr_ecam]))
            hv_board.nr_ecam++;
    if (acpi_find(&hv_acpi_source, &root, "HPET", &t))
        hv_board.hpet = acpi_hpet_base(&t);
    if (acpi_find(&hv_acpi_source, &root, "IVRS", &t))
        hv_board.ivrs = t.at;
    if (acpi_find(&hv_acpi_source, &root, "DMAR", &t))
        hv_board.dmar = t.at;
}

/* After apic_init(): the interrupt lines and how ISA's are wired. */
void board_add_ioapics(void)
{
    struct acpi_table madt;
    struct acpi_madt_entry e;
    uint32_t offset = 0;
    for (unsigned i = 0; i < hv_board.nr_ioapics; i++)
        if (irq_add_ioapic(hv_board.ioapic[i].id, hv_board.ioapic[i].gsi_base, hv_board.ioapic[i].address))
            log_line("IOAPIC %u cannot be used: too many.", hv_board.ioapic[i].id);
    if (!acpi_table_at(&hv_acpi_source, hv_board.madt, &madt))
        return;
    while (acpi_madt_next(&madt, &offset, &e))
        if (e.type == MADT_OVERRIDE)
            irq_add_override(e.override.irq, e.override.gsi,
                             (e.override.active_low ? 3 : 1) | (e.override.level ? 0xc : 4));
}
