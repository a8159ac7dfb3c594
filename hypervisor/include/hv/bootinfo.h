/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the EFI loader (efi/) hands to the hypervisor: one struct and what it points to, all physical addresses of
 * pages that the memory map below calls BOOT_LOADER. Valid until boot_free().
 *
 * State at the jump: 64-bit mode, interrupts off, boot services left; the loader's page tables map the first 4 GiB and
 * the loader's own memory one to one and at HV_DIRECT_MAP, and the image at HV_IMAGE_BASE, all writable and executable;
 * RDI holds the physical address of this struct; RSP is a stack of at least 16 KiB.
 *
 * The image is flat, without headers: what is at HV_IMAGE_BASE is entered, and 8 bytes behind it stands (64 bits) how
 * much memory the image takes, with its .bss, which the loader clears.
 */
#pragma once

#include <stdint.h>

#define HV_DIRECT_MAP 0xffff800000000000ull
#define HV_IMAGE_BASE 0xffffffff80000000ull
#define HV_IMAGE_ALIGN 0x200000ull

/* One entry for a range of one kind; sorted, not overlapping, page-aligned. */
struct boot_range {
    uint64_t start, end; /* [start, end) */
    uint32_t kind;       /* enum boot_kind */
    uint64_t efi_attributes;
};

/* Where firmware lists a page twice, the later kind here is the one that counts. */
enum boot_kind {
    BOOT_RAM = 1, /* free */
    BOOT_LOADER,  /* RAM: image, this struct, kernel, initrd; free after boot_free() but for the image */
    BOOT_ACPI,    /* RAM: tables the control domain may reclaim */
    BOOT_ACPI_NVS,
    BOOT_RUNTIME_CODE, /* EFI runtime services */
    BOOT_RUNTIME_DATA,
    BOOT_PERSISTENT,
    BOOT_MMIO,
    BOOT_RESERVED,
    BOOT_UNUSABLE,
};

struct boot_module {
    uint64_t start, size; /* page-aligned start; 0, 0: none */
};

/* The control domain's kernel, of which the loader has checked that all of this is in the file and below 4 GiB. */
struct boot_segment {
    uint64_t at, memory_size; /* where it belongs; what the file does not fill is zero */
    uint64_t from, file_size; /* physical address in the file */
};
#define BOOT_SEGMENTS 16
#define BOOT_OPTIONS 1024 /* the hypervisor's command line takes no more, its zero included */

struct boot_kernel {
    uint64_t entry, start, end; /* of the PVH note; the segments lie between */
    uint64_t nr_segments;
    struct boot_segment segment[BOOT_SEGMENTS];
};

/* The firmware's EFI_GRAPHICS_OUTPUT_MODE_INFORMATION (UEFI 12.9). */
struct boot_screen {
    uint32_t version, width, height;
    uint32_t format; /* pixels of 32 bits, the lowest byte is 0: red, 1: blue, 2: see the masks; others: no memory */
    uint32_t red, green, blue, reserved;
    uint32_t line; /* pixels */
};
_Static_assert(sizeof(struct boot_screen) == 36, "UEFI 12.9");

struct bootinfo {
    uint64_t image_start, image_size; /* the hypervisor, physical, with its .bss */
    uint64_t ranges, nr_ranges;       /* physical address of an array of struct boot_range */
    struct boot_kernel kernel;
    struct boot_module initrd;
    uint64_t kernel_command_line; /* physical addresses of strings */
    uint64_t hypervisor_command_line;
    uint64_t rsdp; /* ACPI 2.0 root pointer, 0: none */
    uint64_t efi_runtime_services;
    uint64_t efi_config_table; /* of the firmware, with SMBIOS: physical address, count of EFI_CONFIGURATION_TABLE */
    uint64_t efi_nr_config_tables;
    uint64_t efi_vendor; /* CHAR16 string */
    uint32_t efi_vendor_revision, efi_revision;
    struct boot_module framebuffer; /* what `screen` is about */
    struct boot_screen screen;
};
