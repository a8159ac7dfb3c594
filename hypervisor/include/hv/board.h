/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ACPI tables say about this computer; filled once at boot (cpu/board.c), constant afterwards. */
#ifndef HV_BOARD_H
#define HV_BOARD_H

#include <hv/types.h>

#define BOARD_MAX_IOAPICS 8
#define BOARD_MAX_ECAM 8

struct board {
    paddr_t rsdp, hpet, madt, ivrs, dmar;
    paddr_t facs;
    uint16_t pm_timer, pm1a_event, pm1a_control, pm1b_control, sci;
    uint8_t reset_space, reset_value;
    uint64_t reset_address;
    unsigned nr_cpus;
    uint32_t apic_id[256];
    unsigned nr_ioapics;
    struct {
        uint8_t id;
        paddr_t address;
        uint32_t gsi_base;
    } ioapic[BOARD_MAX_IOAPICS];
    unsigned nr_ecam;
    struct {
        paddr_t base;
        uint16_t segment;
        uint8_t first_bus, last_bus;
    } ecam[BOARD_MAX_ECAM];
};

extern struct board hv_board;

/* Reads the tables that the root pointer leads to. Stops when the computer has none. */
void board_init(paddr_t rsdp);
void board_add_ioapics(void);
void pci_init(void); /* maps configuration space */
struct acpi_source;
extern const struct acpi_source hv_acpi_source; /* how the machine's tables are read */

#endif
