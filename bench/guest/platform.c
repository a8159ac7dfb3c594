/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "platform.h"

#include "console.h"
#include "text.h"
#include "x86.h"
#include "xen.h"

#define HYPERVISOR_BIT (1u << 31)
#define X2APIC_BIT (1u << 21)
#define ACPI_S5 0x2000 /* SLP_EN with SLP_TYP 0: soft-off of QEMU's chipsets */

struct platform platform = {.cpus = 1};

static void signature_take(char *to, uint32_t a, uint32_t b, uint32_t c)
{
    uint32_t words[3] = {a, b, c};

    for (unsigned i = 0; i < 12; i++)
        to[i] = (char)(words[i / 4] >> (i % 4 * 8));
    to[12] = 0;
}

static void copy_none(void)
{
    const char none[] = "none";

    for (unsigned i = 0; i < sizeof(none); i++)
        platform.hypervisor[i] = none[i];
}

/* Xen may stand at a later base than another interface it offers, so it is looked for first. */
static void hypervisor_detect(void)
{
    char name[13];

    for (uint32_t leaf = 0x40000000; leaf < 0x40010000; leaf += 0x100) {
        struct cpuid_regs r = cpuid(leaf);

        signature_take(name, r.ebx, r.ecx, r.edx);
        if (leaf == 0x40000000 || text_equal(name, "XenVMMXenVMM")) {
            signature_take(platform.hypervisor, r.ebx, r.ecx, r.edx);
            platform.hypervisor_leaf = leaf;
        }
        if (text_equal(name, "XenVMMXenVMM")) {
            platform.xen = true;
            platform.xen_version = cpuid(leaf + 1).eax;
            return;
        }
    }
}

void platform_detect(void)
{
    struct cpuid_regs r = cpuid(0);

    signature_take(platform.cpu, r.ebx, r.edx, r.ecx);
    r = cpuid(1);
    platform.x2apic = r.ecx & X2APIC_BIT;
    platform.apic_ids[0] = r.ebx >> 24;
    if (r.ecx & HYPERVISOR_BIT)
        hypervisor_detect();
    else
        copy_none();
}

void platform_relax(void)
{
    cpu_pause();
    if (platform.xen)
        xen_yield();
}

static void triple_fault(void)
{
    struct {
        uint16_t limit;
        uint64_t base;
    } __attribute__((packed)) nothing = {0, 0};

    __asm__ volatile("lidt %0; ud2" : : "m"(nothing));
}

void platform_power_off(uint64_t exit_port, bool ok)
{
    irq_off();
    console_drain();
    if (exit_port)
        port_out32((uint16_t)exit_port, ok ? 0x10 : 0x11);
    if (platform.xen)
        xen_shutdown();
    if (platform.pm1a_control)
        port_out16(platform.pm1a_control, ACPI_S5);
    for (unsigned i = 0; i < 1000000; i++)
        cpu_pause();
    if (platform.reset_port)
        port_out8(platform.reset_port, platform.reset_value);
    for (unsigned i = 0; i < 1000000; i++)
        cpu_pause();
    triple_fault();
    for (;;)
        __asm__ volatile("cli; hlt");
}
