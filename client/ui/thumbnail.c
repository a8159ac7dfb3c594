/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Drawing of one thumbnail. The picture itself hangs on the machine (see thumbnailer.c), so tiles
 * can be reused for other machines without fetching anything.
 */
#include "thumbnail-private.h"

#include <math.h>

#include "util.h"

struct _BhThumbnail {
    GtkDrawingArea parent_instance;
    BhMachine *machine;
};

G_DEFINE_TYPE(BhThumbnail, bh_thumbnail, GTK_TYPE_DRAWING_AREA)

#define RADIUS 7.0

static void rounded(cairo_t *cr, double w, double h)
{
    double r = RADIUS;

    cairo_new_sub_path(cr);
    cairo_arc(cr, w - r, r, r, -G_PI_2, 0);
    cairo_arc(cr, w - r, h - r, r, 0, G_PI_2);
    cairo_arc(cr, r, h - r, r, G_PI_2, G_PI);
    cairo_arc(cr, r, r, r, G_PI, 3 * G_PI_2);
    cairo_close_path(cr);
}

static void draw_background(cairo_t *cr, double w, double h, gboolean crashed)
{
    cairo_pattern_t *gradient = cairo_pattern_create_linear(0, 0, w * 0.4, h);

    if (crashed) {
        cairo_pattern_add_color_stop_rgb(gradient, 0, 0.36, 0.20, 0.21);
        cairo_pattern_add_color_stop_rgb(gradient, 1, 0.22, 0.11, 0.13);
    } else {
        cairo_pattern_add_color_stop_rgb(gradient, 0, 0.27, 0.31, 0.37);
        cairo_pattern_add_color_stop_rgb(gradient, 1, 0.13, 0.15, 0.19);
    }
    cairo_set_source(cr, gradient);
    cairo_paint(cr);
    cairo_pattern_destroy(gradient);
}

/* The whole screen is shown, centred: a cropped one would hide the panel of most desktops. */
static void draw_picture(cairo_t *cr, cairo_surface_t *picture, double w, double h, gboolean dim)
{
    double pw = cairo_image_surface_get_width(picture);
    double ph = cairo_image_surface_get_height(picture);
    double scale = MIN(w / pw, h / ph);

    cairo_save(cr);
    cairo_set_source_rgb(cr, 0.07, 0.08, 0.09);
    cairo_paint(cr);
    cairo_translate(cr, round((w - pw * scale) / 2), round((h - ph * scale) / 2));
    cairo_scale(cr, scale, scale);
    cairo_set_source_surface(cr, picture, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cr), CAIRO_FILTER_GOOD);
    cairo_paint(cr);
    cairo_restore(cr);
    if (dim) {
        cairo_set_source_rgba(cr, 0.05, 0.06, 0.08, 0.62);
        cairo_paint(cr);
    }
}

/* A glyph drawn by hand: loading the icon theme's SVG renderer would cost more memory than all
 * tiles together. Each is made in a box of 32 x 32 around the origin. */
static void draw_glyph(cairo_t *cr, BhState state)
{
    cairo_set_line_width(cr, 2.6);
    cairo_set_line_cap(cr, CAIRO_LINE_CAP_ROUND);
    cairo_set_line_join(cr, CAIRO_LINE_JOIN_ROUND);
    switch (state) {
    case BH_STATE_PAUSED:
        cairo_rectangle(cr, -9, -11, 6, 22);
        cairo_rectangle(cr, 3, -11, 6, 22);
        cairo_fill(cr);
        break;
    case BH_STATE_CRASHED:
        cairo_move_to(cr, 0, -13);
        cairo_line_to(cr, 14, 11);
        cairo_line_to(cr, -14, 11);
        cairo_close_path(cr);
        cairo_move_to(cr, 0, -4);
        cairo_line_to(cr, 0, 3);
        cairo_stroke(cr);
        cairo_arc(cr, 0, 7, 1.6, 0, 2 * G_PI);
        cairo_fill(cr);
        break;
    case BH_STATE_SAVED:
    case BH_STATE_SAVING: /* a crescent: it sleeps */
        cairo_arc(cr, 0, 0, 12, -0.35 * G_PI, 1.15 * G_PI);
        cairo_arc_negative(cr, -1.5, -5, 9.5, 0.95 * G_PI, -0.10 * G_PI);
        cairo_close_path(cr);
        cairo_stroke(cr);
        break;
    default: /* a screen on its foot */
        cairo_rectangle(cr, -15, -12, 30, 19);
        cairo_move_to(cr, 0, 7);
        cairo_line_to(cr, 0, 12);
        cairo_move_to(cr, -7, 12.5);
        cairo_line_to(cr, 7, 12.5);
        cairo_stroke(cr);
        break;
    }
}

static gboolean bh_thumbnail_draw(GtkWidget *widget, cairo_t *cr)
{
    BhThumbnail *self = BH_THUMBNAIL(widget);
    double w = gtk_widget_get_allocated_width(widget);
    double h = gtk_widget_get_allocated_height(widget);
    BhState state = self->machine ? bh_machine_get_state(self->machine) : BH_STATE_OFF;
    cairo_surface_t *picture = self->machine ? bh_machine_get_picture(self->machine) : NULL;
    gboolean live = state == BH_STATE_RUNNING || state == BH_STATE_STOPPING;

    cairo_save(cr);
    rounded(cr, w, h);
    cairo_clip(cr);
    if (picture && state != BH_STATE_OFF && state != BH_STATE_CRASHED && state != BH_STATE_GONE)
        draw_picture(cr, picture, w, h, !live);
    else
        draw_background(cr, w, h, state == BH_STATE_CRASHED);
    if (!picture || !live) {
        /* That of a crash leaves room for the tile's buttons below it. */
        cairo_translate(cr, w / 2, state == BH_STATE_CRASHED ? h * 0.3 : h / 2);
        cairo_set_source_rgba(cr, 1, 1, 1, live ? 0.55 : 0.42);
        if (state == BH_STATE_CRASHED)
            cairo_set_source_rgb(cr, 1.0, 0.62, 0.58);
        draw_glyph(cr, state);
    }
    cairo_restore(cr);
    rounded(cr, w, h);
    cairo_set_line_width(cr, 1);
    cairo_set_source_rgba(cr, 0, 0, 0, 0.28);
    cairo_stroke(cr);
    return GDK_EVENT_PROPAGATE;
}

static GtkSizeRequestMode bh_thumbnail_get_request_mode(GtkWidget *widget)
{
    return GTK_SIZE_REQUEST_HEIGHT_FOR_WIDTH;
}

static void bh_thumbnail_get_preferred_height_for_width(GtkWidget *widget, int width, int *minimum,
                                                        int *natural)
{
    *minimum = *natural = width * 10 / 16;
}

static void bh_thumbnail_dispose(GObject *object)
{
    g_clear_object(&BH_THUMBNAIL(object)->machine);
    G_OBJECT_CLASS(bh_thumbnail_parent_class)->dispose(object);
}

static void bh_thumbnail_class_init(BhThumbnailClass *klass)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);

    G_OBJECT_CLASS(klass)->dispose = bh_thumbnail_dispose;
    widget_class->draw = bh_thumbnail_draw;
    widget_class->get_request_mode = bh_thumbnail_get_request_mode;
    widget_class->get_preferred_height_for_width = bh_thumbnail_get_preferred_height_for_width;
}

static void bh_thumbnail_init(BhThumbnail *self)
{
    gtk_widget_set_size_request(GTK_WIDGET(self), 96, -1);
}

void bh_thumbnail_set_machine(BhThumbnail *self, BhMachine *machine)
{
    g_set_object(&self->machine, machine);
    gtk_widget_queue_draw(GTK_WIDGET(self));
}
