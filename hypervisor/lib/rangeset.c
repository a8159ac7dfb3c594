/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Interval sets in one page. See rangeset.h. Two intervals have a gap between them. */
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

int rangeset_init(struct rangeset *s, uint64_t last)
{
    s->ranges = page_alloc();
    if (!s->ranges)
        return -ENOMEM;
    s->ranges[0] = (struct range){ 0, last };
    s->count = 1;
    return 0;
}

int rangeset_remove(struct rangeset *s, uint64_t first, uint64_t last)
{
    struct range keep[2]; /* of those that overlap: what is before and behind */
    unsigned from = first_from(s, first), to = from, n = 0;
    for (; to < s->count && s->ranges[to].first <= last; to++) {
        struct range r = s->ranges[to];
        if (r.first < first)
            keep[n++] = (struct range){ r.first, first - 1 };
        if (r.last > last)
            keep[n++] = (struct range){ last + 1, r.last };
    }
    unsigned count = s->count - (to - from) + n;
    if (count > RANGESET_MAX)
        return -ENOSPC;
    memmove(s->ranges + from + n, s->ranges + to, (s->count - to) * sizeof(struct range));
    memcpy(s->ranges + from, keep, n * sizeof(struct range));
    s->count = count;
    return 0;
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
