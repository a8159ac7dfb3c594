/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "stats.h"

/* Shell sort: short, in place, fast enough for a few thousand samples. */
static void sort(uint64_t *v, size_t n)
{
    size_t gap = 1;

    while (gap < n / 3)
        gap = gap * 3 + 1;
    for (; gap; gap /= 3) {
        for (size_t i = gap; i < n; i++) {
            uint64_t x = v[i];
            size_t j = i;

            for (; j >= gap && v[j - gap] > x; j -= gap)
                v[j] = v[j - gap];
            v[j] = x;
        }
    }
}

struct stats stats_of(uint64_t *samples, size_t count)
{
    if (!count)
        return (struct stats){0};
    sort(samples, count);
    return (struct stats){samples[0], samples[(count - 1) / 2], samples[count - 1]};
}
