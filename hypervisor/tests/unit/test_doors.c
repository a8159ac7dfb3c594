/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: hypercall/dispatch.c hypercall/memory.c hypercall/self.c hypercall/host.c hypercall/platform.c
 * hypercall/domctl.c */
/* sources: hypercall/copy.c hypercall/event_channel.c hypercall/grant_table.c domain/domain.c domain/vcpu.c
 * domain/sched.c */
/* sources: ipc/evtchn.c ipc/evtchn_2l.c ipc/evtchn_fifo.c ipc/grant.c mem/frame.c mem/p2m.c lib/rangeset.c hvm/npt.c
 * lib/lib.c */
/*
 * Hypercalls as a control domain makes them, with the real rooms below them: registers and privilege, memory operations
 * and their counts, vCPU areas and timers, polls, HVM parameters, and what Xen's tools ask.
 */
#include "../doors_fakes.h"

#include <hv/evtchn.h>

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

#define ARG 0x20000ull  /* where arguments lie in guest memory */
#define DATA 0x30000ull /* and buffers */
#define BAD 0x7f00000000ull

static struct vcpu *self;

static long call(uint64_t number, uint64_t a, uint64_t b, uint64_t c)
{
    struct regs *r = &self->regs;
    unsigned rounds = 0;
    r->rip = 0x1000;
    r->r[RDI] = a;
    r->r[RSI] = b;
    r->r[RDX] = c;
    do {
        r->r[RAX] = number;
        self->work = 0;
        hypercall_run(self, 3);
        CHECK(rounds++ < 100000);
    } while (r->rip == 0x1000); /* preempted: again */
    CHECK(r->rip == 0x1003);
    return r->r[RAX];
}

/* With an argument structure. */
static long call_with(uint64_t number, uint64_t cmd, void *arg, size_t size)
{
    memcpy(guest(ARG), arg, size);
    long rc = call(number, cmd, ARG, 0);
    memcpy(arg, guest(ARG), size);
    return rc;
}

static void test_dispatch(void)
{
    CHECK(call(__HYPERVISOR_xen_version, XENVER_version, 0, 0) == (4 << 16 | 17));
    CHECK(call(63, 0, 0, 0) == -ENOSYS && call(64, 0, 0, 0) == -ENOSYS && call(~0ull, 0, 0, 0) == -ENOSYS);
    CHECK(call(__HYPERVISOR_xsm_op, 0, 0, 0) == -ENOSYS && call(__HYPERVISOR_mmu_update, 0, 0, 0) == -ENOSYS);
    fake_mode.cpl = 3;
    CHECK(call(__HYPERVISOR_xen_version, 0, 0, 0) == -EPERM);
    fake_mode.cpl = 0;
    fake_mode.code64 = false; /* none of these; RIP and RAX are 32 bits wide */
    struct regs *r = &self->regs;
    r->rip = 0xfffffffe;
    r->r[RAX] = 0xffffffff00000000 | __HYPERVISOR_xen_version;
    r->r[RBX] = r->r[RDI] = XENVER_pagesize;
    hypercall_run(self, 3);
    CHECK(r->r[RAX] == (uint32_t)-ENOSYS && r->rip == 1);
    fake_mode.code64 = true;
    self->domain->control = false;
    CHECK(call(__HYPERVISOR_domctl, ARG, 0, 0) == -EPERM && call(__HYPERVISOR_sysctl, ARG, 0, 0) == -EPERM);
    CHECK(call(__HYPERVISOR_platform_op, ARG, 0, 0) == -EPERM && call(__HYPERVISOR_console_io, 0, 0, 0) == -EPERM);
    self->domain->control = true;
}

static void test_version(void)
{
    CHECK(call(__HYPERVISOR_xen_version, XENVER_capabilities, DATA, 0) == 0);
    CHECK(strstr((char *)guest(DATA), "hvm-3.0-x86_64"));
    CHECK(call(__HYPERVISOR_xen_version, XENVER_capabilities, BAD, 0) == -EFAULT);
    xen_feature_info_t f = { 0 };
    CHECK(call_with(__HYPERVISOR_xen_version, XENVER_get_features, &f, sizeof(f)) == 0);
    CHECK(f.submap & BIT(XENFEAT_hvm_callback_vector) && f.submap & BIT(XENFEAT_dom0) &&
          !(f.submap & BIT(XENFEAT_hvm_pirqs)));
    f.submap_idx = 1;
    CHECK(call_with(__HYPERVISOR_xen_version, XENVER_get_features, &f, sizeof(f)) == -EINVAL);
    CHECK(call(__HYPERVISOR_xen_version, XENVER_commandline, DATA, 0) == 0 &&
          !strcmp((char *)guest(DATA), "console=com1"));
    CHECK(call(__HYPERVISOR_xen_version, XENVER_extraversion, DATA, 0) == 0 &&
          !strcmp((char *)guest(DATA), ".0-bulkhead"));
    CHECK(call(__HYPERVISOR_xen_version, XENVER_compile_info, DATA, 0) == 0);
    CHECK(call(__HYPERVISOR_xen_version, 99, DATA, 0) == -ENOSYS);
}

/* --- memory ---------------------------------------------------------------------------------------------------- */

static long reserve(unsigned cmd, uint64_t count, unsigned order, domid_t id)
{
    struct xen_memory_reservation r = { .nr_extents = count, .extent_order = order, .domid = id };
    r.extent_start.p = (void *)DATA;
    return call_with(__HYPERVISOR_memory_op, cmd, &r, sizeof(r));
}

static void test_reservations(void)
{
    struct domain *d = self->domain;
    struct frame_stats before, after;
    uint64_t *g = (void *)guest(DATA), pages = d->p2m.ram;
    frame_stats(&before);
    for (unsigned i = 0; i < 400; i++)
        g[i] = 0x10000 + i;
    CHECK(reserve(XENMEM_populate_physmap, 400, 0, DOMID_SELF) == 400);
    CHECK(d->p2m.ram == pages + 400);
    CHECK(((uint8_t *)mfn_ptr(p2m_lookup(&d->p2m, gfn(0x10000)).mfn))[77] == 0);
    CHECK(reserve(XENMEM_populate_physmap, 10, 0, DOMID_SELF) == 10); /* once more: replaces */
    CHECK(d->p2m.ram == pages + 400);
    CHECK(reserve(XENMEM_decrease_reservation, 400, 0, DOMID_SELF) == 400);
    CHECK(reserve(XENMEM_decrease_reservation, 400, 0, DOMID_SELF) == 0); /* nothing there */
    CHECK(d->p2m.ram == pages);
    g[0] = 0x20000;
    g[1] = 0x20200;
    g[2] = 0x20001; /* not aligned */
    CHECK(reserve(XENMEM_populate_physmap, 3, 9, DOMID_SELF) == 2 && d->p2m.ram == pages + 1024);
    CHECK(p2m_lookup(&d->p2m, gfn(0x20123)).order == 9);
    CHECK(reserve(XENMEM_decrease_reservation, 2, 9, DOMID_SELF) == 2);
    CHECK(d->p2m.ram == pages);
    frame_stats(&after);
    CHECK(after.free + 16 >= before.free); /* tables may stay */
    g[0] = 1ull << 41;
    CHECK(reserve(XENMEM_populate_physmap, 1, 0, DOMID_SELF) == 0);
    CHECK(reserve(XENMEM_populate_physmap, 1, 19, DOMID_SELF) == 0 &&
          reserve(XENMEM_populate_physmap, 1, 63, DOMID_SELF) == 0);
    CHECK(reserve(XENMEM_populate_physmap, ~0ull, 0, DOMID_SELF) == 0 &&
          reserve(XENMEM_populate_physmap, 1, 0, 55) == 0);
    d->max_pages = d->p2m.ram;
    g[0] = 0x10000;
    CHECK(reserve(XENMEM_populate_physmap, 1, 0, DOMID_SELF) == 0); /* over its maximum */
    d->max_pages = ~0ull;
    CHECK(reserve(XENMEM_populate_physmap | 7 << 6, 1, 0, DOMID_SELF) == 7); /* a start behind the end */
    d->control = false;
    CHECK(reserve(XENMEM_populate_physmap, 1, 0, 0x7ff) == 0);
    d->control = true;
}

static long add(unsigned space, uint64_t index, uint64_t gpfn, unsigned size)
{
    struct xen_add_to_physmap x = { .domid = DOMID_SELF, .size = size, .space = space, .idx = index, .gpfn = gpfn };
    return call_with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap, &x, sizeof(x));
}

static void test_physmap(void)
{
    struct domain *d = self->domain, *other = domain_create(7, 1);
    uint64_t pages = d->p2m.ram;
    fake_ram(other, 8);
    CHECK(add(XENMAPSPACE_shared_info, 0, 0x30000, 0) == 0 && guest(0x30000ull << 12) == (uint8_t *)d->shared_info);
    CHECK(add(XENMAPSPACE_shared_info, 1, 0x30000, 0) == -EINVAL &&
          add(XENMAPSPACE_shared_info, 0, 1ull << 41, 0) == -EINVAL);
    CHECK(add(XENMAPSPACE_shared_info, 0, 0x400, 0) == 0 && d->p2m.ram == pages - 1); /* over RAM: that page is gone */
    CHECK(add(XENMAPSPACE_grant_table, 0, 0x30001, 0) == 0 &&
          add(XENMAPSPACE_grant_table, 9999, 0x30001, 0) == -EINVAL);
    CHECK(add(XENMAPSPACE_grant_table, XENMAPIDX_grant_table_status, 0x30001, 0) == -EINVAL);
    CHECK(add(XENMAPSPACE_gmfn, 0x500, 0x30500, 0) == -ENOSYS &&
          add(XENMAPSPACE_gmfn_foreign, 2, 0x30500, 0) == -ENOSYS);
    CHECK(add(XENMAPSPACE_dev_mmio, 0xfee00, 0x32000, 0) == -ENOSYS && add(42, 0, 0x32000, 0) == -ENOSYS);

    struct xen_add_to_physmap_batch b = { .domid = DOMID_SELF, .space = XENMAPSPACE_gmfn_foreign, .size = 3 };
    uint64_t *indexes = (void *)guest(DATA), *gpfns = (void *)guest(DATA + 0x100);
    int *errors = (void *)guest(DATA + 0x200);
    b.u.foreign_domid = 7;
    b.idxs.p = (void *)DATA;
    b.gpfns.p = (void *)(DATA + 0x100);
    b.errs.p = (void *)(DATA + 0x200);
    indexes[0] = 2;
    indexes[1] = 999; /* not there */
    indexes[2] = 3;
    for (unsigned i = 0; i < 3; i++)
        gpfns[i] = 0x33000 + i;
    mfn_t theirs = p2m_lookup(&other->p2m, gfn(2)).mfn;
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &b, sizeof(b)) == 0);
    CHECK(errors[0] == 0 && errors[1] == -EINVAL && errors[2] == 0);
    CHECK(p2m_lookup(&d->p2m, gfn(0x33000)).mfn.n == theirs.n && frame_refs(theirs) == 2 && d->p2m.ram == pages - 1);
    b.u.foreign_domid = 1234;
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &b, sizeof(b)) == 0 && errors[0] == -ESRCH);
    b.errs.p = (void *)BAD;
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch, &b, sizeof(b)) == -EFAULT);

    while (domain_kill(other) == -ERESTART) {
    }
    domain_put(other);
    CHECK(frame_refs(theirs) == 1); /* ours only */
    struct xen_remove_from_physmap r = { .domid = DOMID_SELF, .gpfn = 0x33000 };
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &r, sizeof(r)) == 0);
    CHECK(!frame_get(theirs, 7)); /* free now */
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &r, sizeof(r)) == -ENOENT);
    r.gpfn = 0x33002;
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_remove_from_physmap, &r, sizeof(r)) == 0);
}

static void test_memory_facts(void)
{
    xen_pod_target_t pod = { .domid = DOMID_SELF };
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_get_pod_target, &pod, sizeof(pod)) == 0);
    CHECK(pod.tot_pages == self->domain->p2m.ram && !pod.pod_entries);
    struct xen_mem_acquire_resource a = { .domid = 0, .type = XENMEM_resource_grant_table, .nr_frames = 1 };
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_acquire_resource, &a, sizeof(a)) == 0 && a.nr_frames >= 1);
    a.nr_frames = 1;
    a.frame_list.p = (void *)DATA;
    *(uint64_t *)guest(DATA) = 0x34000;
    CHECK(call_with(__HYPERVISOR_memory_op, XENMEM_acquire_resource, &a, sizeof(a)) == 0);
    CHECK(p2m_lookup(&self->domain->p2m, gfn(0x34000)).type == P2M_FOREIGN);
    CHECK(call(__HYPERVISOR_memory_op, XENMEM_get_vnumainfo, 0, 0) == -ENOSYS);
    CHECK(call(__HYPERVISOR_memory_op, 60, 0, 0) == -ENOSYS);
}

/* --- vCPUs, scheduling, events ------------------------------------------------------------------------------------ */

static void test_vcpu(void)
{
    struct vcpu_register_vcpu_info info = { .mfn = 0x40, .offset = 0x80 };
    memcpy(guest(ARG), &info, sizeof(info));
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG) == 0);
    CHECK(self->info == (void *)guest(0x40080) && self->info->evtchn_upcall_pending == 1);
    CHECK(self->info->time.tsc_to_system_mul == 0x80000000 && !(self->info->time.version & 1));
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 0, ARG) == -EINVAL); /* once only */
    self->info->evtchn_upcall_pending = 0;
    ((struct vcpu_register_vcpu_info *)guest(ARG))->offset = 4090;
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_info, 1, ARG) == -EINVAL);
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 0, 0) == 1 && call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 1, 0) == 0);
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_is_up, 100, 0) == -ENOENT &&
          call(__HYPERVISOR_vcpu_op, VCPUOP_down, 0, 0) == -ENOSYS);

    *(uint64_t *)guest(ARG) = 0x41ff0; /* across two pages, whose frames are anywhere */
    fake_now += 5000000;
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, ARG) == 0);
    struct vcpu_runstate_info state;
    memcpy(&state, guest(0x41ff0), 16);
    memcpy((char *)&state + 16, guest(0x42000), sizeof(state) - 16);
    CHECK(state.state == RUNSTATE_running && state.time[0] >= 5000000);
    CHECK(state.state_entry_time == fake_now); /* nothing counts twice */
    *(uint64_t *)guest(ARG) = BAD;
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_runstate_memory_area, 0, ARG) == -EFAULT);
    *(uint64_t *)guest(ARG) = 0x43ff4;
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_register_vcpu_time_memory_area, 0, ARG) == 0);
    struct vcpu_time_info time;
    memcpy(&time, guest(0x43ff4), 12);
    CHECK(!(time.version & 1));

    struct vcpu_set_singleshot_timer t = { .timeout_abs_ns = 5, .flags = VCPU_SSHOTTMR_future };
    memcpy(guest(ARG), &t, sizeof(t));
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARG) == -ETIME);
    uint32_t port;
    CHECK(!evtchn_bind_virq(self->domain, VIRQ_TIMER, 0, &port));
    CHECK(call(__HYPERVISOR_set_timer_op, fake_now + 1000, 0, 0) == 0 && vcpu_next_timer(self) == fake_now + 1000);
    fake_now += 999;
    vcpu_run_timers(self, fake_now);
    CHECK(!evtchn_is_pending(self->domain, port));
    fake_now++;
    vcpu_run_timers(self, fake_now);
    CHECK(evtchn_is_pending(self->domain, port) && vcpu_next_timer(self) == ~0ull);
    t = (struct vcpu_set_singleshot_timer){ .timeout_abs_ns = fake_now + 7 };
    memcpy(guest(ARG), &t, sizeof(t));
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 1, ARG) == -EINVAL); /* its own only */
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_set_singleshot_timer, 0, ARG) == 0 && self->singleshot == fake_now + 7);
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_singleshot_timer, 0, 0) == 0 && vcpu_next_timer(self) == ~0ull);
    CHECK(call(__HYPERVISOR_vcpu_op, VCPUOP_stop_periodic_timer, 0, 0) == 0);
}

static void unblock(void)
{
    self->work = 0;
    vcpu_wake(self, BLOCK_HALT | BLOCK_POLL);
}

static void test_sched_op(void)
{
    uint32_t port, other;
    CHECK(!evtchn_alloc_unbound(self->domain, 0, &port) &&
          !evtchn_bind_interdomain(self->domain, self->domain, port, &other));
    self->domain->shared_info->evtchn_pending[other / 64] &= ~BIT(other % 64); /* binding sets it */
    uint32_t *ports = (void *)guest(DATA);
    ports[0] = other;
    ports[1] = 9999;
    struct sched_poll p = { .nr_ports = 1, .timeout = fake_now + 1000 };
    p.ports.p = (void *)DATA;
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == 0 && self->blocked == BLOCK_POLL);
    CHECK(vcpu_next_timer(self) == fake_now + 1000);
    CHECK(!evtchn_send(self->domain, port) && self->blocked == 0);                                   /* woken */
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == 0 && self->blocked == 0); /* is pending */
    self->domain->shared_info->evtchn_pending[other / 64] &= ~BIT(other % 64);
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == 0 && self->blocked == BLOCK_POLL);
    vcpu_run_timers(self, fake_now + 999);
    CHECK(self->blocked == BLOCK_POLL);
    vcpu_run_timers(self, fake_now + 1000); /* time is up before it ever left its CPU */
    CHECK(self->blocked == 0 && self->poll_until == ~0ull);
    p.nr_ports = 2;
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == -EINVAL && self->blocked == 0);
    p.nr_ports = 129;
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == -EINVAL);
    p.nr_ports = 0; /* just waits */
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_poll, &p, sizeof(p)) == 0 && self->blocked == BLOCK_POLL);
    vcpu_kick(self, WORK_TIMER);
    CHECK(self->blocked == 0);
    self->info->evtchn_upcall_pending = 0;
    CHECK(call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0) == 0 && self->blocked == BLOCK_HALT);
    unblock();
    fake_lapic = 0x30;
    CHECK(call(__HYPERVISOR_sched_op, SCHEDOP_block, 0, 0) == 0 && self->blocked == 0);
    fake_lapic = -1;
    CHECK(call(__HYPERVISOR_sched_op, SCHEDOP_yield, 0, 0) == 0 && call(__HYPERVISOR_sched_op, 77, 0, 0) == -ENOSYS);
    struct multicall_entry *m = (void *)guest(DATA);
    m[0] = (struct multicall_entry){ .op = __HYPERVISOR_xen_version, .args = { XENVER_version } };
    m[1] = (struct multicall_entry){ .op = __HYPERVISOR_multicall };
    CHECK(call(__HYPERVISOR_multicall, DATA, 2, 0) == 0);
    CHECK((long)m[0].result == (4 << 16 | 17) && (long)m[1].result == -EINVAL);
    CHECK(call(__HYPERVISOR_multicall, BAD, ~0ull, 0) == -EFAULT);
}

static long param(bool set, uint32_t index, uint64_t *value)
{
    struct xen_hvm_param p = { .domid = DOMID_SELF, .index = index, .value = *value };
    long rc = call_with(__HYPERVISOR_hvm_op, set ? HVMOP_set_param : HVMOP_get_param, &p, sizeof(p));
    *value = p.value;
    return rc;
}

static void test_hvm(void)
{
    uint64_t value = 2ull << 56 | 0xf3;
    CHECK(param(true, HVM_PARAM_CALLBACK_IRQ, &value) == 0 && self->domain->callback_vector == 0xf3);
    value = 1; /* what Linux says when each vCPU has a vector of its own */
    CHECK(param(true, HVM_PARAM_CALLBACK_IRQ, &value) == 0 && !self->domain->callback_vector);
    value = 1ull << 56 | 3 << 11 | 1; /* a pin of a PCI device */
    CHECK(param(true, HVM_PARAM_CALLBACK_IRQ, &value) == -EINVAL);
    value = 2ull << 56 | 0xf3;
    CHECK(param(true, HVM_PARAM_CALLBACK_IRQ, &value) == 0);
    CHECK(param(true, HVM_PARAM_STORE_PFN, &value) == -EINVAL);
    CHECK(param(false, HVM_PARAM_STORE_PFN, &value) == 0 && value == 0);
    CHECK(param(true, 999, &value) == -EINVAL && param(false, 3, &value) == -EINVAL);
    CHECK(param(true, HVM_PARAM_NESTEDHVM, &value) == -EINVAL);
    struct xen_hvm_evtchn_upcall_vector u = { .vcpu = 0, .vector = 5 };
    CHECK(call_with(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u, sizeof(u)) == -EINVAL);
    u.vector = 0xf0;
    CHECK(call_with(__HYPERVISOR_hvm_op, HVMOP_set_evtchn_upcall_vector, &u, sizeof(u)) == 0 &&
          self->upcall_vector == 0xf0);
    self->upcall_vector = 0;
    CHECK(call(__HYPERVISOR_hvm_op, HVMOP_altp2m, ARG, 0) == -ENOSYS);
}

/* --- what tools ask ------------------------------------------------------------------------------------------------
 */

static long domctl(struct xen_domctl *op, uint32_t cmd, domid_t id)
{
    op->cmd = cmd;
    op->domain = id;
    op->interface_version = XEN_DOMCTL_INTERFACE_VERSION;
    memcpy(guest(ARG), op, sizeof(*op));
    long rc = call(__HYPERVISOR_domctl, ARG, 0, 0);
    memcpy(op, guest(ARG), sizeof(*op));
    return rc;
}

static long sysctl(struct xen_sysctl *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XEN_SYSCTL_INTERFACE_VERSION;
    memcpy(guest(ARG), op, sizeof(*op));
    long rc = call(__HYPERVISOR_sysctl, ARG, 0, 0);
    memcpy(op, guest(ARG), sizeof(*op));
    return rc;
}

static void test_domctl(void)
{
    struct xen_domctl op = { 0 };
    op.cmd = XEN_DOMCTL_getdomaininfo;
    op.interface_version = 0x14;
    memcpy(guest(ARG), &op, sizeof(op));
    CHECK(call(__HYPERVISOR_domctl, ARG, 0, 0) == -EACCES);
    CHECK(domctl(&op, XEN_DOMCTL_getdomaininfo, 0) == 0 && op.u.getdomaininfo.nr_online_vcpus == 1);
    CHECK(op.u.getdomaininfo.tot_pages == self->domain->p2m.ram && op.u.getdomaininfo.flags & XEN_DOMINF_running);
    CHECK(domctl(&op, XEN_DOMCTL_getdomaininfo, 1) == -ESRCH && domctl(&op, 9999, 0) == -ENOSYS);
    op.u.getvcpuinfo.vcpu = 0;
    CHECK(domctl(&op, XEN_DOMCTL_getvcpuinfo, 0) == 0 && op.u.getvcpuinfo.running && op.u.getvcpuinfo.cpu_time);
    op.u.getvcpuinfo.vcpu = 500;
    CHECK(domctl(&op, XEN_DOMCTL_getvcpuinfo, 0) == -ESRCH);
    op.u.scheduler_op =
        (struct xen_domctl_scheduler_op){ .sched_id = XEN_SCHEDULER_CREDIT2, .cmd = XEN_DOMCTL_SCHEDOP_putinfo };
    op.u.scheduler_op.u.credit2.weight = 512;
    op.u.scheduler_op.u.credit2.cap = 0xffff;
    CHECK(domctl(&op, XEN_DOMCTL_scheduler_op, 0) == 0 && self->domain->sched_weight == 512 &&
          !self->domain->sched_cap);
    memset(&op, 0, sizeof(op));
    op.u.vcpuaffinity.flags = XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT;
    op.u.vcpuaffinity.cpumap_hard.bitmap.p = (void *)DATA;
    op.u.vcpuaffinity.cpumap_hard.nr_bits = 3;
    op.u.vcpuaffinity.cpumap_soft.bitmap.p = (void *)(DATA + 64);
    op.u.vcpuaffinity.cpumap_soft.nr_bits = 256;
    memset(guest(DATA), 0, 128);
    CHECK(domctl(&op, XEN_DOMCTL_getvcpuaffinity, 0) == 0 && *guest(DATA) == 7 && *guest(DATA + 95) == 0xff);
    *guest(DATA) = 0xf8; /* CPUs 3 to 7 are beyond the 3 bits */
    CHECK(domctl(&op, XEN_DOMCTL_setvcpuaffinity, 0) == -EINVAL);
    *guest(DATA) = 1;
    CHECK(domctl(&op, XEN_DOMCTL_setvcpuaffinity, 0) == 0 && self->affinity_hard[0] == 1 && *guest(DATA + 64) == 1);
    CHECK(domctl(&op, XEN_DOMCTL_pausedomain, 0) == -EINVAL && domctl(&op, XEN_DOMCTL_destroydomain, 0) == -EINVAL);
    struct domain *other = domain_create(3, 2);
    CHECK(domctl(&op, XEN_DOMCTL_pausedomain, 3) == 0 && other->vcpu[1]->blocked & BLOCK_PAUSE);
    CHECK(domctl(&op, XEN_DOMCTL_unpausedomain, 3) == 0 && domctl(&op, XEN_DOMCTL_unpausedomain, 3) == -EINVAL);
    CHECK(domctl(&op, XEN_DOMCTL_destroydomain, 3) == 0 && domctl(&op, XEN_DOMCTL_destroydomain, 3) == -ESRCH);
    domain_put(other);
    memset(&op, 0, sizeof(op));
    /* Room for all that a tool may put in: xen-cpuid -p writes more leaves and MSRs than it was told. */
    CHECK(domctl(&op, XEN_DOMCTL_get_cpu_policy, 0) == 0 && op.u.cpu_policy.nr_leaves == 128 &&
          op.u.cpu_policy.nr_msrs >= 2);
    op.u.cpu_policy.leaves.p = (void *)DATA;
    CHECK(domctl(&op, XEN_DOMCTL_get_cpu_policy, 0) == 0);
    /* xen-cpuid -p takes no other leaves than these, and subleaves of a few only. */
    const struct xen_cpuid_leaf *leaf = (void *)guest(DATA);
    for (unsigned i = 0; i < op.u.cpu_policy.nr_leaves; i++) {
        CHECK(leaf[i].leaf <= 0xd || leaf[i].leaf == 0x40000000 || leaf[i].leaf - 0x80000000 <= 0x21);
        bool parts = leaf[i].leaf == 4 || leaf[i].leaf == 7 || leaf[i].leaf == 0xb || leaf[i].leaf == 0xd;
        CHECK(parts == (leaf[i].subleaf != XEN_CPUID_NO_SUBLEAF));
    }
    op.u.cpu_policy.nr_leaves = 2;
    CHECK(domctl(&op, XEN_DOMCTL_get_cpu_policy, 0) == -ENOBUFS);
}

static void test_sysctl(void)
{
    struct xen_sysctl op = { 0 };
    CHECK(sysctl(&op, XEN_SYSCTL_physinfo) == 0 && op.u.physinfo.nr_cpus == 4 && op.u.physinfo.cpu_khz == 2000000);
    CHECK(sysctl(&op, XEN_SYSCTL_sched_id) == 0 && op.u.sched_id.sched_id == XEN_SCHEDULER_CREDIT2);
    memset(&op, 0, sizeof(op));
    op.u.getdomaininfolist.max_domains = 8;
    op.u.getdomaininfolist.buffer.p = (void *)DATA;
    CHECK(sysctl(&op, XEN_SYSCTL_getdomaininfolist) == 0 && op.u.getdomaininfolist.num_domains == 1);
    memset(&op, 0, sizeof(op));
    op.u.readconsole.count = 700;
    op.u.readconsole.buffer.p = (void *)DATA;
    CHECK(sysctl(&op, XEN_SYSCTL_readconsole) == 0 && op.u.readconsole.count == 700 && op.u.readconsole.index == 700);
    op.u.readconsole.incremental = 1;
    CHECK(sysctl(&op, XEN_SYSCTL_readconsole) == 0 && op.u.readconsole.count == 300);
    memset(&op, 0, sizeof(op));
    CHECK(sysctl(&op, XEN_SYSCTL_cputopoinfo) == 0 && op.u.cputopoinfo.num_cpus == 4);
    CHECK(sysctl(&op, XEN_SYSCTL_numainfo) == 0);
    memset(&op, 0, sizeof(op));
    CHECK(sysctl(&op, XEN_SYSCTL_get_cpu_featureset) == 0 && op.u.cpu_featureset.nr_features == 13);
    memset(&op, 0, sizeof(op));
    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
    op.u.cpupool_op.cpumap.bitmap.p = (void *)DATA;
    op.u.cpupool_op.cpumap.nr_bits = 64;
    CHECK(sysctl(&op, XEN_SYSCTL_cpupool_op) == 0 && *guest(DATA) == 0xf && op.u.cpupool_op.n_dom == 1);
    op.u.cpupool_op.cpupool_id = 1;
    CHECK(sysctl(&op, XEN_SYSCTL_cpupool_op) == -ENOENT);
    memset(&op, 0, sizeof(op));
    op.u.get_pmstat.type = PMSTAT_get_max_cx;
    CHECK(sysctl(&op, XEN_SYSCTL_get_pmstat) == 0 && op.u.get_pmstat.u.getcx.nr == 2);
    op.u.get_pmstat.type = PMSTAT_get_cxstat;
    op.u.get_pmstat.u.getcx.nr = 9;
    op.u.get_pmstat.u.getcx.residencies.p = (void *)DATA;
    memset(guest(DATA), 0xff, 24);
    CHECK(sysctl(&op, XEN_SYSCTL_get_pmstat) == 0 && op.u.get_pmstat.u.getcx.nr == 2);
    CHECK(((uint64_t *)guest(DATA))[0] + ((uint64_t *)guest(DATA))[1] == fake_now &&
          ((uint64_t *)guest(DATA))[2] == ~0ull);
    op.u.get_pmstat.type = PMSTAT_get_max_px;
    CHECK(sysctl(&op, XEN_SYSCTL_get_pmstat) == -ENODEV);
    op.u.get_pmstat.cpuid = 4;
    CHECK(sysctl(&op, XEN_SYSCTL_get_pmstat) == -EINVAL);
    memset(&op, 0, sizeof(op));
    CHECK(sysctl(&op, XEN_SYSCTL_tbuf_op) == -ENOSYS && sysctl(&op, 77) == -ENOSYS);
    op.u.debug_keys.keys.p = (void *)DATA;
    op.u.debug_keys.nr_keys = 2;
    CHECK(sysctl(&op, XEN_SYSCTL_debug_keys) == 0 && fake_keys == 2);
}

static long platform(struct xen_platform_op *op, uint32_t cmd)
{
    op->cmd = cmd;
    op->interface_version = XENPF_INTERFACE_VERSION;
    memcpy(guest(ARG), op, sizeof(*op));
    long rc = call(__HYPERVISOR_platform_op, ARG, 0, 0);
    memcpy(op, guest(ARG), sizeof(*op));
    return rc;
}

static void test_platform(void)
{
    struct xen_platform_op op = { 0 };
    op.u.settime64 = (struct xenpf_settime64){ .secs = 2000000000, .nsecs = 5, .system_time = 5 };
    CHECK(platform(&op, XENPF_settime64) == 0 && self->domain->shared_info->wc_sec == 2000000000);
    op.u.settime64.nsecs = 1000000000;
    CHECK(platform(&op, XENPF_settime64) == -EINVAL);
    memset(&op, 0, sizeof(op));
    op.u.efi_runtime_call.function = XEN_EFI_get_variable;
    memcpy(guest(DATA), u"Boot", 10);
    op.u.efi_runtime_call.u.get_variable.name.p = (void *)DATA;
    CHECK(platform(&op, XENPF_efi_runtime_call) == 0 && op.u.efi_runtime_call.status == (BIT(63) | 5));
    CHECK(op.u.efi_runtime_call.u.get_variable.size == 4);
    op.u.efi_runtime_call.misc = 0;
    op.u.efi_runtime_call.u.get_variable.data.p = (void *)(DATA + 64);
    CHECK(platform(&op, XENPF_efi_runtime_call) == 0 && !strcmp((char *)guest(DATA + 64), "var"));
    memset(guest(DATA), 'x', 2 * PAGE_SIZE); /* a name without end */
    op.u.efi_runtime_call.misc = 0;
    CHECK(platform(&op, XENPF_efi_runtime_call) == -EINVAL);
    memset(&op, 0, sizeof(op));
    op.u.firmware_info.type = XEN_FW_EFI_INFO;
    op.u.firmware_info.index = XEN_FW_EFI_VENDOR;
    op.u.firmware_info.u.efi_info.vendor.bufsz = 6;
    op.u.firmware_info.u.efi_info.vendor.name.p = (void *)DATA;
    CHECK(platform(&op, XENPF_firmware_info) == 0 && !memcmp(guest(DATA), u"ed", 6));
    op.u.pcpu_info.xen_cpuid = 1;
    CHECK(platform(&op, XENPF_get_cpuinfo) == 0 && op.u.pcpu_info.acpi_id == 2 && op.u.pcpu_info.max_present == 3);
    memset(&op, 0, sizeof(op));
    op.u.set_pminfo.id = 2;
    op.u.set_pminfo.type = XEN_PM_PX;
    op.u.set_pminfo.u.perf.flags = XEN_PX_PSS;
    op.u.set_pminfo.u.perf.state_count = 40;
    op.u.set_pminfo.u.perf.states.p = (void *)DATA;
    ((struct xen_processor_px *)guest(DATA))[1].core_frequency = 1800;
    CHECK(platform(&op, XENPF_set_processor_pminfo) == 0);
    op.u.set_pminfo.id = 99;
    CHECK(platform(&op, XENPF_set_processor_pminfo) == -EINVAL);
    struct xen_sysctl s = { 0 };
    s.u.get_pmstat.type = PMSTAT_get_pxstat;
    s.u.get_pmstat.cpuid = 1;
    s.u.get_pmstat.u.getpx.total = 2;
    s.u.get_pmstat.u.getpx.pt.p = (void *)DATA;
    CHECK(sysctl(&s, XEN_SYSCTL_get_pmstat) == 0 && s.u.get_pmstat.u.getpx.total == 16);
    CHECK(((struct pm_px_val *)guest(DATA))[1].freq == 1800);
    s.u.get_pmstat.cpuid = 0;
    CHECK(sysctl(&s, XEN_SYSCTL_get_pmstat) == -ENODEV);
    memset(&op, 0, sizeof(op));
    op.u.enter_acpi_sleep.sleep_state = 3;
    CHECK(platform(&op, XENPF_enter_acpi_sleep) == 0 && fake_slept == 3);
    op.u.enter_acpi_sleep.sleep_state = 6;
    CHECK(platform(&op, XENPF_enter_acpi_sleep) == -EINVAL && platform(&op, XENPF_get_symbol) == -ENOSYS);
}

static void test_physdev_and_console(void)
{
    struct physdev_pci_device_add a = { .seg = 0, .bus = 0, .devfn = 8 };
    memset(fake_pci, 0xff, sizeof(fake_pci));
    CHECK(call_with(__HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_add, &a, sizeof(a)) == -ENODEV);
    memset(fake_pci[8], 0x11, 4);
    CHECK(call_with(__HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_add, &a, sizeof(a)) == 0 && fake_devices == 1);
    CHECK(call_with(__HYPERVISOR_physdev_op, PHYSDEVOP_pci_device_remove, &a, sizeof(a)) == 0 && fake_devices == 0);
    CHECK(call(__HYPERVISOR_physdev_op, PHYSDEVOP_map_pirq, ARG, 0) == -ENOSYS);
    CHECK(call(__HYPERVISOR_physdev_op, PHYSDEVOP_restore_msi_ext, ARG, 0) == 0);
    memset(guest(DATA), 'a', 1000);
    CHECK(call(__HYPERVISOR_console_io, CONSOLEIO_write, 1000, DATA) == 0 && fake_console_used == 1000);
    CHECK(call(__HYPERVISOR_console_io, CONSOLEIO_read, 100, DATA) == 5 && !memcmp(guest(DATA), "typed", 5));
    CHECK(call(__HYPERVISOR_console_io, CONSOLEIO_write, 10, BAD) == -EFAULT);
}

/* What a plain guest may not do: each operation of the control domain's doors, and each one of the others that names
 * another domain or the machine. */
static void test_unprivileged(void)
{
    static const uint8_t doors[] = { __HYPERVISOR_platform_op, __HYPERVISOR_console_io, __HYPERVISOR_physdev_op,
                                     __HYPERVISOR_sysctl, __HYPERVISOR_domctl };
    /* The domain's number comes first in each structure, but where `at` says otherwise. */
    static const struct {
        uint8_t number, cmd, at;
    } named[] = {
        { __HYPERVISOR_memory_op, XENMEM_add_to_physmap },
        { __HYPERVISOR_memory_op, XENMEM_add_to_physmap_batch },
        { __HYPERVISOR_memory_op, XENMEM_remove_from_physmap },
        { __HYPERVISOR_memory_op, XENMEM_acquire_resource },
        { __HYPERVISOR_memory_op, XENMEM_set_pod_target, offsetof(xen_pod_target_t, domid) },
        { __HYPERVISOR_memory_op, XENMEM_get_pod_target, offsetof(xen_pod_target_t, domid) },
        { __HYPERVISOR_event_channel_op, EVTCHNOP_alloc_unbound },
        { __HYPERVISOR_event_channel_op, EVTCHNOP_status },
        { __HYPERVISOR_hvm_op, HVMOP_set_param, 0 },
        { __HYPERVISOR_hvm_op, HVMOP_get_param, 0 },
    };
    struct domain *other = domain_create(7, 1);
    struct frame_stats before, after;
    fake_ram(other, 4);
    self->domain->control = false;
    memset(guest(ARG), 0, 256);
    for (unsigned i = 0; i < ARRAY_SIZE(doors); i++)
        for (uint32_t cmd = 0; cmd < 100; cmd++) {
            ((uint32_t *)guest(ARG))[0] = cmd;
            ((uint32_t *)guest(ARG))[1] =
                doors[i] == __HYPERVISOR_platform_op ? XENPF_INTERFACE_VERSION : XEN_DOMCTL_INTERFACE_VERSION;
            bool direct = doors[i] == __HYPERVISOR_physdev_op || doors[i] == __HYPERVISOR_console_io;
            CHECK(call(doors[i], direct ? cmd : ARG, direct ? ARG : 0, DATA) == -EPERM);
        }
    for (unsigned i = 0; i < ARRAY_SIZE(named); i++) {
        memset(guest(ARG), 0, 256);
        ((uint16_t *)guest(ARG))[1] = XENMEM_resource_grant_table; /* padding, or does not matter, in the others */
        *(domid_t *)(guest(ARG) + named[i].at) = 7;
        CHECK(call(named[i].number, named[i].cmd, ARG, 1) == -EPERM);
    }
    uint64_t *g = (void *)guest(DATA);
    g[0] = 1;
    frame_stats(&before);
    CHECK(reserve(XENMEM_populate_physmap, 1, 0, 7) == 0 && reserve(XENMEM_decrease_reservation, 1, 0, 7) == 0);
    frame_stats(&after);
    CHECK(before.free == after.free && other->p2m.ram == 4);
    CHECK(call(__HYPERVISOR_xen_version, XENVER_commandline, DATA, 0) == 0 && !*guest(DATA));
    CHECK(other->shutdown_code == DOMAIN_IS_UP);
    self->domain->control = true;
    while (domain_kill(other) == -ERESTART) {
    }
    domain_put(other);
}

int main(void)
{
    fake_metal_init(256);
    fake_now = 1000000;
    fake_control_domain(2);
    self = hv_control_domain->vcpu[0];
    test_dispatch();
    test_version();
    test_reservations();
    test_physmap();
    test_memory_facts();
    test_vcpu();
    test_hvm();
    test_sched_op();
    test_domctl();
    test_sysctl();
    test_platform();
    test_physdev_and_console();
    test_unprivileged();
    struct sched_shutdown down = { SHUTDOWN_reboot };
    CHECK(call_with(__HYPERVISOR_sched_op, SCHEDOP_shutdown, &down, sizeof(down)) == 0 &&
          fake_ended == SHUTDOWN_reboot);
    return 0;
}
