/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the loader's metal files offer each other. The order of use is that of main.c. A step that cannot go on calls
 * fail(), which tells, waits and returns to the firmware; so no step returns an error.
 */
#pragma once

#include "efi.h"
#include "pure.h"

extern struct efi_system_table *fw;
extern efi_handle fw_image;
extern struct efi_loaded_image *fw_loaded;
#define boot_services (fw->boot)

/* fail.c: why, what to do, and as a format with its arguments what happened */
#define fail(why, remedy, ...) (print("\nbulkhead: " __VA_ARGS__), fail_wait(why, remedy))
noreturn void fail_wait(const char *why, const char *remedy);

/* console.c: screen and serial, from the first line of main.c on */
void console_open(void);
void print(const char *format, ...) printf_like(1, 2);
bool console_key(void); /* takes one, if one was pressed */

/* pages.c: whole pages, below 4 GiB where they fit, given back when the loader fails; and the firmware's memory map */
void *pages_get(uint64_t size, uint64_t align, const char *what);
void pages_release_all(void);
uint64_t pages_map(struct bootinfo *info); /* fills in the ranges; the key for leaving boot services */

/* file.c: names are relative to the loader's folder, or absolute; file_path()'s answer is valid until the next one */
struct boot_module file_read(const char *name, const char *remedy);
const char *file_path(const char *name);

/* firmware.c: facts for the hypervisor */
bool firmware_secure_boot(void);
bool firmware_serial_console(void);
void firmware_collect(struct bootinfo *info);

/* jump.c: leaves the firmware; nothing can fail any more that could be told */
noreturn void jump(struct bootinfo *info);
