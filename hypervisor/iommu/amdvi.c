/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD-Vi units (AMD 48882, "AMD I/O Virtualization Technology"): device table, command buffer, event log, and one
 * interrupt remapping table of 512 32-bit entries a requester, made when it gets its first interrupt.
 *
 * Units without INVALIDATE_IOMMU_ALL (before 2011) are not driven. Each command batch ends with COMPLETION_WAIT and is
 * waited for, so the buffer is empty whenever the lock is free.
 */
#include "unit.h"

#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>

enum amdvi_register {
    REG_DEVICE_TABLE = 0x00,
    REG_COMMANDS = 0x08,
    REG_EVENTS = 0x10,
    REG_CONTROL = 0x18,
    REG_FEATURES = 0x30,
    REG_COMMAND_HEAD = 0x2000,
    REG_COMMAND_TAIL = 0x2008,
    REG_EVENT_HEAD = 0x2010,
    REG_EVENT_TAIL = 0x2018,
    REG_STATUS = 0x2020,
};

#define CONTROL_ENABLE BIT(0)
#define CONTROL_EVENT_LOG BIT(2)
#define CONTROL_EVENT_INTERRUPT BIT(3)
#define CONTROL_COMMANDS BIT(12)
#define FEATURE_INVALIDATE_ALL BIT(6)
#define STATUS_OVERFLOW BIT(0)
#define STATUS_EVENT BIT(1)

#define QUEUE_LENGTH (8ull << 56)
#define DTE_VALID 3ull /* V, TV */
#define DTE_ADDRESS_Q2 0x000fffffffffffc0ull
#define IRT_ENTRIES 512 /* as many as QEMU 7.2 can tell from a delivery mode; 2 KiB of a page */

enum command { CMD_WAIT = 1, CMD_DEVICE, CMD_PAGES, CMD_INTERRUPTS = 5, CMD_ALL = 8 };

/* What blocked requesters are translated with: an empty tree, and neither reads nor writes allowed. */
static struct io_tree nothing;

/* --- entries, pure -------------------------------------------------------------------------------------- */

struct amdvi_dte amdvi_dte(const struct iommu_domain *d, paddr_t none, unsigned levels, uint8_t setting)
{
    struct amdvi_dte e = { 0 };
    e.q[0] = DTE_VALID | levels << 9 | (d ? ptr_paddr(d->tree.root) | BIT(61) | BIT(62) : none);
    e.q[1] = (d ? d->hw_id : 0) | (uint64_t)(setting >> 4 & 3) << 40; /* SysMgt */
    /* INIT, ExtInt, NMI and LINT0/1 pass as firmware says. */
    e.q[2] = (uint64_t)(setting & 7) << 56 | (uint64_t)(setting >> 6 & 3) << 62;
    return e;
}

uint64_t amdvi_dte_interrupts(uint64_t q2, bool remaps, paddr_t table)
{
    q2 &= ~(DTE_ADDRESS_Q2 | 0x3full | 3ull << 60);
    if (!remaps)
        return q2;
    /* IV; with a table its length is 2^9 and fixed interrupts are remapped, without one they are aborted. */
    return q2 | 1 | (table ? table | 9 << 1 | 2ull << 60 : 0);
}

uint32_t amdvi_irte(const struct io_interrupt *i)
{
    return 1 | (i->apic_id & 0xff) << 8 | (uint32_t)i->vector << 16; /* fixed, physical destination */
}

/* --- commands ------------------------------------------------------------------------------------------- */

static void command(struct iommu_unit *u, enum command code, uint64_t q0, uint64_t q1)
{
    iommu_queue(u, q0 | (uint64_t)code << 60, q1);
}

static bool complete(struct iommu_unit *u)
{
    if (!u->running) {
        u->tail = 0;
        return true;
    }
    u->sequence++;
    command(u, CMD_WAIT, ptr_paddr((const void *)u->done) | 1, u->sequence);
    atomic_thread_fence(memory_order_release); /* entries before the tail, which the unit polls */
    unit_write64(u, REG_COMMAND_TAIL, u->tail * 16);
    return iommu_wait(u, u->done, ~0u, u->sequence);
}

static void forget_pages(struct iommu_unit *u, uint16_t hw_id)
{
    /* All pages: the largest size there is, and the directories. */
    command(u, CMD_PAGES, (uint64_t)hw_id << 32, 0x7ffffffffffff000ull | 3);
}

static bool amdvi_flush(struct iommu_unit *u, uint16_t hw_id)
{
    forget_pages(u, hw_id);
    return complete(u);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static unsigned table_order(const struct iommu_unit *u)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) / sizeof(struct amdvi_dte) <= u->place->last)
        order++;
    return order;
}

static uint32_t own_sbdf(const struct iommu_unit *u) { return (uint32_t)u->place->segment << 16 | u->place->bdf; }

static int amdvi_probe(struct iommu_unit *u, struct io_format *format)
{
    u->extended = unit_read64(u, REG_FEATURES);
    u->remaps = iommu_info.may_remap;
    if (u->extended == ~0ull)
        return -ENODEV;
    if (!(u->extended & FEATURE_INVALIDATE_ALL))
        return -EOPNOTSUPP;
    /* NpCache; QEMU sets it. */
    format->caches_nothing |= metal_pci_read(own_sbdf(u), u->place->capability, 4) >> 26 & 1;
    format->codec = &amdvi_codec;
    return 0;
}

static int amdvi_setup(struct iommu_unit *u)
{
    _Static_assert(sizeof(struct amdvi_dte) == 32, "48882, 2.2.2.1");
    if (!nothing.root && io_tree_init(&nothing, &iommu_format))
        return -ENOMEM;
    struct amdvi_dte *table = pages_alloc(table_order(u));
    u->table = table;
    u->log = page_alloc();
    if (!table || !u->log)
        return -ENOMEM;
    struct amdvi_dte blocked = amdvi_dte(NULL, ptr_paddr(nothing.root), iommu_format.levels, 0);
    blocked.q[2] = amdvi_dte_interrupts(blocked.q[2], u->remaps, 0);
    for (unsigned bdf = 0; bdf < (PAGE_SIZE << table_order(u)) / sizeof(*table); bdf++)
        table[bdf] = blocked;
    for (unsigned i = 0; i < iommu_info.nr_ranges; i++) {
        const struct iommu_range *r = &iommu_info.range[i];
        struct amdvi_dte e = amdvi_dte(NULL, 0, 0, r->setting);
        for (unsigned bdf = r->first; r->unit == u->number && bdf <= r->last; bdf++) {
            table[bdf].q[1] = e.q[1];
            table[bdf].q[2] = amdvi_dte_interrupts(e.q[2], u->remaps, 0);
        }
    }
    return 0;
}

/* A unit's own message is not remapped. */
static void amdvi_fault_message(struct iommu_unit *u)
{
    uint32_t sbdf = own_sbdf(u);
    unsigned at = iommu_fault_msi.data ? iommu_pci_capability(sbdf, 5) : 0;
    if (!at)
        return;
    uint32_t control = metal_pci_read(sbdf, at + 2, 2);
    bool wide = control & BIT(7);
    metal_pci_write(sbdf, at + 4, 4, iommu_fault_msi.address);
    if (wide)
        metal_pci_write(sbdf, at + 8, 4, 0);
    metal_pci_write(sbdf, at + (wide ? 12 : 8), 2, iommu_fault_msi.data);
    metal_pci_write(sbdf, at + 2, 2, (control & ~0x70u) | 1);
    metal_pci_write(sbdf, 4, 2, metal_pci_read(sbdf, 4, 2) | BIT(2)); /* bus master */
}

static void amdvi_disable(struct iommu_unit *u)
{
    unit_write64(u, REG_CONTROL, unit_read64(u, REG_CONTROL) & ~(CONTROL_COMMANDS | CONTROL_EVENT_LOG));
    unit_write64(u, REG_CONTROL, 0);
    u->running = false;
}

static int amdvi_enable(struct iommu_unit *u)
{
    /* Flags of IVHD are control bits: HtTunEn 1, PassPW 8, ResPassPW 9, Isoc 11, Coherent 10. */
    uint8_t f = u->place->flags;
    uint64_t control = (f & 1) << 1 | (uint64_t)(f >> 1 & 3) << 8 | (uint64_t)(f >> 3 & 1) << 11 |
                       (uint64_t)(f >> 5 & 1) << 10 | CONTROL_ENABLE | CONTROL_COMMANDS | CONTROL_EVENT_LOG;
    amdvi_disable(u);
    memset(u->log, 0, PAGE_SIZE);
    unit_write64(u, REG_DEVICE_TABLE, ptr_paddr(u->table) | ((1u << table_order(u)) - 1));
    unit_write64(u, REG_COMMANDS, ptr_paddr(u->queue) | QUEUE_LENGTH);
    unit_write64(u, REG_COMMAND_HEAD, 0);
    unit_write64(u, REG_COMMAND_TAIL, 0);
    unit_write64(u, REG_EVENTS, ptr_paddr(u->log) | QUEUE_LENGTH);
    unit_write64(u, REG_EVENT_HEAD, 0);
    unit_write64(u, REG_EVENT_TAIL, 0);
    u->tail = 0;
    unit_write64(u, REG_STATUS, STATUS_OVERFLOW | STATUS_EVENT);
    amdvi_fault_message(u);
    unit_write64(u, REG_CONTROL, control | CONTROL_EVENT_INTERRUPT);
    u->running = true;
    command(u, CMD_ALL, 0, 0);
    return complete(u) ? 0 : -EIO;
}

/* --- devices -------------------------------------------------------------------------------------------- */

static struct amdvi_dte *entry_of(struct iommu_unit *u, uint16_t bdf)
{
    return bdf <= u->place->last ? (struct amdvi_dte *)u->table + bdf : NULL;
}

static int amdvi_attach(struct iommu_unit *u, uint16_t bdf, const struct iommu_domain *d)
{
    struct amdvi_dte *e = entry_of(u, bdf);
    if (!e)
        return -ENODEV;
    uint16_t old = e->q[1];
    struct amdvi_dte new = amdvi_dte(d, ptr_paddr(nothing.root), iommu_format.levels, 0);
    /* Blocked first, so that no translation of one domain is cached under the other's id. */
    iommu_publish(&e->q[0], amdvi_dte(NULL, ptr_paddr(nothing.root), iommu_format.levels, 0).q[0]);
    command(u, CMD_DEVICE, bdf, 0);
    forget_pages(u, old);
    bool ok = complete(u);
    iommu_publish(&e->q[1], (e->q[1] & ~0xffffull) | new.q[1]);
    iommu_publish(&e->q[0], new.q[0]);
    command(u, CMD_DEVICE, bdf, 0);
    return complete(u) && ok ? 0 : -EIO;
}

static bool amdvi_detach_all(struct iommu_unit *u, uint16_t hw_id)
{
    for (unsigned bdf = 0; bdf <= u->place->last; bdf++)
        if ((uint16_t)entry_of(u, bdf)->q[1] == hw_id && amdvi_attach(u, bdf, NULL))
            return false;
    return true;
}

static uint16_t amdvi_owner(struct iommu_unit *u, uint16_t bdf)
{
    const struct amdvi_dte *e = entry_of(u, bdf);
    return e ? (uint16_t)e->q[1] : 0;
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

static volatile uint32_t *irt_of(const struct amdvi_dte *e)
{
    return e && (e->q[2] & DTE_ADDRESS_Q2) ? paddr_ptr(e->q[2] & DTE_ADDRESS_Q2) : NULL;
}

static int irt_create(struct iommu_unit *u, uint16_t bdf, struct amdvi_dte *e)
{
    void *table = page_alloc();
    if (!table)
        return -ENOMEM;
    iommu_publish(&e->q[2], amdvi_dte_interrupts(e->q[2], true, ptr_paddr(table)));
    command(u, CMD_DEVICE, bdf, 0);
    return 0;
}

static int amdvi_remap(struct iommu_unit *u, int *entry, const struct io_interrupt *i, struct msi_message *out)
{
    struct amdvi_dte *e = entry_of(u, i->bdf);
    if (!e || i->apic_id > 0xff)
        return e ? -EINVAL : -ENODEV;
    int rc = irt_of(e) ? 0 : irt_create(u, i->bdf, e);
    if (rc)
        return rc;
    volatile uint32_t *irt = irt_of(e);
    int index = MAX(*entry, 0);
    while (*entry < 0 && index < IRT_ENTRIES && irt[index])
        index++;
    if (index >= IRT_ENTRIES)
        return *entry < 0 ? -ENOSPC : -EINVAL;
    irt[index] = amdvi_irte(i);
    *entry = index;
    *out = (struct msi_message){ .address = 0xfee00000, .data = index };
    command(u, CMD_INTERRUPTS, i->bdf, 0);
    complete(u);
    return 0;
}

static void amdvi_remap_free(struct iommu_unit *u, uint16_t bdf, int entry)
{
    volatile uint32_t *irt = irt_of(entry_of(u, bdf));
    if (!irt || entry < 0 || entry >= IRT_ENTRIES)
        return;
    irt[entry] = 0;
    command(u, CMD_INTERRUPTS, bdf, 0);
    complete(u);
}

/* --- faults --------------------------------------------------------------------------------------------- */

static void event_log(struct iommu_unit *u, uint64_t lo, uint64_t address)
{
    unsigned code = lo >> 60;
    bool write = lo & BIT(53), interrupt = lo & BIT(51);
    const char *what = code != 2   ? code == 8 ? "invalid request to" : "error event, address"
                       : interrupt ? "interrupt message to"
                       : write     ? "DMA write to"
                                   : "DMA read from";
    iommu_log_fault(u, lo, what, address);
}

/*
 * A unit that aborts a request says so in its PCI status, too. QEMU 7.2 says it nowhere else (its event log takes
 * itself for overrun always), so who it was remains unknown there.
 */
static void told_by_status(struct iommu_unit *u, bool said)
{
    uint32_t sbdf = own_sbdf(u), status = metal_pci_read(sbdf, 6, 2);
    if (status == 0xffff || !(status & BIT(11)))
        return;
    metal_pci_write(sbdf, 6, 2, BIT(11));
    if (!said)
        log_line("IOMMU %u: DMA blocked; the unit does not tell of which device", u->number);
}

static void amdvi_poll(struct iommu_unit *u)
{
    uint64_t status = unit_read64(u, REG_STATUS);
    unit_write64(u, REG_STATUS, STATUS_EVENT);
    uint32_t head = unit_read64(u, REG_EVENT_HEAD) % PAGE_SIZE, tail = unit_read64(u, REG_EVENT_TAIL) % PAGE_SIZE;
    bool said = head != tail;
    for (unsigned n = 0; head != tail && n < PAGE_SIZE / 16; n++) {
        volatile uint64_t *event = (uint64_t *)((uint8_t *)u->log + head);
        event_log(u, event[0], event[1]);
        event[0] = event[1] = 0;
        head = (head + 16) % PAGE_SIZE;
    }
    if (said)
        unit_write64(u, REG_EVENT_HEAD, head);
    if (status & STATUS_OVERFLOW) {
        uint64_t control = unit_read64(u, REG_CONTROL);
        log_line("IOMMU %u: more faults than its log holds", u->number);
        unit_write64(u, REG_CONTROL, control & ~CONTROL_EVENT_LOG);
        unit_write64(u, REG_STATUS, STATUS_OVERFLOW);
        unit_write64(u, REG_CONTROL, control | CONTROL_EVENT_LOG);
    }
    told_by_status(u, said);
}

const struct iommu_ops amdvi_ops = {
    .name = "AMD-Vi",
    .window = 0x4000,
    .probe = amdvi_probe,
    .setup = amdvi_setup,
    .enable = amdvi_enable,
    .disable = amdvi_disable,
    .attach = amdvi_attach,
    .detach_all = amdvi_detach_all,
    .flush = amdvi_flush,
    .remap = amdvi_remap,
    .remap_free = amdvi_remap_free,
    .owner = amdvi_owner,
    .poll = amdvi_poll,
    .fault_message = amdvi_fault_message,
};
