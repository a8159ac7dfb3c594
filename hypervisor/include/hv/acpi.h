/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables (ACPI 6.4 ch. 5): finding and reading the firmware's, and writing those the control domain gets instead.
 *
 * Pure functions on bytes. Nothing in a table is trusted: every length is checked, and reading beyond a table gives
 * zeros. Tables of the machine are reached through acpi_map(), so that tests play firmware. There is no
 * interpreter for AML, and none is needed: the control domain's kernel has one.
 */
#pragma once

#include <hv/types.h>

#define ACPI_HEADER 36u        /* bytes of each table's header */
#define ACPI_TABLE_MAX MIB(16) /* larger ones are taken for garbage */
#define ACPI_RSDP_SIZE 36u

/* board.c: `size` readable bytes at `at`, for ever; NULL: nothing is to be read there. */
const void *acpi_map(paddr_t at, size_t size);

/* A table, or a structure inside one. */
struct acpi_table {
    const uint8_t *bytes;
    uint32_t size;
    paddr_t at; /* of a whole table: where it is */
};

/* Little-endian field of 1 to 8 bytes; 0 when it does not lie inside. */
uint64_t acpi_field(const struct acpi_table *t, uint32_t offset, unsigned size);
/* False for a table of size 0, which stands for none: its fields are 0 too. */
bool acpi_is(const struct acpi_table *t, const char *signature);
/* The header and length are sane and all of it can be read. The checksum is another matter (firmware gets it wrong). */
bool acpi_table_at(paddr_t at, struct acpi_table *out);

/* The root table (XSDT) that the root pointer at `rsdp` names; the checksums of both must be right. */
bool acpi_root(paddr_t rsdp, struct acpi_table *root);
/* Table number *index of the root table or the next that can be read, *index moved on behind it; false: no more. */
bool acpi_next_table(const struct acpi_table *root, unsigned *index, struct acpi_table *out);
/* The first with this signature, or one of size 0. */
struct acpi_table acpi_find(const struct acpi_table *root, const char *signature);
/* The structure at *at of a list in which each has its length behind its type, both of `width` bytes; *at is moved on
 * behind it. False: no more, or what follows (*at < size) is malformed. */
bool acpi_next_part(const struct acpi_table *list, uint32_t *at, unsigned width, struct acpi_table *out);

/* --- MADT (5.2.12) ---------------------------------------------------------------------------------------------- */
#define ACPI_MADT_PARTS 44u /* where they begin, behind the local APICs' address and flags; of width 1 */
enum acpi_madt_type { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_NMI_SOURCE = 3, MADT_X2APIC = 9 };

struct acpi_ioapic {
    uint8_t id;
    uint32_t address, gsi_base;
};

/* --- others ------------------------------------------------------------------------------------------------------ */
struct acpi_fadt {
    paddr_t facs;
    uint16_t pm1a_control, pm1b_control, pm_timer, reset; /* ports; 0: none */
    uint8_t reset_value;
};

struct acpi_fadt acpi_parse_fadt(const struct acpi_table *fadt);

/* Buses of a segment whose configuration space is in memory: bus 0's would be at `base`. */
struct acpi_ecam {
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
};

/* How many there are, at most `max`. Entries that make no sense are left out. */
unsigned acpi_parse_mcfg(const struct acpi_table *mcfg, struct acpi_ecam *out, unsigned max);

paddr_t acpi_hpet_base(const struct acpi_table *hpet); /* 0: none in memory */

/* --- tables for the control domain; each returns the bytes written, 0: `size` is too small -------------------------
 */
struct acpi_madt_plan {
    const uint32_t *apic_ids; /* of vCPUs 0 .. nr_cpus - 1, below 255; their processor uid is their number */
    unsigned nr_cpus;
    const struct acpi_table *host; /* overrides and NMI sources are taken from here */
    const struct acpi_ioapic *ioapics;
    unsigned nr_ioapics;
};

size_t acpi_build_madt(uint8_t *out, size_t size, const struct acpi_madt_plan *plan);
/* The list `root` without tables about what the hypervisor keeps (IOMMUs) or hides (NUMA, the host's APIC ids), and
 * with the MADT at `madt`. */
size_t acpi_build_xsdt(uint8_t *out, size_t size, const struct acpi_table *root, paddr_t madt);
void acpi_build_rsdp(uint8_t *out, paddr_t xsdt); /* ACPI_RSDP_SIZE bytes */
