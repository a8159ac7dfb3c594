/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pure helpers, also compiled natively for their tests: memory, strings, numbers, formatting. */
#ifndef BENCH_GUEST_TEXT_H
#define BENCH_GUEST_TEXT_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

bool text_equal(const char *a, const char *b);
bool text_contains(const char *text, const char *part, size_t part_len);
size_t text_length(const char *s);
/* Decimal or 0x hexadecimal, the whole of text[0..len); false when it is not a number that fits. */
bool text_number(const char *text, size_t len, uint64_t *value);
/*
 * %s %c %% and %u %d %x of int, long (%lu) or long long size; %02x style zero padding. The text is
 * cut to fit and always ends with a NUL; returns the length of what is in the buffer.
 */
size_t text_format(char *buffer, size_t size, const char *format, va_list args);

size_t text_print(char *buffer, size_t size, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

#endif
