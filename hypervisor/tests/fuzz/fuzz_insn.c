/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/insn.c exit/emulate.c */
/* Any bytes as instructions, with any registers, carried out on a device that takes and gives anything. */
#include "exit_fakes.h"

static unsigned accesses;

enum walk_fault guest_walk(struct vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa, uint32_t *error)
{
    *gpa = linear;
    *error = 0;
    return linear >> 12 & 7 ? WALK_OK : WALK_NOT_PRESENT;
}
mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants) { return INVALID_MFN; }
void frame_put(mfn_t m) {}
void exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    CHECK(size && size <= 8 && (gpa & 4095) + size <= 4096);
    accesses++;
    *value = gpa * 0x9e3779b97f4a7c15;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 17)
        return 0;
    memcpy(code, data, 15);
    paging.code64 = paging.long_mode = data[15] & 1;
    state.seg[SEG_FS].base = state.seg[SEG_GS].base = data[16];
    memset(&vcpu.regs, data[15], sizeof vcpu.regs);
    memcpy(&vcpu.regs, data + 17, size - 17 < sizeof vcpu.regs ? size - 17 : sizeof vcpu.regs);
    struct insn i;
    for (unsigned n = 0; n <= 15; n++) {
        int rc = insn_decode(code, n, &i);
        CHECK(rc == 0 ? i.length && i.length <= n : rc == -EFAULT || rc == -EOPNOTSUPP);
    }
    accesses = 0;
    struct vm_exit fault = { .kind = EXIT_FAULT, .fault = { .gpa = data[16] * 257, .write = data[15] & 4 } };
    insn_emulate(&vcpu, &fault);
    CHECK(accesses <= INSN_STRING_MAX * 16 + 16);
    struct vm_exit x = { .kind = data[16] % NR_EXITS };
    CHECK(insn_length(&vcpu, &x) <= 15);
    return 0;
}
