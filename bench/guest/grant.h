/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Grants of version 1: giving a page away, mapping one, copying from and to one. */
#ifndef BENCH_GUEST_GRANT_H
#define BENCH_GUEST_GRANT_H

#include <stdint.h>

/* Maps the grant table, once; negative: refused. */
int64_t grant_init(void);
/* Gives a page to a domain under this reference (8 and up; lower ones belong to the toolstack). */
void grant_give(uint32_t ref, uint16_t domain, void *page);
/* Maps into the hole where grant_window() was; negative: refused. */
int64_t grant_map(uint32_t ref, uint16_t domain);
int64_t grant_unmap(void);
int64_t grant_copy_from(uint32_t ref, uint16_t domain, void *to, uint16_t length);
int64_t grant_copy_to(uint32_t ref, uint16_t domain, void *from, uint16_t length);
void *grant_window(void);

#endif
