/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Instructions the hypervisor has to look at: the length of those that exit (processors without next-RIP do not tell),
 * and the ones that reach devices' memory and string ports, decoded and carried out.
 *
 * What is not known here is "unhandled", never guessed. All of it runs on the vCPU's own CPU and takes no lock.
 */
#pragma once

#include <hv/exit.h>
#include <hv/types.h>
#include <hv/vcpu.h>

enum insn_mode { INSN_16, INSN_32, INSN_64 };

/* ADD to CMP are in the order of the /digit in opcodes 80 to 83. */
/* clang-format off */
enum insn_op {
    OP_NONE, OP_ADD, OP_OR, OP_ADC, OP_SBB, OP_AND, OP_SUB, OP_XOR, OP_CMP, OP_MOV, OP_MOVZX, OP_MOVSX, OP_TEST,
    OP_NOT, OP_NEG, OP_INC, OP_DEC, OP_XCHG, OP_MOVS, OP_STOS, OP_LODS, OP_INS, OP_OUTS,
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
    uint8_t segment;            /* enum seg */
    uint8_t reg;                /* encoding of R; with `rex` 4 to 7 are SPL.. instead of AH.. */
    uint8_t base, index, scale; /* without `memory`, base is r/m's register */
    bool memory, rex, rep;
    uint64_t displacement, immediate; /* sign-extended */
};

/* 0; -EFAULT: `n` bytes are not enough; -EOPNOTSUPP: not one of the instructions above. */
must_check int insn_decode(const uint8_t *bytes, unsigned n, enum insn_mode mode, struct insn *out);

/* The length of the instruction that exited, 0 if it cannot be told: then the guest has got the fault, or another CPU
 * rewrote the code and this one runs it again; nothing else may be done for this exit. */
unsigned insn_length(struct vcpu *v, const struct vm_exit *x);
/* RIP moves on by `length`; ends what lasts one instruction (shadow, RF), raises the trap of single-stepping. */
void insn_retire(struct vcpu *v, unsigned length);

/* Accesses to what is not RAM, in exit.c. 0; -EAGAIN: later (a device model owes the answer), the instruction is
 * carried out again from where it stands; others: unhandled. */
int exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value); /* size 1, 2, 4, 8 */
int exit_port(struct vcpu *v, uint16_t port, unsigned size, bool in, uint32_t *value);

enum insn_result {
    INSN_DONE,  /* RIP has moved on */
    INSN_AGAIN, /* enter the guest: rest of a string, changed code or map, or an answer is awaited */
    INSN_FAULT, /* an exception was injected */
    INSN_UNHANDLED,
};

#define INSN_STRING_MAX 64 /* repetitions a call */

/* Carries out the instruction at RIP: of an EXIT_FAULT, which touched memory that is not RAM (`device`: nothing at all
 * is mapped at x->fault.gpa), or of an EXIT_PIO, INS or OUTS of the port whose rights have been checked. */
enum insn_result insn_emulate(struct vcpu *v, const struct vm_exit *x, bool device);

/* The instruction at RIP, decoded by the mode of CS. INSN_DONE: `out` is filled. */
enum insn_result insn_fetch(struct vcpu *v, struct insn *out, enum insn_mode *mode);
