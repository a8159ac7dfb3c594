/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF files: a good one, each header word wrong in turn, and every length a file can be cut to. */
/* sources: elf.c ../hypervisor/lib/lib.c */
#include <linux/elf.h>
#include <stddef.h>

#include "../../pure.h"
#include "../check.h"

static struct trouble trouble;
static struct boot_kernel kernel;

struct file64 {
    Elf64_Ehdr h;
    Elf64_Phdr p[2];
    struct packed {
        uint32_t name_size, size, type;
        char name[4];
        uint64_t entry;
    } note;
    uint8_t code[64];
};

static struct file64 good(void)
{
    struct file64 f = {
        .h = {.e_ident = {127, 'E', 'L', 'F', ELFCLASS64, 1},
              .e_machine = EM_X86_64,
              .e_phoff = sizeof(f.h),
              .e_phentsize = sizeof(f.p[0]),
              .e_phnum = 2},
        .p = {{.p_type = PT_LOAD,
               .p_offset = offsetof(struct file64, code),
               .p_vaddr = 0xffffffff81000000,
               .p_paddr = 0x1000000,
               .p_filesz = sizeof(f.code),
               .p_memsz = 0x3000},
              {.p_type = PT_NOTE, .p_offset = offsetof(struct file64, note), .p_filesz = sizeof(f.note)}},
        .note = {4, sizeof(f.note.entry), 18, "Xen", 0x1000010},
    };

    return f;
}

/* From a copy of exactly this size, so that the sanitizer sees a read behind the end. */
static bool check_kernel(const void *file, size_t size)
{
    void *copy = malloc(size ? size : 1);
    bool good;

    memcpy(copy, file, size);
    trouble = (struct trouble){0};
    good = elf_read_kernel(copy, size, &kernel, &trouble);
    CHECK(good || (trouble.why[0] && trouble.remedy));
    for (unsigned int i = 0; good && i < kernel.nr_segments; i++)
        CHECK(kernel.segment[i].from >= (uintptr_t)copy &&
              kernel.segment[i].from + kernel.segment[i].file_size <= (uintptr_t)copy + size);
    free(copy);
    return good;
}

static void test_kernels(void)
{
    struct file64 f = good();

    CHECK(check_kernel(&f, sizeof(f)) && kernel.entry == 0x1000010 && kernel.nr_segments == 1);
    CHECK(kernel.start == 0x1000000 && kernel.end == 0x1003000);
    CHECK(kernel.segment[0].at == 0x1000000 && kernel.segment[0].memory_size == 0x3000);
    CHECK(kernel.segment[0].file_size == sizeof(f.code));
    for (size_t size = 0; size < sizeof(f); size++)
        CHECK(!check_kernel(&f, size));
    f.note.size = 4;
    CHECK(check_kernel(&f, sizeof(f)) && kernel.entry == 0x1000010);
}

/* As many as the hypervisor is told of, and one more. */
static void test_many_segments(void)
{
    struct {
        struct file64 f;
        Elf64_Phdr p[BOOT_SEGMENTS + 2];
    } many = {.f = good()};

    many.f.h.e_phoff = sizeof(many.f);
    many.p[0] = many.f.p[1];
    for (unsigned int i = 1; i < BOOT_SEGMENTS + 2; i++)
        many.p[i] = many.f.p[0];
    many.f.h.e_phnum = BOOT_SEGMENTS + 1;
    CHECK(check_kernel(&many, sizeof(many)) && kernel.nr_segments == BOOT_SEGMENTS);
    many.f.h.e_phnum++;
    CHECK(!check_kernel(&many, sizeof(many)));
}

#define WRONG(change)                                                                                                  \
    do {                                                                                                               \
        struct file64 f = good();                                                                                      \
        change;                                                                                                        \
        CHECK(!check_kernel(&f, sizeof(f)));                                                                           \
    } while (0)

static void test_wrong_words(void)
{
    WRONG(f.h.e_ident[4] = ELFCLASS32);
    WRONG(f.h.e_ident[5] = 2);
    WRONG(f.h.e_machine = EM_AARCH64);
    WRONG(f.h.e_phoff = ~0ull);
    WRONG(f.h.e_phoff = sizeof(f) - 8);
    WRONG(f.h.e_phnum = 0);
    WRONG(f.h.e_phnum = 65535);
    WRONG(f.h.e_phentsize = 57);
    WRONG(f.p[0].p_offset = ~0ull);
    WRONG(f.p[0].p_filesz = ~0ull);
    WRONG(f.p[0].p_memsz = 10);
    WRONG(f.p[0].p_memsz = ~0ull);
    WRONG(f.p[0].p_paddr = ~0ull - 10);
    WRONG(f.p[0].p_paddr = 1ull << 32);
    WRONG(f.p[1].p_offset = ~0ull);
    WRONG(f.p[1].p_filesz = 1ull << 62);
    WRONG(f.p[1].p_filesz = 8);
    WRONG(f.p[1].p_type = 0);
    WRONG(f.note.type = 17);
    WRONG(f.note.name[0] = 'Y');
    WRONG(f.note.name_size = ~0u);
    WRONG(f.note.size = ~0u);
    WRONG(f.note.size = 2);
    WRONG(f.note.entry = 0x1003000);
    WRONG(f.note.entry = 0);
}

static void test_what_it_is(void)
{
    char text[0x300] = {0};

    memcpy(text + 0x202, "HdrS", 4);
    CHECK(!check_kernel(text, sizeof(text)) && strstr(trouble.why, "bzImage") &&
          strstr(trouble.remedy, "extract-vmlinux"));
    memcpy(text, "\x1f\x8b", 2);
    memcpy(text + 0x202, "....", 4);
    CHECK(!check_kernel(text, sizeof(text)) && strstr(trouble.why, "packed"));
    CHECK(!check_kernel("hello", 5) && strstr(trouble.why, "not an ELF"));
    CHECK(!check_kernel("", 0) && strstr(trouble.why, "not an ELF"));
}

int main(void)
{
    test_kernels();
    test_many_segments();
    test_wrong_words();
    test_what_it_is();
    return 0;
}
