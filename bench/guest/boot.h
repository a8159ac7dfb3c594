/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the loader handed over. */
#ifndef BENCH_GUEST_BOOT_H
#define BENCH_GUEST_BOOT_H

#include <stddef.h>
#include <stdint.h>

struct region {
    uint64_t start, end;
};

struct boot {
    char command_line[512];
    uint64_t rsdp; /* 0: not told */
    struct region ram[16];
    unsigned ram_count;
};

extern struct boot boot;

/* NULL, or what is wrong with the hand-over, in one word. */
const char *boot_read(uint32_t info);
/* RAM below 4 GiB that nobody has touched yet, above the image; 2 MiB aligned. Empty when there is
 * none. */
struct region boot_untouched(void);

#endif
