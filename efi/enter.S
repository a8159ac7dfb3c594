/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The last instructions of the loader: enter(root, stack_end, info), called by Windows' ABI (RCX, RDX, R8); and the
 * hypervisor's image, hv_image[] to hv_image_end[], which the build passes as HV_IMAGE. This code lies in memory that both the firmware's page
 * tables and ours map one to one, so execution goes on across the change of CR3.
 */
    .text
    .globl enter
enter:
    cli
    cld
    mov     %r8, %rdi               /* bootinfo */
    mov     %rcx, %cr3
    /* A known state: PAE alone, so no global pages, PCIDs or CET; caches, write protection, native FPU errors. */
    mov     $0x20, %eax
    mov     %rax, %cr4
    mov     $0x80010033, %eax
    mov     %rax, %cr0
    mov     %rdx, %rsp
    lgdt    gdt_pointer(%rip)
    mov     $0x10, %eax
    mov     %eax, %ds
    mov     %eax, %es
    mov     %eax, %ss
    xor     %eax, %eax
    mov     %eax, %fs
    mov     %eax, %gs
    lldt    %ax
    pushq   $0x08
    lea     1f(%rip), %rax
    push    %rax
    lretq
1:  xor     %ebp, %ebp
    push    %rbp                    /* a return address of 0: the end of any backtrace, and the ABI's alignment */
    mov     $-0x80000000, %rsi      /* HV_IMAGE_BASE */
    jmp     *%rsi

    .section .rdata, "dr"
    .balign 8
gdt:
    .quad   0
    .quad   0x00af9b000000ffff      /* 64-bit code */
    .quad   0x00cf93000000ffff      /* data */
gdt_pointer:
    .word   gdt_pointer - gdt - 1
    .quad   gdt

    .section .hv, "dr"
    .balign 4096
    .globl hv_image, hv_image_end
hv_image:
    .incbin HV_IMAGE
hv_image_end:
