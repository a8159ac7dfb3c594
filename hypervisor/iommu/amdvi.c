/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * AMD-Vi units (AMD 48882, "AMD I/O Virtualization Technology"): device table, command buffer, event log, and one
 * interrupt remapping table of 256 entries (one page) a requester, made when it gets its first interrupt.
 *
 * Units without INVALIDATE_IOMMU_ALL (before 2011) are not driven, those without 128-bit remapping entries (before
 * 2015) do not remap. Translations that devices cached (ATS) are refused: the I bit of a device table entry stays 0.
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
#define CONTROL_COMMANDS BIT(12)
#define CONTROL_WIDE_ENTRIES BIT(17)      /* GAEn: remapping entries of 128 bits, */
#define CONTROL_WIDE_DESTINATIONS BIT(50) /* XTEn: with 32-bit APIC ids */
#define FEATURE_X2APIC BIT(2)
#define FEATURE_INVALIDATE_ALL BIT(6)
#define FEATURE_WIDE_ENTRIES BIT(7)
#define STATUS_OVERFLOW BIT(0)

#define QUEUE_LENGTH (8ull << 56)
#define DTE_VALID 3ull                  /* V, TV */
#define DTE_INTERRUPTS 1ull             /* IV: fixed interrupts are aborted, */
#define DTE_REMAP (2ull << 60 | 8 << 1) /* or remapped by a table of 2^8 entries, */
#define DTE_IRT 0x000fffffffffffc0ull   /* which is here */
#define IRT_ENTRIES 256 /* of a page; bits 10:8 of a message stay 0, which QEMU 7.2 takes for the delivery mode */

enum command { CMD_WAIT = 1, CMD_DEVICE, CMD_PAGES, CMD_INTERRUPTS = 5, CMD_ALL = 8 };

/* What blocked requesters are translated with: an empty tree, and neither reads nor writes allowed. */
static struct p2m nothing;

/*
 * Page tables (2.2.3): read and write are bits 61 and 62, of all levels ANDed; leaves force coherence. The level of the
 * next table is in bits 11:9, 0: this is a leaf. Bits 8:1 are ignored. So are all of an entry without the present bit,
 * but QEMU 7.2 takes a translation that ends there for a silent one; with a next level in it, it sees a fault and tells
 * (told_by_status).
 */
static const struct p2m_codec codec = {
    .rights = { [P2M_RAM] = 1 | BIT(60) | BIT(61) | BIT(62), [P2M_RAM_RO] = 1 | BIT(60) | BIT(61) },
    .empty = 1 << 9,
    .table = 1 | BIT(61) | BIT(62),
    .table_level = 1 << 9,
    .present = 1,
    .large = BIT(7),
    .type_shift = 1,
    .largest = &iommu_format.largest,
    .flush = iommu_flush,
    .sync = io_sync,
};

/* --- entries -------------------------------------------------------------------------------------------- */

struct amdvi_dte {
    uint64_t q[4];
};

/* The first word of a requester's entry: with what tree its DMA is translated; NULL: it is blocked. */
static uint64_t dte_tables(const struct p2m *tree)
{
    const struct p2m *t = tree ? tree : &nothing;
    uint64_t allowed = tree ? BIT(61) | BIT(62) : 0; /* read, write */
    return DTE_VALID | mfn_paddr(t->root) | t->levels << 9 | allowed;
}

static struct io_entry amdvi_irte(uint16_t bdf, uint8_t vector, uint32_t apic_id, bool level)
{
    uint64_t destination = apic_id; /* physical; fixed */
    return (struct io_entry){ 1 | (destination & 0xffffff) << 8, vector | destination >> 24 << 56 };
}

static struct msi_message amdvi_message(unsigned index, uint8_t vector)
{
    return (struct msi_message){ .address = 0xfee00000, .data = index };
}

/* --- commands ------------------------------------------------------------------------------------------- */

static void command(struct iommu_unit *u, enum command code, uint64_t q0, uint64_t q1)
{
    iommu_queue(u, q0 | (uint64_t)code << 60, q1);
}

static void amdvi_wait(struct iommu_unit *u)
{
    command(u, CMD_WAIT, ptr_paddr((const void *)u->done) | 1, u->sequence);
}

static void amdvi_forget(struct iommu_unit *u)
{
    /* All pages: the largest size there is, and the directories. */
    command(u, CMD_PAGES, (uint64_t)IOMMU_DOMAIN << 32, 0x7ffffffffffff000ull | 3);
}

static void amdvi_forget_interrupt(struct iommu_unit *u, uint16_t bdf, unsigned index)
{
    command(u, CMD_INTERRUPTS, bdf, 0); /* all of the device */
}

/* --- life ----------------------------------------------------------------------------------------------- */

static unsigned table_order(const struct iommu_unit *u)
{
    unsigned order = 0;
    while ((PAGE_SIZE << order) / sizeof(struct amdvi_dte) <= u->place->last)
        order++;
    return order;
}

static int amdvi_probe(struct iommu_unit *u)
{
    uint64_t features = *unit_reg64(u, REG_FEATURES);
    if (features == ~0ull || !(features & FEATURE_INVALIDATE_ALL))
        return -EOPNOTSUPP;
    iommu_format.remaps &= !!(features & FEATURE_WIDE_ENTRIES);
    iommu_format.wide &= !!(features & FEATURE_X2APIC);
    /* NpCache; QEMU sets it. */
    iommu_format.holes_cached |= metal_pci_read(u->place->sbdf, u->place->capability, 4) >> 26 & 1;
    return 0;
}

static int amdvi_setup(struct iommu_unit *u)
{
    _Static_assert(sizeof(struct amdvi_dte) == 32, "48882, 2.2.2.1");
    if (!nothing.levels && p2m_init(&nothing, NULL, &codec))
        return -ENOMEM;
    struct amdvi_dte *table = pages_alloc(table_order(u));
    u->table = table;
    u->log = page_alloc();
    if (!table || !u->log)
        return -ENOMEM;
    for (unsigned bdf = 0; bdf < (PAGE_SIZE << table_order(u)) / sizeof(*table); bdf++) {
        table[bdf].q[0] = dte_tables(NULL);
        table[bdf].q[2] = iommu_format.remaps ? DTE_INTERRUPTS : 0;
    }
    for (unsigned i = 0; i < iommu_info.nr_ranges; i++) {
        const struct iommu_range *r = &iommu_info.range[i];
        /* SysMgt; and INIT, ExtInt, NMI and LINT0/1 pass as firmware says. */
        uint64_t q1 = (uint64_t)(r->setting >> 4 & 3) << 40;
        uint64_t q2 = (uint64_t)(r->setting & 7) << 56 | (uint64_t)(r->setting >> 6 & 3) << 62;
        for (unsigned bdf = r->first; r->unit == u->number && bdf <= r->last; bdf++) {
            table[bdf].q[1] = q1;
            table[bdf].q[2] = q2 | (table[bdf].q[2] & DTE_INTERRUPTS);
        }
    }
    return 0;
}

static void amdvi_disable(struct iommu_unit *u)
{
    *unit_reg64(u, REG_CONTROL) &= ~(CONTROL_COMMANDS | CONTROL_EVENT_LOG);
    *unit_reg64(u, REG_CONTROL) = 0;
    u->running = false;
}

/* A queue of a page: where it is and how long, and that it is empty. */
static void queue_set(struct iommu_unit *u, unsigned base, unsigned head, void *page)
{
    memset(page, 0, PAGE_SIZE);
    *unit_reg64(u, base) = ptr_paddr(page) | QUEUE_LENGTH;
    *unit_reg64(u, head) = 0;
    *unit_reg64(u, head + 8) = 0; /* its tail */
}

static int amdvi_enable(struct iommu_unit *u)
{
    /* Flags of IVHD are control bits: HtTunEn 1, PassPW 8, ResPassPW 9, Isoc 11, Coherent 10. */
    uint8_t f = u->place->flags;
    uint64_t control = (f & 1) << 1 | (uint64_t)(f >> 1 & 3) << 8 | (uint64_t)(f >> 3 & 1) << 11 |
                       (uint64_t)(f >> 5 & 1) << 10 | CONTROL_ENABLE | CONTROL_COMMANDS | CONTROL_EVENT_LOG;
    amdvi_disable(u);
    *unit_reg64(u, REG_DEVICE_TABLE) = ptr_paddr(u->table) | ((1u << table_order(u)) - 1);
    queue_set(u, REG_COMMANDS, REG_COMMAND_HEAD, u->queue);
    queue_set(u, REG_EVENTS, REG_EVENT_HEAD, u->log);
    u->tail = 0;
    *unit_reg64(u, REG_STATUS) = STATUS_OVERFLOW;
    if (iommu_format.remaps)
        control |= CONTROL_WIDE_ENTRIES | (iommu_format.wide ? CONTROL_WIDE_DESTINATIONS : 0);
    *unit_reg64(u, REG_CONTROL) = control;
    u->running = true;
    command(u, CMD_ALL, 0, 0);
    return iommu_complete(u) ? 0 : -EIO;
}

/* --- devices -------------------------------------------------------------------------------------------- */

/* The unit answers for requesters up to its last, and the ids of bridges are below those of what is behind them. */
static struct amdvi_dte *entry_of(struct iommu_unit *u, uint16_t bdf)
{
    BUG_ON(bdf > u->place->last);
    return (struct amdvi_dte *)u->table + bdf;
}

static int amdvi_attach(struct iommu_unit *u, uint16_t bdf, const struct p2m *tree)
{
    struct amdvi_dte *e = entry_of(u, bdf);
    if (e->q[0] == dte_tables(tree)) /* others send in its name: it must not be blocked even for a moment */
        return 0;
    iommu_publish(&e->q[0], dte_tables(NULL));
    iommu_publish(&e->q[1], (e->q[1] & ~0xffffull) | (tree ? IOMMU_DOMAIN : 0));
    iommu_publish(&e->q[0], dte_tables(tree));
    command(u, CMD_DEVICE, bdf, 0);
    amdvi_forget(u);
    return 0;
}

static struct io_entry *amdvi_irt(struct iommu_unit *u, uint16_t bdf)
{
    struct amdvi_dte *e = entry_of(u, bdf);
    if (e->q[2] & DTE_IRT)
        return paddr_ptr(e->q[2] & DTE_IRT);
    void *page = page_alloc();
    if (page) {
        iommu_publish(&e->q[2], e->q[2] | ptr_paddr(page) | DTE_REMAP);
        command(u, CMD_DEVICE, bdf, 0);
    }
    return page;
}

/* --- faults --------------------------------------------------------------------------------------------- */

static void event_log(uint64_t lo, uint64_t address)
{
    const char *what = lo & BIT(51) ? "interrupt message to" : lo & BIT(53) ? "DMA write to" : "DMA read from";
    iommu_log_fault(lo, lo >> 60 == 2 ? what : "something that is no page fault (event log), address", address);
}

/*
 * A unit that aborts a request says so in its PCI status, too. QEMU 7.2 says it nowhere else (its event log takes
 * itself for overrun always), so who it was remains unknown there.
 */
static void told_by_status(struct iommu_unit *u, bool said)
{
    uint32_t sbdf = u->place->sbdf, status = metal_pci_read(sbdf, 6, 2);
    if (status == 0xffff || !(status & BIT(11)))
        return;
    metal_pci_write(sbdf, 6, 2, BIT(11));
    if (!said)
        log_line("IOMMU %u: DMA blocked; the unit does not tell of which device", u->number);
}

static void amdvi_poll(struct iommu_unit *u)
{
    uint32_t head = *unit_reg64(u, REG_EVENT_HEAD) & 0xff0, tail = *unit_reg64(u, REG_EVENT_TAIL) & 0xff0;
    bool said = head != tail;
    for (; head != tail; head = (head + 16) % PAGE_SIZE) {
        const volatile uint64_t *event = (uint64_t *)((uint8_t *)u->log + head);
        event_log(event[0], event[1]);
    }
    if (said)
        *unit_reg64(u, REG_EVENT_HEAD) = head;
    if (*unit_reg64(u, REG_STATUS) & STATUS_OVERFLOW) { /* it stopped */
        uint64_t control = *unit_reg64(u, REG_CONTROL);
        *unit_reg64(u, REG_CONTROL) = control & ~CONTROL_EVENT_LOG;
        *unit_reg64(u, REG_STATUS) = STATUS_OVERFLOW;
        *unit_reg64(u, REG_CONTROL) = control | CONTROL_EVENT_LOG;
    }
    told_by_status(u, said);
}

const struct iommu_ops amdvi_ops = {
    .name = "AMD-Vi",
    .codec = &codec,
    .window = 0x4000,
    .queue_tail = REG_COMMAND_TAIL,
    .irt_entries = IRT_ENTRIES,
    .probe = amdvi_probe,
    .setup = amdvi_setup,
    .enable = amdvi_enable,
    .disable = amdvi_disable,
    .wait = amdvi_wait,
    .attach = amdvi_attach,
    .forget = amdvi_forget,
    .forget_interrupt = amdvi_forget_interrupt,
    .irt = amdvi_irt,
    .irte = amdvi_irte,
    .message = amdvi_message,
    .poll = amdvi_poll,
};
