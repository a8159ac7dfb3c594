/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random configuration spaces (the input's first part, spread over four functions) and random accesses to them, to
 * MSI-X tables and through ECAM. Checked besides the sanitizers: what is bound is unbound in the end, and nothing is
 * written outside a device's registers.
 */
/* sources: vdev/vpci.c */
#include "fake_metal.h"

#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/vdev.h>
#include <stdlib.h>
#include <string.h>

#define WINDOW 0xfe000000ul

static uint8_t registers[0x20000]; /* at WINDOW */
static unsigned nr_bound;
struct board hv_board = { .nr_ecam = 1, .ecam = { { 0xe0000000, 0, 0, 0 } } };

bool iommu_is_unit(uint32_t sbdf) { return sbdf == 4; }
int iommu_assign(struct domain *d, uint32_t sbdf)
{
    CHECK(sbdf < 4);
    return !d || sbdf & 1 ? 0 : -EOPNOTSUPP;
}

int irq_bind_msi(struct binding **at, uint32_t sbdf, struct msi_message guest, struct msi_message *out)
{
    CHECK(sbdf < 4);
    if (guest.data & 0x80)
        return -EINVAL;
    nr_bound += !*at;
    *at = (struct binding *)1;
    *out = (struct msi_message){ 0xfee00000, 0x30 };
    return 0;
}

void irq_unbind_msi(struct binding **at)
{
    nr_bound -= *at != NULL;
    *at = NULL;
}

void *metal_map_mmio(paddr_t base, size_t size)
{
    return base >= WINDOW && base + size <= WINDOW + sizeof(registers) ? registers + (base - WINDOW) : NULL;
}

void *pages_alloc(unsigned order)
{
    void *p = aligned_alloc(4096, 4096ul << order);
    memset(p, 0, 4096ul << order);
    return p;
}
void pages_free(void *p, unsigned order) { free(p); }
bool frame_known(mfn_t m) { return m.n < 0x1000; }
bool rangeset_contains(const struct rangeset *s, uint64_t first, uint64_t last) { return last < 0xff000; }
struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g) { return (struct p2m_entry){ mfn(g.n), P2M_MMIO, 0 }; }
int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count) { return 0; }

static void spaces_fill(const uint8_t *data, size_t size)
{
    for (unsigned devfn = 0; devfn < 4; devfn++) {
        uint8_t *c = fake_pci[devfn];
        memset(c, 0, 4096);
        for (size_t i = 0; i < 256; i++)
            c[i] = data[(i + devfn * 64) % size];
        for (size_t i = 0; i < 256; i++)
            c[0x100 + i] = data[(i + devfn * 32) % size];
        c[0] &= 0x7f; /* it is there */
        c[0x06] |= 0x10;
        c[0x0e] &= 1;
        for (unsigned bar = 0; bar < 3; bar++)
            c[0x13 + 8 * bar] = 0xfe;
    }
    if (data[1] & 2) { /* MSI-X with a table that works */
        fake_pci[1][0x34] = 0x40;
        memcpy(fake_pci[1] + 4, "\2\0", 2);
        memcpy(fake_pci[1] + 0x10, "\0\0\0\xfe", 4);
        memcpy(fake_pci[1] + 0x40, "\x11\0\xff\x01\0\0\0\0", 8);
    }
}

static void step(struct domain *d, const uint8_t *op)
{
    unsigned devfn = op[0] & 3, size = 1u << (op[0] >> 2 & 3), reg = op[1] | (op[2] & 15) << 8;
    bool write = op[0] & 0x10;
    uint32_t raw;
    memcpy(&raw, op + 4, 4);
    uint64_t value = raw | (uint64_t)raw << 32;
    switch (op[0] >> 5) {
    case 0:
        if (op[1] & 1)
            (void)!vpci_remove_device(d, devfn);
        else
            (void)!vpci_add_device(d, devfn);
        break;
    case 1: /* an entry's word; MSI-X on or off */
        if (op[3] & 0xc0)
            vpci_msix_access(d, WINDOW + (reg & ~7u) + (op[3] & 4), 4 + (~op[3] & 4), true, &value);
        else
            vpci_write(d, 1, 0x42, 2, raw);
        break;
    case 2: vpci_msix_access(d, WINDOW + (reg | op[3] << 12) % sizeof(registers), size, write, &value); break;
    case 3: CHECK(vpci_ecam_access(d, 0xe0000000 + (devfn << 12) + reg, size, write, &value)); break;
    case 4: vpci_traps_range(d, gfn((WINDOW >> 12) + op[3]), 1 + op[2]); break;
    default:
        reg = op[2] & 0xc0 ? reg & 0xff : reg;
        if (write)
            vpci_write(d, devfn, reg, size, raw);
        else
            vpci_read(d, devfn, reg, size);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 16)
        return 0;
    size_t part = MIN(size / 2, 320);
    struct domain *d = calloc(1, sizeof(*d));
    spin_init(&d->lock, LOCK_DOMAIN);
    spaces_fill(data, part);
    CHECK(vpci_init(d) == 0);
    for (unsigned devfn = 0; devfn < 4; devfn++)
        (void)!vpci_add_device(d, devfn);
    for (size_t at = part; at + 8 <= size && at < part + 8 * 400; at += 8)
        step(d, data + at);
    for (unsigned devfn = 0; devfn < 4; devfn++)
        CHECK(vpci_remove_device(d, devfn) == 0);
    free(d->pci);
    CHECK(nr_bound == 0);
    free(d);
    return 0;
}
