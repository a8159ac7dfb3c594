/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The Xen ABI, as much as the guest uses; numbers and structures from the public headers
 * (libxen-dev). */
#ifndef BENCH_GUEST_XEN_H
#define BENCH_GUEST_XEN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/xen.h>
#include <xen/hvm/params.h>

/* For pages of ours that hypercalls replace: measure.lds says why they stand apart. */
#define REPLACEABLE_PAGE __attribute__((aligned(4096), section(".special,\"aw\",@nobits#")))

/* Hypercalls by number: negative is -errno of the Xen ABI. */
int64_t hypercall(unsigned number, uint64_t a, uint64_t b, uint64_t c);

/* Has the hypercall page written; false when the hypervisor's leaves offer none. */
bool xen_init(void);
/* Maps the shared info page over a page of ours, once. */
int64_t xen_shared_map(void);
struct shared_info *xen_shared(void);
/* Asks for event upcalls on this interrupt vector. */
int64_t xen_upcall_vector(unsigned vector);

int64_t xen_param_get(unsigned index, uint64_t *value);
int64_t xen_param_set(unsigned index, uint64_t value);
/* -1: not known. */
int xen_domid(void);
int64_t xen_map_space(unsigned space, uint64_t index, void *page);
int64_t xen_yield(void);
int64_t xen_send(uint32_t port);
/* Blocks until the port is pending, then clears it. */
int64_t xen_port_wait(uint32_t port);
bool xen_port_take(uint32_t port);
void xen_port_unmask(uint32_t port);
/* A port for the remote domain to bind to; negative on failure. */
int64_t xen_port_alloc(uint16_t remote);
int64_t xen_port_bind(uint16_t remote, uint32_t remote_port);
void xen_shutdown(void);

#endif
