/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of numbers kept as sorted, disjoint, inclusive intervals: I/O memory frames, ports.
 * No lock of their own. At most one page of intervals; what would need more is -ENOSPC and changes nothing.
 */
#pragma once

#include <hv/types.h>

struct range {
    uint64_t first, last;
};

#define RANGESET_MAX (PAGE_SIZE / sizeof(struct range))

struct rangeset {
    struct range *ranges; /* a page; NULL: the set is empty */
    unsigned count;
};

must_check int rangeset_init(struct rangeset *s, uint64_t last);                   /* to all numbers from 0 on */
must_check int rangeset_remove(struct rangeset *s, uint64_t first, uint64_t last); /* first <= last */
bool rangeset_contains(const struct rangeset *s, uint64_t first, uint64_t last);   /* all of it */
void rangeset_free(struct rangeset *s);
