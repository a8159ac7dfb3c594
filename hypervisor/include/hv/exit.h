/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a guest stopped: one struct, filled by vendor code that decodes and never decides (STYLE: rule 11), handled by
 * exit_dispatch() in exit/.
 */
#pragma once

#include <hv/types.h>
#include <hv/vcpu.h>

enum exit_kind {
    EXIT_INVALID, /* the processor refused to enter, or an exit that is not asked for */
    EXIT_NONE,    /* dealt with by the vendor (an interrupt of the host's, a flush) */
    EXIT_CPUID,
    EXIT_RDMSR,
    EXIT_WRMSR,
    EXIT_HLT,
    EXIT_INVD, /* INVD, WBINVD */
    EXIT_XSETBV,
    EXIT_PIO,
    EXIT_FAULT, /* the p2m does not allow an access */
    EXIT_HYPERCALL,
    EXIT_WINDOW,    /* an interrupt can be delivered now */
    EXIT_EXCEPTION, /* one that is intercepted, without a code or with code 0 */
    EXIT_SHUTDOWN,  /* triple fault */
    EXIT_CR8,       /* CR8 is written, see hv_ops.want_window() */
    EXIT_FORBIDDEN, /* an instruction that guests may not use (RDPMC): #GP */
    EXIT_UNDEFINED, /* one that does not exist for them (VMRUN, MONITOR, ...): #UD */
    NR_EXITS,
};

struct vm_exit {
    enum exit_kind kind;
    uint8_t length; /* of the instruction; 0: not told by the processor (which tells it of ports), see insn_length() */
    union {
        struct {
            uint16_t port;
            uint8_t size;
            bool in, string;
        } pio;
        struct {
            gpa_t gpa;
            bool write, fetch, table_walk /* while walking the guest's own tables */;
            bool delivering; /* while an interrupt or exception was delivered, not by an instruction */
        } fault;
        uint8_t vector; /* of the exception */
    };
};

/* Handles one exit, not EXIT_NONE, of the vCPU that runs here; afterwards vcpu_loop looks at its work and blocked bits.
 */
void exit_dispatch(struct vcpu *v, const struct vm_exit *x);
