/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * platform_op (platform.h of the ABI): what the control domain does for the machine and asks of it: wall clock, EFI
 * runtime services and tables, sleep, processors and their power states.
 */
#include "doors.h"

#include <hv/domain.h>
#include <hv/efi.h>
#include <hv/frame.h>
#include <hv/lib.h>
#include <hv/machine.h>
#include <hv/metal.h>
#include <hv/sched.h>

#include <xen/xen.h>
#include <xen/platform.h>

#define NS 1000000000ull
#define NAME_MAX_BYTES PAGE_SIZE
#define DATA_ORDER 4   /* variables of up to 64 KiB */
#define VENDOR_MAX 128 /* bytes */
#define DATA_MAX (PAGE_SIZE << DATA_ORDER)

_Static_assert(sizeof(struct xen_platform_op) == 136, "layout of interface version 0x03000001");
_Static_assert(sizeof(struct efi_guid) == sizeof(struct xenpf_efi_guid), "the same GUID");

struct pm_data door_pm_data[MACHINE_MAX_CPUS];

/* --- time --------------------------------------------------------------------------------------------------------- */

/* The wall clock said secs.nsecs when system time was `system_time`. */
static long settime64(struct hc_call *c, struct xen_platform_op *op)
{
    const struct xenpf_settime64 *t = &op->u.settime64;
    if (t->mbz || t->nsecs >= NS || t->secs > INT64_MAX / NS || t->system_time > t->secs * NS + t->nsecs)
        return -EINVAL;
    domain_set_wallclock(t->secs * NS + t->nsecs - t->system_time);
    return 0;
}

/* --- EFI runtime services --------------------------------------------------------------------------------------- */

/* A name of at most a page, with its end; what follows it may not be readable. */
static long read_name(struct hc_call *c, uint16_t *name, uint64_t at)
{
    for (unsigned i = 0; i < NAME_MAX_BYTES / 2; i++) {
        if (guest_read(c->v, &name[i], at + 2 * i, 2))
            return -EFAULT;
        if (!name[i])
            return 0;
    }
    return -EINVAL;
}

static struct efi_guid *guid(struct xenpf_efi_guid *g) { return (struct efi_guid *)g; }

static long get_variable(struct hc_call *c, struct xenpf_efi_runtime_call *e, uint16_t *name, void *data)
{
    uint64_t room = MIN(e->u.get_variable.size, DATA_MAX), size = room;
    e->status = efi_leave(efi_enter()->get_variable(name, guid(&e->u.get_variable.vendor_guid), &e->misc, &size, data));
    e->u.get_variable.size = size;
    if (e->status != EFI_SUCCESS)
        return 0;
    return size > room ? -EINVAL : guest_write(c->v, (uintptr_t)e->u.get_variable.data.p, data, size);
}

static long set_variable(struct hc_call *c, struct xenpf_efi_runtime_call *e, uint16_t *name, void *data)
{
    uint64_t size = e->u.set_variable.size;
    if (size > DATA_MAX)
        return -E2BIG;
    if (guest_read(c->v, data, (uintptr_t)e->u.set_variable.data.p, size))
        return -EFAULT;
    e->status = efi_leave(efi_enter()->set_variable(name, guid(&e->u.set_variable.vendor_guid), e->misc, size, data));
    return 0;
}

static long next_variable(struct hc_call *c, struct xenpf_efi_runtime_call *e, uint16_t *name)
{
    uint64_t room = MIN(e->u.get_next_variable_name.size, NAME_MAX_BYTES), size = room;
    e->status = efi_leave(efi_enter()->next_variable(&size, name, guid(&e->u.get_next_variable_name.vendor_guid)));
    e->u.get_next_variable_name.size = size;
    if (e->status != EFI_SUCCESS || size > room)
        return 0;
    return guest_write(c->v, (uintptr_t)e->u.get_next_variable_name.name.p, name, size);
}

static long query_variables(struct xenpf_efi_runtime_call *e)
{
    uint64_t storage = 0, remaining = 0, max_size = 0;
    uint32_t attributes = e->u.query_variable_info.attr;
    e->status = EFI_UNSUPPORTED;
    if (efi_runtime_revision() >= 0x20000)
        e->status = efi_leave(efi_enter()->query_variable_info(attributes, &storage, &remaining, &max_size));
    e->u.query_variable_info.max_store_size = storage;
    e->u.query_variable_info.remain_store_size = remaining;
    e->u.query_variable_info.max_size = max_size;
    return 0;
}

/* Calls that move names and data through buffers of ours. */
static long efi_variable_call(struct hc_call *c, struct xenpf_efi_runtime_call *e)
{
    bool next = e->function == XEN_EFI_get_next_variable_name;
    uint16_t *name = page_alloc();
    void *data = pages_alloc(DATA_ORDER);
    long rc = -ENOMEM;
    if (name && data)
        rc = read_name(c, name, (uintptr_t)(next ? e->u.get_next_variable_name.name.p : e->u.get_variable.name.p));
    if (!rc)
        rc = next                                  ? next_variable(c, e, name)
             : e->function == XEN_EFI_get_variable ? get_variable(c, e, name, data)
                                                   : set_variable(c, e, name, data);
    pages_free(data, DATA_ORDER);
    page_free(name);
    return rc;
}

static long efi_call(struct hc_call *c, struct xen_platform_op *op)
{
    struct xenpf_efi_runtime_call *e = &op->u.efi_runtime_call;
    if (!efi_runtime_revision())
        return -ENOSYS;
    if (e->misc && e->function != XEN_EFI_set_variable)
        return -EINVAL; /* the others have no flags that anybody sets */
    switch (e->function) {
    case XEN_EFI_get_variable:
    case XEN_EFI_set_variable:
    case XEN_EFI_get_next_variable_name: return efi_variable_call(c, e);
    case XEN_EFI_query_variable_info: return query_variables(e);
    default: return -ENOSYS; /* clocks among them: a control domain has the RTC itself */
    }
}

/* --- firmware tables -------------------------------------------------------------------------------------------- */

static long efi_vendor(struct hc_call *c, union xenpf_efi_info *info)
{
    const uint16_t *vendor = paddr_ptr(hv_bootinfo->efi_vendor);
    uint64_t size = 0, room = info->vendor.bufsz & ~1u;
    while (hv_bootinfo->efi_vendor && vendor[size / 2] && size < VENDOR_MAX)
        size += 2;
    static const uint16_t end;
    info->vendor.revision = hv_bootinfo->efi_vendor_revision;
    if (!room)
        return -EINVAL;
    size = MIN(size, room - 2);
    if (guest_write(c->v, (uintptr_t)info->vendor.name.p, vendor, size) ||
        guest_write(c->v, (uintptr_t)info->vendor.name.p + size, &end, sizeof(end)))
        return -EFAULT;
    return 0;
}

static long firmware_info(struct hc_call *c, struct xen_platform_op *op)
{
    union xenpf_efi_info *info = &op->u.firmware_info.u.efi_info;
    if (op->u.firmware_info.type != XEN_FW_EFI_INFO || !efi_runtime_revision())
        return -ENOSYS; /* other types come from a BIOS */
    switch (op->u.firmware_info.index) {
    case XEN_FW_EFI_VERSION: info->version = hv_bootinfo->efi_revision; return 0;
    case XEN_FW_EFI_RT_VERSION: info->version = efi_runtime_revision(); return 0;
    case XEN_FW_EFI_CONFIG_TABLE:
        info->cfg.addr = hv_bootinfo->efi_config_table;
        info->cfg.nent = hv_bootinfo->efi_nr_config_tables;
        return 0;
    case XEN_FW_EFI_VENDOR: return efi_vendor(c, info);
    default: return -ENOENT;
    }
}

/* --- processors ------------------------------------------------------------------------------------------------- */

static long cpu_info(struct hc_call *c, struct xen_platform_op *op)
{
    struct xenpf_pcpuinfo *p = &op->u.pcpu_info;
    p->max_present = metal_nr_cpus() - 1;
    p->flags = XEN_PCPU_FLAGS_INVALID;
    if (p->xen_cpuid < metal_nr_cpus()) {
        p->flags = XEN_PCPU_FLAGS_ONLINE;
        p->apic_id = hv_machine.cpu[p->xen_cpuid].apic_id;
        p->acpi_id = hv_machine.cpu[p->xen_cpuid].acpi_id;
    }
    return 0;
}

/* --- power ------------------------------------------------------------------------------------------------------ */

/* What Linux's ACPI code read in the AML, by ACPI processor number. */
static long set_pm_info(struct hc_call *c, struct xen_platform_op *op)
{
    const struct xenpf_set_processor_pminfo *p = &op->u.set_pminfo;
    const struct xen_processor_performance *perf = &p->u.perf;
    struct xen_processor_px px;
    unsigned cpu = 0;
    if (p->type == XEN_PM_PDC)
        return 0; /* _PDC's capability bits stay as the control domain has them */
    while (cpu < metal_nr_cpus() && hv_machine.cpu[cpu].acpi_id != p->id)
        cpu++;
    if (cpu == metal_nr_cpus())
        return -EINVAL;
    struct pm_data *data = &door_pm_data[cpu];
    if (p->type == XEN_PM_CX)
        data->nr_cx = MIN(p->u.power.count, PM_CX_MAX);
    if (p->type != XEN_PM_PX || !(perf->flags & XEN_PX_PSS))
        return 0; /* no states, but for example a new limit */
    unsigned count = MIN(perf->state_count, PM_PX_MAX);
    for (unsigned i = 0; i < count; i++) {
        if (guest_read(c->v, &px, (uintptr_t)(perf->states.p + i), sizeof(px)))
            return -EFAULT;
        data->px_mhz[i] = px.core_frequency;
    }
    data->nr_px = count;
    return 0;
}

static long enter_sleep(struct hc_call *c, struct xen_platform_op *op)
{
    struct xenpf_enter_acpi_sleep *s = &op->u.enter_acpi_sleep;
    if (s->flags || s->sleep_state < 1 || s->sleep_state > 5)
        return s->flags ? -EOPNOTSUPP : -EINVAL; /* machines without PM1 registers */
    return metal_enter_sleep(c->v, s->sleep_state, s->val_a, s->val_b);
}

/* --- the door --------------------------------------------------------------------------------------------------- */

static long (*const operations[])(struct hc_call *c, struct xen_platform_op *op) = {
    [XENPF_settime64] = settime64,
    [XENPF_efi_runtime_call] = efi_call,
    [XENPF_firmware_info] = firmware_info,
    [XENPF_enter_acpi_sleep] = enter_sleep,
    [XENPF_set_processor_pminfo] = set_pm_info,
    [XENPF_get_cpuinfo] = cpu_info,
};

long hc_platform(struct hc_call *c)
{
    struct xen_platform_op op;
    if (guest_read(c->v, &op, c->arg[0], sizeof(op)))
        return -EFAULT;
    if (op.interface_version != XENPF_INTERFACE_VERSION)
        return -EACCES;
    if (op.cmd >= ARRAY_SIZE(operations) || !operations[op.cmd])
        return -ENOSYS;
    long rc = operations[op.cmd](c, &op);
    if (!rc && guest_write(c->v, c->arg[0], &op, sizeof(op)))
        rc = -EFAULT;
    return rc;
}
