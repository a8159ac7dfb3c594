/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the ACPI tables say about this computer; filled once at boot (cpu/board.c), constant afterwards. */
#pragma once

#include <hv/acpi.h>
#include <hv/types.h>

#define BOARD_MAX_IOAPICS 8
#define BOARD_MAX_ECAM 8

/* ACPI 6.4 table 5.15: how the firmware and whoever sleeps agree on waking up. */
struct acpi_facs {
    uint8_t signature[4];
    uint32_t length, hardware_signature;
    volatile uint32_t waking_vector; /* of real mode: CS = it >> 4 */
    uint32_t global_lock, flags;
    volatile uint64_t x_waking_vector;
};

struct board_line {
    uint32_t gsi;
    bool level, active_low;
};

struct board {
    paddr_t hpet;
    struct acpi_table xsdt, madt, ivrs, dmar; /* size 0: none */
    struct acpi_facs *facs;                   /* NULL: none */
    struct acpi_fadt fadt;
    unsigned nr_ioapics, nr_ecam;
    struct acpi_ioapic ioapic[BOARD_MAX_IOAPICS];
    struct board_line isa[16]; /* how the interrupts of ISA are wired */
    struct acpi_ecam ecam[BOARD_MAX_ECAM];
};

extern struct board hv_board;

/* Reads the tables that the root pointer leads to. Stops when the computer has none. */
void board_init(paddr_t rsdp);
void pci_init(void); /* maps configuration space */
