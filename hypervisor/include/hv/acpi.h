/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ACPI tables (ACPI 6.4 ch. 5): finding and reading the firmware's, and writing those the control domain gets instead.
 *
 * Pure functions on bytes. Nothing in a table is trusted: every length is checked, and reading beyond a table gives
 * zeros. Tables of the machine are reached through struct acpi_source, so that tests play firmware. There is no
 * interpreter for AML, and none is needed: the control domain's kernel has one.
 */
#ifndef HV_ACPI_H
#define HV_ACPI_H

#include <hv/types.h>

#define ACPI_HEADER 36u        /* bytes of each table's header */
#define ACPI_TABLE_MAX MIB(16) /* larger ones are taken for garbage */
#define ACPI_RSDP_SIZE 36u
#define ACPI_FACS_WAKING_VECTOR 12u   /* offset in the FACS: 32 bits, real mode */
#define ACPI_FACS_X_WAKING_VECTOR 24u /* 64 bits, protected mode */

/* `map` gives a pointer to `size` readable bytes at `at` that stays valid, or NULL: nothing is to be read there. */
struct acpi_source {
    const void *(*map)(void *data, paddr_t at, size_t size);
    void *data;
};

/* A table, or a structure inside one. */
struct acpi_table {
    const uint8_t *bytes;
    uint32_t size;
    paddr_t at; /* of a whole table: where it is */
};

/* Little-endian field of 1 to 8 bytes; 0 when it does not lie inside. */
uint64_t acpi_field(const struct acpi_table *t, uint32_t offset, unsigned size);
bool acpi_is(const struct acpi_table *t, const char *signature);
/* The header and length are sane and all of it can be read. The checksum is another matter (firmware gets it wrong). */
bool acpi_table_at(const struct acpi_source *s, paddr_t at, struct acpi_table *out);

/* The root table (XSDT, or RSDT when there is none) that the root pointer at `rsdp` names; its checksums must be right.
 */
bool acpi_root(const struct acpi_source *s, paddr_t rsdp, struct acpi_table *root);
/* Table number *index of the root table or the next that can be read, *index moved on behind it; false: no more. */
bool acpi_next_table(const struct acpi_source *s, const struct acpi_table *root, unsigned *index,
                     struct acpi_table *out);
/* The first with this signature. */
bool acpi_find(const struct acpi_source *s, const struct acpi_table *root, const char *signature,
               struct acpi_table *out);

/* --- MADT (5.2.12) ---------------------------------------------------------------------------------------------- */
enum acpi_madt_type { MADT_LAPIC = 0, MADT_IOAPIC = 1, MADT_OVERRIDE = 2, MADT_NMI_SOURCE = 3, MADT_X2APIC = 9 };

struct acpi_madt_entry {
    uint8_t type;
    struct acpi_table raw;
    union {
        struct {
            uint32_t uid, apic_id;
            bool enabled;
        } cpu; /* LAPIC, X2APIC */
        struct {
            uint8_t id;
            uint32_t address, gsi_base;
        } ioapic;
        struct {
            uint8_t irq;
            uint32_t gsi;
            bool level, active_low; /* "as the bus" is ISA's: edge, high */
        } override;
    };
};

/* Start with *offset = 0. Entries that are too short for their type are left out. */
bool acpi_madt_next(const struct acpi_table *madt, uint32_t *offset, struct acpi_madt_entry *out);

/* --- others ------------------------------------------------------------------------------------------------------ */
struct acpi_gas {
    uint8_t space;    /* 0: memory, 1: ports */
    uint64_t address; /* 0: not there */
};

struct acpi_fadt {
    paddr_t facs;
    uint16_t sci;
    struct acpi_gas pm1a_event, pm1a_control, pm1b_control, pm_timer, reset;
    uint8_t reset_value;
    bool reset_supported;
};

bool acpi_parse_fadt(const struct acpi_table *fadt, struct acpi_fadt *out);

struct acpi_ecam {
    uint64_t base;
    uint16_t segment;
    uint8_t first_bus, last_bus;
};

bool acpi_mcfg_entry(const struct acpi_table *mcfg, unsigned index, struct acpi_ecam *out); /* false: no more */

paddr_t acpi_hpet_base(const struct acpi_table *hpet); /* 0: none in memory */

/* --- tables for the control domain; each returns the bytes written, 0: `size` is too small -------------------------
 */
struct acpi_madt_plan {
    const uint32_t *apic_ids; /* of vCPUs 0 .. nr_cpus - 1; their processor uid is their number */
    unsigned nr_cpus;
    const struct acpi_table *host; /* overrides and NMI sources are taken from here */
    const struct acpi_madt_entry *ioapics;
    unsigned nr_ioapics;
};

size_t acpi_build_madt(uint8_t *out, size_t size, const struct acpi_madt_plan *plan);
/* The list `root` without tables about what the hypervisor keeps (IOMMUs) or hides (NUMA, the host's APIC ids), and
 * with the MADT at `madt`. */
size_t acpi_build_xsdt(uint8_t *out, size_t size, const struct acpi_source *s, const struct acpi_table *root,
                       paddr_t madt);
size_t acpi_build_rsdp(uint8_t *out, size_t size, paddr_t xsdt);

#endif
