/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group touch: a write to memory nobody has written before. Under KVM the host populates it then; a
 * Xen domain is populated when it is made (unless maxmem is above memory), so there both touches
 * cost the same.
 *
 *   touch_first_4k    page after page: median and max differ where the host backs 2 MiB at once
 *   touch_second_4k   the same pages again
 *   touch_first_2m    one write per 2 MiB of further untouched memory; where there is less than
 *                     rounds of it, as many as there are and no warm-up
 */
#include "boot.h"
#include "measure.h"
#include "x86.h"

#define LARGE_PAGE 0x200000u
#define WARM_UP_PAGES 8u

static uintptr_t next;

static int64_t op_touch_4k(void)
{
    *(volatile uint64_t *)next = 1;
    next += PAGE_SIZE;
    return 0;
}

static int64_t op_touch_2m(void)
{
    *(volatile uint64_t *)next = 1;
    next += LARGE_PAGE;
    return 0;
}

void rows_touch(void)
{
    static const struct row small[] = {
        {"touch_first_4k", op_touch_4k},
        {"touch_second_4k", op_touch_4k},
    };
    struct row large = {"touch_first_2m", op_touch_2m};
    struct region free = boot_untouched();
    uint64_t small_size = (options.rounds + WARM_UP_PAGES) * PAGE_SIZE;
    uint64_t large_start = (free.start + small_size + LARGE_PAGE - 1) & ~(uint64_t)(LARGE_PAGE - 1);

    if (free.end < large_start + LARGE_PAGE) {
        measure_skip_rows("touch", small, 2, "too-little-memory");
        measure_skip("touch", large.name, "too-little-memory");
        return;
    }
    for (unsigned i = 0; i < 2; i++) {
        next = free.start;
        measure_row("touch", &small[i], NULL);
    }
    next = large_start;
    large.rounds_max = (free.end - large_start) / LARGE_PAGE;
    if (large.rounds_max > WARM_UP_PAGES + 1)
        large.rounds_max -= WARM_UP_PAGES;
    measure_row("touch", &large, NULL);
}
