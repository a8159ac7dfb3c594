/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/insn.c exit/emulate.c */
/* Any bytes as instructions, with any registers, carried out on a device that takes and gives anything. */
#include "fake_metal.h"

#include "../../exit/insn.h"

#include <hv/domain.h>
#include <hv/frame.h>
#include <hv/hypercall.h>
#include <hv/ops.h>
#include <string.h>

static struct domain domain;
static struct vcpu vcpu = { .domain = &domain };
static struct vcpu_paging paging;
static struct vcpu_state state;
static uint8_t code[15];
static unsigned accesses;

void guest_code_page(struct vcpu *v) {}

unsigned guest_fetch(struct vcpu *v, uint8_t bytes[15], enum walk_fault *fault, uint32_t *error)
{
    memcpy(bytes, code, 15);
    *fault = WALK_OK;
    return 15;
}
enum walk_fault guest_walk(struct vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa, uint32_t *error)
{
    *gpa = linear;
    *error = 0;
    return linear >> 12 & 7 ? WALK_OK : WALK_NOT_PRESENT;
}
mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants) { return INVALID_MFN; }
void frame_put(mfn_t m) {}
int exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    CHECK(size && size <= 8 && !(size & (size - 1)) && (gpa & 4095) + size <= 4096);
    accesses++;
    *value = gpa * 0x9e3779b97f4a7c15;
    return gpa & 0x800 && gpa & 0x400 ? -EAGAIN : 0;
}
int exit_port(struct vcpu *v, uint16_t p, unsigned size, bool in, uint32_t *value)
{
    CHECK(size == 1 || size == 2 || size == 4);
    *value = p;
    return 0;
}
static void get_paging(const struct vcpu *v, struct vcpu_paging *p) { *p = paging; }
static void get_state(const struct vcpu *v, struct vcpu_state *s) { *s = state; }
static void put_state(struct vcpu *v, const struct vcpu_state *s) {}
static void inject(struct vcpu *v, enum inject kind, uint8_t vector, bool has, uint32_t error, uint64_t cr2) {}
static void end_shadow(struct vcpu *v) {}
static const struct hv_ops ops = {
    .paging = get_paging, .state_get = get_state, .state_put = put_state, .inject = inject, .end_shadow = end_shadow
};
const struct hv_ops *hv = &ops;

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 17)
        return 0;
    memcpy(code, data, 15);
    paging.code64 = paging.long_mode = data[15] & 1;
    state.seg[SEG_CS].attributes = data[15] & 2 ? BIT(10) : 0;
    for (unsigned i = 0; i < NR_SEGS && i != SEG_CS; i++)
        state.seg[i] = (struct segment){ .attributes = 0x493 | (data[16] & 4), .limit = ~0u, .base = data[16] };
    memset(&vcpu.regs, data[15], sizeof vcpu.regs);
    memcpy(&vcpu.regs, data + 17, size - 17 < sizeof vcpu.regs ? size - 17 : sizeof vcpu.regs);
    struct insn i;
    for (unsigned n = 0; n <= 15; n++) {
        int rc = insn_decode(code, n, INSN_64, &i);
        CHECK(rc == 0 ? i.length && i.length <= n : rc == -EFAULT || rc == -EOPNOTSUPP);
    }
    accesses = 0;
    struct vm_exit fault = { .kind = EXIT_FAULT, .fault = { .gpa = data[16] * 257, .write = data[15] & 4 } };
    insn_emulate(&vcpu, &fault, data[15] & 8);
    CHECK(accesses <= INSN_STRING_MAX * 16 + 16);
    struct vm_exit x = { .kind = data[16] % NR_EXITS }, pio = { .kind = EXIT_PIO };
    CHECK(insn_length(&vcpu, &x) <= 15);
    pio.pio = (typeof(pio.pio)){ .size = data[15] & 4 ? 4 : 1, .in = data[15] & 8, .string = true };
    insn_emulate(&vcpu, &pio, false);
    return 0;
}
