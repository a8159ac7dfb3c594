/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One row of the USB panel.
 *
 * The switch shows where the device is going while it is on its way, and where it is otherwise: it
 * never stays on for a device that did not arrive. Errors and questions appear inside the row, so
 * that no dialog hides what they are about; Escape closes them.
 */
#include "usb-row.h"

#include "util.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

struct _BhUsbRow {
    GtkListBoxRow parent_instance;
    BhUsbArbiter *arbiter;
    BhMachine *machine;
    BhUsbDevice *device;
    GSimpleActionGroup *actions;
    BhUsbFix fix;
    guint working;     /* calls of this row under way */
    gboolean wanted;   /* what the switch shows meanwhile */
    gboolean updating; /* the switch is being set by us */
    gboolean asking;   /* the notice is a question: confirm_button gives consent */
    GtkWidget *icon, *name, *detail, *spinner, *fix_button, *rule_button, *rule_icon, *toggle;
    GtkWidget *notice, *notice_label, *command_label, *dismiss_button, *confirm_button;
};

G_DEFINE_TYPE(BhUsbRow, bh_usb_row, GTK_TYPE_LIST_BOX_ROW)

static void update(BhUsbRow *self);

/* ---- the notice below the row ---- */

static void hide_notice(BhUsbRow *self)
{
    GtkRevealer *notice = GTK_REVEALER(self->notice);
    GtkWidget *window = gtk_widget_get_toplevel(GTK_WIDGET(self));
    GtkWidget *focus = GTK_IS_WINDOW(window) ? gtk_window_get_focus(GTK_WINDOW(window)) : NULL;
    if (focus && gtk_widget_is_ancestor(focus, self->notice))
        gtk_widget_grab_focus(GTK_WIDGET(self));
    gtk_revealer_set_reveal_child(notice, FALSE);
    /* What cannot be seen must not be reached with Tab either. */
    gtk_widget_set_visible(self->notice, FALSE);
    self->asking = FALSE;
    bh_set_accessible_description(GTK_WIDGET(self), NULL);
}

/* confirm: the label of the button that agrees, or NULL; command: text to copy, or NULL. */
static void show_notice(BhUsbRow *self, const char *text, const char *command, const char *confirm,
                        gboolean bad)
{
    gtk_label_set_text(GTK_LABEL(self->notice_label), text);
    gtk_widget_set_tooltip_text(self->notice_label, NULL);
    bh_toggle_class(self->notice_label, "row-error", bad);
    gtk_label_set_text(GTK_LABEL(self->command_label), command ? command : "");
    gtk_widget_set_visible(self->command_label, command != NULL);
    gtk_button_set_label(GTK_BUTTON(self->confirm_button), confirm ? confirm : "");
    gtk_widget_set_visible(self->confirm_button, confirm != NULL);
    gtk_button_set_label(GTK_BUTTON(self->dismiss_button), confirm ? _("Cancel") : _("Close"));
    self->asking = FALSE;
    gtk_widget_set_visible(self->notice, TRUE);
    gtk_revealer_set_reveal_child(GTK_REVEALER(self->notice), TRUE);
    bh_set_accessible_description(GTK_WIDGET(self), text);
    if (confirm)
        gtk_widget_grab_focus(self->confirm_button);
}

static void show_error(BhUsbRow *self, const GError *error)
{
    g_autofree char *text = bh_error_to_text(error);
    show_notice(self, text, NULL, NULL, TRUE);
    gtk_widget_set_tooltip_text(self->notice_label, bh_error_get_detail(error));
}

static void ask_consent(BhUsbRow *self, const GError *error)
{
    BhMachine *owner = bh_usb_arbiter_get_owner(self->arbiter, self->device);
    gboolean take = owner && owner != self->machine;
    gboolean unmount = bh_usb_device_can_unmount(self->device);
    g_autofree char *text = NULL;
    if (take)
        text = g_strdup_printf(_("Take it from “%s”? There it disappears as if it were unplugged."),
                               bh_machine_get_name(owner));
    else if (unmount)
        text = g_strdup_printf(_("%s It is unmounted first, so that nothing is lost."),
                               error->message);
    else
        text = g_strdup(error->message);
    show_notice(self, text, NULL,
                take      ? _("Take It")
                : unmount ? _("Unmount and Hand Over")
                          : _("Hand Over"),
                FALSE);
    self->asking = TRUE;
}

/* ---- moving ---- */

static void begin(BhUsbRow *self, gboolean wanted)
{
    hide_notice(self);
    self->working++;
    self->wanted = wanted;
    update(self);
}

/* Every call holds a reference on the row, which may leave the list meanwhile. */
static void end(BhUsbRow *self, GError *error)
{
    gboolean quiet = !error || g_error_matches(error, G_IO_ERROR, G_IO_ERROR_CANCELLED);
    self->working--;
    if (gtk_widget_get_parent(GTK_WIDGET(self))) {
        if (g_error_matches(error, BH_ERROR, BH_ERROR_NEEDS_CONFIRM))
            ask_consent(self, error);
        else if (!quiet)
            show_error(self, error);
        update(self);
    }
    g_clear_error(&error);
    g_object_unref(self);
}

static void on_attached(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    bh_usb_arbiter_attach_finish(BH_USB_ARBITER(source), result, &error);
    end(data, error);
}

static void on_detached(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    bh_usb_arbiter_detach_finish(BH_USB_ARBITER(source), result, &error);
    end(data, error);
}

static void attach(BhUsbRow *self, gboolean consent)
{
    begin(self, TRUE);
    bh_usb_arbiter_attach_async(self->arbiter, self->machine, self->device, consent, NULL,
                                on_attached, g_object_ref(self));
}

static void detach(BhUsbRow *self)
{
    begin(self, FALSE);
    bh_usb_arbiter_detach_async(self->arbiter, self->device, NULL, on_detached, g_object_ref(self));
}

/* TRUE keeps the switch from changing its state by itself: update() does, when the device has
 * arrived. */
static gboolean on_state_set(GtkSwitch *toggle, gboolean wanted, BhUsbRow *self)
{
    if (!self->updating && wanted)
        attach(self, FALSE);
    else if (!self->updating)
        detach(self);
    return TRUE;
}

/* ---- repairing ---- */

static void on_unmounted(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    bh_usb_device_unmount_finish(BH_USB_DEVICE(source), result, &error);
    end(data, error);
}

static void on_channels_added(GObject *source, GAsyncResult *result, gpointer data)
{
    BhUsbRow *self = data;
    GError *error = NULL;
    BhSpecFields later = 0;
    if (bh_machine_apply_finish(BH_MACHINE(source), result, &later, &error) &&
        gtk_widget_get_parent(GTK_WIDGET(self)))
        show_notice(self,
                    later & BH_SPEC_USB_CHANNELS
                        ? _("There are more channels when the machine is started the next time.")
                        : _("There are more channels now."),
                    NULL, NULL, FALSE);
    end(self, error);
}

static void add_channels(BhUsbRow *self)
{
    const BhMachineSpec *spec = bh_machine_get_spec(self->machine);
    BhMachineSpec *wanted = bh_machine_spec_copy(spec);
    wanted->usb_channels = MIN(spec->usb_channels + 4, 8u);
    begin(self, FALSE);
    bh_machine_apply_async(self->machine, wanted, BH_SPEC_USB_CHANNELS, NULL, on_channels_added,
                           g_object_ref(self));
    bh_machine_spec_free(wanted);
}

static void on_started(GObject *source, GAsyncResult *result, gpointer data)
{
    GError *error = NULL;
    bh_machine_act_finish(BH_MACHINE(source), result, &error);
    end(data, error);
}

static gboolean can_open_display(void)
{
    GApplication *app = g_application_get_default();
    return app && g_action_group_has_action(G_ACTION_GROUP(app), "open-machine");
}

static void show_permission_help(BhUsbRow *self)
{
    BhUsbAddress a = bh_usb_device_get_address(self->device);
    g_autofree char *command = g_strdup_printf(
        "echo 'SUBSYSTEM==\"usb\", ATTR{idVendor}==\"%04x\", ATTR{idProduct}==\"%04x\", "
        "TAG+=\"uaccess\"' | sudo tee /etc/udev/rules.d/70-bulkhead-%04x-%04x.rules && "
        "sudo udevadm control --reload",
        a.vendor, a.product, a.vendor, a.product);
    show_notice(self,
                _("Your user may not open this device. This command, in a terminal, allows it to "
                  "whoever sits at this computer; then unplug the device and plug it in again:"),
                command, NULL, FALSE);
}

static void on_fix(BhUsbRow *self)
{
    switch (self->fix) {
    case BH_USB_FIX_OPEN_DISPLAY:
        if (can_open_display())
            g_action_group_activate_action(G_ACTION_GROUP(g_application_get_default()),
                                           "open-machine",
                                           g_variant_new_string(bh_machine_get_id(self->machine)));
        break;
    case BH_USB_FIX_START:
        begin(self, FALSE);
        bh_machine_act_async(self->machine, BH_VERB_START, NULL, on_started, g_object_ref(self));
        break;
    case BH_USB_FIX_ADD_CHANNELS:
        add_channels(self);
        break;
    case BH_USB_FIX_UNMOUNT:
        begin(self, FALSE);
        bh_usb_device_unmount_async(self->device, NULL, on_unmounted, g_object_ref(self));
        break;
    case BH_USB_FIX_TAKE:
        attach(self, FALSE); /* the arbiter asks for consent, naming the other machine */
        break;
    case BH_USB_FIX_PERMISSION:
        show_permission_help(self);
        break;
    default:
        break;
    }
}

static void on_dismiss(BhUsbRow *self)
{
    hide_notice(self);
    update(self);
}

static void on_confirm(BhUsbRow *self)
{
    if (self->asking)
        attach(self, TRUE);
}

static gboolean on_key_press(GtkWidget *widget, GdkEventKey *event)
{
    BhUsbRow *self = BH_USB_ROW(widget);
    if (event->keyval == GDK_KEY_Escape && gtk_widget_get_visible(self->notice)) {
        on_dismiss(self);
        return GDK_EVENT_STOP;
    }
    return GTK_WIDGET_CLASS(bh_usb_row_parent_class)->key_press_event(widget, event);
}

void bh_usb_row_activate(BhUsbRow *self)
{
    if (gtk_widget_get_sensitive(self->toggle))
        gtk_switch_set_active(GTK_SWITCH(self->toggle),
                              !gtk_switch_get_active(GTK_SWITCH(self->toggle)));
    else if (gtk_widget_get_visible(self->fix_button) && gtk_widget_get_sensitive(self->fix_button))
        on_fix(self);
}

/* ---- the rule ---- */

static void on_rule(GSimpleAction *action, GVariant *value, gpointer data)
{
    BhUsbRow *self = data;
    g_autoptr(GError) error = NULL;
    BhUsbRule rule;
    if (!bh_usb_rule_from_name(g_variant_get_string(value, NULL), &rule))
        return;
    if (bh_usb_rules_set(bh_usb_arbiter_get_rules(self->arbiter), bh_machine_get_id(self->machine),
                         bh_usb_device_get_id(self->device), bh_usb_device_get_name(self->device),
                         rule, &error))
        hide_notice(self);
    else
        show_error(self, error);
    update(self);
}

static void update_rule(BhUsbRow *self)
{
    static const char *const icons[] = {[BH_USB_RULE_ASK] = "view-more-symbolic",
                                        [BH_USB_RULE_NEVER] = "action-unavailable-symbolic",
                                        [BH_USB_RULE_ALWAYS] = "emblem-default-symbolic"};
    BhUsbRule rule =
        bh_usb_rules_get(bh_usb_arbiter_get_rules(self->arbiter), bh_machine_get_id(self->machine),
                         bh_usb_device_get_id(self->device));
    const char *tip = rule == BH_USB_RULE_ALWAYS  ? _("Always given to this machine")
                      : rule == BH_USB_RULE_NEVER ? _("Never given to this machine")
                                                  : _("When it is plugged in");
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(self->actions), "rule");
    g_simple_action_set_state(G_SIMPLE_ACTION(action),
                              g_variant_new_string(bh_usb_rule_get_name(rule)));
    gtk_image_set_from_icon_name(GTK_IMAGE(self->rule_icon), icons[rule], GTK_ICON_SIZE_MENU);
    gtk_widget_set_tooltip_text(self->rule_button, tip);
    bh_set_accessible_description(self->rule_button, tip);
}

/* ---- showing ---- */

static const char *fix_label(BhUsbFix fix)
{
    switch (fix) {
    case BH_USB_FIX_OPEN_DISPLAY:
        return can_open_display() ? _("Open Display") : NULL;
    case BH_USB_FIX_START:
        return _("Start");
    case BH_USB_FIX_ADD_CHANNELS:
        return _("Add Channels");
    case BH_USB_FIX_UNMOUNT:
        return _("Unmount");
    case BH_USB_FIX_TAKE:
        return _("Take It");
    case BH_USB_FIX_PERMISSION:
        return _("How to Fix");
    default:
        return NULL;
    }
}

static void update_fix(BhUsbRow *self, gboolean busy)
{
    const BhMachineSpec *spec = bh_machine_get_spec(self->machine);
    const char *label = fix_label(self->fix);
    if (self->fix == BH_USB_FIX_ADD_CHANNELS && (!spec || spec->usb_channels >= 8))
        label = NULL;
    /* The question below has a button that does the same. */
    gtk_widget_set_visible(self->fix_button, label != NULL && !busy && !self->asking);
    if (!label)
        return;
    /* Translators: what to do, then the device: "Unmount: Kingston DataTraveler". */
    g_autofree char *name =
        g_strdup_printf(_("%s: %s"), label, bh_usb_device_get_name(self->device));
    gtk_button_set_label(GTK_BUTTON(self->fix_button), label);
    bh_set_accessible_name(self->fix_button, name);
}

static char *detail_text(BhUsbRow *self, gboolean here, BhUsbRoute route, const char *reason)
{
    const char *label = bh_usb_route_get_label(route);
    const char *usage = bh_usb_device_get_usage(self->device);
    if (here)
        /* Translators: the route a device takes into the machine. */
        return g_strdup_printf(_("In this machine, by %s"), label);
    if (route == BH_USB_ROUTE_NONE)
        return g_strdup(reason ? reason : label);
    if (usage)
        /* Translators: what uses the device on this computer, then its route. */
        return g_strdup_printf(_("%s · %s"), usage, label);
    return g_strdup(label);
}

static void update_switch(BhUsbRow *self, gboolean here, gboolean possible, gboolean busy)
{
    gboolean shown = self->working ? self->wanted : here;
    self->updating = TRUE;
    gtk_switch_set_active(GTK_SWITCH(self->toggle), shown);
    gtk_switch_set_state(GTK_SWITCH(self->toggle), here);
    /* set_state also moves the slider: it goes back to what is wanted. */
    gtk_switch_set_active(GTK_SWITCH(self->toggle), shown);
    self->updating = FALSE;
    /* While it goes in it can be called back; while it comes out there is nothing to do. */
    gtk_widget_set_sensitive(self->toggle, busy ? self->working && self->wanted : here || possible);
}

static void update(BhUsbRow *self)
{
    g_autofree char *reason = NULL;
    BhUsbRoute route =
        bh_usb_arbiter_get_route(self->arbiter, self->machine, self->device, &reason, &self->fix);
    gboolean here = bh_usb_arbiter_get_owner(self->arbiter, self->device) == self->machine;
    gboolean busy = self->working || bh_usb_arbiter_is_busy(self->arbiter, self->device);
    const char *name = bh_usb_device_get_name(self->device);
    g_autofree char *detail =
        busy ? g_strdup(_("Moving…")) : detail_text(self, here, route, reason);
    g_autofree char *full = g_strdup_printf("%s, %s", name, detail);
    gtk_label_set_text(GTK_LABEL(self->detail), detail);
    gtk_widget_set_tooltip_text(self->toggle, here || route != BH_USB_ROUTE_NONE ? NULL : reason);
    bh_set_accessible_name(GTK_WIDGET(self), full);
    bh_set_accessible_description(self->toggle, detail);
    update_switch(self, here, route != BH_USB_ROUTE_NONE, busy);
    update_fix(self, busy);
    update_rule(self);
    gtk_widget_set_visible(self->spinner, busy);
    g_object_set(self->spinner, "active", busy, NULL);
    bh_toggle_class(self->name, "dim-label", !here && route == BH_USB_ROUTE_NONE);
}

static void bh_usb_row_dispose(GObject *object)
{
    BhUsbRow *self = BH_USB_ROW(object);
    if (self->arbiter)
        g_signal_handlers_disconnect_by_data(self->arbiter, self);
    if (self->device)
        g_signal_handlers_disconnect_by_data(self->device, self);
    if (self->machine)
        g_signal_handlers_disconnect_by_data(self->machine, self);
    g_clear_object(&self->arbiter);
    g_clear_object(&self->device);
    g_clear_object(&self->machine);
    g_clear_object(&self->actions);
    G_OBJECT_CLASS(bh_usb_row_parent_class)->dispose(object);
}

static void bh_usb_row_class_init(BhUsbRowClass *klass)
{
    GtkWidgetClass *widget_class = GTK_WIDGET_CLASS(klass);
    G_OBJECT_CLASS(klass)->dispose = bh_usb_row_dispose;
    widget_class->key_press_event = on_key_press;
    gtk_widget_class_set_template_from_resource(widget_class, "/org/bulkhead/Bulkhead/usb-row.ui");
#define CHILD(name) gtk_widget_class_bind_template_child(widget_class, BhUsbRow, name)
    CHILD(icon);
    CHILD(name);
    CHILD(detail);
    CHILD(spinner);
    CHILD(fix_button);
    CHILD(rule_button);
    CHILD(rule_icon);
    CHILD(toggle);
    CHILD(notice);
    CHILD(notice_label);
    CHILD(command_label);
    CHILD(dismiss_button);
    CHILD(confirm_button);
#undef CHILD
    gtk_widget_class_bind_template_callback(widget_class, on_fix);
    gtk_widget_class_bind_template_callback(widget_class, on_state_set);
    gtk_widget_class_bind_template_callback(widget_class, on_dismiss);
    gtk_widget_class_bind_template_callback(widget_class, on_confirm);
}

static void bh_usb_row_init(BhUsbRow *self)
{
    static const GActionEntry entries[] = {
        {.name = "rule", .parameter_type = "s", .state = "'ask'", .change_state = on_rule}};
    gtk_widget_init_template(GTK_WIDGET(self));
    self->actions = g_simple_action_group_new();
    g_action_map_add_action_entries(G_ACTION_MAP(self->actions), entries, G_N_ELEMENTS(entries),
                                    self);
    gtk_widget_insert_action_group(GTK_WIDGET(self), "device", G_ACTION_GROUP(self->actions));
    gtk_widget_set_no_show_all(self->notice, TRUE);
    gtk_widget_set_visible(self->notice, FALSE);
}

GtkWidget *bh_usb_row_new(BhUsbArbiter *arbiter, BhMachine *machine, BhUsbDevice *device)
{
    BhUsbRow *self = g_object_new(BH_TYPE_USB_ROW, NULL);
    const char *name = bh_usb_device_get_name(device);
    g_autofree char *rule_name = g_strdup_printf(_("Rule for %s"), name);
    self->arbiter = g_object_ref(arbiter);
    self->machine = g_object_ref(machine);
    self->device = g_object_ref(device);
    gtk_label_set_text(GTK_LABEL(self->name), name);
    gtk_widget_set_tooltip_text(self->name, bh_usb_device_get_id(device));
    gtk_image_set_from_icon_name(GTK_IMAGE(self->icon), bh_usb_device_get_icon_name(device),
                                 GTK_ICON_SIZE_DND);
    bh_set_accessible_name(self->toggle, name);
    bh_set_accessible_name(self->rule_button, rule_name);
    /* No rule makes sense for what never leaves. */
    gtk_widget_set_visible(self->rule_button, !bh_usb_device_is_hub(device));
    g_signal_connect_object(arbiter, "changed", G_CALLBACK(update), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(device, "changed", G_CALLBACK(update), self, G_CONNECT_SWAPPED);
    g_signal_connect_object(machine, "notify::state", G_CALLBACK(update), self, G_CONNECT_SWAPPED);
    update(self);
    return GTK_WIDGET(self);
}
