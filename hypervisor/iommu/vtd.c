/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * VT-d units (Intel D51397, "VT-d"): root and context tables in legacy mode, queued invalidation, fault recording
 * registers, and one table of 4096 interrupt remapping entries a unit, each checked against its requester's id.
 *
 * Units without queued invalidation (before 2010) are not driven. Translations that devices cached (ATS) are refused:
 * context entries have translation type 0.
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
    REG_PMEN = 0x64,
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

#define FECTL_MASKED BIT(31)
#define CAP_DOMAINS 7ull
#define CAP_PROTECTED (BIT(5) | BIT(6))
#define CAP_CACHES_NOTHING BIT(7)
#define CAP_LEVELS_3 BIT(9)
#define CAP_LEVELS_4 BIT(10)
#define CAP_2M BIT(34)
#define CAP_1G BIT(35)
#define ECAP_COHERENT BIT(0)
#define ECAP_QI BIT(1)
#define ECAP_IR BIT(3)
#define ECAP_EIM BIT(4)

#define IRT_ORDER 4
#define IRT_ENTRIES 4096

/* Second level page tables (3.7, 9.8): read and write in bits 0 and 1; bits 61:52 are ignored. */
static const struct p2m_codec codec = {
    .rights = { [P2M_RAM] = 3, [P2M_RAM_RO] = 1 },
    .table = 3,
    .present = 3,
    .large = BIT(7),
    .type_shift = 52,
    .largest = &iommu_format.largest,
    .flush = iommu_flush,
    .sync = io_sync,
};

enum descriptor { INV_CONTEXT = 1, INV_IOTLB, INV_INTERRUPTS = 4, INV_WAIT };

/* --- entries, pure -------------------------------------------------------------------------------------- */

static struct io_entry vtd_irte(uint16_t bdf, uint8_t vector, uint32_t apic_id, bool level)
{
    uint64_t destination = iommu_format.wide ? apic_id : apic_id << 8;
    return (struct io_entry){
        .lo = 1 | (level ? BIT(4) : 0) | (uint64_t)vector << 16 | destination << 32,
        .hi = bdf | BIT(18), /* all 16 bits of the requester id are compared */
    };
}

static struct msi_message vtd_message(unsigned index, uint8_t vector)
{
    /* Remappable format without a subhandle: units ignore the data, IOAPICs want the vector in it. */
    return (struct msi_message){ 0xfee00000 | (index & 0x7fff) << 5 | BIT(4) | index >> 15 << 2, vector };
}

/* --- commands ------------------------------------------------------------------------------------------- */

static bool global_command(struct iommu_unit *u, uint32_t bit, bool on)
{
    uint32_t states = *unit_reg32(u, REG_GSTS) & GSTS_STATES;
    *unit_reg32(u, REG_GCMD) = on ? states | bit : states & ~bit;
    return iommu_wait(u, u->regs + REG_GSTS, bit, on ? bit : 0);
}

static void vtd_wait(struct iommu_unit *u)
{
    /* Status write, and fence: after all before it. */
    iommu_queue(u, INV_WAIT | 3 << 5 | (uint64_t)u->sequence << 32, ptr_paddr((const void *)u->done));
}

static void vtd_forget(struct iommu_unit *u)
{
    /* The domain's; reads and writes in flight are drained. */
    iommu_queue(u, INV_IOTLB | 2 << 4 | 3 << 6 | IOMMU_DOMAIN << 16, 0);
}

static void forget_devices(struct iommu_unit *u)
{
    iommu_queue(u, INV_CONTEXT | 1 << 4, 0);
    iommu_queue(u, INV_IOTLB | 1 << 4 | 3 << 6, 0);
}

static void vtd_forget_interrupt(struct iommu_unit *u, uint16_t bdf, unsigned index)
{
    iommu_queue(u, INV_INTERRUPTS | 1 << 4 | (uint64_t)index << 32, 0);
}

/* --- life ----------------------------------------------------------------------------------------------- */

static int vtd_probe(struct iommu_unit *u)
{
    uint64_t cap = u->capability = *unit_reg64(u, REG_CAP), ecap = *unit_reg64(u, REG_ECAP);
    bool usable = cap != ~0ull && (ecap & ECAP_QI) && (cap & CAP_DOMAINS) >= 2; /* at least 256 domain ids */
    if (!usable || !(cap & (CAP_LEVELS_3 | CAP_LEVELS_4)))
        return -EOPNOTSUPP;
    uint8_t leaf = !(cap & CAP_2M) ? 1 : cap & CAP_1G ? 3 : 2;
    iommu_format.levels = MIN(iommu_format.levels, cap & CAP_LEVELS_4 ? 4 : 3);
    iommu_format.largest = MIN(iommu_format.largest, leaf);
    iommu_format.holes_cached |= !!(cap & CAP_CACHES_NOTHING);
    iommu_format.snooped &= !!(ecap & ECAP_COHERENT);
    iommu_format.remaps &= !!(ecap & ECAP_IR);
    iommu_format.wide &= !!(ecap & ECAP_EIM);
    return 0;
}

static int vtd_setup(struct iommu_unit *u)
{
    _Static_assert(sizeof(struct io_entry) == 16, "VT-d 9.1, 9.3, 9.10");
    u->table = page_alloc();
    u->irt = pages_alloc(IRT_ORDER);
    if (!u->table || !u->irt)
        return -ENOMEM;
    io_sync(u->table, PAGE_SIZE);
    io_sync(u->irt, PAGE_SIZE << IRT_ORDER);
    return 0;
}

static void vtd_disable(struct iommu_unit *u)
{
    static const uint32_t states[] = { GCMD_TE, GCMD_IRE, GCMD_QIE };
    u->running = false;
    for (unsigned i = 0; i < ARRAY_SIZE(states); i++)
        if (*unit_reg32(u, REG_GSTS) & states[i])
            global_command(u, states[i], false);
}

static bool enable_interrupts(struct iommu_unit *u)
{
    if (!iommu_format.remaps)
        return true;
    /* 2^(11 + 1) entries; bit 11: 32-bit destinations. Messages of the old format are blocked from IRE on. */
    *unit_reg64(u, REG_IRTA) = ptr_paddr(u->irt) | (iommu_format.wide ? BIT(11) : 0) | 11;
    bool ok = global_command(u, GCMD_SIRTP, true);
    iommu_queue(u, INV_INTERRUPTS, 0);
    return iommu_complete(u) && ok && global_command(u, GCMD_IRE, true);
}

static int vtd_enable(struct iommu_unit *u)
{
    *unit_reg32(u, REG_FECTL) = FECTL_MASKED;
    vtd_disable(u); /* firmware may have had it on */
    *unit_reg64(u, REG_RTADDR) = ptr_paddr(u->table);
    bool ok = global_command(u, GCMD_SRTP, true);
    u->tail = 0;
    *unit_reg64(u, REG_IQT) = 0;
    *unit_reg64(u, REG_IQA) = ptr_paddr(u->queue);
    ok = u->running = global_command(u, GCMD_QIE, true) && ok;
    forget_devices(u);
    ok = ok && iommu_complete(u) && enable_interrupts(u);
    if (!ok || !global_command(u, GCMD_TE, true))
        return -EIO;
    if (u->capability & CAP_PROTECTED) {
        *unit_reg32(u, REG_PMEN) = 0;
        iommu_wait(u, u->regs + REG_PMEN, 1, 0);
    }
    return 0;
}

/* --- devices -------------------------------------------------------------------------------------------- */

static int vtd_attach(struct iommu_unit *u, uint16_t bdf, const struct p2m *tree)
{
    struct io_entry *root = (struct io_entry *)u->table + (bdf >> 8);
    if (!(root->lo & 1)) {
        void *page = tree ? page_alloc() : NULL;
        if (!page)
            return tree ? -ENOMEM : 0;
        io_sync(page, PAGE_SIZE);
        iommu_publish(&root->lo, ptr_paddr(page) | 1);
    }
    struct io_entry *c = (struct io_entry *)paddr_ptr(root->lo & P2M_ADDRESS) + (bdf & 0xff);
    iommu_publish(&c->hi, IOMMU_DOMAIN << 8 | (iommu_format.levels - 2));
    iommu_publish(&c->lo, tree ? mfn_paddr(tree->root) | 1 : 0);
    forget_devices(u);
    return 0;
}

/* One for all requesters, whose ids are in the entries. */
static struct io_entry *vtd_irt(struct iommu_unit *u, uint16_t bdf) { return u->irt; }

/* --- faults --------------------------------------------------------------------------------------------- */

static void vtd_poll(struct iommu_unit *u)
{
    uint32_t status = *unit_reg32(u, REG_FSTS);
    if (!(status & 3))
        return;
    unsigned records = (u->capability >> 40 & 0xff) + 1, index = (status >> 8 & 0xff) % records;
    for (unsigned n = 0; n < records; n++, index = (index + 1) % records) {
        unsigned at = (u->capability >> 24 & 0x3ff) * 16 + 16 * index;
        uint64_t lo = *unit_reg64(u, at), hi = *unit_reg64(u, at + 8);
        if (!(hi & BIT(63)))
            break;
        /* Reasons 0x20 to 0x2f are about interrupts: their index is in bits 63:48. */
        bool interrupt = (hi >> 36 & 15) == 2;
        const char *what = interrupt ? "interrupt" : hi & BIT(62) ? "DMA read from" : "DMA write to";
        iommu_log_fault(hi, what, interrupt ? lo >> 48 : lo & PAGE_MASK);
        *unit_reg32(u, at + 12) = BIT(31);
    }
    *unit_reg32(u, REG_FSTS) = status & 1; /* there were more than records */
}

const struct iommu_ops vtd_ops = {
    .name = "VT-d",
    .codec = &codec,
    .window = 0x5000, /* fault records may lie up to there */
    .queue_tail = REG_IQT,
    .irt_entries = IRT_ENTRIES,
    .probe = vtd_probe,
    .setup = vtd_setup,
    .enable = vtd_enable,
    .disable = vtd_disable,
    .wait = vtd_wait,
    .attach = vtd_attach,
    .forget = vtd_forget,
    .forget_interrupt = vtd_forget_interrupt,
    .irt = vtd_irt,
    .irte = vtd_irte,
    .message = vtd_message,
    .poll = vtd_poll,
};
