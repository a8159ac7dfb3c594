/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Facts about this computer that hypercalls report: filled in once by boot/, before the control domain runs, and
 * constant from then on.
 */
#pragma once

#include <hv/bootinfo.h>
#include <hv/types.h>

#define MACHINE_MAX_CPUS 256

/* One range of a memory map. */
struct e820entry {
    uint64_t addr, size;
    uint32_t type; /* 1: RAM */
};
#define E820_MAX 128

struct machine_cpu {
    uint32_t apic_id, acpi_id; /* of the MADT */
};

struct machine {
    uint64_t max_page;      /* the highest page of RAM */
    struct e820entry *e820; /* the machine's memory map */
    unsigned nr_e820;
    unsigned physical_bits;          /* of addresses */
    uint16_t console_port;           /* the first of eight, 0: no serial console */
    char command_line[BOOT_OPTIONS]; /* the hypervisor's */
    unsigned nr_cpus;                /* in the MADT; after the start of all, metal_nr_cpus() of them are there */
    struct machine_cpu cpu[MACHINE_MAX_CPUS];
};

extern struct machine hv_machine;

/* What the loader told. The kernel, the initrd and the strings it points to are gone after boot_free(). */
extern const struct bootinfo *hv_bootinfo;
extern const struct boot_range *hv_ranges, *hv_ranges_end; /* the firmware's memory map */
