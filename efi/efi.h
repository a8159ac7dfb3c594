/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loader uses of the UEFI 2.10 interface, and no more: layouts and numbers from the specification (the
 * section is named at each), the words in this tree's spelling. Members the loader never calls are slots of pointers.
 * All is compiled for Windows' ABI, which is the firmware's, so a call is an ordinary call. The runtime services, which
 * the hypervisor calls too, are in hv/efi.h.
 */
#pragma once

#include <hv/bootinfo.h>
#include <hv/efi.h>

typedef uint64_t efi_status;
typedef void *efi_handle;
typedef uint16_t efi_char;

/* Appendix D */
#define EFI_ERROR_BIT 0x8000000000000000ull
#define EFI_LOAD_ERROR (EFI_ERROR_BIT | 1)
#define EFI_NOT_FOUND (EFI_ERROR_BIT | 14)

/* 7.2 Memory services */
#define EFI_LOADER_DATA 2 /* a memory type; memmap.c has them all */
enum efi_allocate_type { EFI_ANY_PAGES, EFI_MAX_ADDRESS };

struct efi_memory_descriptor {
    uint32_t type, pad;
    uint64_t physical_start, virtual_start, pages, attributes;
};
_Static_assert(sizeof(struct efi_memory_descriptor) == 40, "UEFI 7.2.3");

struct efi_table_header {
    uint64_t signature;
    uint32_t revision, size, crc, reserved;
};

/* 12.3, 12.4 Simple text input and output */
struct efi_key {
    uint16_t scan;
    efi_char character;
};

struct efi_text_input {
    void *reset;
    efi_status (*read_key)(struct efi_text_input *self, struct efi_key *key);
};

struct efi_text_output {
    void *reset;
    efi_status (*print)(struct efi_text_output *self, const efi_char *text);
};

/* 4.6 Configuration tables */
struct efi_config_table {
    struct efi_guid guid;
    void *table;
};
_Static_assert(sizeof(struct efi_config_table) == 24, "UEFI 4.6");

/* 4.4 Boot services */
struct efi_boot_services {
    struct efi_table_header header;
    void *priority[2];
    efi_status (*allocate_pages)(enum efi_allocate_type how, uint32_t type, uint64_t pages, uint64_t *at);
    efi_status (*free_pages)(uint64_t at, uint64_t pages);
    efi_status (*get_memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *step, uint32_t *version);
    void *pools[2], *events[6], *protocols[3];
    efi_status (*handle_protocol)(efi_handle handle, const struct efi_guid *protocol, void **interface);
    void *handles[5], *load_image, *start_image;
    efi_status (*exit)(efi_handle image, efi_status status, uint64_t size, efi_char *data);
    void *unload_image;
    efi_status (*exit_boot_services)(efi_handle image, uint64_t key);
    void *count;
    efi_status (*stall)(uint64_t microseconds);
    efi_status (*set_watchdog)(uint64_t seconds, uint64_t code, uint64_t size, efi_char *data);
    void *drivers[2], *open_close[3], *locate_handles[2];
    efi_status (*locate_protocol)(const struct efi_guid *protocol, void *registration, void **interface);
};
_Static_assert(offsetof(struct efi_boot_services, locate_protocol) == 320, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, exit_boot_services) == 232, "UEFI 4.4");

/* 4.3 System table */
struct efi_system_table {
    struct efi_table_header header;
    efi_char *vendor;
    uint32_t vendor_revision;
    efi_handle in_handle;
    struct efi_text_input *in;
    efi_handle out_handle;
    struct efi_text_output *out;
    efi_handle err_handle;
    struct efi_text_output *err;
    const struct efi_services *runtime;
    struct efi_boot_services *boot;
    uint64_t nr_config_tables;
    struct efi_config_table *config_tables;
};
_Static_assert(sizeof(struct efi_system_table) == 120, "UEFI 4.3");

/* 10.2 Device paths */
struct packed efi_device_path {
    uint8_t type, subtype;
    uint16_t length;
    efi_char name[]; /* of a file */
};
_Static_assert(sizeof(struct efi_device_path) == 4, "UEFI 10.2");
#define efi_path_next(node) ((const struct efi_device_path *)((const uint8_t *)(node) + (node)->length))
#define EFI_PATH_MESSAGING 3
#define EFI_PATH_UART 14
#define EFI_PATH_MEDIA 4
#define EFI_PATH_FILE 4
#define EFI_PATH_END 0x7f

/* 9.1 Loaded image */
struct efi_loaded_image {
    uint32_t revision;
    efi_handle parent;
    struct efi_system_table *system;
    efi_handle device;
    struct efi_device_path *file;
    void *reserved;
    uint32_t options_size;
    void *options;
    void *base;
    uint64_t size;
};

/* 13.4, 13.5 Simple file system, file */
struct efi_file {
    uint64_t revision;
    efi_status (*open)(struct efi_file *self, struct efi_file **found, const efi_char *name, uint64_t mode,
                       uint64_t attributes);
    efi_status (*close)(struct efi_file *self);
    void *remove;
    efi_status (*read)(struct efi_file *self, uint64_t *size, void *to);
    void *write;
    efi_status (*get_position)(struct efi_file *self, uint64_t *at);
    efi_status (*set_position)(struct efi_file *self, uint64_t at);
};
#define EFI_FILE_READ 1
#define EFI_FILE_END (~0ull)

struct efi_file_system {
    uint64_t revision;
    efi_status (*open_volume)(struct efi_file_system *self, struct efi_file **root);
};

/* 12.9 Graphics output */
struct efi_graphics_mode {
    uint32_t nr_modes, mode;
    const struct boot_screen *info;
    uint64_t info_size, base, size;
};

struct efi_graphics {
    void *query, *set, *blt;
    struct efi_graphics_mode *mode;
};

#define EFI_GUID(a, b, c, ...) (&(const struct efi_guid){a, b, c, {__VA_ARGS__}})
#define EFI_GLOBAL EFI_GUID(0x8be4df61, 0x93ca, 0x11d2, 0xaa, 0x0d, 0x00, 0xe0, 0x98, 0x03, 0x2b, 0x8c)
#define EFI_LOADED_IMAGE EFI_GUID(0x5b1b31a1, 0x9562, 0x11d2, 0x8e, 0x3f, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b)
#define EFI_FILE_SYSTEM EFI_GUID(0x964e5b22, 0x6459, 0x11d2, 0x8e, 0x39, 0x00, 0xa0, 0xc9, 0x69, 0x72, 0x3b)
#define EFI_GRAPHICS EFI_GUID(0x9042a9de, 0x23dc, 0x4a38, 0x96, 0xfb, 0x7a, 0xde, 0xd0, 0x80, 0x51, 0x6a)
#define EFI_ACPI_20 EFI_GUID(0x8868e871, 0xe4f1, 0x11d3, 0xbc, 0x22, 0x00, 0x80, 0xc7, 0x3c, 0x88, 0x81)
