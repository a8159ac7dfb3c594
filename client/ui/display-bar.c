/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The header bar of a machine's window: power, USB, keys, sound, full screen, menu.
 *
 * The USB panel is made when its popover is first opened: it lists devices and asks the arbiter for
 * every one of them, which a window that is only looked at need not pay for.
 */
#include "display-bar.h"
#include "display-keys.h"
#include "usb-panel.h"
#include "util.h"

#include <glib/gi18n.h>
#include <math.h>

#define USB_PANEL_WIDTH 440
#define USB_PANEL_HEIGHT 240

struct _BhDisplayBar {
    GtkHeaderBar parent_instance;
    BhMachine *machine;
    BhUsbArbiter *arbiter;
    GAction *volume, *muted;
    GtkWidget *power, *usb, *keys, *sound, *sound_icon, *scale, *fullscreen, *fullscreen_icon,
        *menu;
    gboolean floating;
};

G_DEFINE_TYPE(BhDisplayBar, bh_display_bar, GTK_TYPE_HEADER_BAR)

static GtkWidget *add_icon(GtkWidget *button, const char *icon, const char *name)
{
    GtkWidget *image = gtk_image_new_from_icon_name(icon, GTK_ICON_SIZE_BUTTON);

    gtk_container_add(GTK_CONTAINER(button), image);
    gtk_widget_set_tooltip_text(button, name);
    bh_set_accessible_name(button, name);
    gtk_widget_show_all(button);
    return image;
}

/* One button for the most likely next step. */
static void update_power(BhDisplayBar *self)
{
    const char *icon = "media-playback-start-symbolic";
    const char *name = _("Start");
    const char *action = "machine.start";

    switch (bh_machine_get_state(self->machine)) {
    case BH_STATE_PAUSED:
        name = _("Resume");
        action = "machine.resume";
        break;
    case BH_STATE_RUNNING:
    case BH_STATE_STARTING:
    case BH_STATE_SAVING:
    case BH_STATE_STOPPING:
        icon = "media-playback-pause-symbolic";
        name = _("Pause");
        action = "machine.pause";
        break;
    case BH_STATE_SAVED:
        name = _("Resume");
        break;
    default:
        break;
    }
    gtk_actionable_set_action_name(GTK_ACTIONABLE(self->power), action);
    gtk_image_set_from_icon_name(GTK_IMAGE(gtk_bin_get_child(GTK_BIN(self->power))), icon,
                                 GTK_ICON_SIZE_BUTTON);
    gtk_widget_set_tooltip_text(self->power, name);
    bh_set_accessible_name(self->power, name);
}

static double get_volume(BhDisplayBar *self)
{
    g_autoptr(GVariant) state = g_action_get_state(self->volume);

    return g_variant_get_double(state);
}

static void update_sound(BhDisplayBar *self)
{
    g_autoptr(GVariant) state = g_action_get_state(self->muted);
    double volume = get_volume(self);
    const char *icon = "audio-volume-high-symbolic";

    if (g_variant_get_boolean(state) || volume <= 0)
        icon = "audio-volume-muted-symbolic";
    else if (volume < 0.34)
        icon = "audio-volume-low-symbolic";
    else if (volume < 0.67)
        icon = "audio-volume-medium-symbolic";
    gtk_image_set_from_icon_name(GTK_IMAGE(self->sound_icon), icon, GTK_ICON_SIZE_BUTTON);
    if (fabs(gtk_range_get_value(GTK_RANGE(self->scale)) - volume) > 0.001)
        gtk_range_set_value(GTK_RANGE(self->scale), volume);
}

static void on_scale(GtkRange *range, BhDisplayBar *self)
{
    double value = gtk_range_get_value(range);

    if (fabs(get_volume(self) - value) > 0.001)
        g_action_change_state(self->volume, g_variant_new_double(value));
}

static char *format_percent(GtkScale *scale, double value)
{
    return g_strdup_printf(_("%d %%"), (int)round(value * 100));
}

static void make_sound(BhDisplayBar *self, GActionMap *actions)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);
    GtkWidget *mute = gtk_check_button_new_with_mnemonic(_("_Mute"));
    GtkWidget *popover = gtk_popover_new(NULL);

    self->volume = g_object_ref(g_action_map_lookup_action(actions, "volume"));
    self->muted = g_object_ref(g_action_map_lookup_action(actions, "muted"));
    self->sound = gtk_menu_button_new();
    self->sound_icon = add_icon(self->sound, "audio-volume-high-symbolic", _("Sound"));
    self->scale = gtk_scale_new_with_range(GTK_ORIENTATION_HORIZONTAL, 0, 1, 0.05);
    gtk_widget_set_size_request(self->scale, 200, -1);
    bh_set_accessible_name(self->scale, _("Volume"));
    g_signal_connect(self->scale, "format-value", G_CALLBACK(format_percent), NULL);
    g_signal_connect(self->scale, "value-changed", G_CALLBACK(on_scale), self);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(mute), "win.muted");
    g_object_set(box, "margin", 12, NULL);
    gtk_container_add(GTK_CONTAINER(box), self->scale);
    gtk_container_add(GTK_CONTAINER(box), mute);
    gtk_widget_show_all(box);
    gtk_container_add(GTK_CONTAINER(popover), box);
    gtk_menu_button_set_popover(GTK_MENU_BUTTON(self->sound), popover);
    g_signal_connect_swapped(self->volume, "notify::state", G_CALLBACK(update_sound), self);
    g_signal_connect_swapped(self->muted, "notify::state", G_CALLBACK(update_sound), self);
    update_sound(self);
}

static void on_usb_opened(GtkWidget *popover, BhDisplayBar *self)
{
    GtkWidget *panel;

    if (gtk_bin_get_child(GTK_BIN(popover)))
        return;
    panel = bh_usb_panel_new(self->arbiter, self->machine);
    gtk_widget_set_size_request(panel, USB_PANEL_WIDTH, USB_PANEL_HEIGHT);
    gtk_widget_show(panel);
    gtk_container_add(GTK_CONTAINER(popover), panel);
}

static gboolean focus_panel(gpointer popover)
{
    GtkWidget *window = gtk_widget_get_toplevel(popover);
    GtkWidget *panel = gtk_bin_get_child(GTK_BIN(popover));
    GtkWidget *focus = GTK_IS_WINDOW(window) ? gtk_window_get_focus(GTK_WINDOW(window)) : NULL;

    if (panel && gtk_widget_get_mapped(popover) &&
        !(focus && gtk_widget_is_ancestor(focus, popover)))
        gtk_widget_child_focus(panel, GTK_DIR_TAB_FORWARD);
    return G_SOURCE_REMOVE;
}

/* Without the focus inside, the next Tab would leave the popover for the guest. GtkMenuButton moves
 * the focus about once more after it has shown it. */
static void on_usb_mapped(GtkWidget *popover, gpointer data)
{
    g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, focus_panel, g_object_ref(popover), g_object_unref);
}

static void make_usb(BhDisplayBar *self)
{
    GtkWidget *popover = gtk_popover_new(NULL);

    self->usb = gtk_menu_button_new();
    add_icon(self->usb, "media-removable-symbolic", _("USB Devices"));
    gtk_menu_button_set_popover(GTK_MENU_BUTTON(self->usb), popover);
    gtk_widget_set_visible(self->usb, self->arbiter != NULL);
    gtk_widget_set_no_show_all(self->usb, TRUE);
    /* Before the popover is shown, so that it is measured with the panel in it. */
    g_signal_connect(popover, "show", G_CALLBACK(on_usb_opened), self);
    g_signal_connect_after(popover, "map", G_CALLBACK(on_usb_mapped), NULL);
}

static GtkWidget *make_menu_button(GMenuModel *menu, const char *icon, const char *name)
{
    GtkWidget *button = gtk_menu_button_new();

    add_icon(button, icon, name);
    gtk_menu_button_set_use_popover(GTK_MENU_BUTTON(button), TRUE);
    gtk_menu_button_set_menu_model(GTK_MENU_BUTTON(button), menu);
    return button;
}

static void pack(BhDisplayBar *self, GMenuModel *menu)
{
    g_autoptr(GMenuModel) keys_menu = bh_display_keys_menu();
    GtkHeaderBar *bar = GTK_HEADER_BAR(self);

    self->power = gtk_button_new();
    add_icon(self->power, "media-playback-start-symbolic", _("Start"));
    self->keys = make_menu_button(keys_menu, "input-keyboard-symbolic", _("Send Keys"));
    self->menu = make_menu_button(menu, "open-menu-symbolic", _("Menu"));
    self->fullscreen = gtk_button_new();
    gtk_actionable_set_action_name(GTK_ACTIONABLE(self->fullscreen), "win.fullscreen");
    add_icon(self->fullscreen,
             self->floating ? "view-restore-symbolic" : "view-fullscreen-symbolic",
             self->floating ? _("Leave Full Screen") : _("Full Screen"));
    gtk_header_bar_pack_start(bar, self->power);
    gtk_header_bar_pack_start(bar, self->usb);
    gtk_header_bar_pack_start(bar, self->keys);
    gtk_header_bar_pack_end(bar, self->menu);
    gtk_header_bar_pack_end(bar, self->fullscreen);
    gtk_header_bar_pack_end(bar, self->sound);
    gtk_header_bar_set_show_close_button(bar, !self->floating);
}

static void bh_display_bar_destroy(GtkWidget *widget)
{
    BhDisplayBar *self = BH_DISPLAY_BAR(widget);

    if (self->machine)
        g_signal_handlers_disconnect_by_data(self->machine, self);
    if (self->volume) {
        g_signal_handlers_disconnect_by_data(self->volume, self);
        g_signal_handlers_disconnect_by_data(self->muted, self);
    }
    g_clear_object(&self->machine);
    g_clear_object(&self->arbiter);
    g_clear_object(&self->volume);
    g_clear_object(&self->muted);
    GTK_WIDGET_CLASS(bh_display_bar_parent_class)->destroy(widget);
}

static void bh_display_bar_class_init(BhDisplayBarClass *class)
{
    GTK_WIDGET_CLASS(class)->destroy = bh_display_bar_destroy;
}

static void bh_display_bar_init(BhDisplayBar *self)
{
}

BhDisplayBar *bh_display_bar_new(BhMachine *machine, BhUsbArbiter *arbiter, GActionMap *actions,
                                 GMenuModel *menu, gboolean floating)
{
    BhDisplayBar *self = g_object_new(BH_TYPE_DISPLAY_BAR, NULL);

    self->machine = g_object_ref(machine);
    self->arbiter = arbiter ? g_object_ref(arbiter) : NULL;
    self->floating = floating;
    make_sound(self, actions);
    make_usb(self);
    pack(self, menu);
    g_object_bind_property(machine, "name", self, "title", G_BINDING_SYNC_CREATE);
    g_signal_connect_swapped(machine, "notify::state", G_CALLBACK(update_power), self);
    update_power(self);
    return self;
}

void bh_display_bar_popup_usb(BhDisplayBar *self)
{
    if (self->arbiter)
        gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->usb), TRUE);
}

void bh_display_bar_popup_menu(BhDisplayBar *self)
{
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->menu), TRUE);
}

gboolean bh_display_bar_has_popup(BhDisplayBar *self)
{
    GtkWidget *buttons[] = {self->usb, self->keys, self->sound, self->menu};

    for (gsize i = 0; i < G_N_ELEMENTS(buttons); i++)
        if (gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(buttons[i])))
            return TRUE;
    return FALSE;
}

void bh_display_bar_set_sound(BhDisplayBar *self, gboolean available)
{
    gtk_widget_set_sensitive(self->sound, available);
    gtk_widget_set_tooltip_text(self->sound,
                                available ? _("Sound") : _("This machine has no sound now"));
}

void bh_display_bar_focus(BhDisplayBar *self)
{
    gtk_widget_grab_focus(self->menu);
}
