/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Full screen: the guest gets the whole screen, and the bar hides at its top edge.
 *
 * The bar comes when the pointer touches the edge or the keyboard is released, and goes a moment
 * after the pointer left it, unless something of it is open or has the keyboard.
 */
#include "display-private.h"

#define EDGE_PIXELS 2
#define HIDE_MS 1500

static gboolean bar_in_use(BhDisplayWindow *self)
{
    GtkWidget *focus = gtk_window_get_focus(GTK_WINDOW(self));

    return bh_display_bar_has_popup(self->floating_bar) ||
           (focus && gtk_widget_is_ancestor(focus, self->revealer));
}

static gboolean on_hide(gpointer data)
{
    BhDisplayWindow *self = BH_DISPLAY_WINDOW(data);

    if (bar_in_use(self))
        return G_SOURCE_CONTINUE;
    self->hide_source = 0;
    gtk_revealer_set_reveal_child(GTK_REVEALER(self->revealer), FALSE);
    return G_SOURCE_REMOVE;
}

static void hide_later(BhDisplayWindow *self)
{
    g_clear_handle_id(&self->hide_source, g_source_remove);
    self->hide_source = g_timeout_add(HIDE_MS, on_hide, self);
}

void bh_display_fullscreen_show_bar(BhDisplayWindow *self)
{
    if (!self->is_fullscreen)
        return;
    gtk_revealer_set_reveal_child(GTK_REVEALER(self->revealer), TRUE);
    hide_later(self);
}

static gboolean on_display_motion(GtkWidget *display, GdkEventMotion *event, BhDisplayWindow *self)
{
    int x, y;

    if (self->is_fullscreen &&
        gtk_widget_translate_coordinates(display, GTK_WIDGET(self), event->x, event->y, &x, &y) &&
        y < EDGE_PIXELS)
        bh_display_fullscreen_show_bar(self);
    return GDK_EVENT_PROPAGATE;
}

static gboolean on_bar_crossing(GtkWidget *widget, GdkEventCrossing *event, BhDisplayWindow *self)
{
    if (event->detail == GDK_NOTIFY_INFERIOR)
        return GDK_EVENT_PROPAGATE;
    if (event->type == GDK_ENTER_NOTIFY) {
        /* Also while it hides: even then it keeps a pixel at the edge, over the screen. */
        bh_display_fullscreen_show_bar(self);
        g_clear_handle_id(&self->hide_source, g_source_remove);
    } else {
        hide_later(self);
    }
    return GDK_EVENT_PROPAGATE;
}

static void watch_crossing(BhDisplayWindow *self, GtkWidget *widget)
{
    gtk_widget_add_events(widget, GDK_ENTER_NOTIFY_MASK | GDK_LEAVE_NOTIFY_MASK);
    g_signal_connect(widget, "enter-notify-event", G_CALLBACK(on_bar_crossing), self);
    g_signal_connect(widget, "leave-notify-event", G_CALLBACK(on_bar_crossing), self);
}

void bh_display_fullscreen_watch(BhDisplayWindow *self, GtkWidget *display)
{
    g_signal_connect(display, "motion-notify-event", G_CALLBACK(on_display_motion), self);
}

void bh_display_fullscreen_state(BhDisplayWindow *self, gboolean is_fullscreen)
{
    if (self->is_fullscreen == is_fullscreen)
        return;
    self->is_fullscreen = is_fullscreen;
    gtk_widget_set_visible(self->revealer, is_fullscreen);
    if (is_fullscreen) {
        bh_display_fullscreen_show_bar(self);
    } else {
        g_clear_handle_id(&self->hide_source, g_source_remove);
        gtk_revealer_set_reveal_child(GTK_REVEALER(self->revealer), FALSE);
    }
}

void bh_display_fullscreen_init(BhDisplayWindow *self, GtkOverlay *overlay)
{
    /* An event box, because only a widget with a window of its own is told when the pointer leaves.
     */
    GtkWidget *box = gtk_event_box_new();

    self->floating_bar = bh_display_bar_new(self->machine, self->arbiter, G_ACTION_MAP(self),
                                            G_MENU_MODEL(self->menu), TRUE);
    gtk_container_add(GTK_CONTAINER(box), GTK_WIDGET(self->floating_bar));
    self->revealer = gtk_revealer_new();
    watch_crossing(self, box);
    watch_crossing(self, self->revealer);
    gtk_widget_set_valign(self->revealer, GTK_ALIGN_START);
    gtk_revealer_set_transition_type(GTK_REVEALER(self->revealer),
                                     GTK_REVEALER_TRANSITION_TYPE_SLIDE_DOWN);
    gtk_container_add(GTK_CONTAINER(self->revealer), box);
    gtk_widget_set_no_show_all(self->revealer, TRUE);
    gtk_overlay_add_overlay(overlay, self->revealer);
    gtk_widget_show(GTK_WIDGET(self->floating_bar));
    gtk_widget_show(box);
}

void bh_display_fullscreen_dispose(BhDisplayWindow *self)
{
    g_clear_handle_id(&self->hide_source, g_source_remove);
}
