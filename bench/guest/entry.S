/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Entry of the measuring guest: the PVH note and 32-bit entry, the way to long mode, the trampoline
 * of the second vCPU, the interrupt stubs.
 * The first page tables are assembled in: the low 4 GiB one to one, the last of it uncached; page
 * rights come later (paging.c).
 */
    .set PE, 1
    .set PG_WP_PE, 0x80010001
    .set CR4_PAE, 0x20
    .set MSR_EFER, 0xc0000080
    .set EFER_LME, 0x100
    .set CODE64, 0x08
    .set DATA, 0x10
    .set CODE32, 0x18
    .set TRAMPOLINE, 0x8000

/* PVH: name "Xen", type 18 = XEN_ELFNOTE_PHYS32_ENTRY. */
    .section .note.Xen, "a", @note
    .balign 4
    .long 4, 8, 18
    .asciz "Xen"
    .quad start32
/* Type 6 = XEN_ELFNOTE_GUEST_OS. */
    .long 4, 17, 6
    .asciz "Xen"
    .asciz "bulkhead-measure"
    .balign 4

    .text
    .code32
    .globl start32
start32:
    cli
    cld
    movl $boot_stack_top, %esp
    lgdt gdt_pointer
    ljmp $CODE32, $1f
1:  movl $DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs
    call long_mode
    ljmp $CODE64, $start64

/* Clobbers eax, ecx, edx. */
long_mode:
    movl %cr4, %eax
    orl $CR4_PAE, %eax
    movl %eax, %cr4
    movl $pml4, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl efer_bits, %eax
    wrmsr
    movl $PG_WP_PE, %eax
    movl %eax, %cr0
    ret

    .code64
start64:
    movl %ebx, %edi
    movl $boot_stack_top, %esp
    xorl %ebp, %ebp
    call guest_main
1:  cli
    hlt
    jmp 1b

/* The second vCPU: real mode at TRAMPOLINE, then the common tables, then ap_main() on its stack. */
    .code16
    .globl ap_trampoline, ap_trampoline_end
ap_trampoline:
    cli
    cld
    xorw %ax, %ax
    movw %ax, %ds
    lgdtl TRAMPOLINE + ap_gdt_pointer - ap_trampoline
    movl $PE, %eax
    movl %eax, %cr0
    ljmpl $CODE32, $(TRAMPOLINE + ap_32 - ap_trampoline)
    .code32
ap_32:
    movl $DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    jmp *TRAMPOLINE + ap_target - ap_trampoline
    .balign 4
ap_target:
    .long ap_low
ap_gdt_pointer:
    .word gdt_end - gdt - 1
    .long gdt
ap_trampoline_end:

/* Paging is off until long_mode has run, so the text page may be entered from 32-bit code here. */
ap_low:
    movl $ap_stack_top, %esp
    call long_mode
    ljmp $CODE64, $ap_64
    .code64
ap_64:
    movl $ap_stack_top, %esp
    xorl %ebp, %ebp
    call ap_main
1:  cli
    hlt
    jmp 1b

/*
 * int catch_set(struct catch *c): returns 0; returns 1 when an exception on this CPU came back.
 * Layout of struct catch: rbx rbp r12 r13 r14 r15 rsp rip (cpu.h).
 */
    .globl catch_set
catch_set:
    movq %rbx, 0(%rdi)
    movq %rbp, 8(%rdi)
    movq %r12, 16(%rdi)
    movq %r13, 24(%rdi)
    movq %r14, 32(%rdi)
    movq %r15, 40(%rdi)
    leaq 8(%rsp), %rax
    movq %rax, 48(%rdi)
    movq (%rsp), %rax
    movq %rax, 56(%rdi)
    xorl %eax, %eax
    ret

/* Stubs for vectors 0..63, 16 bytes each; 8, 10..14, 17, 21, 29, 30 push an error code. */
    .set HAS_ERROR, (1 << 8) | (0x1f << 10) | (1 << 17) | (1 << 21) | (1 << 29) | (1 << 30)
    .balign 16
    .globl trap_stubs
trap_stubs:
    .set vector, 0
    .rept 64
    .balign 16
    .if vector >= 32
    pushq $0
    .elseif ((HAS_ERROR >> vector) & 1) == 0
    pushq $0
    .endif
    pushq $vector
    jmp trap_common
    .set vector, vector + 1
    .endr

trap_common:
    pushq %rax
    pushq %rbx
    pushq %rcx
    pushq %rdx
    pushq %rsi
    pushq %rdi
    pushq %rbp
    pushq %r8
    pushq %r9
    pushq %r10
    pushq %r11
    pushq %r12
    pushq %r13
    pushq %r14
    pushq %r15
    cld
    movq %rsp, %rdi
    movq %rsp, %rbp
    andq $-16, %rsp
    call trap_handle
    movq %rbp, %rsp
    popq %r15
    popq %r14
    popq %r13
    popq %r12
    popq %r11
    popq %r10
    popq %r9
    popq %r8
    popq %rbp
    popq %rdi
    popq %rsi
    popq %rdx
    popq %rcx
    popq %rbx
    popq %rax
    addq $16, %rsp
    iretq

/* Filled in by the hypervisor (the hypercall page MSR), so it is a page of the text. */
    .balign 4096
    .globl hypercall_page
hypercall_page:
    .skip 4096, 0xcc

    .data
    .balign 16
    .globl gdt, gdt_pointer, gdt_tss
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
    .quad 0x00cf9b000000ffff
gdt_tss:
    .fill 4, 8, 0
gdt_end:
gdt_pointer:
    .word gdt_end - gdt - 1
    .quad gdt

/* What long_mode sets: LME, and NXE once paging.c uses it. */
    .globl efer_bits
efer_bits:
    .long EFER_LME

    .balign 4096
    .globl pml4, page_directories
pml4:
    .quad pdpt + 3
    .fill 511, 8, 0
pdpt:
    .quad page_directories + 0x0003, page_directories + 0x1003
    .quad page_directories + 0x2003, page_directories + 0x3003
    .fill 508, 8, 0
page_directories:
    .set page, 0
    .rept 1536
    .quad (page << 21) | 0x83
    .set page, page + 1
    .endr
    .rept 512
    .quad (page << 21) | 0x9b
    .set page, page + 1
    .endr

/* Each at the start of its 2 MiB page, with nothing mapped below (measure.lds, paging.c). */
    .section .stack, "aw", @progbits
    .globl boot_stack, boot_stack_top
boot_stack:
    .skip 16384
boot_stack_top:
    .section .ap_stack, "aw", @nobits
    .globl ap_stack, ap_stack_top
ap_stack:
    .skip 16384
ap_stack_top:

    .section .note.GNU-stack, "", @progbits
