/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The common half of DMA and interrupt remapping: finds the units, keeps the tree of I/O page tables, routes requests
 * for a device to its unit, and words what units report.
 *
 * All units of a machine are of one kind and share a format that each of them can walk. What a unit is to walk is built
 * before it is attached, and freed after a flush.
 */
#include "unit.h"

#include <hv/board.h>
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/machine.h>

#define BOOT_RANGE 256           /* reserved regions of more requesters than that wait for iommu_assign() */
#define WAIT_NS 100000000ull     /* for a unit's answer */
#define WAIT_STUCK_NS 1000000ull /* when it owed one already */
#define FAULT_LINES 8            /* of a poll */
#define MSR_APIC_BASE 0x1b

struct io_format iommu_format;
struct iommu_tables iommu_info;

static const struct iommu_ops *ops;              /* of the machine's kind; NULL: it has no units */
static struct iommu_unit units[IOMMU_MAX_UNITS]; /* regs: NULL when it could not be started */
static bool present;
static unsigned faults; /* of this poll */

static struct p2m tree; /* what devices reach: what firmware reserved, and the control domain's memory */
static bool answered;   /* units, to the last flush; under the tree's lock */

/* By bus of segment 0: the requester id that devices behind a conventional bridge appear with, 0: their own. */
static uint16_t bus_alias[256];
static bool bus_known[256];

bool iommu_present(void) { return present; }

struct p2m *iommu_tree(void) { return present ? &tree : NULL; }

bool iommu_remaps_interrupts(void) { return present && iommu_format.remaps; }

/* --- talking to units ---------------------------------------------------------------------------------- */

bool iommu_wait(struct iommu_unit *u, const volatile void *at, uint32_t mask, uint32_t want)
{
    const volatile uint32_t *word = at;
    uint64_t since = metal_now();
    bool ok, late;
    do {
        cpu_relax();
        late = metal_now() - since >= (u->stuck ? WAIT_STUCK_NS : WAIT_NS);
        ok = (*word & mask) == want; /* after the clock: whoever was held up between the two has waited for nothing */
    } while (!ok && !late);
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

void io_sync(const volatile void *start, size_t bytes)
{
    if (iommu_format.snooped)
        return;
    for (uintptr_t at = ROUND_DOWN((uintptr_t)start, 64); at < (uintptr_t)start + bytes; at += 64)
        __asm__ volatile("clflush %0" : : "m"(*(const volatile uint8_t *)at) : "memory");
    __asm__ volatile("mfence" : : : "memory");
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

static void unit_flush(struct iommu_unit *u)
{
    ops->forget(u);
    answered &= iommu_complete(u);
}

bool iommu_flush(void)
{
    answered = true;
    each_unit(unit_flush);
    return answered;
}

/* --- routing -------------------------------------------------------------------------------------------- */

struct route {
    struct iommu_unit *unit; /* NULL: none that works */
    uint16_t bdf, requester; /* its own id, and the one its requests carry */
};

static struct route route_to(uint32_t sbdf)
{
    uint16_t segment = sbdf >> 16, bdf = sbdf, alias = segment ? 0 : bus_alias[bdf >> 8];
    const struct iommu_range *range = iommu_find_range(&iommu_info, segment, bdf);
    struct route r = { NULL, bdf, alias ? alias : bdf };
    if (range && range->aliased)
        r.requester = range->alias;
    if (range && units[range->unit].regs)
        r.unit = &units[range->unit];
    return r;
}

/* The offset of PCI Express' capability; 0: none. */
static unsigned express_capability(uint32_t sbdf)
{
    unsigned at = metal_pci_read(sbdf, 0x34, 1) & 0xfc;
    for (unsigned n = 0; n < 48 && at >= 0x40; n++, at = metal_pci_read(sbdf, at + 1, 1) & 0xfc)
        if (metal_pci_read(sbdf, at, 1) == 0x10)
            return at;
    return 0;
}

/* A bridge: what its secondary bus' requests carry. */
static void bridge_follow(uint32_t bridge)
{
    unsigned bus = metal_pci_read(bridge, 0x19, 1), express = express_capability(bridge);
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
    for (unsigned fn = 0; fn <= 0xffff; fn++)
        if (bus_known[fn >> 8] && (metal_pci_read(fn, 0x0e, 1) & 0x7f) == 1)
            bridge_follow(fn);
}

/* --- devices -------------------------------------------------------------------------------------------- */

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

/* Devices behind one bridge cannot be told apart: the id they share stays attached for the others. */
static int assign(const struct route *r, const struct p2m *to)
{
    spin_lock(&r->unit->lock);
    int rc = ops->attach(r->unit, r->bdf, to);
    if (!rc && to && r->requester != r->bdf)
        rc = ops->attach(r->unit, r->requester, to);
    rc = iommu_complete(r->unit) || rc ? rc : -EIO;
    spin_unlock(&r->unit->lock);
    return rc;
}

int iommu_assign(struct domain *d, uint32_t sbdf)
{
    if (!ops)
        return 0;
    if (!(sbdf >> 16) && !bus_known[sbdf >> 8])
        find_bridges();
    struct route r = route_to(sbdf);
    return r.unit ? assign(&r, d ? &tree : NULL) : d ? -EOPNOTSUPP : 0;
}

/* --- start ---------------------------------------------------------------------------------------------- */

static const char *read_tables(void)
{
    if (hv_board.ivrs.size)
        ivrs_parse(&hv_board.ivrs, &iommu_info);
    else
        dmar_parse(&hv_board.dmar, &iommu_info);
    /* Units could not even read their own tables, which are anywhere in RAM. */
    unsigned bits = iommu_info.address_bits;
    bool far = bits > PAGE_SHIFT && (hv_machine.max_page - 1) >> (bits - PAGE_SHIFT);
    return iommu_info.broken ? "the ACPI table is broken" : far ? "there is RAM beyond their reach" : NULL;
}

/* A unit that fails is left alone; what was allocated for it stays. */
static void unit_check(struct iommu_unit *u, const char *what, int rc)
{
    if (!rc)
        return;
    log_line("IOMMU %u (%s) at 0x%lx: %s failed (%d); its devices will not reach memory", u->number, ops->name,
             u->place->base, what, rc);
    u->regs = NULL;
}

/* What each unit can do, and with that the format they share. 32-bit destinations are for processors in x2APIC mode. */
static void probe_units(void)
{
    uint64_t base;
    bool x2apic = metal_msr_read(MSR_APIC_BASE, &base) && (base & BIT(10)) && !iommu_info.no_x2apic;
    iommu_format = (struct io_format){
        .levels = 4, .largest = 3, .snooped = true, .remaps = iommu_info.may_remap, .wide = x2apic
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

/* Before units are switched on, so that firmware's devices do not stumble. */
static void attach_reserved(void)
{
    for (unsigned n = 0; n < iommu_info.nr_reserved; n++) {
        const struct iommu_reserved *r = &iommu_info.reserved[n];
        enum p2m_type type = r->writable ? P2M_RAM : P2M_RAM_RO;
        if (is_ram(r) || p2m_map(&tree, gfn(r->base), mfn(r->base), r->end - r->base, type))
            log_line("IOMMU: 0x%lx, reserved by firmware for a device, is RAM or cannot be mapped",
                     r->base << PAGE_SHIFT);
        for (unsigned bdf = r->first; r->last - r->first < BOOT_RANGE && bdf <= r->last; bdf++) {
            struct route to = route_to((uint32_t)r->segment << 16 | bdf);
            if (to.unit && assign(&to, &tree))
                log_line("IOMMU %u: device %04x cannot reach its reserved memory", to.unit->number, bdf);
        }
    }
}

void iommu_init(void)
{
    if (!hv_board.ivrs.size && !hv_board.dmar.size) {
        log_line("IOMMU: none; devices can reach all memory");
        return;
    }
    ops = hv_board.ivrs.size ? &amdvi_ops : &vtd_ops;
    const char *wrong = read_tables();
    if (wrong) {
        log_line("IOMMUs: %s; no device will reach memory, as long as they are on in the firmware's setup", wrong);
        memset(&iommu_info, 0, sizeof(iommu_info));
        return;
    }
    find_bridges();
    probe_units();
    if (p2m_init(&tree, NULL, ops->codec))
        panic("There is no memory for the IOMMU's page tables.");
    tree.levels = iommu_format.levels;
    tree.holes_cached = iommu_format.holes_cached;
    each_unit(setup_unit);
    attach_reserved();
    each_unit(start_unit);
    log_line("IOMMU: %u %s units, %u-level tables, interrupts %sremapped", iommu_info.nr_units, ops->name,
             iommu_format.levels, iommu_remaps_interrupts() ? "" : "not ");
}

bool iommu_is_unit(uint32_t sbdf)
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++) {
        const struct iommu_place *p = &iommu_info.unit[i];
        if (p->capability && p->sbdf == sbdf)
            return true;
    }
    return false;
}

void iommu_suspend(void)
{
    if (present)
        each_unit(ops->disable);
}

static void restart_unit(struct iommu_unit *u)
{
    /* What it does not confine any more may reach memory. */
    if (ops->enable(u))
        panic("IOMMU %u at 0x%lx does not start again.", u->number, u->place->base);
}

void iommu_resume(void) { each_unit(restart_unit); }

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
    unsigned index = MAX(*entry, 0);
    bool remapped = r.unit && iommu_format.remaps;
    if (apic_id > 0xff && !(remapped && iommu_format.wide))
        return -EINVAL;
    if (!remapped) {
        *out = (struct msi_message){ 0xfee00000 | (uint64_t)apic_id << 12, vector };
        return 0;
    }
    spin_lock(&r.unit->lock);
    struct io_entry *irt = ops->irt(r.unit, r.requester);
    while (irt && *entry < 0 && index < ops->irt_entries && (irt[index].lo & 1))
        index++;
    int rc = !irt ? -ENOMEM : index < ops->irt_entries ? 0 : -ENOSPC;
    if (!rc) {
        entry_write(r.unit, r.requester, irt, index, ops->irte(r.requester, vector, apic_id, level));
        *entry = index;
        *out = ops->message(index, vector);
    }
    spin_unlock(&r.unit->lock);
    return rc;
}

void iommu_remap_free(uint32_t sbdf, int entry)
{
    struct route r = route_to(sbdf);
    if (entry < 0 || !r.unit || !iommu_format.remaps)
        return;
    spin_lock(&r.unit->lock);
    struct io_entry *irt = ops->irt(r.unit, r.requester);
    if (irt)
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

void iommu_log_fault(uint16_t bdf, const char *what, uint64_t address)
{
    if (faults++ < FAULT_LINES)
        log_line("IOMMU: device %02x:%02x.%x: %s 0x%lx blocked", bdf >> 8, bdf >> 3 & 31, bdf & 7, what, address);
}

void iommu_poll_faults(void)
{
    faults = 0;
    if (present)
        each_unit(ops->poll);
    if (faults > FAULT_LINES)
        log_line("IOMMU: %u more faults, or more than that, were not shown", faults - FAULT_LINES);
}

void iommu_mmio_ranges(void (*visit)(void *data, uint64_t first, uint64_t count), void *data)
{
    for (unsigned i = 0; i < iommu_info.nr_units; i++)
        visit(data, iommu_info.unit[i].base >> PAGE_SHIFT, ops->window >> PAGE_SHIFT);
}
