/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Descriptor tables and exceptions. An exception prints everything there is to know about it; then
 * it goes to the catch of its CPU (measure.c sets one around each row) or, without one, ends the
 * guest.
 */
#include "cpu.h"

#include "console.h"
#include "x86.h"

struct gate {
    uint16_t low, selector;
    uint8_t ist, type;
    uint16_t mid;
    uint32_t high, zero;
};

struct tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7];
    uint8_t reserved2[10];
    uint16_t io_map;
} __attribute__((packed));

struct pointer {
    uint16_t limit;
    uint64_t base;
} __attribute__((packed));

_Static_assert(sizeof(struct gate) == 16, "64-bit gate");
_Static_assert(sizeof(struct tss) == 104, "64-bit TSS");
_Static_assert(sizeof(struct catch) == 64, "entry.S stores eight registers");

#define STUBS 64u
#define IST_NMI 1
#define IST_DOUBLE_FAULT 2
#define VECTOR_NMI 2
#define VECTOR_DOUBLE_FAULT 8
#define VECTOR_PAGE_FAULT 14

extern uint8_t trap_stubs[];
extern uint64_t gdt_tss[];
extern struct pointer gdt_pointer;

static struct gate idt[STUBS] __attribute__((aligned(16)));
static struct tss tss[CPUS_MAX];
static uint8_t ist_stacks[CPUS_MAX][2][4096] __attribute__((aligned(16)));
static struct cpu cpus[CPUS_MAX];
static void (*handlers[STUBS])(void);

struct cpu *cpu_self(void)
{
    struct cpu *c;

    __asm__("movq %%gs:0, %0" : "=r"(c));
    return c;
}

void irq_handler(unsigned vector, void (*handler)(void))
{
    handlers[vector] = handler;
}

static void idt_fill(void)
{
    for (unsigned v = 0; v < STUBS; v++) {
        uintptr_t stub = (uintptr_t)trap_stubs + v * 16;

        idt[v] = (struct gate){
            .low = (uint16_t)stub,
            .selector = 0x08,
            .type = 0x8e,
            .mid = (uint16_t)(stub >> 16),
            .high = (uint32_t)((uint64_t)stub >> 32),
        };
    }
    idt[VECTOR_NMI].ist = IST_NMI;
    idt[VECTOR_DOUBLE_FAULT].ist = IST_DOUBLE_FAULT;
}

static void tss_load(unsigned index)
{
    uint64_t base = (uintptr_t)&tss[index];
    uint64_t *d = &gdt_tss[index * 2];

    tss[index].io_map = sizeof(struct tss);
    for (unsigned i = 0; i < 2; i++)
        tss[index].ist[i] = (uintptr_t)(ist_stacks[index][i] + sizeof(ist_stacks[0][0]));
    d[0] = (sizeof(struct tss) - 1) | (base & 0xffffff) << 16 | 0x89ull << 40 |
           (base >> 24 & 0xff) << 56;
    d[1] = base >> 32;
    __asm__ volatile("ltr %w0" : : "r"(0x20 + index * 16));
}

void cpu_init(unsigned index)
{
    struct pointer idtr = {sizeof(idt) - 1, (uintptr_t)idt};

    if (!index)
        idt_fill();
    cpus[index] = (struct cpu){.self = &cpus[index], .index = index};
    __asm__ volatile("lgdt %0; lidt %1" : : "m"(gdt_pointer), "m"(idtr));
    msr_write(MSR_GS_BASE, (uintptr_t)&cpus[index]);
    tss_load(index);
}

static const char *exception_name(uint64_t vector)
{
    static const char *const names[] = {"DE", "DB",  "NMI", "BP", "OF", "BR", "UD", "NM",
                                        "DF", "CSO", "TS",  "NP", "SS", "GP", "PF", "15",
                                        "MF", "AC",  "MC",  "XM", "VE", "CP"};

    return vector < sizeof(names) / sizeof(names[0]) ? names[vector] : "?";
}

static void exception_print(const struct trap_frame *f)
{
    uint64_t cr2, cr3, cr4;

    __asm__ volatile("movq %%cr2, %0; movq %%cr3, %1; movq %%cr4, %2"
                     : "=r"(cr2), "=r"(cr3), "=r"(cr4));
    console_print("EXCEPTION %s vector=%lu error=%lx cpu=%u rip=%016lx cr2=%016lx\n",
                  exception_name(f->vector), f->vector, f->error, cpu_self()->index, f->rip, cr2);
    console_print("  rsp=%016lx rflags=%lx cs=%lx ss=%lx cr3=%lx cr4=%lx\n", f->rsp, f->rflags,
                  f->cs, f->ss, cr3, cr4);
    console_print("  rax=%016lx rbx=%016lx rcx=%016lx rdx=%016lx\n", f->rax, f->rbx, f->rcx,
                  f->rdx);
    console_print("  rsi=%016lx rdi=%016lx rbp=%016lx r8 =%016lx\n", f->rsi, f->rdi, f->rbp, f->r8);
    console_print("  r9 =%016lx r10=%016lx r11=%016lx r12=%016lx\n", f->r9, f->r10, f->r11, f->r12);
    console_print("  r13=%016lx r14=%016lx r15=%016lx\n", f->r13, f->r14, f->r15);
}

/* Returns into catch_set() as if it had returned 1, with interrupts off. */
static void exception_recover(struct trap_frame *f, struct cpu *c)
{
    const struct catch *k = c->catch;

    c->catch = NULL;
    f->rbx = k->rbx;
    f->rbp = k->rbp;
    f->r12 = k->r12;
    f->r13 = k->r13;
    f->r14 = k->r14;
    f->r15 = k->r15;
    f->rsp = k->rsp;
    f->rip = k->rip;
    f->rax = 1;
    f->rflags &= ~0x200ull;
}

void trap_handle(struct trap_frame *f)
{
    struct cpu *c = cpu_self();

    if (f->vector >= 32) {
        if (handlers[f->vector])
            handlers[f->vector]();
        return;
    }
    c->last_vector = f->vector;
    c->last_rip = f->rip;
    exception_print(f);
    if (f->vector == VECTOR_DOUBLE_FAULT || !c->catch)
        guest_fail("exception");
    exception_recover(f, c);
}
