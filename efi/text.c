/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Formatting and the three memory functions a compiler may call by itself. Pure; natively the C library's memory
 * functions are used, so that the sanitizers see every access.
 */
#include "pure.h"

struct sink {
    char *to;
    size_t room, used;
};

static void put(struct sink *s, char c)
{
    if (s->used + 1 < s->room)
        s->to[s->used++] = c;
}

static void put_number(struct sink *s, unsigned long long n, unsigned int base)
{
    char digits[24];
    int count = 0;

    do {
        digits[count++] = "0123456789abcdef"[n % base];
        n /= base;
    } while (n);
    while (count)
        put(s, digits[--count]);
}

void text_format_list(char *to, size_t room, const char *format, va_list list)
{
    struct sink s = {to, room, 0};

    if (room == 0)
        return;
    for (; *format; format++) {
        bool wide;

        if (*format != '%') {
            put(&s, *format);
            continue;
        }
        format++;
        wide = format[0] == 'l' && format[1] == 'l';
        format += wide ? 2 : 0;
        if (*format == 's')
            for (const char *text = va_arg(list, const char *); *text; text++)
                put(&s, *text);
        else if (*format == 'u' || *format == 'x')
            put_number(&s, wide ? va_arg(list, unsigned long long) : va_arg(list, unsigned int),
                       *format == 'u' ? 10 : 16);
        else
            break;
    }
    to[s.used] = 0;
}

void text_format(char *to, size_t room, const char *format, ...)
{
    va_list list;

    va_start(list, format);
    text_format_list(to, room, format, list);
    va_end(list);
}

bool text_equal(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return *a == *b;
}

#ifndef EFI_HOST
void *memcpy(void *to, const void *from, size_t n)
{
    void *result = to;

    __asm__ volatile("rep movsb" : "+D"(to), "+S"(from), "+c"(n) : : "memory");
    return result;
}

void *memset(void *to, int byte, size_t n)
{
    void *result = to;

    __asm__ volatile("rep stosb" : "+D"(to), "+c"(n) : "a"(byte) : "memory");
    return result;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;

    for (; n && *x == *y; n--, x++, y++)
        ;
    return n ? *x - *y : 0;
}
#endif
