/* SPDX-License-Identifier: GPL-2.0-or-later */
/* ELF files: good ones of both classes, each header word wrong in turn, and every length a file can be cut to. */
/* sources: elf.c text.c */
#include <linux/elf.h>

#include "../../elf.h"
#include "../check.h"

#define BASE 0xffffffff80000000ull

static struct trouble trouble;
static struct elf_kernel kernel;
static struct elf_image image;

struct file64 {
    Elf64_Ehdr h;
    Elf64_Phdr p[2];
    struct {
        uint32_t name_size, size, type;
        char name[4];
        uint64_t entry;
    } __attribute__((packed)) note;
    uint8_t code[64];
};

struct file32 {
    Elf32_Ehdr h;
    Elf32_Phdr p[2];
    struct {
        uint32_t name_size, size, type;
        char name[4];
        uint32_t entry;
    } note;
    uint8_t code[64];
};

#define FILL(f, class, address)                                                                                        \
    do {                                                                                                               \
        memset(&(f), 0, sizeof(f));                                                                                    \
        memcpy((f).h.e_ident, "\177ELF", 4);                                                                           \
        (f).h.e_ident[4] = class;                                                                                      \
        (f).h.e_ident[5] = 1;                                                                                          \
        (f).h.e_machine = EM_X86_64;                                                                                   \
        (f).h.e_entry = address;                                                                                       \
        (f).h.e_phoff = sizeof((f).h);                                                                                 \
        (f).h.e_phentsize = sizeof((f).p[0]);                                                                          \
        (f).h.e_phnum = 2;                                                                                             \
        (f).p[0].p_type = PT_LOAD;                                                                                     \
        (f).p[0].p_offset = (uint64_t)((char *)(f).code - (char *)&(f));                                               \
        (f).p[0].p_vaddr = address;                                                                                    \
        (f).p[0].p_paddr = 0x1000000;                                                                                  \
        (f).p[0].p_filesz = sizeof((f).code);                                                                          \
        (f).p[0].p_memsz = 0x3000;                                                                                     \
        (f).p[1].p_type = PT_NOTE;                                                                                     \
        (f).p[1].p_offset = (uint64_t)((char *)&(f).note - (char *)&(f));                                              \
        (f).p[1].p_filesz = sizeof((f).note);                                                                          \
        (f).note.name_size = 4;                                                                                        \
        (f).note.size = sizeof((f).note.entry);                                                                        \
        (f).note.type = 18;                                                                                            \
        memcpy((f).note.name, "Xen", 4);                                                                               \
        (f).note.entry = 0x1000010;                                                                                    \
    } while (0)

/* From a copy of exactly this size, so that the sanitizer sees a read behind the end. */
static bool check_kernel(const void *file, size_t size)
{
    void *copy = malloc(size ? size : 1);
    bool good;

    memcpy(copy, file, size);
    trouble = (struct trouble){0};
    good = elf_check_kernel(copy, size, &kernel, &trouble);
    CHECK(good || (trouble.why[0] && trouble.remedy));
    free(copy);
    return good;
}

static void test_kernels(void)
{
    struct file64 f;
    struct file32 n;

    FILL(f, ELFCLASS64, 0x1000000);
    CHECK(check_kernel(&f, sizeof(f)) && kernel.entry == 0x1000010);
    CHECK(kernel.start == 0x1000000 && kernel.end == 0x1003000);
    FILL(n, ELFCLASS32, 0x1000000);
    CHECK(check_kernel(&n, sizeof(n)) && kernel.entry == 0x1000010 && kernel.end == 0x1003000);
    for (size_t size = 0; size < sizeof(f); size++)
        CHECK(!check_kernel(&f, size));
    for (size_t size = 0; size < sizeof(n); size++)
        CHECK(!check_kernel(&n, size));
}

#define WRONG(change)                                                                                                  \
    do {                                                                                                               \
        struct file64 f;                                                                                               \
        FILL(f, ELFCLASS64, 0x1000000);                                                                                \
        change;                                                                                                        \
        CHECK(!check_kernel(&f, sizeof(f)));                                                                           \
    } while (0)

static void test_wrong_words(void)
{
    WRONG(f.h.e_ident[4] = 3);
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
    CHECK(!check_kernel("\x1f\x8b...........", 13) && strstr(trouble.why, "packed"));
    CHECK(!check_kernel("hello", 5) && strstr(trouble.why, "not an ELF"));
    CHECK(!check_kernel("", 0) && strstr(trouble.why, "empty"));
}

static bool check_image(const struct file64 *f)
{
    return elf_check_image(f, sizeof(*f), BASE, 0x10000, &image, &trouble);
}

static void test_images(void)
{
    uint8_t memory[0x4000];
    struct file64 f;

    FILL(f, ELFCLASS64, BASE + 0x100);
    f.code[0] = 0xcc;
    CHECK(check_image(&f) && image.size == 0x4000 && image.entry == BASE + 0x100);
    memset(memory, 0xff, sizeof(memory));
    elf_place(&f, BASE, &image, memory);
    CHECK(memory[0] == 0 && memory[0x100] == 0xcc && memory[0x140] == 0 && memory[0x3fff] == 0);
    f.p[0].p_vaddr = BASE - 1;
    CHECK(!check_image(&f));
    f.p[0].p_vaddr = 0x1000;
    CHECK(!check_image(&f));
    f.p[0].p_vaddr = BASE + 0xf000;
    CHECK(!check_image(&f));
    f.p[0].p_vaddr = ~0ull;
    CHECK(!check_image(&f));
    FILL(f, ELFCLASS64, BASE);
    f.h.e_entry = BASE + 0x3000;
    CHECK(!check_image(&f));
    f.h.e_entry = BASE;
    f.h.e_machine = EM_386;
    CHECK(!check_image(&f));
    FILL(f, ELFCLASS64, BASE);
    f.p[1] = f.p[0]; /* overlaps */
    CHECK(!check_image(&f));
    f.p[1].p_vaddr = BASE + 0x3000;
    CHECK(check_image(&f) && image.size == 0x6000);
    f.h.e_phnum = 1;
    f.p[0].p_type = PT_NOTE;
    CHECK(!check_image(&f));
}

int main(void)
{
    test_kernels();
    test_wrong_words();
    test_what_it_is();
    test_images();
    return 0;
}
