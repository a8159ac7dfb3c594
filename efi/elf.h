/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * ELF files: is this kernel one that starts by its PVH entry, and where do the hypervisor's segments go. Pure: bytes
 * in, verdict out; no byte outside of the file is read, whatever its headers say.
 */
#ifndef EFI_ELF_H
#define EFI_ELF_H

#include "text.h"

struct elf_kernel {
    uint64_t entry;      /* of the PVH note */
    uint64_t start, end; /* physical, of its segments */
};

/* True for a whole ELF32 or ELF64 x86 file with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY) that points into a segment. */
bool elf_check_kernel(const void *file, uint64_t size, struct elf_kernel *kernel, struct trouble *t);

struct elf_image {
    uint64_t size;  /* in memory, from the base, with .bss; whole pages */
    uint64_t entry; /* virtual */
};

/* True for a whole ELF64 x86-64 program whose segments all lie in [base, base + max) and do not overlap. */
bool elf_check_image(const void *file, uint64_t size, uint64_t base, uint64_t max, struct elf_image *image,
                     struct trouble *t);

/* Copies the segments of a checked image to `to`, which has room for image->size bytes; the rest becomes zero. */
void elf_place(const void *file, uint64_t base, const struct elf_image *image, void *to);

#endif
