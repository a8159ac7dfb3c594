/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rooms around exit/ for its tests: one vCPU, of which a test sets the bytes at RIP, the mode and the rest of the
 * state, and sees what was injected. */
#pragma once

#include "fake_metal.h"

#include "../exit/insn.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/p2m.h>
#include <string.h>

static struct domain domain = { .control = true };
static struct vcpu vcpu = { .domain = &domain };
static struct vcpu_paging paging = { .long_mode = true, .code64 = true };
static struct vcpu_state state;
static uint8_t code[4096];
static unsigned code_length = 15, walks, shadow_ends;
static bool code_known; /* guest_code_page() finds the page */
static _Atomic uint64_t code_entry;
static int injected = -1; /* the vector */
static uint32_t injected_code;
static uint64_t injected_cr2;

static void set_code(const char *bytes, unsigned n)
{
    memset(code, 0x90, 15);
    memcpy(code, bytes, n);
    injected = -1;
}

void guest_code_page(struct vcpu *v)
{
    v->code = (struct code_page){ .bytes = code_known ? code : NULL,
                                  .walk = { .cr3 = paging.cr3,
                                            .page = v->regs.rip >> PAGE_SHIFT,
                                            .levels = 1,
                                            .entry = { &code_entry },
                                            .value = { code_entry } } };
}

unsigned guest_fetch(struct vcpu *v, uint8_t bytes[15], enum walk_fault *fault, uint32_t *error)
{
    walks++;
    memcpy(bytes, code, code_length);
    *fault = code_length ? WALK_OK : WALK_NOT_PRESENT;
    *error = 16;
    return code_length;
}

static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging; }
static void get_state(const struct vcpu *v, struct vcpu_state *s) { *s = state; }
static void put_state(struct vcpu *v, const struct vcpu_state *s) { state = *s; }
static void inject(struct vcpu *v, enum inject kind, uint8_t vector, bool has_code, uint32_t error, uint64_t cr2)
{
    injected = vector;
    injected_code = error;
    injected_cr2 = cr2;
}
static void end_shadow(struct vcpu *v) { shadow_ends++; }
static void dump(const struct vcpu *v) {}
static const struct hv_ops ops = {
    .paging = get_paging,
    .state_get = get_state,
    .state_put = put_state,
    .inject = inject,
    .end_shadow = end_shadow,
    .dump = dump,
};
const struct hv_ops *hv = &ops;
