/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions of the hypervisor itself. An exception here is our own fault: it ends in a dump that a
 * person can read (registers, backtrace with names, what the vCPU was doing, the last log lines) and in a stop or
 * reboot.
 */
#include "apic.h"
#include "cpu.h"
#include "x86.h"

#include <hv/console.h>
#include <hv/domain.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/ops.h>

#include <stdarg.h>

#define KERNEL_CS 8
#define TSS_SELECTOR 24
#define GATE_INTERRUPT 0x8e00ull

enum ist { IST_NMI = 1, IST_DOUBLE_FAULT, IST_MACHINE_CHECK };
enum {
    VECTOR_NMI = 2,
    VECTOR_DOUBLE_FAULT = 8,
    VECTOR_GENERAL_PROTECTION = 13,
    VECTOR_MACHINE_CHECK = 18,
    VECTOR_FIRST_IRQ = 32
};

extern char trap_stubs[], hv_image[], hv_text_end[];
extern char rdmsr_safe_at[], rdmsr_safe_failed[];
void gdt_load(const struct descriptor_pointer *p);

static struct packed {
    uint16_t offset0, selector, flags, offset1;
    uint32_t offset2, zero;
} idt[256] __attribute__((aligned(16)));

/* Names of functions, made by the build from the linked image (symbols.py): sorted by address. */
struct symbol {
    uint32_t offset; /* in the image */
    uint32_t name;   /* in hv_symbol_names */
};
extern const struct symbol hv_symbol_table[] __attribute__((weak));
extern const uint32_t hv_symbol_count __attribute__((weak));
extern const char hv_symbol_names[] __attribute__((weak));

static const char *const names[32] = {
    "divide error",
    "debug",
    "NMI",
    "breakpoint",
    "overflow",
    "bound range",
    "invalid opcode",
    "no FPU",
    "double fault",
    "coprocessor",
    "invalid TSS",
    "segment not present",
    "stack fault",
    "general protection",
    "page fault",
    "reserved",
    "x87",
    "alignment check",
    "machine check",
    "SIMD",
    "virtualization",
    "control protection",
};

static void idt_set(unsigned vector, unsigned ist)
{
    uint64_t to = (uint64_t)trap_stubs + vector * 16;
    idt[vector].offset0 = to;
    idt[vector].selector = KERNEL_CS;
    idt[vector].flags = GATE_INTERRUPT | ist;
    idt[vector].offset1 = to >> 16;
    idt[vector].offset2 = to >> 32;
}

static void idt_fill(void)
{
    if (idt[0].selector)
        return;
    for (unsigned i = 0; i < 256; i++)
        idt_set(i, 0);
    idt_set(VECTOR_NMI, IST_NMI);
    idt_set(VECTOR_DOUBLE_FAULT, IST_DOUBLE_FAULT);
    idt_set(VECTOR_MACHINE_CHECK, IST_MACHINE_CHECK);
}

void traps_init(struct cpu *c)
{
    idt_fill();
    if (!c->tss.ist[0])
        for (unsigned i = 0; i < 3; i++)
            c->tss.ist[i] = stack_alloc();
    c->tss.io_map = sizeof(c->tss);
    uint64_t base = (uint64_t)&c->tss, limit = sizeof(c->tss) - 1;
    c->gdt[1] = 0x00af9b000000ffff;
    c->gdt[2] = 0x00cf93000000ffff;
    c->gdt[3] = limit | (base & 0xffffff) << 16 | 0x89ull << 40 | (base >> 24 & 0xff) << 56;
    c->gdt[4] = base >> 32;
    struct descriptor_pointer gdt = { sizeof(c->gdt) - 1, (uint64_t)c->gdt },
                              table = { sizeof(idt) - 1, (uint64_t)idt };
    gdt_load(&gdt);
    __asm__ volatile("lidt %0" : : "m"(table));
    __asm__ volatile("ltr %w0" : : "r"(TSS_SELECTOR));
    wrmsr(MSR_GS_BASE, (uint64_t)c);
}

static const struct symbol *symbol_at(uint64_t address)
{
    uint32_t count = &hv_symbol_count ? hv_symbol_count : 0, low = 0;
    if (address < (uint64_t)hv_image || address >= (uint64_t)hv_text_end || !count)
        return NULL;
    uint32_t offset = address - (uint64_t)hv_image;
    while (count - low > 1) {
        uint32_t middle = low + (count - low) / 2;
        if (hv_symbol_table[middle].offset <= offset)
            low = middle;
        else
            count = middle;
    }
    return &hv_symbol_table[low];
}

static void dump_address(uint64_t address)
{
    const struct symbol *s = symbol_at(address);
    if (s)
        log_line("  %016lx %s+0x%lx", address, hv_symbol_names + s->name, address - (uint64_t)hv_image - s->offset);
    else
        log_line("  %016lx", address);
}

/* Follows the frame pointers as far as they stay on this stack. */
static void backtrace(uint64_t rip, uint64_t rbp, uint64_t rsp)
{
    dump_address(rip);
    uint64_t top = ROUND_UP(rsp + 1, STACK_SIZE) + STACK_SIZE;
    for (unsigned depth = 0; depth < 32 && rbp >= rsp && rbp < top - 16 && !(rbp & 7); depth++) {
        const uint64_t *frame = (const uint64_t *)rbp;
        if (frame[1] < (uint64_t)hv_image || frame[1] >= (uint64_t)hv_text_end)
            break;
        dump_address(frame[1]);
        rsp = rbp;
        rbp = frame[0];
    }
}

static void dump_vcpu(void)
{
    const struct vcpu *v = this_cpu()->current;
    if (!v)
        return;
    log_line("It ran domain %u vCPU %u: rip %016lx rflags %lx rax %lx rsp %lx", v->domain->id, v->id, v->regs.rip,
             v->regs.rflags, v->regs.r[RAX], v->regs.r[RSP]);
    if (hv)
        hv->dump(v);
}

void crash_dump(const struct trap_frame *f)
{
    log_line("CPU %u: exception %lu (%s), code %lx", this_cpu()->id, f->vector,
             f->vector < 32 && names[f->vector] ? names[f->vector] : "interrupt", f->code);
    log_line("rip %016lx  rsp %016lx  rflags %08lx  cs %lx ss %lx", f->rip, f->rsp, f->rflags, f->cs, f->ss);
    log_line("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_line("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    log_line("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_line("r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
    log_line("cr0 %lx  cr2 %016lx  cr3 %lx  cr4 %lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
    log_line("Backtrace:");
    backtrace(f->rip, f->rbp, f->rsp);
    dump_vcpu();
}

static _Atomic bool stopping;

static void die(const struct trap_frame *f)
{
    if (atomic_exchange(&stopping, true))
        for (;;)
            __asm__ volatile("cli; hlt");
    console_panic();
    log_line(
        "\nBulkhead's hypervisor has crashed. This is an error of the hypervisor itself; please report all of this.");
    crash_dump(f);
    machine_stop(!option_is(hv_options, "reboot", "off", false));
}

void panic(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    irq_off();
    if (atomic_exchange(&stopping, true))
        for (;;)
            __asm__ volatile("cli; hlt");
    console_panic();
    log_line("\nBulkhead's hypervisor stops: %s", text);
    log_line("Backtrace:");
    uint64_t rsp;
    __asm__ volatile("mov %%rsp, %0" : "=r"(rsp));
    backtrace((uint64_t)__builtin_return_address(0), (uint64_t)__builtin_frame_address(0), rsp);
    machine_stop(!option_is(hv_options, "reboot", "off", false));
}

void hv_bug(const char *file, int line, const char *what) { panic("%s:%d: %s", file, line, what); }

/* Others stop at their next kick; a watchdog or a person's NMI button shows where each is. */
static void nmi(const struct trap_frame *f)
{
    if (atomic_load(&stopping))
        for (;;)
            __asm__ volatile("cli; hlt");
    uint8_t reason = inb(0x61);
    log_line("CPU %u: NMI, port 0x61 says %02x", this_cpu()->id, reason);
    backtrace(f->rip, f->rbp, f->rsp);
    dump_vcpu();
}

void trap_handle(struct trap_frame *f)
{
    if (likely(f->vector >= VECTOR_FIRST_IRQ))
        irq_handle(f->vector);
    else if (f->vector == VECTOR_NMI)
        nmi(f);
    else if (f->vector == VECTOR_GENERAL_PROTECTION && f->rip == (uint64_t)rdmsr_safe_at)
        f->rip = (uint64_t)rdmsr_safe_failed;
    else
        die(f);
}
