/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Group hypercall (Xen ABI only):
 *
 *   xen_version            XENVER_version: the way in and out and a switch
 *   sched_yield            SCHEDOP_yield
 *   evtchn_send_unbound    EVTCHNOP_send to a port for the control domain that nobody has bound
 *   hvm_get_param          HVMOP_get_param of the store page
 *   vcpu_set_timer         VCPUOP_set_singleshot_timer, an hour from boot
 *   set_timer_op           HYPERVISOR_set_timer_op, an hour from boot
 *   physmap_shared_info    XENMEM_add_to_physmap of the shared info page over itself
 *   decrease_reservation   XENMEM_decrease_reservation of one page (given back untimed)
 *   populate_physmap       XENMEM_populate_physmap of one page (taken away untimed)
 *   evtchn_upcall          EVTCHNOP_send to an own port (bind_ipi) until the upcall handler runs
 */
#include "cpu.h"
#include "measure.h"
#include "platform.h"
#include "x86.h"
#include "xen.h"

#include <xen/event_channel.h>
#include <xen/memory.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define HOUR_NS 3600000000000ull
#define CONTROL_DOMAIN 0

static uint8_t spare_page[PAGE_SIZE] REPLACEABLE_PAGE;
static uint32_t unbound_port, own_port;
static bool upcall_seen;

static int64_t op_version(void)
{
    return hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0);
}

static int64_t op_send(void)
{
    return xen_send(unbound_port);
}

static int64_t op_get_param(void)
{
    uint64_t value;

    return xen_param_get(HVM_PARAM_STORE_PFN, &value);
}

static int64_t op_vcpu_timer(void)
{
    struct vcpu_set_singleshot_timer arg = {.timeout_abs_ns = HOUR_NS};

    return hypercall(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, (uintptr_t)&arg);
}

static int64_t op_set_timer(void)
{
    return hypercall(__HYPERVISOR_set_timer_op, HOUR_NS, 0, 0);
}

static int64_t reservation(unsigned operation)
{
    xen_pfn_t frames[1] = {(uintptr_t)spare_page / PAGE_SIZE};
    struct xen_memory_reservation arg = {.nr_extents = 1, .domid = DOMID_SELF};
    int64_t done;

    set_xen_guest_handle(arg.extent_start, frames);
    done = hypercall(__HYPERVISOR_memory_op, operation, (uintptr_t)&arg, 0);
    return done == 1 ? 0 : done < 0 ? done : -1;
}

static int64_t op_decrease(void)
{
    return reservation(XENMEM_decrease_reservation);
}

static int64_t op_populate(void)
{
    return reservation(XENMEM_populate_physmap);
}

static void upcall(void)
{
    struct vcpu_info *v = &xen_shared()->vcpu_info[0];

    v->evtchn_upcall_pending = 0;
    __atomic_exchange_n(&v->evtchn_pending_sel, 0, __ATOMIC_ACQ_REL);
    upcall_seen = xen_port_take(own_port);
}

static int64_t op_upcall(void)
{
    int64_t rc;

    irq_on();
    rc = xen_send(own_port);
    for (unsigned i = 0; i < 1000000 && !__atomic_load_n(&upcall_seen, __ATOMIC_ACQUIRE); i++)
        ;
    irq_off();
    return rc < 0 ? rc : upcall_seen ? 0 : ERROR_TIMEOUT;
}

static int64_t upcall_reset(void)
{
    upcall_seen = false;
    return 0;
}

static void row_upcall(void)
{
    static const struct row row = {"evtchn_upcall", op_upcall, .prepare = upcall_reset};
    struct evtchn_bind_ipi arg = {.vcpu = 0};

    if (!xen_shared() || xen_upcall_vector(VECTOR_XEN)) {
        measure_skip("hypercall", row.name, "no-vector-callback");
        return;
    }
    if (hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_ipi, (uintptr_t)&arg, 0)) {
        measure_skip("hypercall", row.name, "no-ipi-port");
        return;
    }
    own_port = arg.port;
    irq_handler(VECTOR_XEN, upcall);
    xen_port_unmask(own_port);
    measure_row("hypercall", &row, NULL);
    xen_param_set(HVM_PARAM_CALLBACK_IRQ, 0);
}

void rows_hypercall(void)
{
    static const struct row rows[] = {
        {"xen_version", op_version},
        {"sched_yield", xen_yield},
        {"evtchn_send_unbound", op_send},
        {"hvm_get_param", op_get_param},
        {"vcpu_set_timer", op_vcpu_timer},
        {"set_timer_op", op_set_timer},
        {"physmap_shared_info", xen_shared_map},
        {"decrease_reservation", op_decrease, .undo = op_populate},
        {"populate_physmap", op_populate, .prepare = op_decrease},
    };
    const size_t count = sizeof(rows) / sizeof(rows[0]);

    if (!platform.xen) {
        measure_skip_rows("hypercall", rows, count, "no-xen");
        measure_skip("hypercall", "evtchn_upcall", "no-xen");
        return;
    }
    unbound_port = (uint32_t)xen_port_alloc(CONTROL_DOMAIN);
    measure_rows("hypercall", rows, count, NULL);
    row_upcall();
}
