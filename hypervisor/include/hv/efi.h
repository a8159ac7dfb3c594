/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EFI runtime services and what is left of the firmware's tables, for the control domain. Implemented in cpu/efi.c,
 * which calls the firmware on page tables of its own. Buffers are the hypervisor's; names are UCS-2, their sizes in
 * bytes. Results are EFI_STATUS (UEFI 2.10 appendix D) in 64 bits.
 */
#ifndef HV_EFI_H
#define HV_EFI_H

#include <hv/types.h>

#define EFI_SUCCESS 0ull
#define EFI_UNSUPPORTED (BIT(63) | 3)

struct efi_time {
    uint16_t year;
    uint8_t month, day, hour, minute, second, pad1;
    uint32_t nanosecond;
    int16_t timezone;
    uint8_t daylight, pad2;
};

struct efi_guid {
    uint32_t data1;
    uint16_t data2, data3;
    uint8_t data4[8];
};

struct efi_time_capabilities {
    uint32_t resolution, accuracy;
    bool sets_to_zero;
};

struct efi_variable_info {
    uint64_t storage, remaining, max_size;
};

bool efi_runtime_present(void);
uint64_t efi_runtime_get_time(struct efi_time *time, struct efi_time_capabilities *capabilities);
uint64_t efi_runtime_set_time(const struct efi_time *time);
uint64_t efi_runtime_get_wakeup(bool *enabled, bool *pending, struct efi_time *time);
uint64_t efi_runtime_set_wakeup(bool enable, const struct efi_time *time /* NULL: as it was */);
/* *size: of the buffer, then of the data. */
uint64_t efi_runtime_get_variable(const uint16_t *name, const struct efi_guid *vendor, uint32_t *attributes,
                                  uint64_t *size, void *data);
uint64_t efi_runtime_set_variable(const uint16_t *name, const struct efi_guid *vendor, uint32_t attributes,
                                  uint64_t size, const void *data);
uint64_t efi_runtime_next_variable(uint64_t *size, uint16_t *name, struct efi_guid *vendor);
uint64_t efi_runtime_query_variable_info(uint32_t attributes, struct efi_variable_info *info);
uint64_t efi_runtime_next_high_monotonic(uint32_t *count);

/* What XEN_FW_EFI_INFO reports; zeros without EFI. */
struct efi_info {
    uint32_t revision, vendor_revision; /* of the system table, of the firmware */
    uint32_t runtime_revision;
    uint64_t config_table, nr_config_tables; /* physical address, entries */
    const uint16_t *vendor;                  /* the hypervisor's copy, ends with 0 */
};
extern struct efi_info hv_efi;
/* The range of the firmware's memory map that contains `address`; false: none. `size` in bytes. */
bool efi_memory_range(uint64_t address, uint64_t *start, uint64_t *size, uint64_t *attributes, uint32_t *type);

#endif
