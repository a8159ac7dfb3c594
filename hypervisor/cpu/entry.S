/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where the loader, the other processors and interrupts arrive. Offsets of struct cpu: 0 self, 8 stack_top. */

        .section .text.entry, "ax"
        .globl hv_start
/* From efi/: see hv/bootinfo.h. RDI: struct bootinfo. */
hv_start:
        jmp     1f
        .balign 8
        .quad   hv_image_size           /* the loader reads it here */
1:      cli
        cld
        lea     boot_stack_top(%rip), %rsp
        xor     %ebp, %ebp
        call    hv_main
        ud2

/*
 * A page below 1 MiB that a CPU begins in, in real mode at CS:0. smp.c copies it there and fills in the words at its end; CR3 is
 * the hypervisor's, which maps this page one to one meanwhile.
 */
        .globl ap_trampoline, ap_trampoline_end, ap_words
        .code16
ap_trampoline:
        cli
        cld
        mov     %cs, %ax
        mov     %ax, %ds
        mov     %ds:(ap_base - ap_trampoline), %ebx
        /* The descriptor table's address and the far pointer are known only now. */
        lea     (ap_gdt - ap_trampoline)(%ebx), %eax
        mov     %eax, %ds:(ap_gdt_pointer + 2 - ap_trampoline)
        lea     (ap_long - ap_trampoline)(%ebx), %eax
        mov     %eax, %ds:(ap_far - ap_trampoline)
        lgdtl   %ds:(ap_gdt_pointer - ap_trampoline)
        mov     $0x20, %eax             /* CR4.PAE */
        mov     %eax, %cr4
        mov     %ds:(ap_cr3 - ap_trampoline), %eax
        mov     %eax, %cr3
        mov     $0xc0000080, %ecx       /* EFER: LME, NX */
        rdmsr
        or      $0x900, %eax
        wrmsr
        mov     $0x80010011, %eax       /* CR0: PG, WP, ET, PE */
        mov     %eax, %cr0
        ljmpl   *%ds:(ap_far - ap_trampoline)
        .code64
ap_long:
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        movabs  $cpu_start, %rax
        jmp     *%rax
        .balign 8
ap_gdt: .quad   0, 0x00af9b000000ffff, 0x00cf93000000ffff
ap_gdt_pointer:
        .word   23
        .long   0
        .balign 4
ap_far: .long   0
        .word   8
        .balign 8
ap_words:                               /* where it is, CR3 */
ap_base: .quad  0
ap_cr3: .quad   0
ap_trampoline_end:

        .text
        .globl cpu_start
/* Each CPU takes the stack that is its own. */
cpu_start:
        mov     starting_cpu(%rip), %rdi
        mov     8(%rdi), %rsp
        xor     %ebp, %ebp
        call    cpu_main
        ud2

/* Interrupts and exceptions: 256 stubs of 16 bytes that all end in trap_common. */
        .balign 16
        .globl trap_stubs
trap_stubs:
        .set    i, 0
        .rept   256
        .balign 16
        /* Those with an error code: #DF, #TS, #NP, #SS, #GP, #PF, #AC, #CP, #VC, #SX */
        .if     !(i == 8 || (i >= 10 && i <= 14) || i == 17 || i == 21 || i == 29 || i == 30)
        push    $0
        .endif
        push    $i
        jmp     trap_common
        .set    i, i + 1
        .endr

        .globl trap_common
trap_common:
        /* struct trap_frame, from its end */
        .irp    reg, rax, rcx, rdx, rbx, rbp, rsi, rdi, r8, r9, r10, r11, r12, r13, r14, r15
        push    %\reg
        .endr
        cld
        mov     %rsp, %rdi
        mov     %rsp, %rbx
        and     $-16, %rsp
        call    trap_handle
        mov     %rbx, %rsp
        .irp    reg, r15, r14, r13, r12, r11, r10, r9, r8, rdi, rsi, rbp, rbx, rdx, rcx, rax
        pop     %\reg
        .endr
        add     $16, %rsp
        iretq

/* Loads the code and data selectors of a new GDT. RDI: its pointer. */
        .globl gdt_load
gdt_load:
        lgdt    (%rdi)
        mov     $16, %eax
        mov     %eax, %ds
        mov     %eax, %es
        mov     %eax, %ss
        xor     %eax, %eax
        mov     %eax, %fs
        mov     %eax, %gs
        pop     %rax
        push    $8
        push    %rax
        lretq

/* bool metal_msr_read(uint32_t msr, uint64_t *value): traps.c sends a general protection fault at the RDMSR to its second half. */
        .globl metal_msr_read, rdmsr_safe_at, rdmsr_safe_failed
metal_msr_read:
        mov     %edi, %ecx
rdmsr_safe_at:
        rdmsr
        shl     $32, %rdx
        or      %rdx, %rax
        mov     %rax, (%rsi)
        mov     $1, %eax
        ret
rdmsr_safe_failed:
        xor     %eax, %eax
        ret

        .section .bss.pages, "aw", @nobits
        .balign 4096
        .skip   16384
        .globl boot_stack_top
boot_stack_top:
        .section .note.GNU-stack, "", @progbits
