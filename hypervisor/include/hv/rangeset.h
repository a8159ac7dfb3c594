/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sets of numbers kept as sorted, disjoint, inclusive intervals: I/O memory frames, ports, interrupts, ioreq ranges.
 * No lock of their own. At most one page of intervals; adding beyond that is -ENOSPC and changes nothing.
 */
#pragma once

#include <hv/types.h>

struct range {
    uint64_t first, last;
};

#define RANGESET_MAX (PAGE_SIZE / sizeof(struct range))

struct rangeset {
    struct range *ranges; /* a page, allocated by the first add */
    unsigned count;
};

must_check int rangeset_add(struct rangeset *s, uint64_t first, uint64_t last);
must_check int rangeset_remove(struct rangeset *s, uint64_t first, uint64_t last);
bool rangeset_contains(const struct rangeset *s, uint64_t first, uint64_t last); /* all of it */
void rangeset_free(struct rangeset *s);
