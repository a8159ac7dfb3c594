/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "grant.h"

#include "x86.h"
#include "xen.h"

#include <stdbool.h>
#include <xen/grant_table.h>
#include <xen/memory.h>

static struct grant_entry_v1 table[PAGE_SIZE / sizeof(struct grant_entry_v1)] REPLACEABLE_PAGE;
static uint8_t window[PAGE_SIZE] REPLACEABLE_PAGE;
static bool ready;
static grant_handle_t handle;

/* The page under the window goes back first, so that a mapping does not hide RAM of ours. */
static int64_t window_open(void)
{
    xen_pfn_t frames[1] = {(uintptr_t)window / PAGE_SIZE};
    struct xen_memory_reservation arg = {.nr_extents = 1, .domid = DOMID_SELF};

    set_xen_guest_handle(arg.extent_start, frames);
    return hypercall(__HYPERVISOR_memory_op, XENMEM_decrease_reservation, (uintptr_t)&arg, 0) == 1
               ? 0
               : -1;
}

int64_t grant_init(void)
{
    int64_t rc;

    if (ready)
        return 0;
    rc = xen_map_space(XENMAPSPACE_grant_table, 0, table);
    if (rc < 0)
        return rc;
    rc = window_open();
    ready = rc >= 0;
    return rc;
}

void *grant_window(void)
{
    return window;
}

void grant_give(uint32_t ref, uint16_t domain, void *page)
{
    struct grant_entry_v1 *e = &table[ref];

    e->domid = domain;
    e->frame = (uint32_t)((uintptr_t)page / PAGE_SIZE);
    __atomic_store_n(&e->flags, GTF_permit_access, __ATOMIC_RELEASE);
}

int64_t grant_map(uint32_t ref, uint16_t domain)
{
    struct gnttab_map_grant_ref arg = {
        .host_addr = (uintptr_t)window, .flags = GNTMAP_host_map, .ref = ref, .dom = domain};
    int64_t rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_map_grant_ref, (uintptr_t)&arg, 1);

    handle = arg.handle;
    return rc ? rc : arg.status;
}

int64_t grant_unmap(void)
{
    struct gnttab_unmap_grant_ref arg = {.host_addr = (uintptr_t)window, .handle = handle};
    int64_t rc =
        hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_unmap_grant_ref, (uintptr_t)&arg, 1);

    return rc ? rc : arg.status;
}

static int64_t copy(struct gnttab_copy *arg, uint16_t length)
{
    int64_t rc;

    arg->len = length;
    rc = hypercall(__HYPERVISOR_grant_table_op, GNTTABOP_copy, (uintptr_t)arg, 1);
    return rc ? rc : arg->status;
}

/* Local buffers must not cross a page: all of ours are page-aligned. */
int64_t grant_copy_from(uint32_t ref, uint16_t domain, void *to, uint16_t length)
{
    struct gnttab_copy arg = {.flags = GNTCOPY_source_gref};

    arg.source.u.ref = ref;
    arg.source.domid = domain;
    arg.dest.u.gmfn = (uintptr_t)to / PAGE_SIZE;
    arg.dest.domid = DOMID_SELF;
    return copy(&arg, length);
}

int64_t grant_copy_to(uint32_t ref, uint16_t domain, void *from, uint16_t length)
{
    struct gnttab_copy arg = {.flags = GNTCOPY_dest_gref};

    arg.source.u.gmfn = (uintptr_t)from / PAGE_SIZE;
    arg.source.domid = DOMID_SELF;
    arg.dest.u.ref = ref;
    arg.dest.domid = domain;
    return copy(&arg, length);
}
