/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Event channels (event_channel.h): ports of a domain, what they are bound to, and their delivery by the 2-level and
 * the FIFO ABI.
 *
 * Lock: one binding lock (LOCK_EVTCHN) for all changes of what ports are bound to. Sending takes the small lock of the
 * port it is called on only (LOCK_PORT, see evtchn.c), never a domain's, since it is the hot path. Functions return 0
 * (or what they say) or a negative error, the same the ABI wants.
 */
#ifndef HV_EVTCHN_H
#define HV_EVTCHN_H

#include <hv/types.h>

struct domain;
struct vcpu;

must_check int evtchn_init(struct domain *d);
/* Closes everything; -ERESTART: call again. */
int evtchn_destroy(struct domain *d);
void evtchn_free(struct domain *d);

/* --- EVTCHNOP_*; results through pointers; `d` is the caller's domain ------------------------------------------- */
must_check int evtchn_alloc_unbound(struct domain *d, domid_t remote, uint32_t *port);
must_check int evtchn_bind_interdomain(struct domain *d, struct domain *remote, uint32_t remote_port, uint32_t *port);
must_check int evtchn_bind_virq(struct domain *d, uint32_t virq, unsigned vcpu, uint32_t *port);
must_check int evtchn_bind_ipi(struct domain *d, unsigned vcpu, uint32_t *port);
must_check int evtchn_close(struct domain *d, uint32_t port);
must_check int evtchn_send(struct domain *d, uint32_t port);
must_check int evtchn_bind_vcpu(struct domain *d, uint32_t port, unsigned vcpu);
must_check int evtchn_unmask(struct domain *d, uint32_t port);
must_check int evtchn_reset(struct domain *d); /* -ERESTART: not done yet, call again */
struct evtchn_status;                          /* of the ABI */
must_check int evtchn_get_status(struct domain *d, uint32_t port, struct evtchn_status *out);
struct evtchn_init_control;
must_check int evtchn_init_control(struct domain *d, struct evtchn_init_control *op);
must_check int evtchn_expand_array(struct domain *d, gfn_t array);
must_check int evtchn_set_priority(struct domain *d, uint32_t port, uint32_t priority);

/* --- what the hypervisor raises --------------------------------------------------------------------------------- */
void evtchn_virq_vcpu(struct vcpu *v, uint32_t virq);     /* VIRQ_TIMER, VIRQ_DEBUG, ... */
void evtchn_virq_global(struct domain *d, uint32_t virq); /* VIRQ_CONSOLE, VIRQ_DOM_EXC, ... */
/* The shared info page or the vCPU's info moved: everything pending is looked at again. */
void evtchn_resend(struct vcpu *v);
/* SCHEDOP_poll: whether this port is pending. False for ports that do not exist. A poller sets v->poll_port, then
 * BLOCK_POLL, and only then asks for each of its ports: an event that comes later finds it blocked and wakes it. */
bool evtchn_is_pending(struct domain *d, uint32_t port);
bool evtchn_port_valid(struct domain *d, uint32_t port);
/* An upcall is due: vcpu_info.evtchn_upcall_pending is set (and not masked, where that counts: PVH and HVM ignore it).
 */
bool evtchn_upcall_pending(const struct vcpu *v);

#endif
