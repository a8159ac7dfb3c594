/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The frame table: who owns each page of RAM and how many references there are to it, and the page allocator.
 *
 * RAM is taken into use in chunks of FRAME_CHUNK: the table's entries for a chunk exist only from then on
 * (frame_known), so that book-keeping costs grow with the RAM in use, not with what the machine has.
 *
 * Life of a frame: FREE -> frame_alloc (owner, one reference: the allocation) -> frame_get/frame_put by users ->
 * the last frame_put frees it. Owner and count are one 64-bit word, so that "still yours and not dying" is one step.
 *
 * Locks: the allocator's own (LOCK_FRAME). frame_get and frame_put take none unless the frame becomes free.
 */
#pragma once

#include <hv/types.h>

#define FRAME_CHUNK MIB(512)         /* its entries are one 2 MiB page of the table */
#define FRAME_MAX_ORDER 18           /* 1 GiB */
#define FRAME_PADDR_MAX (1ull << 46) /* RAM beyond is not used: 64 TiB, what the direct map has room for */
#define DOMID_NONE 0x7ff4            /* DOMID_INVALID of the ABI */
#define DOMID_HV 0x7ff1              /* the hypervisor's own pages (DOMID_XEN is 0x7ff2, DOMID_IO 0x7ff1 in the ABI) */

struct frame {
    /* owner:16 | zero:16 | count:32; first page of a free block: kind:16 | order:8 | previous block:40; 0: not RAM */
    _Atomic uint64_t state;
    /* In use: what the owner makes of it, for a domain's RAM the gfn it is mapped at. Free: the next one. */
    _Atomic uint64_t link;
};

/* A range of free RAM, once: the loader's map, and later what was in use until then. 0 or -ENOSPC: (some of it) is left
 * out, for the ranges are too many or too high. The allocator takes from the top, the table's own pages too:
 * those have no entries. */
must_check int frame_add_ram(paddr_t start, paddr_t end);

/* 2^order pages for `owner`, aligned to their size; contents are arbitrary. INVALID_MFN when there are none. The count
 * of each page is 1. */
mfn_t frame_alloc(unsigned order, domid_t owner);
/* Takes the first free pages at or after *at for `owner` (1:1 memory of the control domain): one range, of at most
 * `size` bytes and within a chunk. Each page gets a count of 1 and its own number as gfn. *at says where it begins;
 * returns its size, 0: nothing is free. */
uint64_t frame_claim(paddr_t *at, uint64_t size, domid_t owner);

bool frame_known(mfn_t m);    /* is RAM with an entry; the others of this header ask for it unless they say otherwise */
domid_t frame_owner(mfn_t m); /* DOMID_NONE: nobody's, free, not RAM; any m is allowed */

/* A reference of a page that belongs to `owner`; false when it does not (any more), or m is not RAM. Any m is allowed.
 */
bool frame_get(mfn_t m, domid_t owner) must_check;
/* Gives a reference back; the last one frees the page. */
void frame_put(mfn_t m);

gfn_t frame_gfn(mfn_t m);
void frame_set_gfn(mfn_t m, gfn_t g);

/* Pages of the hypervisor itself: zeroed, in the direct map. NULL when there are none; NULL may be freed. */
void *pages_alloc(unsigned order);
void pages_free(void *pages, unsigned order);
void *page_alloc(void);
void page_free(void *page);

struct frame_stats {
    uint64_t total, free; /* pages of RAM given to the allocator */
    uint64_t hv;          /* in use by the hypervisor, its table included */
};
void frame_stats(struct frame_stats *out);
