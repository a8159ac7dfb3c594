/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The bit of a C library that the hypervisor needs: memory, strings, formatting, numbers, command lines.
 *
 * Native tests (HV_HOST) use libc's functions of the same names; lib.c is then built with hv_ before each.
 */
#ifndef HV_LIB_H
#define HV_LIB_H

#include <hv/types.h>
#include <stdarg.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n);
void *memmove(void *to, const void *from, size_t n);
void *memset(void *to, int byte, size_t n);
int memcmp(const void *a, const void *b, size_t n);
size_t strlen(const char *s);
int strcmp(const char *a, const char *b);
int strncmp(const char *a, const char *b, size_t n);

/* Always ends `to` with a zero byte when size > 0. Returns the length of `from`. */
size_t str_copy(char *to, const char *from, size_t size);

/*
 * %d %i %u %x %X %s %c %p %%, with l, ll, z, h, hh, the flags - and 0, width and, for %s, precision (both also as *).
 * Anything else is written as it stands and takes no argument. Writes at most `size` bytes with the zero at the end;
 * returns the length it would have had.
 */
int vsnprintf(char *out, size_t size, const char *format, va_list args) printf_like(3, 0);
int snprintf(char *out, size_t size, const char *format, ...) printf_like(3, 4);

/* A decimal or 0x number at *text, which moves behind it. False: no digit, or too large; nothing changes. */
bool parse_number(const char **text, uint64_t *value);
/* The same with K, M, G or T behind it (1024s). */
bool parse_size(const char **text, uint64_t *value);

/* The word `name` or `name=value` of a command line; the last one counts. A word that is in "quotes" or has such a
 * value may hold spaces. False: not there. `length` is that of the value, 0 without one. */
bool option_find(const char *line, const char *name, const char **value, size_t *length);
bool option_string(const char *line, const char *name, char *out, size_t size); /* false also when cut off */
bool option_size(const char *line, const char *name, uint64_t *value);          /* the whole value must be a size */
/* "name", "name=on|yes|1" true; "no-name", "name=off|no|0" false; else `otherwise`. */
bool option_flag(const char *line, const char *name, bool otherwise);

#if !defined(HV_HOST) && !defined(HV_LIB_IMPLEMENTATION)
/* -ffreestanding hides from the compiler what these do; this lets it put small copies in line. */
#define memcpy(to, from, n) __builtin_memcpy(to, from, n)
#define memset(to, byte, n) __builtin_memset(to, byte, n)
#define memcmp(a, b, n) __builtin_memcmp(a, b, n)
#endif

#endif
