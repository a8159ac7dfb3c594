/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the machine's window share. Private to display-*.c. */
#pragma once

#include <bulkhead/usb.h>
#include <gtk/gtk.h>

#include "display-bar.h"
#include "display-files.h"
#include "display-keys.h"
#include "display-link.h"
#include "display-page.h"
#include "display-screen.h"
#include "display-sound.h"
#include "display-usb.h"
#include "error-bar.h"

G_BEGIN_DECLS

#define BH_TYPE_DISPLAY_WINDOW (bh_display_window_get_type())
G_DECLARE_FINAL_TYPE(BhDisplayWindow, bh_display_window, BH, DISPLAY_WINDOW, GtkApplicationWindow)

struct _BhDisplayWindow {
    GtkApplicationWindow parent_instance;
    BhMachine *machine;
    BhUsbArbiter *arbiter; /* or NULL */
    GSettings *settings;   /* of this machine's window; NULL when nothing can be remembered */

    BhDisplayLink *link;
    BhDisplayUsb *usb; /* the redirector of the present session, or NULL */
    BhDisplaySound *sound;
    BhDisplayFiles *files;

    GtkWidget *overlay; /* the stack, and the bars over it */
    GtkWidget *stack;   /* "screen" or "page" */
    BhDisplayScreen *screen;
    BhDisplayPage *page;
    BhErrorBar *errors;
    BhDisplayBar *bar;
    GtkWidget *notice; /* "paused", ...: a label over the picture */
    GMenu *menu, *view_menu;
    gboolean menu_agent; /* view_menu is written for a guest with an agent */

    /* display-fullscreen.c */
    GtkWidget *revealer;
    BhDisplayBar *floating_bar;
    guint hide_source;
    gboolean is_fullscreen;

    BhKeyChord chord;
    gboolean captured;      /* keys go to the guest */
    gboolean wants_capture; /* ... and shall again when its picture comes back */
    gboolean seen_picture;  /* of the present session */
    gboolean sized;         /* the window has taken the first picture's size */
    gboolean closing;
};

/* display-window.c */
void bh_display_window_update(
    BhDisplayWindow *self); /* everything that depends on link and state */
SpiceInputsChannel *bh_display_window_get_inputs(BhDisplayWindow *self); /* borrowed, or NULL */
BhDisplayBar *bh_display_window_get_bar(BhDisplayWindow *self); /* the one that is seen now */
void bh_display_window_capture(BhDisplayWindow *self, gboolean capture);

/* display-actions.c: "win.*", and the menu made of them. */
void bh_display_actions_add(BhDisplayWindow *self);
void bh_display_actions_update(BhDisplayWindow *self);
GMenu *bh_display_actions_menu(BhDisplayWindow *self);
void bh_display_actions_session(BhDisplayWindow *self, SpiceSession *session);

/* display-fullscreen.c */
void bh_display_fullscreen_init(BhDisplayWindow *self, GtkOverlay *overlay);
void bh_display_fullscreen_state(BhDisplayWindow *self, gboolean is_fullscreen);
void bh_display_fullscreen_show_bar(BhDisplayWindow *self);
void bh_display_fullscreen_watch(BhDisplayWindow *self, GtkWidget *display);
void bh_display_fullscreen_dispose(BhDisplayWindow *self);

/* display-screenshot.c */
void bh_display_screenshot_save(BhDisplayWindow *self);
void bh_display_screenshot_copy(BhDisplayWindow *self);

G_END_DECLS
