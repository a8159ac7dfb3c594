/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The control domain's kernel: an ELF file that starts by its PVH entry. Pure: bytes in, verdict out. */
#ifndef EFI_ELF_H
#define EFI_ELF_H

#include <hv/bootinfo.h>

#include "text.h"

/*
 * Fills in `kernel` from a whole ELF64 x86-64 file with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY) that points into it;
 * false for any other. No byte outside of the file is read, whatever its headers say, and none is promised to the
 * hypervisor.
 */
bool elf_read_kernel(const void *file, uint64_t size, struct boot_kernel *kernel, struct trouble *t);

#endif
