/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The question bar. It never takes the focus: a person may be typing into the guest. The newest
 * question replaces the one shown; it goes away by itself when the device does, or when the device
 * went to a machine by another way.
 */
#include "usb-ask.h"

#include "util.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#define BH_TYPE_USB_ASK (bh_usb_ask_get_type())
G_DECLARE_FINAL_TYPE(BhUsbAsk, bh_usb_ask, BH, USB_ASK, GtkRevealer)

struct _BhUsbAsk {
    GtkRevealer parent_instance;
    BhUsbArbiter *arbiter;
    BhMachine *machine;
    BhUsbDevice *device; /* the one in question, or NULL */
    gboolean consent;    /* the question is about that: giving it means agreeing */
    GtkWidget *bar, *label, *always, *give;
};

G_DEFINE_TYPE(BhUsbAsk, bh_usb_ask, GTK_TYPE_REVEALER)

static void hide(BhUsbAsk *self)
{
    g_clear_object(&self->device);
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), FALSE);
    gtk_widget_hide(GTK_WIDGET(self));
}

static void show(BhUsbAsk *self, BhUsbDevice *device, const char *text, GtkMessageType type,
                 gboolean can_give, gboolean can_always)
{
    g_set_object(&self->device, device);
    gtk_label_set_text(GTK_LABEL(self->label), text);
    gtk_info_bar_set_message_type(GTK_INFO_BAR(self->bar), type);
    gtk_button_set_label(GTK_BUTTON(self->give), self->consent ? _("Hand _Over") : _("_Give It"));
    gtk_widget_set_visible(self->give, can_give);
    gtk_widget_set_visible(self->always, can_always);
    gtk_widget_show(GTK_WIDGET(self));
    gtk_revealer_set_reveal_child(GTK_REVEALER(self), TRUE);
}

static void show_error(BhUsbAsk *self, BhUsbDevice *device, const GError *error)
{
    const char *name = bh_usb_device_get_name(device);
    g_autofree char *why = NULL;
    g_autofree char *text = NULL;
    if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED))
        return;
    self->consent = g_error_matches(error, BH_ERROR, BH_ERROR_NEEDS_CONFIRM);
    why = self->consent ? g_strdup(error->message) : bh_error_to_text(error);
    text = self->consent && bh_usb_device_can_unmount(device)
               ? g_strdup_printf(_("%s: %s It is unmounted first."), name, why)
               : g_strdup_printf(_("%s: %s"), name, why);
    show(self, device, text, self->consent ? GTK_MESSAGE_QUESTION : GTK_MESSAGE_WARNING,
         self->consent, FALSE);
}

static void on_ask(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device, BhUsbAsk *self)
{
    if (machine != self->machine)
        return;
    g_autofree char *text = g_strdup_printf(_("%s was plugged in. Give it to this machine?"),
                                            bh_usb_device_get_name(device));
    self->consent = FALSE;
    show(self, device, text, GTK_MESSAGE_QUESTION, TRUE, TRUE);
}

static void on_failed(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device, GError *error,
                      BhUsbAsk *self)
{
    if (machine == self->machine)
        show_error(self, device, error);
}

static void on_changed(BhUsbAsk *self)
{
    if (!self->device)
        return;
    BhUsbMonitor *monitor = bh_usb_arbiter_get_monitor(self->arbiter);
    if (bh_usb_monitor_find(monitor, bh_usb_device_get_id(self->device)) != self->device ||
        bh_usb_arbiter_get_owner(self->arbiter, self->device))
        hide(self);
}

typedef struct {
    BhUsbAsk *self;
    BhUsbDevice *device;
} Wish;

static void on_attached(GObject *source, GAsyncResult *result, gpointer data)
{
    Wish *wish = data;
    g_autoptr(GError) error = NULL;
    if (!bh_usb_arbiter_attach_finish(BH_USB_ARBITER(source), result, &error) &&
        wish->self->arbiter) /* the window is still there */
        show_error(wish->self, wish->device, error);
    g_object_unref(wish->self);
    g_object_unref(wish->device);
    g_free(wish);
}

static void on_give(BhUsbAsk *self)
{
    gboolean consent = self->consent;
    Wish *wish = g_new(Wish, 1);
    *wish = (Wish){g_object_ref(self), g_object_ref(self->device)};
    hide(self);
    bh_usb_arbiter_attach_async(self->arbiter, self->machine, wish->device, consent, NULL,
                                on_attached, wish);
}

/* The arbiter follows the rule at once. */
static void on_always(BhUsbAsk *self)
{
    g_autoptr(BhUsbDevice) device = g_object_ref(self->device);
    g_autoptr(GError) error = NULL;
    hide(self);
    if (!bh_usb_rules_set(bh_usb_arbiter_get_rules(self->arbiter), bh_machine_get_id(self->machine),
                          bh_usb_device_get_id(device), bh_usb_device_get_name(device),
                          BH_USB_RULE_ALWAYS, &error))
        show_error(self, device, error);
}

static GtkWidget *add_button(BhUsbAsk *self, const char *label, GCallback clicked)
{
    GtkWidget *button = gtk_button_new_with_mnemonic(label);
    gtk_container_add(GTK_CONTAINER(gtk_info_bar_get_action_area(GTK_INFO_BAR(self->bar))), button);
    g_signal_connect_swapped(button, "clicked", clicked, self);
    return button;
}

static void bh_usb_ask_dispose(GObject *object)
{
    BhUsbAsk *self = BH_USB_ASK(object);
    if (self->arbiter)
        g_signal_handlers_disconnect_by_data(self->arbiter, self);
    g_clear_object(&self->arbiter);
    g_clear_object(&self->machine);
    g_clear_object(&self->device);
    G_OBJECT_CLASS(bh_usb_ask_parent_class)->dispose(object);
}

static void bh_usb_ask_class_init(BhUsbAskClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_usb_ask_dispose;
}

static void bh_usb_ask_init(BhUsbAsk *self)
{
    GtkWidget *content;
    self->bar = gtk_info_bar_new();
    self->label = gtk_label_new(NULL);
    gtk_label_set_line_wrap(GTK_LABEL(self->label), TRUE);
    gtk_label_set_xalign(GTK_LABEL(self->label), 0);
    content = gtk_info_bar_get_content_area(GTK_INFO_BAR(self->bar));
    gtk_container_add(GTK_CONTAINER(content), self->label);
    add_button(self, _("_Not Now"), G_CALLBACK(hide));
    self->always = add_button(self, _("_Always"), G_CALLBACK(on_always));
    self->give = add_button(self, _("_Give It"), G_CALLBACK(on_give));
    gtk_button_set_use_underline(GTK_BUTTON(self->give), TRUE);
    gtk_widget_set_tooltip_text(self->always,
                                _("Give it to this machine now, and whenever it is plugged in"));
    gtk_container_add(GTK_CONTAINER(self), self->bar);
    gtk_widget_show_all(self->bar);
    gtk_widget_set_valign(GTK_WIDGET(self), GTK_ALIGN_START);
    gtk_widget_set_no_show_all(GTK_WIDGET(self), TRUE);
}

GtkWidget *bh_usb_ask_new(BhUsbArbiter *arbiter, BhMachine *machine)
{
    BhUsbAsk *self = g_object_new(BH_TYPE_USB_ASK, NULL);
    self->arbiter = g_object_ref(arbiter);
    self->machine = g_object_ref(machine);
    g_signal_connect(arbiter, "ask", G_CALLBACK(on_ask), self);
    g_signal_connect(arbiter, "failed", G_CALLBACK(on_failed), self);
    g_signal_connect_swapped(arbiter, "changed", G_CALLBACK(on_changed), self);
    return GTK_WIDGET(self);
}
