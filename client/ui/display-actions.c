/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The "win.*" actions of a machine's window, their menu, and what is remembered of them.
 *
 * A stateful action is the only place its choice lives; the settings follow it. The clipboard
 * switch is different: its truth is the machine's spec, so its state follows the spec and changing
 * it goes through the host.
 */
#include "display-private.h"
#include "machine-actions.h"
#include "prefs.h"

#include <glib/gi18n.h>
#include <string.h>

static GSimpleAction *lookup(BhDisplayWindow *self, const char *name)
{
    return G_SIMPLE_ACTION(g_action_map_lookup_action(G_ACTION_MAP(self), name));
}

static gboolean get_flag(BhDisplayWindow *self, const char *name)
{
    g_autoptr(GVariant) state = g_action_get_state(G_ACTION(lookup(self, name)));

    return g_variant_get_boolean(state);
}

static gboolean is_fit(BhDisplayWindow *self)
{
    g_autoptr(GVariant) state = g_action_get_state(G_ACTION(lookup(self, "scaling")));

    return !strcmp(g_variant_get_string(state, NULL), "fit");
}

/* What the guest can follow decides what the switches mean at the moment. */
static void apply_view(BhDisplayWindow *self)
{
    gboolean agent = bh_display_link_has_agent(self->link);

    bh_display_screen_set_resize_guest(self->screen, agent && get_flag(self, "resize-guest"));
    bh_display_screen_set_fit(self->screen, is_fit(self));
}

static void on_scaling(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);
    const char *scaling = g_variant_get_string(value, NULL);

    if (strcmp(scaling, "fit") && strcmp(scaling, "fixed"))
        return;
    g_simple_action_set_state(action, value);
    bh_prefs_set_string(self->settings, "scaling", scaling);
    apply_view(self);
}

static void on_resize_guest(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    g_simple_action_set_state(action, value);
    bh_prefs_set_boolean(self->settings, "resize-guest", g_variant_get_boolean(value));
    apply_view(self);
}

/* Zooming a picture that is only fitted makes the zoom fixed. A guest that follows the window keeps
 * following: its own resolution shrinks or grows instead. */
static void zoom_to(BhDisplayWindow *self, int percent)
{
    gboolean follows = get_flag(self, "resize-guest") && bh_display_link_has_agent(self->link);

    bh_display_screen_set_zoom(self->screen, percent);
    bh_prefs_set_int(self->settings, "zoom", percent);
    if (is_fit(self) && !follows)
        g_action_change_state(G_ACTION(lookup(self, "scaling")), g_variant_new_string("fixed"));
}

static void on_zoom_in(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    zoom_to(self, bh_display_zoom_step(bh_display_screen_get_zoom(self->screen), 1));
}

static void on_zoom_out(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    zoom_to(self, bh_display_zoom_step(bh_display_screen_get_zoom(self->screen), -1));
}

static void on_zoom_reset(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    zoom_to(BH_DISPLAY_WINDOW(data), 100);
}

static void on_fullscreen(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    /* The state follows the window manager (display-window.c), which may refuse. */
    if (g_variant_get_boolean(value))
        gtk_window_fullscreen(GTK_WINDOW(self));
    else
        gtk_window_unfullscreen(GTK_WINDOW(self));
}

static void on_volume(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);
    double volume = CLAMP(g_variant_get_double(value), 0, 1);

    g_simple_action_set_state(action, g_variant_new_double(volume));
    bh_prefs_set_double(self->settings, "volume", volume);
    bh_display_sound_set_volume(self->sound, volume);
}

static void on_muted(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    g_simple_action_set_state(action, value);
    bh_prefs_set_boolean(self->settings, "muted", g_variant_get_boolean(value));
    bh_display_sound_set_muted(self->sound, g_variant_get_boolean(value));
}

/* --- clipboard --- */

static void share_clipboard(BhDisplayWindow *self)
{
    SpiceSession *session = bh_display_link_get_session(self->link);

    if (session)
        g_object_set(spice_gtk_session_get(session), "auto-clipboard", get_flag(self, "clipboard"),
                     NULL);
}

static void on_clipboard_spec(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);
    gboolean shared = bh_machine_get_spec(self->machine)->clipboard;

    g_simple_action_set_state(lookup(self, "clipboard"), g_variant_new_boolean(shared));
    share_clipboard(self);
}

static void on_clipboard_applied(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(BhDisplayWindow) self = BH_DISPLAY_WINDOW(data);
    g_autoptr(GError) error = NULL;

    if (!bh_machine_apply_finish(BH_MACHINE(source), result, NULL, &error) && !self->closing) {
        bh_error_show(GTK_WIDGET(self), error, _("The clipboard switch could not be stored."));
        on_clipboard_spec(self->machine, NULL, self);
    }
}

static void on_clipboard(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);
    g_autoptr(BhMachineSpec) wanted = bh_machine_spec_copy(bh_machine_get_spec(self->machine));

    g_simple_action_set_state(action, value);
    share_clipboard(self);
    wanted->clipboard = g_variant_get_boolean(value);
    bh_machine_apply_async(self->machine, wanted, BH_SPEC_CLIPBOARD, NULL, on_clipboard_applied,
                           g_object_ref(self));
}

/* --- what only does something --- */

static void on_send_key(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);
    SpiceInputsChannel *inputs = bh_display_window_get_inputs(self);

    if (inputs && !bh_display_keys_send(inputs, g_variant_get_string(parameter, NULL)))
        g_warning("no key is named %s", g_variant_get_string(parameter, NULL));
    bh_display_window_capture(self, TRUE);
}

static void on_screenshot(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    bh_display_screenshot_save(BH_DISPLAY_WINDOW(data));
}

static void on_copy_screen(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    bh_display_screenshot_copy(BH_DISPLAY_WINDOW(data));
}

static void on_send_files(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    bh_display_files_choose(self->files);
}

static void on_usb(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    bh_display_window_capture(self, FALSE);
    bh_display_bar_popup_usb(bh_display_window_get_bar(self));
}

static void on_show_menu(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    bh_display_window_capture(self, FALSE);
    bh_display_bar_popup_menu(bh_display_window_get_bar(self));
}

static void on_capture(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    bh_display_window_capture(BH_DISPLAY_WINDOW(data), TRUE);
}

static void on_retry(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    bh_display_link_retry(BH_DISPLAY_WINDOW(data)->link);
}

static void on_close(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    gtk_window_close(GTK_WINDOW(data));
}

static const GActionEntry entries[] = {
    {"scaling", NULL, "s", "'fit'", on_scaling},
    {"resize-guest", NULL, NULL, "true", on_resize_guest},
    {"zoom-in", on_zoom_in},
    {"zoom-out", on_zoom_out},
    {"zoom-reset", on_zoom_reset},
    {"fullscreen", NULL, NULL, "false", on_fullscreen},
    {"volume", NULL, "d", "1.0", on_volume},
    {"muted", NULL, NULL, "false", on_muted},
    {"clipboard", NULL, NULL, "true", on_clipboard},
    {"send-key", on_send_key, "s"},
    {"screenshot", on_screenshot},
    {"copy-screen", on_copy_screen},
    {"send-files", on_send_files},
    {"usb", on_usb},
    {"show-menu", on_show_menu},
    {"capture", on_capture},
    {"retry", on_retry},
    {"close", on_close},
};

static void restore_choices(BhDisplayWindow *self)
{
    g_autofree char *scaling = bh_prefs_get_string(self->settings, "scaling", "fit");
    double volume = bh_prefs_get_double(self->settings, "volume", 1.0);

    if (strcmp(scaling, "fixed"))
        g_clear_pointer(&scaling, g_free);
    g_simple_action_set_state(lookup(self, "scaling"),
                              g_variant_new_string(scaling ? scaling : "fit"));
    g_simple_action_set_state(
        lookup(self, "resize-guest"),
        g_variant_new_boolean(bh_prefs_get_boolean(self->settings, "resize-guest", TRUE)));
    g_simple_action_set_state(lookup(self, "muted"), g_variant_new_boolean(bh_prefs_get_boolean(
                                                         self->settings, "muted", FALSE)));
    g_simple_action_set_state(lookup(self, "volume"), g_variant_new_double(CLAMP(volume, 0, 1)));
    bh_display_sound_set_volume(self->sound, CLAMP(volume, 0, 1));
    bh_display_sound_set_muted(self->sound, get_flag(self, "muted"));
    bh_display_screen_set_zoom(self->screen, bh_prefs_get_int(self->settings, "zoom", 100));
}

/* They work while the guest has not the keyboard; display-keys.c has those that always work. */
static void add_accels(GtkApplication *application)
{
    static const struct {
        const char *action;
        const char *accels[4];
    } accels[] = {
        {"win.zoom-in", {"<Primary>plus", "<Primary>equal", "<Primary>KP_Add"}},
        {"win.zoom-out", {"<Primary>minus", "<Primary>KP_Subtract"}},
        {"win.zoom-reset", {"<Primary>0", "<Primary>KP_0"}},
        {"win.fullscreen", {"F11", "<Primary><Alt>f"}},
        {"win.usb", {"<Primary><Alt>u"}},
        {"win.show-menu", {"F10", "<Primary><Alt>m"}},
        {"win.screenshot", {"<Primary>Print"}},
    };

    for (gsize i = 0; application && i < G_N_ELEMENTS(accels); i++)
        gtk_application_set_accels_for_action(application, accels[i].action,
                                              (const char **)accels[i].accels);
}

void bh_display_actions_add(BhDisplayWindow *self)
{
    GActionGroup *machine = bh_machine_actions_new(self->machine, GTK_WINDOW(self));

    g_action_map_add_action_entries(G_ACTION_MAP(self), entries, G_N_ELEMENTS(entries), self);
    gtk_widget_insert_action_group(GTK_WIDGET(self), "machine", machine);
    g_object_unref(machine);
    restore_choices(self);
    add_accels(gtk_window_get_application(GTK_WINDOW(self)));
    g_signal_connect(self->machine, "notify::spec", G_CALLBACK(on_clipboard_spec), self);
    on_clipboard_spec(self->machine, NULL, self);
}

void bh_display_actions_session(BhDisplayWindow *self, SpiceSession *session)
{
    if (session)
        share_clipboard(self);
}

/* The item's own label tells why it cannot be chosen: a menu has no room for a reason elsewhere. */
static void update_view_menu(BhDisplayWindow *self)
{
    gboolean agent = bh_display_link_has_agent(self->link);

    /* Rebuilt only when it differs: an open menu would jump back to its first page. */
    if (g_menu_model_get_n_items(G_MENU_MODEL(self->view_menu)) && self->menu_agent == agent)
        return;
    self->menu_agent = agent;
    g_menu_remove_all(self->view_menu);
    g_menu_append(self->view_menu, _("Fit to the _Window"), "win.scaling::fit");
    g_menu_append(self->view_menu, _("_Fixed Size"), "win.scaling::fixed");
    g_menu_append(self->view_menu,
                  agent ? _("_Guest Follows the Window")
                        : _("Guest Follows the Window (needs spice-vdagent in the guest)"),
                  "win.resize-guest");
    g_menu_append(self->view_menu, _("Zoom _In"), "win.zoom-in");
    g_menu_append(self->view_menu, _("Zoom _Out"), "win.zoom-out");
    g_menu_append(self->view_menu, _("_Normal Size"), "win.zoom-reset");
}

void bh_display_actions_update(BhDisplayWindow *self)
{
    gboolean picture = bh_display_screen_is_ready(self->screen);
    gboolean inputs = bh_display_window_get_inputs(self) != NULL;
    gboolean agent = bh_display_link_has_agent(self->link);
    gboolean gone = bh_machine_get_state(self->machine) == BH_STATE_GONE;

    g_simple_action_set_enabled(lookup(self, "screenshot"), picture);
    g_simple_action_set_enabled(lookup(self, "copy-screen"), picture);
    g_simple_action_set_enabled(lookup(self, "zoom-in"), picture);
    g_simple_action_set_enabled(lookup(self, "zoom-out"), picture);
    g_simple_action_set_enabled(lookup(self, "zoom-reset"), picture);
    g_simple_action_set_enabled(lookup(self, "send-key"), inputs);
    g_simple_action_set_enabled(lookup(self, "capture"), picture);
    g_simple_action_set_enabled(lookup(self, "resize-guest"), agent || !picture);
    g_simple_action_set_enabled(lookup(self, "send-files"), picture);
    g_simple_action_set_enabled(lookup(self, "usb"), self->arbiter && !gone);
    g_simple_action_set_enabled(lookup(self, "clipboard"), !gone);
    update_view_menu(self);
    apply_view(self);
}

static void append_section(GMenu *menu, GMenu *section)
{
    g_menu_append_section(menu, NULL, G_MENU_MODEL(section));
    g_object_unref(section);
}

GMenu *bh_display_actions_menu(BhDisplayWindow *self)
{
    g_autoptr(GMenuModel) power = bh_machine_menu_new(FALSE);
    GMenu *menu = g_menu_new();
    GMenu *machine = g_menu_new(), *guest = g_menu_new(), *screen = g_menu_new();
    GMenu *more = g_menu_new();

    g_menu_append_submenu(machine, _("_Power"), power);
    append_section(menu, machine);
    g_menu_append_submenu(screen, _("_View"), G_MENU_MODEL(self->view_menu));
    g_menu_append(screen, _("_Full Screen"), "win.fullscreen");
    g_menu_append(screen, _("Take a _Screenshot…"), "win.screenshot");
    g_menu_append(screen, _("Copy the Scr_een"), "win.copy-screen");
    append_section(menu, screen);
    g_menu_append(guest, _("Share the _Clipboard"), "win.clipboard");
    g_menu_append(guest, _("Send Fi_les to the Guest…"), "win.send-files");
    g_menu_append(guest, _("_USB Devices…"), "win.usb");
    append_section(menu, guest);
    g_menu_append(more, _("Se_ttings"), "machine.settings");
    g_menu_append(more, _("_Keyboard Shortcuts"), "win.show-help-overlay");
    append_section(menu, more);
    return menu;
}
