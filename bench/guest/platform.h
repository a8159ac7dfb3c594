/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What machine this is: hypervisor, CPUs, and the devices ACPI and PCI say are there. */
#ifndef BENCH_GUEST_PLATFORM_H
#define BENCH_GUEST_PLATFORM_H

#include <stdbool.h>
#include <stdint.h>

struct platform {
    char hypervisor[13]; /* CPUID signature, "none" without one */
    uint32_t hypervisor_leaf;
    bool xen;
    uint32_t xen_version; /* major << 16 | minor */
    char cpu[13];
    bool x2apic;
    bool board; /* a PC with IOAPIC, PICs, PIT and PCI; false: a PVH domain */
    unsigned cpus;
    uint32_t apic_ids[8];
    uint32_t ioapic, hpet; /* addresses, 0: not there */
    uint16_t pm_timer, pm1a_control, reset_port;
    uint8_t reset_value;
};

extern struct platform platform;

void platform_detect(void);
/* Fills in what ACPI knows. False: no tables, so nothing but the CPU is assumed. */
bool acpi_read(uint64_t rsdp);
/* Ends the run; comes back never. */
void platform_power_off(uint64_t exit_port, bool ok) __attribute__((noreturn));
/* One turn of waiting for another CPU or another domain. */
void platform_relax(void);

#endif
