/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * GRANT_TABLE_OP: arrays of operations, one row a command. Each element is read once, carried out on the copy and
 * written back with its status. Between elements the call may be preempted; the guest's registers then point at the
 * rest.
 *
 * Most structures are the same for 32-bit guests, since their 64-bit fields happen to be aligned; those that hold a
 * pointer or a page number are not, and are read and written in their own layout (struct *32).
 */
#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/grant.h>
#include <hv/hypercall.h>
#include <xen/xen.h>
#include <xen/grant_table.h>

#include "doors.h"

struct setup_table32 {
    domid_t dom;
    uint32_t nr_frames;
    int16_t status;
    uint32_t frame_list;
};

struct copy32 {
    struct copy_ptr32 {
        uint32_t ref_or_gmfn;
        domid_t domid;
        uint16_t offset;
    } source, dest;
    uint16_t len, flags;
    int16_t status;
};

_Static_assert(sizeof(struct setup_table32) == 16 && sizeof(struct copy32) == 24, "32-bit layouts");
_Static_assert(sizeof(struct gnttab_setup_table) == 24 && sizeof(struct gnttab_copy) == 40, "64-bit layouts");
_Static_assert(sizeof(struct gnttab_map_grant_ref) == 32 && sizeof(struct gnttab_unmap_grant_ref) == 24 &&
                   sizeof(struct gnttab_unmap_and_replace) == 24 && sizeof(struct gnttab_query_size) == 16,
               "the same for 32-bit guests");

union grant_arg {
    struct gnttab_map_grant_ref map;
    struct gnttab_unmap_grant_ref unmap;
    struct gnttab_unmap_and_replace replace;
    struct gnttab_setup_table setup;
    struct setup_table32 setup32;
    struct gnttab_query_size query;
    struct gnttab_copy copy;
    struct copy32 copy32;
    struct gnttab_set_version set_version;
    struct gnttab_get_version get_version;
    struct gnttab_swap_grant_ref swap;
};

static int16_t target_status(int rc) { return rc == -EPERM ? GNTST_permission_denied : GNTST_bad_domain; }

static long op_map(struct hc_call *c, union grant_arg *a)
{
    grant_map(c->d, &a->map);
    return 0;
}

static long op_unmap(struct hc_call *c, union grant_arg *a)
{
    grant_unmap(c->d, &a->unmap);
    return 0;
}

/* Replacing is for page tables of PV guests; without a new address it is an unmap. */
static long op_replace(struct hc_call *c, union grant_arg *a)
{
    struct gnttab_unmap_grant_ref op = { .host_addr = a->replace.host_addr, .handle = a->replace.handle };
    if (a->replace.new_addr)
        op.status = GNTST_general_error;
    else
        grant_unmap(c->d, &op);
    a->replace.status = op.status;
    return 0;
}

static long op_copy(struct hc_call *c, union grant_arg *a)
{
    grant_copy(c->d, &a->copy);
    return 0;
}

static void copy_ptr_widen(struct gnttab_copy_ptr *to, const struct copy_ptr32 *from)
{
    *to = (struct gnttab_copy_ptr){ .u.gmfn = from->ref_or_gmfn, .domid = from->domid, .offset = from->offset };
}

static long op_copy32(struct hc_call *c, union grant_arg *a)
{
    struct gnttab_copy op = { .len = a->copy32.len, .flags = a->copy32.flags };
    copy_ptr_widen(&op.source, &a->copy32.source);
    copy_ptr_widen(&op.dest, &a->copy32.dest);
    grant_copy(c->d, &op);
    a->copy32.status = op.status;
    return 0;
}

/*
 * Makes the table long enough and lists where the guest has mapped its frames (XENMEM_add_to_physmap); all ones:
 * nowhere yet. `list` is an array of `width` byte numbers. At most GRANT_FRAMES_MAX of them, so no preemption.
 */
static long setup_table(struct hc_call *c, const struct gnttab_setup_table *op, uint64_t list, unsigned width,
                        int16_t *out)
{
    struct domain *d;
    int rc = door_target_get(c, op->dom, &d);
    if (rc) {
        *out = target_status(rc);
        return 0;
    }
    *out = op->nr_frames > grant_frames_max(d) || grant_grow(d, op->nr_frames) ? GNTST_general_error : GNTST_okay;
    for (unsigned i = 0; !rc && !*out && i < op->nr_frames; i++) {
        uint64_t where = frame_gfn(grant_frame(d, i)).n;
        rc = guest_write(c->v, list + (uint64_t)i * width, &where, width);
    }
    domain_put(d);
    return rc;
}

static long op_setup(struct hc_call *c, union grant_arg *a)
{
    return setup_table(c, &a->setup, (uintptr_t)a->setup.frame_list.p, sizeof(uint64_t), &a->setup.status);
}

static long op_setup32(struct hc_call *c, union grant_arg *a)
{
    struct gnttab_setup_table op = { .dom = a->setup32.dom, .nr_frames = a->setup32.nr_frames };
    return setup_table(c, &op, a->setup32.frame_list, sizeof(uint32_t), &a->setup32.status);
}

static long op_query_size(struct hc_call *c, union grant_arg *a)
{
    struct domain *d;
    int rc = door_target_get(c, a->query.dom, &d);
    if (rc) {
        a->query.status = target_status(rc);
        return 0;
    }
    a->query.nr_frames = grant_frames(d);
    a->query.max_nr_frames = grant_frames_max(d);
    a->query.status = GNTST_okay;
    domain_put(d);
    return 0;
}

/* Version 1 is what there is; whoever asks for 2 takes 1 when it fails (Linux: gnttab_request_version). */
static long op_set_version(struct hc_call *c, union grant_arg *a)
{
    uint32_t wanted = a->set_version.version;
    a->set_version.version = 1;
    return wanted == 1 ? 0 : wanted == 2 ? -ENOSYS : -EINVAL;
}

static long op_get_version(struct hc_call *c, union grant_arg *a)
{
    struct domain *d;
    int rc = door_target_get(c, a->get_version.dom, &d);
    if (rc)
        return rc;
    a->get_version.version = 1;
    domain_put(d);
    return 0;
}

static long op_swap(struct hc_call *c, union grant_arg *a)
{
    a->swap.status = grant_swap(c->d, a->swap.ref_a, a->swap.ref_b);
    return 0;
}

static long op_refused(struct hc_call *c, union grant_arg *a) { return -EOPNOTSUPP; }

/* `single`: commands with no array, whose count must be 1. */
static const struct row {
    long (*run)(struct hc_call *c, union grant_arg *a);
    uint8_t size;
    bool single;
    long (*run32)(struct hc_call *c, union grant_arg *a); /* where 32-bit guests have another layout */
    uint8_t size32;
} rows[] = {
    [GNTTABOP_map_grant_ref] = { op_map, sizeof(struct gnttab_map_grant_ref) },
    [GNTTABOP_unmap_grant_ref] = { op_unmap, sizeof(struct gnttab_unmap_grant_ref) },
    [GNTTABOP_setup_table] = { op_setup, sizeof(struct gnttab_setup_table), true, op_setup32,
                               sizeof(struct setup_table32) },
    [GNTTABOP_transfer] = { op_refused }, /* of PV guests only */
    [GNTTABOP_copy] = { op_copy, sizeof(struct gnttab_copy), false, op_copy32, sizeof(struct copy32) },
    [GNTTABOP_query_size] = { op_query_size, sizeof(struct gnttab_query_size), true },
    [GNTTABOP_unmap_and_replace] = { op_replace, sizeof(struct gnttab_unmap_and_replace) },
    [GNTTABOP_set_version] = { op_set_version, sizeof(struct gnttab_set_version), true },
    [GNTTABOP_get_status_frames] = { op_refused }, /* of version 2 */
    [GNTTABOP_get_version] = { op_get_version, sizeof(struct gnttab_get_version), true },
    [GNTTABOP_swap_grant_ref] = { op_swap, sizeof(struct gnttab_swap_grant_ref) },
    [GNTTABOP_cache_flush] = { op_refused }, /* x86 caches are coherent */
};

/* One element at `linear`. A mapping whose handle cannot be told to the guest is undone: nobody else would. */
static long run_one(struct hc_call *c, const struct row *row, uint64_t linear)
{
    bool narrow = c->abi32 && row->run32;
    size_t size = narrow ? row->size32 : row->size;
    union grant_arg a;

    if (size && guest_read(c->v, &a, linear, size))
        return -EFAULT;
    long rc = narrow ? row->run32(c, &a) : row->run(c, &a);
    if (rc || !guest_write(c->v, linear, &a, size))
        return rc;
    if (row->run == op_map && a.map.status == GNTST_okay) {
        struct gnttab_unmap_grant_ref undo = { .host_addr = a.map.host_addr, .handle = a.map.handle };
        grant_unmap(c->d, &undo);
    }
    return -EFAULT;
}

long hc_grant_table(struct hc_call *c)
{
    uint32_t cmd = c->arg[0], count = c->arg[2];

    if (cmd >= ARRAY_SIZE(rows) || !rows[cmd].run)
        return -ENOSYS;
    const struct row *row = &rows[cmd];
    if (count > INT32_MAX || (row->single && count != 1))
        return -EINVAL;
    size_t size = c->abi32 && row->run32 ? row->size32 : row->size;
    for (uint32_t i = 0; i < count; i++) {
        if (i && hypercall_preempt(c)) {
            c->arg[1] += (uint64_t)i * size;
            c->arg[2] = count - i;
            return HC_AGAIN;
        }
        long rc = run_one(c, row, c->arg[1] + (uint64_t)i * size);
        if (rc)
            return rc;
    }
    return 0;
}
