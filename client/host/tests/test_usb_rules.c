/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The rules file: stored at once, shared between programs, never lost when it is broken. */
#include "../usb-private.h"
#include "await.h"

#include <glib/gstdio.h>
#include <string.h>

#define WORK "0f2b3c52-7f0e-4a0e-9a60-2f3d1c1b6a55"
#define HOME "11111111-2222-4333-8444-555555555555"
#define STICK "0951:1666:60A44C"
#define KEYBOARD "046d:c31c@1-3.2"

typedef struct {
    char *folder, *path;
} Place;

static void setup(Place *place, gconstpointer data)
{
    place->folder = g_dir_make_tmp("bh-rules-XXXXXX", NULL);
    place->path = g_build_filename(place->folder, "sub", "usb-rules", NULL);
}

static void delete_tree(const char *path)
{
    g_autoptr(GDir) dir = g_dir_open(path, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *child = g_build_filename(path, name, NULL);
        delete_tree(child);
    }
    g_remove(path);
}

static void teardown(Place *place, gconstpointer data)
{
    delete_tree(place->folder);
    g_free(place->path);
    g_free(place->folder);
}

static void set(BhUsbRules *rules, const char *machine, const char *device, BhUsbRule rule)
{
    GError *error = NULL;
    g_assert_true(bh_usb_rules_set(rules, machine, device, "Kingston; [x]=\n☃", rule, &error));
    g_assert_no_error(error);
}

static void test_store(Place *place, gconstpointer data)
{
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
    g_assert_cmpint(bh_usb_rules_get(rules, WORK, STICK), ==, BH_USB_RULE_ASK);
    set(rules, WORK, STICK, BH_USB_RULE_ALWAYS);
    set(rules, WORK, KEYBOARD, BH_USB_RULE_NEVER);
    g_autoptr(BhUsbRules) again = bh_usb_rules_new(place->path);
    g_assert_cmpint(bh_usb_rules_get(again, WORK, STICK), ==, BH_USB_RULE_ALWAYS);
    g_assert_cmpint(bh_usb_rules_get(again, WORK, KEYBOARD), ==, BH_USB_RULE_NEVER);
    g_assert_cmpint(bh_usb_rules_get(again, HOME, STICK), ==, BH_USB_RULE_ASK);
    g_autoptr(GPtrArray) list = bh_usb_rules_list(again);
    g_assert_cmpuint(list->len, ==, 2);
    g_assert_cmpstr(((BhUsbRuleEntry *)list->pdata[0])->device_name, ==, "Kingston; [x]= ☃");
    set(again, WORK, STICK, BH_USB_RULE_ASK);
    set(again, WORK, KEYBOARD, BH_USB_RULE_ASK);
    g_autofree char *text = NULL;
    g_assert_true(g_file_get_contents(place->path, &text, NULL, NULL));
    g_assert_null(strstr(text, "["));
}

static void count_up(GObject *object, guint *count)
{
    ++*count;
}

static void test_shared(Place *place, gconstpointer data)
{
    guint count = 0;
    g_autoptr(BhUsbRules) app = bh_usb_rules_new(place->path);
    g_autoptr(BhUsbRules) cli = bh_usb_rules_new(place->path);
    g_signal_connect(app, "changed", G_CALLBACK(count_up), &count);
    set(cli, WORK, STICK, BH_USB_RULE_ALWAYS);
    /* Not read yet, and still not undone: */
    set(app, WORK, KEYBOARD, BH_USB_RULE_NEVER);
    g_assert_cmpint(bh_usb_rules_get(app, WORK, STICK), ==, BH_USB_RULE_ALWAYS);
    AWAIT(bh_usb_rules_get(cli, WORK, KEYBOARD) == BH_USB_RULE_NEVER);
    g_assert_cmpuint(count, ==, 1);
    set(cli, WORK, STICK, BH_USB_RULE_ASK);
    AWAIT(bh_usb_rules_get(app, WORK, STICK) == BH_USB_RULE_ASK);
    g_assert_cmpuint(count, ==, 2);
}

static void take_text(BhUsbRules *rules, const char *text, char **slot)
{
    g_free(*slot);
    *slot = g_strdup(text);
}

static void write_file(Place *place, const char *text, gssize length)
{
    g_autofree char *folder = g_path_get_dirname(place->path);
    g_mkdir_with_parents(folder, 0700);
    g_assert_true(g_file_set_contents(place->path, text, length, NULL));
}

static void test_broken(Place *place, gconstpointer data)
{
    static const char *const texts[] = {"rubbish",
                                        "[" WORK "]\n" STICK "=sometimes;x\n",
                                        "[not-a-machine]\n" STICK "=always;x\n",
                                        "[" WORK "]\nnot-a-device=always;x\n",
                                        "\xff\xfe",
                                        "[" WORK "]\n" STICK "=\n"};
    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autofree char *problem = NULL, *kept = NULL;
        g_autofree char *aside = i == 0 ? g_strconcat(place->path, ".broken", NULL)
                                        : g_strdup_printf("%s.broken-%u", place->path, i + 1);
        write_file(place, texts[i], -1);
        g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
        g_signal_connect(rules, "problem", G_CALLBACK(take_text), &problem);
        AWAIT(problem != NULL);
        g_assert_nonnull(strstr(problem, aside));
        g_assert_true(g_file_get_contents(aside, &kept, NULL, NULL));
        g_assert_cmpstr(kept, ==, texts[i]);
        g_assert_cmpint(bh_usb_rules_get(rules, WORK, STICK), ==, BH_USB_RULE_ASK);
        set(rules, WORK, STICK, BH_USB_RULE_NEVER);
    }
}

static void test_huge(Place *place, gconstpointer data)
{
    g_autofree char *problem = NULL;
    g_autoptr(GString) text = g_string_new("[" WORK "]\n");
    for (guint i = 0; i <= BH_USB_RULES_MAX_ENTRIES; i++)
        g_string_append_printf(text, "0951:1666:S%u=always;x\n", i);
    write_file(place, text->str, text->len);
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
    g_signal_connect(rules, "problem", G_CALLBACK(take_text), &problem);
    AWAIT(problem != NULL);

    g_autofree char *zeros = g_malloc0(BH_USB_RULES_MAX_BYTES * 4);
    g_clear_pointer(&problem, g_free);
    write_file(place, zeros, BH_USB_RULES_MAX_BYTES * 4);
    AWAIT(problem != NULL); /* noticed while running */
    g_assert_cmpint(bh_usb_rules_get(rules, WORK, "0951:1666:S1"), ==, BH_USB_RULE_ASK);
}

static void test_full(Place *place, gconstpointer data)
{
    g_autoptr(GString) text = g_string_new("[" WORK "]\n");
    g_autoptr(GError) error = NULL;
    for (guint i = 0; i < BH_USB_RULES_MAX_ENTRIES; i++)
        g_string_append_printf(text, "0951:1666:S%u=always;x\n", i);
    write_file(place, text->str, text->len);
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
    g_assert_false(bh_usb_rules_set(rules, HOME, STICK, "x", BH_USB_RULE_NEVER, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_NO_SPACE);
    g_assert_cmpint(bh_usb_rules_get(rules, HOME, STICK), ==, BH_USB_RULE_ASK);
    g_assert_cmpint(bh_usb_rules_get(rules, WORK, "0951:1666:S7"), ==, BH_USB_RULE_ALWAYS);
}

/* A folder in its place: cannot be read, is not renamed, and nothing is stored over it. */
static void test_unreadable(Place *place, gconstpointer data)
{
    g_autofree char *problem = NULL;
    g_autoptr(GError) error = NULL;
    g_mkdir_with_parents(place->path, 0700);
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
    g_signal_connect(rules, "problem", G_CALLBACK(take_text), &problem);
    AWAIT(problem != NULL);
    g_assert_false(bh_usb_rules_set(rules, WORK, STICK, "x", BH_USB_RULE_NEVER, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_PERMISSION);
    g_assert_true(g_file_test(place->path, G_FILE_TEST_IS_DIR));
}

static void test_invalid(Place *place, gconstpointer data)
{
    static const char *const ids[] = {"",
                                      "0951",
                                      "0951:1666",
                                      "0951:1666:",
                                      "xxxx:1666:A",
                                      "0951:1666:a=b",
                                      "0951:1666:a]",
                                      "0951:1666:a b"};
    g_autoptr(BhUsbRules) rules = bh_usb_rules_new(place->path);
    for (guint i = 0; i < G_N_ELEMENTS(ids); i++) {
        g_autoptr(GError) error = NULL;
        g_assert_false(bh_usb_rules_set(rules, WORK, ids[i], "x", BH_USB_RULE_NEVER, &error));
        g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
    }
    g_autoptr(GError) error = NULL;
    g_assert_false(bh_usb_rules_set(rules, "a]b", STICK, "x", BH_USB_RULE_NEVER, &error));
    g_assert_error(error, BH_ERROR, BH_ERROR_INVALID);
}

static void test_names(void)
{
    BhUsbRule rule;
    g_assert_true(bh_usb_rule_from_name("never", &rule));
    g_assert_cmpint(rule, ==, BH_USB_RULE_NEVER);
    g_assert_false(bh_usb_rule_from_name("Never", &rule));
    g_assert_false(bh_usb_rule_from_name(NULL, &rule));
    g_assert_cmpstr(bh_usb_rule_get_name(BH_USB_RULE_ASK), ==, "ask");
}

#define ADD(name, function) g_test_add(name, Place, NULL, setup, function, teardown)

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    ADD("/usb/rules/store", test_store);
    ADD("/usb/rules/shared", test_shared);
    ADD("/usb/rules/broken", test_broken);
    ADD("/usb/rules/huge", test_huge);
    ADD("/usb/rules/full", test_full);
    ADD("/usb/rules/unreadable", test_unreadable);
    ADD("/usb/rules/invalid", test_invalid);
    g_test_add_func("/usb/rules/names", test_names);
    return g_test_run();
}
