/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/emulate.c exit/insn.c */
/*
 * The executor against the processor the test runs on: random instructions with random registers, once natively in a
 * trampoline and once emulated on a copy of the memory; registers, flags and memory must agree. Then what a processor
 * cannot show: devices that are not there, changed maps, faults in the middle, FS.
 */
#include "exit_fakes.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

#define ROUNDS 20000
#define ARITHMETIC 0x8d5ull
#define DF 0x400ull

static uint64_t fault_at = ~0ull, ram_at = ~0ull;
static bool absent;

/* --- the rooms below: linear and guest-physical addresses are those of this process ------------------------------- */

enum walk_fault guest_walk(struct vcpu *v, uint64_t linear, unsigned access, gpa_t *gpa, uint32_t *error)
{
    *gpa = linear;
    *error = access & WALK_WRITE ? 2 : 0;
    return (linear & PAGE_MASK) == fault_at || linear + BIT(47) >= BIT(48) ? WALK_NOT_PRESENT : WALK_OK;
}

mfn_t p2m_get_frame(struct p2m *p, gfn_t g, bool write, bool grants)
{
    return g.n << PAGE_SHIFT == ram_at ? mfn(((uintptr_t)ram_at - hv_direct_map) >> PAGE_SHIFT) : INVALID_MFN;
}
void frame_put(mfn_t m) {}

void exit_mmio(struct vcpu *v, gpa_t gpa, unsigned size, bool write, uint64_t *value)
{
    CHECK((gpa & 4095) + size <= 4096);
    CHECK(!write || size == 8 || *value >> (8 * size) == 0);
    if (absent)
        *value = write ? *value : ~0ull;
    else if (write)
        memcpy((void *)gpa, value, size);
    else
        memcpy(value, (void *)gpa, size);
}

/* --- native execution ------------------------------------------------------------------------------------------- */

/* Registers are popped from the context and pushed back; the instruction's slot is filled for each run. */
__asm__(".pushsection .data\n"
        "trampoline: push %rbx; push %rbp; push %r12; push %r13; push %r14; push %r15\n"
        "mov %rsp, -8(%rdi); mov %rdi, %rsp\n"
        "popfq; pop %rax; pop %rcx; pop %rdx; pop %rbx; pop %rbp; pop %rsi; pop %rdi; pop %r8; pop %r9; pop %r10; pop "
        "%r11\n"
        "pop %r12; pop %r13; pop %r14; pop %r15\n"
        "trampoline_slot: .fill 15, 1, 0x90\n"
        "push %r15; push %r14; push %r13; push %r12; push %r11; push %r10; push %r9; push %r8; push %rdi; push %rsi; "
        "push %rbp\n"
        "push %rbx; push %rdx; push %rcx; push %rax; pushfq\n"
        "mov -8(%rsp), %rsp; cld; pop %r15; pop %r14; pop %r13; pop %r12; pop %rbp; pop %rbx; ret\n"
        "trampoline_end: .popsection");
extern const uint8_t trampoline[], trampoline_slot[], trampoline_end[];

static uint8_t *exec_page;
static struct context {
    uint64_t rsp, flags, r[15]; /* without RSP */
} context;

static void run_native(struct regs *regs, unsigned length)
{
    uint8_t *slot = exec_page + (trampoline_slot - trampoline);
    memset(slot, 0x90, 15);
    memcpy(slot, code, length);
    context.flags = regs->rflags;
    for (unsigned i = 0, k = 0; i < 16; i++)
        if (i != RSP)
            context.r[k++] = regs->r[i];
    ((void (*)(uint64_t *))(uintptr_t)exec_page)(&context.flags);
    regs->rflags = context.flags;
    for (unsigned i = 0, k = 0; i < 16; i++)
        if (i != RSP)
            regs->r[i] = context.r[k++];
}

static uint64_t random64(void)
{
    static const uint64_t edges[] = { 0,
                                      1,
                                      0x7f,
                                      0x80,
                                      0xff,
                                      0x7fff,
                                      0x8000,
                                      0xffff,
                                      0x7fffffff,
                                      0x80000000,
                                      0xffffffff,
                                      0x7fffffffffffffff,
                                      0x8000000000000000,
                                      ~0ull };
    uint64_t x = (uint64_t)random() << 42 ^ (uint64_t)random() << 21 ^ random();
    return random() & 1 ? edges[x % ARRAY_SIZE(edges)] : x;
}

/* A random instruction on [rsi + disp8]; false: not one of ours. */
static bool random_insn(struct insn *i)
{
    unsigned n = 0;
    for (unsigned k = 0; k < 15; k++)
        code[k] = random();
    if (random() % 3 == 0)
        code[n++] = 0x66;
    if (random() % 4 == 0)
        code[n++] = random() & 1 ? 0xf3 : 0xf2;
    if (random() % 2 == 0)
        code[n++] = 0x40 | (random() & 12); /* W, R */
    if (random() % 2 == 0)
        code[n++] = 0x0f;
    n++;
    code[n] = (code[n] & 0x38) | 0x46; /* should it be ModRM */
    code[n + 1] &= 0x3f;
    if (insn_decode(code, 15, i) || i->op < OP_ADD || i->op > OP_STOS || i->address_size != 8 || i->segment != SEG_DS)
        return false;
    /* What the processor refuses would not have got to the decoder. */
    if (memchr(code, 0xf0, n) || (i->op == OP_MOV && i->form == FORM_MI && i->reg & 7))
        return false;
    if (i->form == FORM_STRING)
        return true;
    bool uses_rsp = i->reg == RSP && (i->form == FORM_MR || i->form == FORM_RM) && (i->size > 1 || i->rex);
    return i->memory && i->base == RSI && i->index == INSN_NO_REG && i->displacement < 64 && !uses_rsp;
}

static uint64_t checked_flags(const struct insn *i)
{
    bool logic = i->op == OP_AND || i->op == OP_OR || i->op == OP_XOR || i->op == OP_TEST;
    return logic ? ARITHMETIC & ~0x10ull : ARITHMETIC;
}

static void test_against_processor(void)
{
    static uint8_t before[3 * 4096], native[3 * 4096];
    uint8_t *data = mmap(NULL, 3 * 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    exec_page = mmap(NULL, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(data != MAP_FAILED && exec_page != MAP_FAILED);
    memcpy(exec_page, trampoline, trampoline_end - trampoline);
    unsigned seen[OP_STOS + 1] = { 0 }, done = 0;
    struct insn i;

    while (done < ROUNDS) {
        if (!random_insn(&i))
            continue;
        struct regs start = { .rip = 0x1000, .rflags = 0x202 | (random64() & ARITHMETIC) };
        for (unsigned k = 0; k < 16; k++)
            start.r[k] = random64();
        start.r[RSI] = (uintptr_t)data + 4096 + (random() & 1 ? 2000 : 4096 - 64 + random() % 64);
        if (i.form == FORM_STRING) {
            start.r[RDI] = random() % 4 ? (uintptr_t)data + 6000 + random() % 64 : start.r[RSI] + random() % 16;
            start.r[RCX] = random() % 24;
            start.rflags |= random() & DF;
        }
        for (unsigned k = 5 * 1024; k < 9 * 1024; k += 8)
            memcpy(before + k, &(uint64_t){ (done * 0x9e3779b97f4a7c15 + k) * 0xbf58476d1ce4e5b9 }, 8);
        memset(before + start.r[RSI] % 4096 + 4096, random(), random() % 3 * 8);
        struct regs want = start;
        memcpy(data, before, sizeof before);
        run_native(&want, i.length);
        memcpy(native, data, sizeof native);
        memcpy(data, before, sizeof before);
        vcpu.regs = start;
        struct vm_exit x = { .kind = EXIT_FAULT, .fault.write = random() & 1 };
        x.fault.gpa = (start.r[RSI] + i.displacement) ^ (random() & 1); /* of the operand, or of another */
        insn_emulate(&vcpu, &x);
        uint64_t flags = checked_flags(&i);
        bool same = vcpu.regs.rip == start.rip + i.length && (want.rflags & flags) == (vcpu.regs.rflags & flags) &&
                    !memcmp(native, data, sizeof native);
        for (unsigned k = 0; k < 16; k++)
            same = same && (want.r[k] == vcpu.regs.r[k] || k == RSP);
        if (!same) {
            fprintf(stderr, "op %u form %u size %u rip %lx flags %lx -> %lx, want %lx; rax %lx -> %lx, want %lx; bytes",
                    i.op, i.form, i.size, vcpu.regs.rip, start.rflags, vcpu.regs.rflags, want.rflags, start.r[RAX],
                    vcpu.regs.r[RAX], want.r[RAX]);
            for (unsigned k = 0; k < i.length; k++)
                fprintf(stderr, " %02x", code[k]);
            fprintf(stderr, "\n");
            CHECK(same);
        }
        seen[i.op]++;
        done++;
    }
    for (unsigned op = OP_ADD; op <= OP_STOS; op++)
        CHECK(seen[op] > 20);
}

/* --- what only we do ---------------------------------------------------------------------------------------------- */

enum outcome { DONE, AGAIN, FAULT };

static enum outcome emulate_at(const char *bytes, unsigned n, const struct vm_exit *x)
{
    set_code(bytes, n);
    vcpu.regs.rip = 0x1000;
    insn_emulate(&vcpu, x);
    CHECK(vcpu.regs.rip == 0x1000 || vcpu.regs.rip == 0x1000 + n);
    return injected >= 0 ? FAULT : vcpu.regs.rip == 0x1000 ? AGAIN : DONE;
}

static enum outcome emulate(const char *bytes, unsigned n)
{
    static const struct vm_exit elsewhere = { .kind = EXIT_FAULT, .fault.gpa = 0xfff };
    return emulate_at(bytes, n, &elsewhere);
}

static uint8_t *page; /* two pages */

static void test_strings(void)
{
    struct regs *r = &vcpu.regs;
    memset(r, 0, sizeof *r);
    memset(page, 0, 8192);
    r->r[RDI] = (uintptr_t)page;
    r->r[RCX] = 150;
    r->r[RAX] = 0x5a;
    CHECK(emulate("\xf3\xaa", 2) == AGAIN && r->r[RCX] == 86 && r->rip == 0x1000);
    CHECK(emulate("\xf3\xaa", 2) == AGAIN && r->r[RCX] == 22);
    CHECK(emulate("\xf3\xaa", 2) == DONE && r->r[RCX] == 0 && r->rip == 0x1002 && page[149] == 0x5a && !page[150]);
    CHECK(r->r[RDI] == (uintptr_t)page + 150);
    /* A fault in the middle leaves what is done. */
    fault_at = (uintptr_t)page + 4096;
    r->r[RDI] = fault_at - 6;
    r->r[RCX] = 10;
    CHECK(emulate("\xf3\x66\xab", 3) == FAULT && injected == 14 && injected_cr2 == fault_at && injected_code == 2);
    CHECK(r->r[RCX] == 7 && r->rip == 0x1000);
    /* An operand over the page's end that cannot be translated is not written at all. */
    r->r[RDI] = fault_at - 2;
    page[4094] = 1;
    CHECK(emulate("\xab", 1) == FAULT && injected_cr2 == fault_at && page[4094] == 1);
    fault_at = ~0ull;
    r->r[RDI] = (uintptr_t)page;
    r->r[RCX] = 5;
    /* Only RAM: the processor goes on. */
    ram_at = (uintptr_t)page;
    CHECK(emulate("\xf3\xaa", 2) == AGAIN && r->r[RCX] == 4);
    r->r[RDI] = (uintptr_t)page;
    CHECK(emulate("\x89\x07", 2) == AGAIN && r->rip == 0x1000);
    ram_at = ~0ull;
    /* 32-bit addresses wrap, the upper half goes. */
    r->r[RCX] = 0xffffffff00000000;
    CHECK(emulate("\x67\xf3\xaa", 3) == DONE);
}

static void test_refused(void)
{
    struct regs *r = &vcpu.regs;
    memset(r, 0, sizeof *r);
    CHECK(emulate("\x0f\xa2", 2) == FAULT && injected == 6 && r->rip == 0x1000);
    CHECK(emulate("\x89\xc0", 2) == FAULT && injected == 6);
    CHECK(emulate("\x0f\x28\x00", 3) == FAULT && injected == 6);
    CHECK(emulate("\x6c", 1) == FAULT && injected == 6);
    r->r[RDI] = 0x800000000000;
    CHECK(emulate("\x89\x07", 2) == FAULT && injected == 13);
    r->r[RDI] = 0x7ffffffffffd;
    CHECK(emulate("\x89\x07", 2) == FAULT && injected == 13);
    code_length = 2; /* the rest of it went: the processor knows why */
    CHECK(emulate("\x89\x04\x25\x00\x00\x00\x00", 7) == AGAIN);
    code_length = 15;
    r->r[RDI] = (uintptr_t)page;
    paging.code64 = false; /* only 64-bit code is decoded */
    CHECK(emulate("\x89\x07", 2) == FAULT && injected == 6);
    paging.code64 = true;
}

/* A device that is not there reads as ones of the operand's size. */
static void test_absent(void)
{
    struct regs *r = &vcpu.regs;
    memset(r, 0, sizeof *r);
    r->r[RDI] = (uintptr_t)page;
    absent = true;
    CHECK(emulate("\x0f\xb6\x07", 3) == DONE && r->r[RAX] == 0xff);
    CHECK(emulate("\x0f\xb7\x07", 3) == DONE && r->r[RAX] == 0xffff);
    CHECK(emulate("\x48\x0f\xbe\x07", 4) == DONE && r->r[RAX] == ~0ull);
    CHECK(emulate("\x8b\x07", 2) == DONE && r->r[RAX] == ~0u);
    r->r[RDI] = (uintptr_t)page + 4095;
    CHECK(emulate("\x0f\xb7\x07", 3) == DONE && r->r[RAX] == 0xffff);
    absent = false;
}

static void test_segments(void)
{
    struct regs *r = &vcpu.regs;
    memset(r, 0, sizeof *r);
    state.seg[SEG_FS].base = (uintptr_t)page + 100;
    r->r[RAX] = 0xabcd;
    CHECK(emulate("\x64\x89\x04\x25\x08\x00\x00\x00", 8) == DONE && !memcmp(page + 108, "\xcd\xab", 2));
}

/* What the processor translated is not walked for again, as long as it is the same kind of access to the same place. */
static void test_faulting_operand(void)
{
    struct regs *r = &vcpu.regs;
    struct vm_exit x = { .kind = EXIT_FAULT, .fault.gpa = (uintptr_t)page + 0x20 };
    memset(r, 0, sizeof *r);
    memset(page, 0x11, 64);
    r->r[RDI] = (uintptr_t)page + 0x20;
    r->r[RAX] = 0x12345678;
    fault_at = (uintptr_t)page; /* a walk would fail */
    CHECK(emulate_at("\x8b\x0f", 2, &x) == DONE && r->r[RCX] == 0x11111111);
    CHECK(emulate_at("\x8b\x4f\x01", 3, &x) == FAULT && injected_code == 0); /* not the same place */
    /* A write, when a read faulted: the page may be read-only. */
    CHECK(emulate_at("\x89\x07", 2, &x) == FAULT && injected_code == 2);
    CHECK(emulate_at("\x09\x07", 2, &x) == FAULT && injected_code == 2);
    x.fault.write = true;
    CHECK(emulate_at("\x09\x07", 2, &x) == DONE && page[0x20] == 0x79 && page[0x24] == 0x11);
    CHECK(emulate_at("\xab", 1, &x) == FAULT); /* strings may have two operands */
    fault_at = ~0ull;
}

int main(void)
{
    page = mmap(NULL, 8192, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(page != MAP_FAILED);
    srandom(4);
    test_against_processor();
    test_strings();
    test_refused();
    test_absent();
    test_segments();
    test_faulting_operand();
    return 0;
}
