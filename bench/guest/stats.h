/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pure: what a row says about its samples. */
#ifndef BENCH_GUEST_STATS_H
#define BENCH_GUEST_STATS_H

#include <stddef.h>
#include <stdint.h>

struct stats {
    uint64_t min, median, max;
};

/* Sorts the samples in place. The median of an even number is the lower one of the two in the
 * middle: a value that was really measured. All zero for no samples. */
struct stats stats_of(uint64_t *samples, size_t count);

#endif
