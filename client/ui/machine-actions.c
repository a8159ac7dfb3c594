/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * One action group per machine and window. The actions are the only way the UI acts on a machine,
 * so that confirmation, error reporting and the enabled state are the same everywhere.
 */
#include "machine-actions.h"

#include <glib/gi18n.h>

#include "application.h"
#include "error-bar.h"
#include "log-dialog.h"
#include "settings-window.h"
#include "undo-bar.h"

typedef struct {
    GSimpleActionGroup *group; /* not owned: the group owns this */
    BhMachine *machine;
    GtkWindow *window; /* weak */
} Actions;

static void set_enabled(Actions *self, const char *name, gboolean enabled)
{
    GAction *action = g_action_map_lookup_action(G_ACTION_MAP(self->group), name);

    g_simple_action_set_enabled(G_SIMPLE_ACTION(action), enabled);
}

static void update(Actions *self)
{
    BhState state = bh_machine_get_state(self->machine);
    gboolean gone = state == BH_STATE_GONE;

    for (int verb = 0; verb < BH_N_VERBS; verb++)
        set_enabled(self, bh_verb_get_name(verb), bh_machine_can(self->machine, verb, NULL));
    set_enabled(self, "open", !gone);
    set_enabled(self, "settings", !gone);
    set_enabled(self, "usb", !gone);
    set_enabled(self, "log", !gone);
    set_enabled(self, "delete",
                state == BH_STATE_OFF || state == BH_STATE_SAVED || state == BH_STATE_CRASHED);
}

static void on_state(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    update(data);
}

static void actions_free(gpointer data)
{
    Actions *self = data;

    g_signal_handlers_disconnect_by_data(self->machine, self);
    g_clear_weak_pointer(&self->window);
    g_object_unref(self->machine);
    g_free(self);
}

/* --- verbs --- */

typedef struct {
    BhVerb verb;
    BhJob *job;
    BhSession *session; /* NULL when the machine's host is not one of the app's */
    GtkWindow *window;  /* weak */
} Act;

static const char *progress_title(BhVerb verb)
{
    switch (verb) {
    case BH_VERB_START:
        return _("Starting “%s”");
    case BH_VERB_SAVE:
        return _("Saving “%s”");
    case BH_VERB_SHUTDOWN:
        return _("Shutting down “%s”");
    default:
        return _("Working on “%s”");
    }
}

static const char *failure_title(BhVerb verb)
{
    switch (verb) {
    case BH_VERB_START:
        return _("“%s” could not be started");
    case BH_VERB_SHUTDOWN:
        return _("“%s” could not be shut down");
    case BH_VERB_REBOOT:
    case BH_VERB_RESET:
        return _("“%s” could not be restarted");
    case BH_VERB_FORCE_OFF:
        return _("“%s” could not be turned off");
    case BH_VERB_PAUSE:
        return _("“%s” could not be paused");
    case BH_VERB_RESUME:
        return _("“%s” could not be resumed");
    case BH_VERB_SAVE:
        return _("“%s” could not be saved");
    case BH_VERB_DISCARD_SAVE:
    case BH_N_VERBS:
        break;
    }
    return _("The saved state of “%s” could not be discarded");
}

/* The formats are translated texts with one %s each; the compiler cannot see that. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
static char *with_name(const char *format, BhMachine *machine)
{
    return g_strdup_printf(format, bh_machine_get_name(machine));
}
#pragma GCC diagnostic pop

static void act_free(Act *act)
{
    g_clear_object(&act->job);
    g_clear_object(&act->session);
    g_clear_weak_pointer(&act->window);
    g_free(act);
}

static void on_acted(GObject *source, GAsyncResult *result, gpointer data)
{
    BhMachine *machine = BH_MACHINE(source);
    Act *act = data;
    g_autoptr(GError) error = NULL;

    if (!bh_machine_act_finish(machine, result, &error) && act->window) {
        g_autofree char *title = with_name(failure_title(act->verb), machine);
        bh_error_show(GTK_WIDGET(act->window), error, title);
    }
    if (act->session)
        bh_session_finish_job(act->session, act->job, error);
    act_free(act);
}

static void act_now(BhMachine *machine, BhVerb verb, GtkWindow *window)
{
    g_autofree char *title = with_name(progress_title(verb), machine);
    BhSession *session = bh_session_find(machine);
    Act *act = g_new0(Act, 1);

    act->verb = verb;
    act->job = bh_job_new(title, bh_machine_get_id(machine));
    act->session = session ? g_object_ref(session) : NULL;
    g_set_weak_pointer(&act->window, window);
    if (session)
        bh_session_add_job(session, act->job);
    bh_machine_act_async(machine, verb, act->job, on_acted, act);
}

static const char *question(BhVerb verb)
{
    switch (verb) {
    case BH_VERB_RESET:
        return _("Reset “%s”?");
    case BH_VERB_FORCE_OFF:
        return _("Force “%s” off?");
    default:
        return _("Discard the saved state of “%s”?");
    }
}

static const char *consequence(BhVerb verb)
{
    switch (verb) {
    case BH_VERB_RESET:
        return _("It restarts at once, as with the reset button of a computer. "
                 "Work that is not saved in the guest is lost.");
    case BH_VERB_FORCE_OFF:
        return _("It loses its power at once. Work that is not saved in the guest is lost. "
                 "“Shut Down” asks the guest to end properly.");
    default:
        return _("The machine then starts anew from its disk. "
                 "What was open when it was saved is lost.");
    }
}

static void on_confirmed(GtkDialog *dialog, int response, gpointer data)
{
    BhMachine *machine = g_object_get_data(G_OBJECT(dialog), "machine");
    GtkWindow *window = gtk_window_get_transient_for(GTK_WINDOW(dialog));

    if (response == GTK_RESPONSE_ACCEPT)
        act_now(machine, GPOINTER_TO_INT(data), window);
    gtk_widget_destroy(GTK_WIDGET(dialog));
}

static GtkWidget *make_question(BhMachine *machine, GtkWindow *window, const char *text,
                                const char *consequences, const char *label)
{
    GtkWidget *dialog =
        gtk_message_dialog_new(window, GTK_DIALOG_MODAL | GTK_DIALOG_DESTROY_WITH_PARENT,
                               GTK_MESSAGE_QUESTION, GTK_BUTTONS_NONE, "%s", text);
    GtkWidget *button;

    gtk_message_dialog_format_secondary_text(GTK_MESSAGE_DIALOG(dialog), "%s", consequences);
    gtk_dialog_add_button(GTK_DIALOG(dialog), _("_Cancel"), GTK_RESPONSE_CANCEL);
    button = gtk_dialog_add_button(GTK_DIALOG(dialog), label, GTK_RESPONSE_ACCEPT);
    gtk_style_context_add_class(gtk_widget_get_style_context(button), "destructive-action");
    gtk_dialog_set_default_response(GTK_DIALOG(dialog), GTK_RESPONSE_CANCEL);
    gtk_window_set_title(GTK_WINDOW(dialog), text);
    g_object_set_data_full(G_OBJECT(dialog), "machine", g_object_ref(machine), g_object_unref);
    return dialog;
}

static void confirm(BhMachine *machine, BhVerb verb, GtkWindow *window)
{
    g_autofree char *text = with_name(question(verb), machine);
    GtkWidget *dialog =
        make_question(machine, window, text, consequence(verb), bh_verb_get_label(verb));

    g_signal_connect(dialog, "response", G_CALLBACK(on_confirmed), GINT_TO_POINTER(verb));
    gtk_window_present(GTK_WINDOW(dialog));
}

void bh_machine_act(BhMachine *machine, BhVerb verb, GtkWindow *window)
{
    if (bh_verb_is_destructive(verb))
        confirm(machine, verb, window);
    else
        act_now(machine, verb, window);
}

static void on_verb(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;

    for (int verb = 0; verb < BH_N_VERBS; verb++)
        if (g_str_equal(bh_verb_get_name(verb), g_action_get_name(G_ACTION(action))))
            bh_machine_act(self->machine, verb, self->window);
}

/* --- the rest --- */

static void on_open(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;

    bh_application_open_machine(self->machine, self->window);
}

static void on_settings(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;

    bh_application_show_settings(self->machine, self->window);
}

static void on_usb(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;

    bh_application_show_usb(self->machine, self->window);
}

static void on_log(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;

    gtk_window_present(GTK_WINDOW(bh_log_dialog_new(self->window, self->machine)));
}

static void on_deleted(GObject *source, GAsyncResult *result, gpointer data)
{
    g_autoptr(GtkWindow) window = data;
    g_autoptr(GError) error = NULL;
    g_autoptr(BhDeleted) deleted = bh_machine_delete_finish(BH_MACHINE(source), result, &error);

    if (!deleted) {
        g_autofree char *title = with_name(_("“%s” could not be deleted"), BH_MACHINE(source));
        bh_undo_bar_forget(bh_machine_get_id(BH_MACHINE(source)));
        bh_error_show(GTK_WIDGET(window), error, title);
    }
}

static void delete_now(BhMachine *machine, GtkWindow *window)
{
    bh_undo_bar_expect(bh_machine_get_id(machine));
    bh_machine_delete_async(machine, NULL, on_deleted, g_object_ref(window));
}

static void on_delete_confirmed(GtkDialog *dialog, int response, gpointer data)
{
    GtkWindow *window = gtk_window_get_transient_for(GTK_WINDOW(dialog));

    if (response == GTK_RESPONSE_ACCEPT && window)
        delete_now(data, window);
    gtk_widget_destroy(GTK_WIDGET(dialog));
}

/* Where deletion can be undone there is nothing to ask. */
static void on_delete(GSimpleAction *action, GVariant *parameter, gpointer data)
{
    Actions *self = data;
    BhSession *session = bh_session_find(self->machine);
    g_autofree char *text = NULL;
    GtkWidget *dialog;

    if (!self->window || !session)
        return;
    if (bh_host_get_features(bh_session_get_host(session)) & BH_FEATURE_UNDELETE) {
        delete_now(self->machine, self->window);
        return;
    }
    text = with_name(_("Delete “%s” for good?"), self->machine);
    dialog = make_question(self->machine, self->window, text, _("This host cannot bring it back."),
                           _("_Delete"));
    g_signal_connect_object(dialog, "response", G_CALLBACK(on_delete_confirmed), self->machine, 0);
    gtk_window_present(GTK_WINDOW(dialog));
}

GActionGroup *bh_machine_actions_new(BhMachine *machine, GtkWindow *window)
{
    static const GActionEntry entries[] = {
        {.name = "open", .activate = on_open},     {.name = "settings", .activate = on_settings},
        {.name = "usb", .activate = on_usb},       {.name = "log", .activate = on_log},
        {.name = "delete", .activate = on_delete},
    };
    Actions *self = g_new0(Actions, 1);

    self->group = g_simple_action_group_new();
    self->machine = g_object_ref(machine);
    g_set_weak_pointer(&self->window, window);
    for (int verb = 0; verb < BH_N_VERBS; verb++) {
        GActionEntry entry = {.name = bh_verb_get_name(verb), .activate = on_verb};
        g_action_map_add_action_entries(G_ACTION_MAP(self->group), &entry, 1, self);
    }
    g_action_map_add_action_entries(G_ACTION_MAP(self->group), entries, G_N_ELEMENTS(entries),
                                    self);
    update(self);
    g_signal_connect(machine, "notify::state", G_CALLBACK(on_state), self);
    g_object_set_data_full(G_OBJECT(self->group), "bh-actions", self, actions_free);
    return G_ACTION_GROUP(self->group);
}

static void append(GMenu *menu, const char *label, const char *action)
{
    g_autofree char *name = g_strdup_printf("machine.%s", action);
    g_autoptr(GMenuItem) item = g_menu_item_new(label, name);

    g_menu_item_set_attribute(item, "hidden-when", "s", "action-disabled");
    g_menu_append_item(menu, item);
}

static void append_verbs(GMenu *menu, const BhVerb *list, gsize n)
{
    g_autoptr(GMenu) section = g_menu_new();

    for (gsize i = 0; i < n; i++)
        append(section, bh_verb_get_label(list[i]), bh_verb_get_name(list[i]));
    g_menu_append_section(menu, NULL, G_MENU_MODEL(section));
}

GMenuModel *bh_machine_menu_new(gboolean for_tile)
{
    static const BhVerb on[] = {BH_VERB_START, BH_VERB_RESUME, BH_VERB_PAUSE, BH_VERB_SAVE,
                                BH_VERB_DISCARD_SAVE};
    static const BhVerb off[] = {BH_VERB_SHUTDOWN, BH_VERB_REBOOT};
    static const BhVerb hard[] = {BH_VERB_RESET, BH_VERB_FORCE_OFF};
    GMenu *menu = g_menu_new();
    g_autoptr(GMenu) tools = g_menu_new();
    g_autoptr(GMenu) first = g_menu_new();
    g_autoptr(GMenu) last = g_menu_new();

    if (for_tile) {
        append(first, _("_Open"), "open");
        g_menu_append_section(menu, NULL, G_MENU_MODEL(first));
    }
    append_verbs(menu, on, G_N_ELEMENTS(on));
    append_verbs(menu, off, G_N_ELEMENTS(off));
    append_verbs(menu, hard, G_N_ELEMENTS(hard));
    append(tools, _("_USB Devices"), "usb");
    append(tools, _("S_ettings"), "settings");
    append(tools, _("_Log"), "log");
    g_menu_append_section(menu, NULL, G_MENU_MODEL(tools));
    if (for_tile) {
        append(last, _("_Delete"), "delete");
        g_menu_append_section(menu, NULL, G_MENU_MODEL(last));
    }
    return G_MENU_MODEL(menu);
}
