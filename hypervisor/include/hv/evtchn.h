/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels (event_channel.h): ports of a domain, what they are bound to, and their delivery by the 2-level and
 * the FIFO ABI.
 *
 * Lock: one binding lock (LOCK_EVTCHN) for all changes of what ports are bound to. Sending takes the small lock of the
 * port it is called on only (LOCK_PORT, see evtchn.c), never a domain's, since it is the hot path. Functions return 0
 * (or what they say) or a negative error, the same the ABI wants.
 */
#pragma once

#include <hv/types.h>

struct domain;
struct vcpu;

must_check int evtchn_init(struct domain *d);
/* Closes everything; -ERESTART: call again. The domain's vCPUs stand still. */
int evtchn_destroy(struct domain *d);
void evtchn_free(struct domain *d); /* also what a failed evtchn_init() left */

/* --- EVTCHNOP_*; results through pointers; `d` is the caller's domain ------------------------------------------- */
must_check int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port);
must_check int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port, uint32_t *port);
must_check int evtchn_bind_virq(struct domain *d, uint32_t virq, unsigned vcpu, uint32_t *port);
must_check int evtchn_bind_ipi(struct domain *d, unsigned vcpu, uint32_t *port);
must_check int evtchn_close(struct domain *d, uint32_t port);
must_check int evtchn_send(struct domain *d, uint32_t port);
must_check int evtchn_bind_vcpu(struct domain *d, uint32_t port, unsigned vcpu);
must_check int evtchn_unmask(struct domain *d, uint32_t port);
struct evtchn_status; /* of the ABI */
must_check int evtchn_get_status(struct domain *d, uint32_t port, struct evtchn_status *out);
struct evtchn_init_control;
must_check int evtchn_init_control(struct domain *d, struct evtchn_init_control *op);
must_check int evtchn_expand_array(struct domain *d, gfn_t array);
must_check int evtchn_set_priority(struct domain *d, uint32_t port, uint32_t priority);

/* --- what the hypervisor raises --------------------------------------------------------------------------------- */
/* `vcpu`: of VIRQ_TIMER, VIRQ_DEBUG and the others that each vCPU has; the rest are the domain's. */
void evtchn_virq(struct domain *d, unsigned vcpu, uint32_t virq);
/* The shared info page or the vCPU's info moved: everything pending is looked at again. */
void evtchn_resend(struct vcpu *v);
/* SCHEDOP_poll: whether this port is pending, 1 or 0; -EINVAL: there is no such port. A poller sets v->poll_port, then
 * BLOCK_POLL, and only then asks for each of its ports: an event that comes later finds it blocked and wakes it. */
int evtchn_is_pending(struct domain *d, uint32_t port);
/* An upcall is due: vcpu_info.evtchn_upcall_pending is set (and not masked, where that counts: PVH and HVM ignore it).
 */
bool evtchn_upcall_pending(const struct vcpu *v);
