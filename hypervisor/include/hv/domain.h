/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Domains: their list, life and death.
 *
 * Lifetime: domain_get takes a reference, domain_put gives it back; the last one frees the struct. A dying domain stays
 * findable until its resources are gone (domain_kill, in steps). vCPUs live as long as their domain.
 * Locks: the list (LOCK_DOMAINS, readers too); each domain's own lock (LOCK_DOMAIN) where said below.
 */
#pragma once

#include <hv/list.h>
#include <hv/lock.h>
#include <hv/p2m.h>
#include <hv/rangeset.h>
#include <hv/types.h>
#include <hv/vcpu.h>

struct bootinfo;
struct evtchn_space;
struct grant_table;
struct virqchip;
struct vpci;
struct cpu_policy;

#define MAX_VCPUS 128
#define DOMID_CONTROL 0
#define DOMAIN_IS_UP (~0u)

struct domain {
    domid_t id;
    bool control; /* may use every hypercall and name other domains; the hardware is its own */
    _Atomic uint32_t refs;
    _Atomic bool dying, in_hand;    /* it is taken apart; somebody is at it just now: domain_kill() */
    _Atomic uint32_t pause_count;   /* changed with the domain lock */
    _Atomic uint32_t shutdown_code; /* SHUTDOWN_*, of a domain that shut down; DOMAIN_IS_UP */
    spinlock_t lock;                /* LOCK_DOMAIN: life, vcpu[] until online, max_pages */
    struct list all;                /* LOCK_DOMAINS */

    struct vcpu *vcpu[MAX_VCPUS];
    unsigned max_vcpus;

    struct p2m p2m;
    uint64_t max_pages;             /* of RAM in its p2m */
    struct rangeset iomem, ioports; /* what it may be given or touches directly; domain lock */
    uint64_t *port_bitmap;          /* 3 pages, SVM's and VMX's I/O permission map: 1 = intercept */
    uint64_t *msr_bitmap;

    struct shared_info *shared_info; /* a page of the hypervisor's */
    struct evtchn_space *events;
    struct grant_table *grants;
    struct virqchip *irqchip; /* IOAPICs and PIC as the domain sees them; the control domain's only */
    struct vpci *pci;         /* the devices it owns; NULL: none */
    struct cpu_policy *policy;

    uint8_t callback_vector;                  /* of HVM_PARAM_CALLBACK_IRQ type vector; 0: none */
    uint32_t pci_address;                     /* port 0xcf8; racy writers get what they deserve */
    _Atomic uint32_t sched_weight, sched_cap; /* cap in percent of one CPU, 0: none */
    _Atomic uint64_t sched_due;               /* the time until which its share is spent; sched.c */
    uint32_t log_budget;
    uint64_t log_since, log_lost;
};

extern struct domain *hv_control_domain;

/* A reference of the domain, or NULL. DOMID_SELF is the caller's business. */
struct domain *domain_get(domid_t id);
void domain_put(struct domain *d);
/* A domain with max_vcpus vCPUs, all down; owned by the caller (domain_put) and listed. NULL: out of memory or id in
 * use. */
struct domain *domain_create(domid_t id, unsigned max_vcpus);
/* The next listed one with an id >= `from`, referenced; NULL: none. */
struct domain *domain_next(domid_t from);

/* A guest's fault: logs why, dumps its state, shuts it down with SHUTDOWN_crash. The caller returns to vcpu_loop. */
void domain_crash(struct domain *d, const char *format, ...) printf_like(2, 3);
/* SCHEDOP_shutdown and the like: all vCPUs stand still and the control domain is told. For the control domain the
 * machine follows (SHUTDOWN_poweroff, reboot, crash). */
void domain_shutdown(struct domain *d, uint32_t code);
/* Counted. Pausing waits until no vCPU runs; a domain that may pause others must not be paused (they would wait for
 * each other). -EINVAL: too often, or not paused. */
must_check int domain_pause(struct domain *d);
must_check int domain_unpause(struct domain *d);
/* Takes a domain apart in steps: -ERESTART: find it again and call again; 0: nothing is left but references. Not the
 * control domain. */
must_check int domain_kill(struct domain *d);

/* Wall clock: where system time 0 was, in ns since 1970, in every domain's shared info; set by XENPF_settime. */
void domain_set_wallclock(uint64_t epoch_ns);

/* Its state as after INIT, in real mode at an address below 1 MiB, as a start-up IPI or waking up from S3 leave it. On
 * its own CPU, or while it does not run. */
void vcpu_start_at(struct vcpu *v, uint32_t at);
/* INIT and start-up IPIs that arrived (WORK_INIT). On its own CPU. */
void vcpu_start_up(struct vcpu *v);

/* Makes vCPU `id`, down. When that fails (-ENOMEM) part of it may be there: vcpu_free() takes it back. */
must_check int vcpu_create(struct domain *d, unsigned id);
void vcpu_free(struct vcpu *v);

/* --- building the control domain (arch-x86/hvm/start_info.h) ------------------------------------------------------ */
/* Makes it from the loader's kernel and initrd, all vCPUs down. Options: dom0_mem=SIZE, dom0_max_vcpus=N. Stops the
 * machine with a message when that cannot be done. */
struct domain *dom0_build(const struct bootinfo *info, const char *options);
/* Its first vCPU may run. */
void dom0_start(struct domain *d);
