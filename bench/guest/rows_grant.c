/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group grant (Xen ABI only): a page this domain grants to itself.
 *   grant_copy_64, grant_copy_4096   GNTTABOP_copy out of the granted page
 * Mapping needs a second domain (rows_pair.c): Xen allows one guest address per page of a domain,
 * so mapping a page of one's own takes it away from where it was.
 */
#include "grant.h"
#include "measure.h"
#include "platform.h"
#include "x86.h"
#include "xen.h"

#define REF 8

static uint8_t given[PAGE_SIZE] __attribute__((aligned(4096)));
static uint8_t target[PAGE_SIZE] __attribute__((aligned(4096)));
static uint16_t self;

static int64_t op_copy_64(void)
{
    return grant_copy_from(REF, self, target, 64);
}

static int64_t op_copy_page(void)
{
    return grant_copy_from(REF, self, target, PAGE_SIZE);
}

void rows_grant(void)
{
    static const struct row rows[] = {
        {"grant_copy_64", op_copy_64},
        {"grant_copy_4096", op_copy_page},
    };
    const size_t count = sizeof(rows) / sizeof(rows[0]);
    bool wanted = false;

    for (size_t i = 0; i < count; i++)
        wanted = wanted || measure_wanted("grant", rows[i].name);
    if (!wanted)
        return;
    if (!platform.xen || xen_domid() < 0) {
        measure_skip_rows("grant", rows, count, platform.xen ? "domid-unknown" : "no-xen");
        return;
    }
    if (grant_init() < 0) {
        measure_skip_rows("grant", rows, count, "no-grant-table");
        return;
    }
    self = (uint16_t)xen_domid();
    grant_give(REF, self, given);
    measure_rows("grant", rows, count, NULL);
}
