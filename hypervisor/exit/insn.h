/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions the hypervisor has to look at: the length of those that exit (processors without next-RIP do not tell),
 * and the ones that reach devices' memory, decoded and carried out. Only 64-bit code's are decoded.
 *
 * What is not known here is #UD for the guest, never guessed. All of it runs on the vCPU's own CPU and takes no lock.
 */
#pragma once

#include <hv/exit.h>
#include <hv/ops.h>
#include <hv/types.h>
#include <hv/vcpu.h>

/* ADD to CMP are in the order of the /digit in opcodes 80 to 83. */
/* clang-format off */
enum insn_op {
    OP_NONE, OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP, OP_MOV, OP_MOVZX, OP_MOVSX, OP_TEST,
    OP_XCHG, OP_MOVS, OP_STOS,
    OP_MOV_CR /* register `base` to CRn */
};
/* clang-format on */

/* Where the operands are: M the memory (or register) of ModRM's r/m, R the register, I the constant. */
enum insn_form { FORM_MR, FORM_RM, FORM_MI, FORM_M, FORM_STRING };

#define INSN_RIP 16 /* base: RIP of the next instruction */
#define INSN_NO_REG 0xff

struct insn {
    uint8_t length;
    uint8_t op, form;    /* enum insn_op, enum insn_form */
    uint8_t size;        /* of the operands, in bytes; what is written to a register has it */
    uint8_t memory_size; /* of the one in memory; differs for MOVZX, MOVSX */
    uint8_t address_size;
    uint8_t segment;            /* enum seg; only FS and GS count */
    uint8_t reg;                /* encoding of R; with `rex` 4 to 7 are SPL.. instead of AH.. */
    uint8_t base, index, scale; /* without `memory`, base is r/m's register */
    bool memory, rex, rep;
    uint64_t displacement, immediate; /* sign-extended */
};

/* 0; -EFAULT: `n` bytes are not enough; -EOPNOTSUPP: not one of the instructions above. */
must_check int insn_decode(const uint8_t *bytes, unsigned n, struct insn *out);

/* The length of the instruction that exited, 0 if it cannot be told: then the guest has got the fault, or another CPU
 * rewrote the code and this one runs it again; nothing else may be done for this exit. */
unsigned insn_length(struct vcpu *v, const struct vm_exit *x);
/* RIP moves on by `length`; ends what lasts one instruction (shadow, RF), raises the trap of single-stepping. */
void insn_retire(struct vcpu *v, unsigned length);

/* The instruction at RIP. False: the guest has got an exception, or runs what is there by now. */
must_check bool insn_fetch(struct vcpu *v, struct insn *out);

#define INSN_STRING_MAX 64 /* repetitions a call */

/* Carries out the instruction at RIP, of an EXIT_FAULT that is for memory which is not RAM, or a part of a string's
 * repetitions. It is RIP that tells: where it stands, the guest has got an exception, or goes on by itself. */
void insn_emulate(struct vcpu *v, const struct vm_exit *x);

/* An access to what is not RAM (exit.c). What nobody answers, as any of a size other than 1, 2, 4 and 8, reads as all
 * ones. */
void exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value);

static inline void inject_ud(struct vcpu *v) { hv->inject(v, INJECT_EXCEPTION, 6, false, 0, 0); }
static inline void inject_gp(struct vcpu *v) { hv->inject(v, INJECT_EXCEPTION, 13, true, 0, 0); }
