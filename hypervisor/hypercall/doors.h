/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The doors: one function a hypercall number, called by hypercall_run() with the guest's argument registers. A door
 * copies in each structure once, checks the copy, acts through the lower rooms and copies out; its result goes to RAX,
 * or it is HC_AGAIN and `arg` holds what is left to do.
 */
#pragma once

#include <hv/hypercall.h>

struct domain;
struct xen_domctl_getdomaininfo;

long hc_memory(struct hc_call *c);
long hc_event_channel(struct hc_call *c);
long hc_grant_table(struct hc_call *c);
long hc_sched(struct hc_call *c);
long hc_vcpu(struct hc_call *c);
long hc_hvm(struct hc_call *c);
long hc_version(struct hc_call *c);
long hc_console(struct hc_call *c);
long hc_physdev(struct hc_call *c);
long hc_platform(struct hc_call *c);
long hc_sysctl(struct hc_call *c);
long hc_domctl(struct hc_call *c);
long hc_multicall(struct hc_call *c);
long hc_set_timer(struct hc_call *c);

/* --- what doors share -------------------------------------------------------------------------------------------- */
/* Runs hypercall `number` with c->arg: for hypercall_run() and multicalls. */
long hypercall_one(struct hc_call *c, uint64_t number);
/* The domain an operation names (DOMID_SELF is the caller's), referenced: give it back with domain_put(). -EPERM when
 * it is another one and the caller may not name others, -ESRCH. */
must_check int door_domain(struct hc_call *c, domid_t id, struct domain **d);
/* Reads the structure that c->arg[1] points to; then the same for the domain it names at `id`. */
must_check int door_read(struct hc_call *c, void *arg, size_t size, domid_t *id, struct domain **d);
/* What tools are told of a domain; domctl.c. */
void door_domain_info(struct domain *d, struct xen_domctl_getdomaininfo *info);
/* Tools ask first how many MSRs of a policy there can be; then none differs from what CPUID tells. */
#define DOOR_POLICY_MSRS 8
/* CPUID as a domain sees it (`v` any vCPU of it), as struct xen_cpuid_leaf[] at `buffer`, which has room for *count;
 * *count is then how many there are, or if `buffer` is 0 the most there can be. 0, -ENOBUFS, -EFAULT; domctl.c. */
must_check int door_cpuid_leaves(struct hc_call *c, struct vcpu *v, uint64_t buffer, uint32_t *count);
/* Sets of CPUs between the guest's struct xenctl_bitmap and ours (4 words); domctl.c. 0, -EFAULT. */
struct xenctl_bitmap;
must_check int door_read_cpus(struct vcpu *v, const struct xenctl_bitmap *from, uint64_t cpus[4]);
must_check int door_write_cpus(struct vcpu *v, const struct xenctl_bitmap *to, const uint64_t cpus[4]);
void door_online_cpus(uint64_t cpus[4]);
/* What XENPF_set_processor_pminfo told about each CPU; platform.c. 0 states: nothing told. */
#define PM_PX_MAX 16
#define PM_CX_MAX 8
extern struct pm_data {
    uint8_t nr_px, nr_cx;
    uint32_t px_mhz[PM_PX_MAX];
} door_pm_data[];
