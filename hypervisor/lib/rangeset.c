/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interval sets in one page. See rangeset.h. Intervals that touch are merged, so that a number is in one interval at
 * most and two intervals have a gap between them.
 */
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/rangeset.h>

/* The first interval that ends at or after `n`; count when there is none. */
static unsigned first_from(const struct rangeset *s, uint64_t n)
{
    unsigned low = 0, high = s->count;
    while (low < high) {
        unsigned middle = (low + high) / 2;
        if (s->ranges[middle].last < n)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Puts `with` (0 to 2 intervals) in the place of [from, to). */
static int replace(struct rangeset *s, unsigned from, unsigned to, const struct range *with, unsigned n)
{
    if (s->count - (to - from) + n > RANGESET_MAX)
        return -ENOSPC;
    memmove(s->ranges + from + n, s->ranges + to, (s->count - to) * sizeof(struct range));
    memcpy(s->ranges + from, with, n * sizeof(struct range));
    s->count = s->count - (to - from) + n;
    return 0;
}

int rangeset_add(struct rangeset *s, uint64_t first, uint64_t last)
{
    if (first > last)
        return -EINVAL;
    if (!s->ranges && !(s->ranges = page_alloc()))
        return -ENOMEM;
    /* Neighbours count as overlapping; at the ends of the number space there are none. */
    unsigned from = first_from(s, first ? first - 1 : 0), to = from;
    struct range whole = { first, last };
    for (; to < s->count && s->ranges[to].first <= (last == ~0ull ? last : last + 1); to++) {
        whole.first = MIN(whole.first, s->ranges[to].first);
        whole.last = MAX(whole.last, s->ranges[to].last);
    }
    return replace(s, from, to, &whole, 1);
}

int rangeset_remove(struct rangeset *s, uint64_t first, uint64_t last)
{
    if (first > last)
        return -EINVAL;
    struct range keep[2];
    unsigned from = first_from(s, first), to = from, n = 0;
    for (; to < s->count && s->ranges[to].first <= last; to++) {
        struct range r = s->ranges[to];
        if (r.first < first)
            keep[n++] = (struct range){ r.first, first - 1 };
        if (r.last > last)
            keep[n++] = (struct range){ last + 1, r.last };
    }
    return from == to ? 0 : replace(s, from, to, keep, n);
}

bool rangeset_contains(const struct rangeset *s, uint64_t first, uint64_t last)
{
    unsigned i = first_from(s, first);
    return first <= last && i < s->count && s->ranges[i].first <= first && s->ranges[i].last >= last;
}

void rangeset_free(struct rangeset *s)
{
    page_free(s->ranges);
    *s = (struct rangeset){ 0 };
}
