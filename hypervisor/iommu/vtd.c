/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VT-d units (Intel D51397, "VT-d"): root and context tables in legacy mode, queued invalidation, fault recording
 * registers, and one table of 4096 interrupt remapping entries a unit, each checked against its requester's id.
 *
 * Each batch of descriptors ends with a wait descriptor and is waited for, so the queue is empty whenever the lock is
 * free. Units without queued invalidation (before 2010) are not driven.
 */
#include "unit.h"

#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/log.h>

enum vtd_register {
    REG_CAP = 0x08,
    REG_ECAP = 0x10,
    REG_GCMD = 0x18,
    REG_GSTS = 0x1c,
    REG_RTADDR = 0x20,
    REG_FSTS = 0x34,
    REG_FECTL = 0x38,
    REG_FEDATA = 0x3c,
    REG_FEADDR = 0x40,
    REG_FEUADDR = 0x44,
    REG_PMEN = 0x64,
    REG_IQH = 0x80,
    REG_IQT = 0x88,
    REG_IQA = 0x90,
    REG_IRTA = 0xb8,
};

/* GCMD and GSTS have the same bits. */
#define GCMD_TE BIT(31)
#define GCMD_SRTP BIT(30)
#define GCMD_QIE BIT(26)
#define GCMD_IRE BIT(25)
#define GCMD_SIRTP BIT(24)
#define GSTS_STATES 0x96ffffffu /* those that stay; the others act once */

#define CAP_PROTECTED (BIT(5) | BIT(6))
#define ECAP_COHERENT BIT(0)
#define ECAP_QI BIT(1)
#define ECAP_IR BIT(3)
#define ECAP_EIM BIT(4)

#define IRT_ORDER 4
#define IRT_ENTRIES 4096
#define REGISTER_BYTES 0x1000

enum descriptor { INV_CONTEXT = 1, INV_IOTLB, INV_INTERRUPTS = 4, INV_WAIT };

/* --- entries, pure -------------------------------------------------------------------------------------- */

struct vtd_entry vtd_context(const struct iommu_domain *d, unsigned levels)
{
    if (!d)
        return (struct vtd_entry){ 0 };
    return (struct vtd_entry){ ptr_paddr(d->tree.root) | 1, (uint64_t)d->hw_id << 8 | (levels - 2) };
}

struct vtd_entry vtd_irte(const struct io_interrupt *i, bool wide)
{
    uint64_t destination = wide ? i->apic_id : (i->apic_id & 0xff) << 8;
    return (struct vtd_entry){
        .lo = 1 | (i->level ? BIT(4) : 0) | (uint64_t)i->vector << 16 | destination << 32,
        .hi = i->bdf | BIT(18), /* all 16 bits of the requester id are compared */
    };
}

struct msi_message vtd_message(unsigned index, uint8_t vector)
{
    /* Remappable format without a subhandle: units ignore the data, IOAPICs want the vector in it. */
    return (struct msi_message){ 0xfee00000 | (index & 0x7fff) << 5 | BIT(4) | index >> 15 << 2, vector };
}

/* --- commands ------------------------------------------------------------------------------------------- */

static bool global_command(struct iommu_unit *u, uint32_t bit, bool on)
{
    uint32_t states = unit_read32(u, REG_GSTS) & GSTS_STATES;
    unit_write32(u, REG_GCMD, on ? states | bit : states & ~bit);
    return iommu_wait(u, u->regs + REG_GSTS, bit, on ? bit : 0);
}

static bool complete(struct iommu_unit *u)
{
    if (!u->running) {
        u->tail = 0;
        return true;
    }
    u->sequence++;
    /* Status write, and fence: after all before it. */
    iommu_queue(u, INV_WAIT | 3 << 5 | (uint64_t)u->sequence << 32, ptr_paddr((const void *)u->done));
    atomic_thread_fence(memory_order_seq_cst); /* tables and descriptors before the tail, which the unit polls */
    unit_write64(u, REG_IQT, u->tail * 16);
    bool ok = iommu_wait(u, u->done, ~0u, u->sequence);
    uint32_t errors =
        unit_read32(u, REG_FSTS) & 0x70; /* IQE, ICE, ITE: the queue stands still until they are cleared */
    if (!ok && errors) {
        log_line("IOMMU %u: invalidation error %#x", u->number, errors);
        unit_write32(u, REG_FSTS, errors);
    }
    return ok;
}

static bool vtd_flush(struct iommu_unit *u, uint16_t hw_id)
{
    /* The domain's; reads and writes in flight are drained. */
    iommu_queue(u, INV_IOTLB | 2 << 4 | 3 << 6 | (uint64_t)hw_id << 16, 0);
    return complete(u);
}

static bool forget_devices(struct iommu_unit *u)
{
    iommu_queue(u, INV_CONTEXT | 1 << 4, 0);
    iommu_queue(u, INV_IOTLB | 1 << 4 | 3 << 6, 0);
    return complete(u);
}

static void forget_interrupt(struct iommu_unit *u, unsigned index)
{
    iommu_queue(u, INV_INTERRUPTS | 1 << 4 | (uint64_t)index << 32, 0);
    complete(u);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static unsigned fault_records(const struct iommu_unit *u) { return (u->capability >> 40 & 0xff) + 1; }

static unsigned fault_offset(const struct iommu_unit *u) { return (u->capability >> 24 & 0x3ff) * 16; }

static int vtd_probe(struct iommu_unit *u, struct io_format *format)
{
    uint64_t cap = u->capability = unit_read64(u, REG_CAP), ecap = u->extended = unit_read64(u, REG_ECAP);
    if (cap == ~0ull)
        return -ENODEV;
    if (!(ecap & ECAP_QI) || (cap & 7) < 2) /* nor fewer than 256 domain ids */
        return -EOPNOTSUPP;
    format->widths &= cap >> 9 & 3;
    uint8_t leaf = !(cap & BIT(34)) ? 1 : cap & BIT(35) ? 3 : 2;
    format->codec = &vtd_codec;
    format->max_leaf = MIN(format->max_leaf, leaf);
    format->caches_nothing |= cap >> 7 & 1;
    format->snooped &= !!(ecap & ECAP_COHERENT);
    u->remaps = iommu_info.may_remap && (ecap & ECAP_IR);
    u->wide = u->remaps && (ecap & ECAP_EIM) && !iommu_info.no_x2apic;
    size_t bytes = fault_offset(u) + 16 * fault_records(u);
    if (bytes > REGISTER_BYTES)
        u->regs = metal_map_mmio(u->place->base, ROUND_UP(bytes, PAGE_SIZE));
    return u->regs ? 0 : -ENOMEM;
}

static int vtd_setup(struct iommu_unit *u)
{
    _Static_assert(sizeof(struct vtd_entry) == 16, "VT-d 9.1, 9.3, 9.10");
    u->table = page_alloc();
    u->irt = u->remaps ? pages_alloc(IRT_ORDER) : NULL;
    if (!u->table || (u->remaps && !u->irt))
        return -ENOMEM;
    io_sync(&iommu_format, u->table, PAGE_SIZE);
    if (u->irt)
        io_sync(&iommu_format, u->irt, PAGE_SIZE << IRT_ORDER);
    return 0;
}

static void vtd_fault_message(struct iommu_unit *u)
{
    if (!iommu_fault_msi.data)
        return;
    unit_write32(u, REG_FEDATA, iommu_fault_msi.data);
    unit_write32(u, REG_FEADDR, iommu_fault_msi.address);
    unit_write32(u, REG_FEUADDR, iommu_fault_msi.address >> 32);
    unit_write32(u, REG_FECTL, 0); /* unmasked */
}

static void vtd_disable(struct iommu_unit *u)
{
    static const uint32_t states[] = { GCMD_TE, GCMD_IRE, GCMD_QIE };
    u->running = false;
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++)
        if (unit_read32(u, REG_GSTS) & states[i])
            global_command(u, states[i], false);
}

static bool enable_interrupts(struct iommu_unit *u)
{
    if (!u->remaps)
        return true;
    /* 2^(11 + 1) entries; bit 11: 32-bit destinations. Messages of the old format are blocked from IRE on. */
    unit_write64(u, REG_IRTA, ptr_paddr(u->irt) | (u->wide ? BIT(11) : 0) | 11);
    bool ok = global_command(u, GCMD_SIRTP, true);
    iommu_queue(u, INV_INTERRUPTS, 0);
    return complete(u) && ok && global_command(u, GCMD_IRE, true);
}

static int vtd_enable(struct iommu_unit *u)
{
    unit_write32(u, REG_FECTL, BIT(31));
    vtd_disable(u); /* firmware may have had it on */
    unit_write64(u, REG_RTADDR, ptr_paddr(u->table));
    bool ok = global_command(u, GCMD_SRTP, true);
    u->tail = 0;
    unit_write64(u, REG_IQT, 0);
    unit_write64(u, REG_IQA, ptr_paddr(u->queue));
    ok = u->running = global_command(u, GCMD_QIE, true) && ok;
    ok = ok && forget_devices(u) && enable_interrupts(u);
    if (!ok || !global_command(u, GCMD_TE, true))
        return -EIO;
    if (u->capability & CAP_PROTECTED) {
        unit_write32(u, REG_PMEN, 0);
        iommu_wait(u, u->regs + REG_PMEN, 1, 0);
    }
    vtd_fault_message(u);
    return 0;
}

/* --- devices -------------------------------------------------------------------------------------------- */

static struct vtd_entry *context_of(struct iommu_unit *u, uint16_t bdf)
{
    const struct vtd_entry *root = (struct vtd_entry *)u->table + (bdf >> 8);
    return root->lo & 1 ? (struct vtd_entry *)paddr_ptr(root->lo & IO_ADDRESS) + (bdf & 0xff) : NULL;
}

static int vtd_attach(struct iommu_unit *u, uint16_t bdf, const struct iommu_domain *d)
{
    struct vtd_entry *c = context_of(u, bdf), new = vtd_context(d, iommu_format.levels);
    if (!c && !d)
        return 0;
    if (!c) {
        void *page = page_alloc();
        if (!page)
            return -ENOMEM;
        io_sync(&iommu_format, page, PAGE_SIZE);
        iommu_publish((uint64_t *)u->table + 2 * (bdf >> 8), ptr_paddr(page) | 1);
        c = context_of(u, bdf);
    }
    /* Blocked first, so that no translation of one domain is cached under the other's id. */
    bool ok = true;
    if (c->lo & 1) {
        iommu_publish(&c->lo, 0);
        ok = forget_devices(u);
    }
    iommu_publish(&c->hi, new.hi);
    iommu_publish(&c->lo, new.lo);
    return forget_devices(u) && ok ? 0 : -EIO;
}

static uint16_t vtd_owner(struct iommu_unit *u, uint16_t bdf)
{
    const struct vtd_entry *c = context_of(u, bdf);
    return c && (c->lo & 1) ? c->hi >> 8 & 0xffff : 0;
}

static bool vtd_detach_all(struct iommu_unit *u, uint16_t hw_id)
{
    for (unsigned bdf = 0; bdf <= 0xffff; bdf++) {
        if (!context_of(u, bdf))
            bdf |= 0xff; /* the next bus */
        else if (vtd_owner(u, bdf) == hw_id)
            iommu_publish(&context_of(u, bdf)->lo, 0);
    }
    return forget_devices(u);
}

/* --- interrupts ----------------------------------------------------------------------------------------- */

static int vtd_remap(struct iommu_unit *u, int *entry, const struct io_interrupt *i, struct msi_message *out)
{
    struct vtd_entry *irt = u->irt, new = vtd_irte(i, u->wide);
    if (!u->wide && i->apic_id > 0xff)
        return -EINVAL;
    int index = MAX(*entry, 0);
    while (*entry < 0 && index < IRT_ENTRIES && (irt[index].lo & 1))
        index++;
    if (index >= IRT_ENTRIES)
        return *entry < 0 ? -ENOSPC : -EINVAL;
    /* The high half is the requester, which stays the same while the entry is present. */
    iommu_publish(&irt[index].hi, new.hi);
    iommu_publish(&irt[index].lo, new.lo);
    *entry = index;
    *out = vtd_message(index, i->vector);
    forget_interrupt(u, index);
    return 0;
}

static void vtd_remap_free(struct iommu_unit *u, uint16_t bdf, int entry)
{
    struct vtd_entry *irt = u->irt;
    if (entry < 0 || entry >= IRT_ENTRIES || (uint16_t)irt[entry].hi != bdf)
        return;
    iommu_publish(&irt[entry].lo, 0);
    forget_interrupt(u, entry);
}

/* --- faults --------------------------------------------------------------------------------------------- */

static void vtd_poll(struct iommu_unit *u)
{
    uint32_t status = unit_read32(u, REG_FSTS);
    if (!(status & 3))
        return;
    unsigned records = fault_records(u), index = (status >> 8 & 0xff) % records;
    for (unsigned n = 0; n < records; n++, index = (index + 1) % records) {
        unsigned at = fault_offset(u) + 16 * index;
        uint64_t lo = unit_read64(u, at), hi = unit_read64(u, at + 8);
        if (!(hi & BIT(63)))
            break;
        /* Reasons 0x20 to 0x2f are about interrupts: their index is in bits 63:48. */
        bool interrupt = (hi >> 36 & 15) == 2;
        const char *what = interrupt ? "interrupt" : hi & BIT(62) ? "DMA read from" : "DMA write to";
        iommu_log_fault(u, hi, what, interrupt ? lo >> 48 : lo & PAGE_MASK);
        unit_write32(u, at + 12, BIT(31));
    }
    if (status & 1) {
        log_line("IOMMU %u: more faults than it can record", u->number);
        unit_write32(u, REG_FSTS, 1);
    }
}

const struct iommu_ops vtd_ops = {
    .name = "VT-d",
    .window = REGISTER_BYTES,
    .probe = vtd_probe,
    .setup = vtd_setup,
    .enable = vtd_enable,
    .disable = vtd_disable,
    .attach = vtd_attach,
    .detach_all = vtd_detach_all,
    .flush = vtd_flush,
    .remap = vtd_remap,
    .remap_free = vtd_remap_free,
    .owner = vtd_owner,
    .poll = vtd_poll,
    .fault_message = vtd_fault_message,
};
