/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The settings of one machine. Every control has one field of the spec. A change is sent when the
 * user pauses; until the answer comes the control keeps what was typed, then it shows what the
 * machine has. So a refused change goes back by itself, with the reason below it.
 */
#include "settings-window.h"

#include <bulkhead/error.h>
#include <glib/gi18n.h>

#include "error-bar.h"
#include "prefs.h"
#include "settings-row.h"
#include "size-spin.h"
#include "util.h"

#define DEBOUNCE_MS 600
#define MAX_CHANNELS 8
#define N_FIELDS 12

typedef struct _Settings Settings;

typedef struct {
    Settings *settings;
    BhSpecFields field;
    BhSettingsRow *row;
    GtkWidget *control;
    guint debounce; /* a change is waiting to be sent */
    guint sent;     /* answers still to come */
} Field;

struct _Settings {
    GtkWidget *window, *bar, *box;
    BhMachine *machine;
    BhHost *host;
    Field fields[N_FIELDS];
    guint n_fields;
    gboolean filling, closed;
    GtkWidget *cd_label, *cd_eject;
    GtkFileChooserNative *chooser;
};

/* --- spec to controls --- */

static GtkTextBuffer *notes_buffer(GtkWidget *control)
{
    return gtk_text_view_get_buffer(GTK_TEXT_VIEW(gtk_bin_get_child(GTK_BIN(control))));
}

static void show_cdrom(Settings *self, const char *path)
{
    g_autofree char *base = path ? g_path_get_basename(path) : NULL;
    g_autofree char *shown = base ? g_filename_display_name(base) : NULL;

    gtk_label_set_text(GTK_LABEL(self->cd_label), shown ? shown : _("Empty"));
    gtk_widget_set_tooltip_text(self->cd_label, path);
    gtk_widget_set_sensitive(self->cd_eject, path != NULL);
}

static void show_notes(GtkWidget *control, const char *notes)
{
    GtkTextBuffer *buffer = notes_buffer(control);
    GtkTextIter start, end;
    g_autofree char *old = NULL;

    gtk_text_buffer_get_bounds(buffer, &start, &end);
    old = gtk_text_buffer_get_text(buffer, &start, &end, FALSE);
    if (!g_str_equal(old, notes ? notes : ""))
        gtk_text_buffer_set_text(buffer, notes ? notes : "", -1);
}

static void show_field(Field *field, const BhMachineSpec *spec)
{
    GtkWidget *control = field->control;

    switch (field->field) {
    case BH_SPEC_NAME:
        if (!g_str_equal(gtk_entry_get_text(GTK_ENTRY(control)), spec->name))
            gtk_entry_set_text(GTK_ENTRY(control), spec->name);
        break;
    case BH_SPEC_NOTES:
        show_notes(control, spec->notes);
        break;
    case BH_SPEC_CPUS:
        gtk_spin_button_set_value(GTK_SPIN_BUTTON(control), spec->cpus);
        break;
    case BH_SPEC_MEMORY:
        gtk_spin_button_set_value(GTK_SPIN_BUTTON(control), spec->memory_mib);
        break;
    case BH_SPEC_USB_CHANNELS:
        gtk_spin_button_set_value(GTK_SPIN_BUTTON(control), spec->usb_channels);
        break;
    case BH_SPEC_VIDEO:
        gtk_combo_box_set_active(GTK_COMBO_BOX(control), spec->video);
        break;
    case BH_SPEC_NIC:
        gtk_combo_box_set_active(GTK_COMBO_BOX(control), spec->nic);
        break;
    case BH_SPEC_SOUND:
        gtk_switch_set_active(GTK_SWITCH(control), spec->sound);
        break;
    case BH_SPEC_CLIPBOARD:
        gtk_switch_set_active(GTK_SWITCH(control), spec->clipboard);
        break;
    case BH_SPEC_TPM:
        gtk_switch_set_active(GTK_SWITCH(control), spec->tpm);
        break;
    case BH_SPEC_SECURE_BOOT:
        gtk_switch_set_active(GTK_SWITCH(control), spec->secure_boot);
        break;
    case BH_SPEC_CDROM:
        show_cdrom(field->settings, spec->cdrom);
        break;
    }
}

/* Controls in which the user has something that is not sent or answered yet keep it. */
static void show_spec(Settings *self)
{
    const BhMachineSpec *spec = bh_machine_get_spec(self->machine);
    BhSpecFields pending = bh_machine_get_restart_pending(self->machine);

    self->filling = TRUE;
    for (guint i = 0; i < self->n_fields; i++) {
        Field *field = &self->fields[i];
        if (!field->debounce && !field->sent)
            show_field(field, spec);
        bh_settings_row_set_pending(field->row, pending & field->field);
    }
    self->filling = FALSE;
}

static void on_machine_changed(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    Settings *self = data;
    GtkWidget *titlebar = gtk_window_get_titlebar(GTK_WINDOW(self->window));

    if (bh_machine_get_state(machine) == BH_STATE_GONE) {
        gtk_window_close(GTK_WINDOW(self->window));
        return;
    }
    gtk_header_bar_set_subtitle(GTK_HEADER_BAR(titlebar), bh_machine_get_name(machine));
    show_spec(self);
}

/* --- controls to spec --- */

static void replace(char **where, char *value)
{
    g_free(*where);
    *where = value;
}

static char *read_notes(GtkWidget *control)
{
    GtkTextBuffer *buffer = notes_buffer(control);
    GtkTextIter start, end;
    char *text;

    gtk_text_buffer_get_bounds(buffer, &start, &end);
    text = gtk_text_buffer_get_text(buffer, &start, &end, FALSE);
    if (*text)
        return text;
    g_free(text);
    return NULL;
}

static void read_field(Field *field, BhMachineSpec *spec)
{
    GtkWidget *control = field->control;

    switch (field->field) {
    case BH_SPEC_NAME:
        replace(&spec->name, g_strstrip(g_strdup(gtk_entry_get_text(GTK_ENTRY(control)))));
        break;
    case BH_SPEC_NOTES:
        replace(&spec->notes, read_notes(control));
        break;
    case BH_SPEC_CPUS:
        spec->cpus = (guint)gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(control));
        break;
    case BH_SPEC_MEMORY:
        spec->memory_mib = (guint)gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(control));
        break;
    case BH_SPEC_USB_CHANNELS:
        spec->usb_channels = (guint)gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(control));
        break;
    case BH_SPEC_VIDEO:
        spec->video = (BhVideo)gtk_combo_box_get_active(GTK_COMBO_BOX(control));
        break;
    case BH_SPEC_NIC:
        spec->nic = (BhNic)gtk_combo_box_get_active(GTK_COMBO_BOX(control));
        break;
    case BH_SPEC_SOUND:
        spec->sound = gtk_switch_get_active(GTK_SWITCH(control));
        break;
    case BH_SPEC_CLIPBOARD:
        spec->clipboard = gtk_switch_get_active(GTK_SWITCH(control));
        break;
    case BH_SPEC_TPM:
        spec->tpm = gtk_switch_get_active(GTK_SWITCH(control));
        break;
    case BH_SPEC_SECURE_BOOT:
        spec->secure_boot = gtk_switch_get_active(GTK_SWITCH(control));
        break;
    case BH_SPEC_CDROM: /* sent by its buttons */
        break;
    }
}

/* --- sending --- */

static void settings_clear(gpointer data)
{
    Settings *self = data;

    g_object_unref(self->machine);
    g_object_unref(self->host);
}

static void settings_release(gpointer data)
{
    g_rc_box_release_full(data, settings_clear);
}

static void on_applied(GObject *source, GAsyncResult *result, gpointer data)
{
    Field *field = data;
    Settings *self = field->settings;
    g_autoptr(GError) error = NULL;
    BhSpecFields after = 0;

    bh_machine_apply_finish(BH_MACHINE(source), result, &after, &error);
    field->sent--;
    if (!self->closed) {
        if (!field->sent && !field->debounce)
            bh_settings_row_set_error(field->row, error);
        show_spec(self);
        if (after & field->field)
            bh_settings_row_set_pending(field->row, TRUE);
    }
    settings_release(self);
}

static void send_spec(Field *field, const BhMachineSpec *wanted)
{
    bh_settings_row_set_error(field->row, NULL);
    field->sent++;
    g_rc_box_acquire(field->settings);
    bh_machine_apply_async(field->settings->machine, wanted, field->field, NULL, on_applied, field);
}

static void send_field(Field *field)
{
    const BhMachineSpec *now = bh_machine_get_spec(field->settings->machine);
    g_autoptr(BhMachineSpec) wanted = bh_machine_spec_copy(now);

    g_clear_handle_id(&field->debounce, g_source_remove);
    read_field(field, wanted);
    if (bh_machine_spec_diff(now, wanted) & field->field || field->sent)
        send_spec(field, wanted);
    else
        show_spec(field->settings);
}

static gboolean on_debounced(gpointer data)
{
    Field *field = data;

    field->debounce = 0;
    send_field(field);
    return G_SOURCE_REMOVE;
}

static void on_edited(GtkWidget *widget, gpointer data)
{
    Field *field = data;

    if (field->settings->filling)
        return;
    g_clear_handle_id(&field->debounce, g_source_remove);
    field->debounce = g_timeout_add(DEBOUNCE_MS, on_debounced, field);
}

static void on_toggled(GObject *widget, GParamSpec *pspec, gpointer data)
{
    Field *field = data;

    if (!field->settings->filling)
        send_field(field);
}

static void on_finished(GtkWidget *widget, gpointer data)
{
    Field *field = data;

    if (field->debounce)
        send_field(field);
}

static gboolean on_focus_out(GtkWidget *widget, GdkEventFocus *event, gpointer data)
{
    on_finished(widget, data);
    return GDK_EVENT_PROPAGATE;
}

/* --- CD --- */

static Field *find_field(Settings *self, BhSpecFields which)
{
    for (guint i = 0; i < self->n_fields; i++)
        if (self->fields[i].field == which)
            return &self->fields[i];
    return NULL;
}

static void send_cdrom(Settings *self, const char *path)
{
    g_autoptr(BhMachineSpec) wanted = bh_machine_spec_copy(bh_machine_get_spec(self->machine));

    replace(&wanted->cdrom, g_strdup(path));
    send_spec(find_field(self, BH_SPEC_CDROM), wanted);
}

static void on_cd_chosen(GtkNativeDialog *dialog, int response, gpointer data)
{
    Settings *self = data;
    g_autofree char *path = gtk_file_chooser_get_filename(GTK_FILE_CHOOSER(dialog));

    if (response == GTK_RESPONSE_ACCEPT && path) {
        bh_prefs_set_media_folder(path);
        send_cdrom(self, path);
    }
    g_clear_object(&self->chooser);
}

static void on_insert(GtkButton *button, gpointer data)
{
    Settings *self = data;
    GtkFileFilter *iso = gtk_file_filter_new(), *all = gtk_file_filter_new();
    g_autofree char *folder = bh_prefs_get_media_folder();

    g_clear_object(&self->chooser);
    self->chooser = gtk_file_chooser_native_new(_("Insert a Medium"), GTK_WINDOW(self->window),
                                                GTK_FILE_CHOOSER_ACTION_OPEN, _("_Insert"), NULL);
    gtk_file_filter_set_name(iso, _("CD and DVD images"));
    gtk_file_filter_add_pattern(iso, "*.[iI][sS][oO]");
    gtk_file_filter_set_name(all, _("All files"));
    gtk_file_filter_add_pattern(all, "*");
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(self->chooser), iso);
    gtk_file_chooser_add_filter(GTK_FILE_CHOOSER(self->chooser), all);
    gtk_file_chooser_set_current_folder(GTK_FILE_CHOOSER(self->chooser), folder);
    g_signal_connect(self->chooser, "response", G_CALLBACK(on_cd_chosen), self);
    gtk_native_dialog_show(GTK_NATIVE_DIALOG(self->chooser));
}

static void on_eject(GtkButton *button, gpointer data)
{
    send_cdrom(data, NULL);
}

static GtkWidget *make_cdrom(Settings *self)
{
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_HORIZONTAL, 8);
    GtkWidget *insert = gtk_button_new_with_mnemonic(_("_Insert…"));

    self->cd_label = gtk_label_new(NULL);
    gtk_label_set_ellipsize(GTK_LABEL(self->cd_label), PANGO_ELLIPSIZE_MIDDLE);
    gtk_label_set_max_width_chars(GTK_LABEL(self->cd_label), 22);
    self->cd_eject = gtk_button_new_with_mnemonic(_("_Eject"));
    gtk_container_add(GTK_CONTAINER(box), self->cd_label);
    gtk_container_add(GTK_CONTAINER(box), insert);
    gtk_container_add(GTK_CONTAINER(box), self->cd_eject);
    g_signal_connect(insert, "clicked", G_CALLBACK(on_insert), self);
    g_signal_connect(self->cd_eject, "clicked", G_CALLBACK(on_eject), self);
    return box;
}

/* --- construction --- */

static Field *add_field(Settings *self, GtkWidget *list, BhSpecFields which, const char *title,
                        const char *subtitle, GtkWidget *control, gboolean wide)
{
    Field *field = &self->fields[self->n_fields++];
    GtkWidget *row = bh_settings_row_new(title, subtitle, control, wide);

    field->settings = self;
    field->field = which;
    field->control = control;
    field->row = BH_SETTINGS_ROW(row);
    gtk_container_add(GTK_CONTAINER(list), row);
    return field;
}

static GtkWidget *add_section(Settings *self, const char *title)
{
    GtkWidget *label = gtk_label_new(title);
    GtkWidget *frame = gtk_frame_new(NULL);
    GtkWidget *list = gtk_list_box_new();

    gtk_label_set_xalign(GTK_LABEL(label), 0);
    gtk_style_context_add_class(gtk_widget_get_style_context(label), "section-title");
    gtk_list_box_set_selection_mode(GTK_LIST_BOX(list), GTK_SELECTION_NONE);
    gtk_list_box_set_header_func(GTK_LIST_BOX(list), NULL, NULL, NULL);
    bh_set_accessible_name(list, title);
    gtk_container_add(GTK_CONTAINER(frame), list);
    gtk_container_add(GTK_CONTAINER(self->box), label);
    gtk_container_add(GTK_CONTAINER(self->box), frame);
    return list;
}

static void add_entry(Settings *self, GtkWidget *list)
{
    Field *field;
    GtkWidget *entry = gtk_entry_new();

    gtk_entry_set_width_chars(GTK_ENTRY(entry), 26);
    field = add_field(self, list, BH_SPEC_NAME, _("_Name"), NULL, entry, FALSE);
    g_signal_connect(entry, "changed", G_CALLBACK(on_edited), field);
    g_signal_connect(entry, "activate", G_CALLBACK(on_finished), field);
    g_signal_connect(entry, "focus-out-event", G_CALLBACK(on_focus_out), field);
}

static void add_notes(Settings *self, GtkWidget *list)
{
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);
    GtkWidget *view = gtk_text_view_new();
    Field *field;

    gtk_text_view_set_wrap_mode(GTK_TEXT_VIEW(view), GTK_WRAP_WORD_CHAR);
    gtk_text_view_set_accepts_tab(GTK_TEXT_VIEW(view), FALSE);
    g_object_set(view, "left-margin", 8, "right-margin", 8, "top-margin", 6, "bottom-margin", 6,
                 NULL);
    gtk_scrolled_window_set_shadow_type(GTK_SCROLLED_WINDOW(scroll), GTK_SHADOW_IN);
    gtk_widget_set_size_request(scroll, -1, 84);
    gtk_container_add(GTK_CONTAINER(scroll), view);
    field = add_field(self, list, BH_SPEC_NOTES, _("N_otes"), NULL, scroll, TRUE);
    bh_set_accessible_name(view, _("Notes"));
    g_signal_connect(notes_buffer(scroll), "changed", G_CALLBACK(on_edited), field);
    g_signal_connect(view, "focus-out-event", G_CALLBACK(on_focus_out), field);
}

static Field *add_spin(Settings *self, GtkWidget *list, BhSpecFields which, const char *title,
                       const char *subtitle, GtkWidget *spin)
{
    Field *field = add_field(self, list, which, title, subtitle, spin, FALSE);

    g_signal_connect(spin, "value-changed", G_CALLBACK(on_edited), field);
    g_signal_connect(spin, "focus-out-event", G_CALLBACK(on_focus_out), field);
    return field;
}

static void add_combo(Settings *self, GtkWidget *list, BhSpecFields which, const char *title,
                      const char *const *choices)
{
    GtkWidget *combo = gtk_combo_box_text_new();
    Field *field = add_field(self, list, which, title, NULL, combo, FALSE);

    for (; *choices; choices++)
        gtk_combo_box_text_append_text(GTK_COMBO_BOX_TEXT(combo), _(*choices));
    g_signal_connect(combo, "notify::active", G_CALLBACK(on_toggled), field);
}

static void add_switch(Settings *self, GtkWidget *list, BhSpecFields which, const char *title,
                       const char *subtitle, gboolean supported)
{
    GtkWidget *toggle = gtk_switch_new();
    Field *field = add_field(self, list, which, title, subtitle, toggle, FALSE);

    gtk_widget_set_sensitive(toggle, supported);
    if (!supported)
        bh_settings_row_set_subtitle(field->row, _("This host does not support it."));
    g_signal_connect(toggle, "notify::active", G_CALLBACK(on_toggled), field);
}

static void add_resources(Settings *self)
{
    GtkWidget *list = add_section(self, _("Resources"));
    guint cpus = bh_host_get_cpus(self->host);
    guint memory = (guint)(bh_host_get_memory(self->host) >> 20);
    g_autofree char *cpu_text = cpus ? g_strdup_printf(_("This host has %u."), cpus) : NULL;
    g_autofree char *size = bh_format_mib(memory);
    g_autofree char *memory_text = memory ? g_strdup_printf(_("This host has %s."), size) : NULL;

    /* The present value must fit, even if another host allowed more. */
    cpus = MAX(cpus ? cpus : 16, bh_machine_get_spec(self->machine)->cpus);
    memory = MAX(memory ? memory : 65536, bh_machine_get_spec(self->machine)->memory_mib);
    add_spin(self, list, BH_SPEC_CPUS, _("_CPUs"), cpu_text,
             gtk_spin_button_new_with_range(1, cpus, 1));
    add_spin(self, list, BH_SPEC_MEMORY, _("_Memory"), memory_text,
             bh_size_spin_new(64, memory, 256));
}

static void add_devices(Settings *self)
{
    static const char *const videos[] = {N_("Automatic"), N_("QXL"), N_("virtio"), N_("VGA"), NULL};
    static const char *const nics[] = {N_("Automatic"), N_("virtio"), N_("Intel e1000e"),
                                       N_("None"), NULL};
    GtkWidget *list = add_section(self, _("Devices"));
    BhHostFeatures features = bh_host_get_features(self->host);

    add_field(self, list, BH_SPEC_CDROM, _("C_D drive"), NULL, make_cdrom(self), FALSE);
    add_switch(self, list, BH_SPEC_SOUND, _("_Sound"), NULL, TRUE);
    add_switch(self, list, BH_SPEC_CLIPBOARD, _("Share the cli_pboard"),
               _("What is copied in one can be pasted in the other."), TRUE);
    add_combo(self, list, BH_SPEC_VIDEO, _("_Graphics"), videos);
    add_combo(self, list, BH_SPEC_NIC, _("Net_work"), nics);
    add_spin(self, list, BH_SPEC_USB_CHANNELS, _("_USB channels"),
             _("How many USB devices can be redirected at a time."),
             gtk_spin_button_new_with_range(0, MAX_CHANNELS, 1));
    add_switch(self, list, BH_SPEC_SECURE_BOOT, _("Secure _Boot"), NULL,
               features & BH_FEATURE_SECURE_BOOT);
    add_switch(self, list, BH_SPEC_TPM, _("_TPM 2.0"), NULL, features & BH_FEATURE_TPM);
}

/* What was typed last is sent, not lost; answers that come later find the window closed. */
static void on_destroy(GtkWidget *window, gpointer data)
{
    Settings *self = data;

    if (self->closed)
        return;
    for (guint i = 0; i < self->n_fields; i++)
        if (self->fields[i].debounce && bh_machine_get_state(self->machine) != BH_STATE_GONE)
            send_field(&self->fields[i]);
        else
            g_clear_handle_id(&self->fields[i].debounce, g_source_remove);
    self->closed = TRUE;
    g_clear_object(&self->chooser);
    g_signal_handlers_disconnect_by_data(self->machine, self);
}

static void make_window(Settings *self, GtkWindow *parent)
{
    GtkWidget *header = gtk_header_bar_new();
    GtkWidget *outer = gtk_box_new(GTK_ORIENTATION_VERTICAL, 0);
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);

    self->window = gtk_window_new(GTK_WINDOW_TOPLEVEL);
    gtk_header_bar_set_title(GTK_HEADER_BAR(header), _("Settings"));
    gtk_header_bar_set_show_close_button(GTK_HEADER_BAR(header), TRUE);
    gtk_window_set_titlebar(GTK_WINDOW(self->window), header);
    gtk_window_set_title(GTK_WINDOW(self->window), _("Settings"));
    gtk_window_set_default_size(GTK_WINDOW(self->window), 560, 600);
    gtk_window_set_transient_for(GTK_WINDOW(self->window), parent);
    self->bar = bh_error_bar_new();
    self->box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 8);
    g_object_set(self->box, "margin", 18, NULL);
    gtk_scrolled_window_set_policy(GTK_SCROLLED_WINDOW(scroll), GTK_POLICY_NEVER,
                                   GTK_POLICY_AUTOMATIC);
    gtk_container_add(GTK_CONTAINER(scroll), self->box);
    gtk_container_add(GTK_CONTAINER(outer), self->bar);
    gtk_box_pack_start(GTK_BOX(outer), scroll, TRUE, TRUE, 0);
    gtk_container_add(GTK_CONTAINER(self->window), outer);
    gtk_widget_show(header);
}

GtkWidget *bh_settings_window_new(GtkWindow *parent, BhMachine *machine, BhHost *host)
{
    Settings *self = g_rc_box_new0(Settings);
    GtkWidget *list;

    self->machine = g_object_ref(machine);
    self->host = g_object_ref(host);
    make_window(self, parent);
    self->filling = TRUE;
    list = add_section(self, _("General"));
    add_entry(self, list);
    add_notes(self, list);
    add_resources(self);
    add_devices(self);
    self->filling = FALSE;
    g_object_set_data_full(G_OBJECT(self->window), "bh-settings", self, settings_release);
    g_signal_connect(self->window, "destroy", G_CALLBACK(on_destroy), self);
    g_signal_connect(machine, "notify::spec", G_CALLBACK(on_machine_changed), self);
    g_signal_connect(machine, "notify::state", G_CALLBACK(on_machine_changed), self);
    g_signal_connect(machine, "notify::restart-pending", G_CALLBACK(on_machine_changed), self);
    gtk_widget_show_all(gtk_bin_get_child(GTK_BIN(self->window)));
    on_machine_changed(machine, NULL, self);
    return self->window;
}
