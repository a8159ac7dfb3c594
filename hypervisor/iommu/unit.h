/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the files of this room share: what the ACPI tables say (tables.c) and what a kind
 * of unit does (amdvi.c, vtd.c) for the common code (iommu.c).
 *
 * A requester id is bus:8 devfn:8.
 */
#pragma once

#include <hv/acpi.h>
#include <hv/iommu.h>
#include <hv/irq.h>
#include <hv/lock.h>
#include <hv/metal.h>
#include <hv/p2m.h>
#include <hv/types.h>

#define IOMMU_MAX_UNITS 32
#define IOMMU_MAX_RANGES 512
#define IOMMU_MAX_RESERVED 64
#define IOMMU_MAX_SPECIALS 32
#define IOMMU_DOMAIN 1 /* what tags the control domain's translations in the units' caches; 0: nobody's */

/* --- tables.c: IVRS (AMD 48882 ch. 5) and DMAR (VT-d ch. 8), pure but for bus numbers of bridges -------- */
struct iommu_place {
    paddr_t base;        /* of its registers */
    uint32_t sbdf;       /* the segment it is for; AMD-Vi: the unit as a PCI function, */
    uint16_t capability; /* and where its capability is */
    uint16_t last;       /* the highest requester id it answers for */
    uint8_t flags;       /* AMD-Vi: of its IVHD block */
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

struct iommu_special { /* an IOAPIC */
    uint32_t sbdf;
    uint8_t id;
};

struct iommu_tables {
    unsigned nr_units, nr_ranges, nr_reserved, nr_specials;
    uint8_t address_bits; /* VT-d: of what units reach, themselves and for devices; 0: everything */
    bool may_remap;       /* the firmware allows interrupt remapping */
    bool no_x2apic;       /* and asks not to use 32-bit destinations */
    bool broken;          /* malformed, or more than there is room for: not to be relied upon */
    struct iommu_place unit[IOMMU_MAX_UNITS];
    struct iommu_range range[IOMMU_MAX_RANGES];
    struct iommu_reserved reserved[IOMMU_MAX_RESERVED];
    struct iommu_special special[IOMMU_MAX_SPECIALS];
};

void ivrs_parse(const struct acpi_table *ivrs, struct iommu_tables *t); /* `t` is zeroed before */
void dmar_parse(const struct acpi_table *dmar, struct iommu_tables *t);
/* The range that says the most about a requester; NULL: no unit answers for it. */
const struct iommu_range *iommu_find_range(const struct iommu_tables *t, uint16_t segment, uint16_t bdf);

/* What all units of the machine can do. */
struct io_format {
    uint8_t levels, largest; /* of page tables, of leaves in them (p2m.h) */
    bool snooped;            /* units see the caches of the processors */
    bool holes_cached;       /* units remember what was not present */
    bool remaps, wide;       /* interrupts; to 32-bit destinations */
};

extern struct io_format iommu_format;

/* Of page tables' codecs: all units forget translations. The lock of the tree is held. */
bool iommu_flush(void);
/* The same: makes memory that units read visible to them when they do not snoop. */
void io_sync(const volatile void *start, size_t bytes);

/* --- units ---------------------------------------------------------------------------------------------- */
struct iommu_unit {
    const struct iommu_place *place;
    volatile uint8_t *regs;
    spinlock_t lock;         /* LOCK_IOMMU_UNIT: all below, and the tables they point to */
    void *table;             /* AMD-Vi: device table; VT-d: root table */
    void *queue;             /* commands of 16 bytes, one page */
    volatile uint64_t *done; /* the unit writes the number of the last completed wait here */
    void *log;               /* AMD-Vi: events, one page */
    struct io_entry *irt;    /* VT-d: interrupt remapping table (AMD-Vi: one a requester, in its device table entry) */
    uint64_t capability;     /* VT-d */
    uint32_t tail, sequence;
    uint8_t number;
    bool running; /* takes commands; else there is nothing to tell it, enable() makes it forget all */
    bool stuck;   /* did not answer in time; said once */
};

/* Of an interrupt remapping table; bit 0 of `lo` is "present" in both formats. */
struct io_entry {
    uint64_t lo, hi;
};

/* All but probe and setup are called with the unit's lock held. "Queues": the caller calls iommu_complete(). */
struct iommu_ops {
    const char *name;
    const struct p2m_codec *codec;
    size_t window;        /* bytes of registers */
    unsigned queue_tail;  /* a register */
    unsigned irt_entries; /* of an interrupt remapping table */
    /* Reads what the unit can do and narrows iommu_format. */
    int (*probe)(struct iommu_unit *u);
    /* Allocates its tables: everything blocked. */
    int (*setup)(struct iommu_unit *u);
    /* Programs it from memory and switches it on: at boot, and after a suspend. */
    int (*enable)(struct iommu_unit *u);
    void (*disable)(struct iommu_unit *u);
    /* Queues a wait for all that was queued: the unit writes u->sequence to u->done. */
    void (*wait)(struct iommu_unit *u);
    /* A requester's DMA goes through the tree; NULL: is blocked. Queues what makes the unit forget
     * what it knew of it. */
    int (*attach)(struct iommu_unit *u, uint16_t bdf, const struct p2m *tree);
    /* Queue: translations, an entry of a requester's interrupt remapping table are forgotten. */
    void (*forget)(struct iommu_unit *u);
    void (*forget_interrupt)(struct iommu_unit *u, uint16_t bdf, unsigned index);
    /* A requester's interrupt remapping table, made if there is none. NULL: no memory. */
    struct io_entry *(*irt)(struct iommu_unit *u, uint16_t bdf);
    struct io_entry (*irte)(uint16_t bdf, uint8_t vector, uint32_t apic_id, bool level);
    struct msi_message (*message)(unsigned index, uint8_t vector);
    void (*poll)(struct iommu_unit *u); /* tells iommu_log_fault() of what was blocked */
};

extern const struct iommu_ops amdvi_ops, vtd_ops;

extern struct iommu_tables iommu_info;

/* Puts 16 bytes into the queue of 256; the unit is told of them by the next iommu_complete(). */
void iommu_queue(struct iommu_unit *u, uint64_t lo, uint64_t hi);
/* Waits until the unit did all that is queued; false: it did not in time. */
bool iommu_complete(struct iommu_unit *u);
/* Writes one 64-bit word of a table that a unit may be reading, before what comes after. */
void iommu_publish(uint64_t *at, uint64_t value);
/* A blocked access, for the log. `what`: "DMA write to", ... */
void iommu_log_fault(uint16_t bdf, const char *what, uint64_t address);
/* Waits until 32 bits are as wanted under the mask; false after 100 ms (then 1 ms), with a log line the first time. */
bool iommu_wait(struct iommu_unit *u, const volatile void *at, uint32_t mask, uint32_t want);

static inline volatile uint32_t *unit_reg32(const struct iommu_unit *u, unsigned offset)
{
    return (volatile uint32_t *)(u->regs + offset);
}

static inline volatile uint64_t *unit_reg64(const struct iommu_unit *u, unsigned offset)
{
    return (volatile uint64_t *)(u->regs + offset);
}
