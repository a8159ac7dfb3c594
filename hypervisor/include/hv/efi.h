/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * EFI runtime services (UEFI 2.10 chapter 8) and what is left of the firmware's tables, for the control domain.
 * Implemented in cpu/efi.c, which calls the firmware on page tables of its own. Names are UCS-2, sizes in bytes,
 * results EFI_STATUS (appendix D).
 */
#pragma once

#include <hv/types.h>

#define EFI_SUCCESS 0ull
#define EFI_UNSUPPORTED (BIT(63) | 3)

struct efi_guid {
    uint32_t data1;
    uint16_t data2, data3;
    uint8_t data4[8];
};

#define efi_api __attribute__((ms_abi))
struct efi_services {
    uint64_t signature;
    uint32_t revision, size, crc, reserved;
    void *get_time, *set_time, *get_wakeup, *set_wakeup, *set_virtual_address_map, *convert_pointer;
    uint64_t(efi_api *get_variable)(const uint16_t *name, const struct efi_guid *vendor, uint32_t *attributes,
                                    uint64_t *size, void *data);
    uint64_t(efi_api *next_variable)(uint64_t *size, uint16_t *name, struct efi_guid *vendor);
    uint64_t(efi_api *set_variable)(const uint16_t *name, const struct efi_guid *vendor, uint32_t attributes,
                                    uint64_t size, const void *data);
    void *next_high_monotonic, *reset_system, *update_capsule, *query_capsule;
    uint64_t(efi_api *query_variable_info)(uint32_t attributes, uint64_t *storage, uint64_t *remaining,
                                           uint64_t *max_size); /* since revision 0x20000 */
};

uint32_t efi_runtime_revision(void); /* 0: there are no services */
/* status = efi_leave(efi_enter()->get_variable(...)): one call, with pointers into memory of the hypervisor's only. The
 * services must be present. */
const struct efi_services *efi_enter(void);
uint64_t efi_leave(uint64_t status);
