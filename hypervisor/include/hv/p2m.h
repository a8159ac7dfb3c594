/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain's guest-physical memory: a four-level tree from gfn to mfn in the format the processor walks, with 4 KiB,
 * 2 MiB and 1 GiB entries. Entries are split when part of one changes and joined again when all 512 fit.
 *
 * Lock: p2m->lock (LOCK_P2M) is taken by each function that changes the tree; lookups take none: entries are 64-bit
 * words written in one piece. Tables that are left over (after a join) are kept for the next split of their level and
 * freed by p2m_free() only, so a lookup may be inside one; p2m->reused tells it that its table was taken again.
 * References: a RAM entry holds one reference of each of its frames (frame_get), dropped when the entry goes, after
 * devices and processors forgot it.
 * What devices of the control domain reach is a tree of its own, which is told of each change of the domain's before
 * that takes place (`mirror`).
 */
#pragma once

#include <hv/lock.h>
#include <hv/types.h>

struct domain;

enum p2m_type {
    P2M_NONE = 0,     /* nothing: an access is emulated or fails */
    P2M_RAM = 1,      /* read, write, execute */
    P2M_RAM_RO = 2,   /* writes are emulated or ignored */
    P2M_MMIO = 3,     /* a device's registers, uncached; no frame table entry, no references */
    P2M_GRANT_RW = 4, /* another domain's page by its grant; a reference of it is held */
    P2M_GRANT_RO = 5,
    P2M_FOREIGN = 6, /* another domain's page, mapped by a control domain; a reference of it is held */
    P2M_XENHEAP = 7, /* a page of the hypervisor's shared with the guest (shared info, grant table), read-write */
    P2M_TYPES,
};

/*
 * How entries are written: by the vendor for its processors (hvm/npt.c and, later, for EPT), by IOMMUs for devices
 * (iommu/). `level` 1: 4 KiB, 2: 2 MiB, 3: 1 GiB. All formats have the frame in bits 51:12.
 */
#define P2M_ADDRESS 0x000ffffffffff000ull
#define P2M_TYPE_MASK 15
struct p2m_codec {
    uint64_t rights[P2M_TYPES]; /* of a leaf */
    uint64_t empty;             /* an entry for nothing */
    uint64_t table;             /* bits of one for a table, */
    uint64_t table_level;       /* and what is added for each level of it */
    uint64_t present;           /* a table or leaf that can be used has one of these bits */
    uint64_t large;             /* at levels 2 and 3: a leaf, not a table */
    unsigned type_shift;        /* of a leaf's enum p2m_type, four bits */
    const uint8_t *largest;     /* the level of the largest leaves */
    bool (*flush)(void);        /* for devices: they forget what they knew of the tree; false: not in time */
    void (*sync)(const volatile void *start, size_t bytes); /* if not NULL: makes what was written visible to them */
};

struct p2m {
    spinlock_t lock; /* LOCK_P2M, devices' LOCK_IOMMU: the tree, the counts */
    mfn_t root;
    uint8_t levels; /* 4; of devices' trees, which are not looked up, maybe less */
    const struct p2m_codec *codec;
    struct domain *domain;   /* whose processors walk it; NULL: devices do, and it holds no references */
    struct p2m *mirror;      /* what devices see of it, which follows its changes; NULL: nothing */
    bool holes_cached;       /* who walks it may remember what was not present */
    uint64_t leaves[4];      /* by level; [1] 4 KiB */
    _Atomic uint64_t ram;    /* pages of the domain's own: P2M_RAM, P2M_RAM_RO; read without the lock */
    uint64_t tables;         /* pages the tree takes, spare ones included */
    mfn_t spare[5];          /* by level: tables no entry names any more, a list by frame_gfn() */
    bool walked;             /* they may still be walked: flush before one is taken again */
    _Atomic uint64_t reused; /* counts spare tables taken again */
    uint64_t cleared;        /* p2m_clear: up to here */
};

/* `d`: NULL for what devices see. */
must_check int p2m_init(struct p2m *p, struct domain *d, const struct p2m_codec *codec);
/* Unmaps all in steps of 2 MiB, at most `budget`; -ERESTART: call again. The domain's vCPUs stand still; it has no
 * devices. */
must_check int p2m_clear(struct p2m *p, unsigned budget);
/* Nobody looks anything up any more. Also after a p2m_init() that failed, or was not called. */
void p2m_free(struct p2m *p);

/*
 * Maps `count` pages at g to m. Replaces what was there (dropping its references). For RAM, grants and foreign pages
 * the caller passes in one reference of each frame, which the entry now holds; on an error it keeps them and the tree
 * still says what it said. The largest entries that alignment allows are used. Frames' gfns (frame_set_gfn) are the
 * caller's business. 0, -ENOMEM, -EINVAL (beyond 2^36 pages, what four levels reach, or what devices reach).
 */
must_check int p2m_map(struct p2m *p, gfn_t g, mfn_t m, uint64_t count, enum p2m_type type);
/* Holes in the range are no error. 0, -ENOMEM (an entry could not be split; nothing changed), -EINVAL. */
must_check int p2m_unmap(struct p2m *p, gfn_t g, uint64_t count);

struct p2m_entry {
    mfn_t mfn; /* of the gfn asked for; INVALID_MFN when there is nothing */
    enum p2m_type type;
    unsigned order; /* of the entry or hole it is part of: 0, 9, 18 (or 27: a hole) */
};
struct p2m_entry p2m_lookup(const struct p2m *p, gfn_t g);

/* A frame the caller may use while it holds the reference it gets: RAM (or with `grants` also granted and foreign pages
 * and those of P2M_XENHEAP), still mapped at g. INVALID_MFN: nothing of the kind, or not writable. Give it back with
 * frame_put(). */
mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants);
