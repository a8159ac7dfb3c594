/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share: what the ACPI tables say (tables.c), the builder of I/O page tables (radix.c), and
 * what a kind of unit does (amdvi.c, vtd.c) for the common code (iommu.c).
 *
 * A requester id is bus:8 devfn:8. A hardware domain id tags a domain's translations in the units' caches; 0 is
 * nobody's.
 */
#ifndef IOMMU_UNIT_H
#define IOMMU_UNIT_H

#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/lock.h>
#include <hv/metal.h>
#include <hv/types.h>

#define IOMMU_MAX_UNITS 16
#define IOMMU_MAX_RANGES 512
#define IOMMU_MAX_RESERVED 64
#define IOMMU_MAX_SPECIALS 32
#define IOMMU_MAX_DOMAINS 256 /* hardware ids: QEMU 7.2's AMD-Vi calls bit 8 of them reserved */

/* --- tables.c: IVRS (AMD 48882 ch. 5) and DMAR (VT-d ch. 8), pure but for bus numbers of bridges -------- */
struct iommu_place {
    paddr_t base; /* of its registers */
    uint16_t segment;
    uint16_t bdf, capability; /* AMD-Vi: the unit as a PCI function, and where its capability is */
    uint16_t last;            /* the highest requester id it answers for */
    uint8_t flags;            /* AMD-Vi: of its IVHD block */
    bool all;                 /* also everything of its segment that no other unit names */
};

struct iommu_range {
    uint16_t first, last, alias; /* alias: first == last or the same for all, when `aliased` */
    uint8_t unit, setting;       /* AMD-Vi: interrupts let through (IVHD's DTE setting) */
    bool aliased;
};

struct iommu_reserved {
    uint64_t base, end; /* pages: first, one after the last */
    uint16_t segment, first, last;
    bool writable;
};

struct iommu_special {
    uint32_t sbdf;
    uint8_t id;
    bool hpet;
};

struct iommu_tables {
    unsigned nr_units, nr_ranges, nr_reserved, nr_specials;
    bool may_remap; /* the firmware allows interrupt remapping */
    bool no_x2apic; /* and asks not to use 32-bit destinations */
    struct iommu_place unit[IOMMU_MAX_UNITS];
    struct iommu_range range[IOMMU_MAX_RANGES];
    struct iommu_reserved reserved[IOMMU_MAX_RESERVED];
    struct iommu_special special[IOMMU_MAX_SPECIALS];
};

/* `t` is zeroed before. 0, -EINVAL (malformed), -E2BIG (more than fits). */
must_check int ivrs_parse(const uint8_t *table, size_t size, struct iommu_tables *t);
must_check int dmar_parse(const uint8_t *table, size_t size, struct iommu_tables *t);
/* The unit that answers for a requester (its number), and its range if one names it; -1: none. */
int iommu_find_unit(const struct iommu_tables *t, uint16_t segment, uint16_t bdf, const struct iommu_range **range);

/* --- radix.c: I/O page tables --------------------------------------------------------------------------- */
#define IO_ADDRESS 0x000ffffffffff000ull /* of a table or page, in an entry of either format */

struct io_codec {
    uint64_t empty; /* an entry for nothing */
    uint64_t present, writable /* bits */;
    uint64_t (*table)(paddr_t next, unsigned level); /* level of the table at `next` */
    uint64_t (*leaf)(paddr_t page, unsigned level, bool writable);
    bool (*is_leaf)(uint64_t entry, unsigned level); /* of a present entry */
};

extern const struct io_codec amdvi_codec, vtd_codec;

/* What all units of the machine can do. */
struct io_format {
    const struct io_codec *codec;
    uint8_t widths;      /* bit 0: 3 levels possible, bit 1: 4 */
    uint8_t levels;      /* of those the most */
    uint8_t max_leaf;    /* 1: 4 KiB, 2: 2 MiB, 3: 1 GiB */
    bool snooped;        /* units see the caches of the processors */
    bool caches_nothing; /* units remember what was not present */
};

struct io_tree {
    const struct io_format *format;
    uint64_t *root;
    uint64_t changes; /* of entries that units may have cached */
    mfn_t dead;       /* tables that units may still have cached, linked by frame_gfn() */
};

must_check int io_tree_init(struct io_tree *t, const struct io_format *format);
/* Changes `count` pages; on -ENOMEM part of them is done and the call may be repeated. -ERANGE: beyond the tree. */
must_check int io_tree_map(struct io_tree *t, uint64_t dfn, mfn_t m, uint64_t count, bool writable);
must_check int io_tree_unmap(struct io_tree *t, uint64_t dfn, uint64_t count);
/* Takes the list of dead tables away; io_dead_free() after the units forgot them. */
mfn_t io_tree_take_dead(struct io_tree *t);
void io_dead_free(mfn_t dead);
void io_tree_bury_all(struct io_tree *t); /* the root included; no unit may use it any more */
/* Makes memory that units read visible to them when they do not snoop. */
void io_sync(const struct io_format *format, const volatile void *start, size_t bytes);

/* --- units ---------------------------------------------------------------------------------------------- */
struct iommu_domain {
    spinlock_t lock; /* LOCK_IOMMU: tree */
    struct io_tree tree;
    _Atomic uint64_t flushed; /* tree.changes at the last flush; set under the lock */
    _Atomic uint32_t units;   /* those that ever had a device of it; set before the device is attached */
    uint16_t hw_id;
    domid_t domid;
};

struct iommu_unit {
    const struct iommu_place *place;
    volatile uint8_t *regs;
    spinlock_t lock;         /* LOCK_IOMMU: all below, and the tables they point to */
    void *table;             /* AMD-Vi: device table; VT-d: root table */
    void *queue;             /* commands, one page */
    volatile uint64_t *done; /* the unit writes the number of the last completed wait here */
    void *log;               /* AMD-Vi: events, one page */
    void *irt;               /* VT-d: interrupt remapping table (AMD-Vi: one a requester, in its device table entry) */
    uint64_t capability, extended; /* VT-d: CAP, ECAP; AMD-Vi: EFR in the second */
    uint32_t tail, sequence;
    uint8_t number;
    bool remaps, wide; /* interrupts; to 32-bit destinations */
    bool running;      /* takes commands; else there is nothing to tell it, enable() makes it forget all */
    bool stuck;        /* did not answer in time; said once */
};

/* One interrupt to remap, decided by iommu.c. */
struct io_interrupt {
    uint16_t bdf;
    uint32_t apic_id;
    uint8_t vector;
    bool level;
};

/* All but probe and setup are called with the unit's lock held. */
struct iommu_ops {
    const char *name;
    size_t window; /* bytes of registers */
    /* Reads what the unit can do and narrows `format`. */
    int (*probe)(struct iommu_unit *u, struct io_format *format);
    /* Allocates its tables: everything blocked. */
    int (*setup)(struct iommu_unit *u);
    /* Programs it from memory and switches it on: at boot, and after a suspend. */
    int (*enable)(struct iommu_unit *u);
    void (*disable)(struct iommu_unit *u);
    /* A requester's DMA goes through the domain's tables; NULL: is blocked. Caches are flushed. */
    int (*attach)(struct iommu_unit *u, uint16_t bdf, const struct iommu_domain *d);
    bool (*detach_all)(struct iommu_unit *u, uint16_t hw_id); /* both: false: timed out */
    bool (*flush)(struct iommu_unit *u, uint16_t hw_id);
    /* Writes entry *entry, or a free one if that is -1. */
    int (*remap)(struct iommu_unit *u, int *entry, const struct io_interrupt *i, struct msi_message *out);
    void (*remap_free)(struct iommu_unit *u, uint16_t bdf, int entry);
    uint16_t (*owner)(struct iommu_unit *u, uint16_t bdf); /* hardware id of a requester's domain */
    void (*poll)(struct iommu_unit *u);
    void (*fault_message)(struct iommu_unit *u); /* iommu_fault_msi into the unit */
};

extern const struct iommu_ops amdvi_ops, vtd_ops;

extern struct io_format iommu_format;
extern struct iommu_tables iommu_info;
extern struct msi_message iommu_fault_msi; /* of the units' own interrupt; no data: none */

/* Entries as pure functions, for the units and their tests. */
struct amdvi_dte {
    uint64_t q[4];
};
struct amdvi_dte amdvi_dte(const struct iommu_domain *d, paddr_t nothing, unsigned levels, uint8_t setting);
uint64_t amdvi_dte_interrupts(uint64_t q2, bool remaps, paddr_t table);
uint32_t amdvi_irte(const struct io_interrupt *i);
struct vtd_entry {
    uint64_t lo, hi;
};
struct vtd_entry vtd_context(const struct iommu_domain *d, unsigned levels);
struct vtd_entry vtd_irte(const struct io_interrupt *i, bool wide);
struct msi_message vtd_message(unsigned index, uint8_t vector);

/* Puts 16 bytes into the queue of 256; the unit is told of them later. */
void iommu_queue(struct iommu_unit *u, uint64_t lo, uint64_t hi);
/* Writes one 64-bit word of a table that a unit may be reading, before what comes after. */
void iommu_publish(uint64_t *at, uint64_t value);
unsigned iommu_pci_capability(uint32_t sbdf, unsigned id); /* its offset; 0: none */
/* A blocked access, for the log (rate limited). `what`: "DMA write to", ... */
void iommu_log_fault(struct iommu_unit *u, uint16_t bdf, const char *what, uint64_t address);
/* Waits until 32 bits are as wanted under the mask; false after 100 ms (then 1 ms), with a log line the first time. */
bool iommu_wait(struct iommu_unit *u, const volatile void *at, uint32_t mask, uint32_t want);

static inline uint32_t unit_read32(const struct iommu_unit *u, unsigned reg)
{
    return *(volatile uint32_t *)(u->regs + reg);
}

static inline uint64_t unit_read64(const struct iommu_unit *u, unsigned reg)
{
    return *(volatile uint64_t *)(u->regs + reg);
}

static inline void unit_write32(struct iommu_unit *u, unsigned reg, uint32_t value)
{
    *(volatile uint32_t *)(u->regs + reg) = value;
}

static inline void unit_write64(struct iommu_unit *u, unsigned reg, uint64_t value)
{
    *(volatile uint64_t *)(u->regs + reg) = value;
}

#endif
