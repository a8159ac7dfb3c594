/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory, strings, formatting, numbers and command lines. See lib.h.
 *
 * Memory is moved by REP MOVSQ and STOSQ: eight bytes an iteration, and no loop for the compiler to mistake for the
 * very function it is in.
 */
#define HV_LIB_IMPLEMENTATION
#include "host_names.h"

#include <hv/lib.h>

void *memcpy(void *restrict to, const void *restrict from, size_t n)
{
    void *d = to;
    size_t words = n / 8, rest = n % 8;
    asm volatile("rep movsq\n\tmov %[rest], %%rcx\n\trep movsb"
                 : "+&D"(d), "+&S"(from), "+&c"(words)
                 : [rest] "r"(rest)
                 : "memory");
    return to;
}

void *memmove(void *to, const void *from, size_t n)
{
    if ((uintptr_t)to - (uintptr_t)from >= n)
        return memcpy(to, from, n);
    /* `to` lies inside the source: from the end down. The ABI wants the direction flag clear again. */
    uint8_t *d = (uint8_t *)to + n - 1;
    const uint8_t *s = (const uint8_t *)from + n - 1;
    asm volatile("std\n\trep movsb\n\tcld" : "+D"(d), "+S"(s), "+c"(n) : : "memory");
    return to;
}

void *memset(void *to, int byte, size_t n)
{
    void *d = to;
    size_t words = n / 8, rest = n % 8;
    asm volatile("rep stosq\n\tmov %[rest], %%rcx\n\trep stosb"
                 : "+&D"(d), "+&c"(words)
                 : "a"((uint8_t)byte * 0x0101010101010101ull), [rest] "r"(rest)
                 : "memory");
    return to;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const uint8_t *x = a, *y = b;
    uint64_t p, q;
    for (; n >= 8; n -= 8, x += 8, y += 8) {
        __builtin_memcpy(&p, x, 8);
        __builtin_memcpy(&q, y, 8);
        if (p != q)
            break;
    }
    for (; n; n--, x++, y++) {
        if (*x != *y)
            return *x - *y;
    }
    return 0;
}

size_t strlen(const char *s)
{
    const char *end = s;
    while (*end) {
        end++;
        asm volatile("" : "+r"(end)); /* or gcc makes a call of strlen() of this */
    }
    return end - s;
}

int strcmp(const char *a, const char *b) { return strncmp(a, b, SIZE_MAX); }

int strncmp(const char *a, const char *b, size_t n)
{
    for (; n; n--, a++, b++) {
        if (*a != *b || !*a)
            return (uint8_t)*a - (uint8_t)*b;
    }
    return 0;
}

size_t str_copy(char *to, const char *from, size_t size)
{
    size_t length = strlen(from);
    if (size) {
        size_t n = MIN(length, size - 1);
        memcpy(to, from, n);
        to[n] = 0;
    }
    return length;
}

/* --- formatting --- */

struct out {
    char *text;
    size_t size, length; /* length may be beyond size: what does not fit is counted only */
};

struct spec {
    bool left, zero, upper;
    int width, precision; /* -1: none */
    unsigned bytes;       /* of an integer argument */
};

static void put(struct out *o, char c)
{
    if (o->length < o->size)
        o->text[o->length] = c;
    o->length++;
}

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t length)
{
    int pad = length < (size_t)s->width ? s->width - (int)length : 0;
    for (; !s->left && pad; pad--)
        put(o, ' ');
    for (size_t i = 0; i < length; i++)
        put(o, text[i]);
    for (; pad; pad--)
        put(o, ' ');
}

/* `sign` is 0, '-', or 'x' for "0x". */
static void put_number(struct out *o, const struct spec *s, uint64_t value, unsigned base, char sign)
{
    const char *digits = s->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[24];
    unsigned at = sizeof(text), prefix = sign == 'x' ? 2 : sign ? 1 : 0;
    do {
        text[--at] = digits[value % base];
        value /= base;
    } while (value);
    int zeros = s->zero && !s->left ? s->width - (int)(sizeof(text) - at + prefix) : 0;
    if (zeros > 0 && sign)
        put(o, sign == 'x' ? '0' : sign);
    if (zeros > 0 && sign == 'x')
        put(o, 'x');
    for (int i = 0; i < zeros; i++)
        put(o, '0');
    if (zeros <= 0 && sign)
        text[--at] = sign;
    if (zeros <= 0 && sign == 'x')
        text[--at] = '0';
    struct spec rest = *s;
    if (zeros > 0)
        rest.width = 0;
    put_padded(o, &rest, text + at, sizeof(text) - at);
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (!text)
        text = "(null)";
    size_t length = 0;
    while ((s->precision < 0 || length < (size_t)s->precision) && text[length])
        length++;
    put_padded(o, s, text, length);
}

static const char *parse_count(const char *f, va_list *args, int *value)
{
    *value = 0;
    if (*f == '*') {
        int n = va_arg(*args, int);
        *value = n < 0 ? 0 : MIN(n, 4096);
        return f + 1;
    }
    for (; *f >= '0' && *f <= '9'; f++)
        *value = MIN(*value * 10 + (*f - '0'), 4096);
    return f;
}

/* What is between '%' and the conversion; returns where that is. */
static const char *parse_spec(const char *f, va_list *args, struct spec *s)
{
    *s = (struct spec){ .precision = -1, .bytes = 4 };
    for (; *f == '-' || *f == '0'; f++) {
        s->left |= *f == '-';
        s->zero |= *f == '0';
    }
    f = parse_count(f, args, &s->width);
    if (*f == '.')
        f = parse_count(f + 1, args, &s->precision);
    for (; *f == 'l' || *f == 'z' || *f == 'h'; f++)
        s->bytes = *f != 'h' ? 8 : s->bytes == 2 ? 1 : 2;
    return f;
}

static uint64_t get_unsigned(va_list *args, unsigned bytes)
{
    if (bytes == 8)
        return va_arg(*args, uint64_t);
    uint32_t value = va_arg(*args, uint32_t);
    return bytes == 4 ? value : value & ((1u << (8 * bytes)) - 1);
}

static int64_t get_signed(va_list *args, unsigned bytes)
{
    if (bytes == 8)
        return va_arg(*args, int64_t);
    int32_t value = va_arg(*args, int32_t);
    return bytes == 4 ? value : bytes == 2 ? (int16_t)value : (int8_t)value;
}

/* False: not a conversion we know. */
static bool convert(struct out *o, struct spec *s, char conversion, va_list *args)
{
    int64_t value;
    switch (conversion) {
    case 'd':
    case 'i':
        value = get_signed(args, s->bytes);
        put_number(o, s, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, value < 0 ? '-' : 0);
        return true;
    case 'u': put_number(o, s, get_unsigned(args, s->bytes), 10, 0); return true;
    case 'X':
    case 'x':
        s->upper = conversion == 'X';
        put_number(o, s, get_unsigned(args, s->bytes), 16, 0);
        return true;
    case 'p': put_number(o, s, (uintptr_t)va_arg(*args, void *), 16, 'x'); return true;
    case 'c': put_padded(o, s, (char[]){ (char)va_arg(*args, int) }, 1); return true;
    case 's': put_string(o, s, va_arg(*args, const char *)); return true;
    case '%': put(o, '%'); return true;
    }
    return false;
}

int vsnprintf(char *out, size_t size, const char *format, va_list args)
{
    struct out o = { out, size, 0 };
    va_list rest;
    va_copy(rest, args); /* has the type of a variable, so that its address may be passed on */
    while (*format) {
        struct spec s;
        const char *start = format++, *end;
        if (*start != '%') {
            put(&o, *start);
            continue;
        }
        end = parse_spec(format, &rest, &s);
        if (*end && convert(&o, &s, *end, &rest))
            format = end + 1;
        else
            put(&o, '%');
    }
    va_end(rest);
    if (size)
        out[MIN(o.length, size - 1)] = 0;
    return (int)o.length;
}

int snprintf(char *out, size_t size, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int length = vsnprintf(out, size, format, args);
    va_end(args);
    return length;
}

/* --- numbers and command lines --- */

static int digit_of(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : 99;
}

bool parse_number(const char **text, uint64_t *value)
{
    const char *s = *text;
    uint64_t n = 0;
    int base = 10;
    if (s[0] == '0' && (s[1] | 0x20) == 'x') {
        base = 16;
        s += 2;
    }
    if (digit_of(*s) >= base)
        return false;
    for (; digit_of(*s) < base; s++) {
        if (__builtin_mul_overflow(n, (uint64_t)base, &n) || __builtin_add_overflow(n, (uint64_t)digit_of(*s), &n))
            return false;
    }
    *text = s;
    *value = n;
    return true;
}

bool parse_size(const char **text, uint64_t *value)
{
    static const char units[] = "kmgt";
    const char *s = *text;
    uint64_t n;
    if (!parse_number(&s, &n))
        return false;
    for (unsigned i = 0; i < 4; i++) {
        if ((*s | 0x20) != units[i])
            continue;
        unsigned shift = 10 * (i + 1);
        if (n >> (64 - shift))
            return false;
        n <<= shift;
        s++;
        break;
    }
    *text = s;
    *value = n;
    return true;
}

/* The end of the word at `s`; quotes may enclose spaces. */
static const char *word_end(const char *s)
{
    bool quoted = false;
    for (; *s && (quoted || (*s != ' ' && *s != '\t' && *s != '\n')); s++)
        quoted ^= *s == '"';
    return s;
}

bool option_find(const char *line, const char *name, const char **value, size_t *length)
{
    size_t name_length = strlen(name);
    bool found = false;
    for (const char *s = line, *end; *s; s = *end ? end + 1 : end) {
        end = word_end(s);
        const char *from = s, *to = end;
        if (*from == '"')
            from++;
        if ((size_t)(to - from) < name_length || strncmp(from, name, name_length) != 0)
            continue;
        from += name_length;
        if (from < to && *from != '=' && *from != '"')
            continue;
        from += from < to && *from == '=';
        from += from < to && *from == '"';
        to -= from < to && to[-1] == '"';
        *value = from;
        *length = to - from;
        found = true;
    }
    return found;
}

bool option_string(const char *line, const char *name, char *out, size_t size)
{
    const char *value;
    size_t length;
    if (!option_find(line, name, &value, &length) || length >= size)
        return false;
    memcpy(out, value, length);
    out[length] = 0;
    return true;
}

bool option_size(const char *line, const char *name, uint64_t *value)
{
    const char *text, *at;
    size_t length;
    uint64_t n;
    if (!option_find(line, name, &text, &length))
        return false;
    at = text;
    if (!parse_size(&at, &n) || at != text + length)
        return false;
    *value = n;
    return true;
}

bool option_flag(const char *line, const char *name, bool otherwise)
{
    char text[32] = "no-";
    const char *value;
    size_t length;
    if (option_string(line, name, text, sizeof(text)))
        return strcmp(text, "off") != 0 && strcmp(text, "no") != 0 && strcmp(text, "0") != 0;
    memcpy(text, "no-", 4);
    str_copy(text + 3, name, sizeof(text) - 3);
    return option_find(line, text, &value, &length) ? false : otherwise;
}
