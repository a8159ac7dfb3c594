/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Owns the SpiceDisplay widget, its scrolled window and its size.
 *
 * spice-gtk always scales the picture into the widget's allocation and keeps its shape. A fixed
 * zoom is therefore only a matter of asking for the right size: guest pixels * zoom / scale factor.
 */
#include "display-screen.h"
#include "util.h"

#include <glib/gi18n.h>
#include <math.h>

/* --- a place of exactly the size we want --- */

/* SpiceDisplay requests at least 640x480 for itself, and sets that anew whenever it likes. So it
 * sits in a bin that has a request of its own and gives its child just what it gets. */
#define BH_TYPE_SIZER (bh_sizer_get_type())
G_DECLARE_FINAL_TYPE(BhSizer, bh_sizer, BH, SIZER, GtkBin)
struct _BhSizer {
    GtkBin parent_instance;
    int width, height;
};
G_DEFINE_TYPE(BhSizer, bh_sizer, GTK_TYPE_BIN)

static void bh_sizer_get_width(GtkWidget *widget, int *minimum, int *natural)
{
    *minimum = *natural = BH_SIZER(widget)->width;
}

static void bh_sizer_get_height(GtkWidget *widget, int *minimum, int *natural)
{
    *minimum = *natural = BH_SIZER(widget)->height;
}

static void bh_sizer_size_allocate(GtkWidget *widget, GtkAllocation *allocation)
{
    GtkWidget *child = gtk_bin_get_child(GTK_BIN(widget));

    gtk_widget_set_allocation(widget, allocation);
    if (!child || !gtk_widget_get_visible(child))
        return;
    gtk_widget_get_preferred_size(child, NULL, NULL); /* GTK wants to be asked first */
    gtk_widget_size_allocate(child, allocation);
}

static void bh_sizer_class_init(BhSizerClass *class)
{
    GTK_WIDGET_CLASS(class)->get_preferred_width = bh_sizer_get_width;
    GTK_WIDGET_CLASS(class)->get_preferred_height = bh_sizer_get_height;
    GTK_WIDGET_CLASS(class)->size_allocate = bh_sizer_size_allocate;
}

static void bh_sizer_init(BhSizer *self)
{
}

/* 0: all the room there is. */
static void bh_sizer_set(BhSizer *self, int width, int height)
{
    GtkAlign align = width ? GTK_ALIGN_CENTER : GTK_ALIGN_FILL;

    self->width = width;
    self->height = height;
    g_object_set(self, "halign", align, "valign", align, NULL);
    gtk_widget_queue_resize(GTK_WIDGET(self));
}

/* --- the screen --- */

struct _BhDisplayScreen {
    GtkBin parent_instance;
    GtkWidget *scroller;
    BhSizer *sizer;
    SpiceDisplay *display;
    SpiceSession *session;
    SpiceChannel *channel; /* display channel 0, borrowed from session while it lives */
    int width, height;     /* of the guest's picture; 0 while there is none */
    int surface_width, surface_height;
    gboolean fit, resize_guest;
    int zoom;
};

enum { SIGNAL_CHANGED, SIGNAL_DISPLAY, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhDisplayScreen, bh_display_screen, GTK_TYPE_BIN)

static const int zoom_steps[] = {10,  25,  33,  50,  67,  75,  90, 100,
                                 110, 125, 150, 175, 200, 300, 400};

int bh_display_zoom_step(int percent, int direction)
{
    int n = G_N_ELEMENTS(zoom_steps);

    for (int i = 0; direction > 0 && i < n; i++)
        if (zoom_steps[i] > percent)
            return zoom_steps[i];
    for (int i = n - 1; direction < 0 && i >= 0; i--)
        if (zoom_steps[i] < percent)
            return zoom_steps[i];
    return direction > 0 ? BH_ZOOM_MAX : BH_ZOOM_MIN;
}

static void update_layout(BhDisplayScreen *self)
{
    double scale = gtk_widget_get_scale_factor(GTK_WIDGET(self));
    GtkPolicyType policy = self->fit ? GTK_POLICY_EXTERNAL : GTK_POLICY_AUTOMATIC;

    gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(self->scroller), policy, policy);
    bh_sizer_set(self->sizer, self->fit ? 0 : round(self->width * self->zoom / 100.0 / scale),
                 self->fit ? 0 : round(self->height * self->zoom / 100.0 / scale));
    if (self->display)
        g_object_set(self->display, "scaling", TRUE, "resize-guest",
                     self->fit && self->resize_guest, "zoom-level",
                     self->fit && self->resize_guest ? self->zoom : 100, NULL);
}

static void screen_changed(BhDisplayScreen *self)
{
    update_layout(self);
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

static void set_size(BhDisplayScreen *self, int width, int height)
{
    if (width <= 0 || height <= 0 || (width == self->width && height == self->height))
        return;
    self->width = width;
    self->height = height;
    screen_changed(self);
}

/* SpiceDisplay does not tell the picture's size; its channel does: first the whole surface, ... */
static void on_primary(SpiceChannel *channel, int format, int width, int height, int stride,
                       int shmid, gpointer pixels, BhDisplayScreen *self)
{
    self->surface_width = width;
    self->surface_height = height;
    set_size(self, width, height);
}

/* ... then, from drivers that know monitors, the part of it that the first one shows. The property
 * may still be of the surface before: what does not fit the present one is not believed. */
static void on_monitors(SpiceChannel *channel, GParamSpec *pspec, BhDisplayScreen *self)
{
    g_autoptr(GArray) monitors = NULL;

    g_object_get(channel, "monitors", &monitors, NULL);
    for (guint i = 0; monitors && i < monitors->len; i++) {
        const SpiceDisplayMonitorConfig *monitor =
            &g_array_index(monitors, SpiceDisplayMonitorConfig, i);
        if (monitor->id == 0 && monitor->x + monitor->width <= (guint)self->surface_width &&
            monitor->y + monitor->height <= (guint)self->surface_height)
            set_size(self, monitor->width, monitor->height);
    }
}

static void on_display_gone(GtkWidget *display, BhDisplayScreen *self)
{
    self->display = NULL;
}

/* SpiceDisplay must not have the focus or a grab when it is destroyed: it would tell its session,
 * which it has let go by then. */
static void take_focus(SpiceDisplay *display)
{
    GtkWidget *window = gtk_widget_get_toplevel(GTK_WIDGET(display));

    spice_display_keyboard_ungrab(display);
    spice_display_mouse_ungrab(display);
    if (GTK_IS_WINDOW(window) && gtk_window_get_focus(GTK_WINDOW(window)) == GTK_WIDGET(display))
        gtk_window_set_focus(GTK_WINDOW(window), NULL);
}

static void remove_display(BhDisplayScreen *self)
{
    GtkWidget *widget = GTK_WIDGET(self->display);

    self->width = self->height = 0;
    self->channel = NULL;
    if (!widget)
        return;
    g_signal_handlers_disconnect_by_data(widget, self);
    take_focus(self->display);
    self->display = NULL;
    g_signal_emit(self, signals[SIGNAL_DISPLAY], 0, NULL);
    gtk_widget_destroy(widget);
    g_signal_emit(self, signals[SIGNAL_CHANGED], 0);
}

static void make_display(BhDisplayScreen *self)
{
    GtkWidget *widget = GTK_WIDGET(spice_display_new(self->session, 0));

    self->display = SPICE_DISPLAY(widget);
    bh_set_accessible_name(widget, _("Screen of the machine"));
    g_signal_connect_swapped(widget, "notify::ready", G_CALLBACK(screen_changed), self);
    g_signal_connect(widget, "destroy", G_CALLBACK(on_display_gone), self);
    gtk_container_add(GTK_CONTAINER(self->sizer), widget);
    gtk_widget_show(widget);
    g_signal_emit(self, signals[SIGNAL_DISPLAY], 0, widget);
    update_layout(self);
}

static void on_channel_new(SpiceSession *session, SpiceChannel *channel, BhDisplayScreen *self)
{
    int id = -1;

    g_object_get(channel, "channel-id", &id, NULL);
    if (!SPICE_IS_DISPLAY_CHANNEL(channel) || id != 0 || self->channel)
        return;
    self->channel = channel;
    g_signal_connect(channel, "display-primary-create", G_CALLBACK(on_primary), self);
    g_signal_connect(channel, "notify::monitors", G_CALLBACK(on_monitors), self);
    make_display(self);
}

static void on_channel_destroy(SpiceSession *session, SpiceChannel *channel, BhDisplayScreen *self)
{
    if (channel == self->channel) {
        g_signal_handlers_disconnect_by_data(channel, self);
        remove_display(self);
    }
}

void bh_display_screen_set_session(BhDisplayScreen *self, SpiceSession *session)
{
    if (self->session == session)
        return;
    if (self->channel)
        g_signal_handlers_disconnect_by_data(self->channel, self);
    if (self->session)
        g_signal_handlers_disconnect_by_data(self->session, self);
    remove_display(self);
    g_set_object(&self->session, session);
    if (session) {
        g_signal_connect(session, "channel-new", G_CALLBACK(on_channel_new), self);
        g_signal_connect(session, "channel-destroy", G_CALLBACK(on_channel_destroy), self);
    }
}

/* As GtkBin in a window without a GdkWindow of its own: the child gets all the room. */
static void bh_display_screen_size_allocate(GtkWidget *widget, GtkAllocation *allocation)
{
    GtkWidget *child = gtk_bin_get_child(GTK_BIN(widget));

    gtk_widget_set_allocation(widget, allocation);
    if (child && gtk_widget_get_visible(child))
        gtk_widget_size_allocate(child, allocation);
}

static void bh_display_screen_destroy(GtkWidget *widget)
{
    bh_display_screen_set_session(BH_DISPLAY_SCREEN(widget), NULL);
    GTK_WIDGET_CLASS(bh_display_screen_parent_class)->destroy(widget);
}

static void bh_display_screen_class_init(BhDisplayScreenClass *class)
{
    GTK_WIDGET_CLASS(class)->destroy = bh_display_screen_destroy;
    GTK_WIDGET_CLASS(class)->size_allocate = bh_display_screen_size_allocate;
    signals[SIGNAL_CHANGED] = g_signal_new("changed", BH_TYPE_DISPLAY_SCREEN, G_SIGNAL_RUN_LAST, 0,
                                           NULL, NULL, NULL, G_TYPE_NONE, 0);
    signals[SIGNAL_DISPLAY] = g_signal_new("display", BH_TYPE_DISPLAY_SCREEN, G_SIGNAL_RUN_LAST, 0,
                                           NULL, NULL, NULL, G_TYPE_NONE, 1, SPICE_TYPE_DISPLAY);
}

static void bh_display_screen_init(BhDisplayScreen *self)
{
    self->fit = TRUE;
    self->zoom = 100;
    self->scroller = gtk_scrolled_window_new(NULL, NULL);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->scroller), "bh-screen");
    self->sizer = g_object_new(BH_TYPE_SIZER, NULL);
    gtk_container_add(GTK_CONTAINER(self->scroller), GTK_WIDGET(self->sizer));
    gtk_container_add(GTK_CONTAINER(self), self->scroller);
    gtk_widget_show_all(self->scroller);
    g_signal_connect(self, "notify::scale-factor", G_CALLBACK(update_layout), NULL);
}

BhDisplayScreen *bh_display_screen_new(void)
{
    return g_object_new(BH_TYPE_DISPLAY_SCREEN, NULL);
}

SpiceDisplay *bh_display_screen_get_display(BhDisplayScreen *self)
{
    return self->display;
}

gboolean bh_display_screen_is_ready(BhDisplayScreen *self)
{
    gboolean ready = FALSE;

    if (self->display)
        g_object_get(self->display, "ready", &ready, NULL);
    return ready;
}

gboolean bh_display_screen_get_size(BhDisplayScreen *self, int *width, int *height)
{
    *width = self->width;
    *height = self->height;
    return self->width > 0 && self->height > 0;
}

GdkPixbuf *bh_display_screen_get_pixbuf(BhDisplayScreen *self)
{
    return bh_display_screen_is_ready(self) ? spice_display_get_pixbuf(self->display) : NULL;
}

void bh_display_screen_set_fit(BhDisplayScreen *self, gboolean fit)
{
    self->fit = fit;
    update_layout(self);
}

void bh_display_screen_set_resize_guest(BhDisplayScreen *self, gboolean resize_guest)
{
    self->resize_guest = resize_guest;
    update_layout(self);
}

void bh_display_screen_set_zoom(BhDisplayScreen *self, int percent)
{
    self->zoom = CLAMP(percent, BH_ZOOM_MIN, BH_ZOOM_MAX);
    update_layout(self);
}

int bh_display_screen_get_zoom(BhDisplayScreen *self)
{
    GtkAllocation room;
    double scale = gtk_widget_get_scale_factor(GTK_WIDGET(self));

    if (!self->fit || self->resize_guest || !self->width || !self->height)
        return self->zoom;
    gtk_widget_get_allocation(GTK_WIDGET(self), &room);
    return CLAMP(round(100 * scale *
                       MIN((double)room.width / self->width, (double)room.height / self->height)),
                 BH_ZOOM_MIN, BH_ZOOM_MAX);
}
