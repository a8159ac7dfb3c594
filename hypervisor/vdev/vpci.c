/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * PCI configuration space of a domain that owns devices. All of it is the hardware's own, but for interrupt messages:
 * what the guest writes into an MSI capability or an MSI-X table is kept here, and the device gets what irq_bind_msi()
 * says. To that end the pages with MSI-X tables are not in the p2m and accesses to them come here.
 *
 * BARs are the guest's to move (MMIO is mapped 1:1); table_follow() notices each move. Devices offer one MSI message
 * only: several would need consecutive vectors and remapping entries, and drivers want MSI-X for that. They offer no
 * virtual functions: the capability (SR-IOV) reads as one that is unused.
 *
 * Lock: vpci.lock (LOCK_PCI), everything below but ecam[]. A write that may move a table takes the domain's lock first,
 * for its iomem. Devices may be hostile: nothing read from one is trusted to make sense.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/irq.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/p2m.h>
#include <hv/vdev.h>

#define MAX_PAGES 64
#define MAX_ECAM 8
#define MAX_HIDDEN 16        /* units of the IOMMU */
#define MAX_CAPABILITIES 480 /* what fits into extended space; the other has room for 48 */
#define MAX_MOVES 16         /* mappings are for ever; a table that is somewhere else all the time is given up */

#define PCI_COMMAND 0x04
#define PCI_COMMAND_MEMORY 2
#define PCI_BAR 0x10
#define PCI_BAR_END 0x28
#define CAP_MSI 0x05
#define CAP_PCIE 0x10
#define CAP_MSIX 0x11
#define EXTCAP_SRIOV 0x10
#define MSI_ENABLE 1
#define MSI_64 BIT(7)
#define MSI_HIDDEN 0x67e /* multiple messages, extended data: not offered */
#define MSIX_ENABLE BIT(15)
#define MSIX_MASK_ALL BIT(14)
#define ENTRY_MASKED 1u
#define ENTRY_BOUND BIT(31) /* ours: irq_bind_msi() was called; reserved in the device */
#define SRIOV_CONTROL 0x08
#define SRIOV_SIZE 0x40

/* As the guest sees it, in the layout of the table (PCI 3.0 6.8.2). */
struct msix_entry {
    uint32_t word[4]; /* address, address high, data, control */
};

/* A place in the table belongs to one function for ever, with its mappings; `present` tells whether it is there now. */
struct device {
    uint32_t sbdf;
    uint8_t msi, msix, bir, nr_bars; /* capabilities' offsets, 0: none */
    uint16_t sriov, nr_entries, moves;
    bool present, msi_on, msi_64, msix_on;
    struct msi_message msi_guest;
    uint32_t table_offset;
    struct msix_entry *entry;
    paddr_t table; /* 0: not decoded, or where it must not be */
    paddr_t window_base;
    volatile uint8_t *window; /* of the pages around the table */
};
#define PAGE_DEVICES (PAGE_SIZE / sizeof(struct device))

struct vpci {
    spinlock_t lock;
    unsigned count;                 /* of places */
    struct device *page[MAX_PAGES]; /* PAGE_DEVICES places each */
    _Atomic unsigned nr_ecam;       /* release: after ecam[] was written */
    struct {
        uint64_t first, last, base;
        uint16_t segment;
    } ecam[MAX_ECAM];
};
_Static_assert(sizeof(struct vpci) <= PAGE_SIZE, "a page");

static uint32_t hidden[MAX_HIDDEN];
static unsigned nr_hidden;

static uint32_t read16(uint32_t sbdf, unsigned reg) { return metal_pci_read(sbdf, reg, 2); }
static uint32_t read32(uint32_t sbdf, unsigned reg) { return metal_pci_read(sbdf, reg, 4); }

void vpci_hide(uint32_t sbdf)
{
    BUG_ON(nr_hidden == MAX_HIDDEN);
    hidden[nr_hidden++] = sbdf;
}

static bool is_hidden(uint32_t sbdf)
{
    for (unsigned i = 0; i < nr_hidden; i++) {
        if (hidden[i] == sbdf)
            return true;
    }
    return false;
}

static struct device *place(const struct vpci *p, unsigned n) { return &p->page[n / PAGE_DEVICES][n % PAGE_DEVICES]; }

/* A function's place, whether it is there now or was; NULL: none. */
static struct device *place_find(const struct vpci *p, uint32_t sbdf)
{
    for (unsigned n = 0; n < p->count; n++)
        if (place(p, n)->sbdf == sbdf)
            return place(p, n);
    return NULL;
}

static struct device *device_find(const struct vpci *p, uint32_t sbdf)
{
    struct device *dev = place_find(p, sbdf);
    return dev && dev->present ? dev : NULL;
}

/* --- where MSI-X tables are --- */

static uint64_t table_end(const struct device *dev) { return dev->table + dev->nr_entries * sizeof(struct msix_entry); }

/* Whether some of the table is in these pages. */
static bool table_in(const struct device *dev, uint64_t first_page, uint64_t last_page)
{
    return dev->table && last_page >= dev->table >> PAGE_SHIFT && first_page <= (table_end(dev) - 1) >> PAGE_SHIFT;
}

/* The device whose table is there, or else one with a table on the same page. */
static struct device *table_find(const struct vpci *p, gpa_t gpa)
{
    struct device *near = NULL;
    for (unsigned n = 0; n < p->count; n++) {
        struct device *dev = place(p, n);
        if (!table_in(dev, gpa >> PAGE_SHIFT, gpa >> PAGE_SHIFT))
            continue;
        near = dev;
        if (gpa >= dev->table && gpa < table_end(dev))
            break;
    }
    return near;
}

static uint64_t bar_address(uint32_t sbdf, unsigned reg, bool last)
{
    uint32_t low = read32(sbdf, reg);
    bool wide = (low & 6) == 4;
    if (low & 1 || (wide && last))
        return 0;
    return (low & ~0xfu) | (wide ? (uint64_t)read32(sbdf, reg + 4) << 32 : 0);
}

/* Where the device decodes its table now; 0: nowhere. */
static paddr_t table_place(const struct device *dev)
{
    if (!dev->entry || dev->bir >= dev->nr_bars || !(read16(dev->sbdf, PCI_COMMAND) & PCI_COMMAND_MEMORY))
        return 0;
    uint64_t base = bar_address(dev->sbdf, PCI_BAR + 4 * dev->bir, dev->bir + 1 == dev->nr_bars);
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

static void entry_unbind(struct domain *d, struct device *dev, unsigned index)
{
    if (dev->entry[index].word[3] & ENTRY_BOUND)
        irq_unbind_msi(d, dev->sbdf, index);
    dev->entry[index].word[3] &= ~ENTRY_BOUND;
}

/* Makes the device's entry what the guest's asks for; called when MSI-X is on. */
static void entry_push(struct domain *d, struct device *dev, unsigned index)
{
    struct msix_entry *e = &dev->entry[index];
    volatile uint8_t *window = table_window(dev);
    uint32_t control = e->word[3] & ~ENTRY_BOUND;
    struct msi_message guest = { e->word[0] | (uint64_t)e->word[1] << 32, e->word[2] }, host;
    if (!window) {
        if (!(control & ENTRY_MASKED))
            log_guest(d, "PCI device %x: its MSI-X table cannot be reached", dev->sbdf);
        return;
    }
    volatile uint32_t *hw = (volatile uint32_t *)(window + (dev->table - dev->window_base) + index * sizeof(*e));
    hw[3] = control | ENTRY_MASKED;
    if (control & ENTRY_MASKED) {
        (void)hw[3];        /* it has arrived: the guest's own read-back sees only our copy */
        if (!guest.address) /* what drivers leave when they give an interrupt back */
            entry_unbind(d, dev, index);
        return;
    }
    int rc = irq_bind_msi(d, dev->sbdf, index, guest, &host);
    if (rc) {
        log_guest(d, "PCI device %x: MSI-X %u stays masked, error %d", dev->sbdf, index, rc);
        return;
    }
    e->word[3] |= ENTRY_BOUND;
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

static void msix_off(struct domain *d, struct device *dev)
{
    for (unsigned i = 0; i < dev->nr_entries; i++)
        entry_unbind(d, dev, i);
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
        msix_off(d, dev);
}

/* Brings what is trapped in step with what the device decodes; the domain's lock is held. */
static void table_follow(struct domain *d, struct device *dev)
{
    paddr_t at = table_place(dev);
    if (at == dev->table)
        return;
    dev->table = 0;
    if (!at || !table_allowed(d, at, at + dev->nr_entries * sizeof(struct msix_entry)))
        return;
    dev->table = at;
    for (uint64_t page = at >> PAGE_SHIFT; table_in(dev, page, page); page++) {
        if (p2m_lookup(&d->p2m, gfn(page)).type == P2M_MMIO && p2m_unmap(&d->p2m, gfn(page), 0))
            log_guest(d, "PCI device %x: its MSI-X table stays mapped", dev->sbdf);
    }
    if (dev->msix_on)
        entries_push(d, dev);
}

/* In one access of that size, as the guest made it. */
static void mmio(volatile void *at, unsigned size, bool write, uint64_t *value)
{
    if (size == 1)
        write ? (*(volatile uint8_t *)at = *value) : (*value = *(volatile uint8_t *)at);
    else if (size == 2)
        write ? (*(volatile uint16_t *)at = *value) : (*value = *(volatile uint16_t *)at);
    else if (size == 4)
        write ? (*(volatile uint32_t *)at = *value) : (*value = *(volatile uint32_t *)at);
    else
        write ? (*(volatile uint64_t *)at = *value) : (*value = *(volatile uint64_t *)at);
}

/* Words of 4 or 8 bytes are all that the table defines. */
static void entry_access(struct domain *d, struct device *dev, unsigned offset, unsigned size, bool write,
                         uint64_t *value)
{
    struct msix_entry *e = &dev->entry[offset / sizeof(*e)];
    unsigned word = offset % sizeof(*e) / 4, words = size / 4;
    if (!write)
        *value = words ? 0 : ~0ull;
    for (unsigned i = 0; i < words; i++) {
        uint32_t bound = word + i == 3 ? e->word[3] & ENTRY_BOUND : 0;
        if (write)
            e->word[word + i] = ((uint32_t)(*value >> 32 * i) & (word + i == 3 ? ~ENTRY_BOUND : ~0u)) | bound;
        else
            *value |= (uint64_t)(e->word[word + i] & ~bound) << 32 * i;
    }
    if (write && words && dev->msix_on && (word + words == 4 || !(e->word[3] & ENTRY_MASKED)))
        entry_push(d, dev, offset / sizeof(*e));
}

bool vpci_msix_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    struct vpci *p = d->pci;
    if (!p)
        return false;
    spin_lock(&p->lock);
    struct device *dev = table_find(p, gpa);
    if (dev && gpa & (size - 1)) {
        *value = write ? *value : ~0ull;
    } else if (dev && gpa >= dev->table && gpa < table_end(dev)) {
        entry_access(d, dev, gpa - dev->table, size, write, value);
    } else if (dev) { /* other registers on the page */
        volatile uint8_t *window = table_window(dev);
        if (window)
            mmio(window + (gpa - dev->window_base), size, write, value);
        else
            *value = write ? *value : ~0ull;
    }
    spin_unlock(&p->lock);
    return dev;
}

/* --- MSI --- */

/* The capability up to its data register; masks and pending bits behind it are the device's. */
static bool in_msi(const struct device *dev, unsigned reg)
{
    return dev->msi && reg >= dev->msi && reg < dev->msi + (dev->msi_64 ? 16u : 12u);
}

static int msi_push(struct domain *d, struct device *dev)
{
    struct msi_message host;
    int rc = irq_bind_msi(d, dev->sbdf, 0, dev->msi_guest, &host);
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
    int rc = on && !was_on ? msi_push(d, dev) : 0;
    if (rc) {
        log_guest(d, "PCI device %x: MSI stays off, error %d", dev->sbdf, rc);
        on = false;
    }
    metal_pci_write(dev->sbdf, dev->msi + 2, 2, (control & ~(MSI_HIDDEN | MSI_ENABLE)) | (on ? MSI_ENABLE : 0));
    if (dev->msi_on && !on)
        irq_unbind_msi(d, dev->sbdf, 0);
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
    if (dev->msi_on && msi_push(d, dev))
        log_guest(d, "PCI device %x: MSI message %lx %x is not served", dev->sbdf, *address, dev->msi_guest.data);
}

/* --- devices --- */

static bool overlap(unsigned a, unsigned b) { return a && a < b + 24 && b < a + 24; }

static void capability_found(struct device *dev, unsigned id, unsigned at)
{
    unsigned control = read16(dev->sbdf, at + 2);
    if (id == CAP_MSI && !dev->msi && at <= 0x100 - 16 && !overlap(dev->msix, at)) {
        dev->msi = at;
        dev->msi_64 = control & MSI_64;
        metal_pci_write(dev->sbdf, at + 2, 2, control & ~(MSI_HIDDEN | MSI_ENABLE));
    } else if (id == CAP_MSIX && !dev->msix && at <= 0x100 - 12 && !overlap(dev->msi, at)) {
        uint32_t table = read32(dev->sbdf, at + 4);
        dev->msix = at;
        dev->nr_entries = (control & 0x7ff) + 1;
        dev->bir = table & 7;
        dev->table_offset = table & ~7u;
        metal_pci_write(dev->sbdf, at + 2, 2, 0);
    }
}

/* True: it is PCI Express and has the extended space. */
static bool capabilities_scan(struct device *dev)
{
    bool express = false;
    unsigned at = read16(dev->sbdf, 6) & 0x10 ? metal_pci_read(dev->sbdf, 0x34, 1) : 0;
    for (unsigned n = 0; n < MAX_CAPABILITIES && (at &= 0xfc) >= 0x40; n++) {
        unsigned header = read16(dev->sbdf, at);
        if ((header & 0xff) == 0xff)
            break;
        express |= (header & 0xff) == CAP_PCIE;
        capability_found(dev, header & 0xff, at);
        at = header >> 8;
    }
    return express;
}

/* Its virtual functions are switched off and stay so. */
static void sriov_scan(struct device *dev)
{
    unsigned at = 0x100;
    for (unsigned n = 0; n < MAX_CAPABILITIES && at >= 0x100 && at <= 0x1000 - SRIOV_SIZE; n++) {
        uint32_t header = read32(dev->sbdf, at);
        if (header == 0 || header == ~0u)
            return;
        if ((header & 0xffff) == EXTCAP_SRIOV) {
            dev->sriov = at;
            metal_pci_write(dev->sbdf, at + SRIOV_CONTROL, 2, 0);
            return;
        }
        at = header >> 20 & 0xffc;
    }
}

static bool in_sriov(const struct device *dev, unsigned reg)
{
    return dev->sriov && reg >= dev->sriov && reg - dev->sriov < SRIOV_SIZE;
}

/* The function's place, or a new one. */
static struct device *place_get(struct vpci *p, uint32_t sbdf)
{
    struct device *dev = place_find(p, sbdf);
    if (dev)
        return dev;
    unsigned page = p->count / PAGE_DEVICES;
    if (page < MAX_PAGES && !p->page[page])
        p->page[page] = page_alloc();
    if (page == MAX_PAGES || !p->page[page])
        return NULL;
    dev = place(p, p->count++);
    *dev = (struct device){ .sbdf = sbdf };
    return dev;
}

/* 256 entries a page. */
static unsigned entries_order(const struct device *dev)
{
    return dev->nr_entries > 1024 ? 3 : dev->nr_entries > 512 ? 2 : dev->nr_entries > 256;
}

static void device_remove(struct domain *d, struct device *dev)
{
    if (dev->msi_on)
        irq_unbind_msi(d, dev->sbdf, 0);
    if (dev->entry) {
        msix_off(d, dev);
        pages_free(dev->entry, entries_order(dev));
    }
    *dev = (struct device){
        .sbdf = dev->sbdf, .moves = dev->moves, .window_base = dev->window_base, .window = dev->window
    };
}

static int device_add(struct domain *d, uint32_t sbdf)
{
    struct device *dev = place_get(d->pci, sbdf);
    if (!dev)
        return -ENOMEM;
    unsigned type = metal_pci_read(sbdf, 0x0e, 1) & 0x7f;
    dev->nr_bars = type == 0 ? 6 : type == 1 ? 2 : 0;
    if (type <= 1 && capabilities_scan(dev))
        sriov_scan(dev);
    if (dev->msix) {
        dev->entry = pages_alloc(entries_order(dev));
        if (!dev->entry) {
            device_remove(d, dev);
            return -ENOMEM;
        }
        for (unsigned i = 0; i < dev->nr_entries; i++)
            dev->entry[i].word[3] = ENTRY_MASKED;
    }
    dev->present = true;
    table_follow(d, dev);
    return 0;
}

static void vpci_lock(struct domain *d)
{
    spin_lock(&d->lock);
    spin_lock(&d->pci->lock);
}

static void vpci_unlock(struct domain *d)
{
    spin_unlock(&d->pci->lock);
    spin_unlock(&d->lock);
}

int vpci_add_device(struct domain *d, uint32_t sbdf)
{
    if (!d->pci || is_hidden(sbdf))
        return -ENODEV;
    vpci_lock(d);
    int rc = 0;
    if (!device_find(d->pci, sbdf))
        rc = read16(sbdf, 0) == 0xffff ? -ENODEV : device_add(d, sbdf);
    vpci_unlock(d);
    return rc;
}

void vpci_remove_device(struct domain *d, uint32_t sbdf)
{
    if (!d->pci)
        return;
    vpci_lock(d);
    struct device *dev = device_find(d->pci, sbdf);
    if (dev)
        device_remove(d, dev);
    vpci_unlock(d);
}

int vpci_init(struct domain *d)
{
    d->pci = page_alloc();
    if (!d->pci)
        return -ENOMEM;
    spin_init(&d->pci->lock, LOCK_PCI);
    return 0;
}

void vpci_free(struct domain *d)
{
    struct vpci *p = d->pci;
    if (!p)
        return;
    vpci_lock(d);
    for (unsigned n = 0; n < p->count; n++)
        device_remove(d, place(p, n));
    vpci_unlock(d);
    for (unsigned i = 0; i < MAX_PAGES; i++)
        if (p->page[i])
            page_free(p->page[i]);
    page_free(p);
    d->pci = NULL;
}

/* --- accesses --- */

static bool access_valid(unsigned reg, unsigned size)
{
    return (size == 1 || size == 2 || size == 4) && !(reg & (size - 1)) && reg < 4096;
}

uint32_t vpci_read(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size)
{
    uint32_t ones = size == 4 ? ~0u : BIT(8 * size) - 1, value = ones;
    if (!d->pci || !access_valid(reg, size) || is_hidden(sbdf))
        return ones;
    spin_lock(&d->pci->lock);
    struct device *dev = device_find(d->pci, sbdf);
    if (dev && in_msi(dev, reg))
        value = msi_read(dev, (reg & ~3u) - dev->msi) >> 8 * (reg & 3) & ones;
    else if (dev || d->control) /* it looks for devices before it names them to us */
        value = metal_pci_read(sbdf, reg, size);
    if (dev && in_sriov(dev, reg) && reg - dev->sriov < 4) /* an unused capability (id 0) that names the next */
        value &= 0xfff00000 >> 8 * (reg & 3);
    spin_unlock(&d->pci->lock);
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

static void device_write(struct domain *d, struct device *dev, unsigned reg, unsigned size, uint32_t value)
{
    if (in_sriov(dev, reg) || capability_write(d, dev, reg, size == 4 ? ~0u : BIT(8 * size) - 1, value))
        return;
    metal_pci_write(dev->sbdf, reg, size, value);
    if (reg >= PCI_COMMAND && reg < PCI_BAR_END)
        table_follow(d, dev);
}

void vpci_write(struct domain *d, uint32_t sbdf, unsigned reg, unsigned size, uint32_t value)
{
    if (!d->pci || !access_valid(reg, size) || is_hidden(sbdf))
        return;
    bool moves = reg < PCI_BAR_END;
    if (moves)
        spin_lock(&d->lock);
    spin_lock(&d->pci->lock);
    struct device *dev = device_find(d->pci, sbdf);
    if (dev)
        device_write(d, dev, reg, size, value);
    else if (d->control)
        metal_pci_write(sbdf, reg, size, value);
    spin_unlock(&d->pci->lock);
    if (moves)
        spin_unlock(&d->lock);
}

static bool ecam_find(struct vpci *p, gpa_t gpa, uint32_t *sbdf)
{
    for (unsigned i = 0; i < load_acquire(&p->nr_ecam); i++) {
        if (gpa < p->ecam[i].first || gpa > p->ecam[i].last)
            continue;
        *sbdf = (uint32_t)p->ecam[i].segment << 16 | (gpa - p->ecam[i].base) >> 12;
        return true;
    }
    return false;
}

int vpci_add_ecam(struct domain *d, uint64_t base, uint16_t segment, uint8_t first_bus, uint8_t last_bus)
{
    struct vpci *p = d->pci;
    if (!p || first_bus > last_bus || base & (MIB(1) - 1) || base >= BIT(52))
        return -EINVAL;
    spin_lock(&p->lock);
    unsigned n = load_relaxed(&p->nr_ecam);
    uint32_t known;
    bool again = ecam_find(p, base + MIB(first_bus), &known) && ecam_find(p, base + MIB(last_bus), &known);
    if (!again && n < MAX_ECAM) {
        p->ecam[n].base = base; /* of bus 0, as in the MCFG, whether it belongs or not */
        p->ecam[n].first = base + MIB(first_bus);
        p->ecam[n].last = base + MIB(last_bus) + MIB(1) - 1;
        p->ecam[n].segment = segment;
        store_release(&p->nr_ecam, n + 1); /* pairs with ecam_find() */
    }
    spin_unlock(&p->lock);
    return again || n < MAX_ECAM ? 0 : -ENOSPC;
}

bool vpci_ecam_access(struct domain *d, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    uint32_t sbdf;
    unsigned reg = gpa & 0xfff, part = MIN(size, 4);
    if (!d->pci || !ecam_find(d->pci, gpa, &sbdf))
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
    uint64_t first = g.n << PAGE_SHIFT, last = first + (count << PAGE_SHIFT) - 1;
    bool found = false;
    for (unsigned i = 0; p && i < load_acquire(&p->nr_ecam); i++)
        found |= first <= p->ecam[i].last && last >= p->ecam[i].first;
    if (!p || found)
        return found;
    spin_lock(&p->lock);
    for (unsigned n = 0; n < p->count; n++)
        found |= table_in(place(p, n), g.n, g.n + count - 1);
    spin_unlock(&p->lock);
    return found;
}
