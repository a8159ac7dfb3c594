/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: exit/insn.c */
/*
 * The decoder against binutils: every template with every way to name memory is assembled; objdump says where each
 * instruction begins and what it is called. Then odd bytes, and the lengths of exits.
 */
#include "exit_fakes.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const char *const memory64[] = {
    "[rax]",
    "[rbp]",
    "[rsp]",
    "[r12]",
    "[r13]",
    "[rax+0x12]",
    "[rbp-0x80]",
    "[rsp+0x1234]",
    "[rcx+rdx*4+0x12345678]",
    "[rip+0x1234]",
    "[rip-0x80000000]",
    "ds:[0x1234]",
    "[r13+r14*8-5]",
    "fs:[rbx]",
    "gs:[r8+0x10]",
    "[eax+ecx*2]",
    "[r9*2+0x10]",
    "[rsi+r12]",
    "[r15+rsi*2+0x7f]",
    "[ebp]",
    "[r13d+0x80]",
    "gs:[0x28]",
    "[rbp+rbp]",
    "[r12+rbp*8]",
};
static const char *const alu[] = { "add", "or", "adc", "sbb", "and", "sub", "xor", "cmp" };
static const char *const pointer[] = { "byte ptr", "word ptr", "dword ptr", "qword ptr" };
static const char *const regs[4][5] = {
    { "al", "bh", "cl", "r9b", "sil" },
    { "ax", "bx", "di", "r10w", "bp" },
    { "eax", "edx", "esp", "r11d", "ebp" },
    { "rax", "rcx", "r15", "r8", "rsp" },
};
static const char *const plain[] = {
    "movsb",
    "movsw",
    "movsd",
    "rep movsb",
    "rep movsw",
    "rep movsd",
    "stosb",
    "stosw",
    "rep stosd",
    ".byte 0x67, 0xf3, 0xa4",
    ".byte 0x65, 0xa5",
    "movsq",
    "rep movsq",
    "stosq",
    "rep stosq",
    "movabs al,[0x123456789abcdef0]",
    "movabs [0x123456789abcdef0],rax",
    "movabs eax,[0x123456789abcdef0]",
    ".byte 0x67, 0xa1, 1, 2, 3, 4",
    ".byte 0x67, 0x48, 0xab",
};

#define EACH(i, list) for (unsigned i = 0; i < ARRAY_SIZE(list); i++)

static void write_memory_forms(FILE *f, const char *m)
{
    for (unsigned s = 0; s < 4; s++) {
        const char *p = pointer[s];
        for (unsigned n = 0; n < 5; n++) {
            const char *r = regs[s][n];
            if (!strcmp(r, "bh") && strpbrk(m, "8912345"))
                continue; /* AH.. do not go with REX; some addresses need one */
            EACH(i, alu)
            {
                fprintf(f, "%s %s %s,%s\n%s %s,%s %s\n", alu[i], p, m, r, alu[i], r, p, m);
                if (i != 7)
                    fprintf(f, "lock %s %s %s,%s\n", alu[i], p, m, r);
            }
            fprintf(f, "mov %s %s,%s\nmov %s,%s %s\ntest %s %s,%s\n", p, m, r, r, p, m, p, m, r);
            fprintf(f, "xchg %s %s,%s\nlock xchg %s %s,%s\n", p, m, r, p, m, r);
            if (s)
                fprintf(f, "movzx %s,byte ptr %s\nmovsx %s,byte ptr %s\n", r, m, r, m);
            if (s >= 2)
                fprintf(f, "movzx %s,word ptr %s\nmovsx %s,word ptr %s\n", r, m, r, m);
            if (s == 3)
                fprintf(f, "movsxd %s,dword ptr %s\n", r, m);
        }
        EACH(i, alu)
        fprintf(f, "%s %s %s,0x%x\n%s %s %s,-3\n", alu[i], p, m, s ? 0x7654 : 0x76, alu[i], p, m);
        fprintf(f, "mov %s %s,0x%x\ntest %s %s,0x41\n", p, m, s ? 0x1234 : 0x12, p, m);
    }
}

static const struct {
    const char *name;
    enum insn_op op;
} names[] = {
    { "add", OP_ADD },     { "or", OP_OR },       { "adc", OP_ADC },      { "sbb", OP_SBB },   { "and", OP_AND },
    { "sub", OP_SUB },     { "xor", OP_XOR },     { "cmp", OP_CMP },      { "mov", OP_MOV },   { "movabs", OP_MOV },
    { "movzx", OP_MOVZX }, { "movsx", OP_MOVSX }, { "movsxd", OP_MOVSX }, { "test", OP_TEST }, { "xchg", OP_XCHG },
    { "movs", OP_MOVS },   { "stos", OP_STOS },
};

/* The name in objdump's text, behind prefixes. */
static bool named(const char *text, const struct insn *i)
{
    char word[32];
    int used;
    while (sscanf(text, " %31s%n", word, &used) == 1) {
        EACH(n, names)
        if (!strcmp(names[n].name, word))
            return i->op == names[n].op;
        text += used;
    }
    return false;
}

static void compare_with_objdump(const char *dir)
{
    static uint8_t bytes[4 << 20];
    char command[512], line[512], path[256];

    snprintf(path, sizeof path, "%s/t.s", dir);
    FILE *f = fopen(path, "w");
    CHECK(f);
    fprintf(f, ".intel_syntax noprefix\n");
    EACH(i, memory64)
    write_memory_forms(f, memory64[i]);
    EACH(i, plain)
    fprintf(f, "%s\n", plain[i]);
    CHECK(fclose(f) == 0);
    snprintf(command, sizeof command, "cd %s && as --64 t.s -o t.o && objcopy -O binary -j .text t.o t.bin", dir);
    CHECK(system(command) == 0);
    snprintf(path, sizeof path, "%s/t.bin", dir);
    f = fopen(path, "r");
    CHECK(f);
    size_t size = fread(bytes, 1, sizeof bytes, f);
    fclose(f);
    snprintf(command, sizeof command, "objdump -D -z -w -b binary -M intel -m i386:x86-64 %s/t.bin", dir);
    f = popen(command, "r");
    CHECK(f);
    unsigned long at, last = ~0ul;
    struct insn i;
    unsigned count = 0;
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':'), *text = strrchr(line, '\t');
        if (line[0] != ' ' || !colon || !text || sscanf(line, "%lx", &at) != 1)
            continue;
        if (last != ~0ul && i.length != at - last) {
            fprintf(stderr, "length %u of what ends before %s", i.length, line);
            CHECK(!"length");
        }
        CHECK(at < size);
        int rc = insn_decode(bytes + at, size - at, &i);
        if (rc || !named(text, &i)) {
            fprintf(stderr, "%d, op %u: %s", rc, i.op, line);
            CHECK(!"decoded");
        }
        for (unsigned k = 0; k < i.length; k++) { /* cut short it asks for more */
            struct insn part;
            CHECK(insn_decode(bytes + at, k, &part) == -EFAULT);
        }
        last = at;
        count++;
    }
    CHECK(pclose(f) == 0 && last + i.length == size && count > 2000);
    printf("%u instructions\n", count);
}

static void test_refused(void)
{
    static const struct {
        const char *bytes;
        unsigned n;
    } bad[] = {
        { "\x90", 1 },
        { "\x82\x00\x00", 3 },
        { "\x0f\x0b", 2 },
        { "\xff\x30", 2 },
        { "\xff\x00", 2 },
        { "\xf6\x20", 2 },
        { "\xf6\x10", 2 },
        { "\x6c", 1 },
        { "\xac", 1 },
        { "\x0f\xc3\xc0", 3 },
        { "\x66\x0f\xc3\x00", 4 },
        { "\x0f\xba\x20\x00", 4 },
        { "\x0f\xb0\x00", 3 },
        { "\xa6", 1 },
        { "\x0f\x01\xf8", 3 },
        { "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2", 17 },
        { "\x48\xc7\x84\x25\x00\x00\x00\x00\x00\x00\x00\x00", 11 },
    };
    struct insn i;
    EACH(n, bad)
    CHECK(insn_decode((const uint8_t *)bad[n].bytes, bad[n].n, &i) != 0);
    /* A REX that is not last has no meaning. */
    CHECK(insn_decode((const uint8_t *)"\x48\x66\x89\x00", 4, &i) == 0 && i.size == 2);
    /* FS stays, a null prefix behind it does not count. */
    CHECK(insn_decode((const uint8_t *)"\x64\x3e\x89\x00", 4, &i) == 0 && i.segment == SEG_FS);
    /* To CR8: mod says nothing. */
    CHECK(insn_decode((const uint8_t *)"\x45\x0f\x22\xc1", 4, &i) == 0 && i.op == OP_MOV_CR && i.base == R9 &&
          i.length == 4);
    CHECK(insn_decode((const uint8_t *)"\x44\x0f\x22\x04", 4, &i) == 0 && i.op == OP_MOV_CR && i.base == RSP &&
          i.length == 4 && !i.memory);
}

/* --- the instruction of an exit ---------------------------------------------------------------------------------- */

static unsigned length(enum exit_kind kind, const char *bytes, unsigned n)
{
    set_code(bytes, n);
    code_length = 15;
    struct vm_exit x = { .kind = kind };
    return insn_length(&vcpu, &x);
}

static void test_lengths(void)
{
    CHECK(length(EXIT_CPUID, "\x0f\xa2", 2) == 2);
    CHECK(length(EXIT_CPUID, "\x66\x67\x0f\xa2", 4) == 4);
    CHECK(length(EXIT_CPUID, "\x41\x0f\xa2", 3) == 3);
    CHECK(length(EXIT_CPUID, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x0f\xa2", 15) == 15);
    CHECK(length(EXIT_CPUID, "\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66\x66", 15) == 0);
    CHECK(length(EXIT_CPUID, "\x0f\x32", 2) == 0); /* somebody rewrote it */
    CHECK(length(EXIT_CPUID, "\x0f\x0b", 2) == 0);
    CHECK(length(EXIT_RDMSR, "\x48\x0f\x32", 3) == 3 && length(EXIT_WRMSR, "\x2e\x0f\x30", 3) == 3);
    CHECK(length(EXIT_INVD, "\x0f\x08", 2) == 2 && length(EXIT_INVD, "\xf3\x0f\x09", 3) == 3);
    CHECK(length(EXIT_XSETBV, "\x0f\x01\xd1", 3) == 3 && length(EXIT_HLT, "\xf4", 1) == 1);
    CHECK(length(EXIT_SHUTDOWN, "\x0f\xa2", 2) == 0);
    struct vm_exit x = { .kind = EXIT_PIO, .length = 3 }; /* the processor told it */
    CHECK(insn_length(&vcpu, &x) == 3);
    x = (struct vm_exit){ .kind = EXIT_CPUID };
    code_length = 0; /* unreadable: the guest gets the fault, nothing moves */
    CHECK(insn_length(&vcpu, &x) == 0 && injected == 14);
    code_length = 1; /* the rest of it went */
    CHECK(insn_length(&vcpu, &x) == 0);
}

static void test_retire(void)
{
    vcpu.regs.rip = 0x1000;
    vcpu.regs.rflags = 0x10100;
    injected = 0;
    insn_retire(&vcpu, 2);
    CHECK(vcpu.regs.rip == 0x1002 && shadow_ends == 1 && injected == 1 && state.dr6 & BIT(14) &&
          vcpu.regs.rflags == 0x100);
    vcpu.regs.rflags = 2;
    insn_retire(&vcpu, 3);
    CHECK(vcpu.regs.rip == 0x1005 && vcpu.regs.rflags == 2);
}

/* The page is read again without a walk until something says that it may be another. */
static void test_remembered(void)
{
    code_known = true;
    paging.cr3 = 0x7000;
    vcpu.regs.rip = 0xffffffff80000000;
    code_entry = 0x63;
    CHECK(length(EXIT_CPUID, "\x0f\xa2", 2) == 2);
    walks = 0;
    CHECK(length(EXIT_CPUID, "\x66\x0f\xa2", 3) == 3 && walks == 0); /* new bytes are seen */
    code_length = 15;
    memcpy(code + 4081, "\x0f\xa2", 2);
    vcpu.regs.rip += 4081;
    struct vm_exit x = { .kind = EXIT_CPUID };
    CHECK(insn_length(&vcpu, &x) == 2 && walks == 0);
    vcpu.regs.rip++; /* less than 15 bytes are left */
    CHECK(insn_length(&vcpu, &x) == 3 && walks == 1);
    vcpu.regs.rip -= 4082;
    struct {
        void *at;
        uint64_t other, back;
        unsigned size;
    } changes[] = { { &code_entry, 0x1063, 0x63, 8 },
                    { &paging.cr3, 0x8000, 0x7000, 8 },
                    { &paging.code64, 0, 1, 1 },
                    { &vcpu.work, WORK_FLUSH, 0, 4 },
                    { &vcpu.regs.rip, 0xffffffff80001000, 0xffffffff80000000, 8 } };
    EACH(i, changes)
    {
        memcpy(changes[i].at, &changes[i].back, changes[i].size);
        insn_length(&vcpu, &x);
        walks = 0;
        CHECK(insn_length(&vcpu, &x) == 3 && walks == 0);
        memcpy(changes[i].at, &changes[i].other, changes[i].size);
        CHECK(insn_length(&vcpu, &x) == 3 && walks == 1);
        memcpy(changes[i].at, &changes[i].back, changes[i].size);
    }
}

int main(void)
{
    char dir[] = "/tmp/test_insn.XXXXXX", command[64];
    CHECK(mkdtemp(dir));
    compare_with_objdump(dir);
    snprintf(command, sizeof command, "rm -r %s", dir);
    CHECK(system(command) == 0);
    test_refused();
    test_lengths();
    test_retire();
    test_remembered();
    return 0;
}
