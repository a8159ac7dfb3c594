/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The release chord, the host's own keys and the zoom steps: what needs no guest to be tested. */
#include "../display-keys.h"
#include "../display-screen.h"

static BhKeyFate key(BhKeyChord *chord, gboolean press, guint keyval, guint state)
{
    GdkEventKey event = {
        .type = press ? GDK_KEY_PRESS : GDK_KEY_RELEASE, .keyval = keyval, .state = state};

    return bh_display_key_fate(chord, &event);
}

static void test_chord_releases(void)
{
    BhKeyChord chord = {0};

    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_Control_L, 0), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_Alt_L, GDK_CONTROL_MASK), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Alt_L, GDK_CONTROL_MASK | GDK_MOD1_MASK), ==,
                    BH_KEY_RELEASE);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Control_L, GDK_CONTROL_MASK), ==, BH_KEY_TO_GUEST);
}

/* The other order, and auto-repeat of the held key. */
static void test_chord_any_order(void)
{
    BhKeyChord chord = {0};

    key(&chord, TRUE, GDK_KEY_Alt_L, 0);
    key(&chord, TRUE, GDK_KEY_Alt_L, GDK_MOD1_MASK);
    key(&chord, TRUE, GDK_KEY_Control_L, GDK_MOD1_MASK);
    key(&chord, TRUE, GDK_KEY_Control_L, GDK_MOD1_MASK | GDK_CONTROL_MASK);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Alt_L, 0), ==, BH_KEY_RELEASE);
}

/* Ctrl+Alt+Del is for the guest, and letting the modifiers go afterwards releases nothing. */
static void test_chord_with_key_is_no_chord(void)
{
    BhKeyChord chord = {0};
    guint both = GDK_CONTROL_MASK | GDK_MOD1_MASK;

    key(&chord, TRUE, GDK_KEY_Control_L, 0);
    key(&chord, TRUE, GDK_KEY_Alt_L, GDK_CONTROL_MASK);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_Delete, both), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Delete, both), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Alt_L, both), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Control_L, 0), ==, BH_KEY_TO_GUEST);
}

static void test_single_keys_and_right_side(void)
{
    BhKeyChord chord = {0};

    key(&chord, TRUE, GDK_KEY_Control_L, 0);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Control_L, 0), ==, BH_KEY_TO_GUEST);
    key(&chord, TRUE, GDK_KEY_Control_R, 0);
    key(&chord, TRUE, GDK_KEY_Alt_L, GDK_CONTROL_MASK);
    g_assert_cmpint(key(&chord, FALSE, GDK_KEY_Alt_L, 0), ==, BH_KEY_TO_GUEST);
}

static void test_host_keys(void)
{
    BhKeyChord chord = {0};
    guint both = GDK_CONTROL_MASK | GDK_MOD1_MASK;

    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_F11, 0), ==, BH_KEY_FULLSCREEN);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_F11, GDK_MOD2_MASK), ==, BH_KEY_FULLSCREEN);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_F11, GDK_SHIFT_MASK), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_u, both), ==, BH_KEY_USB);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_U, both | GDK_LOCK_MASK), ==, BH_KEY_USB);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_m, both), ==, BH_KEY_MENU);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_q, GDK_CONTROL_MASK), ==, BH_KEY_TO_GUEST);
    g_assert_cmpint(key(&chord, TRUE, GDK_KEY_F4, GDK_MOD1_MASK), ==, BH_KEY_TO_GUEST);
}

/* Every item of the menu names only keys that exist. */
static void check_items(GMenuModel *menu, guint *n)
{
    for (int i = 0; i < g_menu_model_get_n_items(menu); i++) {
        g_autofree char *target = NULL;
        const char *const links[] = {G_MENU_LINK_SECTION, G_MENU_LINK_SUBMENU};

        if (g_menu_model_get_item_attribute(menu, i, G_MENU_ATTRIBUTE_TARGET, "s", &target)) {
            g_assert_true(bh_display_keys_known(target));
            (*n)++;
        }
        for (gsize k = 0; k < G_N_ELEMENTS(links); k++) {
            g_autoptr(GMenuModel) sub = g_menu_model_get_item_link(menu, i, links[k]);
            if (sub)
                check_items(sub, n);
        }
    }
}

static void test_menu_is_sendable(void)
{
    g_autoptr(GMenuModel) menu = bh_display_keys_menu();
    guint n = 0;

    check_items(menu, &n);
    g_assert_cmpuint(n, >, 40);
    g_assert_false(bh_display_keys_known("ctrl+nonsense"));
    g_assert_false(bh_display_keys_known(""));
}

static void test_zoom_steps(void)
{
    g_assert_cmpint(bh_display_zoom_step(100, 1), ==, 110);
    g_assert_cmpint(bh_display_zoom_step(100, -1), ==, 90);
    g_assert_cmpint(bh_display_zoom_step(139, 1), ==, 150);
    g_assert_cmpint(bh_display_zoom_step(139, -1), ==, 125);
    g_assert_cmpint(bh_display_zoom_step(BH_ZOOM_MAX, 1), ==, BH_ZOOM_MAX);
    g_assert_cmpint(bh_display_zoom_step(BH_ZOOM_MIN, -1), ==, BH_ZOOM_MIN);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/display/chord/releases", test_chord_releases);
    g_test_add_func("/display/chord/any-order", test_chord_any_order);
    g_test_add_func("/display/chord/with-key", test_chord_with_key_is_no_chord);
    g_test_add_func("/display/chord/single", test_single_keys_and_right_side);
    g_test_add_func("/display/keys/host", test_host_keys);
    g_test_add_func("/display/keys/menu", test_menu_is_sendable);
    g_test_add_func("/display/zoom", test_zoom_steps);
    return g_test_run();
}
