/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The configuration, bulkhead.conf: text in, one entry out. Pure. docs/efi.md describes the format for its writers.
 */
#ifndef EFI_CONFIG_H
#define EFI_CONFIG_H

#include "text.h"

#define CONFIG_NAME 64
#define CONFIG_PATH 256
#define CONFIG_OPTIONS 2048 /* Linux takes as many */
#define CONFIG_MAX (64 << 10)

struct config_entry {
    char name[CONFIG_NAME];
    char kernel[CONFIG_PATH];
    char initrd[CONFIG_PATH];        /* empty: none */
    char options[CONFIG_OPTIONS];    /* of the kernel */
    char hypervisor[CONFIG_OPTIONS]; /* further options of the hypervisor */
    char dom0_mem[16];               /* as written; empty: the hypervisor decides */
    char console[CONFIG_NAME];       /* empty: the hypervisor decides */
    uint64_t dom0_bytes;             /* of dom0_mem; 0: not given */
};

/*
 * Reads all of `text` and fills `entry` with the entry called `wanted`, or without one ("") the default entry,
 * or without that the first. False, with `t` naming the line, when a line is wrong or the entry is not there.
 */
bool config_parse(const char *text, size_t size, const char *wanted, struct config_entry *entry, struct trouble *t);

#endif
