/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Any bytes as a kernel: nothing outside of them is read. */
/* sources: elf.c ../hypervisor/lib/lib.c */
#include "../../pure.h"
#include "../check.h"

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
    struct boot_kernel kernel;

    if (elf_read_kernel(data, size, &kernel, &t)) {
        CHECK(kernel.entry >= kernel.start && kernel.entry < kernel.end && kernel.end <= 1ull << 32);
        for (unsigned int i = 0; i < kernel.nr_segments; i++) {
            uint64_t offset = kernel.segment[i].from - (uintptr_t)data;

            CHECK(offset <= size && kernel.segment[i].file_size <= size - offset);
            CHECK(kernel.segment[i].file_size <= kernel.segment[i].memory_size);
        }
    } else {
        CHECK(t.why[0] && t.remedy);
    }
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
