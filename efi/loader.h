/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loader's metal files offer each other. The order of use is that of main.c. A step that cannot go on calls
 * fail(), which tells, waits and returns to the firmware; so no step returns an error.
 */
#ifndef EFI_LOADER_H
#define EFI_LOADER_H

#include <hv/bootinfo.h>

#include "config.h"
#include "efi.h"
#include "memmap.h"
#include "text.h"

#define noreturn __attribute__((noreturn))

#define MIB(n) ((uint64_t)(n) << 20)
#define GIB(n) ((uint64_t)(n) << 30)

extern struct efi_system_table *fw;
extern efi_handle fw_image;
extern struct efi_loaded_image *fw_loaded;
#define boot_services (fw->boot)

/* fail.c */
noreturn void fail(efi_status status, const char *why, const char *remedy, const char *what, ...) format_like(4, 5);
const char *status_text(efi_status status);

/* console.c: screen and serial, from the first line of main.c on */
void console_open(void);
void print(const char *format, ...) format_like(1, 2);
bool console_key(struct efi_key *key);

/* pages.c: whole pages, below 4 GiB where they fit, given back when the loader fails; and the firmware's memory map */
void *pages_get(uint64_t size, uint64_t align, const char *what);
void pages_release_all(void);
uint64_t pages_map(struct memmap *map); /* the key for leaving boot services */

/* file.c: names are relative to the loader's folder, or absolute; file_path()'s answer is valid until the next one */
struct boot_module file_read(const char *name, uint64_t max, const char *remedy);
const char *file_path(const char *name);

/* firmware.c: facts for the hypervisor */
bool firmware_secure_boot(void);
bool firmware_serial_console(void);
void firmware_collect(struct bootinfo *info);

/* jump.c: leaves the firmware; nothing can fail any more that could be told */
noreturn void jump(struct bootinfo *info);

#endif
