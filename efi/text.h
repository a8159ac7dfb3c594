/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Text and bytes for the loader, which has no library under it; and the shape of every error the pure parts report.
 * Pure: the same code is built natively for tests.
 */
#ifndef EFI_TEXT_H
#define EFI_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Why something cannot be used, and what the reader can do about it. What it is, the caller knows. */
struct trouble {
    char why[200];
    const char *remedy;
};

#define format_like(f, a) __attribute__((format(printf, f, a)))

/* Knows %s, %u, %llu, %llx. Always ends `to` with a zero; cuts what does not fit. */
void text_format_list(char *to, size_t room, const char *format, va_list list);
void text_format(char *to, size_t room, const char *format, ...) format_like(3, 4);

/* Fills in `t`; false, so that a check can end with it. */
bool trouble_set(struct trouble *t, const char *remedy, const char *format, ...) format_like(3, 4);

bool text_equal(const char *a, const char *b);

#ifndef EFI_HOST
void *memcpy(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
#else
#include <string.h>
#endif

#endif
