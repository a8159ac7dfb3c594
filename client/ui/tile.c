/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A tile. Built in code, not from a template: tiles are made and given other machines while the
 * user scrolls, where parsing XML would be felt. Everything it does goes through the machine's
 * actions.
 */
#include "tile.h"

#include <glib/gi18n.h>

#include "machine-actions.h"
#include "thumbnail.h"
#include "util.h"

struct _BhTile {
    GtkOverlay parent_instance;
    BhMachine *machine;
    BhJob *job; /* the long job running on the machine, or NULL */
    GtkWidget *button, *thumbnail, *dot, *name, *state, *menu_button;
    GtkWidget *crash_box, *progress;
};

G_DEFINE_TYPE(BhTile, bh_tile, GTK_TYPE_OVERLAY)

static GtkWindow *window_of(BhTile *self)
{
    GtkWidget *toplevel = gtk_widget_get_toplevel(GTK_WIDGET(self));

    return GTK_IS_WINDOW(toplevel) ? GTK_WINDOW(toplevel) : NULL;
}

static void activate(BhTile *self, const char *action)
{
    GActionGroup *actions;

    if (!self->machine)
        return;
    actions = bh_machine_actions_new(self->machine, window_of(self));
    g_action_group_activate_action(actions, action, NULL);
    g_object_unref(actions);
}

static void on_clicked(GtkButton *button, gpointer data)
{
    activate(data, "open");
}

static void on_restart(GtkButton *button, gpointer data)
{
    activate(data, "start");
}

static void on_why(GtkButton *button, gpointer data)
{
    activate(data, "log");
}

/* --- menu --- */

static GtkWidget *make_menu(BhTile *self)
{
    GActionGroup *actions = bh_machine_actions_new(self->machine, window_of(self));
    g_autoptr(GMenuModel) model = bh_machine_menu_new(TRUE);
    GtkWidget *menu = gtk_menu_new_from_model(model);

    /* The group goes on the menu, which keeps it and its machine when the tile gets another one. */
    gtk_widget_insert_action_group(menu, "machine", actions);
    g_object_unref(actions);
    gtk_menu_attach_to_widget(GTK_MENU(menu), GTK_WIDGET(self), NULL);
    bh_set_accessible_name(menu, bh_machine_get_name(self->machine));
    return menu;
}

static gboolean on_menu_idle(gpointer data)
{
    gtk_widget_destroy(data);
    return G_SOURCE_REMOVE;
}

/* Not at once: the item's action is activated after the menu has closed. */
static void on_menu_closed(GtkMenuShell *menu, gpointer data)
{
    g_idle_add(on_menu_idle, menu);
}

/* A screen reader's click comes without an event, but a menu wants one for its grab. */
static GdkEvent *trigger_event(BhTile *self)
{
    GdkEvent *event = gtk_get_current_event();
    GdkSeat *seat = gdk_display_get_default_seat(gtk_widget_get_display(GTK_WIDGET(self)));

    if (event)
        return event;
    event = gdk_event_new(GDK_BUTTON_PRESS);
    event->button.window = g_object_ref(gtk_widget_get_window(GTK_WIDGET(self)));
    event->button.time = GDK_CURRENT_TIME;
    gdk_event_set_device(event, gdk_seat_get_pointer(seat));
    return event;
}

static void popup(BhTile *self, const GdkEvent *event)
{
    g_autoptr(GdkEvent) trigger = NULL;
    GtkWidget *menu;

    if (!self->machine)
        return;
    menu = make_menu(self);
    g_signal_connect(menu, "selection-done", G_CALLBACK(on_menu_closed), self);
    if (event) {
        gtk_menu_popup_at_pointer(GTK_MENU(menu), event);
        return;
    }
    trigger = trigger_event(self);
    gtk_menu_popup_at_widget(GTK_MENU(menu), self->menu_button, GDK_GRAVITY_SOUTH_EAST,
                             GDK_GRAVITY_NORTH_EAST, trigger);
}

static void on_menu_button(GtkButton *button, gpointer data)
{
    popup(data, NULL);
}

static gboolean on_popup_menu(GtkWidget *widget, gpointer data)
{
    popup(data, NULL);
    return TRUE;
}

static gboolean on_button_press(GtkWidget *widget, GdkEventButton *event, gpointer data)
{
    if (!gdk_event_triggers_context_menu((GdkEvent *)event))
        return GDK_EVENT_PROPAGATE;
    popup(data, (GdkEvent *)event);
    return GDK_EVENT_STOP;
}

/* --- what is shown --- */

static const char *dot_class(BhState state)
{
    switch (state) {
    case BH_STATE_RUNNING:
        return "running";
    case BH_STATE_STARTING:
    case BH_STATE_STOPPING:
    case BH_STATE_SAVING:
        return "changing";
    case BH_STATE_PAUSED:
    case BH_STATE_SAVED:
        return "asleep";
    case BH_STATE_CRASHED:
        return "crashed";
    default:
        return "off";
    }
}

static void update_state(BhTile *self)
{
    static const char *const classes[] = {"running", "changing", "asleep", "crashed", "off"};
    BhState state = bh_machine_get_state(self->machine);
    const char *detail = bh_machine_get_state_detail(self->machine);
    gboolean crashed = state == BH_STATE_CRASHED;
    const char *label = crashed && detail ? detail : bh_state_get_label(state);

    for (gsize i = 0; i < G_N_ELEMENTS(classes); i++)
        bh_toggle_class(self->dot, classes[i], g_str_equal(classes[i], dot_class(state)));
    gtk_label_set_text(GTK_LABEL(self->state), label);
    bh_toggle_class(self->state, "dim-label", !crashed);
    gtk_widget_set_tooltip_text(self->button, detail);
    gtk_widget_set_visible(self->crash_box, crashed);
    gtk_widget_queue_draw(self->thumbnail);
}

static void update_names(BhTile *self)
{
    const char *name = bh_machine_get_name(self->machine);
    BhState state = bh_machine_get_state(self->machine);
    /* Translators: what a screen reader says for a machine: its name and its state. */
    g_autofree char *spoken = g_strdup_printf(_("%s, %s"), name, bh_state_get_label(state));
    g_autofree char *menu = g_strdup_printf(_("Actions for %s"), name);

    gtk_label_set_text(GTK_LABEL(self->name), name);
    bh_set_accessible_name(self->button, spoken);
    bh_set_accessible_description(self->button, bh_machine_get_state_detail(self->machine));
    bh_set_accessible_name(self->menu_button, menu);
}

static void on_state(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    update_state(data);
    update_names(data);
}

static void on_name(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    update_names(data);
}

static void on_progress(BhJob *job, GParamSpec *pspec, gpointer data)
{
    BhTile *self = data;
    double fraction = bh_job_get_fraction(job);

    gtk_widget_set_visible(self->progress, fraction >= 0 && fraction < 1);
    if (fraction >= 0)
        gtk_progress_bar_set_fraction(GTK_PROGRESS_BAR(self->progress), fraction);
}

static void set_job(BhTile *self, BhJob *job)
{
    if (self->job)
        g_signal_handlers_disconnect_by_data(self->job, self);
    g_set_object(&self->job, job);
    gtk_widget_hide(self->progress);
    if (!job)
        return;
    g_signal_connect(job, "notify::fraction", G_CALLBACK(on_progress), self);
    on_progress(job, NULL, self);
}

static void on_job(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    set_job(data, bh_machine_get_job(machine));
}

void bh_tile_set_machine(BhTile *self, BhMachine *machine)
{
    if (self->machine == machine)
        return;
    if (self->machine) {
        g_signal_handlers_disconnect_by_data(self->machine, self);
        set_job(self, NULL);
    }
    g_set_object(&self->machine, machine);
    bh_thumbnail_set_machine(BH_THUMBNAIL(self->thumbnail), machine);
    if (!machine)
        return;
    g_signal_connect(machine, "notify::state", G_CALLBACK(on_state), self);
    g_signal_connect(machine, "notify::state-detail", G_CALLBACK(on_state), self);
    g_signal_connect(machine, "notify::name", G_CALLBACK(on_name), self);
    g_signal_connect(machine, "notify::job", G_CALLBACK(on_job), self);
    update_state(self);
    update_names(self);
    on_job(machine, NULL, self);
}

BhMachine *bh_tile_get_machine(BhTile *self)
{
    return self->machine;
}

void bh_tile_update_picture(BhTile *self)
{
    gtk_widget_queue_draw(self->thumbnail);
}

void bh_tile_focus(BhTile *self)
{
    gtk_widget_grab_focus(self->button);
}

/* --- construction --- */

static GtkWidget *make_label(const char *css_class)
{
    GtkWidget *label = gtk_label_new(NULL);

    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(label), PANGO_ELLIPSIZE_END);
    gtk_widget_set_hexpand(label, TRUE);
    gtk_style_context_add_class(gtk_widget_get_style_context(label), css_class);
    return label;
}

static GtkWidget *make_text(BhTile *self)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    GtkWidget *line = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);

    self->name = make_label("tile-name");
    self->state = make_label("tile-state");
    self->dot = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 0);
    gtk_widget_set_valign(self->dot, GTK_ALIGN_CENTER);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->dot), "state-dot");
    gtk_container_add(GTK_CONTAINER(line), self->dot);
    gtk_container_add(GTK_CONTAINER(line), self->state);
    gtk_container_add(GTK_CONTAINER(box), self->name);
    gtk_container_add(GTK_CONTAINER(box), line);
    /* Room for the menu button, which lies over the main button and not in it. */
    gtk_widget_set_margin_end(box, 30);
    return box;
}

static void make_button(BhTile *self)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 6);

    self->button = gtk_button_new();
    gtk_button_set_relief(GTK_BUTTON(self->button), GTK_RELIEF_NONE);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->button), "tile");
    self->thumbnail = g_object_new(BH_TYPE_THUMBNAIL, NULL);
    gtk_container_add(GTK_CONTAINER(box), self->thumbnail);
    gtk_container_add(GTK_CONTAINER(box), make_text(self));
    gtk_container_add(GTK_CONTAINER(self->button), box);
    gtk_container_add(GTK_CONTAINER(self), self->button);
    g_signal_connect(self->button, "clicked", G_CALLBACK(on_clicked), self);
    g_signal_connect(self->button, "popup-menu", G_CALLBACK(on_popup_menu), self);
    g_signal_connect(self->button, "button-press-event", G_CALLBACK(on_button_press), self);
}

static void make_crash_box(BhTile *self)
{
    GtkWidget *restart = gtk_button_new_with_mnemonic(_("_Restart"));
    GtkWidget *why = gtk_button_new_with_mnemonic(_("_Why?"));

    self->crash_box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 6);
    gtk_widget_set_halign(self->crash_box, GTK_ALIGN_CENTER);
    gtk_widget_set_valign(self->crash_box, GTK_ALIGN_START);
    gtk_widget_set_margin_top(self->crash_box, 62);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->crash_box), "crash-box");
    gtk_container_add(GTK_CONTAINER(self->crash_box), restart);
    gtk_container_add(GTK_CONTAINER(self->crash_box), why);
    gtk_widget_show_all(self->crash_box);
    gtk_widget_set_no_show_all(self->crash_box, TRUE);
    gtk_overlay_add_overlay(GTK_OVERLAY(self), self->crash_box);
    g_signal_connect(restart, "clicked", G_CALLBACK(on_restart), self);
    g_signal_connect(why, "clicked", G_CALLBACK(on_why), self);
}

static void bh_tile_dispose(GObject *object)
{
    bh_tile_set_machine(BH_TILE(object), NULL);
    G_OBJECT_CLASS(bh_tile_parent_class)->dispose(object);
}

static void bh_tile_class_init(BhTileClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_tile_dispose;
}

static void bh_tile_init(BhTile *self)
{
    make_button(self);
    make_crash_box(self);
    self->menu_button = gtk_button_new_from_icon_name("view-more-symbolic", GTK_ICON_SIZE_BUTTON);
    gtk_button_set_relief(GTK_BUTTON(self->menu_button), GTK_RELIEF_NONE);
    gtk_widget_set_halign(self->menu_button, GTK_ALIGN_END);
    gtk_widget_set_valign(self->menu_button, GTK_ALIGN_END);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->menu_button), "tile-menu");
    gtk_overlay_add_overlay(GTK_OVERLAY(self), self->menu_button);
    g_signal_connect(self->menu_button, "clicked", G_CALLBACK(on_menu_button), self);

    self->progress = gtk_progress_bar_new();
    gtk_widget_set_valign(self->progress, GTK_ALIGN_START);
    /* Inside the upper edge of the screen. */
    g_object_set(self->progress, "margin-start", 18, "margin-end", 18, "margin-top", 18, NULL);
    gtk_widget_set_no_show_all(self->progress, TRUE);
    gtk_overlay_add_overlay(GTK_OVERLAY(self), self->progress);
    gtk_overlay_set_overlay_pass_through(GTK_OVERLAY(self), self->progress, TRUE);
    gtk_widget_show_all(GTK_WIDGET(self));
}

GtkWidget *bh_tile_new(void)
{
    return g_object_new(BH_TYPE_TILE, NULL);
}
