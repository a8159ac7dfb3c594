/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Strings and formatting for a program without a C library. No state, no hardware. */
#include "text.h"

struct sink {
    char *buffer;
    size_t size;
    size_t used;
};

static void sink_put(struct sink *s, char c)
{
    if (s->used + 1 < s->size)
        s->buffer[s->used++] = c;
}

static void sink_number(struct sink *s, uint64_t value, unsigned base, unsigned width)
{
    char digits[24];
    unsigned n = 0;

    do {
        digits[n++] = "0123456789abcdef"[value % base];
        value /= base;
    } while (value);
    while (n < width && n < sizeof(digits))
        digits[n++] = '0';
    while (n)
        sink_put(s, digits[--n]);
}

static void sink_text(struct sink *s, const char *text)
{
    for (text = text ? text : "(null)"; *text; text++)
        sink_put(s, *text);
}

bool text_equal(const char *a, const char *b)
{
    for (; *a && *a == *b; a++, b++)
        ;
    return *a == *b;
}

size_t text_length(const char *s)
{
    size_t n = 0;

    while (s[n])
        n++;
    return n;
}

bool text_contains(const char *text, const char *part, size_t part_len)
{
    for (; *text || !part_len; text++) {
        size_t i = 0;

        while (i < part_len && text[i] == part[i])
            i++;
        if (i == part_len)
            return true;
    }
    return false;
}

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return 16;
}

bool text_number(const char *text, size_t len, uint64_t *value)
{
    unsigned base = 10;
    uint64_t v = 0;

    if (len > 2 && text[0] == '0' && (text[1] == 'x' || text[1] == 'X')) {
        base = 16;
        text += 2;
        len -= 2;
    }
    if (!len)
        return false;
    for (size_t i = 0; i < len; i++) {
        unsigned d = digit_value(text[i]);

        if (d >= base || v > (UINT64_MAX - d) / base)
            return false;
        v = v * base + d;
    }
    *value = v;
    return true;
}

struct conversion {
    unsigned width;
    bool is_long;
};

static const char *conversion_parse(const char *f, struct conversion *c)
{
    *c = (struct conversion){0};
    for (; *f >= '0' && *f <= '9'; f++)
        c->width = c->width * 10 + (unsigned)(*f - '0');
    for (; *f == 'l'; f++)
        c->is_long = true;
    return f;
}

static void put_signed(struct sink *s, int64_t v, unsigned width)
{
    if (v < 0)
        sink_put(s, '-');
    sink_number(s, v < 0 ? -(uint64_t)v : (uint64_t)v, 10, width);
}

size_t text_format(char *buffer, size_t size, const char *format, va_list args)
{
    struct sink s = {buffer, size, 0};
    struct conversion c;

    for (; *format; format++) {
        if (*format != '%') {
            sink_put(&s, *format);
            continue;
        }
        format = conversion_parse(format + 1, &c);
        switch (*format) {
        case 's':
            sink_text(&s, va_arg(args, const char *));
            break;
        case 'c':
            sink_put(&s, (char)va_arg(args, int));
            break;
        case 'd':
            put_signed(&s, c.is_long ? va_arg(args, long) : va_arg(args, int), c.width);
            break;
        case 'u':
        case 'x':
            sink_number(&s, c.is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned),
                        *format == 'u' ? 10 : 16, c.width);
            break;
        case 0:
            format--;
            break;
        default:
            sink_put(&s, *format);
        }
    }
    if (size)
        buffer[s.used] = 0;
    return s.used;
}

size_t text_print(char *buffer, size_t size, const char *format, ...)
{
    va_list args;
    size_t n;

    va_start(args, format);
    n = text_format(buffer, size, format, args);
    va_end(args);
    return n;
}
