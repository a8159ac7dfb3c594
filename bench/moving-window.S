/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest for measuring display clients: a boot sector that sets 1024x768x32 by VBE and moves a
 * white window over a blue desktop, 30 steps a second, halted in between. Every client gets exactly
 * the same pictures, and DESKTOP is a colour nothing else on the screen has.
 *
 * gcc -c -m32 moving-window.S && ld -m elf_i386 -Ttext 0x7c00 --oformat binary
 */
    .set DESKTOP, 0x00204a87
    .set WINDOW, 0x00ffffff
    .set MODE_INFO, 0x8000
    .set WIDTH, 1024
    .set HEIGHT, 768
    .set WIN_W, 320
    .set WIN_H, 240
    .set STEP, 8
    .set PIT_30HZ, 39773

    .code16
    .globl _start
_start:
    cli
    xorw %ax, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movw $0x7c00, %sp
    movw $0x4f01, %ax /* VBE 3.0: mode information; 0x144 is SeaVGABIOS's 1024x768x32 */
    movw $0x144, %cx
    movw $MODE_INFO, %di
    int $0x10
    movw $0x4f02, %ax
    movw $0x4144, %bx
    int $0x10
    lgdt gdtr
    lidt idtr
    movl %cr0, %eax
    orb $1, %al
    movl %eax, %cr0
    ljmp $8, $protected

    .code32
protected:
    movw $16, %ax
    movw %ax, %ds
    movw %ax, %es
    movw %ax, %ss
    movl $0x7c00, %esp
    movl MODE_INFO + 0x28, %ebx /* the linear frame buffer */

    movl $idt + 8 * 8, %edi /* IRQ 0 arrives at vector 8, as the BIOS left it */
    movl $tick, %eax
    movw %ax, (%edi)
    movw $8, 2(%edi)
    movw $0x8e00, 4(%edi)
    shrl $16, %eax
    movw %ax, 6(%edi)
    movb $0xfe, %al
    outb %al, $0x21
    movb $0x34, %al
    outb %al, $0x43
    movb $PIT_30HZ & 0xff, %al
    outb %al, $0x40
    movb $PIT_30HZ >> 8, %al
    outb %al, $0x40

    movl %ebx, %edi
    movl $WIDTH * HEIGHT, %ecx
    movl $DESKTOP, %eax
    cld
    rep stosl
    xorl %esi, %esi /* the window's left edge */

frame:
    movl $DESKTOP, %eax
    call fill
    addl $STEP, %esi
    cmpl $WIDTH - WIN_W, %esi
    jbe 1f
    xorl %esi, %esi
1:  movl $WINDOW, %eax
    call fill
    sti
    hlt
    cli
    jmp frame

/* Fills the window at column esi with the colour eax. */
fill:
    movl $WIN_H, %edx
    leal (WIDTH * 4 * 200)(%ebx, %esi, 4), %edi
1:  movl $WIN_W, %ecx
    rep stosl
    addl $(WIDTH - WIN_W) * 4, %edi
    decl %edx
    jnz 1b
    ret

tick:
    pushl %eax
    movb $0x20, %al
    outb %al, $0x20
    popl %eax
    iret

    .balign 4
gdt:
    .quad 0, 0x00cf9a000000ffff, 0x00cf92000000ffff
gdtr:
    .word . - gdt - 1
    .long gdt
idtr:
    .word 9 * 8 - 1
    .long idt
    .set idt, 0x9000

    .org 510
    .word 0xaa55
