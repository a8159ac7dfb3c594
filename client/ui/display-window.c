/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhDisplayWindow: puts the parts together and decides who has the keyboard.
 *
 * The guest has it ("captured") exactly while the screen widget has the focus: then every key goes
 * to the guest before any shortcut of ours, but for the few in display-keys.c. The release chord
 * moves the focus to the bar. Messages lie over the picture and never beside it, because a guest
 * that follows the window would change its resolution for each of them.
 */
#include "display-private.h"
#include "display-window.h"
#include "prefs.h"
#include "usb-ask.h"
#include "util.h"

#include <glib/gi18n.h>

#define DEFAULT_WIDTH 1024
#define DEFAULT_HEIGHT 768
#define FRAME_WIDTH 30 /* room for the title bar and the window manager's borders */
#define FRAME_HEIGHT 100
#define MIN_WIDTH 480
#define MIN_HEIGHT 320

G_DEFINE_TYPE(BhDisplayWindow, bh_display_window, GTK_TYPE_APPLICATION_WINDOW)

/* --- who has the keyboard --- */

SpiceInputsChannel *bh_display_window_get_inputs(BhDisplayWindow *self)
{
    SpiceSession *session = bh_display_link_get_session(self->link);
    g_autoptr(GList) channels = session ? spice_session_get_channels(session) : NULL;

    for (GList *link = channels; link; link = link->next)
        if (SPICE_IS_INPUTS_CHANNEL(link->data))
            return link->data;
    return NULL;
}

BhDisplayBar *bh_display_window_get_bar(BhDisplayWindow *self)
{
    if (!self->is_fullscreen)
        return self->bar;
    bh_display_fullscreen_show_bar(self);
    return self->floating_bar;
}

static const char *describe(BhDisplayWindow *self)
{
    BhState state = bh_machine_get_state(self->machine);

    if (self->captured)
        return bh_key_chord_text();
    if (state == BH_STATE_RUNNING && bh_display_screen_is_ready(self->screen))
        return _("Click the screen to type into the guest");
    return bh_state_get_label(state);
}

static GtkWidget *get_display(BhDisplayWindow *self)
{
    SpiceDisplay *display = bh_display_screen_get_display(self->screen);

    return display ? GTK_WIDGET(display) : NULL;
}

static void update_capture(BhDisplayWindow *self)
{
    GtkWidget *display = get_display(self);

    self->captured = display && gtk_window_get_focus(GTK_WINDOW(self)) == display;
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(self->bar), describe(self));
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(self->floating_bar), describe(self));
}

void bh_display_window_capture(BhDisplayWindow *self, gboolean capture)
{
    GtkWidget *display = get_display(self);

    bh_key_chord_reset(&self->chord);
    self->wants_capture = capture;
    if (!display)
        return;
    if (capture) {
        gtk_widget_grab_focus(display);
        return;
    }
    spice_display_keyboard_ungrab(SPICE_DISPLAY(display));
    spice_display_mouse_ungrab(SPICE_DISPLAY(display));
    bh_display_bar_focus(bh_display_window_get_bar(self));
}

static void on_focus(BhDisplayWindow *self)
{
    bh_key_chord_reset(&self->chord);
    update_capture(self);
    if (self->captured) /* by a click or Tab: as good as the action */
        self->wants_capture = TRUE;
}

static void activate(BhDisplayWindow *self, const char *action)
{
    g_action_group_activate_action(G_ACTION_GROUP(self), action, NULL);
}

static gboolean guest_key(BhDisplayWindow *self, GdkEventKey *event)
{
    BhKeyFate fate = bh_display_key_fate(&self->chord, event);
    gboolean press = event->type == GDK_KEY_PRESS;

    switch (fate) {
    case BH_KEY_TO_GUEST:
        return gtk_window_propagate_key_event(GTK_WINDOW(self), event);
    case BH_KEY_RELEASE:
        gtk_window_propagate_key_event(GTK_WINDOW(self), event);
        bh_display_window_capture(self, FALSE);
        return GDK_EVENT_STOP;
    case BH_KEY_FULLSCREEN:
        if (press)
            activate(self, "fullscreen");
        return GDK_EVENT_STOP;
    case BH_KEY_USB:
        if (press)
            activate(self, "usb");
        return GDK_EVENT_STOP;
    case BH_KEY_MENU:
        if (press)
            activate(self, "show-menu");
        return GDK_EVENT_STOP;
    }
    return GDK_EVENT_PROPAGATE;
}

static gboolean bh_display_window_key_press(GtkWidget *widget, GdkEventKey *event)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(widget);

    if (self->captured && guest_key(self, event))
        return GDK_EVENT_STOP;
    /* Nothing of it may fall through to shortcuts and mnemonics while the guest has the keyboard.
     */
    if (self->captured)
        return GDK_EVENT_STOP;
    if (bh_display_key_fate(&self->chord, event) == BH_KEY_FULLSCREEN) {
        activate(self, "fullscreen");
        return GDK_EVENT_STOP;
    }
    return GTK_WIDGET_CLASS(bh_display_window_parent_class)->key_press_event(widget, event);
}

static gboolean bh_display_window_key_release(GtkWidget *widget, GdkEventKey *event)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(widget);

    if (self->captured)
        return guest_key(self, event);
    return GTK_WIDGET_CLASS(bh_display_window_parent_class)->key_release_event(widget, event);
}

/* --- following the machine --- */

static const char *notice_text(BhDisplayWindow *self)
{
    switch (bh_machine_get_state(self->machine)) {
    case BH_STATE_PAUSED:
        return _("Paused");
    case BH_STATE_SAVING:
        return _("Saving…");
    case BH_STATE_STOPPING:
        return _("Shutting down…");
    default:
        return NULL;
    }
}

/* Shows the picture or the page. A new picture gets the keyboard unless it was released by hand; a
 * new page offers its button, but takes the focus from nobody in the bar. */
static void show_view(BhDisplayWindow *self, gboolean picture)
{
    GtkWidget *focus = gtk_window_get_focus(GTK_WINDOW(self));
    const char *name = picture ? "screen" : "page";
    gboolean changes =
        g_strcmp0(gtk_stack_get_visible_child_name(GTK_STACK(self->stack)), name) != 0;
    GtkWidget *next = picture ? get_display(self) : bh_display_page_get_button(self->page);

    gtk_stack_set_visible_child_name(GTK_STACK(self->stack), name);
    if (!next || next == focus)
        return;
    if (picture ? changes && self->wants_capture && !bh_display_bar_has_popup(self->bar)
                : !focus || gtk_widget_is_ancestor(focus, self->stack))
        gtk_widget_grab_focus(next);
}

/* A guest that changes its resolution has no picture for a moment. The screen stays in view then,
 * black: a page that flashes up would also take the keyboard away. */
static gboolean has_picture(BhDisplayWindow *self)
{
    if (bh_display_screen_is_ready(self->screen))
        self->seen_picture = TRUE;
    return self->seen_picture && get_display(self);
}

void bh_display_window_update(BhDisplayWindow *self)
{
    BhState state = bh_machine_get_state(self->machine);
    gboolean picture = has_picture(self) && state != BH_STATE_STARTING;
    const char *notice = picture ? notice_text(self) : NULL;

    if (self->closing)
        return;
    bh_display_page_update(self->page, self->link);
    show_view(self, picture);
    gtk_label_set_text(GTK_LABEL(self->notice), notice ? notice : "");
    gtk_widget_set_visible(self->notice, notice != NULL);
    bh_display_files_set_channel(self->files, bh_display_link_get_main(self->link),
                                 bh_display_link_has_agent(self->link));
    bh_display_actions_update(self);
    update_capture(self);
}

static void drop_usb(BhDisplayWindow *self)
{
    if (!self->usb)
        return;
    bh_display_usb_close(self->usb);
    if (self->arbiter)
        bh_usb_arbiter_remove_redirector(self->arbiter, self->machine);
    g_clear_object(&self->usb);
}

static void on_session(BhDisplayLink *link, SpiceSession *session, BhDisplayWindow *self)
{
    drop_usb(self);
    self->seen_picture = FALSE;
    bh_display_screen_set_session(self->screen, session);
    bh_display_sound_set_session(self->sound, session);
    bh_display_actions_session(self, session);
}

/* The arbiter is told when the connection stands: before that it could only fail. */
static void on_link_changed(BhDisplayWindow *self)
{
    if (bh_display_link_get_state(self->link) == BH_LINK_OPEN && !self->usb && self->arbiter) {
        self->usb = bh_display_usb_new(bh_display_link_get_session(self->link));
        bh_usb_arbiter_add_redirector(self->arbiter, self->machine, BH_USB_REDIRECTOR(self->usb));
    }
    bh_display_window_update(self);
}

static void on_display(BhDisplayScreen *screen, SpiceDisplay *display, BhDisplayWindow *self)
{
    SpiceGrabSequence *none;

    if (!display)
        return;
    /* The chord is ours (display-keys.c): spice-gtk's own would fire within Ctrl+Alt+Del too. */
    none = spice_grab_sequence_new_from_string("");
    spice_display_set_grab_keys(display, none);
    spice_grab_sequence_free(none);
    bh_display_files_accept_drops(self->files, GTK_WIDGET(display));
    bh_display_fullscreen_watch(self, GTK_WIDGET(display));
}

/* A window nobody has sized yet takes the size of the first picture, if that fits the monitor. */
static void take_size(BhDisplayWindow *self)
{
    int width, height, scale = gtk_widget_get_scale_factor(GTK_WIDGET(self));
    GdkWindow *window = gtk_widget_get_window(GTK_WIDGET(self));
    GdkRectangle area;

    if (self->sized || !window || !bh_display_screen_get_size(self->screen, &width, &height))
        return;
    self->sized = TRUE;
    gdk_monitor_get_workarea(
        gdk_display_get_monitor_at_window(gdk_window_get_display(window), window), &area);
    width = width / scale;
    height = height / scale;
    /* Text modes are small and do not last; a resized guest comes later with what it really wants.
     */
    if (width < DEFAULT_WIDTH || width + FRAME_WIDTH > area.width ||
        height + FRAME_HEIGHT > area.height)
        return;
    if (!gtk_window_is_maximized(GTK_WINDOW(self)) && !self->is_fullscreen)
        gtk_window_resize(GTK_WINDOW(self), width, height);
}

static void on_screen_changed(BhDisplayWindow *self)
{
    if (bh_display_screen_is_ready(self->screen))
        take_size(self);
    bh_display_window_update(self);
}

static void on_sound(BhDisplayWindow *self)
{
    gboolean available = bh_display_sound_is_available(self->sound);

    bh_display_bar_set_sound(self->bar, available);
    bh_display_bar_set_sound(self->floating_bar, available);
}

/* --- the window --- */

static gboolean bh_display_window_state_event(GtkWidget *widget, GdkEventWindowState *event)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(widget);
    gboolean fullscreen = (event->new_window_state & GDK_WINDOW_STATE_FULLSCREEN) != 0;
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(self), "fullscreen");

    if (!self->closing && fullscreen != self->is_fullscreen) {
        bh_display_fullscreen_state(self, fullscreen);
        g_simple_action_set_state(G_SIMPLE_ACTION(action), g_variant_new_boolean(fullscreen));
        bh_prefs_set_boolean(self->settings, "fullscreen", fullscreen);
    }
    return GTK_WIDGET_CLASS(bh_display_window_parent_class)->window_state_event(widget, event);
}

static void remember_size(BhDisplayWindow *self)
{
    gboolean maximized = gtk_window_is_maximized(GTK_WINDOW(self));
    int width, height;

    if (self->is_fullscreen)
        return;
    bh_prefs_set_boolean(self->settings, "window-maximized", maximized);
    if (maximized)
        return;
    gtk_window_get_size(GTK_WINDOW(self), &width, &height);
    bh_prefs_set_int(self->settings, "window-width", width);
    bh_prefs_set_int(self->settings, "window-height", height);
}

static gboolean bh_display_window_delete(GtkWidget *widget, GdkEventAny *event)
{
    remember_size(BH_DISPLAY_WINDOW(widget));
    return GDK_EVENT_PROPAGATE;
}

static void restore_size(BhDisplayWindow *self)
{
    int width = bh_prefs_get_int(self->settings, "window-width", DEFAULT_WIDTH);
    int height = bh_prefs_get_int(self->settings, "window-height", DEFAULT_HEIGHT);
    g_autoptr(GVariant) chosen =
        self->settings ? g_settings_get_user_value(self->settings, "window-width") : NULL;

    self->sized = chosen != NULL;
    gtk_window_set_default_size(GTK_WINDOW(self), MAX(width, MIN_WIDTH), MAX(height, MIN_HEIGHT));
    if (bh_prefs_get_boolean(self->settings, "window-maximized", FALSE))
        gtk_window_maximize(GTK_WINDOW(self));
    if (bh_prefs_get_boolean(self->settings, "fullscreen", FALSE))
        gtk_window_fullscreen(GTK_WINDOW(self));
}

static void bh_display_window_destroy(GtkWidget *widget)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(widget);

    if (!self->closing) {
        self->closing = TRUE;
        bh_display_fullscreen_dispose(self);
        drop_usb(self);
        g_signal_handlers_disconnect_by_data(self->machine, self);
        g_signal_handlers_disconnect_by_data(self->link, self);
        g_signal_handlers_disconnect_by_data(self->sound, self);
        g_signal_handlers_disconnect_by_data(self->screen, self);
        bh_display_screen_set_session(self->screen, NULL);
        bh_display_sound_close(self->sound);
        bh_display_link_close(self->link);
    }
    GTK_WIDGET_CLASS(bh_display_window_parent_class)->destroy(widget);
}

static void bh_display_window_finalize(GObject *object)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(object);

    g_clear_object(&self->link);
    g_clear_object(&self->sound);
    g_clear_object(&self->menu);
    g_clear_object(&self->view_menu);
    g_clear_object(&self->settings);
    g_clear_object(&self->arbiter);
    g_clear_object(&self->machine);
    G_OBJECT_CLASS(bh_display_window_parent_class)->finalize(object);
}

/* SpiceDisplay paints all but a fraction of a pixel around a scaled picture. */
static void add_style(void)
{
    g_autoptr(GtkCssProvider) provider = gtk_css_provider_new();

    gtk_css_provider_load_from_data(
        provider,
        ".bh-screen, .bh-screen viewport { background: black; }"
        ".bh-notice { padding: 12px 24px; border-radius: 8px; font-size: larger; }"
        ".bh-over-screen { padding: 12px; border-radius: 8px; }"
        ".bh-page-title { font-weight: bold; font-size: larger; }",
        -1, NULL);
    gtk_style_context_add_provider_for_screen(gdk_screen_get_default(),
                                              GTK_STYLE_PROVIDER(provider),
                                              GTK_STYLE_PROVIDER_PRIORITY_APPLICATION);
}

static void bh_display_window_class_init(BhDisplayWindowClass *class)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(class);

    add_style();
    G_OBJECT_CLASS(class)->finalize = bh_display_window_finalize;
    widget_class->destroy = bh_display_window_destroy;
    widget_class->key_press_event = bh_display_window_key_press;
    widget_class->key_release_event = bh_display_window_key_release;
    widget_class->window_state_event = bh_display_window_state_event;
    widget_class->delete_event = bh_display_window_delete;
}

static void bh_display_window_init(BhDisplayWindow *self)
{
    self->wants_capture = TRUE;
}

static void make_content(BhDisplayWindow *self)
{
    self->screen = bh_display_screen_new();
    self->page = bh_display_page_new(self->machine);
    self->stack = gtk_stack_new();
    gtk_stack_add_named(GTK_STACK(self->stack), GTK_WIDGET(self->page), "page");
    gtk_stack_add_named(GTK_STACK(self->stack), GTK_WIDGET(self->screen), "screen");
    self->overlay = gtk_overlay_new();
    gtk_container_add(GTK_CONTAINER(self->overlay), self->stack);
    self->notice = gtk_label_new(NULL);
    gtk_widget_set_halign(self->notice, GTK_ALIGN_CENTER);
    gtk_widget_set_valign(self->notice, GTK_ALIGN_CENTER);
    bh_toggle_class(self->notice, "bh-notice", TRUE);
    bh_toggle_class(self->notice, "osd", TRUE);
    gtk_overlay_add_overlay(GTK_OVERLAY(self->overlay), self->notice);
    gtk_overlay_set_overlay_pass_through(GTK_OVERLAY(self->overlay), self->notice, TRUE);
    self->errors = BH_ERROR_BAR(bh_error_bar_new());
    gtk_widget_set_valign(GTK_WIDGET(self->errors), GTK_ALIGN_START);
    gtk_overlay_add_overlay(GTK_OVERLAY(self->overlay), GTK_WIDGET(self->errors));
    if (self->arbiter)
        gtk_overlay_add_overlay(GTK_OVERLAY(self->overlay),
                                bh_usb_ask_new(self->arbiter, self->machine));
    self->files = bh_display_files_new(self->machine, self->errors);
    gtk_overlay_add_overlay(GTK_OVERLAY(self->overlay), GTK_WIDGET(self->files));
    gtk_container_add(GTK_CONTAINER(self), self->overlay);
}

static void make_bars(BhDisplayWindow *self)
{
    self->view_menu = g_menu_new();
    self->menu = bh_display_actions_menu(self);
    self->bar = bh_display_bar_new(self->machine, self->arbiter, G_ACTION_MAP(self),
                                   G_MENU_MODEL(self->menu), FALSE);
    gtk_widget_show(GTK_WIDGET(self->bar));
    gtk_window_set_titlebar(GTK_WINDOW(self), GTK_WIDGET(self->bar));
    bh_display_fullscreen_init(self, GTK_OVERLAY(self->overlay));
    g_object_bind_property(self->machine, "name", self, "title", G_BINDING_SYNC_CREATE);
}

static void connect_parts(BhDisplayWindow *self)
{
    g_signal_connect_swapped(self->machine, "notify::state", G_CALLBACK(bh_display_window_update),
                             self);
    g_signal_connect_swapped(self->machine, "notify::state-detail",
                             G_CALLBACK(bh_display_window_update), self);
    g_signal_connect(self->link, "session", G_CALLBACK(on_session), self);
    g_signal_connect_swapped(self->link, "changed", G_CALLBACK(on_link_changed), self);
    g_signal_connect(self->screen, "display", G_CALLBACK(on_display), self);
    g_signal_connect_swapped(self->screen, "changed", G_CALLBACK(on_screen_changed), self);
    g_signal_connect_swapped(self->sound, "changed", G_CALLBACK(on_sound), self);
    g_signal_connect_after(self, "set-focus", G_CALLBACK(on_focus), NULL);
}

GtkWidget *bh_display_window_new(GtkApplication *application, BhMachine *machine,
                                 BhUsbArbiter *arbiter)
{
    BhDisplayWindow *self = g_object_new(BH_TYPE_DISPLAY_WINDOW, "application", application, NULL);

    self->machine = g_object_ref(machine);
    self->arbiter = arbiter ? g_object_ref(arbiter) : NULL;
    self->settings = bh_prefs_for_machine(machine);
    self->link = bh_display_link_new(machine);
    self->sound = bh_display_sound_new(bh_machine_get_name(machine));
    make_content(self);
    bh_display_actions_add(self);
    make_bars(self);
    connect_parts(self);
    gtk_widget_show_all(self->overlay);
    on_sound(self);
    restore_size(self);
    bh_display_window_update(self);
    bh_display_link_start(self->link);
    return GTK_WIDGET(self);
}
