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
    }
    char out[4] = "xyz";
    str_copy(out, "abcdef", 4);
    CHECK(strcmp(out, "abc") == 0);
    str_copy(out, "q", 1);
    CHECK(out[0] == 0 && out[1] == 'b');
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
    static const long numbers[] = { 0,      1,          -1,           9,           10,        255,
                                    -32768, 2147483647, -2147483648l, 4294967296l, INT64_MIN, INT64_MAX };
    for (unsigned i = 0; i < ARRAY_SIZE(numbers); i++) {
        long n = numbers[i];
        SAME(200, "%d|%u|%x|%ld|%lu|%lx|%lld", (int)n, (unsigned)n, (unsigned)n, n, n, n, (long long)n);
        SAME(200, "%016lx|%3x|%02x|%4lu|%06lu", n, (unsigned)n, (unsigned)n, n, n);
        SAME(7, "%ld and more", n);
        SAME(0, "%ld", n);
        SAME(1, "%ld", n);
    }
    SAME(200, "%s|%10s|%4s|%c%c|%%|100%%", "hello", "hello", "hello", 'a', 'b');
    SAME(4, "%s", "long text");
    char out[40];
    static const char *volatile odd = "%q %";
    CHECK(hv_snprintf(out, sizeof(out), odd) == 4 && strcmp(out, "%q %") == 0);
    odd = "%u %+d %s"; /* what it does not know may have been an argument: none is taken for a string from here on */
    CHECK(hv_snprintf(out, sizeof(out), odd, 1, 2, 3) == 8 && strcmp(out, "1 %+d %s") == 0);
    static const char *volatile null = "%s";
    CHECK(hv_snprintf(out, sizeof(out), null, NULL) == 6 && strcmp(out, "(null)") == 0);
    static const char *volatile wide = "%99999999999d";
    CHECK(hv_snprintf(out, sizeof(out), wide, 1) == 100 && strlen(out) == 39);
}

static bool size_is(const char *text, uint64_t expected)
{
    uint64_t n = 77;
    return option_size(text, "n", &n) ? n == expected : n == 77 && expected == 77;
}

static void test_options(void)
{
    const char *line = " mem=2G quiet reboot=off\tmem=512M console=com1,115200 e= xmem=1G";
    uint64_t n = 5;
    CHECK(option_size(line, "mem", &n) && n == MIB(512));
    CHECK(!option_size(line, "quiet", &n) && !option_size(line, "me", &n) && !option_size(line, "e", &n) &&
          n == MIB(512));
    CHECK(option_is(line, "reboot", "off", false) && !option_is(line, "reboot", "of", true));
    CHECK(option_is(line, "absent", "x", true) && !option_is("", "absent", "x", false));
    CHECK(!option_is(line, "console", "com1", true) && option_is(line, "e", "", false));
    CHECK(size_is("n=0", 0) && size_is("n=512M", MIB(512)) && size_is("n=4k", 4096) && size_is("n=16t", 16ull << 40));
    CHECK(size_is("n=4k4", 77) && size_is("n=12q", 77) && size_is("n=-1", 77) && size_is("n=M", 77));
    CHECK(size_is("n=18446744073709551615", ~0ull) && size_is("n=18446744073709551616", 77));
    CHECK(size_is("n=16777215T", 16777215ull << 40) && size_is("n=16777216T", 77));
}

int main(void)
{
    test_memory();
    test_strings();
    test_format();
    test_options();
    return 0;
}
