/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rest of metal.h: kicks, ports, PCI configuration space. */
#include "apic.h"
#include <hv/board.h>
#include "cpu.h"
#include "x86.h"

#include <hv/metal.h>

struct cpu *hv_cpus[MAX_CPUS];
unsigned hv_nr_cpus = 1;
struct cpu_features hv_features;
const struct bootinfo *hv_bootinfo;
const struct boot_range *hv_ranges, *hv_ranges_end;

static spinlock_t pci_port_lock = SPINLOCK(LOCK_CONSOLE - 2);
static uint8_t *ecam[BOARD_MAX_ECAM];

const struct boot_range *boot_range_at(paddr_t address)
{
    for (const struct boot_range *r = hv_ranges; r < hv_ranges_end; r++)
        if (address >= r->start && address < r->end)
            return r;
    return NULL;
}

unsigned metal_cpu(void) { return this_cpu()->id; }
unsigned metal_nr_cpus(void) { return hv_nr_cpus; }
void metal_kick(unsigned cpu) { apic_ipi(hv_cpus[cpu]->apic_id, VECTOR_KICK); }
void metal_wbinvd(void) { __asm__ volatile("wbinvd" : : : "memory"); }

uint32_t metal_port_read(uint16_t port, unsigned size)
{
    return size == 1 ? inb(port) : size == 2 ? inw(port) : inl(port);
}

void metal_port_write(uint16_t port, unsigned size, uint32_t value)
{
    if (size == 1)
        outb(port, value);
    else if (size == 2)
        outw(port, value);
    else
        outl(port, value);
}

/* --- PCI: memory-mapped where MCFG says so, else mechanism #1 ------------------------------------------------------
 */

void pci_init(void)
{
    for (unsigned i = 0; i < hv_board.nr_ecam; i++) {
        uint64_t buses = hv_board.ecam[i].last_bus - hv_board.ecam[i].first_bus + 1;
        ecam[i] = metal_map_mmio(hv_board.ecam[i].base + MIB(hv_board.ecam[i].first_bus), MIB(buses));
    }
}

static volatile void *ecam_at(uint32_t sbdf, unsigned reg)
{
    uint8_t bus = sbdf >> 8;
    for (unsigned i = 0; i < hv_board.nr_ecam; i++)
        if (hv_board.ecam[i].segment == sbdf >> 16 && bus >= hv_board.ecam[i].first_bus &&
            bus <= hv_board.ecam[i].last_bus)
            return ecam[i] + MIB(bus - hv_board.ecam[i].first_bus) + ((sbdf & 0xff) << 12) + reg;
    return NULL;
}

static uint32_t pci_access(uint32_t sbdf, unsigned reg, unsigned size, bool write, uint64_t value)
{
    volatile void *at = ecam_at(sbdf, reg);
    uint16_t port = 0xcfc + (reg & 3);
    if (at) {
        metal_mmio(at, size, write, &value);
        return value;
    }
    if (sbdf > 0xffff || reg > 255)
        return ~0u;
    spin_lock(&pci_port_lock);
    outl(0xcf8, 0x80000000 | sbdf << 8 | (reg & 0xfc));
    if (write)
        metal_port_write(port, size, value);
    else
        value = metal_port_read(port, size);
    spin_unlock(&pci_port_lock);
    return value;
}

uint32_t metal_pci_read(uint32_t sbdf, unsigned reg, unsigned size) { return pci_access(sbdf, reg, size, false, 0); }

void metal_pci_write(uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    pci_access(sbdf, reg, size, true, value);
}
