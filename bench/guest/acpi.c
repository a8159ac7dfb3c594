/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The few ACPI facts that say which devices exist: MADT (CPUs, IOAPIC), HPET, FADT (PM timer,
 * power-off, reset). Tables are believed after their checksum; everything lies below 4 GiB or is
 * ignored.
 */
#include "platform.h"
#include "x86.h"

#define LOCAL_APIC 0
#define IO_APIC 1
#define LOCAL_X2APIC 9
#define CPU_ENABLED 1u
#define FADT_HW_REDUCED (1u << 20)
#define FADT_RESET (1u << 10)
#define SPACE_IO 1

struct table {
    char signature[4];
    uint32_t length;
} __attribute__((packed));

struct rsdp {
    char signature[8];
    uint8_t checksum, oem[6], revision;
    uint32_t rsdt, length;
    uint64_t xsdt;
} __attribute__((packed));

static uint32_t read32(const uint8_t *p)
{
    return p[0] | p[1] << 8 | p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool sum_ok(const uint8_t *p, uint32_t length)
{
    uint8_t sum = 0;

    for (uint32_t i = 0; i < length; i++)
        sum = (uint8_t)(sum + p[i]);
    return sum == 0;
}

static bool signature_is(const char *have, const char *want, unsigned len)
{
    for (unsigned i = 0; i < len; i++)
        if (have[i] != want[i])
            return false;
    return true;
}

static void cpu_add(uint32_t id, uint32_t flags)
{
    if ((flags & CPU_ENABLED) &&
        platform.cpus < sizeof(platform.apic_ids) / sizeof(platform.apic_ids[0]))
        platform.apic_ids[platform.cpus++] = id;
}

static void madt_read(const uint8_t *t, uint32_t length)
{
    uint32_t at = 44;

    platform.cpus = 0;
    while (at + 2 <= length && t[at + 1] >= 2 && at + t[at + 1] <= length) {
        const uint8_t *e = t + at;

        if (e[0] == LOCAL_APIC && e[1] >= 8)
            cpu_add(e[3], read32(e + 4));
        else if (e[0] == LOCAL_X2APIC && e[1] >= 16)
            cpu_add(read32(e + 4), read32(e + 8));
        else if (e[0] == IO_APIC && e[1] >= 12 && !platform.ioapic)
            platform.ioapic = read32(e + 4);
        at += e[1];
    }
}

static void fadt_read(const uint8_t *t, uint32_t length)
{
    uint32_t flags = length >= 116 ? read32(t + 112) : 0;

    if (!(flags & FADT_HW_REDUCED)) {
        platform.pm1a_control = (uint16_t)read32(t + 64);
        platform.pm_timer = (uint16_t)read32(t + 76);
    }
    if (length >= 129 && (flags & FADT_RESET) && t[116] == SPACE_IO) {
        platform.reset_port = (uint16_t)read32(t + 120);
        platform.reset_value = t[128];
    }
}

static void table_read(uint64_t address)
{
    const struct table *t = (const struct table *)(uintptr_t)address;

    if (!address || address >> 32 || t->length < 36 || t->length > 1u << 20)
        return;
    if (!sum_ok((const uint8_t *)t, t->length))
        return;
    if (signature_is(t->signature, "APIC", 4))
        madt_read((const uint8_t *)t, t->length);
    else if (signature_is(t->signature, "FACP", 4) && t->length >= 80)
        fadt_read((const uint8_t *)t, t->length);
    else if (signature_is(t->signature, "HPET", 4) && t->length >= 52)
        platform.hpet = read32((const uint8_t *)t + 44);
}

static const struct rsdp *rsdp_search(void)
{
    for (uintptr_t p = 0xe0000; p < 0x100000; p += 16)
        if (signature_is((const char *)p, "RSD PTR ", 8) && sum_ok((const uint8_t *)p, 20))
            return (const struct rsdp *)p;
    return NULL;
}

bool acpi_read(uint64_t rsdp)
{
    const struct rsdp *r = rsdp ? (const struct rsdp *)(uintptr_t)rsdp : rsdp_search();
    const uint8_t *root;
    unsigned width;
    uint64_t at;

    if (!r || rsdp >> 32 || !signature_is(r->signature, "RSD PTR ", 8))
        return false;
    width = r->revision >= 2 && r->xsdt ? 8 : 4;
    at = width == 8 ? r->xsdt : r->rsdt;
    root = (const uint8_t *)(uintptr_t)at;
    if (at >> 32 || !sum_ok(root, read32(root + 4)))
        return false;
    for (uint32_t i = 36; i + width <= read32(root + 4); i += width)
        table_read(read32(root + i) | (width == 8 ? (uint64_t)read32(root + i + 4) << 32 : 0));
    platform.board = platform.ioapic != 0;
    return true;
}
