/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The virtual machine control block (APM2 appendix B) and exit codes (appendix C). */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

struct vmcb {
    /* --- control area --- */
    uint32_t intercepts[6]; /* 0x000: bit n stands for exit code n */
    uint8_t reserved0[0x40 - 0x18];
    uint64_t iopm, msrpm; /* 0x040 */
    int64_t tsc_offset;   /* 0x050 */
    uint32_t asid;        /* 0x058 */
    uint8_t tlb_control, reserved1[3];
    uint64_t virtual_interrupt;                     /* 0x060 */
    uint64_t shadow;                                /* 0x068: bit 0 interrupt shadow */
    uint64_t exit_code;                             /* 0x070 */
    uint64_t exit_info1, exit_info2, exit_int_info; /* 0x078 */
    uint64_t nested_control;                        /* 0x090: bit 0 nested paging */
    uint8_t reserved2[0xa8 - 0x98];
    uint64_t event_injection; /* 0x0a8 */
    uint64_t nested_cr3;      /* 0x0b0 */
    uint64_t reserved3;
    uint32_t clean, reserved4; /* 0x0c0 */
    uint64_t next_rip;         /* 0x0c8 */
    uint8_t reserved5[0x400 - 0xd0];
    /* --- state save area --- */
    struct segment es, cs, ss, ds, fs, gs, gdtr, ldtr, idtr, tr; /* 0x400 */
    uint8_t reserved6[0x4cb - 0x4a0];
    uint8_t cpl; /* 0x4cb */
    uint32_t reserved7;
    uint64_t efer; /* 0x4d0 */
    uint8_t reserved8[0x548 - 0x4d8];
    uint64_t cr4, cr3, cr0, dr7, dr6, rflags, rip; /* 0x548 */
    uint8_t reserved9[0x5d8 - 0x580];
    uint64_t rsp; /* 0x5d8 */
    uint8_t reserved10[0x5f8 - 0x5e0];
    uint64_t rax, star, lstar, cstar, sfmask, kernel_gs_base; /* 0x5f8 */
    uint64_t sysenter_cs, sysenter_esp, sysenter_eip, cr2;
    uint8_t reserved11[0x668 - 0x648];
    uint64_t pat; /* 0x668 */
    uint8_t reserved12[0x1000 - 0x670];
};

_Static_assert(offsetof(struct vmcb, exit_code) == 0x70, "layout");
_Static_assert(offsetof(struct vmcb, next_rip) == 0xc8, "layout");
_Static_assert(offsetof(struct vmcb, es) == 0x400, "layout");
_Static_assert(offsetof(struct vmcb, efer) == 0x4d0, "layout");
_Static_assert(offsetof(struct vmcb, cr4) == 0x548, "layout");
_Static_assert(offsetof(struct vmcb, rax) == 0x5f8, "layout");
_Static_assert(offsetof(struct vmcb, pat) == 0x668, "layout");
_Static_assert(sizeof(struct vmcb) == 4096, "layout");

/* virtual_interrupt */
#define VINTR_IRQ BIT(8)
#define VINTR_IGNORE_TPR BIT(20)
#define VINTR_MASKING BIT(24)

#define EVENT_VALID BIT(31)
#define EVENT_HAS_CODE BIT(11)
enum { EVENT_INTERRUPT = 0, EVENT_NMI = 2, EVENT_EXCEPTION = 3, EVENT_SOFTWARE = 4 };

enum vmcb_exit {
    VMEXIT_CR8_WRITE = 0x18,
    VMEXIT_EXCEPTION = 0x40,
    VMEXIT_INTR = 0x60, /* and NMI, SMI */
    VMEXIT_INIT = 0x63,
    VMEXIT_VINTR = 0x64,
    VMEXIT_RDPMC = 0x6f,
    VMEXIT_CPUID = 0x72,
    VMEXIT_IRET = 0x74,
    VMEXIT_INVD = 0x76,
    VMEXIT_HLT = 0x78,
    VMEXIT_INVLPGA = 0x7a,
    VMEXIT_IO = 0x7b,
    VMEXIT_MSR = 0x7c,
    VMEXIT_SHUTDOWN = 0x7f,
    VMEXIT_VMRUN = 0x80,
    VMEXIT_VMMCALL = 0x81,
    VMEXIT_VMLOAD = 0x82, /* and VMSAVE, STGI, CLGI */
    VMEXIT_SKINIT = 0x86,
    VMEXIT_WBINVD = 0x89,
    VMEXIT_MONITOR = 0x8a,
    VMEXIT_MWAIT = 0x8b,
    VMEXIT_XSETBV = 0x8d,
    VMEXIT_RDPRU = 0x8e,
    VMEXIT_NPF = 0x400,
};

/* Clean bits (15.15.3): what has not changed since the last entry. */
enum {
    CLEAN_INTERCEPTS = BIT(0),
    CLEAN_TPR = BIT(3),
    CLEAN_CR2 = BIT(9),
    CLEAN_ALL = 0x3ff,
};
