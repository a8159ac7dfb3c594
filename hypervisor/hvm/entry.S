/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * void svm_run(struct regs *regs, paddr_t vmcb, paddr_t host_vmcb)
 *
 * Enters a guest (APM2 15.5): loads its registers, runs it until it exits, saves them, and returns like any function. RAX, RSP, RIP and
 * RFLAGS are the VMCB's; svm.c copies them. Interrupts of the host that came meanwhile are taken between STGI and CLI: the one place where
 * the hypervisor takes any while it works for a guest.
 *
 * struct regs: RAX RCX RDX RBX RSP RBP RSI RDI R8..R15, 8 bytes each.
 */
        .text
        .globl svm_run
svm_run:
        .irp    reg, rbx, rbp, r12, r13, r14, r15, rdi, rdx
        push    %\reg
        .endr
        mov     %rsi, %rax
        clgi
        sti                             /* recognised when the guest runs: VMRUN sets GIF */
        vmload  %rax
        mov     1*8(%rdi), %rcx
        mov     2*8(%rdi), %rdx
        mov     3*8(%rdi), %rbx
        mov     5*8(%rdi), %rbp
        mov     6*8(%rdi), %rsi
        .irp    n, 8, 9, 10, 11, 12, 13, 14, 15
        mov     \n*8(%rdi), %r\n
        .endr
        mov     7*8(%rdi), %rdi
        vmrun   %rax
        vmsave  %rax
        mov     (%rsp), %rax
        vmload  %rax
        mov     8(%rsp), %rax
        mov     %rcx, 1*8(%rax)
        mov     %rdx, 2*8(%rax)
        mov     %rbx, 3*8(%rax)
        mov     %rbp, 5*8(%rax)
        mov     %rsi, 6*8(%rax)
        mov     %rdi, 7*8(%rax)
        .irp    n, 8, 9, 10, 11, 12, 13, 14, 15
        mov     %r\n, \n*8(%rax)
        .endr
        /* Nothing of the guest's stays in registers: speculation would find it there. The others are restored below. */
        .irp    reg, ecx, edx, esi, edi, r8d, r9d, r10d, r11d
        xor     %\reg, %\reg
        .endr
        stgi
        nop
        cli
        add     $16, %rsp
        .irp    reg, r15, r14, r13, r12, rbp, rbx
        pop     %\reg
        .endr
        ret
        .section .note.GNU-stack, "", @progbits
