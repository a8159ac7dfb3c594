/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls about the caller itself: scheduling and timers, its vCPUs, HVM parameters, the version, the console, and
 * several calls in one (sched.h, vcpu.h, hvm/hvm_op.h, hvm/params.h, version.h, xen.h of the ABI).
 */
#include "doors.h"

#include <hv/log.h>
#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/sched.h>

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define POLL_MAX 128

/* --- sched_op --------------------------------------------------------------------------------------------------- */

static long sched_poll(struct hc_call *c)
{
    struct sched_poll poll;
    struct vcpu *v = c->v;
    evtchn_port_t ports[POLL_MAX];
    if (guest_read(v, &poll, c->arg[1], sizeof(poll)))
        return -EFAULT;
    if (poll.nr_ports > POLL_MAX)
        return -EINVAL;
    if (guest_read(v, ports, (uintptr_t)poll.ports.p, poll.nr_ports * sizeof(ports[0])))
        return -EFAULT;
    v->poll_port = poll.nr_ports == 1 ? ports[0] : 0;
    v->poll_until = poll.timeout ? poll.timeout : ~0ull;
    vcpu_block(v, BLOCK_POLL);
    /* Whoever sends from here on sees that we wait; what was sent before, we see. */
    int rc = 0;
    for (unsigned i = 0; i < poll.nr_ports && !rc; i++)
        rc = evtchn_is_pending(c->d, ports[i]);
    if (rc) {
        v->poll_until = ~0ull;
        vcpu_wake(v, BLOCK_POLL);
    }
    return MIN(rc, 0);
}

static long sched_shutdown(struct hc_call *c)
{
    struct sched_shutdown arg;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    domain_shutdown(c->d, arg.reason & 0xff);
    return 0;
}

long hc_sched(struct hc_call *c)
{
    switch (c->arg[0]) {
    case SCHEDOP_yield: sched_give_way(c->v); return 0;
    case SCHEDOP_block: vcpu_block(c->v, BLOCK_HALT); return 0;
    case SCHEDOP_shutdown: return sched_shutdown(c);
    case SCHEDOP_poll: return sched_poll(c);
    default: return -ENOSYS;
    }
}

long hc_set_timer(struct hc_call *c)
{
    c->v->singleshot = c->arg[0] ? c->arg[0] : ~0ull;
    atomic_fetch_or(&c->v->work, WORK_TIMER); /* the loop sets its alarm, or raises it at once */
    return 0;
}

/* --- vcpu_op ---------------------------------------------------------------------------------------------------- */

/* Whether its state may be touched: it is the caller, or it does not run. */
static bool stands_still(struct hc_call *c, struct vcpu *v)
{
    return v == c->v || (atomic_load(&v->blocked) & BLOCK_DOWN && !sched_running(v));
}

static long register_info(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_register_vcpu_info arg;
    if (!stands_still(c, v))
        return -EINVAL;
    return guest_read(c->v, &arg, c->arg[2], sizeof(arg)) ? -EFAULT : vcpu_register_info(v, gfn(arg.mfn), arg.offset);
}

/* Times and states of a vCPU where its kernel can read them; both structures are one linear address. */
static long register_area(struct hc_call *c, struct vcpu *v, bool time)
{
    uint64_t linear;
    if (!stands_still(c, v))
        return -EINVAL;
    if (guest_read(c->v, &linear, c->arg[2], sizeof(linear)))
        return -EFAULT;
    int rc = vcpu_register_area(c->v, time ? &v->time_area : &v->runstate_area, linear,
                                time ? sizeof(struct vcpu_time_info) : sizeof(struct vcpu_runstate_info));
    if (!rc && time)
        vcpu_update_time(v);
    else if (!rc)
        vcpu_update_runstate(v, metal_now());
    return rc;
}

static long vcpu_timer(struct hc_call *c, struct vcpu *v, bool set)
{
    struct vcpu_set_singleshot_timer single = { .timeout_abs_ns = ~0ull };
    if (v != c->v)
        return -EINVAL;
    if (set && guest_read(c->v, &single, c->arg[2], sizeof(single)))
        return -EFAULT;
    if (single.flags & VCPU_SSHOTTMR_future && single.timeout_abs_ns < metal_now())
        return -ETIME;
    v->singleshot = single.timeout_abs_ns;
    atomic_fetch_or(&v->work, WORK_TIMER);
    return 0;
}

long hc_vcpu(struct hc_call *c)
{
    struct vcpu *v = c->arg[1] < c->d->max_vcpus ? c->d->vcpu[c->arg[1]] : NULL;
    if (!v)
        return -ENOENT;
    switch (c->arg[0]) {
    case VCPUOP_is_up: return !(atomic_load(&v->blocked) & BLOCK_DOWN);
    case VCPUOP_register_vcpu_info: return register_info(c, v);
    case VCPUOP_register_runstate_memory_area: return register_area(c, v, false);
    case VCPUOP_register_vcpu_time_memory_area: return register_area(c, v, true);
    case VCPUOP_set_singleshot_timer: return vcpu_timer(c, v, true);
    case VCPUOP_stop_singleshot_timer: return vcpu_timer(c, v, false);
    case VCPUOP_stop_periodic_timer: return 0; /* there is none; Linux stops it all the same */
    default: return -ENOSYS;
    }
}

/* --- hvm_op ----------------------------------------------------------------------------------------------------- */

/* How events are announced to vCPUs that have no vector of their own: by one, or not at all. Type 0 is a line of the
 * IOAPIC, which is not raised: Linux names line 1 when its vCPUs have vectors, and 0 before it starts another kernel.
 */
static int set_callback(struct domain *d, uint64_t value)
{
    uint8_t type = value >> 56, vector = value;
    if (type != HVM_PARAM_CALLBACK_TYPE_GSI && (type != HVM_PARAM_CALLBACK_TYPE_VECTOR || vector < 0x10))
        return -EINVAL;
    d->callback_vector = type == HVM_PARAM_CALLBACK_TYPE_VECTOR ? vector : 0;
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (evtchn_upcall_pending(d->vcpu[i]))
            vcpu_kick(d->vcpu[i], WORK_EVENT);
    return 0;
}

/* The only parameter that can be set. A control domain asks for its store and console, and is told that there is none:
 * it provides them itself. */
static long hvm_param(struct hc_call *c, bool set)
{
    struct xen_hvm_param p;
    struct domain *d;
    int rc = door_read(c, &p, sizeof(p), &p.domid, &d);
    if (rc)
        return rc;
    domain_put(d);
    if (d == c->d && set && p.index == HVM_PARAM_CALLBACK_IRQ)
        return set_callback(d, p.value);
    if (d != c->d || set || (p.index != HVM_PARAM_STORE_PFN && p.index != HVM_PARAM_STORE_EVTCHN))
        return -EINVAL;
    p.value = 0;
    return guest_write(c->v, c->arg[1], &p, sizeof(p));
}

static long hvm_upcall_vector(struct hc_call *c)
{
    struct xen_hvm_evtchn_upcall_vector arg;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    if (arg.vector < 0x10)
        return -EINVAL;
    if (arg.vcpu >= c->d->max_vcpus)
        return -ENOENT;
    struct vcpu *v = c->d->vcpu[arg.vcpu];
    v->upcall_vector = arg.vector;
    if (evtchn_upcall_pending(v))
        vcpu_kick(v, WORK_EVENT);
    return 0;
}

long hc_hvm(struct hc_call *c)
{
    switch (c->arg[0]) {
    case HVMOP_set_param: return hvm_param(c, true);
    case HVMOP_get_param: return hvm_param(c, false);
    case HVMOP_set_evtchn_upcall_vector: return hvm_upcall_vector(c);
    default: return -ENOSYS;
    }
}

/* --- xen_version ------------------------------------------------------------------------------------------------ */

#define VERSION (4 << 16 | 17)

static long put_string(struct hc_call *c, const char *text, size_t size)
{
    char buffer[XEN_CAPABILITIES_INFO_LEN / 2] = { 0 };
    str_copy(buffer, text, MIN(size, sizeof(buffer)));
    return guest_write(c->v, c->arg[1], buffer, MIN(size, sizeof(buffer)));
}

static long put_features(struct hc_call *c)
{
    xen_feature_info_t info;
    if (guest_read(c->v, &info, c->arg[1], sizeof(info)))
        return -EFAULT;
    if (info.submap_idx >= XENFEAT_NR_SUBMAPS)
        return -EINVAL;
    /* Page tables are the guest's own; interrupts of devices come through IOAPIC and MSI, not through event channels.
     */
    info.submap = BIT(XENFEAT_writable_page_tables) | BIT(XENFEAT_auto_translated_physmap) |
                  BIT(XENFEAT_gnttab_map_avail_bits) | BIT(XENFEAT_hvm_callback_vector) |
                  BIT(XENFEAT_hvm_safe_pvclock) | BIT(XENFEAT_not_direct_mapped);
    if (c->d->control)
        info.submap |= BIT(XENFEAT_dom0);
    return guest_write(c->v, c->arg[1], &info, sizeof(info));
}

static long put_compile_info(struct hc_call *c)
{
    struct xen_compile_info info = { .compile_by = "bulkhead" };
    str_copy(info.compiler, "cc " __VERSION__, sizeof(info.compiler));
    return guest_write(c->v, c->arg[1], &info, sizeof(info));
}

long hc_version(struct hc_call *c)
{
    switch (c->arg[0]) {
    case XENVER_version: return VERSION;
    case XENVER_extraversion: return put_string(c, ".0-bulkhead", XEN_EXTRAVERSION_LEN);
    case XENVER_compile_info: return put_compile_info(c);
    case XENVER_capabilities:
        return put_string(c, "xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ",
                          XEN_CAPABILITIES_INFO_LEN);
    case XENVER_changeset: return put_string(c, "bulkhead", XEN_CHANGESET_INFO_LEN);
    case XENVER_platform_parameters: return put_string(c, "", 8); /* virt_start 0: nothing of ours is there */
    case XENVER_get_features: return put_features(c);
    case XENVER_pagesize: return c->arg[1] ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle: return put_string(c, "", sizeof(xen_domain_handle_t)); /* no UUID */
    case XENVER_commandline:
        return put_string(c, c->d->control ? hv_machine.command_line : "", sizeof(xen_commandline_t));
    default: return -ENOSYS;
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

long hc_console(struct hc_call *c)
{
    char text[256];
    uint32_t count = c->arg[1];
    if (c->arg[0] == CONSOLEIO_read) {
        size_t got = console_read(text, MIN(count, sizeof(text)));
        return guest_write(c->v, c->arg[2], text, got) ? -EFAULT : (long)got;
    }
    if (c->arg[0] != CONSOLEIO_write)
        return -ENOSYS;
    while (count) {
        uint32_t size = MIN(count, sizeof(text));
        if (guest_read(c->v, text, c->arg[2], size))
            return -EFAULT;
        console_guest_write(c->d, text, size);
        count -= size;
        c->arg[1] = count;
        c->arg[2] += size;
        if (count && hypercall_preempt(c))
            return HC_AGAIN;
    }
    return 0;
}

long hc_multicall(struct hc_call *c)
{
    while (c->arg[1]) {
        struct multicall_entry entry;
        struct hc_call call = { .v = c->v, .d = c->d };
        if (guest_read(c->v, &entry, c->arg[0], sizeof(entry)))
            return -EFAULT;
        memcpy(call.arg, entry.args, sizeof(call.arg));
        long rc = entry.op == __HYPERVISOR_multicall ? -EINVAL : hypercall_one(&call, entry.op);
        if (rc == HC_AGAIN)
            memcpy(entry.args, call.arg, sizeof(call.arg)); /* goes on with this entry */
        else
            entry.result = rc;
        if (guest_write(c->v, c->arg[0], &entry, sizeof(entry)))
            return -EFAULT;
        if (rc == HC_AGAIN)
            return HC_AGAIN;
        c->arg[0] += sizeof(entry);
        c->arg[1]--;
        if (c->arg[1] && (atomic_load(&c->v->blocked) || hypercall_preempt(c)))
            return HC_AGAIN;
    }
    return 0;
}
