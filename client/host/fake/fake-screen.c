/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A guest's screen that is recognised at a glance: the colour comes from the machine's name, a
 * panel at the bottom and two windows make it look like a desktop, one of them moves.
 */
#include "fake-private.h"

#include <string.h>

enum { WIDTH = 640, HEIGHT = 400, PANEL = 24 };

typedef struct {
    guint8 r, g, b;
} Colour;

static void fill(guint8 *pixels, int x, int y, int w, int h, Colour colour)
{
    for (int row = MAX(y, 0); row < MIN(y + h, HEIGHT); row++) {
        guint8 *p = pixels + (row * WIDTH + MAX(x, 0)) * 3;

        for (int column = MAX(x, 0); column < MIN(x + w, WIDTH); column++) {
            *p++ = colour.r;
            *p++ = colour.g;
            *p++ = colour.b;
        }
    }
}

static void window(guint8 *pixels, int x, int y, int w, int h, Colour title)
{
    fill(pixels, x - 1, y - 1, w + 2, h + 2, (Colour){40, 40, 40});
    fill(pixels, x, y, w, h, (Colour){245, 245, 242});
    fill(pixels, x, y, w, 18, title);
    for (int line = 0; line < (h - 40) / 14; line++)
        fill(pixels, x + 10, y + 28 + line * 14, w - 40 - (line * 37) % 60, 6,
             (Colour){180, 180, 176});
}

GBytes *bh_fake_screen_draw(const char *name, gint64 now_us)
{
    guint hash = g_str_hash(name);
    Colour base = {40 + hash % 100, 40 + (hash >> 8) % 100, 60 + (hash >> 16) % 120};
    Colour title = {(base.r + 255) / 2, (base.g + 255) / 2, (base.b + 255) / 2};
    g_autofree char *head = g_strdup_printf("P6\n%d %d\n255\n", WIDTH, HEIGHT);
    gsize head_length = strlen(head);
    gsize size = head_length + WIDTH * HEIGHT * 3;
    guint8 *data = g_malloc(size);
    guint8 *pixels = data + head_length;
    int moved = (int)(now_us / 20000 % 400);

    memcpy(data, head, head_length);
    fill(pixels, 0, 0, WIDTH, HEIGHT, base);
    window(pixels, 60, 40, 300, 200, title);
    window(pixels, 80 + (moved < 200 ? moved : 400 - moved), 140, 260, 170, title);
    fill(pixels, 0, HEIGHT - PANEL, WIDTH, PANEL, (Colour){30, 30, 34});
    fill(pixels, 6, HEIGHT - PANEL + 5, 50, PANEL - 10, title);
    return g_bytes_new_take(data, size);
}
