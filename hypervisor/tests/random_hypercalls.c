/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random and half-valid hypercalls from the control domain's user space, through /dev/xen/privcmd; run as root by
 * test_machine_hypercalls.py. One process a CPU, each with its own seed, for so many seconds or so many calls. It ends
 * with a report of what was called and how much of it succeeded, after it has put back what it took from the domain.
 *
 *     random-hypercalls SEED SECONDS [CALLS]
 *
 * Arguments: each operation's structure is filled with small, huge, random numbers and with pointers that are valid,
 * unmapped, not canonical, wrapping, of the hypervisor or of the kernel's code (readable, not writable); then one
 * function an operation (tame_*) takes out what by its meaning ends or cripples the domain that asks for it, whether
 * this hypervisor serves the operation (yet) or not:
 *
 *     sched_op shutdown, shutdown_code, remote_shutdown of itself, a watchdog       end the domain
 *     poll and set_timer_op without or with a far time, stop_singleshot_timer       nobody else sets this CPU's timer
 *     vcpu_op down of its own CPUs                                                  no CPU
 *     registering vcpu_info, runstate and time areas in memory that exists          the kernel reads the old place
 *     HVM_PARAM_CALLBACK_IRQ and the upcall vector of its own CPUs                  events go nowhere
 *     event channels: reset, expand_array with a real page, closing or changing     the kernel's own channels
 *     a port that is not ours
 *     memory: RAM of others than this program taken out, moved or replaced          the kernel's memory
 *     grants mapped over, or copied into, such RAM                                  the same
 *     physdev: removing devices that exist, ECAM below 1 TiB                        its disk
 *     platform: sleep in a state that exists, variables in flash                    it sleeps; the flash is full
 *     debug keys for crash, reboot, and those that print for long                   end the machine
 *     a CPU cap below one CPU, max_mem below what it has                            too slow, too small
 *
 * Everything else is called on domain 0 itself, pausing and destroying it included: those have to be refused.
 */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <xen/xen.h>
#include <xen/domctl.h>
#include <xen/event_channel.h>
#include <xen/grant_table.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/params.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/sysctl.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#include <xen/sys/privcmd.h>

#include "random_arguments.h"

/* --- memory_op ---------------------------------------------------------------------------------------------------- */

static void tame_reservation(struct xen_memory_reservation *r)
{
    r->domid = self_or_other();
    r->extent_order = one_in(4) ? below(22) : 0;
    /* What is larger than a page has to be all ours. */
    SET_HANDLE(r->extent_start, place_list(r->extent_order ? far_gfn : our_gfn, &(uint64_t){ 0 }));
    r->nr_extents = one_in(8) ? word() : below(LIST);
}

static uint64_t table_index(void) { return one_in(8) ? word() : below(70); }

static void tame_physmap(struct xen_add_to_physmap *x)
{
    x->domid = self_or_other();
    x->space = one_in(16) ? word() : below(6);
    x->gpfn = our_gfn();
    x->idx = table_index();
    if (x->space == XENMAPSPACE_gmfn)
        x->idx = our_gfn();
    if (x->space == XENMAPSPACE_gmfn_range) {
        x->idx = one_in(8) ? no_gfn() : far_gfn();
        x->gpfn = one_in(8) ? no_gfn() : far_gfn();
    }
}

static void tame_batch(struct xen_add_to_physmap_batch *x)
{
    uint64_t count;
    x->domid = self_or_other();
    x->space = one_in(16) ? word() : below(6);
    SET_HANDLE(x->gpfns, place_list(our_gfn, &count));
    SET_HANDLE(
        x->idxs,
        place_list(x->space == XENMAPSPACE_gmfn || x->space == XENMAPSPACE_gmfn_range ? our_gfn : table_index, &count));
    SET_HANDLE(x->errs, out_pointer());
    x->size = below(LIST);
    x->u.foreign_domid = other();
}

static void memory_op(struct args *c)
{
    union {
        struct xen_memory_reservation reservation;
        struct xen_add_to_physmap physmap;
        struct xen_add_to_physmap_batch batch;
        struct xen_remove_from_physmap removal;
        struct xen_mem_acquire_resource resource;
        struct xen_foreign_memory_map map;
        uint64_t words[16];
    } u;
    uint64_t cmd = one_in(16) ? below(64) : below(30), count = 0;
    fill(&u, sizeof(u));
    switch (cmd) {
    case XENMEM_increase_reservation:
    case XENMEM_decrease_reservation:
    case XENMEM_populate_physmap: tame_reservation(&u.reservation); break;
    case XENMEM_add_to_physmap: tame_physmap(&u.physmap); break;
    case XENMEM_add_to_physmap_batch: tame_batch(&u.batch); break;
    case XENMEM_remove_from_physmap:
        u.removal.domid = self_or_other();
        u.removal.gpfn = our_gfn();
        break;
    case XENMEM_acquire_resource:
        u.resource.domid = self_or_other();
        u.resource.type = one_in(8) ? word() : XENMEM_resource_grant_table;
        u.resource.id = one_in(8) ? word() : 0;
        u.resource.frame = below(70);
        u.resource.pad = one_in(16);
        SET_HANDLE(u.resource.frame_list, one_in(8) ? 0 : place_list(our_gfn, &count));
        u.resource.nr_frames = below(LIST);
        break;
    default: u.words[0] = one_in(2) ? self_or_other() : u.words[0];
    }
    c->a[0] = cmd | (one_in(8) ? word() << 6 : 0);
    c->a[1] = place(&u, sizeof(u));
}

/* --- grants ------------------------------------------------------------------------------------------------------- */

static uint64_t some_ref(void) { return one_in(8) ? word() : below(2100); }

static void grant_op(struct args *c)
{
    union {
        struct gnttab_map_grant_ref map;
        struct gnttab_unmap_grant_ref unmap;
        struct gnttab_copy copy;
        struct gnttab_setup_table setup;
        uint64_t words[5];
    } u[4];
    static const uint8_t sizes[] = {
        [GNTTABOP_map_grant_ref] = sizeof(u->map), [GNTTABOP_unmap_grant_ref] = sizeof(u->unmap),
        [GNTTABOP_copy] = sizeof(u->copy),         [GNTTABOP_setup_table] = sizeof(u->setup),
        [GNTTABOP_cache_flush] = sizeof(u->words),
    };
    unsigned cmd = one_in(16) ? below(40) : below(GNTTABOP_cache_flush + 1), count = 1 + below(4);
    size_t size = cmd < sizeof(sizes) && sizes[cmd] ? sizes[cmd] : sizeof(u->words);
    char array[sizeof(u)];
    fill(u, sizeof(u));
    for (unsigned i = 0; i < count; i++) {
        switch (cmd) {
        case GNTTABOP_map_grant_ref:
            u[i].map.host_addr = our_gfn() << 12 | (one_in(8) ? below(PAGE) : 0);
            u[i].map.flags = one_in(8) ? word() : GNTMAP_host_map | below(8);
            u[i].map.ref = some_ref();
            u[i].map.dom = self_or_other();
            break;
        case GNTTABOP_unmap_and_replace:
        case GNTTABOP_unmap_grant_ref:
            u[i].unmap.host_addr = our_gfn() << 12;
            u[i].unmap.dev_bus_addr = one_in(4) ? word() : 0;
            u[i].unmap.handle = one_in(4) ? word() : handles[below(8)];
            break;
        case GNTTABOP_copy:
            u[i].copy.source.offset = one_in(8) ? word() : below(PAGE);
            u[i].copy.source.domid = self_or_other();
            u[i].copy.dest.offset = one_in(8) ? word() : below(PAGE);
            u[i].copy.dest.domid = self_or_other();
            u[i].copy.flags = one_in(16) ? word() : below(4);
            u[i].copy.len = one_in(8) ? word() : below(PAGE);
            u[i].copy.source.u.ref = u[i].copy.flags & GNTCOPY_source_gref ? some_ref() : word();
            if (u[i].copy.flags & GNTCOPY_dest_gref)
                u[i].copy.dest.u.ref = some_ref();
            else
                u[i].copy.dest.u.gmfn = our_gfn();
            break;
        case GNTTABOP_setup_table:
            u[i].setup.dom = self_or_other();
            u[i].setup.nr_frames = table_index();
            SET_HANDLE(u[i].setup.frame_list, out_pointer());
            break;
        default: u[i].words[0] = one_in(2) ? self_or_other() : u[i].words[0];
        }
        memcpy(array + i * size, &u[i], size);
    }
    c->a[0] = cmd;
    c->a[1] = place(array, count * size);
    c->a[2] = one_in(16) ? word() : one_in(8) ? count + below(4) : count;
}

/* --- event channels ----------------------------------------------------------------------------------------------- */

/* One of ours, or one nobody has. */
static uint32_t our_port(void)
{
    return nr_ports && !one_in(6) ? ports[below(nr_ports)] : PICK(4096 + below(100000), 1u << 17, ~0u, 0);
}

union event_args {
    struct evtchn_bind_interdomain bind_interdomain;
    struct evtchn_bind_virq bind_virq;
    struct evtchn_bind_ipi bind_ipi;
    struct evtchn_alloc_unbound alloc_unbound;
    struct evtchn_close close;
    struct evtchn_send send;
    struct evtchn_unmask unmask;
    struct evtchn_status status;
    struct evtchn_bind_vcpu bind_vcpu;
    struct evtchn_reset reset;
    struct evtchn_init_control init_control;
    struct evtchn_expand_array expand_array;
    struct evtchn_set_priority set_priority;
};

static void event_op(struct args *c)
{
    union event_args u;
    uint64_t cmd = one_in(16) ? below(40) : below(EVTCHNOP_set_priority + 1);
    bool full = nr_ports == PORTS || in_multicall; /* whose results are not looked at */
    fill(&u, sizeof(u));
    switch (cmd) {
    case EVTCHNOP_bind_interdomain:
        u.bind_interdomain.remote_dom = self_or_other();
        u.bind_interdomain.remote_port = full ? 0 : our_port();
        break;
    case EVTCHNOP_bind_virq:
        u.bind_virq.virq = full ? 99 : below(26);
        u.bind_virq.vcpu = some_vcpu();
        break;
    case EVTCHNOP_bind_ipi: u.bind_ipi.vcpu = full ? no_vcpu() : some_vcpu(); break;
    case EVTCHNOP_alloc_unbound:
        u.alloc_unbound.dom = full ? DOMID_XEN : self_or_other();
        u.alloc_unbound.remote_dom = one_in(2) ? DOMID_SELF : self_or_other();
        break;
    case EVTCHNOP_close: u.close.port = in_multicall ? ~0u : our_port(); break; /* it is another's soon */
    case EVTCHNOP_send: u.send.port = our_port(); break;
    case EVTCHNOP_unmask: u.unmask.port = our_port(); break;
    case EVTCHNOP_status:
        u.status.dom = self_or_other();
        u.status.port = one_in(2) ? below(64) : our_port();
        break;
    case EVTCHNOP_bind_vcpu:
        u.bind_vcpu.port = our_port();
        u.bind_vcpu.vcpu = some_vcpu();
        break;
    case EVTCHNOP_init_control:
        u.init_control.control_gfn = no_gfn();
        u.init_control.vcpu = some_vcpu();
        break;
    case EVTCHNOP_expand_array: u.expand_array.array_gfn = no_gfn(); break;
    case EVTCHNOP_set_priority:
        u.set_priority.port = our_port();
        u.set_priority.priority = one_in(4) ? word() : below(16);
        break;
    }
    c->a[0] = cmd;
    c->a[1] = place(&u, sizeof(u));
}

static void port_add(uint32_t port)
{
    if (nr_ports < PORTS && port)
        ports[nr_ports++] = port;
}

static void port_forget(uint32_t port)
{
    for (unsigned i = 0; i < nr_ports; i++)
        if (ports[i] == port)
            ports[i] = ports[--nr_ports];
}

/* A call succeeded: what it gave and took. Its structure is still where it was. */
static void event_done(const struct args *c)
{
    union event_args u;
    memcpy(&u, (void *)(uintptr_t)c->a[1], sizeof(u));
    switch (c->a[0]) {
    case EVTCHNOP_bind_interdomain: port_add(u.bind_interdomain.local_port); break;
    case EVTCHNOP_bind_virq: port_add(u.bind_virq.port); break;
    case EVTCHNOP_bind_ipi: port_add(u.bind_ipi.port); break;
    case EVTCHNOP_alloc_unbound: port_add(u.alloc_unbound.port); break;
    case EVTCHNOP_close: port_forget(u.close.port); break;
    }
}

/* --- scheduling, vCPUs, HVM --------------------------------------------------------------------------------------- */

static uint64_t number_of_port(void) { return (uint64_t)our_port() << 32 | (one_in(4) ? below(64) : our_port()); }

static void sched_op(struct args *c)
{
    union {
        struct sched_poll poll;
        struct sched_remote_shutdown remote;
        struct sched_watchdog watchdog;
        uint64_t words[2];
    } u;
    uint64_t cmd = one_in(16) ? word() : below(9), count;
    fill(&u, sizeof(u));
    bool never = cmd == SCHEDOP_shutdown || cmd == SCHEDOP_shutdown_code;
    if (cmd == SCHEDOP_poll) {
        SET_HANDLE(u.poll.ports, place_list(number_of_port, &count));
        u.poll.nr_ports = one_in(8) ? word() : below(LIST);
        u.poll.timeout = soon();
    } else if (cmd == SCHEDOP_remote_shutdown) {
        u.remote.domain_id = other();
    } else if (cmd == SCHEDOP_watchdog) {
        u.watchdog.id = one_in(4) ? 3 + below(100) : 1 + below(2);
        u.watchdog.timeout = u.watchdog.id < 3 ? 0 : word();
    }
    c->a[0] = cmd;
    c->a[1] = never ? no_pointer() : place(&u, sizeof(u));
}

static void vcpu_op(struct args *c)
{
    uint64_t words[130], cmd = one_in(16) ? word() : below(15), vcpu = some_vcpu();
    size_t size = sizeof(words);
    if (cmd == VCPUOP_down || cmd == VCPUOP_stop_singleshot_timer)
        vcpu = no_vcpu();
    if (cmd == VCPUOP_send_nmi && !one_in(40))
        cmd = VCPUOP_is_up;
    fill(words, sizeof(words));
    switch (cmd) {
    case VCPUOP_register_vcpu_info:
        size = sizeof(struct vcpu_register_vcpu_info);
        words[0] = no_gfn();
        break;
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_vcpu_time_memory_area:
        size = sizeof(uint64_t);
        words[0] = one_in(4) ? kernel_text + below(PAGE) : no_pointer();
        break;
    case VCPUOP_set_singleshot_timer:
        size = sizeof(struct vcpu_set_singleshot_timer);
        words[0] = soon();
        break;
    case VCPUOP_set_periodic_timer: size = sizeof(uint64_t); break;
    }
    c->a[0] = cmd;
    c->a[1] = vcpu;
    c->a[2] = cmd == VCPUOP_get_runstate_info || cmd == VCPUOP_get_physid ? out_pointer() : place(words, size);
    if (cmd == VCPUOP_send_nmi && !one_in(4))
        c->a[2] = 0;
}

static void hvm_op(struct args *c)
{
    union {
        struct xen_hvm_param param;
        struct xen_hvm_evtchn_upcall_vector upcall;
        uint64_t words[4];
    } u;
    uint64_t cmd = PICK(HVMOP_set_param, HVMOP_get_param, HVMOP_set_evtchn_upcall_vector, below(30), word());
    fill(&u, sizeof(u));
    if (cmd == HVMOP_set_param || cmd == HVMOP_get_param) {
        u.param.domid = self_or_other();
        u.param.index = one_in(16) ? word() : below(HVM_NR_PARAMS + 1);
        if (u.param.index == HVM_PARAM_CALLBACK_IRQ && cmd == HVMOP_set_param)
            u.param.domid = other();
    } else if (cmd == HVMOP_set_evtchn_upcall_vector) {
        u.upcall.vcpu = no_vcpu();
    }
    c->a[0] = cmd;
    c->a[1] = place(&u, sizeof(u));
}

static void version_op(struct args *c)
{
    c->a[0] = one_in(16) ? word() : below(14);
    c->a[1] = c->a[0] == XENVER_get_features ? place((uint64_t[1]){ word() }, 8) : out_pointer();
}

/* Few letters: they go to the serial console. */
static void console_op(struct args *c)
{
    static const char text[] = "letters\n";
    bool reads = !one_in(8); /* a serial console is slow */
    c->a[0] = one_in(8) ? word() : reads ? CONSOLEIO_read : CONSOLEIO_write;
    c->a[1] = one_in(8) ? word() : reads ? below(600) : below(sizeof(text));
    c->a[2] = c->a[0] == CONSOLEIO_read ? out_pointer() : place(text, sizeof(text) - 1);
}

static void set_timer(struct args *c) { c->a[0] = soon(); }

/* --- the machine -------------------------------------------------------------------------------------------------- */

static void physdev_op(struct args *c)
{
    union {
        struct physdev_pci_device_add add;
        struct physdev_manage_pci manage;
        struct physdev_pci_mmcfg_reserved mmcfg;
        uint64_t words[8];
    } u;
    uint64_t cmd = one_in(16) ? word() : below(33);
    fill(&u, sizeof(u));
    if (cmd == PHYSDEVOP_manage_pci_add || cmd == PHYSDEVOP_manage_pci_remove || cmd == PHYSDEVOP_manage_pci_add_ext) {
        u.manage.bus |= 0x80; /* nothing is there */
    } else if (cmd == PHYSDEVOP_pci_mmcfg_reserved) {
        u.mmcfg.address |= 1ul << 40;
        if (one_in(2))
            u.mmcfg.address &= ~0xffffful;
    } else if (cmd == PHYSDEVOP_pci_device_add || cmd == PHYSDEVOP_pci_device_remove) {
        u.add.seg = one_in(4) ? word() : 0;
        u.add.bus = one_in(2) && cmd == PHYSDEVOP_pci_device_add ? 0 : 0x80 | word();
        if (cmd == PHYSDEVOP_pci_device_remove && !one_in(20))
            cmd = PHYSDEVOP_restore_msi_ext; /* each is logged */
    }
    c->a[0] = cmd;
    c->a[1] = place(&u, sizeof(u));
}

static void tame_efi(struct xenpf_efi_runtime_call *e)
{
    static const uint16_t name[] = { 'B', 'h', 'T', 'e', 's', 't', 0 };
    e->function = one_in(16) ? word() : below(12);
    e->misc = one_in(2) ? 0 : e->misc;
    if (e->function == XEN_EFI_get_variable || e->function == XEN_EFI_set_variable) {
        SET_HANDLE(e->u.get_variable.name, one_in(4) ? out_pointer() : place(name, sizeof(name)));
        SET_HANDLE(e->u.get_variable.data, out_pointer());
        e->u.get_variable.size = one_in(4) ? word() : below(200);
        if (e->function == XEN_EFI_set_variable)
            e->misc &= ~1u; /* not in flash */
    } else if (e->function == XEN_EFI_get_next_variable_name) {
        SET_HANDLE(e->u.get_next_variable_name.name, out_pointer());
    }
}

static void platform_op(struct args *c)
{
    struct xen_platform_op op;
    fill(&op, sizeof(op));
    op.cmd =
        one_in(16) ? word() : PICK(below(70), XENPF_efi_runtime_call, XENPF_firmware_info, XENPF_set_processor_pminfo);
    op.interface_version = one_in(32) ? word() : XENPF_INTERFACE_VERSION;
    if (op.cmd == XENPF_efi_runtime_call)
        tame_efi(&op.u.efi_runtime_call);
    else if (op.cmd == XENPF_enter_acpi_sleep)
        op.u.enter_acpi_sleep.sleep_state = one_in(2) ? 0 : 6 + below(200);
    else if (op.cmd == XENPF_firmware_info)
        op.u.firmware_info.type = one_in(4) ? word() : XEN_FW_EFI_INFO;
    else if (op.cmd == XENPF_set_processor_pminfo)
        op.u.set_pminfo.id = below(6);
    c->a[0] = place(&op, sizeof(op));
}

static void sysctl_op(struct args *c)
{
    struct xen_sysctl op;
    fill(&op, sizeof(op));
    op.cmd = one_in(16) ? word() : below(32);
    op.interface_version = one_in(32) ? word() : XEN_SYSCTL_INTERFACE_VERSION;
    if (op.cmd == XEN_SYSCTL_debug_keys) {
        op.u.debug_keys.nr_keys = one_in(100) ? 1 : one_in(2) ? 0 : 65 + below(1000);
        SET_HANDLE(op.u.debug_keys.keys, place("h", 1));
    }
    c->a[0] = place(&op, sizeof(op));
}

static uint64_t any(void) { return next(); }

static void domctl_op(struct args *c)
{
    struct xen_domctl op;
    uint64_t count;
    fill(&op, sizeof(op));
    op.cmd = one_in(16) ? word() : below(90);
    op.interface_version = one_in(32) ? word() : XEN_DOMCTL_INTERFACE_VERSION;
    op.domain = one_in(4) ? self_or_other() : 0;
    if (op.cmd == XEN_DOMCTL_max_mem) {
        op.u.max_mem.max_memkb = (max_pages + below(64)) * 4;
    } else if (op.cmd == XEN_DOMCTL_scheduler_op) {
        op.u.scheduler_op.sched_id = one_in(4) ? word() : XEN_SCHEDULER_CREDIT2;
        op.u.scheduler_op.cmd = one_in(4) ? word() : below(2);
        op.u.scheduler_op.u.credit2.cap = PICK(0, 100, 200, 0xffff);
    } else if (op.cmd == XEN_DOMCTL_getvcpuaffinity || op.cmd == XEN_DOMCTL_setvcpuaffinity) {
        op.u.vcpuaffinity.vcpu = some_vcpu();
        op.u.vcpuaffinity.flags = one_in(8) ? word() : 1 + below(3);
        SET_HANDLE(op.u.vcpuaffinity.cpumap_hard.bitmap, one_in(2) ? place_list(any, &count) : out_pointer());
        op.u.vcpuaffinity.cpumap_hard.nr_bits = one_in(4) ? word() : below(300);
    } else if (op.cmd == XEN_DOMCTL_getvcpuinfo) {
        op.u.getvcpuinfo.vcpu = some_vcpu();
    } else if (op.cmd == XEN_DOMCTL_sendtrigger && !one_in(20)) {
        op.u.sendtrigger.vcpu = no_vcpu();
    }
    c->a[0] = place(&op, sizeof(op));
}

/* --- calls -------------------------------------------------------------------------------------------------------- */

static void multicall(struct args *c);

static struct kind {
    const char *name;
    unsigned number, weight;
    void (*make)(struct args *c);
    uint64_t calls, good;
} kinds[] = {
    { "memory_op", __HYPERVISOR_memory_op, 8, memory_op },
    { "grant_table_op", __HYPERVISOR_grant_table_op, 6, grant_op },
    { "event_channel_op", __HYPERVISOR_event_channel_op, 8, event_op },
    { "sched_op", __HYPERVISOR_sched_op, 3, sched_op },
    { "vcpu_op", __HYPERVISOR_vcpu_op, 4, vcpu_op },
    { "hvm_op", __HYPERVISOR_hvm_op, 3, hvm_op },
    { "xen_version", __HYPERVISOR_xen_version, 1, version_op },
    { "console_io", __HYPERVISOR_console_io, 1, console_op },
    { "set_timer_op", __HYPERVISOR_set_timer_op, 1, set_timer },
    { "physdev_op", __HYPERVISOR_physdev_op, 3, physdev_op },
    { "platform_op", __HYPERVISOR_platform_op, 4, platform_op },
    { "sysctl", __HYPERVISOR_sysctl, 6, sysctl_op },
    { "domctl", __HYPERVISOR_domctl, 8, domctl_op },
    { "multicall", __HYPERVISOR_multicall, 3, multicall },
    { "others", 0, 1, NULL },
};
#define KINDS (sizeof(kinds) / sizeof(kinds[0]))

/* A hypercall that no row above serves; wild arguments. */
static unsigned unserved(void)
{
    for (;;) {
        unsigned number = below(128), i = 0;
        while (i < KINDS - 1 && kinds[i].number != number)
            i++;
        if (i == KINDS - 1)
            return number;
    }
}

static struct kind *make(struct args *c, unsigned *number)
{
    unsigned total = 0, at, i;
    for (i = 0; i < KINDS; i++)
        total += kinds[i].weight;
    at = below(total);
    for (i = 0; at >= kinds[i].weight; i++)
        at -= kinds[i].weight;
    for (unsigned k = 0; k < 5; k++)
        c->a[k] = word();
    *number = kinds[i].number;
    if (kinds[i].make)
        kinds[i].make(c);
    else
        *number = unserved();
    return &kinds[i];
}

static void multicall(struct args *c)
{
    struct multicall_entry entries[MULTICALL];
    unsigned count = 1 + below(MULTICALL), number;
    if (in_multicall) { /* one in another: refused, whatever it holds */
        c->a[0] = no_pointer();
        return;
    }
    in_multicall = true;
    memset(entries, 0, sizeof(entries));
    for (unsigned i = 0; i < count; i++) {
        struct args inner;
        make(&inner, &number);
        entries[i].op = number;
        memcpy(entries[i].args, inner.a, sizeof(inner.a));
    }
    in_multicall = false;
    c->a[0] = place(entries, count * sizeof(entries[0]));
    c->a[1] = count;
}

static long call(unsigned number, const struct args *c)
{
    struct privcmd_hypercall hypercall = { .op = number };
    memcpy(hypercall.arg, c->a, sizeof(c->a));
    long rc = ioctl(privcmd, IOCTL_PRIVCMD_HYPERCALL, &hypercall);
    return rc < 0 ? -errno : rc;
}

static long call_with(unsigned number, uint64_t cmd, void *arg)
{
    return call(number, &(struct args){ { cmd, (uintptr_t)arg, 1 } });
}

/* The hypervisor's time, a little ago. */
static uint64_t hypervisor_time(void)
{
    struct vcpu_runstate_info info = { 0 };
    call(__HYPERVISOR_vcpu_op, &(struct args){ { VCPUOP_get_runstate_info, 0, (uintptr_t)&info } });
    uint64_t now = 0;
    for (unsigned i = 0; i < 4; i++)
        now += info.time[i];
    return now > info.state_entry_time ? now : info.state_entry_time;
}

static void step(struct kind *report)
{
    struct args c;
    unsigned number;
    used_slots = 0;
    struct kind *k = make(&c, &number);
    long rc = call(number, &c);
    k = &report[k - kinds];
    k->calls++;
    k->good += rc >= 0;
    /* Structures that were placed, not those of calls that took none or less. */
    uint64_t at = c.a[1] - (uintptr_t)slots;
    bool placed = at < SLOTS_SIZE && at % (2 * PAGE) <= PAGE - sizeof(union event_args);
    if (!rc && placed && number == __HYPERVISOR_event_channel_op)
        event_done(&c);
    if (!rc && placed && number == __HYPERVISOR_grant_table_op && c.a[0] == GNTTABOP_map_grant_ref)
        handles[below(8)] = ((struct gnttab_map_grant_ref *)(uintptr_t)c.a[1])->handle;
}

static double seconds(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec + t.tv_nsec * 1e-9;
}

static void run(uint64_t seed, double until, uint64_t calls, struct kind *report)
{
    state = seed * 0x9e3779b97f4a7c15ul | 1;
    slots = mmap(NULL, SLOTS_SIZE + SCRATCH + PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE,
                 -1, 0);
    scratch = slots + SLOTS_SIZE;
    bool good = slots != MAP_FAILED && !mprotect(scratch + SCRATCH, PAGE, PROT_NONE);
    for (unsigned i = 0; good && i < SLOTS; i++)
        good = !mprotect(slots + 2 * PAGE * i + PAGE, PAGE, PROT_NONE);
    if (!good)
        die("memory");
    for (uint64_t i = 0; i < calls && (i % 64 || seconds() < until); i++) {
        if (i % 64 == 0)
            deadline_base = hypervisor_time();
        step(report);
    }
    for (unsigned i = 0; i < nr_ports; i++) /* a peer may have been closed by then */
        call_with(__HYPERVISOR_event_channel_op, EVTCHNOP_close, &(struct evtchn_close){ .port = ports[i] });
}

/* --- before and after --------------------------------------------------------------------------------------------- */

static void find_kernel_text(void)
{
    char line[256];
    FILE *f = fopen("/proc/kallsyms", "r");
    while (f && fgets(line, sizeof(line), f))
        if (strstr(line, " _text\n"))
            kernel_text = strtoull(line, NULL, 16);
    if (f)
        fclose(f);
    if (!kernel_text)
        kernel_text = 1ul << 63; /* not canonical: the kernel does not tell */
}

static char *take_pool(void)
{
    char *pages = mmap(NULL, POOL * PAGE, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int map = open("/proc/self/pagemap", O_RDONLY);
    if (pages == MAP_FAILED || map < 0 || madvise(pages, POOL * PAGE, MADV_NOHUGEPAGE) || mlock(pages, POOL * PAGE) ||
        madvise(pages, POOL * PAGE, MADV_DONTFORK))
        die("pool");
    for (unsigned i = 0; i < POOL; i++) {
        uint64_t entry = 0;
        if (pread(map, &entry, 8, ((uintptr_t)pages / PAGE + i) * 8) != 8 || !(entry >> 63))
            die("pagemap");
        pool[i] = entry & ((1ul << 55) - 1);
        if (!pool[i]) {
            fprintf(stderr, "the kernel tells no frame numbers\n");
            exit(1);
        }
    }
    close(map);
    return pages;
}

static void domctl_self(struct xen_domctl *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    op->domain = 0;
    if (call(__HYPERVISOR_domctl, &(struct args){ { (uintptr_t)op } }))
        die("domctl");
}

/* Each frame of the pool has RAM again; pages in far places are given back. */
static void put_back(char *pages)
{
    struct xen_domctl op = { 0 };
    op.u.max_mem.max_memkb = (max_pages + POOL) * 4;
    domctl_self(&op, XEN_DOMCTL_max_mem);
    for (unsigned i = 0; i < FAR_PAGES + POOL; i++) {
        struct xen_remove_from_physmap gone = { .domid = DOMID_SELF,
                                                .gpfn = i < FAR_PAGES ? FAR_GFN + i : pool[i - FAR_PAGES] };
        call_with(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &gone);
    }
    struct xen_memory_reservation back = { .nr_extents = POOL, .domid = DOMID_SELF };
    SET_HANDLE(back.extent_start, pool);
    if (call_with(__HYPERVISOR_memory_op, XENMEM_populate_physmap, &back) != POOL)
        die("memory back");
    op.u.max_mem.max_memkb = max_pages * 4;
    domctl_self(&op, XEN_DOMCTL_max_mem);
    for (uint64_t i = 0; i < POOL; i++)
        *(volatile uint64_t *)(pages + i * PAGE) = i;
    for (uint64_t i = 0; i < POOL; i++)
        if (*(volatile uint64_t *)(pages + i * PAGE) != i)
            die("the pool's memory");
    uint64_t all = ~0ul;
    for (unsigned i = 0; i < nr_cpus; i++) {
        memset(&op, 0, sizeof(op));
        op.u.vcpuaffinity.vcpu = i;
        op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
        op.u.vcpuaffinity.cpumap_hard.nr_bits = op.u.vcpuaffinity.cpumap_soft.nr_bits = 64;
        SET_HANDLE(op.u.vcpuaffinity.cpumap_hard.bitmap, &all);
        SET_HANDLE(op.u.vcpuaffinity.cpumap_soft.bitmap, &all);
        domctl_self(&op, XEN_DOMCTL_setvcpuaffinity);
    }
    memset(&op, 0, sizeof(op));
    op.u.scheduler_op.sched_id = XEN_SCHEDULER_CREDIT2;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    op.u.scheduler_op.u.credit2.weight = 256;
    domctl_self(&op, XEN_DOMCTL_scheduler_op);
}

int main(int argc, char **argv)
{
    if (argc < 3) {
        fprintf(stderr, "usage: %s SEED SECONDS [CALLS]\n", argv[0]);
        return 2;
    }
    uint64_t seed = strtoull(argv[1], NULL, 0), calls = argc > 3 ? strtoull(argv[3], NULL, 0) : ~0ul;
    double until = seconds() + strtod(argv[2], NULL);
    privcmd = open("/dev/xen/privcmd", O_RDWR | O_CLOEXEC);
    if (privcmd < 0)
        die("/dev/xen/privcmd");
    nr_cpus = sysconf(_SC_NPROCESSORS_ONLN);
    find_kernel_text();
    char *pages = take_pool();
    struct xen_domctl info = { 0 };
    domctl_self(&info, XEN_DOMCTL_getdomaininfo);
    max_pages = info.u.getdomaininfo.max_pages;
    printf("seed %" PRIu64 ", %" PRIu64 " processes\n", seed, nr_cpus);
    fflush(stdout);

    struct kind(*reports)[KINDS] =
        mmap(NULL, nr_cpus * sizeof(kinds), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (reports == MAP_FAILED)
        die("reports");
    for (unsigned i = 0; i < nr_cpus; i++)
        if (!fork()) {
            run(seed + i, until, calls, reports[i]);
            _exit(0);
        }
    bool failed = false;
    for (unsigned i = 0; i < nr_cpus; i++) {
        int status;
        failed |= wait(&status) < 0 || status;
    }
    for (unsigned k = 0; k < KINDS; k++) {
        uint64_t all = 0, good = 0;
        for (unsigned i = 0; i < nr_cpus; i++) {
            all += reports[i][k].calls;
            good += reports[i][k].good;
        }
        printf("%-18s %9" PRIu64 " calls %9" PRIu64 " succeeded\n", kinds[k].name, all, good);
    }
    put_back(pages);
    printf(failed ? "a process failed\n" : "done\n");
    return failed;
}
