/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rest of metal.h: kicks, ports, PCI configuration space, and the machine's end. */
#include "apic.h"
#include <hv/board.h>
#include "cpu.h"
#include "x86.h"

#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/metal.h>

#include <xen/sched.h>

#define PM1_SLEEP_TYPE (7u << 10)
#define PM1_SLEEP_ENABLE BIT(13)
#define ACPI_SPACE_MEMORY 0
#define ACPI_SPACE_PORT 1

struct cpu *hv_cpus[MAX_CPUS];
unsigned hv_nr_cpus = 1;
struct cpu_features hv_features;
const struct bootinfo *hv_bootinfo;

static spinlock_t pci_port_lock = SPINLOCK(LOCK_CONSOLE - 2);
static uint8_t *ecam[BOARD_MAX_ECAM];

unsigned metal_cpu(void) { return this_cpu()->id; }
unsigned metal_nr_cpus(void) { return hv_nr_cpus; }
void metal_kick(unsigned cpu) { apic_ipi(hv_cpus[cpu]->apic_id, VECTOR_KICK); }
bool metal_msr_read(uint32_t msr, uint64_t *value) { return rdmsr_safe(msr, value); }
void metal_wbinvd(void) { wbinvd(); }

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

uint32_t metal_pci_read(uint32_t sbdf, unsigned reg, unsigned size)
{
    volatile void *at = ecam_at(sbdf, reg);
    if (at)
        return size == 1 ? *(volatile uint8_t *)at : size == 2 ? *(volatile uint16_t *)at : *(volatile uint32_t *)at;
    if (sbdf > 0xffff || reg > 255)
        return ~0u;
    spin_lock(&pci_port_lock);
    outl(0xcf8, 0x80000000 | sbdf << 8 | (reg & 0xfc));
    uint32_t value = metal_port_read(0xcfc + (reg & 3), size);
    spin_unlock(&pci_port_lock);
    return value;
}

void metal_pci_write(uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    volatile void *at = ecam_at(sbdf, reg);
    if (at) {
        if (size == 1)
            *(volatile uint8_t *)at = value;
        else if (size == 2)
            *(volatile uint16_t *)at = value;
        else
            *(volatile uint32_t *)at = value;
        return;
    }
    if (sbdf > 0xffff || reg > 255)
        return;
    spin_lock(&pci_port_lock);
    outl(0xcf8, 0x80000000 | sbdf << 8 | (reg & 0xfc));
    metal_port_write(0xcfc + (reg & 3), size, value);
    spin_unlock(&pci_port_lock);
}

/* --- the end -------------------------------------------------------------------------------------------------------
 */

/* By the FADT's register, the keyboard controller, the chipset; at last by a fault that nobody can take. */
static noreturn void machine_reset(void)
{
    static const struct descriptor_pointer none;
    if (hv_board.reset_address && hv_board.reset_space == ACPI_SPACE_PORT)
        outb(hv_board.reset_address, hv_board.reset_value);
    else if (hv_board.reset_address && hv_board.reset_space == ACPI_SPACE_MEMORY)
        *(volatile uint8_t *)paddr_ptr(hv_board.reset_address) = hv_board.reset_value;
    for (unsigned i = 0; i < 100000; i++)
        inb(0x80);
    outb(0xcf9, 0x0e);
    outb(0x64, 0xfe);
    for (unsigned i = 0; i < 100000; i++)
        inb(0x80);
    __asm__ volatile("lidt %0; int3" : : "m"(none));
    for (;;)
        __asm__ volatile("cli; hlt");
}

void machine_stop(bool reboot)
{
    for (unsigned i = 0; i < hv_nr_cpus; i++)
        if (hv_cpus[i] && hv_cpus[i] != this_cpu() && load_relaxed(&hv_cpus[i]->online))
            apic_nmi(hv_cpus[i]->apic_id);
    if (reboot) {
        log_line("Rebooting (option reboot=off stops instead).");
        machine_reset();
    }
    log_line("Stopped. Reset or switch off.");
    for (;;)
        __asm__ volatile("cli; hlt");
}

void metal_machine_end(uint32_t code)
{
    if (code == SHUTDOWN_crash) {
        log_line("The control domain has crashed; its last words are above.");
        machine_stop(!option_is(hv_options, "reboot", "off", false));
    }
    if (code == SHUTDOWN_reboot)
        machine_reset();
    /* The control domain enters S5 itself (metal_enter_sleep) when it powers off; a kernel without ACPI ends here. */
    log_line("The control domain has ended (code %u). The machine can be switched off.", code);
    machine_stop(false);
}

static void write_pm1(uint16_t a, uint16_t b)
{
    outw(hv_board.pm1a_control, a);
    if (hv_board.pm1b_control)
        outw(hv_board.pm1b_control, b);
}

int metal_enter_sleep(uint8_t state, uint16_t pm1a, uint16_t pm1b, bool extended)
{
    if (extended || !hv_board.pm1a_control)
        return -EOPNOTSUPP;
    if (state != 5)
        return -EOPNOTSUPP;
    log_line("Power off.");
    write_pm1(pm1a & ~PM1_SLEEP_ENABLE, pm1b & ~PM1_SLEEP_ENABLE);
    write_pm1(pm1a | PM1_SLEEP_ENABLE, pm1b | PM1_SLEEP_ENABLE);
    delay_us(1000000);
    return -EIO;
}
