/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Memory, strings, formatting, numbers and command lines. See lib.h. Built a second time for the loader (efi/), whose
 * `long` has 32 bits: not used here.
 *
 * Memory is moved by REP MOVSQ and STOSQ: eight bytes an iteration, and no loop for the compiler to mistake for the
 * very function it is in.
 */
#define HV_LIB_IMPLEMENTATION
#ifdef HV_HOST
#include <host_names.h>
#endif

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
    for (; n; n--, x++, y++)
        if (*x != *y)
            return *x - *y;
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

void str_copy(char *to, const char *from, size_t size)
{
    size_t n = MIN(strlen(from), size - 1);
    memcpy(to, from, n);
    to[n] = 0;
}

/* --- formatting --- */

struct out {
    char *text;
    size_t size, length; /* length may be beyond size: what does not fit is counted only */
};

static void put(struct out *o, char c)
{
    if (o->length < o->size)
        o->text[o->length] = c;
    o->length++;
}

static void put_number(struct out *o, uint64_t value, unsigned base, unsigned width, char fill)
{
    char digits[20];
    unsigned n = 0;
    do
        digits[n++] = "0123456789abcdef"[value % base];
    while (value /= base);
    for (; width > n; width--)
        put(o, fill);
    while (n)
        put(o, digits[--n]);
}

static void put_string(struct out *o, const char *s, unsigned width)
{
    s = s ? s : "(null)";
    for (size_t n = strlen(s); width > n; width--)
        put(o, ' ');
    while (*s)
        put(o, *s++);
}

/* Puts what `format` wants, from behind the '%'; returns where the text goes on. NULL: not known, and what arguments
 * the rest would take is not known either. */
static const char *convert(struct out *o, const char *f, va_list *args)
{
    char fill = *f == '0' ? '0' : ' ';
    unsigned width = 0;
    bool wide = false;
    for (; *f >= '0' && *f <= '9'; f++)
        width = MIN(width * 10 + (*f - '0'), 100u);
    for (; *f == 'l'; f++)
        wide = true;
    uint64_t value = 0;
    if (*f == 'd' || *f == 'u' || *f == 'x')
        value = wide ? va_arg(*args, uint64_t) : *f == 'd' ? (uint64_t)va_arg(*args, int) : va_arg(*args, unsigned);
    switch (*f) {
    case 'd':
        if ((int64_t)value < 0) {
            put(o, '-');
            value = -value;
        }
        put_number(o, value, 10, width, fill);
        return f + 1;
    case 'u': put_number(o, value, 10, width, fill); return f + 1;
    case 'x': put_number(o, value, 16, width, fill); return f + 1;
    case 'c': put(o, (char)va_arg(*args, int)); return f + 1;
    case 's': put_string(o, va_arg(*args, const char *), width); return f + 1;
    case '%': put(o, '%'); return f + 1;
    }
    return NULL;
}

int vsnprintf(char *out, size_t size, const char *format, va_list args)
{
    struct out o = { out, size, 0 };
    va_list rest;
    va_copy(rest, args); /* has the type of a variable, so that its address may be passed on */
    const char *known = format;
    while (*format) {
        if (known && *format == '%' && (known = convert(&o, format + 1, &rest)))
            format = known;
        else
            put(&o, *format++);
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

/* --- command lines --- */

static bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n'; }

/* The word `name=value`; the last one counts. */
static bool option_find(const char *line, const char *name, const char **value, size_t *length)
{
    size_t n = strlen(name);
    bool found = false;
    for (const char *s = line, *end; *s; s = *end ? end + 1 : end) {
        for (end = s; *end && !is_space(*end);)
            end++;
        if ((size_t)(end - s) <= n || memcmp(s, name, n) != 0 || s[n] != '=')
            continue;
        *value = s + n + 1;
        *length = end - *value;
        found = true;
    }
    return found;
}

bool option_is(const char *line, const char *name, const char *value, bool otherwise)
{
    const char *at;
    size_t length;
    if (!option_find(line, name, &at, &length))
        return otherwise;
    return length == strlen(value) && memcmp(at, value, length) == 0;
}

bool option_size(const char *line, const char *name, uint64_t *value)
{
    static const char units[] = "kmgt";
    const char *at;
    size_t length, i = 0;
    uint64_t n = 0;
    if (!option_find(line, name, &at, &length))
        return false;
    for (; i < length && at[i] >= '0' && at[i] <= '9'; i++)
        if (__builtin_mul_overflow(n, 10ull, &n) || __builtin_add_overflow(n, (uint64_t)(at[i] - '0'), &n))
            return false;
    if (!i)
        return false;
    for (unsigned unit = 0; i < length && unit < 4; unit++) {
        unsigned shift = 10 * (unit + 1);
        if ((at[i] | 0x20) != units[unit] || n >> (64 - shift))
            continue;
        n <<= shift;
        i++;
        break;
    }
    if (i != length)
        return false;
    *value = n;
    return true;
}
