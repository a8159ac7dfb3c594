/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Pure parts of the UI: the sorted and filtered list of machines, and sizes as they are typed. */
#include <bulkhead/fake.h>
#include <locale.h>

#include "../machine-list.h"
#include "../size-spin.h"

static void on_opened(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(bh_host_open_finish(BH_HOST(source), result, &error));
    g_assert_no_error(error);
    *(gboolean *)data = TRUE;
}

static BhHost *open_host(const char *uri)
{
    g_autoptr(GError) error = NULL;
    BhHost *host = bh_host_new(uri, &error);
    gboolean opened = FALSE;

    g_assert_no_error(error);
    bh_host_open_async(host, NULL, on_opened, &opened);
    while (!opened)
        g_main_context_iteration(NULL, TRUE);
    return host;
}

static void settle(void)
{
    while (g_main_context_iteration(NULL, FALSE))
        ;
}

static void assert_names(BhMachineList *list, const char *wanted)
{
    g_autoptr(GString) names = g_string_new(NULL);

    for (guint i = 0; i < bh_machine_list_get_n(list); i++) {
        BhMachine *machine = bh_machine_list_get(list, i);
        g_assert_cmpint(bh_machine_list_index(list, machine), ==, (int)i);
        g_string_append_printf(names, "%s%s", i ? "|" : "", bh_machine_get_name(machine));
    }
    g_assert_cmpstr(names->str, ==, wanted);
}

static void test_order_and_filter(void)
{
    g_autoptr(BhHost) host =
        open_host("fake:///?machines=5&names=guest 10,Guest 9,Ähre,debian 12,Debian testing");
    g_autoptr(BhMachineList) list = bh_machine_list_new(bh_host_get_machines(host));

    assert_names(list, "debian 12|Debian testing|Guest 9|guest 10|Ähre");
    bh_machine_list_set_filter(list, "DEB");
    assert_names(list, "debian 12|Debian testing");
    bh_machine_list_set_filter(list, "12 deb ");
    assert_names(list, "debian 12");
    bh_machine_list_set_filter(list, "ähr");
    assert_names(list, "Ähre");
    bh_machine_list_set_filter(list, "nothing");
    assert_names(list, "");
    g_assert_cmpuint(bh_machine_list_get_n_total(list), ==, 5);
    bh_machine_list_set_filter(list, NULL);
    g_assert_cmpuint(bh_machine_list_get_n(list), ==, 5);
}

static void count(BhMachineList *list, gpointer data)
{
    (*(guint *)data)++;
}

static void test_changes(void)
{
    g_autoptr(BhHost) host = open_host("fake:///?machines=3");
    g_autoptr(BhMachineList) list = bh_machine_list_new(bh_host_get_machines(host));
    g_autoptr(BhMachine) first = g_object_ref(bh_machine_list_get(list, 0));
    guint changes = 0;

    g_signal_connect(list, "changed", G_CALLBACK(count), &changes);
    for (int i = 0; i < 100; i++) {
        g_autofree char *name = g_strdup_printf("New %d", i);
        bh_fake_host_force_add(BH_FAKE_HOST(host), name);
    }
    settle();
    g_assert_cmpuint(bh_machine_list_get_n(list), ==, 103);
    g_assert_cmpuint(changes, ==, 1);

    bh_fake_host_force_rename(BH_FAKE_HOST(host), first, "Zebra");
    settle();
    g_assert_cmpint(bh_machine_list_index(list, first), ==, 102);
    bh_fake_host_force_state(BH_FAKE_HOST(host), first, BH_STATE_GONE);
    settle();
    g_assert_cmpint(bh_machine_list_index(list, first), ==, -1);
    g_assert_cmpuint(bh_machine_list_get_n(list), ==, 102);
}

static void test_thousand_is_quick(void)
{
    g_autoptr(BhHost) host = open_host("fake:///?machines=1000");
    g_autoptr(BhMachineList) list = bh_machine_list_new(bh_host_get_machines(host));

    g_assert_cmpuint(bh_machine_list_get_n(list), ==, 1000);
    g_test_timer_start();
    bh_machine_list_set_filter(list, "machine 99");
    g_test_minimized_result(g_test_timer_elapsed(), "filter of 1,000");
    g_assert_cmpuint(bh_machine_list_get_n(list), ==, 19);
}

static void test_sizes(void)
{
    static const struct {
        const char *text;
        double mib; /* < 0: refused */
    } sizes[] = {
        {"4 GiB", 4096}, {"1.5 GiB", 1536}, {"1,5 GiB", 1536}, {"512 MiB", 512},   {"4", 4096},
        {"2048", 2048},  {"512m", 512},     {" 2 g ", 2048},   {"1 TiB", 1048576}, {"1024k", 1},
        {"", -1},        {"abc", -1},       {"-1", -1},        {"4 x", -1},        {"inf", -1},
        {"nan", -1},     {"1e400", -1},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(sizes); i++) {
        double mib = -1;
        gboolean ok = bh_size_parse(sizes[i].text, &mib);
        g_test_message("%s", sizes[i].text);
        g_assert_cmpint(ok, ==, sizes[i].mib >= 0);
        if (ok)
            g_assert_cmpfloat_with_epsilon(mib, sizes[i].mib, 0.001);
    }
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "C.UTF-8"); /* the order depends on it */
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/list/order-and-filter", test_order_and_filter);
    g_test_add_func("/list/changes", test_changes);
    g_test_add_func("/list/thousand", test_thousand_is_quick);
    g_test_add_func("/size/parse", test_sizes);
    return g_test_run();
}
