/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bit of a C library that the hypervisor needs: memory, strings, formatting, command lines.
 *
 * Native tests (HV_HOST) use libc's functions of the same names; lib.c is then built with hv_ before each.
 */
#pragma once

#include <hv/types.h>
#include <stdarg.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);

/* As much of `from` as there is room for, and a zero byte; size > 0. */
void str_copy(char *to, const char *from, size_t size);

/*
 * %d %u %x with l, the flag 0 and a width; %s with a width; %c %%. From anything else on the format
 * is written as it stands. Writes at most `size` bytes with the zero at the end; returns the length it would have had.
 */
int vsnprintf(char *out, size_t size, const char *format, va_list args) printf_like(3, 0);
int snprintf(char *out, size_t size, const char *format, ...) printf_like(3, 4);

/* Options are words `name=value` of a command line; the last one of a name counts. Not there: `otherwise`, or false. */
bool option_is(const char *line, const char *name, const char *value, bool otherwise);
/* A number with K, M, G or T (1024s) behind it or nothing; false also when it is something else or too large. */
bool option_size(const char *line, const char *name, uint64_t *value);

#if !defined(HV_HOST) && !defined(HV_LIB_IMPLEMENTATION)
/* -ffreestanding hides from the compiler what these do; this lets it put small copies in line. */
#define memcpy(to, from, n) __builtin_memcpy(to, from, n)
#define memset(to, byte, n) __builtin_memset(to, byte, n)
#define memcmp(a, b, n) __builtin_memcmp(a, b, n)
#endif
