/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A vCPU's state after INIT, and how a start-up IPI starts it (SDM 3A 8.4.4, tables 10-1, 9-1; APM2 14.1.3). */
#include <hv/domain.h>
#include <hv/lib.h>
#include <hv/metal.h>
#include <hv/ops.h>
#include <hv/vdev.h>

#define CR0_AFTER_INIT 0x60000010ull
#define FAMILY_MODEL 0x00800f10

enum { DATA = 0x93, CODE = 0x9b, LDT = 0x82, TSS_BUSY = 0x8b };

static struct segment real_mode(uint16_t selector, uint16_t attributes)
{
    return (struct segment){ selector, attributes, 0xffff, (uint64_t)selector << 4 };
}

void vcpu_start_at(struct vcpu *v, uint32_t at)
{
    struct vcpu_state s;
    memset(&s, 0, sizeof(s));
    for (unsigned i = 0; i < NR_SEGS; i++)
        s.seg[i] = real_mode(0, DATA);
    s.seg[SEG_CS] = real_mode(at >> 4, CODE);
    s.seg[SEG_LDTR].attributes = LDT;
    s.seg[SEG_TR].attributes = TSS_BUSY;
    s.cr0 = CR0_AFTER_INIT;
    s.dr6 = 0xffff0ff0;
    s.dr7 = 0x400;
    s.pat = 0x0007040600070406ull;
    v->regs = (struct regs){ .rip = at & 15, .rflags = 2, .r[RDX] = FAMILY_MODEL };
    v->cr8 = 0;
    hv->state_put(v, &s);
}

void vcpu_start_up(struct vcpu *v)
{
    unsigned taken = vlapic_take_init(v);
    /* The rest of its state is reset by the start-up IPI: it is not seen before. */
    if (taken & VLAPIC_INIT) {
        vlapic_reset(v);
        v->initialised = false;
        vcpu_block(v, BLOCK_SIPI); /* not when one came meanwhile */
    }
    /* One that runs already takes no notice: two are sent, and the first may have started it. */
    if (taken & VLAPIC_SIPI && !v->initialised) {
        vcpu_start_at(v, v->sipi_vector << PAGE_SHIFT);
        v->initialised = true;
        atomic_fetch_and(&v->blocked, ~BLOCK_SIPI);
    }
}
