/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Why a guest stopped: one struct, filled by vendor code that decodes and never decides (STYLE: rule 11), handled by
 * exit_dispatch() in exit/.
 */
#ifndef HV_EXIT_H
#define HV_EXIT_H

#include <hv/types.h>
#include <hv/vcpu.h>

enum exit_kind {
    EXIT_NONE, /* dealt with by the vendor (an interrupt of the host's, a flush) */
    EXIT_CPUID,
    EXIT_RDMSR,
    EXIT_WRMSR,
    EXIT_PIO,
    EXIT_FAULT, /* the p2m does not allow an access */
    EXIT_HYPERCALL,
    EXIT_HLT,
    EXIT_WINDOW,    /* an interrupt can be delivered now */
    EXIT_EXCEPTION, /* one that is intercepted */
    EXIT_CR_WRITE,
    EXIT_DR,
    EXIT_SHUTDOWN, /* triple fault */
    EXIT_INVD,     /* INVD, WBINVD */
    EXIT_RDTSC,
    EXIT_RDPMC,
    EXIT_MONITOR,
    EXIT_MWAIT,
    EXIT_XSETBV,
    EXIT_UNDEFINED, /* an instruction that does not exist for guests (VMRUN, ...): #UD */
    EXIT_TASK_SWITCH,
    EXIT_PAUSE,
    EXIT_INVALID_STATE, /* the processor refused to enter */
    NR_EXITS,
};

struct vm_exit {
    enum exit_kind kind;
    uint8_t length; /* of the instruction; 0: not told by the processor, see insn_skip() */
    union {
        struct {
            uint16_t port;
            uint8_t size;
            bool in, string, rep;
            uint8_t segment; /* enum seg, of a string's memory operand, where the processor tells; else 0xff */
            uint64_t next_rip;
        } pio;
        struct {
            gpa_t gpa;
            bool write, fetch, user, table_walk /* while walking the guest's own tables */;
            bool delivering; /* while an interrupt or exception was delivered, not by an instruction */
        } fault;
        struct {
            uint8_t vector;
            bool has_code;
            uint32_t code;
            uint64_t cr2;
        } exception;
        struct {
            uint8_t cr, reg;
        } cr_write;
        struct {
            uint64_t code, info1, info2;
        } invalid;
    };
};

/* Handles one exit of the vCPU that runs here; afterwards vcpu_loop looks at its work and blocked bits. */
void exit_dispatch(struct vcpu *v, const struct vm_exit *x);

/* What happens next to the instruction: helpers of exit/. */
/* Moves RIP behind the instruction of this exit and ends interrupt shadow; decodes it when its length is unknown. A
 * guest whose instruction cannot be read gets the fault for that. */
void insn_skip(struct vcpu *v, const struct vm_exit *x);

#endif
