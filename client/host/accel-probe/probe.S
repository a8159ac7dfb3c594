/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The guest that proves an accelerator: started by QEMU's -kernel through the stock firmware (PVH
 * entry: 32-bit, no paging), it does what any 64-bit system does in its first instants: page tables,
 * long mode by way of EFER, CPUID, the MSRs kernels read, SSE, an interrupt from the local APIC's
 * timer while halted. Then it prints a token that took 64-bit arithmetic to make on the debug
 * console and leaves by the debug exit device. Whatever goes wrong ends in a halt, a reset or the
 * wrong token, and the host draws the same conclusion from each.
 */

#define DEBUG_PORT 0xe9
#define EXIT_PORT 0xf4
#define EXIT_VALUE 0x2a

#define MSR_EFER 0xc0000080
#define MSR_APIC_BASE 0x1b
#define MSR_PAT 0x277
#define MSR_MTRR_CAP 0xfe
#define MSR_FS_BASE 0xc0000100

#define APIC 0xfee00000
#define APIC_EOI 0xb0
#define APIC_SPURIOUS 0xf0
#define APIC_LVT_TIMER 0x320
#define APIC_COUNT 0x380
#define APIC_DIVIDE 0x3e0
#define TIMER_VECTOR 0x40

#define CODE64 0x08
#define DATA 0x10

    .section .note.pvh, "a", @note
    .long 4, 4, 18 /* XEN_ELFNOTE_PHYS32_ENTRY */
    .asciz "Xen"
    .long start

    .text
    .code32
    .globl start
start:
    cli
    cld
    movl $stack_end, %esp
    movb $0xff, %al /* the firmware left the PIT running; its vectors are exceptions here */
    outb %al, $0x21
    outb %al, $0xa1

    /* Identity map of 4 GiB by 2 MiB pages: 2,048 entries in four page directories. */
    movl $directories, %edi
    movl $0x83, %eax /* present, writable, large */
    movl $2048, %ecx
1:  movl %eax, (%edi)
    movl $0, 4(%edi)
    addl $0x200000, %eax
    addl $8, %edi
    loop 1b
    movl $pointers, %edi
    movl $directories + 3, %eax
    movl $4, %ecx
2:  movl %eax, (%edi)
    addl $0x1000, %eax
    addl $8, %edi
    loop 2b
    movl $pointers + 3, top

    movl %cr4, %eax
    orl $0x620, %eax /* PAE, OSFXSR, OSXMMEXCPT */
    movl %eax, %cr4
    movl $top, %eax
    movl %eax, %cr3
    movl $MSR_EFER, %ecx
    rdmsr
    orl $0x100, %eax /* LME */
    wrmsr
    movl %cr0, %eax
    andl $~0xc, %eax      /* no EM, TS */
    orl $0x80010003, %eax /* PG, WP, MP, PE */
    movl %eax, %cr0
    lgdt gdt_pointer
    ljmp $CODE64, $start64

    .code64
start64:
    movl $DATA, %eax
    movl %eax, %ds
    movl %eax, %es
    movl %eax, %ss
    xorl %eax, %eax
    movl %eax, %fs
    movl %eax, %gs

    /* Long mode really active? */
    movl $MSR_EFER, %ecx
    rdmsr
    testl $0x400, %eax
    jz fail

    /* An address that only a 64-bit register holds, through an MSR and back. */
    movl $MSR_FS_BASE, %ecx
    movl $0x9abcdef0, %eax
    movl $0x00001234, %edx
    wrmsr
    rdmsr
    shlq $32, %rdx
    orq %rdx, %rax
    movabsq $0x12349abcdef0, %rdx
    cmpq %rdx, %rax
    jne fail

    movl $MSR_PAT, %ecx
    rdmsr
    movl $MSR_MTRR_CAP, %ecx
    rdmsr
    movl $MSR_APIC_BASE, %ecx
    rdmsr
    testl $0x800, %eax /* enabled */
    jz fail

    /* CPUID: at least leaf 1, with TSC, MSR, APIC and SSE2. */
    xorl %eax, %eax
    cpuid
    testl %eax, %eax
    jz fail
    movl $1, %eax
    cpuid
    andl $0x04000230, %edx
    cmpl $0x04000230, %edx
    jne fail

    /* The clock goes forward. */
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    movq %rax, %rbx
    movl $1000, %ecx
3:  pause
    loop 3b
    rdtsc
    shlq $32, %rdx
    orq %rdx, %rax
    cmpq %rbx, %rax
    jbe fail

    /* One timer interrupt, waited for in HLT. */
    leaq on_timer(%rip), %rax
    movw %ax, idt + TIMER_VECTOR * 16
    shrq $16, %rax
    movw %ax, idt + TIMER_VECTOR * 16 + 6
    shrq $16, %rax
    movl %eax, idt + TIMER_VECTOR * 16 + 8
    movw $CODE64, idt + TIMER_VECTOR * 16 + 2
    movw $0x8e00, idt + TIMER_VECTOR * 16 + 4
    lidt idt_pointer
    movl $APIC, %ebp
    movl $0x1ff, APIC_SPURIOUS(%rbp)
    movl $0xb, APIC_DIVIDE(%rbp)
    movl $TIMER_VECTOR, APIC_LVT_TIMER(%rbp)
    movl $100000, APIC_COUNT(%rbp)
4:  sti
    hlt
    cli
    cmpl $0, ticks
    je 4b

    /* The token: 64-bit multiplication and rotation, then SSE2. A KVM without hardware behind it
     * interprets the former well enough to fool a probe that leaves out the latter. */
    movabsq $0x9e3779b97f4a7c15, %r8
    movabsq $0xcbf29ce484222325, %rax
    movl $1000000, %ecx
5:  imulq %r8, %rax
    rolq $23, %rax
    addq %rcx, %rax
    decl %ecx
    jnz 5b
    movq %rax, %xmm0
    fxsave state
    pxor %xmm0, %xmm0
    fxrstor state
    paddq %xmm0, %xmm0
    movq %xmm0, %rax

    /* Sixteen digits and a line end. */
    movl $16, %ecx
6:  rolq $4, %rax
    movq %rax, %rbx
    andl $15, %eax
    movb digits(%rax), %al
    outb %al, $DEBUG_PORT
    movq %rbx, %rax
    decl %ecx
    jnz 6b
    movb $'\n', %al
    outb %al, $DEBUG_PORT
    movl $EXIT_VALUE, %eax
    outl %eax, $EXIT_PORT

fail:
    cli
    hlt
    jmp fail

on_timer:
    incl ticks
    movl $0, APIC_EOI(%rbp) /* still the APIC: only the halted loop is ever interrupted */
    iretq

    .section .rodata
digits:
    .ascii "0123456789abcdef"
    .balign 8
gdt:
    .quad 0
    .quad 0x00af9b000000ffff
    .quad 0x00cf93000000ffff
gdt_pointer:
    .word gdt_pointer - gdt - 1
    .long gdt
idt_pointer:
    .word (TIMER_VECTOR + 1) * 16 - 1
    .quad idt

    .bss
    .balign 4096
top:
    .skip 4096
pointers:
    .skip 4096
directories:
    .skip 4 * 4096
idt:
    .skip 4096
state:
    .skip 512
ticks:
    .skip 16
    .skip 1024
stack_end:

    .section .note.GNU-stack, "", @progbits
