/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the EFI loader (efi/) hands to the hypervisor: one struct and what it points to, all physical addresses of
 * pages that the memory map below calls BOOT_LOADER. Valid until boot_free().
 *
 * State at the jump: 64-bit mode, interrupts off, boot services left; the loader's page tables map the first
 * `identity_end` bytes one to one and the image at HV_IMAGE_BASE, all writable and executable; RDI holds the physical
 * address of this struct; RSP is a stack of at least 16 KiB.
 */
#ifndef HV_BOOTINFO_H
#define HV_BOOTINFO_H

#include <stdint.h>

#define BOOTINFO_MAGIC 0x44414548444c4842ull /* "BHLDHEAD" */
#define BOOTINFO_VERSION 1
#define HV_IMAGE_BASE 0xffffffff80000000ull
#define HV_IMAGE_ALIGN 0x200000ull

/* One entry for a range of one kind; sorted, not overlapping, page-aligned. */
struct boot_range {
    uint64_t start, end; /* [start, end) */
    uint32_t kind;       /* enum boot_kind */
    uint32_t efi_type;   /* EFI_MEMORY_TYPE */
    uint64_t efi_attributes;
};

enum boot_kind {
    BOOT_RAM = 1, /* free */
    BOOT_LOADER,  /* RAM: image, this struct, kernel, initrd; free after boot_free() but for the image */
    BOOT_ACPI,    /* RAM: tables the control domain may reclaim */
    BOOT_ACPI_NVS,
    BOOT_RUNTIME_CODE, /* EFI runtime services */
    BOOT_RUNTIME_DATA,
    BOOT_RESERVED,
    BOOT_MMIO,
    BOOT_UNUSABLE,
    BOOT_PERSISTENT,
};

struct boot_module {
    uint64_t start, size; /* page-aligned start; 0, 0: none */
};

struct boot_framebuffer {
    uint64_t base, size; /* 0: none */
    uint32_t width, height, pitch /* bytes a line */;
    uint8_t red_position, red_size, green_position, green_size, blue_position, blue_size;
    uint8_t reserved_position, reserved_size;
    uint16_t depth; /* bits a pixel */
};

struct bootinfo {
    uint64_t magic;
    uint32_t version, size;
    uint64_t image_start, image_size; /* the hypervisor, physical, with its .bss */
    uint64_t identity_end;
    uint64_t ranges; /* physical address of struct boot_range[nr_ranges] */
    uint32_t nr_ranges;
    uint32_t secure_boot; /* 1: on */
    struct boot_module kernel /* an unpacked ELF */, initrd;
    uint64_t kernel_command_line; /* physical addresses of strings */
    uint64_t hypervisor_command_line;
    uint64_t loader_name;
    uint64_t rsdp;            /* ACPI 2.0 root pointer, 0: none */
    uint64_t smbios, smbios3; /* entry points, 0: none */
    uint64_t efi_system_table;
    uint64_t efi_runtime_services;
    uint64_t efi_config_table; /* physical address and count of EFI_CONFIGURATION_TABLE */
    uint64_t efi_nr_config_tables;
    uint64_t efi_vendor; /* CHAR16 string */
    uint32_t efi_vendor_revision, efi_revision;
    struct boot_framebuffer framebuffer;
};

#endif
