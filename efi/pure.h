/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the pure parts of the loader offer: bytes in, verdict out, no firmware. They are built natively for tests, too.
 * Memory, strings and formatting are the hypervisor's (hv/lib.h), where %lu takes 64 bits and `long` has 32 here: a
 * format says %u or %llu.
 */
#pragma once

#include <hv/bootinfo.h>
#include <hv/lib.h>

/* Why something cannot be used, and what the reader can do about it. What it is, the caller knows. */
struct trouble {
    char why[200];
    const char *remedy;
};

/* Fills in `t`; false, so that a check can end with it. */
#define trouble_set(t, text, ...) ((t)->remedy = (text), snprintf((t)->why, sizeof((t)->why), __VA_ARGS__), false)

/* config.c: bulkhead.conf, whose format docs/efi.md describes for its writers */
enum config_key {
    CONFIG_KERNEL,
    CONFIG_INITRD,
    CONFIG_OPTIONS, /* of the kernel */
    CONFIG_DOM0_MEM,
    CONFIG_CONSOLE,
    CONFIG_HYPERVISOR, /* further options of the hypervisor */
    CONFIG_KEYS,
};

#define CONFIG_MAX (64u << 10)
#define CONFIG_LINE 2048 /* a line is shorter; Linux takes as many characters of options */

struct config_entry {
    const char *name, *value[CONFIG_KEYS]; /* "": not given; all valid until the next parse */
};

/*
 * Reads all of `text` and fills `entry` with the entry called `wanted`, or without one ("") the default entry,
 * or without that the first. False, with `t` naming the line, when a line is wrong or the entry is not there.
 */
bool config_parse(const char *text, size_t size, const char *wanted, struct config_entry *entry, struct trouble *t);

/* cpu.c: whether this processor, as the firmware left it, can run the hypervisor */
struct cpu_facts {
    bool svm, vmx, locked, nested_paging, five_levels;
};
struct cpu_facts cpu_read(void); /* the one part that is not pure */
bool cpu_suits(const struct cpu_facts *f, struct trouble *t);

/*
 * elf.c: fills in `kernel` from a whole ELF64 x86-64 file with a PVH note (XEN_ELFNOTE_PHYS32_ENTRY) that points into
 * it; false for any other. No byte outside of the file is read, whatever its headers say, and none is promised to the
 * hypervisor.
 */
bool elf_read_kernel(const void *file, uint64_t size, struct boot_kernel *kernel, struct trouble *t);

/*
 * memmap.c: the firmware's memory map, `size` bytes of descriptors `step` apart, as the hypervisor wants it
 * (hv/bootinfo.h): sorted, without overlaps, whole pages, neighbours of one kind joined. Fills in MEMMAP_RANGES(size)
 * ranges at most and returns how many there are: n descriptors have 2n ends, which cut the address space into at most
 * 2n + 1 pieces, and no two ranges share a piece.
 */
#define MEMMAP_RANGES(size) (2 * ((size) / sizeof(struct efi_memory_descriptor)) + 1)
unsigned int memmap_convert(const void *map, uint64_t size, uint64_t step, struct boot_range *ranges);

/*
 * paging.c: the page tables of the jump, the first GiBs one to one and the image at HV_IMAGE_BASE, in PAGING_PAGES(gib)
 * zeroed pages, of which the first is the root. The image, at a place aligned to 2 MiB, has at most 1 GiB.
 */
#define PAGING_MAX_GIB 512
#define PAGING_PAGES(gib) (4 + (gib))
void paging_build(uint64_t *pool, uint64_t gib, uint64_t image, uint64_t image_size);

/* section.c: the section `name`, of 7 or 8 characters, of a program in memory; start 0: it has none */
struct boot_module section_find(const void *image, const char *name);
