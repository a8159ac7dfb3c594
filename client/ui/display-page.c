/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The texts and buttons for a machine without a picture.
 *
 * choose_view() maps state to words and is the whole policy; the rest only puts them on the screen.
 */
#include "display-page.h"
#include "util.h"

#include <glib/gi18n.h>

#include <bulkhead/error.h>

#define LOG_LINES 20
/* A first failure is usually the machine going down or coming up: no alarm yet. */
#define QUIET_FAILURES 1

struct _BhDisplayPage {
    GtkBox parent_instance;
    BhMachine *machine;
    BhState last_state;
    GtkWidget *spinner, *icon, *title, *text, *hint, *button, *second, *log, *log_label;
    gboolean was_on; /* it ran while we watched */
};

typedef struct {
    gboolean busy; /* spinner instead of an icon */
    const char *icon;
    const char *title; /* static or translated */
    char *text;        /* owned; or NULL */
    const char *hint;
    const char *label, *action; /* main button, or NULL */
    const char *second_label, *second_action;
    gboolean log;
} View;

G_DEFINE_TYPE(BhDisplayPage, bh_display_page, GTK_TYPE_BOX)

static void view_link(View *view, BhMachine *machine, BhDisplayLink *link)
{
    const GError *error = bh_display_link_get_error(link);

    view->icon = "video-display-symbolic";
    if (bh_machine_get_display_kind(machine) != BH_DISPLAY_SPICE) {
        view->title = _("This machine shows no screen");
        view->text = g_strdup(_("It runs, but it has no SPICE display to connect to."));
    } else if (error && bh_display_link_get_failures(link) > QUIET_FAILURES) {
        view->busy = TRUE;
        view->title = _("Waiting for the Display");
        view->text = g_strdup(error->message);
        view->hint = bh_error_get_hint(error);
        view->label = _("Try _Now");
        view->action = "win.retry";
    } else if (bh_display_link_get_state(link) == BH_LINK_OPEN) {
        view->busy = TRUE;
        view->title = _("Waiting for the First Picture");
    } else {
        view->busy = TRUE;
        view->title = _("Connecting to the Display");
    }
}

static void view_off(View *view, BhMachine *machine, gboolean was_on)
{
    view->icon = "system-shutdown-symbolic";
    view->title = _("The Machine Is Off");
    view->text = g_strdup(bh_machine_get_state_detail(machine));
    if (!view->text && was_on)
        view->text = g_strdup(_("The guest has switched itself off."));
    view->label = _("_Start");
    view->action = "machine.start";
}

static void choose_view(View *view, BhDisplayPage *self, BhDisplayLink *link)
{
    BhMachine *machine = self->machine;

    switch (bh_machine_get_state(machine)) {
    case BH_STATE_OFF:
        view_off(view, machine, self->was_on);
        break;
    case BH_STATE_SAVED:
        view->icon = "document-save-symbolic";
        view->title = _("The Machine Is Saved");
        view->text = g_strdup(_("It continues where it was when you resume it."));
        view->label = _("_Resume");
        view->action = "machine.start";
        break;
    case BH_STATE_CRASHED:
        view->icon = "dialog-warning-symbolic";
        view->title = _("The Machine Has Stopped Unexpectedly");
        view->text = g_strdup(bh_machine_get_state_detail(machine));
        view->label = _("_Restart");
        view->action = "machine.start";
        view->log = TRUE;
        break;
    case BH_STATE_GONE:
        view->icon = "edit-delete-symbolic";
        view->title = _("The Machine Does Not Exist Any More");
        view->label = _("_Close");
        view->action = "win.close";
        break;
    case BH_STATE_STARTING:
        view->busy = TRUE;
        view->title = _("The Machine Is Starting");
        view->second_label = _("_Force Off");
        view->second_action = "machine.force-off";
        break;
    case BH_STATE_SAVING:
        view->busy = TRUE;
        view->title = _("The Machine Is Being Saved");
        break;
    default:
        view_link(view, machine, link);
    }
}

static void show_label(GtkWidget *label, const char *text)
{
    gtk_label_set_text(GTK_LABEL(label), text ? text : "");
    gtk_widget_set_visible(label, text && *text);
}

static void show_button(GtkWidget *button, const char *label, const char *action)
{
    gtk_widget_set_visible(button, label != NULL);
    if (!label)
        return;
    gtk_button_set_label(GTK_BUTTON(button), label);
    gtk_actionable_set_action_name(GTK_ACTIONABLE(button), action);
}

static void on_log(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *log = bh_machine_read_log_finish(BH_MACHINE(source), result, &error);
    g_autoptr(BhDisplayPage) self = BH_DISPLAY_PAGE(data);

    if (!self->log || bh_machine_get_state(self->machine) != BH_STATE_CRASHED)
        return;
    gtk_label_set_text(GTK_LABEL(self->log_label), log ? g_strchomp(log) : "");
    gtk_widget_set_visible(self->log, log && *log);
}

void bh_display_page_update(BhDisplayPage *self, BhDisplayLink *link)
{
    BhState state = bh_machine_get_state(self->machine);
    View view = {FALSE};

    choose_view(&view, self, link);
    gtk_widget_set_visible(self->spinner, view.busy);
    g_object_set(self->spinner, "active", view.busy, NULL);
    gtk_widget_set_visible(self->icon, !view.busy);
    gtk_image_set_from_icon_name(GTK_IMAGE(self->icon), view.icon, GTK_ICON_SIZE_DIALOG);
    show_label(self->title, view.title);
    show_label(self->text, view.text);
    show_label(self->hint, view.hint);
    show_button(self->button, view.label, view.action);
    show_button(self->second, view.second_label, view.second_action);
    if (!view.log)
        gtk_widget_hide(self->log);
    else if (state != self->last_state)
        bh_machine_read_log_async(self->machine, LOG_LINES, NULL, on_log, g_object_ref(self));
    g_free(view.text);
    if (bh_machine_is_active(self->machine))
        self->was_on = TRUE;
    self->last_state = state;
}

GtkWidget *bh_display_page_get_button(BhDisplayPage *self)
{
    return gtk_widget_get_visible(self->button) ? self->button : NULL;
}

static GtkWidget *add_label(BhDisplayPage *self, const char *css_class)
{
    GtkWidget *label = gtk_label_new(NULL);

    gtk_label_set_line_wrap(GTK_LABEL(label), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(label), PANGO_WRAP_WORD_CHAR);
    gtk_label_set_max_width_chars(GTK_LABEL(label), 60);
    gtk_label_set_justify(GTK_LABEL(label), GTK_JUSTIFY_CENTER);
    gtk_widget_set_no_show_all(label, TRUE);
    if (css_class)
        bh_toggle_class(label, css_class, TRUE);
    gtk_container_add(GTK_CONTAINER(self), label);
    return label;
}

static GtkWidget *make_button(GtkWidget *box, const char *css_class)
{
    GtkWidget *button = gtk_button_new_with_mnemonic("");

    if (css_class)
        bh_toggle_class(button, css_class, TRUE);
    gtk_widget_set_no_show_all(button, TRUE);
    gtk_container_add(GTK_CONTAINER(box), button);
    return button;
}

static void make_log(BhDisplayPage *self)
{
    GtkWidget *scroller = gtk_scrolled_window_new(NULL, NULL);

    self->log = gtk_expander_new_with_mnemonic(_("Last Lines of Its _Log"));
    self->log_label = gtk_label_new(NULL);
    gtk_label_set_selectable(GTK_LABEL(self->log_label), TRUE);
    gtk_label_set_xalign(GTK_LABEL(self->log_label), 0);
    gtk_label_set_line_wrap(GTK_LABEL(self->log_label), TRUE);
    gtk_label_set_line_wrap_mode(GTK_LABEL(self->log_label), PANGO_WRAP_CHAR);
    bh_toggle_class(self->log_label, "monospace", TRUE);
    bh_set_accessible_name(self->log_label, _("Last lines of the machine's log"));
    gtk_scrolled_window_set_min_content_height(GTK_SCROLLED_WINDOW(scroller), 160);
    gtk_container_add(GTK_CONTAINER(scroller), self->log_label);
    gtk_container_add(GTK_CONTAINER(self->log), scroller);
    gtk_widget_show_all(scroller);
    gtk_widget_set_no_show_all(self->log, TRUE);
    gtk_container_add(GTK_CONTAINER(self), self->log);
}

static void bh_display_page_destroy(GtkWidget *widget)
{
    BhDisplayPage *self = BH_DISPLAY_PAGE(widget);

    self->log = NULL;
    g_clear_object(&self->machine);
    GTK_WIDGET_CLASS(bh_display_page_parent_class)->destroy(widget);
}

static void bh_display_page_class_init(BhDisplayPageClass *class)
{
    GTK_WIDGET_CLASS(class)->destroy = bh_display_page_destroy;
}

static void bh_display_page_init(BhDisplayPage *self)
{
    GtkWidget *buttons = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 12);

    gtk_orientable_set_orientation(GTK_ORIENTABLE(self), GTK_ORIENTATION_VERTICAL);
    gtk_box_set_spacing(GTK_BOX(self), 12);
    g_object_set(self, "halign", GTK_ALIGN_CENTER, "valign", GTK_ALIGN_CENTER, "margin", 24, NULL);
    self->spinner = gtk_spinner_new();
    gtk_widget_set_size_request(self->spinner, 48, 48);
    gtk_widget_set_no_show_all(self->spinner, TRUE);
    gtk_container_add(GTK_CONTAINER(self), self->spinner);
    self->icon = gtk_image_new();
    gtk_image_set_pixel_size(GTK_IMAGE(self->icon), 96);
    bh_toggle_class(self->icon, "dim-label", TRUE);
    gtk_widget_set_no_show_all(self->icon, TRUE);
    gtk_container_add(GTK_CONTAINER(self), self->icon);
    self->title = add_label(self, "bh-page-title");
    self->text = add_label(self, NULL);
    gtk_label_set_selectable(GTK_LABEL(self->text), TRUE);
    gtk_widget_set_can_focus(self->text, FALSE);
    self->hint = add_label(self, "dim-label");
    gtk_widget_set_halign(buttons, GTK_ALIGN_CENTER);
    gtk_container_add(GTK_CONTAINER(self), buttons);
    self->button = make_button(buttons, "suggested-action");
    self->second = make_button(buttons, NULL);
    gtk_widget_show(buttons);
    make_log(self);
}

BhDisplayPage *bh_display_page_new(BhMachine *machine)
{
    BhDisplayPage *self = g_object_new(BH_TYPE_DISPLAY_PAGE, NULL);

    self->machine = g_object_ref(machine);
    self->last_state = BH_STATE_GONE + 1;
    return self;
}
