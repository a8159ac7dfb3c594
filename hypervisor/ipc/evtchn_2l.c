/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Delivery by the 2-level ABI: a pending and a mask bit for each port in the shared info page, and in each vCPU's info
 * a selector with one bit for each word of pending bits.
 *
 * The layout depends on the guest's word size: word_bits^2 ports, the mask right behind the pending bits, the selector
 * one word into vcpu_info. The guest writes all of it at any time; nothing here depends on what it holds.
 */
#include "evtchn_port.h"

_Static_assert(offsetof(struct shared_info, evtchn_pending) == 2048, "the same for 32-bit guests");
_Static_assert(offsetof(struct shared_info, evtchn_mask) == 2048 + 64 * 64 / 8, "mask behind pending");
_Static_assert(offsetof(struct vcpu_info, evtchn_pending_sel) == 8, "selector one word in");

static _Atomic uint32_t *pending_words(const struct evtchn_space *s)
{
    return (_Atomic uint32_t *)((char *)s->domain->shared_info + offsetof(struct shared_info, evtchn_pending));
}

static _Atomic uint32_t *mask_words(const struct evtchn_space *s)
{
    return pending_words(s) + s->word_bits * s->word_bits / 32;
}

static uint32_t max_ports(const struct evtchn_space *s) { return s->word_bits * s->word_bits; }

static void select_word(const struct evtchn_space *s, struct vcpu *v, uint32_t port)
{
    struct vcpu_info *info = v ? info_of(v) : NULL;
    if (!info)
        return; /* evtchn_resend() follows when it gets one */
    if (!bit_set((_Atomic uint32_t *)((char *)info + s->word_bits / 8), port / s->word_bits))
        upcall_raise(v);
}

static bool set_pending(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    if (port >= max_ports(s) || bit_set(pending_words(s), port))
        return false;
    if (!bit_test(mask_words(s), port))
        select_word(s, v, port);
    return true;
}

static void clear_pending(struct evtchn_space *s, uint32_t port, struct port *p)
{
    if (port < max_ports(s))
        bit_clear(pending_words(s), port);
}

static bool is_pending(const struct evtchn_space *s, uint32_t port)
{
    return port < max_ports(s) && bit_test(pending_words(s), port);
}

static void unmask(struct evtchn_space *s, struct vcpu *v, uint32_t port, struct port *p)
{
    if (port >= max_ports(s))
        return;
    bit_clear(mask_words(s), port);
    if (bit_test(pending_words(s), port))
        select_word(s, v, port);
}

static bool is_busy(const struct evtchn_space *s, uint32_t port) { return false; }

const struct evtchn_ops evtchn_ops_2l = {
    .max_ports = max_ports,
    .set_pending = set_pending,
    .clear_pending = clear_pending,
    .unmask = unmask,
    .is_pending = is_pending,
    .is_busy = is_busy,
};
