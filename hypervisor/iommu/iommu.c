/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common half of DMA and interrupt remapping: finds the units, keeps one tree of I/O page tables a domain, routes
 * requests for a device to its unit, and words what units report.
 *
 * All units of a machine are of one kind and share a format that each of them can walk. What a unit is to walk is built
 * before it is attached, and freed after a flush.
 */
#include "unit.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>
#include <hv/vdev.h>

#define TABLE_MAX MIB(1)         /* of ACPI; real ones have a few KiB */
#define BOOT_RANGE 256           /* reserved regions of more requesters than that wait for iommu_assign() */
#define WAIT_NS 100000000ull     /* for a unit's answer */
#define WAIT_STUCK_NS 1000000ull /* when it owed one already */
#define FAULT_BURST 8            /* lines a second */
#define MSR_APIC_BASE 0x1b
#define SECOND 1000000000ull

struct io_format iommu_format;
struct iommu_tables iommu_info;
struct msi_message iommu_fault_msi;

static const struct iommu_ops *ops = &amdvi_ops; /* of the machine's kind */
static struct iommu_unit units[IOMMU_MAX_UNITS]; /* regs: NULL when it could not be started */
static bool present;

/* By hardware id: the domain's id + 1; 0: free. */
static _Atomic uint32_t domain_ids[IOMMU_MAX_DOMAINS];

/* Until they are assigned, devices that firmware uses reach what it reserved. */
static struct iommu_domain boot_domain;

/* By bus of segment 0: the requester id that devices behind a conventional bridge appear with, 0: their own. */
static uint16_t bus_alias[256];
static bool bus_known[256];

/* Faults of this second, and what of them the log did not get. */
static struct {
    _Atomic uint64_t since;
    _Atomic uint32_t lines, lost;
} faults;

bool iommu_present(void) { return present; }

bool iommu_remaps_interrupts(void) { return present && iommu_format.remaps; }

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
        log_line("IOMMU %u at 0x%lx does not answer", u->number, u->place->base);
    u->stuck = !ok;
    atomic_thread_fence(memory_order_acquire);
    return ok;
}

void iommu_queue(struct iommu_unit *u, uint64_t lo, uint64_t hi)
{
    volatile uint64_t *at = (uint64_t *)u->queue + 2 * u->tail;
    at[0] = lo;
    at[1] = hi;
    io_sync(at, 16);
    u->tail = (u->tail + 1) % (PAGE_SIZE / 16);
}

bool iommu_complete(struct iommu_unit *u)
{
    if (!u->running) {
        u->tail = 0;
        return true;
    }
    u->sequence++;
    ops->wait(u);
    atomic_thread_fence(memory_order_seq_cst); /* tables and commands before the tail, which the unit polls */
    *unit_reg64(u, ops->queue_tail) = u->tail * 16;
    return iommu_wait(u, u->done, ~0u, u->sequence);
}

void iommu_publish(uint64_t *at, uint64_t value)
{
    *(volatile uint64_t *)at = value;
    atomic_thread_fence(memory_order_release);
    io_sync(at, sizeof(*at));
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

/* Does it in each unit of a set; false: at least one did not answer. */
static bool on_units(uint32_t set, uint16_t hw_id, bool (*op)(struct iommu_unit *u, uint16_t hw_id))
{
    bool ok = true;
    for (unsigned n = 0; set >> n; n++) {
        if (!(set >> n & 1) || !units[n].regs)
            continue;
        spin_lock(&units[n].lock);
        ok &= op(&units[n], hw_id);
        spin_unlock(&units[n].lock);
    }
    return ok;
}

/* --- routing -------------------------------------------------------------------------------------------- */

struct route {
    struct iommu_unit *unit; /* NULL: none that works */
    uint16_t segment;
    uint16_t bdf, requester; /* its own id, and the one its requests carry */
};

static struct route route_to(uint32_t sbdf)
{
    const struct iommu_range *range;
    uint16_t segment = sbdf >> 16, bdf = sbdf, alias = segment ? 0 : bus_alias[bdf >> 8];
    int unit = iommu_find_unit(&iommu_info, segment, bdf, &range);
    struct route r = { NULL, segment, bdf, alias ? alias : bdf };
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

/* A bridge: what its secondary bus' requests carry. */
static void bridge_follow(uint32_t bridge)
{
    unsigned bus = metal_pci_read(bridge, 0x19, 1), express = iommu_pci_capability(bridge, 0x10);
    if (bus <= bridge >> 8 || bus == 0xff)
        return;
    unsigned type = express ? metal_pci_read(bridge, express + 2, 2) >> 4 & 15 : 0;
    bus_known[bus] = true;
    if (bus_alias[bridge >> 8])
        bus_alias[bus] = bus_alias[bridge >> 8];
    else if (!express)
        bus_alias[bus] = bridge; /* conventional bridges take ownership */
    else
        bus_alias[bus] = type == 7 ? bus << 8 : 0; /* PCI Express to PCI: its secondary bus, device 0 */
}

/* Walks segment 0 from bus 0, at boot and when a device appears on a bus that nothing led to yet. Each bus is taken
 * once, so a loop in the bridges' numbers ends. */
static void find_bridges(void)
{
    bus_known[0] = true;
    for (unsigned bus = 0; bus < 256; bus++) {
        for (unsigned fn = 0; bus_known[bus] && fn < 256; fn++) {
            uint32_t sbdf = bus << 8 | fn, type = metal_pci_read(sbdf, 0x0e, 1);
            if (type != 0xff && (type & 0x7f) == 1)
                bridge_follow(sbdf);
            if (!(fn & 7) && (type == 0xff || !(type & 0x80)))
                fn += 7; /* one function only */
        }
    }
}

/* --- devices -------------------------------------------------------------------------------------------- */

static int change(struct iommu_domain *i, struct io_run r)
{
    if (!i)
        return 0;
    spin_lock(&i->lock);
    int rc = io_tree_change(&i->tree, r);
    spin_unlock(&i->lock);
    return rc;
}

/* Whether firmware's claim is to what its memory map calls RAM: the hypervisor or a domain lives there. */
static bool is_ram(const struct iommu_reserved *r)
{
    for (unsigned i = 0; i < hv_machine.nr_e820; i++) {
        const struct e820entry *e = &hv_machine.e820[i];
        if (e->type == 1 && e->addr >> PAGE_SHIFT < r->end && (e->addr + e->size) >> PAGE_SHIFT > r->base)
            return true;
    }
    return false;
}

/* Memory that firmware reserved for a device or for the bridge that it appears as. */
static int map_reserved(struct iommu_domain *i, const struct route *to)
{
    int rc = 0;
    for (unsigned n = 0; n < iommu_info.nr_reserved && !rc; n++) {
        const struct iommu_reserved *r = &iommu_info.reserved[n];
        bool its =
            (to->bdf >= r->first && to->bdf <= r->last) || (to->requester >= r->first && to->requester <= r->last);
        if (r->segment != to->segment || !its)
            continue;
        if (is_ram(r))
            log_line("IOMMU: RAM at 0x%lx, reserved by firmware for a device, is not mapped", r->base << PAGE_SHIFT);
        else
            rc = change(i, (struct io_run){ r->base, r->base, r->end - r->base, true, r->writable });
    }
    return rc;
}

/* The unit's lock is held. Blocked first, so that no translation of one domain is cached under the other's id. */
static int attach(struct iommu_unit *u, uint16_t bdf, const struct iommu_domain *i)
{
    int rc = ops->attach(u, bdf, NULL);
    bool ok = iommu_complete(u);
    if (!rc && i) {
        rc = ops->attach(u, bdf, i);
        ok &= iommu_complete(u);
    }
    return rc ? rc : ok ? 0 : -EIO;
}

static int assign(struct iommu_domain *i, const struct route *r)
{
    struct iommu_unit *u = r->unit;
    int rc = i ? map_reserved(i, r) : 0;
    if (rc)
        return rc;
    if (i) {
        spin_lock(&i->lock);
        i->units |= 1u << u->number;
        spin_unlock(&i->lock);
    }
    spin_lock(&u->lock);
    /* Devices behind one bridge cannot be told apart: all of them belong to one domain. */
    uint16_t owner = r->requester != r->bdf ? ops->owner(u, r->requester) : 0;
    if (owner && i && owner != i->hw_id && owner != boot_domain.hw_id)
        rc = -EBUSY;
    rc = rc ? rc : attach(u, r->bdf, i);
    if (!rc && r->requester != r->bdf)
        rc = attach(u, r->requester, i);
    spin_unlock(&u->lock);
    return rc;
}

int iommu_assign(struct domain *d, uint32_t sbdf)
{
    if (!present)
        return 0;
    if (!(sbdf >> 16) && !bus_known[sbdf >> 8])
        find_bridges();
    struct route r = route_to(sbdf);
    if (r.unit)
        return d && !d->iommu ? -EINVAL : assign(d ? d->iommu : NULL, &r);
    /* It may stay with the control domain, which could reach it anyway. */
    log_line("IOMMU: no unit confines device %04x:%02x:%02x.%x", r.segment, r.bdf >> 8, r.bdf >> 3 & 31, r.bdf & 7);
    return !d || d->control ? 0 : -ENODEV;
}

/* --- start ---------------------------------------------------------------------------------------------- */

static int read_tables(paddr_t ivrs, paddr_t dmar)
{
    const uint8_t *table = paddr_ptr(ivrs ? ivrs : dmar);
    size_t size = *(const uint32_t *)(table + 4);
    ops = ivrs ? &amdvi_ops : &vtd_ops;
    if (size > TABLE_MAX)
        return -EINVAL;
    int rc = ivrs ? ivrs_parse(table, size, &iommu_info) : dmar_parse(table, size, &iommu_info);
    /* Units could not even read their own tables, which are anywhere in RAM. */
    bool reach =
        iommu_info.address_bits <= PAGE_SHIFT || !((hv_machine.max_page - 1) >> (iommu_info.address_bits - PAGE_SHIFT));
    return rc || reach ? rc : -ERANGE;
}

/* A unit that fails is left alone; what was allocated for it stays. */
static void unit_check(struct iommu_unit *u, const char *what, int rc)
{
    if (!rc)
        return;
    log_line("IOMMU %u (%s) at 0x%lx: %s failed (%d); its devices are not confined", u->number, ops->name,
             u->place->base, what, rc);
    u->regs = NULL;
}

/* What each unit can do, and with that the format they share. 32-bit destinations are for processors in x2APIC mode. */
static void probe_units(void)
{
    uint64_t base;
    bool x2apic = metal_msr_read(MSR_APIC_BASE, &base) && (base & BIT(10)) && !iommu_info.no_x2apic;
    iommu_format = (struct io_format){
        .codec = ops->codec, .levels = 4, .max_leaf = 3, .snooped = true, .remaps = iommu_info.may_remap, .wide = x2apic
    };
    for (unsigned i = 0; i < iommu_info.nr_units; i++) {
        struct iommu_unit *u = &units[i];
        spin_init(&u->lock, LOCK_IOMMU_UNIT);
        u->number = i;
        u->place = &iommu_info.unit[i];
        u->regs = metal_map_mmio(u->place->base, ops->window);
        unit_check(u, "probing", u->regs ? ops->probe(u) : -ENOMEM);
        iommu_format.remaps &= u->regs != NULL;
    }
}

static void setup_unit(struct iommu_unit *u)
{
    u->queue = page_alloc();
    u->done = page_alloc();
    unit_check(u, "setting up", u->queue && u->done ? ops->setup(u) : -ENOMEM);
}

static void start_unit(struct iommu_unit *u)
{
    int rc = ops->enable(u);
    if (rc)
        ops->disable(u);
    unit_check(u, "starting", rc);
    present |= !rc;
}

static int domain_setup(struct iommu_domain *i, domid_t domid)
{
    spin_init(&i->lock, LOCK_IOMMU);
    for (uint32_t id = 1, none = 0; id < IOMMU_MAX_DOMAINS && !i->hw_id; id++, none = 0)
        if (atomic_compare_exchange_strong(&domain_ids[id], &none, domid + 1u))
            i->hw_id = id;
    if (!i->hw_id)
        return -ENOSPC;
    int rc = io_tree_init(&i->tree);
    if (rc)
        domain_ids[i->hw_id] = 0;
    return rc;
}

/* Before units are switched on, so that firmware's devices do not stumble. */
static void attach_reserved(void)
{
    int rc = domain_setup(&boot_domain, DOMID_HV);
    for (unsigned n = 0; n < iommu_info.nr_reserved && !rc; n++) {
        const struct iommu_reserved *r = &iommu_info.reserved[n];
        for (unsigned bdf = r->first; r->last - r->first < BOOT_RANGE && bdf <= r->last; bdf++) {
            struct route to = route_to((uint32_t)r->segment << 16 | bdf);
            if (to.unit && assign(&boot_domain, &to))
                log_line("IOMMU %u: device %04x cannot reach its reserved memory", to.unit->number, bdf);
        }
    }
}

void iommu_init(paddr_t ivrs, paddr_t dmar)
{
    if (!ivrs && !dmar) {
        log_line("IOMMU: none; devices can reach all memory");
        return;
    }
    int rc = read_tables(ivrs, dmar);
    if (rc) {
        log_line("IOMMU: %s (%d); devices can reach all memory",
                 rc == -ERANGE ? "there is RAM beyond what its units reach" : "the ACPI table is broken", rc);
        memset(&iommu_info, 0, sizeof(iommu_info));
        return;
    }
    find_bridges();
    for (unsigned i = 0; ivrs && i < iommu_info.nr_units; i++) /* AMD-Vi: each is a PCI function too */
        vpci_hide((uint32_t)iommu_info.unit[i].segment << 16 | iommu_info.unit[i].bdf);
    probe_units();
    each_unit(setup_unit);
    attach_reserved();
    each_unit(start_unit);
    log_line("IOMMU: %u %s units, %u-level tables, interrupts %sremapped", iommu_info.nr_units, ops->name,
             iommu_format.levels, iommu_remaps_interrupts() ? "" : "not ");
}

void iommu_suspend(void) { each_unit(ops->disable); }

void iommu_resume(void) { each_unit(start_unit); }

/* --- domains -------------------------------------------------------------------------------------------- */

int iommu_domain_init(struct domain *d)
{
    _Static_assert(sizeof(struct iommu_domain) <= PAGE_SIZE, "one page");
    if (!present)
        return 0;
    struct iommu_domain *i = page_alloc();
    int rc = i ? domain_setup(i, d->id) : -ENOMEM;
    if (rc && i)
        page_free(i);
    else
        d->iommu = i;
    return rc;
}

static bool flush(struct iommu_unit *u, uint16_t hw_id)
{
    ops->forget(u, hw_id);
    return iommu_complete(u);
}

static bool detach_all(struct iommu_unit *u, uint16_t hw_id)
{
    bool ok = true;
    for (unsigned bdf = 0; bdf <= 0xffff; bdf++)
        if (ops->owner(u, bdf) == hw_id)
            ok &= !attach(u, bdf, NULL);
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
    if (!on_units(set, i->hw_id, detach_all) || !on_units(set, i->hw_id, flush))
        return;
    io_tree_free(&i->tree);
    domain_ids[i->hw_id] = 0;
    page_free(i);
}

int iommu_map(struct domain *d, uint64_t dfn, mfn_t m, uint64_t count, bool writable)
{
    return change(d->iommu, (struct io_run){ dfn, m.n, count, true, writable });
}

int iommu_unmap(struct domain *d, uint64_t dfn, uint64_t count)
{
    return change(d->iommu, (struct io_run){ .dfn = dfn, .count = count });
}

void iommu_flush(struct domain *d)
{
    struct iommu_domain *i = d->iommu;
    if (!i)
        return;
    spin_lock(&i->lock);
    if (i->tree.dirty && on_units(i->units, i->hw_id, flush))
        io_tree_clean(&i->tree);
    spin_unlock(&i->lock);
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

/* In one piece: an interrupt may come meanwhile, and finds the old or the new one. The lock makes it succeed. */
static void entry_write(struct iommu_unit *u, uint16_t requester, struct io_entry *irt, unsigned index,
                        struct io_entry new)
{
    struct io_entry old = irt[index];
    __asm__ volatile("lock cmpxchg16b %0"
                     : "+m"(irt[index]), "+a"(old.lo), "+d"(old.hi)
                     : "b"(new.lo), "c"(new.hi)
                     : "memory", "cc");
    io_sync(&irt[index], sizeof(new));
    ops->forget_interrupt(u, requester, index);
    iommu_complete(u);
}

int iommu_remap(uint32_t sbdf, int *entry, uint8_t vector, uint32_t apic_id, bool level, struct msi_message *out)
{
    struct route r = route_to(sbdf);
    unsigned entries, index = MAX(*entry, 0);
    bool remapped = r.unit && iommu_format.remaps;
    if (apic_id > 0xff && !(remapped && iommu_format.wide))
        return -EINVAL;
    if (!remapped) {
        *out = (struct msi_message){ 0xfee00000 | (uint64_t)apic_id << 12, vector };
        return 0;
    }
    spin_lock(&r.unit->lock);
    struct io_entry *irt = ops->irt(r.unit, r.requester, &entries);
    int rc = irt ? 0 : -ENOMEM;
    while (irt && *entry < 0 && index < entries && (irt[index].lo & 1))
        index++;
    if (irt && index < entries) {
        entry_write(r.unit, r.requester, irt, index, ops->irte(r.requester, vector, apic_id, level));
        *entry = index;
        *out = ops->message(index, vector);
    } else if (irt) {
        rc = *entry < 0 ? -ENOSPC : -EINVAL;
    }
    spin_unlock(&r.unit->lock);
    return rc;
}

void iommu_remap_free(uint32_t sbdf, int entry)
{
    struct route r = route_to(sbdf);
    unsigned entries;
    if (!r.unit || !iommu_format.remaps)
        return;
    spin_lock(&r.unit->lock);
    struct io_entry *irt = ops->irt(r.unit, r.requester, &entries);
    if (irt && entry >= 0 && (unsigned)entry < entries)
        entry_write(r.unit, r.requester, irt, entry, (struct io_entry){ 0 });
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
        if (iommu_info.special[i].id == ioapic_id)
            return iommu_info.special[i].sbdf;
    return -1;
}

/* --- faults --------------------------------------------------------------------------------------------- */

void iommu_log_fault(struct iommu_unit *u, uint16_t bdf, const char *what, uint64_t address)
{
    if (atomic_fetch_add(&faults.lines, 1) >= FAULT_BURST || !what) {
        atomic_fetch_add(&faults.lost, 1);
        return;
    }
    uint16_t id = ops->owner(u, bdf);
    uint32_t domid = (id < IOMMU_MAX_DOMAINS ? domain_ids[id] : 0) - 1;
    bool owned = domid != ~0u && domid != DOMID_HV;
    char owner[24] = "no domain";
    if (owned)
        snprintf(owner, sizeof(owner), "domain %u", domid);
    log_line("IOMMU: device %02x:%02x.%x of %s: %s 0x%lx blocked", bdf >> 8, bdf >> 3 & 31, bdf & 7, owner, what,
             address);
}

/* Too many faults in a second: the units' interrupt is off until the next one. */
static void poll_unit(struct iommu_unit *u)
{
    ops->poll(u);
    bool deaf = load_relaxed(&faults.lines) >= FAULT_BURST;
    if (deaf != u->deaf) {
        u->deaf = deaf;
        ops->listen(u);
    }
}

void iommu_poll_faults(void)
{
    uint64_t now = metal_now(), since = load_relaxed(&faults.since);
    if (now - since >= SECOND && atomic_compare_exchange_strong(&faults.since, &since, now)) {
        uint32_t lost = atomic_exchange(&faults.lost, 0);
        store_relaxed(&faults.lines, 0);
        if (lost)
            log_line("IOMMU: %u more faults were not shown", lost);
    }
    each_unit(poll_unit);
}

void iommu_fault_vector(uint8_t vector, uint32_t apic_id)
{
    uint64_t address = 0xfee00000 | (apic_id & 0xff) << 12 | (uint64_t)(apic_id & ~0xffu) << 32;
    iommu_fault_msi = (struct msi_message){ address, vector };
    each_unit(ops->listen);
}

void iommu_mmio_ranges(void (*visit)(void *data, uint64_t first, uint64_t count), void *data)
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++)
        visit(data, iommu_info.unit[i].base >> PAGE_SHIFT, ops->window >> PAGE_SHIFT);
}
