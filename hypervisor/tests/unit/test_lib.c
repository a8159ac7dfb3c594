/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sources: lib/lib.c */
/* Our memory, string, formatting and parsing functions beside libc's. */
#include "fake_metal.h"

#include <hv/lib.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void *hv_memcpy(void *to, const void *from, size_t n);
void *hv_memmove(void *to, const void *from, size_t n);
void *hv_memset(void *to, int byte, size_t n);
int hv_memcmp(const void *a, const void *b, size_t n);
size_t hv_strlen(const char *s);
int hv_strcmp(const char *a, const char *b);
int hv_strncmp(const char *a, const char *b, size_t n);
int hv_snprintf(char *out, size_t size, const char *format, ...);

static int sign(int n) { return (n > 0) - (n < 0); }

static void test_memory(void)
{
    unsigned char a[200], b[200], c[200];
    for (int round = 0; round < 20000; round++) {
        for (unsigned i = 0; i < sizeof(a); i++)
            a[i] = b[i] = c[i] = rand();
        size_t n = rand() % 80, from = rand() % 100, to = rand() % 100;
        CHECK(hv_memmove(a + to, a + from, n) == a + to);
        memmove(b + to, b + from, n);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        CHECK(hv_memcpy(a + to, c + from, n) == a + to);
        memcpy(b + to, c + from, n);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        CHECK(hv_memset(a + to, round, n) == a + to);
        memset(b + to, round, n);
        CHECK(memcmp(a, b, sizeof(a)) == 0);
        memcpy(c, a, sizeof(c));
        if (round & 1)
            c[rand() % sizeof(c)] ^= 1 << (rand() % 8);
        CHECK(sign(hv_memcmp(a + to, c + to, n)) == sign(memcmp(a + to, c + to, n)));
    }
}

static void test_strings(void)
{
    static const char *const words[] = { "", "a", "ab", "abc", "abd", "b", "\xff", "abcdefghijklmnop" };
    for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
        CHECK(hv_strlen(words[i]) == strlen(words[i]));
        for (unsigned k = 0; k < ARRAY_SIZE(words); k++) {
            CHECK(sign(hv_strcmp(words[i], words[k])) == sign(strcmp(words[i], words[k])));
            for (unsigned n = 0; n < 5; n++)
                CHECK(sign(hv_strncmp(words[i], words[k], n)) == sign(strncmp(words[i], words[k], n)));
        }
    }
    char out[4] = "xyz";
    CHECK(str_copy(out, "abcdef", 4) == 6 && strcmp(out, "abc") == 0);
    CHECK(str_copy(out, "q", 1) == 1 && out[0] == 0 && out[1] == 'b');
    CHECK(str_copy(out, "q", 0) == 1 && out[1] == 'b');
}

#define SAME(limit, ...)                                                                                               \
    do {                                                                                                               \
        char ours[200], theirs[200];                                                                                   \
        volatile size_t size = limit; /* or compilers see that it is too small */                                      \
        memset(ours, 1, sizeof(ours));                                                                                 \
        memset(theirs, 1, sizeof(theirs));                                                                             \
        CHECK(hv_snprintf(ours, size, __VA_ARGS__) == snprintf(theirs, size, __VA_ARGS__));                            \
        CHECK(memcmp(ours, theirs, sizeof(ours)) == 0);                                                                \
    } while (0)

static void test_format(void)
{
    static const long long numbers[] = {
        0, 1, -1, 9, 10, 255, -32768, 2147483647, -2147483648ll, 4294967296ll, INT64_MIN, INT64_MAX
    };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        long long n = numbers[i];
        SAME(200, "%d|%u|%x|%X|%i", (int)n, (unsigned)n, (unsigned)n, (unsigned)n, (int)n);
        SAME(200, "%ld|%lu|%lx|%lld|%llu|%llx|%zu|%zx|%zd", (long)n, (long)n, (long)n, n, n, n, (size_t)n, (size_t)n,
             (ssize_t)n);
        SAME(200, "%5d|%05d|%-5d|%016lx|%3x|%-12lx|%02x", (int)n, (int)n, (int)n, (long)n, (unsigned)n, (long)n,
             (unsigned)n);
        SAME(200, "%hd|%hhd|%hx|%hhx|%hhu|%*d|%0*d", (short)n, (char)n, (short)n, (char)n, (char)n, 7, (int)n, 9,
             (int)n);
        SAME(7, "%lld and more", n);
        SAME(0, "%lld", n);
        SAME(1, "%lld", n);
    }
    SAME(200, "%s|%10s|%-10s|%.3s|%.*s|%5.2s|%c%c|%3c|%%|100%%", "hello", "hello", "hello", "hello", 2, "hello",
         "hello", 'a', 'b', 'c');
    SAME(200, "%p|%20p|%-20p|", (void *)0x1234, (void *)0xffff800000000000, (void *)1);
    SAME(4, "%s", "long text");
    char unterminated[3] = { 'a', 'b', 'c' }, out[40];
    SAME(200, "%.3s", unterminated);
    static const char *volatile odd = "%q %";
    CHECK(hv_snprintf(out, sizeof(out), odd) == 4 && strcmp(out, "%q %") == 0);
    static const char *volatile null = "%s";
    hv_snprintf(out, sizeof(out), null, NULL);
    CHECK(strcmp(out, "(null)") == 0);
    static const char *volatile wide = "%99999999999d";
    CHECK(hv_snprintf(out, sizeof(out), wide, 1) == 4096 && strlen(out) == 39);
}

static bool size_is(const char *text, uint64_t expected, const char *rest)
{
    uint64_t n = 77;
    const char *at = text;
    bool ok = parse_size(&at, &n);
    return rest ? ok && n == expected && strcmp(at, rest) == 0 : !ok && n == 77 && at == text;
}

static void test_numbers(void)
{
    CHECK(size_is("0", 0, "") && size_is("512M", MIB(512), "") && size_is("2G", GIB(2), "") &&
          size_is("16t,", 16ull << 40, ","));
    CHECK(size_is("4k x", 4096, " x") && size_is("0x10", 16, "") && size_is("0XfFM", 255ull << 20, "") &&
          size_is("12q", 12, "q"));
    CHECK(size_is("18446744073709551615", ~0ull, "") && size_is("18446744073709551616", 0, NULL));
    CHECK(size_is("", 0, NULL) && size_is("M", 0, NULL) && size_is("0x", 0, NULL) && size_is("-1", 0, NULL));
    CHECK(size_is("16777215T", 16777215ull << 40, "") && size_is("16777216T", 0, NULL) &&
          size_is("0xffffffffffffffffK", 0, NULL));
}

static void test_options(void)
{
    const char *line =
        " mem=2G quiet noreboot mem=512M console=com1,115200 text=\"a b\" \"all=c d\" iommu=off no-smap bad=1x e= ";
    char out[20];
    uint64_t n = 5;
    CHECK(option_size(line, "mem", &n) && n == MIB(512));
    CHECK(!option_size(line, "bad", &n) && !option_size(line, "quiet", &n) && !option_size(line, "absent", &n) &&
          n == MIB(512));
    CHECK(option_string(line, "console", out, 20) && strcmp(out, "com1,115200") == 0);
    CHECK(!option_string(line, "console", out, 11) && option_string(line, "console", out, 12));
    CHECK(option_string(line, "text", out, 20) && strcmp(out, "a b") == 0);
    CHECK(option_string(line, "all", out, 20) && strcmp(out, "c d") == 0);
    CHECK(option_string(line, "e", out, 20) && out[0] == 0);
    CHECK(!option_string(line, "me", out, 20) && !option_string(line, "reboot", out, 20) &&
          !option_string(line, "b", out, 20));
    CHECK(option_flag(line, "quiet", false) && !option_flag(line, "iommu", true) && !option_flag(line, "smap", true));
    CHECK(option_flag(line, "other", true) && !option_flag(line, "other", false) && !option_flag("", "x", false));
    CHECK(option_string("\"", "", out, 20) && option_string("a=\"", "a", out, 20) && out[0] == 0);
}

int main(void)
{
    test_memory();
    test_strings();
    test_format();
    test_numbers();
    test_options();
    return 0;
}
