/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The release chord and the "send key" combinations.
 *
 * Combinations are sent as PC scan codes (set 1; bit 0x100 stands for the E0 prefix), so that they
 * do not depend on the host's keyboard layout. Pause has no code of its own; it is left to the
 * keyboard.
 */
#include "display-keys.h"

#include <glib/gi18n.h>
#include <string.h>

static const struct {
    const char *name;
    guint scancode;
} key_codes[] = {
    {"esc", 0x01},    {"backspace", 0x0e}, {"tab", 0x0f},     {"enter", 0x1c},   {"ctrl", 0x1d},
    {"l", 0x26},      {"shift", 0x2a},     {"alt", 0x38},     {"space", 0x39},   {"d", 0x20},
    {"r", 0x13},      {"s", 0x1f},         {"b", 0x30},       {"f1", 0x3b},      {"f2", 0x3c},
    {"f3", 0x3d},     {"f4", 0x3e},        {"f5", 0x3f},      {"f6", 0x40},      {"f7", 0x41},
    {"f8", 0x42},     {"f9", 0x43},        {"f10", 0x44},     {"f11", 0x57},     {"f12", 0x58},
    {"sysrq", 0x54},  {"print", 0x137},    {"altgr", 0x138},  {"insert", 0x152}, {"delete", 0x153},
    {"super", 0x15b}, {"menu", 0x15d},     {"numlock", 0x45}, {"scroll", 0x46},  {"capslock", 0x3a},
};

typedef struct {
    const char *combination;
    const char *label; /* key names are written as they are printed on the keys, not translated */
} Item;

static const Item common_items[] = {
    {"ctrl+alt+delete", "Ctrl+Alt+Del"},
    {"ctrl+alt+backspace", "Ctrl+Alt+Backspace"},
    {"ctrl+shift+esc", "Ctrl+Shift+Esc"},
    {"alt+tab", "Alt+Tab"},
    {"alt+f4", "Alt+F4"},
    {NULL, NULL},
};
static const Item super_items[] = {
    {"super", "Super"},         {"super+l", "Super+L"},
    {"super+d", "Super+D"},     {"super+r", "Super+R"},
    {"super+tab", "Super+Tab"}, {"super+space", "Super+Space"},
    {"menu", "Menu"},           {NULL, NULL},
};
static const Item other_items[] = {
    {"print", "PrintScreen"}, {"alt+print", "Alt+PrintScreen"},
    {"insert", "Insert"},     {"scroll", "ScrollLock"},
    {"numlock", "NumLock"},   {"capslock", "CapsLock"},
    {"esc", "Esc"},           {NULL, NULL},
};
static const Item sysrq_items[] = {
    {"alt+sysrq+s", "Alt+SysRq+S"},
    {"alt+sysrq+r", "Alt+SysRq+R"},
    {"alt+sysrq+b", "Alt+SysRq+B"},
    {NULL, NULL},
};

void bh_key_chord_reset(BhKeyChord *chord)
{
    memset(chord, 0, sizeof *chord);
}

const char *bh_key_chord_text(void)
{
    return _("Press Left Ctrl+Left Alt to release");
}

static gboolean is_left_alt(guint keyval)
{
    return keyval == GDK_KEY_Alt_L || keyval == GDK_KEY_Meta_L;
}

static gboolean follow_chord(BhKeyChord *chord, const GdkEventKey *event)
{
    gboolean press = event->type == GDK_KEY_PRESS;
    gboolean release_now = FALSE;

    if (event->keyval == GDK_KEY_Control_L || is_left_alt(event->keyval)) {
        release_now = !press && chord->armed;
        if (event->keyval == GDK_KEY_Control_L)
            chord->ctrl = press;
        else
            chord->alt = press;
        chord->armed = press && chord->ctrl && chord->alt;
    } else {
        chord->armed = FALSE;
    }
    return release_now;
}

/* The host's own keys. Pressed and released keys are both kept from the guest. */
static BhKeyFate host_key(const GdkEventKey *event)
{
    guint modifiers = event->state & gtk_accelerator_get_default_mod_mask();
    gboolean ctrl_alt = modifiers == (GDK_CONTROL_MASK | GDK_MOD1_MASK);
    guint key = gdk_keyval_to_lower(event->keyval);

    if (key == GDK_KEY_F11 && !modifiers)
        return BH_KEY_FULLSCREEN;
    if (ctrl_alt && key == GDK_KEY_f)
        return BH_KEY_FULLSCREEN;
    if (ctrl_alt && key == GDK_KEY_u)
        return BH_KEY_USB;
    if (ctrl_alt && key == GDK_KEY_m)
        return BH_KEY_MENU;
    return BH_KEY_TO_GUEST;
}

BhKeyFate bh_display_key_fate(BhKeyChord *chord, const GdkEventKey *event)
{
    if (follow_chord(chord, event)) {
        bh_key_chord_reset(chord);
        return BH_KEY_RELEASE;
    }
    return host_key(event);
}

static void append_items(GMenu *menu, const Item *items)
{
    for (; items->combination; items++) {
        g_autoptr(GMenuItem) item = g_menu_item_new(items->label, NULL);
        g_menu_item_set_action_and_target(item, "win.send-key", "s", items->combination);
        g_menu_append_item(menu, item);
    }
}

static void append_function_keys(GMenu *menu, const char *prefix, const char *label_prefix)
{
    for (int i = 1; i <= 12; i++) {
        g_autofree char *name = g_strdup_printf("%sf%d", prefix, i);
        g_autofree char *label = g_strdup_printf("%sF%d", label_prefix, i);
        const Item items[] = {{name, label}, {NULL, NULL}};
        append_items(menu, items);
    }
}

static void append_submenu(GMenu *menu, const char *label, GMenu *submenu)
{
    g_menu_append_submenu(menu, label, G_MENU_MODEL(submenu));
    g_object_unref(submenu);
}

GMenuModel *bh_display_keys_menu(void)
{
    GMenu *menu = g_menu_new();
    g_autoptr(GMenu) common = g_menu_new();
    GMenu *consoles = g_menu_new(), *functions = g_menu_new(), *super = g_menu_new();
    GMenu *other = g_menu_new();
    g_autoptr(GMenu) groups = g_menu_new();

    append_items(common, common_items);
    g_menu_append_section(menu, NULL, G_MENU_MODEL(common));
    append_function_keys(consoles, "ctrl+alt+", "Ctrl+Alt+");
    append_submenu(groups, _("Text Consoles"), consoles);
    append_function_keys(functions, "", "");
    append_submenu(groups, _("Function Keys"), functions);
    append_items(super, super_items);
    append_submenu(groups, _("Super Key"), super);
    append_items(other, other_items);
    append_items(other, sysrq_items);
    append_submenu(groups, _("Other Keys"), other);
    g_menu_append_section(menu, NULL, G_MENU_MODEL(groups));
    return G_MENU_MODEL(menu);
}

static guint find_code(const char *name)
{
    for (gsize i = 0; i < G_N_ELEMENTS(key_codes); i++)
        if (!strcmp(key_codes[i].name, name))
            return key_codes[i].scancode;
    return 0;
}

gboolean bh_display_keys_known(const char *combination)
{
    g_auto(GStrv) names = g_strsplit(combination, "+", -1);

    for (char **name = names; *name; name++)
        if (!find_code(*name))
            return FALSE;
    return names[0] != NULL;
}

gboolean bh_display_keys_send(SpiceInputsChannel *inputs, const char *combination)
{
    g_auto(GStrv) names = g_strsplit(combination, "+", -1);
    guint n = g_strv_length(names);

    if (!bh_display_keys_known(combination))
        return FALSE;
    for (guint i = 0; i < n; i++)
        spice_inputs_channel_key_press(inputs, find_code(names[i]));
    for (guint i = n; i > 0; i--)
        spice_inputs_channel_key_release(inputs, find_code(names[i - 1]));
    return TRUE;
}
