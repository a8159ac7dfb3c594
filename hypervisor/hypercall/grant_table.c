/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GRANT_TABLE_OP: arrays of operations, one row a command. Each element is read once, carried out on the copy and
 * written back with its status. Between elements the call may be preempted; the guest's registers then point at the
 * rest.
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <hv/hypercall.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "doors.h"

union grant_arg {
    struct gnttab_map_grant_ref map;
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_query_size query;
    struct gnttab_copy copy;
    struct gnttab_set_version set_version;
};

static long query_size(struct hc_call *c, struct gnttab_query_size *op)
{
    struct domain *d;
    int rc = door_domain(c, op->dom, &d);
    if (rc) {
        op->status = rc == -EPERM ? GNTST_permission_denied : GNTST_bad_domain;
        return 0;
    }
    op->nr_frames = grant_frames(d);
    op->max_nr_frames = GRANT_FRAMES_MAX;
    op->status = GNTST_okay;
    domain_put(d);
    return 0;
}

/* Version 1 is what there is; whoever asks for 2 takes 1 when it fails (Linux: gnttab_request_version). */
static long set_version(struct gnttab_set_version *op)
{
    uint32_t wanted = op->version;
    op->version = 1;
    return wanted == 1 ? 0 : wanted == 2 ? -ENOSYS : -EINVAL;
}

static long run(struct hc_call *c, uint32_t cmd, union grant_arg *a)
{
    switch (cmd) {
    case GNTTABOP_map_grant_ref: grant_map(c->d, &a->map); return 0;
    case GNTTABOP_unmap_grant_ref: grant_unmap(c->d, &a->unmap); return 0;
    case GNTTABOP_copy: grant_copy(c->d, &a->copy); return 0;
    case GNTTABOP_query_size: return query_size(c, &a->query);
    default: return set_version(&a->set_version);
    }
}

/* `size`: of an element, 0: no such command; `single`: no array, the count must be 1. The rest of the ABI is of PV
 * guests, of version 2, or for processors whose caches are not coherent; where the table is, the guest says by
 * XENMEM_add_to_physmap. */
static const struct row {
    uint8_t size;
    bool single;
} rows[] = {
    [GNTTABOP_map_grant_ref] = { sizeof(struct gnttab_map_grant_ref) },
    [GNTTABOP_unmap_grant_ref] = { sizeof(struct gnttab_unmap_grant_ref) },
    [GNTTABOP_copy] = { sizeof(struct gnttab_copy) },
    [GNTTABOP_query_size] = { sizeof(struct gnttab_query_size), true },
    [GNTTABOP_set_version] = { sizeof(struct gnttab_set_version), true },
};

/* One element at `linear`. A mapping whose handle cannot be told to the guest is undone: nobody else would. */
static long run_one(struct hc_call *c, uint32_t cmd, uint64_t linear)
{
    union grant_arg a;
    if (guest_read(c->v, &a, linear, rows[cmd].size))
        return -EFAULT;
    long rc = run(c, cmd, &a);
    if (rc || !guest_write(c->v, linear, &a, rows[cmd].size))
        return rc;
    if (cmd == GNTTABOP_map_grant_ref && a.map.status == GNTST_okay) {
        struct gnttab_unmap_grant_ref undo = { .host_addr = a.map.host_addr, .handle = a.map.handle };
        grant_unmap(c->d, &undo);
    }
    return -EFAULT;
}

long hc_grant_table(struct hc_call *c)
{
    uint32_t cmd = c->arg[0], count = c->arg[2];

    if (cmd >= ARRAY_SIZE(rows) || !rows[cmd].size)
        return -ENOSYS;
    if (count > INT32_MAX || (rows[cmd].single && count != 1))
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        if (i && hypercall_preempt(c)) {
            c->arg[1] += (uint64_t)i * rows[cmd].size;
            c->arg[2] = count - i;
            return HC_AGAIN;
        }
        long rc = run_one(c, cmd, c->arg[1] + (uint64_t)i * rows[cmd].size);
        if (rc)
            return rc;
    }
    return 0;
}
