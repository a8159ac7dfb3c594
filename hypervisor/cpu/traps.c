/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Interrupts and exceptions of the hypervisor itself. An exception here is our own fault, a machine check the
 * hardware's: both end in a dump that a person can read (registers, backtrace with names, what the vCPU was doing; the
 * last log lines are above it, for each goes out at once) and in a stop or reboot.
 */
#include "apic.h"
#include "cpu.h"
#include "x86.h"

#include <hv/domain.h>
#include <hv/lib.h>
#include <hv/log.h>
#include <hv/metal.h>
#include <hv/ops.h>

#include <stdarg.h>

#define KERNEL_CS 8
#define TSS_SELECTOR 24
#define GATE_INTERRUPT 0x8e00ull

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

static struct packed gate {
    uint16_t offset0, selector, flags, offset1;
    uint32_t offset2, zero;
} idt[256] __attribute__((aligned(16)));

/* Those that come whatever the stack is like have one of their own. */
static const uint8_t ist_of[256] = { [VECTOR_NMI] = 1, [VECTOR_DOUBLE_FAULT] = 2, [VECTOR_MACHINE_CHECK] = 3 };

/* Names of functions, made by the build from the linked image (symbols.py): sorted by address. */
struct symbol {
    uint32_t offset; /* in the image */
    uint32_t name;   /* in hv_symbol_names */
};
extern const struct symbol hv_symbol_table[] __attribute__((weak));
extern const uint32_t hv_symbol_count __attribute__((weak));
extern const char hv_symbol_names[] __attribute__((weak));

static const char names[32][4] = { "DE", "DB", "NMI", "BP", "OF", "BR", "UD", "NM", "DF", "",   "TS",
                                   "NP", "SS", "GP",  "PF", "",   "MF", "AC", "MC", "XM", "VE", "CP" };

/* --- machine checks: APM2 chapter 9 ------------------------------------------------------------------------------- */

#define MSR_MCG_CAP 0x179
#define MSR_MCG_STATUS 0x17a
#define MSR_MCG_CTL 0x17b
#define MSR_MC_CTL(bank) (0x400 + 4 * (bank))
#define MCG_HAS_CTL BIT(8)
#define MC_VALID BIT(63)
#define MC_HAS_ADDRESS BIT(58)

static void mce_report(void)
{
    log_line("Machine check, status %lx", rdmsr(MSR_MCG_STATUS));
    for (unsigned bank = 0; bank < (rdmsr(MSR_MCG_CAP) & 0xff); bank++) {
        uint64_t status = rdmsr(MSR_MC_CTL(bank) + 1);
        if (status & MC_VALID)
            log_line("  bank %u: status %016lx address %lx", bank, status,
                     status & MC_HAS_ADDRESS ? rdmsr(MSR_MC_CTL(bank) + 2) : 0);
    }
}

/* All errors are to be told of. What is in the banks is from before the start: the firmware's to report. */
static void mce_enable(void)
{
    uint64_t cap = rdmsr(MSR_MCG_CAP);
    for (unsigned bank = 0; bank < (cap & 0xff); bank++) {
        wrmsr(MSR_MC_CTL(bank), ~0ull);
        wrmsr(MSR_MC_CTL(bank) + 1, 0);
    }
    if (cap & MCG_HAS_CTL)
        wrmsr(MSR_MCG_CTL, ~0ull);
}

void traps_init(struct cpu *c)
{
    for (unsigned i = 0; i < 256 && !c->id; i++) {
        uint64_t to = (uint64_t)trap_stubs + i * 16;
        idt[i] = (struct gate){ to, KERNEL_CS, GATE_INTERRUPT | ist_of[i], to >> 16, to >> 32, 0 };
    }
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
    mce_enable();
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

/* --- the end ------------------------------------------------------------------------------------------------------ */

/* The first one to crash tells its story. One that crashes again while it does so has nothing more to tell. */
static void crash_begin(void)
{
    static _Atomic unsigned teller = ~0u;
    unsigned none = ~0u;
    irq_off();
    console_force(true);
    if (atomic_compare_exchange_strong(&teller, &none, this_cpu()->id))
        return;
    if (none == this_cpu()->id)
        machine_crashed();
    halt_for_ever();
}

static noreturn void crash_end(uint64_t rip, uint64_t rbp, uint64_t rsp)
{
    log_line("Backtrace:");
    backtrace(rip, rbp, rsp);
    dump_vcpu();
    machine_crashed();
}

static noreturn void die(const struct trap_frame *f)
{
    crash_begin();
    log_line("\nBulkhead's hypervisor has crashed. Please report all of this.");
    if (f->vector == VECTOR_MACHINE_CHECK)
        mce_report();
    log_line("CPU %u: exception %lu %s, code %lx", this_cpu()->id, f->vector,
             f->vector < ARRAY_SIZE(names) ? names[f->vector] : "", f->code);
    log_line("rip %016lx  rsp %016lx  rflags %08lx  cs %lx ss %lx", f->rip, f->rsp, f->rflags, f->cs, f->ss);
    log_line("rax %016lx  rbx %016lx  rcx %016lx  rdx %016lx", f->rax, f->rbx, f->rcx, f->rdx);
    log_line("rsi %016lx  rdi %016lx  rbp %016lx  r8  %016lx", f->rsi, f->rdi, f->rbp, f->r8);
    log_line("r9  %016lx  r10 %016lx  r11 %016lx  r12 %016lx", f->r9, f->r10, f->r11, f->r12);
    log_line("r13 %016lx  r14 %016lx  r15 %016lx", f->r13, f->r14, f->r15);
    log_line("cr0 %lx  cr2 %016lx  cr3 %lx  cr4 %lx", read_cr0(), read_cr2(), read_cr3(), read_cr4());
    crash_end(f->rip, f->rbp, f->rsp);
}

void panic(const char *format, ...)
{
    char text[256];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    crash_begin();
    log_line("\nBulkhead's hypervisor stops: %s", text);
    uint64_t frame = (uint64_t)__builtin_frame_address(0);
    crash_end((uint64_t)__builtin_return_address(0), *(uint64_t *)frame, frame);
}

void metal_machine_check(void)
{
    console_force(true);
    mce_report();
    panic("The processor has found an error of the hardware.");
}

void hv_bug(const char *file, int line, const char *what) { panic("%s:%d: %s", file, line, what); }

/* The machine stops; or a watchdog, a person or the chipset wants to see where each CPU is. The NMI may have come in
 * the middle of a log line. */
static void nmi(const struct trap_frame *f)
{
    static _Atomic bool telling; /* one CPU after another, but who waits may be told to stop, and no second NMI comes */
    while (!load_relaxed(&hv_stopping) && atomic_exchange(&telling, true))
        cpu_relax();
    if (load_relaxed(&hv_stopping))
        halt_for_ever();
    uint8_t reason = inb(0x61);
    console_force(true);
    log_line("CPU %u: NMI%s%s", this_cpu()->id, reason & 0x80 ? ", PCI system error" : "",
             reason & 0x40 ? ", I/O channel check" : "");
    backtrace(f->rip, f->rbp, f->rsp);
    dump_vcpu();
    console_force(false);
    store_release(&telling, false);
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
