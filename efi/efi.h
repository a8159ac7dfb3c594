/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loader uses of the UEFI 2.10 interface, and no more: layouts and numbers from the specification (the
 * section is named at each), the words in this tree's spelling. Members the loader never calls are slots of pointers.
 * All is compiled for Windows' ABI, which is the firmware's, so a call is an ordinary call.
 */
#ifndef EFI_EFI_H
#define EFI_EFI_H

#include <stddef.h>
#include <stdint.h>

typedef uint64_t efi_status;
typedef void *efi_handle;
typedef uint16_t efi_char;

/* Appendix D */
#define EFI_ERROR_BIT 0x8000000000000000ull
#define EFI_SUCCESS 0ull
#define EFI_LOAD_ERROR (EFI_ERROR_BIT | 1)
#define EFI_INVALID_PARAMETER (EFI_ERROR_BIT | 2)
#define EFI_UNSUPPORTED (EFI_ERROR_BIT | 3)
#define EFI_NOT_FOUND (EFI_ERROR_BIT | 14)

struct efi_guid {
    uint32_t a;
    uint16_t b, c, d, e; /* from d on big-endian */
    uint32_t f;
};

/* 7.2 Memory services */
enum efi_memory_type {
    EFI_RESERVED,
    EFI_LOADER_CODE,
    EFI_LOADER_DATA,
    EFI_BOOT_CODE,
    EFI_BOOT_DATA,
    EFI_RUNTIME_CODE,
    EFI_RUNTIME_DATA,
    EFI_CONVENTIONAL,
    EFI_UNUSABLE,
    EFI_ACPI_RECLAIM,
    EFI_ACPI_NVS,
    EFI_MMIO,
    EFI_MMIO_PORTS,
    EFI_PAL_CODE,
    EFI_PERSISTENT,
    EFI_UNACCEPTED,
};

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
#define EFI_SCAN_ESC 0x17

struct efi_text_input {
    efi_status (*reset)(struct efi_text_input *self, uint8_t extended);
    efi_status (*read_key)(struct efi_text_input *self, struct efi_key *key);
    void *key_event;
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

#define EFI_EVENT_TIMER 0x80000000u
#define EFI_TIMER_RELATIVE 2
#define EFI_SECOND 10000000ull /* in units of 100 ns */

/* 4.4 Boot services */
struct efi_boot_services {
    struct efi_table_header header;
    void *priority[2];
    efi_status (*allocate_pages)(enum efi_allocate_type how, enum efi_memory_type type, uint64_t pages, uint64_t *at);
    efi_status (*free_pages)(uint64_t at, uint64_t pages);
    efi_status (*get_memory_map)(uint64_t *size, void *map, uint64_t *key, uint64_t *step, uint32_t *version);
    void *pools[2];
    efi_status (*create_event)(uint32_t type, uint64_t priority, void *notify, void *context, void **event);
    efi_status (*set_timer)(void *event, uint32_t how, uint64_t time);
    efi_status (*wait_for_event)(uint64_t count, void **events, uint64_t *which);
    void *signal_event;
    efi_status (*close_event)(void *event);
    void *check_event;
    void *protocols[3];
    efi_status (*handle_protocol)(efi_handle handle, const struct efi_guid *protocol, void **interface);
    void *handles[5];
    void *load_image, *start_image;
    efi_status (*exit)(efi_handle image, efi_status status, uint64_t size, efi_char *data);
    void *unload_image;
    efi_status (*exit_boot_services)(efi_handle image, uint64_t key);
    void *time[2];
    efi_status (*set_watchdog)(uint64_t seconds, uint64_t code, uint64_t size, efi_char *data);
    void *drivers[2], *open_close[3], *locate_handles[2];
    efi_status (*locate_protocol)(const struct efi_guid *protocol, void *registration, void **interface);
};
_Static_assert(offsetof(struct efi_boot_services, locate_protocol) == 320, "UEFI 4.4");
_Static_assert(offsetof(struct efi_boot_services, exit_boot_services) == 232, "UEFI 4.4");

/* 4.5 Runtime services */
struct efi_runtime_services {
    struct efi_table_header header;
    void *time[4], *virtual_map[2];
    efi_status (*get_variable)(const efi_char *name, const struct efi_guid *vendor, uint32_t *attributes,
                               uint64_t *size, void *data);
};

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
    struct efi_runtime_services *runtime;
    struct efi_boot_services *boot;
    uint64_t nr_config_tables;
    struct efi_config_table *config_tables;
};
_Static_assert(sizeof(struct efi_system_table) == 120, "UEFI 4.3");

/* 10.2 Device paths */
struct efi_device_path {
    uint8_t type, subtype, length[2];
};
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
enum efi_pixels { EFI_PIXELS_RGB, EFI_PIXELS_BGR, EFI_PIXELS_MASKS };

struct efi_graphics_info {
    uint32_t version, width, height;
    uint32_t pixels; /* enum efi_pixels */
    uint32_t red, green, blue, reserved;
    uint32_t line; /* pixels */
};

struct efi_graphics_mode {
    uint32_t nr_modes, mode;
    struct efi_graphics_info *info;
    uint64_t info_size, base, size;
};

struct efi_graphics {
    void *query, *set, *blt;
    struct efi_graphics_mode *mode;
};

/* As they are written: EFI_GUID(0x01234567, 0x89ab, 0xcdef, 0x0123, 0x456789abcdef). */
#define EFI_GUID(a, b, c, d, e)                                                                                        \
    {                                                                                                                  \
        a, b, c, __builtin_bswap16(d), __builtin_bswap16((e) >> 32), __builtin_bswap32((e) & ~0u)                      \
    }
#define EFI_GLOBAL EFI_GUID(0x8be4df61u, 0x93ca, 0x11d2, 0xaa0d, 0x00e098032b8cull)
#define EFI_LOADED_IMAGE EFI_GUID(0x5b1b31a1u, 0x9562, 0x11d2, 0x8e3f, 0x00a0c969723bull)
#define EFI_FILE_SYSTEM EFI_GUID(0x964e5b22u, 0x6459, 0x11d2, 0x8e39, 0x00a0c969723bull)
#define EFI_GRAPHICS EFI_GUID(0x9042a9deu, 0x23dc, 0x4a38, 0x96fb, 0x7aded080516aull)
#define EFI_ACPI_20 EFI_GUID(0x8868e871u, 0xe4f1, 0x11d3, 0xbc22, 0x0080c73c8881ull)
#define EFI_SMBIOS EFI_GUID(0xeb9d2d31u, 0x2d88, 0x11d3, 0x9a16, 0x0090273fc14dull)
#define EFI_SMBIOS3 EFI_GUID(0xf2fd1544u, 0x9794, 0x4a2c, 0x992e, 0xe5bbcf20e394ull)

#endif
