/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a kernel, as the hypervisor's image, and as a PE image: nothing outside of them is read or written. */
/* sources: elf.c section.c text.c */
#include "../../elf.h"
#include "../../section.h"
#include "../check.h"

#define BASE 0xffffffff80000000ull
#define HEADER 64

/* A header that leads further than random bytes do, with the fuzzer's own entry, place and count of segments. */
static void mend(uint8_t *file)
{
    static const uint8_t start[] = {127, 'E', 'L', 'F', 2, 1, 1};

    memcpy(file, start, sizeof(start));
    file[18] = 62; /* x86-64 */
    file[19] = 0;
    file[54] = 56; /* size of a program header */
    file[55] = file[57] = 0;
    memset(file + 33, 0, 7); /* program headers are near the beginning */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void try_all(const uint8_t *data, size_t size)
{
    struct trouble t = {0};
    struct elf_kernel kernel;
    struct elf_image image;
    uint64_t at, length;

    if (elf_check_kernel(data, size, &kernel, &t))
        CHECK(kernel.entry >= kernel.start && kernel.entry < kernel.end);
    else
        CHECK(t.why[0] && t.remedy);
    if (elf_check_image(data, size, BASE, 1 << 20, &image, &t)) {
        void *to = malloc(image.size);

        elf_place(data, BASE, &image, to);
        free(to);
    }
    if (pe_find_section(data, size, ".hv", &at, &length))
        CHECK(at <= size && length <= size - at);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);

    try_all(data, size);
    copy = realloc(copy, size ? size : 1);
    memcpy(copy, data, size);
    if (size >= HEADER) {
        mend(copy);
        try_all(copy, size);
    }
    free(copy);
    return 0;
}
