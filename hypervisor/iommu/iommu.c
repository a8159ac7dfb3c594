/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common half of DMA and interrupt remapping: finds the units, keeps one tree of I/O page tables a domain, routes
 * requests for a device to its unit, and words what units report.
 *
 * All units of a machine are of one kind and share a format that each of them can walk. Locks: a domain's (its tree)
 * and a unit's are of one level and never nest. What a unit is to walk is built before it is attached, and freed after
 * a flush.
 */
#include "unit.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/vdev.h>

#define TABLE_MAX MIB(1)         /* of ACPI; real ones have a few KiB */
#define BOOT_RANGE 256           /* reserved regions of more requesters than that wait for iommu_assign() */
#define WAIT_NS 100000000ull     /* for a unit's answer */
#define WAIT_STUCK_NS 1000000ull /* when it owed one already */
#define FAULT_BURST 8            /* lines a second */
#define SECOND 1000000000ull

struct io_format iommu_format;
struct iommu_tables iommu_info;
struct msi_message iommu_fault_msi;

static const struct iommu_ops *ops = &amdvi_ops; /* of the machine's kind */
static struct iommu_unit units[IOMMU_MAX_UNITS]; /* regs: NULL when it could not be started */
static unsigned nr_live;
static bool remaps; /* interrupts: all units, or none */

/* By hardware id: the domain's id + 1; 0: free. */
static _Atomic uint32_t domain_ids[IOMMU_MAX_DOMAINS];

/* Until they are assigned, devices that firmware uses reach what it reserved. */
static struct iommu_domain boot_domain = { .domid = DOMID_HV };

/* VT-d: the requester id that devices behind a conventional bridge appear with, by bus of segment 0; 0: their own. */
static uint16_t bus_alias[256];

static struct {
    _Atomic uint64_t since;
    _Atomic uint32_t lines, lost;
} faults;

bool iommu_present(void) { return nr_live != 0; }

bool iommu_remaps_interrupts(void) { return remaps; }

/* --- talking to units ---------------------------------------------------------------------------------- */

bool iommu_wait(struct iommu_unit *u, const volatile void *at, uint32_t mask, uint32_t want)
{
    const volatile uint32_t *word = at;
    uint64_t since = metal_now();
    bool ok, late = false;
    /* The clock is read before the last look: whoever was held up between the two has waited for nothing. */
    while (ok = (*word & mask) == want, !ok && !late) {
        cpu_relax();
        late = metal_now() - since >= (u->stuck ? WAIT_STUCK_NS : WAIT_NS);
    }
    if (!ok && !u->stuck)
        log_line("IOMMU %u at %#llx does not answer", u->number, (unsigned long long)u->place->base);
    u->stuck = !ok;
    atomic_thread_fence(memory_order_acquire);
    return ok;
}

void iommu_queue(struct iommu_unit *u, uint64_t lo, uint64_t hi)
{
    volatile uint64_t *at = (uint64_t *)u->queue + 2 * u->tail;
    at[0] = lo;
    at[1] = hi;
    io_sync(&iommu_format, at, 16);
    u->tail = (u->tail + 1) % (PAGE_SIZE / 16);
}

void iommu_publish(uint64_t *at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
    atomic_thread_fence(memory_order_release);
    io_sync(&iommu_format, at, sizeof(*at));
}

static void each_unit(void (*op)(struct iommu_unit *u))
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++)
        if (units[i].regs) {
            spin_lock(&units[i].lock);
            op(&units[i]);
            spin_unlock(&units[i].lock);
        }
}

/* --- routing -------------------------------------------------------------------------------------------- */

struct route {
    struct iommu_unit *unit; /* NULL: none that works */
    uint16_t bdf, requester; /* its own id, and the one its requests carry */
};

static struct route route_to(uint32_t sbdf)
{
    const struct iommu_range *range;
    uint16_t segment = sbdf >> 16, bdf = sbdf, alias = segment ? 0 : bus_alias[bdf >> 8];
    int unit = iommu_find_unit(&iommu_info, segment, bdf, &range);
    struct route r = { NULL, bdf, alias ? alias : bdf };
    if (range && range->aliased)
        r.requester = range->alias;
    if (unit >= 0 && units[unit].regs)
        r.unit = &units[unit];
    return r;
}

unsigned iommu_pci_capability(uint32_t sbdf, unsigned id)
{
    unsigned at = metal_pci_read(sbdf, 0x34, 1) & 0xfc;
    for (unsigned n = 0; n < 48 && at >= 0x40; n++, at = metal_pci_read(sbdf, at + 1, 1) & 0xfc)
        if (metal_pci_read(sbdf, at, 1) == id)
            return at;
    return 0;
}

/* A bridge: what its secondary bus' requests carry. Returns that bus, 0: none. */
static unsigned bridge_follow(uint32_t bridge)
{
    unsigned bus = metal_pci_read(bridge, 0x19, 1), express = iommu_pci_capability(bridge, 0x10);
    if (bus <= bridge >> 8 || bus == 0xff)
        return 0;
    unsigned type = express ? metal_pci_read(bridge, express + 2, 2) >> 4 & 15 : 0;
    if (bus_alias[bridge >> 8])
        bus_alias[bus] = bus_alias[bridge >> 8];
    else if (!express)
        bus_alias[bus] = bridge; /* conventional bridges take ownership */
    else if (type == 7)
        bus_alias[bus] = bus << 8; /* PCI Express to PCI: its secondary bus, device 0 */
    return bus;
}

/* Walks segment 0 from bus 0. Each bus is taken once, so a loop in the bridges' numbers ends. */
static void find_bridges(void)
{
    bool known[256] = { true };
    for (unsigned bus = 0; bus < 256; bus++) {
        for (unsigned fn = 0; known[bus] && fn < 256; fn++) {
            uint32_t sbdf = bus << 8 | fn;
            uint32_t type = metal_pci_read(sbdf, 0x0e, 1);
            if (type != 0xff && (type & 0x7f) == 1)
                known[bridge_follow(sbdf)] = true;
            if (!(fn & 7) && (type == 0xff || !(type & 0x80)))
                fn += 7; /* one function only */
        }
    }
}

/* --- start ---------------------------------------------------------------------------------------------- */

static int read_tables(paddr_t ivrs, paddr_t dmar)
{
    const uint8_t *table = paddr_ptr(ivrs ? ivrs : dmar);
    size_t size = *(const uint32_t *)(table + 4);
    ops = ivrs ? &amdvi_ops : &vtd_ops;
    if (size > TABLE_MAX)
        return -EINVAL;
    return ivrs ? ivrs_parse(table, size, &iommu_info) : dmar_parse(table, size, &iommu_info);
}

static void unit_fail(struct iommu_unit *u, const char *what, int rc)
{
    log_line("IOMMU %u (%s) at %#llx: %s failed (%d); its devices are not confined", u->number, ops->name,
             (unsigned long long)u->place->base, what, rc);
    u->regs = NULL;
}

/* What each unit can do, and with that the format they share. */
static int probe_units(void)
{
    int first = 0;
    iommu_format = (struct io_format){ .widths = 3, .max_leaf = 3, .snooped = true };
    remaps = iommu_info.nr_units;
    for (unsigned i = 0; i < iommu_info.nr_units; i++) {
        struct iommu_unit *u = &units[i];
        spin_init(&u->lock, LOCK_IOMMU);
        u->number = i;
        u->place = &iommu_info.unit[i];
        u->regs = metal_map_mmio(u->place->base, ops->window);
        int rc = u->regs ? ops->probe(u, &iommu_format) : -ENOMEM;
        if (rc)
            unit_fail(u, "probing", rc);
        remaps &= u->regs && u->remaps;
        first = first ? first : rc;
    }
    for (unsigned i = 0; i < iommu_info.nr_units; i++)
        units[i].remaps &= remaps;
    iommu_format.levels = iommu_format.widths & 2 ? 4 : 3;
    return iommu_format.widths ? first : -EOPNOTSUPP;
}

static int setup_unit(struct iommu_unit *u)
{
    u->queue = page_alloc();
    u->done = page_alloc();
    int rc = u->queue && u->done ? ops->setup(u) : -ENOMEM;
    if (rc)
        unit_fail(u, "setting up", rc); /* what it allocated stays: out of memory at boot is the end anyway */
    return rc;
}

static int start_unit(struct iommu_unit *u)
{
    spin_lock(&u->lock);
    int rc = ops->enable(u);
    if (rc)
        ops->disable(u);
    spin_unlock(&u->lock);
    if (rc)
        unit_fail(u, "starting", rc);
    else
        nr_live++;
    return rc;
}

static int live_units(int (*op)(struct iommu_unit *u), int rc)
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++) {
        int failed = units[i].regs ? op(&units[i]) : 0;
        rc = rc ? rc : failed;
    }
    return rc;
}

static int domain_setup(struct iommu_domain *i, domid_t domid)
{
    spin_init(&i->lock, LOCK_IOMMU);
    i->domid = domid;
    for (uint32_t id = 1, none = 0; id < IOMMU_MAX_DOMAINS && !i->hw_id; id++, none = 0)
        if (atomic_compare_exchange_strong(&domain_ids[id], &none, domid + 1u))
            i->hw_id = id;
    if (!i->hw_id)
        return -ENOSPC;
    int rc = io_tree_init(&i->tree, &iommu_format);
    if (rc)
        domain_ids[i->hw_id] = 0;
    return rc;
}

/* Before units are switched on, so that firmware's devices do not stumble. */
static void attach_reserved(void)
{
    for (unsigned n = 0; n < iommu_info.nr_reserved; n++) {
        const struct iommu_reserved *r = &iommu_info.reserved[n];
        if (io_tree_map(&boot_domain.tree, r->base, mfn(r->base), r->end - r->base, r->writable))
            log_line("IOMMU: reserved memory at %#llx cannot be mapped", (unsigned long long)r->base << PAGE_SHIFT);
        if (r->last - r->first >= BOOT_RANGE)
            continue;
        for (unsigned bdf = r->first; bdf <= r->last; bdf++) {
            struct iommu_unit *u = route_to((uint32_t)r->segment << 16 | bdf).unit;
            if (!u)
                continue;
            spin_lock(&u->lock);
            if (ops->attach(u, bdf, &boot_domain))
                log_line("IOMMU %u: device %04x cannot reach its reserved memory", u->number, bdf);
            spin_unlock(&u->lock);
        }
    }
}

int iommu_init(paddr_t ivrs, paddr_t dmar)
{
    if (!ivrs && !dmar) {
        log_line("IOMMU: none; devices can reach all memory");
        return 0;
    }
    int rc = read_tables(ivrs, dmar);
    if (rc) {
        log_line("IOMMU: the ACPI table is broken (%d); devices can reach all memory", rc);
        iommu_info.nr_units = iommu_info.nr_specials = 0;
        return rc;
    }
    if (!ivrs)
        find_bridges();
    for (unsigned i = 0; ivrs && i < iommu_info.nr_units; i++) /* AMD-Vi: each is a PCI function too */
        vpci_hide((uint32_t)iommu_info.unit[i].segment << 16 | iommu_info.unit[i].bdf);
    rc = probe_units();
    if (iommu_format.widths) {
        rc = live_units(setup_unit, rc);
        if (domain_setup(&boot_domain, DOMID_HV) == 0)
            attach_reserved();
        rc = live_units(start_unit, rc);
    }
    remaps &= iommu_present();
    log_line("IOMMU: %u of %u %s units, %u-level tables, interrupts %sremapped", nr_live, iommu_info.nr_units,
             ops->name, iommu_format.levels, iommu_remaps_interrupts() ? "" : "not ");
    return rc;
}

void iommu_suspend(void) { each_unit(ops->disable); }

static void restart(struct iommu_unit *u)
{
    int rc = ops->enable(u);
    if (rc)
        log_line("IOMMU %u: could not be started again (%d)", u->number, rc);
}

void iommu_resume(void) { each_unit(restart); }

/* --- domains -------------------------------------------------------------------------------------------- */

int iommu_domain_init(struct domain *d)
{
    _Static_assert(sizeof(struct iommu_domain) <= PAGE_SIZE, "one page");
    if (!iommu_present())
        return 0;
    struct iommu_domain *i = page_alloc();
    int rc = i ? domain_setup(i, d->id) : -ENOMEM;
    if (rc && i)
        page_free(i);
    else
        d->iommu = i;
    return rc;
}

/* Does it in each unit of a set; false: at least one did not answer. */
static bool on_units(uint32_t set, uint16_t hw_id, bool (*op)(struct iommu_unit *u, uint16_t hw_id))
{
    bool ok = true;
    for (unsigned n = 0; set >> n; n++) {
        if (!(set >> n & 1))
            continue;
        spin_lock(&units[n].lock);
        ok &= op(&units[n], hw_id);
        spin_unlock(&units[n].lock);
    }
    return ok;
}

void iommu_domain_free(struct domain *d)
{
    struct iommu_domain *i = d->iommu;
    if (!i)
        return;
    uint32_t set = i->units;
    d->iommu = NULL;
    /* A unit that does not answer may still walk the tables: they, and the id, are lost rather than used again. */
    if (!on_units(set, i->hw_id, ops->detach_all) || !on_units(set, i->hw_id, ops->flush))
        return;
    io_tree_bury_all(&i->tree);
    io_dead_free(io_tree_take_dead(&i->tree));
    domain_ids[i->hw_id] = 0;
    page_free(i);
}

int iommu_map(struct domain *d, uint64_t dfn, mfn_t m, uint64_t count, bool writable)
{
    struct iommu_domain *i = d->iommu;
    if (!i)
        return 0;
    spin_lock(&i->lock);
    int rc = io_tree_map(&i->tree, dfn, m, count, writable);
    spin_unlock(&i->lock);
    return rc;
}

int iommu_unmap(struct domain *d, uint64_t dfn, uint64_t count)
{
    struct iommu_domain *i = d->iommu;
    if (!i)
        return 0;
    spin_lock(&i->lock);
    int rc = io_tree_unmap(&i->tree, dfn, count);
    spin_unlock(&i->lock);
    return rc;
}

void iommu_flush(struct domain *d)
{
    struct iommu_domain *i = d->iommu;
    if (!i)
        return;
    spin_lock(&i->lock);
    mfn_t dead = io_tree_take_dead(&i->tree);
    uint64_t changes = i->tree.changes;
    spin_unlock(&i->lock);
    /* Pairs with the release below: another's flush counts once it is over. */
    if (load_acquire(&i->flushed) >= changes && !mfn_valid(dead))
        return;
    /* Pairs with the one in iommu_assign(): entries before the set of units, there the set before the device. */
    atomic_thread_fence(memory_order_seq_cst);
    if (!on_units(i->units, i->hw_id, ops->flush)) {
        log_line("IOMMU: domain %u's translations may be stale", i->domid);
        return; /* its dead tables are lost */
    }
    io_dead_free(dead);
    spin_lock(&i->lock);
    store_release(&i->flushed, MAX(changes, load_relaxed(&i->flushed)));
    spin_unlock(&i->lock);
}

static int map_reserved(struct iommu_domain *i, uint16_t segment, const uint16_t *ids, unsigned nr)
{
    int rc = 0;
    for (unsigned n = 0; n < iommu_info.nr_reserved && !rc; n++) {
        const struct iommu_reserved *r = &iommu_info.reserved[n];
        bool its = false;
        for (unsigned k = 0; k < nr; k++)
            its |= r->segment == segment && ids[k] >= r->first && ids[k] <= r->last;
        if (!its)
            continue;
        spin_lock(&i->lock);
        rc = io_tree_map(&i->tree, r->base, mfn(r->base), r->end - r->base, r->writable);
        spin_unlock(&i->lock);
    }
    return rc;
}

int iommu_assign(struct domain *d, uint32_t sbdf)
{
    if (!iommu_present())
        return 0;
    struct route r = route_to(sbdf);
    struct iommu_domain *i = d ? d->iommu : NULL;
    uint16_t ids[2] = { r.bdf, r.requester };
    /* What no unit watches may stay with the control domain, which could reach it anyway. */
    if (!r.unit)
        return !d || d->control ? 0 : -ENODEV;
    int rc = d && !i ? -EINVAL : i ? map_reserved(i, sbdf >> 16, ids, 2) : 0;
    if (rc)
        return rc;
    if (i)
        atomic_fetch_or(&i->units, 1u << r.unit->number);
    atomic_thread_fence(memory_order_seq_cst); /* see iommu_flush() */
    spin_lock(&r.unit->lock);
    /* Devices behind one bridge cannot be told apart: all of them belong to one domain. */
    uint16_t owner = r.requester != r.bdf ? ops->owner(r.unit, r.requester) : 0;
    if (owner && i && owner != i->hw_id && owner != boot_domain.hw_id)
        rc = -EBUSY;
    rc = rc ? rc : ops->attach(r.unit, r.bdf, i);
    if (!rc && r.requester != r.bdf)
        rc = ops->attach(r.unit, r.requester, i);
    spin_unlock(&r.unit->lock);
    return rc;
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

int iommu_remap(uint32_t sbdf, int *entry, uint8_t vector, uint32_t apic_id, bool level, struct msi_message *out)
{
    struct route r = route_to(sbdf);
    struct io_interrupt i = { r.requester, apic_id, vector, level };
    if (!r.unit || !r.unit->remaps) {
        *out = (struct msi_message){ 0xfee00000 | (uint64_t)apic_id << 12, vector };
        return apic_id > 0xff ? -EINVAL : 0;
    }
    spin_lock(&r.unit->lock);
    int rc = ops->remap(r.unit, entry, &i, out);
    spin_unlock(&r.unit->lock);
    return rc;
}

void iommu_remap_free(uint32_t sbdf, int entry)
{
    struct route r = route_to(sbdf);
    if (!r.unit || !r.unit->remaps || entry < 0)
        return;
    spin_lock(&r.unit->lock);
    ops->remap_free(r.unit, r.requester, entry);
    spin_unlock(&r.unit->lock);
}

uint64_t iommu_ioapic_rte(const struct msi_message *m, bool level, bool active_low, bool masked)
{
    /* An IOAPIC makes its message of these fields: address 19:4 and 2, data 10:0. */
    return (m->address >> 4 & 0xffff) << 48 | (m->address >> 2 & 1) << 11 | (m->data & 0x7ff) |
           (active_low ? BIT(13) : 0) | (level ? BIT(15) : 0) | (masked ? BIT(16) : 0);
}

int32_t iommu_ioapic_sbdf(uint8_t ioapic_id)
{
    for (unsigned i = 0; i < iommu_info.nr_specials; i++)
        if (iommu_info.special[i].id == ioapic_id && !iommu_info.special[i].hpet)
            return iommu_info.special[i].sbdf;
    return -1;
}

/* --- faults --------------------------------------------------------------------------------------------- */

void iommu_log_fault(struct iommu_unit *u, uint16_t bdf, const char *what, uint64_t address)
{
    uint64_t now = metal_now();
    if (now - load_relaxed(&faults.since) >= SECOND) {
        uint32_t lost = atomic_exchange(&faults.lost, 0);
        store_relaxed(&faults.since, now);
        store_relaxed(&faults.lines, 0);
        if (lost)
            log_line("IOMMU: %u more faults were not shown", lost);
    }
    if (atomic_fetch_add(&faults.lines, 1) >= FAULT_BURST) {
        atomic_fetch_add(&faults.lost, 1);
        return;
    }
    uint16_t id = ops->owner(u, bdf);
    uint32_t domid = (id < IOMMU_MAX_DOMAINS ? domain_ids[id] : 0) - 1;
    unsigned long long at = address;
    if (domid != ~0u && domid != DOMID_HV)
        log_line("IOMMU: device %02x:%02x.%x of domain %u: %s %#llx blocked", bdf >> 8, bdf >> 3 & 31, bdf & 7, domid,
                 what, at);
    else
        log_line("IOMMU: device %02x:%02x.%x of no domain: %s %#llx blocked", bdf >> 8, bdf >> 3 & 31, bdf & 7, what,
                 at);
}

void iommu_poll_faults(void) { each_unit(ops->poll); }

void iommu_fault_vector(uint8_t vector, uint32_t apic_id)
{
    uint64_t address = 0xfee00000 | (apic_id & 0xff) << 12 | (uint64_t)(apic_id & ~0xffu) << 32;
    iommu_fault_msi = (struct msi_message){ address, vector };
    each_unit(ops->fault_message);
}

#define UNIT_REGISTERS 4 /* pages: AMD-Vi has 16 KiB, VT-d a page and what its offsets say */

void iommu_mmio_ranges(void (*visit)(void *data, uint64_t first, uint64_t count), void *data)
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++)
        visit(data, iommu_info.unit[i].base >> PAGE_SHIFT, UNIT_REGISTERS);
}
