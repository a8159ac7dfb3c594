/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Registers that stay loaded while the hypervisor works, since it does not use them: FPU and vector state, debug
 * registers 0 to 3, TSC_AUX.
 *
 * They are saved whenever a vCPU stops running: never lazily (reading another's stale FPU registers is a leak known as
 * LazyFP), and another CPU may run it next.
 */
#include "hvm.h"

#include "../cpu/cpu.h"
#include "../cpu/x86.h"

#include <hv/domain.h>
#include <hv/metal.h>

#define XSAVE_SPACE 3584

/* A page of each vCPU's. */
struct extra_state {
    uint8_t fpu[XSAVE_SPACE] __attribute__((aligned(64)));
    uint64_t xcr0, dr[4], tsc_aux;
};
_Static_assert(sizeof(struct extra_state) <= PAGE_SIZE, "one page");

#define READ_DR(n, value) __asm__ volatile("mov %%db" #n ", %0" : "=r"(value))
#define WRITE_DR(n, value) __asm__ volatile("mov %0, %%db" #n : : "r"(value))

static void xsetbv(uint64_t value)
{
    __asm__ volatile("xsetbv" : : "c"(0), "a"((uint32_t)value), "d"((uint32_t)(value >> 32)));
}

static uint64_t xgetbv(void)
{
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low | (uint64_t)high << 32;
}

uint64_t metal_xcr0(void) { return hv_features.xsave ? xgetbv() : 1; }

/* All components the host has are saved and loaded, whatever the guest's XCR0 says: those it does not enable are there
 * when it does, and must not be another's. */
static void save(struct extra_state *s)
{
    s->xcr0 = metal_xcr0();
    if (hv_features.xsave) {
        xsetbv(s->xcr0 | hv_features.xcr0);
        __asm__ volatile("xsave64 %0" : "+m"(s->fpu) : "a"(~0u), "d"(~0u) : "memory");
    } else {
        __asm__ volatile("fxsave64 %0" : "=m"(s->fpu) : : "memory");
    }
    READ_DR(0, s->dr[0]);
    READ_DR(1, s->dr[1]);
    READ_DR(2, s->dr[2]);
    READ_DR(3, s->dr[3]);
    if (hv_features.rdtscp)
        s->tsc_aux = rdmsr(MSR_TSC_AUX);
}

static void load(const struct extra_state *s)
{
    if (hv_features.xsave) {
        xsetbv(s->xcr0 | hv_features.xcr0);
        __asm__ volatile("xrstor64 %0" : : "m"(s->fpu), "a"(~0u), "d"(~0u) : "memory");
        xsetbv(s->xcr0);
    } else {
        __asm__ volatile("fxrstor64 %0" : : "m"(s->fpu) : "memory");
    }
    WRITE_DR(0, s->dr[0]);
    WRITE_DR(1, s->dr[1]);
    WRITE_DR(2, s->dr[2]);
    WRITE_DR(3, s->dr[3]);
    if (hv_features.rdtscp)
        wrmsr(MSR_TSC_AUX, s->tsc_aux);
}

void vcpu_load(struct vcpu *v)
{
    struct cpu *c = this_cpu();
    if (hv_features.ibpb && c->last_domain != v->domain->id)
        wrmsr(MSR_PRED_CMD, 1); /* no domain steers another's speculation */
    c->last_domain = v->domain->id;
    load(v->extra);
}

void vcpu_unload(struct vcpu *v) { save(v->extra); }

void metal_reset_fpu(struct vcpu *v)
{
    struct extra_state *s = v->extra;
    zero_page(s);
    s->fpu[0] = 0x7f; /* FCW 0x37f, MXCSR 0x1f80 */
    s->fpu[1] = 0x03;
    s->fpu[24] = 0x80;
    s->fpu[25] = 0x1f;
    s->xcr0 = 1;
}

bool metal_set_xcr0(struct vcpu *v, uint64_t value)
{
    if (!(value & 1) || (value & ~hv_features.xcr0) || (value & 6) == 4)
        return false;
    xsetbv(value);
    return true;
}
