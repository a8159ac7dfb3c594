/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The USB panel on a real display (Xvfb), with devices of umockdev and machines of the fake host.
 * Widgets are found by their accessible names, as a person with a screen reader finds them.
 */
#include "../../host/tests/usb_bed.h"
#include "../../host/tests/usb_redirector.h"
#include "../usb-ask.h"
#include "../usb-panel.h"

#include <bulkhead/fake.h>
#include <string.h>

#define STICK "Test Stick"

typedef struct {
    Bed bed;
    BhHost *host;
    BhMachine *a, *b;
    BhUsbMonitor *monitor;
    BhUsbRules *rules;
    BhUsbArbiter *arbiter;
    char *folder, *path;
    GtkWidget *window, *panel;
} Desk;

static void setup(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    GError *error = NULL;
    bed_setup(&desk->bed, NULL);
    desk->host = bh_host_new(data ? data : "fake:///?machines=2&running=2&delay=40", &error);
    g_assert_no_error(error);
    bh_host_open_async(desk->host, NULL, await_callback, &result);
    g_assert_true(bh_host_open_finish(desk->host, await_result(&result), &error));
    g_object_unref(result);
    desk->a = g_list_model_get_item(bh_host_get_machines(desk->host), 0);
    desk->b = g_list_model_get_item(bh_host_get_machines(desk->host), 1);
    bh_machine_set_display_kind(desk->a, BH_DISPLAY_SPICE);
    desk->folder = g_dir_make_tmp("bh-rules-XXXXXX", NULL);
    g_autofree char *path = g_build_filename(desk->folder, "usb-rules", NULL);
    desk->monitor = bed_monitor(&desk->bed);
    desk->rules = bh_usb_rules_new(path);
    desk->arbiter = bh_usb_arbiter_new(desk->host, desk->monitor, desk->rules);
    desk->window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    desk->panel = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    gtk_container_add(GTK_CONTAINER(desk->panel), bh_usb_ask_new(desk->arbiter, desk->a));
    gtk_box_pack_end(GTK_BOX(desk->panel), bh_usb_panel_new(desk->arbiter, desk->a), TRUE, TRUE, 0);
    gtk_window_set_default_size(GTK_WINDOW(desk->window), 480, 360);
    gtk_container_add(GTK_CONTAINER(desk->window), desk->panel);
    gtk_widget_show_all(desk->window);
    gtk_window_present(GTK_WINDOW(desk->window));
}

static void teardown(Desk *desk, gconstpointer data)
{
    gtk_widget_destroy(desk->window);
    /* Moves under way keep it for a while. */
    BhUsbArbiter *arbiter = desk->arbiter;
    g_object_add_weak_pointer(G_OBJECT(arbiter), (gpointer *)&desk->arbiter);
    g_object_unref(arbiter);
    AWAIT(desk->arbiter == NULL);
    g_object_unref(desk->rules);
    g_assert_finalize_object(desk->monitor);
    bh_host_close(desk->host);
    g_object_unref(desk->a);
    g_object_unref(desk->b);
    g_object_unref(desk->host);
    bed_delete_tree(desk->folder);
    g_free(desk->folder);
    g_free(desk->path);
    bed_teardown(&desk->bed, NULL);
}

/* ---- finding ---- */

typedef struct {
    GType type;
    const char *name;
    GtkWidget *found;
    guint count, nameless;
} Search;

static const char *name_of(GtkWidget *widget)
{
    const char *name = atk_object_get_name(gtk_widget_get_accessible(widget));
    return name ? name : "";
}

static void search(GtkWidget *widget, gpointer data)
{
    Search *s = data;
    if (!gtk_widget_get_visible(widget) || !gtk_widget_get_child_visible(widget))
        return;
    if (g_type_is_a(G_OBJECT_TYPE(widget), s->type) && strstr(name_of(widget), s->name)) {
        s->found = s->found ? s->found : widget;
        s->count++;
    }
    if (gtk_widget_get_can_focus(widget) && !GTK_IS_LABEL(widget) && !*name_of(widget) &&
        (GTK_IS_BUTTON(widget) || GTK_IS_SWITCH(widget) || GTK_IS_LIST_BOX_ROW(widget) ||
         GTK_IS_ENTRY(widget)))
        s->nameless++;
    if (GTK_IS_CONTAINER(widget))
        gtk_container_forall(GTK_CONTAINER(widget), search, s);
}

static Search look(Desk *desk, GType type, const char *name)
{
    Search s = {.type = type, .name = name};
    search(desk->window, &s);
    g_assert_cmpuint(s.nameless, ==, 0);
    return s;
}

static GtkWidget *find(Desk *desk, GType type, const char *name)
{
    return look(desk, type, name).found;
}

static GtkWidget *toggle(Desk *desk)
{
    return find(desk, GTK_TYPE_SWITCH, STICK);
}

static gboolean is_on(Desk *desk)
{
    return gtk_switch_get_active(GTK_SWITCH(toggle(desk))) &&
           gtk_switch_get_state(GTK_SWITCH(toggle(desk)));
}

static gboolean is_off(Desk *desk)
{
    return !gtk_switch_get_active(GTK_SWITCH(toggle(desk))) &&
           !gtk_switch_get_state(GTK_SWITCH(toggle(desk)));
}

static void click(Desk *desk, const char *name)
{
    GtkWidget *button = find(desk, GTK_TYPE_BUTTON, name);
    g_assert_nonnull(button);
    g_assert_true(gtk_widget_get_sensitive(button));
    gtk_button_clicked(GTK_BUTTON(button));
}

static gboolean shows(Desk *desk, const char *text)
{
    return find(desk, GTK_TYPE_LABEL, text) != NULL;
}

static void plug(Desk *desk)
{
    g_free(desk->path);
    desk->path = bed_plug(&desk->bed, "1-3", 3, "0951:1666", STICK, "A1");
    AWAIT(toggle(desk) != NULL && gtk_widget_get_mapped(toggle(desk)));
    gtk_test_widget_wait_for_draw(desk->window);
}

static BhMachine *owner(Desk *desk)
{
    BhUsbDevice *device = bed_find(desk->monitor, "0951:1666:A1");
    return device ? bh_usb_arbiter_get_owner(desk->arbiter, device) : NULL;
}

/* A picture of the window, for people: BH_SHOTS names a folder. */
static void shot(Desk *desk, const char *name)
{
    const char *folder = g_getenv("BH_SHOTS");
    int width, height;
    if (!folder)
        return;
    await_ms(400);
    gtk_window_get_size(GTK_WINDOW(desk->window), &width, &height);
    g_autoptr(GdkPixbuf) pixbuf =
        gdk_pixbuf_get_from_window(gtk_widget_get_window(desk->window), 0, 0, width, height);
    g_autofree char *path = g_strdup_printf("%s/%s.png", folder, name);
    gdk_pixbuf_save(pixbuf, path, "png", NULL, NULL);
}

/* ---- tests ---- */

static void test_live(Desk *desk, gconstpointer data)
{
    AWAIT(shows(desk, "No USB devices"));
    shot(desk, "empty");
    plug(desk);
    g_assert_false(shows(desk, "No USB devices"));
    g_assert_nonnull(find(desk, GTK_TYPE_LIST_BOX_ROW, STICK));
    g_autofree char *second = bed_plug(&desk->bed, "1-4", 4, "046d:c077", "Other Mouse", NULL);
    AWAIT(find(desk, GTK_TYPE_SWITCH, "Other Mouse") != NULL);
    g_free(bed_add_usb(&desk->bed, BED_PCI "/usb1/1-9", "05e3:0610", 9, "09", "Some Hub", NULL));
    umockdev_testbed_uevent(desk->bed.umockdev, "/sys" BED_PCI "/usb1/1-9", "bind");
    AWAIT(find(desk, GTK_TYPE_SWITCH, "Some Hub") != NULL);
    g_assert_false(gtk_widget_get_sensitive(find(desk, GTK_TYPE_SWITCH, "Some Hub")));
    g_assert_true(shows(desk, "A hub stays"));
    shot(desk, "list");
    bed_unplug(&desk->bed, second);
    AWAIT(find(desk, GTK_TYPE_SWITCH, "Other Mouse") == NULL);
    g_assert_nonnull(toggle(desk));
}

static void test_switch(Desk *desk, gconstpointer data)
{
    plug(desk);
    g_assert_true(is_off(desk));
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
    g_assert_true(gtk_switch_get_active(GTK_SWITCH(toggle(desk))));
    g_assert_false(gtk_switch_get_state(GTK_SWITCH(toggle(desk)))); /* not there yet */
    AWAIT(owner(desk) == desk->a && is_on(desk));
    AWAIT(shows(desk, "In this machine, by Host pass-through"));
    shot(desk, "attached");
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), FALSE);
    AWAIT(owner(desk) == NULL && is_off(desk));
}

static void test_failure(Desk *desk, gconstpointer data)
{
    plug(desk);
    bh_fake_host_fail_next(BH_FAKE_HOST(desk->host), "usb-attach", BH_ERROR_PERMISSION,
                           "No right to do that");
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
    AWAIT(shows(desk, "No right to do that"));
    AWAIT(is_off(desk));
    shot(desk, "failed");
    click(desk, "Close");
    AWAIT(!shows(desk, "No right to do that"));
}

static void test_confirm(Desk *desk, gconstpointer data)
{
    plug(desk);
    bed_add_disk(&desk->bed, desk->path, "sdb", 16);
    bed_mount(&desk->bed, "8:17", "/dev/sdb1", "/media/stick");
    bh_usb_monitor_refresh(desk->monitor);
    AWAIT(shows(desk, "mounted at /media/stick"));
    g_assert_nonnull(find(desk, GTK_TYPE_BUTTON, "Unmount: "));
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Unmount and Hand Over") != NULL);
    AWAIT(is_off(desk));
    g_assert_true(gtk_window_get_focus(GTK_WINDOW(desk->window)) ==
                  find(desk, GTK_TYPE_BUTTON, "Unmount and Hand Over"));
    shot(desk, "confirm");
    click(desk, "Cancel");
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Unmount and Hand Over") == NULL);
    g_assert_null(owner(desk));
    /* Not storage: consent is enough. */
    bed_mount(&desk->bed, "8:33", "/dev/sdc1", "/media/other");
    bh_usb_monitor_refresh(desk->monitor);
    g_autofree char *mouse = g_strconcat(desk->path + 4, "/1:1.0/0003:046D:C077.0002", NULL);
    bed_add_input(&desk->bed, mouse, "input6", FALSE);
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Hand Over") != NULL);
    g_assert_true(shows(desk, "It is the only pointing device"));
    click(desk, "Hand Over");
    AWAIT(owner(desk) == desk->a && is_on(desk));
}

static void test_take(Desk *desk, gconstpointer data)
{
    GAsyncResult *result = NULL;
    plug(desk);
    bh_usb_arbiter_attach_async(desk->arbiter, desk->b, bed_find(desk->monitor, "0951:1666:A1"),
                                FALSE, NULL, await_callback, &result);
    g_assert_true(bh_usb_arbiter_attach_finish(desk->arbiter, await_result(&result), NULL));
    g_object_unref(result);
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Take It: ") != NULL);
    g_assert_false(gtk_widget_get_sensitive(toggle(desk)));
    g_assert_true(shows(desk, bh_machine_get_name(desk->b)));
    click(desk, "Take It: ");
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Cancel") != NULL);
    shot(desk, "take");
    g_assert_true(shows(desk, "as if it were unplugged"));
    g_assert_null(find(desk, GTK_TYPE_BUTTON, "Take It: "));
    GtkWidget *confirm = gtk_window_get_focus(GTK_WINDOW(desk->window));
    g_assert_cmpstr(name_of(confirm), ==, "Take It");
    gtk_button_clicked(GTK_BUTTON(confirm));
    AWAIT(owner(desk) == desk->a && is_on(desk));
}

static void test_rule(Desk *desk, gconstpointer data)
{
    plug(desk);
    GtkWidget *row = find(desk, GTK_TYPE_LIST_BOX_ROW, STICK);
    GActionGroup *group = gtk_widget_get_action_group(row, "device");
    g_assert_nonnull(find(desk, GTK_TYPE_MENU_BUTTON, "Rule for"));
    g_action_group_change_action_state(group, "rule", g_variant_new_string("never"));
    g_assert_cmpint(bh_usb_rules_get(desk->rules, bh_machine_get_id(desk->a), "0951:1666:A1"), ==,
                    BH_USB_RULE_NEVER);
    AWAIT(!gtk_widget_get_sensitive(toggle(desk)));
    g_assert_true(shows(desk, "You chose never"));
    shot(desk, "never");
    g_action_group_change_action_state(group, "rule", g_variant_new_string("always"));
    AWAIT(owner(desk) == desk->a && is_on(desk));
}

/* Straight to GTK: without a window manager no window is active, and X sends no keys to it. */
static void send(Desk *desk, GdkEventType type, guint key)
{
    GdkDisplay *display = gtk_widget_get_display(desk->window);
    GdkEvent *event = gdk_event_new(type);
    g_autofree GdkKeymapKey *keys = NULL;
    int n = 0;
    gdk_keymap_get_entries_for_keyval(gdk_keymap_get_for_display(display), key, &keys, &n);
    event->key.window = g_object_ref(gtk_widget_get_window(desk->window));
    event->key.keyval = key;
    event->key.hardware_keycode = n ? keys[0].keycode : 0;
    gdk_event_set_device(event, gdk_seat_get_keyboard(gdk_display_get_default_seat(display)));
    gtk_main_do_event(event);
    gdk_event_free(event);
}

static void press(Desk *desk, guint key)
{
    send(desk, GDK_KEY_PRESS, key);
    send(desk, GDK_KEY_RELEASE, key);
    await_ms(30);
}

/* Everything by keyboard: Tab reaches the row, its rule and its switch; Space switches. */
static void test_keyboard(Desk *desk, gconstpointer data)
{
    gboolean row = FALSE, rule = FALSE, on_switch = FALSE;
    plug(desk);
    /* The question bar unfolds first: what is not laid out yet cannot take the focus. */
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Not Now") != NULL &&
          gtk_revealer_get_child_revealed(GTK_REVEALER(find(desk, GTK_TYPE_REVEALER, ""))));
    gtk_test_widget_wait_for_draw(desk->window);
    gtk_window_set_focus(GTK_WINDOW(desk->window), NULL);
    for (guint i = 0; i < 12; i++) {
        gtk_widget_child_focus(desk->window, GTK_DIR_TAB_FORWARD);
        GtkWidget *focus = gtk_window_get_focus(GTK_WINDOW(desk->window));
        g_test_message("Tab: %s", focus ? name_of(focus) : "nothing");
        g_assert_true(!focus || *name_of(focus) || GTK_IS_LIST_BOX(focus));
        row = row || GTK_IS_LIST_BOX_ROW(focus);
        rule = rule || GTK_IS_MENU_BUTTON(focus);
        on_switch = on_switch || GTK_IS_SWITCH(focus);
    }
    g_assert_true(row && rule && on_switch);
    gtk_widget_grab_focus(toggle(desk));
    press(desk, GDK_KEY_space);
    AWAIT(owner(desk) == desk->a && is_on(desk));
    gtk_widget_grab_focus(find(desk, GTK_TYPE_LIST_BOX_ROW, STICK));
    press(desk, GDK_KEY_Return); /* on the row itself */
    AWAIT(owner(desk) == NULL && is_off(desk));
    bh_fake_host_fail_next(BH_FAKE_HOST(desk->host), "usb-attach", BH_ERROR_PERMISSION, "No way");
    press(desk, GDK_KEY_Return);
    AWAIT(shows(desk, "No way"));
    press(desk, GDK_KEY_Escape);
    AWAIT(!shows(desk, "No way"));
}

/* Unplugged while its row is at work: no crash, the row goes. */
static void test_vanish(Desk *desk, gconstpointer data)
{
    for (guint i = 0; i < 5; i++) {
        plug(desk);
        gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
        await_ms(i * 12);
        bed_unplug(&desk->bed, desk->path);
        AWAIT(toggle(desk) == NULL);
    }
    AWAIT(shows(desk, "No USB devices"));
    /* The panel goes while a device is on its way. */
    plug(desk);
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
}

static void test_ask(Desk *desk, gconstpointer data)
{
    plug(desk);
    AWAIT(shows(desk, "was plugged in. Give it to this machine?"));
    g_assert_false(GTK_IS_BUTTON(gtk_window_get_focus(GTK_WINDOW(desk->window))));
    shot(desk, "ask");
    click(desk, "Not Now");
    AWAIT(!shows(desk, "was plugged in"));
    g_assert_null(owner(desk));
    bed_unplug(&desk->bed, desk->path);
    AWAIT(toggle(desk) == NULL);
    plug(desk);
    AWAIT(shows(desk, "was plugged in"));
    bed_unplug(&desk->bed, desk->path); /* the question goes with the device */
    AWAIT(!shows(desk, "was plugged in"));
    plug(desk);
    AWAIT(shows(desk, "was plugged in"));
    click(desk, "Give It");
    AWAIT(owner(desk) == desk->a);
    AWAIT(!shows(desk, "was plugged in") && is_on(desk));
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), FALSE);
    AWAIT(owner(desk) == NULL && is_off(desk));
    bed_unplug(&desk->bed, desk->path);
    AWAIT(toggle(desk) == NULL);
    plug(desk);
    AWAIT(shows(desk, "was plugged in"));
    click(desk, "Always");
    AWAIT(owner(desk) == desk->a);
    g_assert_cmpint(bh_usb_rules_get(desk->rules, bh_machine_get_id(desk->a), "0951:1666:A1"), ==,
                    BH_USB_RULE_ALWAYS);
}

#define REMOTE "fake:///?machines=2&running=2&delay=40&features=no-usb-passthrough"

static void test_redirection(Desk *desk, gconstpointer data)
{
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    plug(desk);
    AWAIT(shows(desk, "which is not open"));
    g_assert_false(gtk_widget_get_sensitive(toggle(desk)));
    r->why_not = g_strdup("All channels are in use.");
    r->fix = BH_USB_FIX_ADD_CHANNELS;
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    AWAIT(shows(desk, "All channels"));
    click(desk, "Add Channels: ");
    AWAIT(shows(desk, "when the machine is started the next time"));
    g_assert_cmpuint(bh_machine_get_spec(desk->a)->usb_channels, ==, 8);
    shot(desk, "channels");
    click(desk, "Close");
    g_clear_pointer(&r->why_not, g_free);
    r->fix = BH_USB_FIX_NONE;
    bh_usb_redirector_changed(BH_USB_REDIRECTOR(r));
    AWAIT(gtk_widget_get_sensitive(toggle(desk)));
    gtk_switch_set_active(GTK_SWITCH(toggle(desk)), TRUE);
    AWAIT(is_on(desk) && shows(desk, "SPICE redirection"));
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
}

static void test_cd(Desk *desk, gconstpointer data)
{
    g_autoptr(BedRedirector) r = g_object_new(BED_TYPE_REDIRECTOR, NULL);
    g_assert_null(find(desk, GTK_TYPE_BUTTON, "Share an ISO"));
    bh_usb_arbiter_add_redirector(desk->arbiter, desk->a, BH_USB_REDIRECTOR(r));
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Share an ISO") != NULL);
    g_ptr_array_add(r->cds, g_strdup("/tmp/debian 12.iso"));
    bh_usb_redirector_changed(BH_USB_REDIRECTOR(r));
    AWAIT(find(desk, GTK_TYPE_LIST_BOX_ROW, "debian 12.iso") != NULL);
    shot(desk, "cd");
    click(desk, "Stop sharing debian 12.iso");
    AWAIT(find(desk, GTK_TYPE_LIST_BOX_ROW, "debian 12.iso") == NULL);
    g_assert_cmpuint(r->cds->len, ==, 0);
    bh_usb_arbiter_remove_redirector(desk->arbiter, desk->a);
    AWAIT(find(desk, GTK_TYPE_BUTTON, "Share an ISO") == NULL);
}

#define ADD(name, uri, function) g_test_add(name, Desk, uri, setup, function, teardown)

int main(int argc, char **argv)
{
    gtk_test_init(&argc, &argv, NULL);
    ADD("/usb/panel/live", NULL, test_live);
    ADD("/usb/panel/switch", NULL, test_switch);
    ADD("/usb/panel/failure", NULL, test_failure);
    ADD("/usb/panel/confirm", NULL, test_confirm);
    ADD("/usb/panel/take", NULL, test_take);
    ADD("/usb/panel/rule", NULL, test_rule);
    ADD("/usb/panel/keyboard", NULL, test_keyboard);
    ADD("/usb/panel/vanish", NULL, test_vanish);
    ADD("/usb/panel/ask", NULL, test_ask);
    ADD("/usb/panel/redirection", REMOTE, test_redirection);
    ADD("/usb/panel/cd", REMOTE, test_cd);
    return g_test_run();
}
