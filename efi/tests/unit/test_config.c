/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser of bulkhead.conf: what it takes, what it refuses, and which line it names. */
/* sources: config.c text.c */
#include "../../config.h"
#include "../check.h"

static struct config_entry entry;
static struct trouble trouble;

static bool parse(const char *text, const char *wanted)
{
    size_t n = strlen(text);
    char *copy = malloc(n + 1); /* without its zero, so that the sanitizer sees a read behind the end */
    bool good;

    memcpy(copy, text, n);
    copy = realloc(copy, n ? n : 1);
    memset(&trouble, 0, sizeof(trouble));
    good = config_parse(copy, n, wanted ? wanted : "", &entry, &trouble);
    free(copy);
    if (!good)
        CHECK(trouble.why[0] && trouble.remedy);
    return good;
}

static void refuse(const char *text, const char *why)
{
    CHECK(!parse(text, NULL));
    if (!strstr(trouble.why, why))
        fprintf(stderr, "'%s' is not in '%s'\n", why, trouble.why);
    CHECK(strstr(trouble.why, why));
}

static void test_good(void)
{
    CHECK(
        parse("# c\n ; c\n\ndefault = b\r\n[a]\nkernel=x\n[b]\n kernel = y z\t\ninitrd=i\noptions = a=b c=\"d e\" #x\n"
              "dom0_mem = 1536M\nconsole=com1\nhypervisor=",
              NULL));
    CHECK(!strcmp(entry.name, "b") && !strcmp(entry.kernel, "y z") && !strcmp(entry.initrd, "i"));
    CHECK(!strcmp(entry.options, "a=b c=\"d e\" #x") && !strcmp(entry.dom0_mem, "1536M"));
    CHECK(entry.dom0_bytes == 1536ull << 20 && !strcmp(entry.console, "com1") && !entry.hypervisor[0]);
    CHECK(parse("default = b\n[a]\nkernel=x\n[b]\nkernel=y\ndom0_mem=1G\n", "a"));
    CHECK(!strcmp(entry.name, "a") && !strcmp(entry.kernel, "x") && !entry.dom0_mem[0] && !entry.dom0_bytes);
    CHECK(parse("[first]\n[second]\nkernel=y\n", ""));
    CHECK(!strcmp(entry.name, "first") && !entry.kernel[0]);
    CHECK(parse("[a]\nkernel=x", NULL) && !strcmp(entry.kernel, "x"));
    CHECK(parse("[a]\ndom0_mem=16t\n", NULL) && entry.dom0_bytes == 16ull << 40);
}

static void test_bad(void)
{
    refuse("", "no entry in it");
    refuse("default = x\n[a]\n", "no entry 'x'");
    refuse("kernel = x\n", "Line 1: there is no key 'kernel' outside");
    refuse("[a]\n\nkernle = x\n", "Line 3: there is no key 'kernle'");
    refuse("[a]\nkernel\n", "Line 2");
    refuse("[a]\n= x\n", "no key ''");
    refuse("[a\n", "Line 1 is not the beginning");
    refuse("[]\n", "Line 1 is not the beginning");
    refuse("[a b]\n", "Line 1 is not the beginning");
    refuse("[", "Line 1 is not the beginning");
    refuse("[a]\nkernel=x\nkernel=y\n", "Line 3: 'kernel' is given a second time");
    refuse("[a]\n[b]\n[a]\n", "two entries 'a'");
    refuse("[a]\nkernel=\x01\n", "Line 2 holds characters");
    refuse("\xef\xbb\xbf[a]\n", "Line 1 holds characters");
    refuse("[a]\nconsole = com1 com2\n", "not one console");
    refuse("[a]\n[b]\ndom0_mem=1\n", "Line 3: '1' is not a size"); /* in an entry that is not wanted, too */
}

static void test_sizes(void)
{
    static const char *const wrong[] = {"0M", "1",        "M", "1MM", "1 M", "-1M", "0x1M", "99999999999999999999T",
                                        "1P", "99999999T"};
    char text[200];

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        snprintf(text, sizeof(text), "[a]\ndom0_mem=%s\n", wrong[i]);
        CHECK(!parse(text, NULL));
    }
}

static void test_lengths(void)
{
    char *text = malloc(3 * CONFIG_OPTIONS);

    for (int extra = -1; extra <= 1; extra++) {
        sprintf(text, "[a]\noptions=%0*d\n", CONFIG_OPTIONS - 1 + extra, 1);
        CHECK(parse(text, NULL) == (extra <= 0));
        sprintf(text, "[a]\nkernel=%0*d\n", CONFIG_PATH - 1 + extra, 1);
        CHECK(parse(text, NULL) == (extra <= 0));
        sprintf(text, "[%0*d]\n", CONFIG_NAME - 1 + extra, 1);
        CHECK(parse(text, NULL) == (extra <= 0));
        sprintf(text, "%0*d", CONFIG_NAME - 1 + extra, 1);
        CHECK(!parse("[a]\n", text));
    }
    sprintf(text, "[a]\n%0*d=1\n", 100, 1);
    CHECK(!parse(text, NULL));
    free(text);
}

static void test_format(void)
{
    char small[8];

    text_format(small, sizeof(small), "%s-%u-%llx", "ab", 7u, 0xffull);
    CHECK(!strcmp(small, "ab-7-ff"));
    text_format(small, 1, "x");
    CHECK(!small[0]);
    text_format(small, sizeof(small), "x%llu%d", 18446744073709551615ull, 1);
    CHECK(!strcmp(small, "x184467"));
}

int main(void)
{
    test_good();
    test_bad();
    test_sizes();
    test_lengths();
    test_format();
    return 0;
}
