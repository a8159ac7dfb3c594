/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The pure parts of the measuring guest, run natively: statistics, formatting, command line. */
#include "../options.h"
#include "../stats.h"
#include "../text.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

#undef NDEBUG

static void format_is(const char *want, const char *f, ...)
{
    char buffer[32];
    va_list args;

    va_start(args, f);
    assert(text_format(buffer, sizeof(buffer), f, args) == strlen(buffer));
    va_end(args);
    if (strcmp(buffer, want))
        fprintf(stderr, "%s: \"%s\", expected \"%s\"\n", f, buffer, want);
    assert(!strcmp(buffer, want));
}

static void test_format(void)
{
    format_is("a 5 -7 ff %", "a %u %d %x %%", 5u, -7, 255u);
    format_is("18446744073709551615", "%lu", UINT64_MAX);
    format_is("-9223372036854775808", "%ld", INT64_MIN);
    format_is("0000000000abcdef", "%016lx", 0xabcdeful);
    format_is("x (null) c", "x %s %c", (char *)NULL, 'c');
    format_is("0123456789012345678901234567890", "%s", "0123456789012345678901234567890123456789");
    format_is("ends", "ends%");
}

static void test_number(void)
{
    uint64_t v = 7;

    assert(text_number("400", 3, &v) && v == 400);
    assert(text_number("0x1F", 4, &v) && v == 31);
    assert(text_number("18446744073709551615", 20, &v) && v == UINT64_MAX);
    assert(!text_number("18446744073709551616", 20, &v));
    assert(!text_number("", 0, &v) && !text_number("0x", 2, &v) && !text_number("4a", 2, &v));
    assert(v == UINT64_MAX);
}

static void test_stats(void)
{
    uint64_t odd[] = {9, 1, 5}, even[] = {4, 1, 3, 2}, one[] = {6}, many[1000];
    struct stats s = stats_of(odd, 3);

    assert(s.min == 1 && s.median == 5 && s.max == 9);
    s = stats_of(even, 4);
    assert(s.min == 1 && s.median == 2 && s.max == 4);
    s = stats_of(one, 1);
    assert(s.min == 6 && s.median == 6 && s.max == 6);
    s = stats_of(NULL, 0);
    assert(s.min == 0 && s.median == 0 && s.max == 0);
    for (unsigned i = 0; i < 1000; i++)
        many[i] = i * 7919u % 1000;
    s = stats_of(many, 1000);
    assert(s.min == 0 && s.median == 499 && s.max == 999);
}

static void test_options(void)
{
    struct options o;

    options_parse(&o, "");
    assert(o.rounds == 400 && o.role == ROLE_ALONE && o.peer == DOMID_ANY && !o.bad[0]);
    options_parse(&o,
                  "  tests=cpuid,tpr rounds=0x10\trole=ping peer=3 exit=0x501 console=com1,e9 ");
    assert(!strcmp(o.tests, "cpuid,tpr") && o.rounds == 16 && o.role == ROLE_PING && o.peer == 3);
    assert(o.exit_port == 0x501 && options_listed(o.console, "e9") &&
           !options_listed(o.console, "e"));
    assert(!o.bad[0]);
    options_parse(&o, "rounds=5000");
    assert(o.rounds == 400 && !strcmp(o.bad, "rounds=5000"));
    options_parse(&o, "quiet rounds=2 also=1");
    assert(o.rounds == 2 && !strcmp(o.bad, "quiet"));
    options_parse(&o, "role=pingpong peer=-1 =");
    assert(o.role == ROLE_ALONE && o.peer == DOMID_ANY && !strcmp(o.bad, "role=pingpong"));
}

static void test_want(void)
{
    struct options o;

    options_parse(&o, "");
    assert(options_want(&o, "cpu", "cpuid"));
    options_parse(&o, "tests=,tpr,,board");
    assert(options_want(&o, "apic", "xapic_tpr_write") && options_want(&o, "board", "pit_read"));
    assert(!options_want(&o, "apic", "xapic_id_read"));
    options_parse(&o, "tests=timer,cpuid");
    assert(options_want(&o, "timer", "timer_halt") && !options_want(&o, "board", "pm_timer_read"));
    assert(options_want(&o, "cpu", "cpuid") && !options_want(&o, "cpu", "overhead"));
    options_parse(&o, "tests=board");
    assert(!options_want(&o, "cpu", "cpuid") && !options_want(&o, "boar", "x"));
}

static void test_long_words(void)
{
    char line[600];
    struct options o;

    memset(line, 'x', sizeof(line));
    memcpy(line, "tests=", 6);
    line[sizeof(line) - 1] = 0;
    options_parse(&o, line);
    assert(strlen(o.tests) == sizeof(o.tests) - 1 && strlen(o.bad) == sizeof(o.bad) - 1);
}

int main(void)
{
    test_format();
    test_number();
    test_stats();
    test_options();
    test_want();
    test_long_words();
    return 0;
}
