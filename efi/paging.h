/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The page tables for the jump (hv/bootinfo.h): [0, identity_end) one to one, the image at HV_IMAGE_BASE. Pure.
 */
#ifndef EFI_PAGING_H
#define EFI_PAGING_H

#include <stdbool.h>
#include <stdint.h>

#define PAGING_MAX_GIB 512

struct paging {
    uint64_t identity_end; /* whole GiB, at least 4, at most PAGING_MAX_GIB */
    uint64_t image_start;  /* aligned to 2 MiB */
    uint64_t image_size;   /* at most 1 GiB */
    bool has_1g;
};

/* Pages of tables needed. */
uint64_t paging_pages(const struct paging *p);

/* Builds them in `pool`, which is zeroed and lies at the physical address `at`; the root is the first page. */
void paging_build(const struct paging *p, uint64_t *pool, uint64_t at);

#endif
