/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: lib/rangeset.c mem/frame.c */
/* Interval sets against a plain array of booleans, their ends and their limit. */
#include "fake_metal.h"

#include <hv/rangeset.h>
#include <stdlib.h>
#include <string.h>

#define SPACE 300

static void check_shape(const struct rangeset *s)
{
    for (unsigned i = 0; i < s->count; i++) {
        CHECK(s->ranges[i].first <= s->ranges[i].last);
        CHECK(!i || s->ranges[i - 1].last + 1 < s->ranges[i].first);
    }
}

static void test_random(void)
{
    for (unsigned round = 0; round < 2000; round++) {
        bool model[SPACE];
        struct rangeset s;
        unsigned end = 1 + rand() % SPACE;
        CHECK(rangeset_init(&s, end - 1) == 0);
        for (unsigned i = 0; i < SPACE; i++)
            model[i] = i < end;
        for (unsigned step = 0; step < 60; step++) {
            unsigned first = rand() % SPACE, last = first + rand() % MIN(step % 9 ? 6u : 60u, SPACE - first);
            CHECK(rangeset_remove(&s, first, last) == 0);
            memset(model + first, false, last - first + 1);
            check_shape(&s);
            unsigned a = rand() % SPACE, b = a + rand() % (step % 2 ? 4 : SPACE - a);
            bool all = b < SPACE;
            for (unsigned i = a; i <= b && all; i++)
                all = model[i];
            CHECK(rangeset_contains(&s, a, b) == all);
        }
        rangeset_free(&s);
        CHECK(!s.ranges && !s.count);
    }
}

static void test_ends(void)
{
    struct rangeset s = { 0 };
    CHECK(!rangeset_contains(&s, 0, 0));
    CHECK(rangeset_init(&s, ~0ull) == 0 && rangeset_contains(&s, 0, ~0ull) && !rangeset_contains(&s, 9, 5));
    CHECK(rangeset_remove(&s, ~0ull, ~0ull) == 0 && rangeset_remove(&s, 0, 0) == 0 && s.count == 1);
    CHECK(rangeset_remove(&s, 5, 9) == 0 && s.count == 2 && !rangeset_contains(&s, 5, 5) &&
          !rangeset_contains(&s, 4, 9));
    CHECK(rangeset_remove(&s, 0, ~0ull) == 0 && s.count == 0);
    rangeset_free(&s);
}

static void test_full(void)
{
    struct rangeset s;
    CHECK(rangeset_init(&s, ~0ull) == 0);
    for (unsigned i = 1; i < RANGESET_MAX; i++)
        CHECK(rangeset_remove(&s, 10 * i, 10 * i + 5) == 0);
    CHECK(s.count == RANGESET_MAX && rangeset_remove(&s, 8, 8) == -ENOSPC && s.count == RANGESET_MAX);
    CHECK(rangeset_contains(&s, 0, 9));
    CHECK(rangeset_remove(&s, 16, 19) == 0 && s.count == RANGESET_MAX - 1 && rangeset_remove(&s, 8, 8) == 0);
    rangeset_free(&s);
}

int main(void)
{
    fake_metal_init(64);
    test_random();
    test_ends();
    test_full();
    return 0;
}
