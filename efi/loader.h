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
#define FOUR_GIB GIB(4)
#define IDENTITY_MAX GIB(512)

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

/* pages.c: every page the loader holds is listed, and given back when it fails. Below 4 GiB where it fits. */
void *pages_get(uint64_t size, uint64_t align, uint64_t limit, const char *what);
void pages_release_all(void);
void pages_map(struct memmap *map, uint64_t *key);

/* file.c: paths are relative to the loader's folder, or absolute */
struct boot_module file_read(const char *path, uint64_t max, const char *remedy);
void file_path(const char *path, char *to, size_t room);

/* section.c: what is inside the loader's own file (and so under its signature); start 0: nothing */
struct boot_module section_find(const char *name);

/* firmware.c: facts for the hypervisor */
bool firmware_secure_boot(void);
bool firmware_serial_console(void);
void firmware_collect(struct bootinfo *info);

/* cpu.c */
void cpu_check(void);
bool cpu_has_1g_pages(void);

/* jump.c: leaves the firmware; nothing can fail any more that could be told */
noreturn void jump(struct bootinfo *info, uint64_t entry);

#endif
