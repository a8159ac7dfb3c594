/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration space of the control domain, which owns all devices. All of it is the hardware's own, but for
 * - interrupt messages: what the guest writes into an MSI capability or an MSI-X table is kept here, and the device
 * gets what irq_bind_msi() says. To that end the pages with MSI-X tables are not in the p2m and accesses to them come
 * here;
 * - bus mastering: a device has it only from vpci_add_device() on, and only if the IOMMU confines it.
 *
 * BARs are the guest's to move (MMIO is mapped 1:1); table_follow() notices each move. Devices offer one MSI message
 * only: several would need consecutive vectors and remapping entries, and drivers want MSI-X for that.
 *
 * Lock: the domain's, everything below. Devices may be hostile: nothing read from one is trusted to make sense.
 */
#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/p2m.h>
#include <hv/vdev.h>

#define VPCI_ORDER 4        /* 64 KiB */
#define MAX_CAPABILITIES 48 /* what there is room for */
#define MAX_MOVES 16        /* mappings are for ever; a table that is somewhere else all the time is given up */

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 2
#define PCI_COMMAND_MASTER 4
#define PCI_BAR 0x10
#define PCI_BAR_END 0x28
#define CAP_MSI 0x05
#define CAP_MSIX 0x11
#define MSI_ENABLE 1
#define MSI_64 BIT(7)
#define MSI_HIDDEN 0x67e /* multiple messages, extended data: not offered */
#define MSIX_ENABLE BIT(15)
#define MSIX_MASK_ALL BIT(14)
#define ENTRY_MASKED 1u
#define ENTRY_SIZE 16u

/* As the guest sees it (PCI 3.0 6.8.2), and where it goes. */
struct msix_entry {
    uint32_t word[4]; /* address, address high, data, control */
    struct binding *irq;
};

/* A place in the table belongs to one function for ever, with its mappings; `present` tells whether it is there now. */
struct device {
    uint32_t sbdf;
    uint8_t msi, msix, bir; /* capabilities' offsets, 0: none; the BAR with the table */
    uint16_t nr_entries, moves;
    bool present, confined, msi_on, msi_64, msix_on;
    struct msi_message msi_guest;
    struct binding *msi_irq;
    uint32_t table_offset;
    struct msix_entry *entry;
    paddr_t table; /* 0: not decoded, or where it must not be */
    paddr_t window_base;
    volatile uint8_t *window; /* of the pages around the table */
};

struct vpci {
    unsigned count; /* of places */
    struct device place[];
};
#define MAX_PLACES (((PAGE_SIZE << VPCI_ORDER) - sizeof(struct vpci)) / sizeof(struct device))

static uint32_t read16(uint32_t sbdf, unsigned reg) { return metal_pci_read(sbdf, reg, 2); }
static uint32_t read32(uint32_t sbdf, unsigned reg) { return metal_pci_read(sbdf, reg, 4); }

/* A function's place, whether it is there now or was; NULL: none. */
static struct device *place_find(struct vpci *p, uint32_t sbdf)
{
    for (struct device *dev = p->place; dev < p->place + p->count; dev++)
        if (dev->sbdf == sbdf)
            return dev;
    return NULL;
}

static struct device *device_find(struct vpci *p, uint32_t sbdf)
{
    struct device *dev = place_find(p, sbdf);
    return dev && dev->present ? dev : NULL;
}

/* --- where MSI-X tables are --- */

static uint64_t table_end(const struct device *dev) { return dev->table + dev->nr_entries * ENTRY_SIZE; }

/* Whether some of the table is in these pages. */
static bool table_in(const struct device *dev, uint64_t first_page, uint64_t last_page)
{
    return dev->table && last_page >= dev->table >> PAGE_SHIFT && first_page <= (table_end(dev) - 1) >> PAGE_SHIFT;
}

/* The device whose table is there, or else one with a table on the same page. */
static struct device *table_find(struct vpci *p, gpa_t gpa)
{
    struct device *near = NULL;
    for (struct device *dev = p->place; dev < p->place + p->count; dev++) {
        if (!table_in(dev, gpa >> PAGE_SHIFT, gpa >> PAGE_SHIFT))
            continue;
        near = dev;
        if (gpa >= dev->table && gpa < table_end(dev))
            break;
    }
    return near;
}

static uint64_t bar_address(uint32_t sbdf, unsigned reg)
{
    uint32_t low = read32(sbdf, reg);
    bool wide = (low & 6) == 4;
    return low & 1 ? 0 : (low & ~0xfu) | (wide ? (uint64_t)read32(sbdf, reg + 4) << 32 : 0);
}

/* Where the device decodes its table now; 0: nowhere. */
static paddr_t table_place(const struct device *dev)
{
    if (!dev->entry || !(read16(dev->sbdf, PCI_COMMAND) & PCI_COMMAND_MEMORY))
        return 0;
    uint64_t base = bar_address(dev->sbdf, PCI_BAR + 4 * dev->bir);
    return base && base < BIT(51) ? base + dev->table_offset : 0;
}

/* The hypervisor writes there: it must be registers that are the domain's, or a BAR pointed at RAM would be a way in.
 */
static bool table_allowed(struct domain *d, paddr_t from, paddr_t to)
{
    for (uint64_t page = from >> PAGE_SHIFT; page <= (to - 1) >> PAGE_SHIFT; page++) {
        if (frame_known(mfn(page)))
            return false;
    }
    return rangeset_contains(&d->iomem, from >> PAGE_SHIFT, (to - 1) >> PAGE_SHIFT);
}

/* The device's registers at its table; NULL: they cannot be reached. */
static volatile uint8_t *table_window(struct device *dev)
{
    paddr_t base = dev->table & PAGE_MASK;
    if (!dev->table || (dev->window_base != base && dev->moves == MAX_MOVES))
        return NULL;
    if (dev->window_base != base) {
        dev->window = metal_map_mmio(base, ROUND_UP(table_end(dev), PAGE_SIZE) - base);
        dev->window_base = dev->window ? base : 0;
        dev->moves++;
    }
    return dev->window;
}

/* --- MSI-X --- */

/* Makes the device's entry what the guest's asks for; called when MSI-X is on. */
static void entry_push(struct domain *d, struct device *dev, unsigned index)
{
    struct msix_entry *e = &dev->entry[index];
    volatile uint8_t *window = table_window(dev);
    uint32_t control = e->word[3];
    struct msi_message guest = { e->word[0] | (uint64_t)e->word[1] << 32, e->word[2] }, host;
    if (!window) {
        if (!(control & ENTRY_MASKED))
            log_guest(d, "PCI device %x: its MSI-X table cannot be reached", dev->sbdf);
        return;
    }
    volatile uint32_t *hw = (volatile uint32_t *)(window + (dev->table - dev->window_base) + index * ENTRY_SIZE);
    hw[3] = control | ENTRY_MASKED;
    if (control & ENTRY_MASKED) {
        (void)hw[3];        /* it has arrived: the guest's own read-back sees only our copy */
        if (!guest.address) /* what drivers leave when they give an interrupt back */
            irq_unbind_msi(&e->irq);
        return;
    }
    int rc = irq_bind_msi(&e->irq, dev->sbdf, guest, &host);
    if (rc) {
        log_guest(d, "PCI device %x: MSI-X %u stays masked, error %d", dev->sbdf, index, rc);
        return;
    }
    hw[0] = host.address;
    hw[1] = host.address >> 32;
    hw[2] = host.data;
    hw[3] = control;
}

static void entries_push(struct domain *d, struct device *dev)
{
    for (unsigned i = 0; i < dev->nr_entries; i++)
        entry_push(d, dev, i);
}

static void msix_off(struct device *dev)
{
    for (unsigned i = 0; i < dev->nr_entries; i++)
        irq_unbind_msi(&dev->entry[i].irq);
    dev->msix_on = false;
}

/* Whether the device has it on is asked too: a reset of the function switches it off behind our back. */
static void msix_control(struct domain *d, struct device *dev, uint16_t control)
{
    unsigned reg = dev->msix + 2;
    bool on = control & MSIX_ENABLE, was_on = dev->msix_on && read16(dev->sbdf, reg) & MSIX_ENABLE;
    if (on && !was_on) {
        metal_pci_write(dev->sbdf, reg, 2, MSIX_ENABLE | MSIX_MASK_ALL);
        dev->msix_on = true;
        entries_push(d, dev);
    }
    metal_pci_write(dev->sbdf, reg, 2, control);
    if (!on && dev->msix_on)
        msix_off(dev);
}

/* Brings what is trapped in step with what the device decodes. */
static void table_follow(struct domain *d, struct device *dev)
{
    paddr_t at = table_place(dev);
    if (at == dev->table)
        return;
    dev->table = 0;
    if (!at || !table_allowed(d, at, at + dev->nr_entries * ENTRY_SIZE))
        return;
    dev->table = at;
    for (uint64_t page = at >> PAGE_SHIFT; table_in(dev, page, page); page++) {
        if (p2m_lookup(&d->p2m, gfn(page)).type == P2M_MMIO && p2m_unmap(&d->p2m, gfn(page), 1))
            log_guest(d, "PCI device %x: its MSI-X table stays mapped", dev->sbdf);
    }
    if (dev->msix_on)
        entries_push(d, dev);
}

/* Words of 4 or 8 bytes are all that the table defines. */
static void entry_access(struct domain *d, struct device *dev, unsigned offset, unsigned size, bool write,
                         uint64_t *value)
{
    struct msix_entry *e = &dev->entry[offset / ENTRY_SIZE];
    unsigned word = offset % ENTRY_SIZE / 4, words = size / 4;
    if (!write)
        *value = words ? 0 : ~0ull;
    for (unsigned i = 0; i < words; i++)
        if (write)
            e->word[word + i] = *value >> 32 * i;
        else
            *value |= (uint64_t)e->word[word + i] << 32 * i;
    if (write && words && dev->msix_on && (word + words == 4 || !(e->word[3] & ENTRY_MASKED)))
        entry_push(d, dev, offset / ENTRY_SIZE);
}

bool vpci_msix_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    spin_lock(&d->lock);
    struct device *dev = table_find(d->pci, gpa);
    if (dev && gpa & (size - 1)) {
        *value = write ? *value : ~0ull;
    } else if (dev && gpa >= dev->table && gpa < table_end(dev)) {
        entry_access(d, dev, gpa - dev->table, size, write, value);
    } else if (dev) { /* other registers on the page */
        volatile uint8_t *window = table_window(dev);
        if (window)
            metal_mmio(window + (gpa - dev->window_base), size, write, value);
        else
            *value = write ? *value : ~0ull;
    }
    spin_unlock(&d->lock);
    return dev;
}

/* --- MSI --- */

/* The capability up to its data register; masks and pending bits behind it are the device's. */
static bool in_msi(const struct device *dev, unsigned reg)
{
    return dev->msi && reg >= dev->msi && reg < dev->msi + (dev->msi_64 ? 16u : 12u);
}

static int msi_push(struct device *dev)
{
    struct msi_message host;
    int rc = irq_bind_msi(&dev->msi_irq, dev->sbdf, dev->msi_guest, &host);
    if (rc)
        return rc;
    metal_pci_write(dev->sbdf, dev->msi + 4, 4, host.address);
    if (dev->msi_64)
        metal_pci_write(dev->sbdf, dev->msi + 8, 4, host.address >> 32);
    metal_pci_write(dev->sbdf, dev->msi + (dev->msi_64 ? 12 : 8), 2, host.data);
    return 0;
}

static void msi_control(struct domain *d, struct device *dev, uint16_t control)
{
    bool on = control & MSI_ENABLE, was_on = dev->msi_on && read16(dev->sbdf, dev->msi + 2) & MSI_ENABLE;
    int rc = on && !was_on ? msi_push(dev) : 0;
    if (rc) {
        log_guest(d, "PCI device %x: MSI stays off, error %d", dev->sbdf, rc);
        on = false;
    }
    metal_pci_write(dev->sbdf, dev->msi + 2, 2, (control & ~(MSI_HIDDEN | MSI_ENABLE)) | (on ? MSI_ENABLE : 0));
    if (!on)
        irq_unbind_msi(&dev->msi_irq);
    dev->msi_on = on;
}

static uint32_t msi_read(const struct device *dev, unsigned offset)
{
    if (offset == 0)
        return read32(dev->sbdf, dev->msi) & ~(uint32_t)(MSI_HIDDEN << 16);
    if (offset == 4)
        return dev->msi_guest.address;
    return offset == 8 && dev->msi_64 ? dev->msi_guest.address >> 32 : dev->msi_guest.data;
}

/* While it is on, each word counts at once. What makes no sense in between changes nothing. */
static void msi_write(struct domain *d, struct device *dev, unsigned offset, uint32_t value)
{
    uint64_t *address = &dev->msi_guest.address;
    if (offset == 0) {
        msi_control(d, dev, value >> 16);
        return;
    }
    if (offset == 4)
        *address = (*address & ~0xffffffffull) | (value & ~3u);
    else if (offset == 8 && dev->msi_64)
        *address = (uint32_t)*address | (uint64_t)value << 32;
    else
        dev->msi_guest.data = value & 0xffff;
    if (dev->msi_on && msi_push(dev))
        log_guest(d, "PCI device %x: MSI message %lx %x is not served", dev->sbdf, *address, dev->msi_guest.data);
}

/* --- devices --- */

static void command_write(const struct device *dev, uint32_t sbdf, unsigned size, uint32_t value)
{
    if (!dev || !dev->confined)
        value &= ~PCI_COMMAND_MASTER;
    metal_pci_write(sbdf, PCI_COMMAND, size, value);
}

static void capability_found(struct device *dev, unsigned id, unsigned at)
{
    unsigned control = read16(dev->sbdf, at + 2);
    if (id == CAP_MSI && !dev->msi) {
        dev->msi = at;
        dev->msi_64 = control & MSI_64;
        metal_pci_write(dev->sbdf, at + 2, 2, control & ~(MSI_HIDDEN | MSI_ENABLE));
    } else if (id == CAP_MSIX && !dev->msix) {
        uint32_t table = read32(dev->sbdf, at + 4);
        dev->msix = at;
        dev->nr_entries = (control & 0x7ff) + 1;
        dev->bir = table & 7;
        dev->table_offset = table & ~7u;
        metal_pci_write(dev->sbdf, at + 2, 2, 0);
    }
}

static void capabilities_scan(struct device *dev)
{
    unsigned at = read16(dev->sbdf, 6) & 0x10 ? metal_pci_read(dev->sbdf, 0x34, 1) : 0;
    for (unsigned n = 0; n < MAX_CAPABILITIES && (at &= 0xfc) >= 0x40; n++) {
        unsigned header = read16(dev->sbdf, at);
        if ((header & 0xff) == 0xff)
            break;
        capability_found(dev, header & 0xff, at);
        at = header >> 8;
    }
}

/* The function's place, or a new one; NULL: there is none left. */
static struct device *place_get(struct vpci *p, uint32_t sbdf)
{
    struct device *dev = place_find(p, sbdf);
    if (dev || p->count == MAX_PLACES)
        return dev;
    dev = &p->place[p->count++];
    dev->sbdf = sbdf;
    return dev;
}

/* A page's, and few devices have more: then for 2048, the most. */
static unsigned entries_order(const struct device *dev)
{
    return dev->nr_entries > PAGE_SIZE / sizeof(struct msix_entry) ? 4 : 0;
}

static void device_remove(struct domain *d, struct device *dev)
{
    irq_unbind_msi(&dev->msi_irq);
    if (dev->entry) {
        msix_off(dev);
        pages_free(dev->entry, entries_order(dev));
    }
    *dev = (struct device){
        .sbdf = dev->sbdf, .moves = dev->moves, .window_base = dev->window_base, .window = dev->window
    };
}

static int device_add(struct domain *d, struct device *dev)
{
    unsigned type = metal_pci_read(dev->sbdf, 0x0e, 1) & 0x7f;
    if (type <= 1)
        capabilities_scan(dev);
    dev->entry = dev->msix ? pages_alloc(entries_order(dev)) : NULL;
    dev->nr_entries = dev->entry ? dev->nr_entries : 0;
    for (unsigned i = 0; i < dev->nr_entries; i++)
        dev->entry[i].word[3] = ENTRY_MASKED;
    dev->present = true;
    table_follow(d, dev);
    int rc = dev->msix && !dev->entry ? -ENOMEM : iommu_assign(d, dev->sbdf);
    /* A bridge passes on what devices behind it send, each of which has a permission of its own. */
    dev->confined = !rc || type != 0;
    return dev->confined ? 0 : rc;
}

int vpci_add_device(struct domain *d, uint32_t sbdf)
{
    if (iommu_is_unit(sbdf) || read16(sbdf, 0) == 0xffff)
        return -ENODEV;
    spin_lock(&d->lock);
    struct device *dev = place_get(d->pci, sbdf);
    int rc = !dev ? -ENOMEM : dev->present ? 0 : device_add(d, dev);
    if (rc) {
        log_guest(d, "PCI device %x cannot be a bus master, error %d", sbdf, rc);
        command_write(dev, sbdf, 2, read16(sbdf, PCI_COMMAND));
    }
    spin_unlock(&d->lock);
    return rc;
}

int vpci_remove_device(struct domain *d, uint32_t sbdf)
{
    spin_lock(&d->lock);
    struct device *dev = device_find(d->pci, sbdf);
    if (dev)
        device_remove(d, dev);
    int rc = iommu_assign(NULL, sbdf);
    spin_unlock(&d->lock);
    return rc;
}

int vpci_init(struct domain *d)
{
    d->pci = pages_alloc(VPCI_ORDER);
    return d->pci ? 0 : -ENOMEM;
}

/* --- accesses --- */

static bool access_valid(unsigned reg, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && !(reg & (size - 1)) && reg < 4096;
}

uint32_t vpci_read(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size)
{
    uint32_t ones = size == 4 ? ~0u : BIT(8 * size) - 1, value;
    if (!access_valid(reg, size) || iommu_is_unit(sbdf))
        return ones;
    spin_lock(&d->lock);
    struct device *dev = device_find(d->pci, sbdf);
    if (dev && in_msi(dev, reg))
        value = msi_read(dev, (reg & ~3u) - dev->msi) >> 8 * (reg & 3) & ones;
    else
        value = metal_pci_read(sbdf, reg, size);
    spin_unlock(&d->lock);
    return value;
}

/* One of the capabilities' words: what the guest wrote of it, the rest as it reads. */
static bool capability_write(struct domain *d, struct device *dev, unsigned reg, uint32_t mask, uint32_t value)
{
    unsigned word = reg & ~3u, shift = 8 * (reg & 3);
    mask <<= shift;
    value = value << shift & mask;
    if (in_msi(dev, reg))
        msi_write(d, dev, word - dev->msi, (msi_read(dev, word - dev->msi) & ~mask) | value);
    else if (dev->msix && word == dev->msix)
        msix_control(d, dev, ((read32(dev->sbdf, word) & ~mask) | value) >> 16);
    else
        return false;
    return true;
}

void vpci_write(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    if (!access_valid(reg, size) || iommu_is_unit(sbdf))
        return;
    spin_lock(&d->lock);
    struct device *dev = device_find(d->pci, sbdf); /* NULL: the guest looks for devices before it names them to us */
    if (reg == PCI_COMMAND)
        command_write(dev, sbdf, size, value);
    else if (!dev || !capability_write(d, dev, reg, size == 4 ? ~0u : BIT(8 * size) - 1, value))
        metal_pci_write(sbdf, reg, size, value);
    if (dev && reg < PCI_BAR_END)
        table_follow(d, dev);
    spin_unlock(&d->lock);
}

static bool ecam_find(gpa_t gpa, uint32_t *sbdf)
{
    for (unsigned i = 0; i < hv_board.nr_ecam; i++) {
        const struct acpi_ecam *e = &hv_board.ecam[i];
        uint64_t bus = (gpa - e->base) / MIB(1);
        *sbdf = (uint32_t)e->segment << 16 | (gpa - e->base) >> 12;
        if (bus >= e->first_bus && bus <= e->last_bus)
            return true;
    }
    return false;
}

bool vpci_ecam_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    uint32_t sbdf;
    unsigned reg = gpa & 0xfff, part = MIN(size, 4);
    if (!ecam_find(gpa, &sbdf))
        return false;
    if (!write)
        *value = size > 4 && reg & 7 ? ~0ull : 0;
    for (unsigned done = 0; done < size && !(size > 4 && reg & 7); done += part) {
        if (write)
            vpci_write(d, sbdf, reg + done, part, *value >> 8 * done);
        else
            *value |= (uint64_t)vpci_read(d, sbdf, reg + done, part) << 8 * done;
    }
    return true;
}

bool vpci_traps_range(struct domain *d, gfn_t g, uint64_t count)
{
    struct vpci *p = d->pci;
    bool found = false;
    if (!p)
        return false;
    spin_lock(&d->lock);
    for (const struct device *dev = p->place; dev < p->place + p->count; dev++)
        found |= table_in(dev, g.n, g.n + count - 1);
    spin_unlock(&d->lock);
    return found;
}
