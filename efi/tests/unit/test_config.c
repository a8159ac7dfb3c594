/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The parser of bulkhead.conf: what it takes, what it refuses, and which line it names. */
/* sources: config.c ../hypervisor/lib/lib.c */
#include "../../pure.h"
#include "../check.h"

static struct config_entry entry;
static struct trouble trouble;

static bool parse(const char *text, const char *wanted)
{
    size_t n = strlen(text);
    char *copy = malloc(n ? n : 1); /* without its zero, so that the sanitizer sees a read behind the end */
    bool good;

    memcpy(copy, text, n);
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

static bool is(enum config_key key, const char *value)
{
    return !strcmp(entry.value[key], value);
}

static void test_good(void)
{
    CHECK(
        parse("# c\n ; c\n\ndefault = b\r\n[a]\nkernel=x\n[b]\n kernel = y z\t\ninitrd=i\noptions = a=b c=\"d e\" #x\n"
              "dom0_mem = 1536M\nconsole=com1\nhypervisor=",
              NULL));
    CHECK(!strcmp(entry.name, "b") && is(CONFIG_KERNEL, "y z") && is(CONFIG_INITRD, "i"));
    CHECK(is(CONFIG_OPTIONS, "a=b c=\"d e\" #x") && is(CONFIG_DOM0_MEM, "1536M"));
    CHECK(is(CONFIG_CONSOLE, "com1") && is(CONFIG_HYPERVISOR, ""));
    CHECK(parse("default = b\n[a]\nkernel=x\n[b]\nkernel=y\ndom0_mem=1G\n", "a"));
    CHECK(!strcmp(entry.name, "a") && is(CONFIG_KERNEL, "x") && is(CONFIG_DOM0_MEM, ""));
    CHECK(parse("[first]\n[second]\nkernel=y\n", ""));
    CHECK(!strcmp(entry.name, "first") && is(CONFIG_KERNEL, ""));
    CHECK(parse("[a]\nkernel=x", NULL) && is(CONFIG_KERNEL, "x"));
    CHECK(parse("default=a b\n[x]\n[ ]\n[a b]\nkernel = \nkernel = y", NULL) && is(CONFIG_KERNEL, "y"));
}

static void test_bad(void)
{
    refuse("", "no entry in it");
    refuse("default = x\n[a]\n", "no entry 'x'");
    refuse("kernel = x\n", "Line 1: there is no key 'kernel' outside");
    refuse("[a]\n\nkernle = x\n[b]\n", "Line 3: there is no key 'kernle'");
    refuse("[a]\nkernel\n", "Line 2");
    refuse("[a]\n= x\n", "no key ''");
    refuse("[a\n", "Line 1 is not the beginning");
    refuse("[]\n", "Line 1 is not the beginning");
    refuse("[a] b\n", "Line 1 is not the beginning");
    refuse("[", "Line 1 is not the beginning");
    refuse("[a]\nkernel=x\nkernel=y\n", "Line 3: 'kernel' is given a second time");
    refuse("[a]\n[b]\n[a]\n", "two entries 'a'");
    refuse("[a]\nkernel=\x01\n", "Line 2 holds characters");
    refuse("\xef\xbb\xbf[a]\n", "Line 1 holds characters");
}

/* A line, the text, and what is no text at all. */
static void test_lengths(void)
{
    static char text[2 * CONFIG_MAX];

    for (int extra = -1; extra <= 1; extra++) {
        sprintf(text, "[a]\noptions=%0*d\n", CONFIG_LINE - 9 + extra, 1);
        CHECK(parse(text, NULL) == (extra <= 0));
        sprintf(text, "[%0*d]", CONFIG_LINE - 3 + extra, 1);
        CHECK(parse(text, NULL) == (extra <= 0));
        memset(text, '\n', CONFIG_MAX);
        memcpy(text, "[a]", 3);
        CHECK(config_parse(text, (size_t)(CONFIG_MAX + extra), "", &entry, &trouble) == (extra <= 0));
    }
    CHECK(strstr(trouble.why, "64 KiB"));
    CHECK(!config_parse("[a]\n\0[b]\n", 9, "", &entry, &trouble) && strstr(trouble.why, "Line 2 holds"));
}

int main(void)
{
    test_good();
    test_bad();
    test_lengths();
    return 0;
}
