/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The page tables of the jump (hv/bootinfo.h): the first GiBs one to one, the image at HV_IMAGE_BASE. Pure. */
#ifndef EFI_PAGING_H
#define EFI_PAGING_H

#include <stdint.h>

#define PAGING_MAX_GIB 512
#define PAGING_PAGES(gib) (4 + (gib))

/* Builds them in `pool`, PAGING_PAGES(gib) zeroed pages, of which the first is the root. The image, at a place aligned
 * to 2 MiB, has at most 1 GiB. */
void paging_build(uint64_t *pool, uint64_t gib, uint64_t image, uint64_t image_size);

#endif
