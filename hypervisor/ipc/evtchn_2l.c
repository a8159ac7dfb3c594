/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery by the 2-level ABI: a pending and a mask bit for each port in the shared info page, and in each vCPU's info
 * a selector with one bit for each word of pending bits.
 *
 * The layout is that of 64-bit guests. The guest writes all of it at any time; nothing here depends on what it holds.
 * No port beyond MAX_PORTS is ever bound here: there is no way back from FIFO.
 */
#include "evtchn_port.h"

#define WORD_BITS 64
#define MAX_PORTS (WORD_BITS * WORD_BITS)

static _Atomic uint32_t *pending_words(const struct evtchn_space *s)
{
    return (_Atomic uint32_t *)s->domain->shared_info->evtchn_pending;
}

static _Atomic uint32_t *mask_words(const struct evtchn_space *s)
{
    return (_Atomic uint32_t *)s->domain->shared_info->evtchn_mask;
}

static void select_word(struct vcpu *v, uint32_t port)
{
    if (!bit_set((_Atomic uint32_t *)&info_of(v)->evtchn_pending_sel, port / WORD_BITS))
        upcall_raise(v);
}

static bool set_pending(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    if (bit_set(pending_words(s), port))
        return false;
    if (!bit_test(mask_words(s), port))
        select_word(v, port);
    return true;
}

static void clear_pending(struct evtchn_space *s, uint32_t port, struct port *p) { bit_clear(pending_words(s), port); }

static bool is_pending(const struct evtchn_space *s, uint32_t port) { return bit_test(pending_words(s), port); }

static void unmask(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    bit_clear(mask_words(s), port);
    if (bit_test(pending_words(s), port))
        select_word(v, port);
}

const struct evtchn_ops evtchn_ops_2l = {
    .max_ports = MAX_PORTS,
    .set_pending = set_pending,
    .clear_pending = clear_pending,
    .unmask = unmask,
    .is_pending = is_pending,
};
