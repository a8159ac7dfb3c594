/* SPDX-License-Identifier: GPL-2.0-or-later */
#include "xen.h"

#include "platform.h"
#include "x86.h"

#include <xen/arch-x86/cpuid.h>
#include <xen/event_channel.h>
#include <xen/hvm/hvm_op.h>
#include <xen/memory.h>
#include <xen/sched.h>

#define HYPERCALL_SIZE 32
#define CALLBACK_VECTOR_TYPE 2ull

extern uint8_t hypercall_page[];

static uint8_t shared_page[PAGE_SIZE] REPLACEABLE_PAGE;
static bool shared_mapped;

int64_t hypercall(unsigned number, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t entry = (uintptr_t)hypercall_page + number * HYPERCALL_SIZE;
    int64_t result;

    __asm__ volatile("call *%%rax"
                     : "=a"(result), "+D"(a), "+S"(b), "+d"(c)
                     : "0"(entry)
                     : "rcx", "r8", "r9", "r10", "r11", "memory");
    return result;
}

bool xen_init(void)
{
    struct cpuid_regs r;

    if (!platform.xen || cpuid(platform.hypervisor_leaf).eax < platform.hypervisor_leaf + 2)
        return false;
    r = cpuid(platform.hypervisor_leaf + 2);
    if (!r.eax)
        return false;
    msr_write(r.ebx, (uintptr_t)hypercall_page);
    return true;
}

int64_t xen_map_space(unsigned space, uint64_t index, void *page)
{
    struct xen_add_to_physmap arg = {
        .domid = DOMID_SELF, .space = space, .idx = index, .gpfn = (uintptr_t)page / PAGE_SIZE};

    return hypercall(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, (uintptr_t)&arg, 0);
}

int64_t xen_shared_map(void)
{
    int64_t rc = xen_map_space(XENMAPSPACE_shared_info, 0, shared_page);

    shared_mapped = !rc || shared_mapped;
    return rc;
}

struct shared_info *xen_shared(void)
{
    if (!shared_mapped && xen_shared_map())
        return NULL;
    return (struct shared_info *)shared_page;
}

int64_t xen_param_get(unsigned index, uint64_t *value)
{
    struct xen_hvm_param arg = {.domid = DOMID_SELF, .index = index};
    int64_t rc = hypercall(__HYPERVISOR_hvm_op, HVMOP_get_param, (uintptr_t)&arg, 0);

    *value = arg.value;
    return rc;
}

int64_t xen_param_set(unsigned index, uint64_t value)
{
    struct xen_hvm_param arg = {.domid = DOMID_SELF, .index = index, .value = value};

    return hypercall(__HYPERVISOR_hvm_op, HVMOP_set_param, (uintptr_t)&arg, 0);
}

int64_t xen_upcall_vector(unsigned vector)
{
    return xen_param_set(HVM_PARAM_CALLBACK_IRQ, CALLBACK_VECTOR_TYPE << 56 | vector);
}

int xen_domid(void)
{
    struct cpuid_regs r;

    if (cpuid(platform.hypervisor_leaf).eax < platform.hypervisor_leaf + 4)
        return -1;
    r = cpuid(platform.hypervisor_leaf + 4);
    return r.eax & XEN_HVM_CPUID_DOMID_PRESENT ? (int)r.ecx : -1;
}

int64_t xen_yield(void)
{
    return hypercall(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0);
}

int64_t xen_send(uint32_t port)
{
    struct evtchn_send arg = {.port = port};

    return hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_send, (uintptr_t)&arg, 0);
}

int64_t xen_port_alloc(uint16_t remote)
{
    struct evtchn_alloc_unbound arg = {.dom = DOMID_SELF, .remote_dom = remote};
    int64_t rc =
        hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound, (uintptr_t)&arg, 0);

    return rc ? rc : (int64_t)arg.port;
}

int64_t xen_port_bind(uint16_t remote, uint32_t remote_port)
{
    struct evtchn_bind_interdomain arg = {.remote_dom = remote, .remote_port = remote_port};
    int64_t rc =
        hypercall(__HYPERVISOR_event_channel_op, EVTCHNOP_bind_interdomain, (uintptr_t)&arg, 0);

    return rc ? rc : (int64_t)arg.local_port;
}

bool xen_port_take(uint32_t port)
{
    xen_ulong_t *word = &xen_shared()->evtchn_pending[port / 64];
    xen_ulong_t bit = (xen_ulong_t)1 << port % 64;

    return __atomic_fetch_and(word, ~bit, __ATOMIC_ACQ_REL) & bit;
}

void xen_port_unmask(uint32_t port)
{
    xen_ulong_t bit = (xen_ulong_t)1 << port % 64;

    __atomic_fetch_and(&xen_shared()->evtchn_mask[port / 64], ~bit, __ATOMIC_ACQ_REL);
}

int64_t xen_port_wait(uint32_t port)
{
    evtchn_port_t ports[1] = {port};
    struct sched_poll arg = {.nr_ports = 1};
    int64_t rc = 0;

    set_xen_guest_handle(arg.ports, ports);
    while (!xen_port_take(port) && !rc)
        rc = hypercall(__HYPERVISOR_sched_op, SCHEDOP_poll, (uintptr_t)&arg, 0);
    return rc;
}

void xen_shutdown(void)
{
    struct sched_shutdown arg = {.reason = SHUTDOWN_poweroff};

    hypercall(__HYPERVISOR_sched_op, SCHEDOP_shutdown, (uintptr_t)&arg, 0);
}
