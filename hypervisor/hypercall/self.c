/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Hypercalls about the caller itself: scheduling and timers, its vCPUs, HVM parameters, the version, the console, and
 * several calls in one (sched.h, vcpu.h, hvm/hvm_op.h, hvm/params.h, version.h, xen.h of the ABI).
 */
#include "doors.h"

#include <hv/console.h>
#include <hv/domain.h>
#include <hv/evtchn.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/sched.h>

#include <xen/xen.h>
#include <xen/hvm/hvm_op.h>
#include <xen/hvm/hvm_vcpu.h>
#include <xen/hvm/params.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define POLL_MAX 128
#define PERIOD_MIN_NS 1000000
#define PERIOD_MAX_NS (BIT(62))
#define SECOND_NS 1000000000ull

/* --- sched_op --------------------------------------------------------------------------------------------------- */

static long sched_poll(struct hc_call *c)
{
    struct sched_poll poll;
    struct vcpu *v = c->v;
    evtchn_port_t ports[POLL_MAX];
    if (c->abi32) {
        struct {
            uint32_t ports, count;
            uint64_t timeout;
        } poll32;
        if (guest_read(v, &poll32, c->arg[1], sizeof(poll32)))
            return -EFAULT;
        poll = (struct sched_poll){ .nr_ports = poll32.count, .timeout = poll32.timeout };
        set_xen_guest_handle_raw(poll.ports, (evtchn_port_t *)(uintptr_t)poll32.ports);
    } else if (guest_read(v, &poll, c->arg[1], sizeof(poll))) {
        return -EFAULT;
    }
    if (poll.nr_ports > POLL_MAX)
        return -EINVAL;
    if (guest_read(v, ports, (uintptr_t)poll.ports.p, poll.nr_ports * sizeof(ports[0])))
        return -EFAULT;
    for (unsigned i = 0; i < poll.nr_ports; i++)
        if (!evtchn_port_valid(c->d, ports[i]))
            return -EINVAL;
    v->poll_port = poll.nr_ports == 1 ? ports[0] : 0;
    v->poll_until = poll.timeout ? poll.timeout : ~0ull;
    vcpu_block(v, BLOCK_POLL);
    /* Whoever sends from here on sees that we wait; what was sent before, we see. */
    for (unsigned i = 0; i < poll.nr_ports; i++)
        if (evtchn_is_pending(c->d, ports[i])) {
            v->poll_until = ~0ull;
            vcpu_wake(v, BLOCK_POLL);
            break;
        }
    return 0;
}

static long sched_shut(struct hc_call *c, bool now)
{
    struct sched_shutdown arg;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    if (now) {
        domain_shutdown(c->d, arg.reason & 0xff);
        return 0;
    }
    uint32_t none = ~0u;
    atomic_compare_exchange_strong(&c->d->shutdown_code, &none, arg.reason & 0xff);
    return 0;
}

static long sched_remote_shutdown(struct hc_call *c)
{
    struct sched_remote_shutdown arg;
    struct domain *d;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    int rc = door_domain(c, arg.domain_id, &d);
    if (rc)
        return rc;
    domain_shutdown(d, arg.reason & 0xff);
    domain_put(d);
    return 0;
}

static long sched_watchdog(struct hc_call *c)
{
    struct sched_watchdog arg;
    struct domain *d = c->d;
    long rc = 0;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    if (arg.id > ARRAY_SIZE(d->watchdog) || (!arg.id && !arg.timeout))
        return -EINVAL;
    uint64_t when = arg.timeout ? metal_now() + arg.timeout * SECOND_NS : ~0ull;
    spin_lock(&d->lock);
    if (arg.id) {
        d->watchdog[arg.id - 1] = when;
    } else {
        unsigned slot = d->watchdog[0] == ~0ull ? 0 : 1;
        rc = d->watchdog[slot] == ~0ull ? (long)slot + 1 : -ENOSPC;
        if (rc > 0)
            d->watchdog[slot] = when;
    }
    spin_unlock(&d->lock);
    vcpu_kick(d->vcpu[0], WORK_TIMER); /* it keeps the alarm */
    return rc;
}

long hc_sched(struct hc_call *c)
{
    switch (c->arg[0]) {
    case SCHEDOP_yield: sched_yield(c->v); return 0;
    case SCHEDOP_block: vcpu_block(c->v, BLOCK_HALT); return 0;
    case SCHEDOP_shutdown: return sched_shut(c, true);
    case SCHEDOP_shutdown_code: return sched_shut(c, false);
    case SCHEDOP_poll: return sched_poll(c);
    case SCHEDOP_remote_shutdown: return sched_remote_shutdown(c);
    case SCHEDOP_watchdog: return sched_watchdog(c);
    case SCHEDOP_pin_override: return -EPERM;
    default: return -ENOSYS;
    }
}

long hc_set_timer(struct hc_call *c)
{
    uint64_t when = c->abi32 ? c->arg[0] | c->arg[1] << 32 : c->arg[0];
    c->v->singleshot = when ? when : ~0ull;
    atomic_fetch_or(&c->v->work, WORK_TIMER); /* the loop sets its alarm, or raises it at once */
    return 0;
}

/* --- vcpu_op ---------------------------------------------------------------------------------------------------- */

/* Whether its state may be touched: it is the caller, or it does not run. */
static bool stands_still(struct hc_call *c, struct vcpu *v)
{
    return v == c->v || (atomic_load(&v->blocked) & BLOCK_DOWN && !sched_running(v));
}

/* Access rights in the ABI are as in a VMCB: type, S, DPL, P in 7:0 and AVL, L, D/B, G in 11:8 (hvm_vcpu.h). */
static void state_from_32(const struct vcpu_hvm_x86_32 *r, struct regs *regs, struct vcpu_state *s)
{
    const uint32_t gprs[] = { r->eax, r->ecx, r->edx, r->ebx, r->esp, r->ebp, r->esi, r->edi };
    for (unsigned i = 0; i < ARRAY_SIZE(gprs); i++)
        regs->r[i] = gprs[i];
    regs->rip = r->eip;
    regs->rflags = r->eflags | 2;
    s->cr0 = r->cr0;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    s->seg[SEG_CS] = (struct segment){ 0, (r->cs_ar & 0xfff), r->cs_limit, r->cs_base };
    s->seg[SEG_DS] = (struct segment){ 0, (r->ds_ar & 0xfff), r->ds_limit, r->ds_base };
    s->seg[SEG_SS] = (struct segment){ 0, (r->ss_ar & 0xfff), r->ss_limit, r->ss_base };
    s->seg[SEG_ES] = (struct segment){ 0, (r->es_ar & 0xfff), r->es_limit, r->es_base };
    s->seg[SEG_TR] = (struct segment){ 0, (r->tr_ar & 0xfff), r->tr_limit, r->tr_base };
}

static void state_from_64(const struct vcpu_hvm_x86_64 *r, struct regs *regs, struct vcpu_state *s)
{
    const uint64_t gprs[] = { r->rax, r->rcx, r->rdx, r->rbx, r->rsp, r->rbp, r->rsi, r->rdi };
    for (unsigned i = 0; i < ARRAY_SIZE(gprs); i++)
        regs->r[i] = gprs[i];
    regs->rip = r->rip;
    regs->rflags = r->rflags | 2;
    s->cr0 = r->cr0;
    s->cr3 = r->cr3;
    s->cr4 = r->cr4;
    s->efer = r->efer;
    s->seg[SEG_CS] = (struct segment){ 0, 0xa9b, ~0u, 0 };
    s->seg[SEG_DS] = s->seg[SEG_ES] = s->seg[SEG_SS] = (struct segment){ 0, 0xc93, ~0u, 0 };
    s->seg[SEG_TR] = (struct segment){ 0, 0x08b, 0x67, 0 };
}

#define EFER_KNOWN (BIT(0) | BIT(8) | BIT(10) | BIT(11))

/* What VMRUN would refuse (APM2 15.5.1) is refused here. */
static bool state_valid(const struct vcpu_state *s)
{
    bool paging = s->cr0 & BIT(31), lme = s->efer & BIT(8), pae = s->cr4 & BIT(5);
    if (s->efer & ~EFER_KNOWN || s->cr0 >> 32 || s->cr4 >> 32 || s->cr3 >> 52)
        return false;
    return !(paging && !(s->cr0 & 1)) && !(lme && paging && !pae) && !(s->cr0 & BIT(29) && !(s->cr0 & BIT(30))) &&
           !!(s->efer & BIT(10)) == (lme && paging);
}

static long vcpu_initialise(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_hvm_context arg;
    struct vcpu_state s;
    struct regs regs = { .rip = 0 };
    if (guest_read(c->v, &arg, c->arg[2], sizeof(arg)))
        return -EFAULT;
    if (arg.mode > VCPU_HVM_MODE_64B || arg.pad)
        return -EINVAL;
    spin_lock(&c->d->lock);
    long rc = -EEXIST;
    if (v->initialised || v == c->v || !stands_still(c, v))
        goto unlock;
    hv->state_get(v, &s);
    if (arg.mode == VCPU_HVM_MODE_32B)
        state_from_32(&arg.cpu_regs.x86_32, &regs, &s);
    else
        state_from_64(&arg.cpu_regs.x86_64, &regs, &s);
    rc = -EINVAL;
    if (!state_valid(&s))
        goto unlock;
    s.cpl = 0;
    v->regs = regs;
    hv->state_put(v, &s);
    v->initialised = true;
    rc = 0;
unlock:
    spin_unlock(&c->d->lock);
    return rc;
}

static long vcpu_up(struct vcpu *v)
{
    if (!v->initialised)
        return -EINVAL;
    vcpu_wake(v, BLOCK_DOWN);
    return 0;
}

/* The last one that goes down takes the domain with it. */
static long vcpu_down(struct hc_call *c, struct vcpu *v)
{
    unsigned up = 0;
    spin_lock(&c->d->lock);
    for (unsigned i = 0; i < c->d->max_vcpus; i++)
        up += c->d->vcpu[i] != v && !(atomic_load(&c->d->vcpu[i]->blocked) & BLOCK_DOWN);
    if (up) {
        atomic_fetch_or(&v->blocked, BLOCK_DOWN);
        vcpu_kick(v, WORK_PAUSE);
    }
    spin_unlock(&c->d->lock);
    if (!up)
        domain_shutdown(c->d, SHUTDOWN_poweroff);
    return 0;
}

static long vcpu_register(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_register_vcpu_info arg;
    uint64_t linear;
    int rc;
    if (!stands_still(c, v))
        return -EINVAL;
    if (c->arg[0] == VCPUOP_register_vcpu_info) {
        if (guest_read(c->v, &arg, c->arg[2], sizeof(arg)))
            return -EFAULT;
        return vcpu_register_info(v, gfn(arg.mfn), arg.offset);
    }
    /* Both structures are one linear address. */
    if (guest_read(c->v, &linear, c->arg[2], sizeof(linear)))
        return -EFAULT;
    if (c->arg[0] == VCPUOP_register_vcpu_time_memory_area) {
        rc = vcpu_register_area(c->v, &v->time_area, linear, sizeof(struct vcpu_time_info));
        if (!rc)
            vcpu_update_time(v);
        return rc;
    }
    rc = vcpu_register_area(c->v, &v->runstate_area, linear, sizeof(struct vcpu_runstate_info));
    if (!rc)
        vcpu_update_runstate(v, metal_now());
    return rc;
}

static long vcpu_timer(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_set_singleshot_timer single;
    uint64_t period = 0, now = metal_now();
    bool periodic = c->arg[0] == VCPUOP_set_periodic_timer || c->arg[0] == VCPUOP_stop_periodic_timer;
    if (periodic ? !stands_still(c, v) : v != c->v)
        return -EINVAL;
    if (c->arg[0] == VCPUOP_set_periodic_timer) {
        if (guest_read(c->v, &period, c->arg[2], sizeof(period)))
            return -EFAULT;
        if (period < PERIOD_MIN_NS || period > PERIOD_MAX_NS)
            return -EINVAL;
    } else if (c->arg[0] == VCPUOP_set_singleshot_timer) {
        if (guest_read(c->v, &single, c->arg[2], sizeof(single)))
            return -EFAULT;
        if (single.flags & VCPU_SSHOTTMR_future && single.timeout_abs_ns < now)
            return -ETIME;
        v->singleshot = single.timeout_abs_ns;
    } else if (!periodic) {
        v->singleshot = ~0ull;
    }
    if (periodic) {
        v->period = period;
        v->period_next = now + period;
    }
    atomic_fetch_or(&v->work, WORK_TIMER);
    return 0;
}

static long vcpu_runstate(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_runstate_info info = { .state = v->sched.state, .state_entry_time = v->sched.state_since };
    sched_runstate(v, metal_now(), info.time);
    return guest_write(c->v, c->arg[2], &info, sizeof(info));
}

static long vcpu_physid(struct hc_call *c, struct vcpu *v)
{
    struct vcpu_get_physid id;
    unsigned count = 0, cpu = 0;
    for (unsigned i = 0; i < metal_nr_cpus(); i++)
        if (load_relaxed(&v->affinity_hard[i / 64]) & BIT(i % 64)) {
            cpu = i;
            count++;
        }
    if (!c->d->control || count != 1) /* it means nothing for one that moves */
        return -EINVAL;
    id.phys_id = hv_machine.cpu[cpu].apic_id | (uint64_t)hv_machine.cpu[cpu].acpi_id << 32;
    return guest_write(c->v, c->arg[2], &id, sizeof(id));
}

long hc_vcpu(struct hc_call *c)
{
    struct vcpu *v = c->arg[1] < c->d->max_vcpus ? c->d->vcpu[c->arg[1]] : NULL;
    if (!v)
        return -ENOENT;
    switch (c->arg[0]) {
    case VCPUOP_initialise: return vcpu_initialise(c, v);
    case VCPUOP_up: return vcpu_up(v);
    case VCPUOP_down: return vcpu_down(c, v);
    case VCPUOP_is_up: return !(atomic_load(&v->blocked) & BLOCK_DOWN);
    case VCPUOP_get_runstate_info: return vcpu_runstate(c, v);
    case VCPUOP_register_vcpu_info:
    case VCPUOP_register_runstate_memory_area:
    case VCPUOP_register_vcpu_time_memory_area: return vcpu_register(c, v);
    case VCPUOP_set_periodic_timer:
    case VCPUOP_stop_periodic_timer:
    case VCPUOP_set_singleshot_timer:
    case VCPUOP_stop_singleshot_timer: return vcpu_timer(c, v);
    case VCPUOP_send_nmi:
        if (c->arg[2])
            return -EINVAL;
        vcpu_kick(v, WORK_NMI);
        return 0;
    case VCPUOP_get_physid: return vcpu_physid(c, v);
    default: return -ENOSYS;
    }
}

/* --- hvm_op ----------------------------------------------------------------------------------------------------- */

enum { SELF_SET = 1, SELF_GET = 2, TOOL_SET = 4, TOOL_GET = 8, ONCE = 16, TOOLS = TOOL_SET | TOOL_GET, ALL = 15 };

/* Who may do what with which parameter; the others do not exist for anyone. */
static const uint8_t param_rules[HVM_NR_PARAMS] = {
    [HVM_PARAM_CALLBACK_IRQ] = ALL,
    [HVM_PARAM_STORE_PFN] = TOOLS | SELF_GET,
    [HVM_PARAM_STORE_EVTCHN] = ALL,
    [HVM_PARAM_PAE_ENABLED] = TOOLS,
    [HVM_PARAM_IOREQ_PFN] = TOOLS,
    [HVM_PARAM_BUFIOREQ_PFN] = TOOLS,
    [HVM_PARAM_TIMER_MODE] = TOOLS,
    [HVM_PARAM_HPET_ENABLED] = TOOLS,
    [HVM_PARAM_IDENT_PT] = TOOLS,
    [HVM_PARAM_DM_DOMAIN] = TOOLS,
    [HVM_PARAM_ACPI_S_STATE] = TOOLS | SELF_GET,
    [HVM_PARAM_VM86_TSS] = ALL,
    [HVM_PARAM_VPT_ALIGN] = TOOLS,
    [HVM_PARAM_CONSOLE_PFN] = TOOLS | SELF_GET,
    [HVM_PARAM_CONSOLE_EVTCHN] = ALL,
    [HVM_PARAM_ACPI_IOPORTS_LOCATION] = ALL,
    [HVM_PARAM_NESTEDHVM] = TOOLS,
    [HVM_PARAM_TRIPLE_FAULT_REASON] = TOOLS,
    [HVM_PARAM_VIRIDIAN] = TOOLS | ONCE,
    [HVM_PARAM_IOREQ_SERVER_PFN] = TOOLS | ONCE,
    [HVM_PARAM_NR_IOREQ_SERVER_PAGES] = TOOLS | ONCE,
    [HVM_PARAM_VM_GENERATION_ID_ADDR] = ALL,
    [HVM_PARAM_ALTP2M] = TOOLS | SELF_GET | ONCE,
    [HVM_PARAM_X87_FIP_WIDTH] = ALL,
    [HVM_PARAM_VM86_TSS_SIZED] = ALL,
    [HVM_PARAM_MCA_CAP] = TOOLS | ONCE,
};

/* How events are announced: type in bits 63:56 (params.h). */
static int set_callback(struct domain *d, uint64_t value)
{
    uint8_t vector = 0, gsi = 0;
    unsigned device = value >> 11 & 31, pin = value & 3;
    switch (value >> 56) {
    case HVM_PARAM_CALLBACK_TYPE_VECTOR:
        vector = value;
        if (vector < 0x10)
            return -EINVAL;
        break;
    case HVM_PARAM_CALLBACK_TYPE_PCI_INTX: /* the PC's wiring of a flat bus 0: GSI 16 and up */
        gsi = 16 + ((device * 4 + device / 8 + pin) & 31);
        break;
    case HVM_PARAM_CALLBACK_TYPE_GSI: gsi = value; break;
    default: return -EINVAL;
    }
    d->callback_vector = vector;
    d->callback_gsi = gsi;
    for (unsigned i = 0; i < d->max_vcpus; i++)
        if (evtchn_upcall_pending(d->vcpu[i]))
            vcpu_kick(d->vcpu[i], WORK_EVENT);
    return 0;
}

static bool param_valid(uint32_t index, uint64_t value)
{
    switch (index) {
    case HVM_PARAM_TIMER_MODE: return value <= HVMPTM_one_missed_tick_pending;
    case HVM_PARAM_ACPI_S_STATE: return value == 0 || value == 3;
    case HVM_PARAM_NESTEDHVM: /* none of these exists here */
    case HVM_PARAM_VIRIDIAN:
    case HVM_PARAM_ALTP2M:
    case HVM_PARAM_MCA_CAP: return value == 0;
    case HVM_PARAM_X87_FIP_WIDTH: return value == 0 || value == 4 || value == 8;
    case HVM_PARAM_TRIPLE_FAULT_REASON: return value <= SHUTDOWN_MAX;
    default: return true;
    }
}

static int param_set(struct domain *d, const struct xen_hvm_param *p)
{
    if (!param_valid(p->index, p->value))
        return -EINVAL;
    spin_lock(&d->lock);
    uint64_t *param = &d->hvm_params[p->index];
    int rc = 0;
    if (param_rules[p->index] & ONCE && *param && *param != p->value)
        rc = -EEXIST;
    else if (p->index == HVM_PARAM_CALLBACK_IRQ)
        rc = set_callback(d, p->value);
    if (!rc)
        *param = p->value;
    spin_unlock(&d->lock);
    return rc;
}

static long hvm_param(struct hc_call *c, bool set)
{
    struct xen_hvm_param p;
    struct domain *d;
    if (guest_read(c->v, &p, c->arg[1], sizeof(p)))
        return -EFAULT;
    if (p.index >= HVM_NR_PARAMS || !param_rules[p.index])
        return -EINVAL;
    int rc = door_domain(c, p.domid, &d);
    if (rc)
        return rc;
    uint8_t may = d == c->d ? (set ? SELF_SET : SELF_GET) : (set ? TOOL_SET : TOOL_GET);
    if (!(param_rules[p.index] & may))
        rc = -EPERM;
    else if (set)
        rc = param_set(d, &p);
    else
        p.value = d->hvm_params[p.index];
    domain_put(d);
    if (!rc && !set && guest_write(c->v, c->arg[1], &p, sizeof(p)))
        rc = -EFAULT;
    return rc;
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

static long hvm_mem_type(struct hc_call *c)
{
    struct xen_hvm_get_mem_type arg;
    struct domain *d;
    if (guest_read(c->v, &arg, c->arg[1], sizeof(arg)))
        return -EFAULT;
    int rc = door_domain(c, arg.domid, &d);
    if (rc)
        return rc;
    enum p2m_type type = p2m_lookup(&d->p2m, gfn(arg.pfn)).type;
    domain_put(d);
    arg.mem_type = type == P2M_RAM_RO || type == P2M_GRANT_RO ? HVMMEM_ram_ro : HVMMEM_ram_rw;
    if (type == P2M_NONE || type == P2M_MMIO)
        arg.mem_type = HVMMEM_mmio_dm;
    return guest_write(c->v, c->arg[1], &arg, sizeof(arg));
}

long hc_hvm(struct hc_call *c)
{
    struct xen_hvm_get_time time;
    switch (c->arg[0]) {
    case HVMOP_set_param: return hvm_param(c, true);
    case HVMOP_get_param: return hvm_param(c, false);
    case HVMOP_set_evtchn_upcall_vector: return hvm_upcall_vector(c);
    case HVMOP_get_mem_type: return hvm_mem_type(c);
    case HVMOP_flush_tlbs:
        if (c->arg[1])
            return -EINVAL;
        metal_flush_p2m(c->d);
        return 0;
    case HVMOP_get_time: time.now = metal_now(); return guest_write(c->v, c->arg[1], &time, sizeof(time));
    case HVMOP_altp2m: return -EOPNOTSUPP;
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

static long put_parameters(struct hc_call *c)
{
    uint64_t virt_start = 0; /* nothing of ours is in the guest's address space */
    return guest_write(c->v, c->arg[1], &virt_start, c->abi32 ? 4 : 8);
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
    case XENVER_platform_parameters: return put_parameters(c);
    case XENVER_get_features: return put_features(c);
    case XENVER_pagesize: return c->arg[1] ? -EINVAL : (long)PAGE_SIZE;
    case XENVER_guest_handle: return guest_write(c->v, c->arg[1], c->d->handle, sizeof(c->d->handle));
    case XENVER_commandline:
        if (!c->d->control || !hv_machine.command_line)
            return put_string(c, "", sizeof(xen_commandline_t));
        return put_string(c, hv_machine.command_line, sizeof(xen_commandline_t));
    case XENVER_build_id: return c->d->control ? -ENODATA : -EPERM;
    default: return -ENOSYS;
    }
}

/* --- the rest --------------------------------------------------------------------------------------------------- */

long hc_vm_assist(struct hc_call *c)
{
    if (c->arg[1] != VMASST_TYPE_runstate_update_flag)
        return -EINVAL;
    if (c->arg[0] == VMASST_CMD_enable)
        c->d->vm_assist |= BIT(VMASST_TYPE_runstate_update_flag);
    else if (c->arg[0] == VMASST_CMD_disable)
        c->d->vm_assist &= ~BIT(VMASST_TYPE_runstate_update_flag);
    else
        return -ENOSYS;
    return 0;
}

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
