/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The form. When the user takes another operating system, what that one wants is proposed anew, but
 * never over a value that the user has set.
 */
#include "new-machine-form.h"

#include <bulkhead/error.h>
#include <bulkhead/os.h>
#include <glib/gi18n.h>

#include "os-chooser.h"
#include "size-spin.h"
#include "util.h"

#define MIN_MEMORY_MIB 64
#define MAX_DISK_MIB (64.0 * 1024 * 1024)
#define FALLBACK_CPUS 16
#define FALLBACK_MEMORY_MIB (64 * 1024)

struct _BhMachineForm {
    GtkGrid parent_instance;
    BhHost *host;
    BhMachineSpec *spec; /* what is not shown comes from here */
    gboolean filling;    /* the program, not the user, sets the widgets */
    gboolean touched_cpus, touched_memory, touched_disk, touched_security;
    int row;
    GtkSizeGroup *labels; /* the rows under "More" line up with the others */
    GtkWidget *name, *os, *cpus, *memory, *disk_label, *disk, *origin_label, *origin, *disk_note;
    GtkWidget *more, *firmware, *secure_boot, *tpm, *sound, *clipboard;
};

G_DEFINE_TYPE(BhMachineForm, bh_machine_form, GTK_TYPE_GRID)

static guint changed_signal;

/* --- widgets to spec and back --- */

BhMachineSpec *bh_machine_form_get(BhMachineForm *self)
{
    BhMachineSpec *spec = bh_machine_spec_copy(self->spec);
    gboolean image = spec->disk_origin == BH_DISK_IMPORT || spec->disk_origin == BH_DISK_IN_PLACE;

    g_free(spec->name);
    spec->name = g_strstrip(g_strdup(gtk_entry_get_text(GTK_ENTRY(self->name))));
    g_free(spec->os_id);
    spec->os_id = g_strdup(bh_os_chooser_get_os(BH_OS_CHOOSER(self->os)));
    spec->cpus = (guint)gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(self->cpus));
    spec->memory_mib = (guint)gtk_spin_button_get_value_as_int(GTK_SPIN_BUTTON(self->memory));
    if (spec->disk_origin == BH_DISK_NEW)
        spec->disk_bytes = (guint64)gtk_spin_button_get_value(GTK_SPIN_BUTTON(self->disk)) << 20;
    if (image)
        spec->disk_origin = gtk_combo_box_get_active(GTK_COMBO_BOX(self->origin)) == 1
                                ? BH_DISK_IN_PLACE
                                : BH_DISK_IMPORT;
    spec->firmware = gtk_combo_box_get_active(GTK_COMBO_BOX(self->firmware)) == 1 ? BH_FIRMWARE_BIOS
                                                                                  : BH_FIRMWARE_EFI;
    spec->secure_boot = spec->firmware == BH_FIRMWARE_EFI &&
                        gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(self->secure_boot));
    spec->tpm = gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(self->tpm));
    spec->sound = gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(self->sound));
    spec->clipboard = gtk_toggle_button_get_active(GTK_TOGGLE_BUTTON(self->clipboard));
    return spec;
}

static void update_sensitive(BhMachineForm *self)
{
    BhHostFeatures features = bh_host_get_features(self->host);
    gboolean efi = gtk_combo_box_get_active(GTK_COMBO_BOX(self->firmware)) == 0;
    gboolean can_secure = efi && (features & BH_FEATURE_SECURE_BOOT);

    gtk_widget_set_sensitive(self->secure_boot, can_secure);
    gtk_widget_set_tooltip_text(self->secure_boot,
                                can_secure ? NULL
                                : efi      ? _("This host has no firmware with Secure Boot.")
                                           : _("Secure Boot needs EFI."));
    gtk_widget_set_sensitive(self->tpm, features & BH_FEATURE_TPM);
    gtk_widget_set_tooltip_text(
        self->tpm, features & BH_FEATURE_TPM ? NULL : _("This host cannot emulate a TPM (swtpm)."));
}

static void show_values(BhMachineForm *self)
{
    const BhMachineSpec *spec = self->spec;

    self->filling = TRUE;
    gtk_spin_button_set_value(GTK_SPIN_BUTTON(self->cpus), spec->cpus);
    gtk_spin_button_set_value(GTK_SPIN_BUTTON(self->memory), spec->memory_mib);
    gtk_spin_button_set_value(GTK_SPIN_BUTTON(self->disk), (double)(spec->disk_bytes >> 20));
    gtk_combo_box_set_active(GTK_COMBO_BOX(self->firmware), spec->firmware == BH_FIRMWARE_BIOS);
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->secure_boot), spec->secure_boot);
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->tpm), spec->tpm);
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->sound), spec->sound);
    gtk_toggle_button_set_active(GTK_TOGGLE_BUTTON(self->clipboard), spec->clipboard);
    self->filling = FALSE;
    update_sensitive(self);
}

static void show_disk(BhMachineForm *self, const BhMediaInfo *media)
{
    gboolean image =
        self->spec->disk_origin == BH_DISK_IMPORT || self->spec->disk_origin == BH_DISK_IN_PLACE;
    gboolean fresh = self->spec->disk_origin == BH_DISK_NEW;

    gtk_widget_set_visible(self->disk_label, fresh);
    gtk_widget_set_visible(self->disk, fresh);
    gtk_widget_set_visible(self->origin_label, image);
    gtk_widget_set_visible(self->origin, image);
    gtk_combo_box_set_active(GTK_COMBO_BOX(self->origin),
                             self->spec->disk_origin == BH_DISK_IN_PLACE);
    gtk_widget_set_visible(self->disk_note, image && media);
    if (image && media) {
        g_autofree char *size = bh_format_mib((guint)(media->virtual_size >> 20));
        g_autofree char *base = g_path_get_basename(media->path);
        g_autofree char *note = g_strdup_printf("%s — %s, %s", base, media->format, size);
        gtk_label_set_text(GTK_LABEL(self->disk_note), note);
    }
}

static void set_limits(BhMachineForm *self)
{
    guint cpus = bh_host_get_cpus(self->host);
    guint64 memory = bh_host_get_memory(self->host) >> 20;
    g_autofree char *size = bh_format_mib((guint)memory);
    g_autofree char *cpu_text = cpus ? g_strdup_printf(_("This host has %u."), cpus) : NULL;
    g_autofree char *memory_text = memory ? g_strdup_printf(_("This host has %s."), size) : NULL;

    gtk_spin_button_set_range(GTK_SPIN_BUTTON(self->cpus), 1, cpus ? cpus : FALLBACK_CPUS);
    gtk_spin_button_set_range(GTK_SPIN_BUTTON(self->memory), MIN_MEMORY_MIB,
                              memory ? (double)memory : FALLBACK_MEMORY_MIB);
    gtk_widget_set_tooltip_text(self->cpus, cpu_text);
    gtk_widget_set_tooltip_text(self->memory, memory_text);
}

void bh_machine_form_set(BhMachineForm *self, const BhMachineSpec *spec, const BhMediaInfo *media)
{
    bh_machine_spec_free(self->spec);
    self->spec = bh_machine_spec_copy(spec);
    self->touched_cpus = self->touched_memory = self->touched_disk = self->touched_security = FALSE;
    self->filling = TRUE;
    set_limits(self);
    gtk_entry_set_text(GTK_ENTRY(self->name), spec->name ? spec->name : "");
    bh_os_chooser_set_os(BH_OS_CHOOSER(self->os), spec->os_id);
    show_disk(self, media);
    self->filling = FALSE;
    show_values(self);
    g_signal_emit(self, changed_signal, 0);
}

static gboolean name_is_taken(BhMachineForm *self, const char *name)
{
    GListModel *machines = bh_host_get_machines(self->host);

    for (guint i = 0; i < g_list_model_get_n_items(machines); i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(machines, i);
        if (g_str_equal(bh_machine_get_name(machine), name))
            return TRUE;
    }
    return FALSE;
}

gboolean bh_machine_form_check(BhMachineForm *self, GError **error)
{
    g_autoptr(BhMachineSpec) spec = bh_machine_form_get(self);

    if (name_is_taken(self, spec->name)) {
        g_propagate_error(error, bh_error_new(BH_ERROR_EXISTS, _("Choose another name."), NULL,
                                              _("There is already a machine “%s”."), spec->name));
        return FALSE;
    }
    return bh_machine_spec_validate(spec, error);
}

/* --- the user --- */

static void on_changed(GtkWidget *widget, gpointer data)
{
    BhMachineForm *self = data;

    if (self->filling)
        return;
    self->touched_cpus |= widget == self->cpus;
    self->touched_memory |= widget == self->memory;
    self->touched_disk |= widget == self->disk;
    self->touched_security |=
        widget == self->firmware || widget == self->secure_boot || widget == self->tpm;
    update_sensitive(self);
    g_signal_emit(self, changed_signal, 0);
}

static void on_os_chosen(BhOsChooser *chooser, gpointer data)
{
    BhMachineForm *self = data;
    g_autoptr(BhOs) os = bh_os_lookup(bh_os_chooser_get_os(chooser));
    BhMachineSpec *spec = bh_machine_form_get(self);
    g_autoptr(BhMachineSpec) mine = bh_machine_spec_copy(spec);

    bh_os_propose(os, bh_host_get_cpus(self->host), bh_host_get_memory(self->host), spec);
    if (self->touched_cpus)
        spec->cpus = mine->cpus;
    if (self->touched_memory)
        spec->memory_mib = mine->memory_mib;
    if (self->touched_disk || spec->disk_origin != BH_DISK_NEW)
        spec->disk_bytes = mine->disk_bytes;
    if (self->touched_security) {
        spec->firmware = mine->firmware;
        spec->secure_boot = mine->secure_boot;
        spec->tpm = mine->tpm;
    }
    spec->secure_boot =
        spec->secure_boot && (bh_host_get_features(self->host) & BH_FEATURE_SECURE_BOOT);
    spec->tpm = spec->tpm && (bh_host_get_features(self->host) & BH_FEATURE_TPM);
    bh_machine_spec_free(self->spec);
    self->spec = spec;
    show_values(self);
    g_signal_emit(self, changed_signal, 0);
}

/* --- construction --- */

static GtkWidget *add_row(BhMachineForm *self, GtkWidget *grid, int *row, const char *text,
                          GtkWidget *control, const char *signal)
{
    GtkWidget *label = gtk_label_new_with_mnemonic(text);

    gtk_label_set_xalign(GTK_LABEL(label), 1);
    gtk_label_set_mnemonic_widget(GTK_LABEL(label), control);
    bh_set_accessible_name(control, gtk_label_get_text(GTK_LABEL(label)));
    gtk_style_context_add_class(gtk_widget_get_style_context(label), "dim-label");
    gtk_size_group_add_widget(self->labels, label);
    gtk_grid_attach(GTK_GRID(grid), label, 0, *row, 1, 1);
    gtk_grid_attach(GTK_GRID(grid), control, 1, *row, 1, 1);
    gtk_widget_set_hexpand(control, TRUE);
    if (signal)
        g_signal_connect(control, signal, G_CALLBACK(on_changed), self);
    (*row)++;
    return label;
}

static GtkWidget *make_combo(const char *first, const char *second)
{
    GtkWidget *combo = gtk_combo_box_text_new();

    gtk_combo_box_text_append_text(GTK_COMBO_BOX_TEXT(combo), first);
    gtk_combo_box_text_append_text(GTK_COMBO_BOX_TEXT(combo), second);
    return combo;
}

static GtkWidget *add_check(BhMachineForm *self, GtkWidget *grid, int *row, const char *text)
{
    GtkWidget *check = gtk_check_button_new_with_mnemonic(text);

    gtk_grid_attach(GTK_GRID(grid), check, 1, (*row)++, 1, 1);
    g_signal_connect(check, "toggled", G_CALLBACK(on_changed), self);
    return check;
}

static void make_more(BhMachineForm *self)
{
    GtkWidget *grid = gtk_grid_new();
    int row = 0;

    gtk_grid_set_row_spacing(GTK_GRID(grid), 8);
    gtk_grid_set_column_spacing(GTK_GRID(grid), 12);
    gtk_widget_set_margin_top(grid, 8);
    self->firmware = make_combo(_("EFI"), _("BIOS (for old systems)"));
    add_row(self, grid, &row, _("_Firmware"), self->firmware, "changed");
    self->secure_boot = add_check(self, grid, &row, _("Secure _Boot"));
    self->tpm = add_check(self, grid, &row, _("_TPM 2.0 (emulated)"));
    self->sound = add_check(self, grid, &row, _("So_und"));
    self->clipboard = add_check(self, grid, &row, _("Share the cli_pboard with this machine"));
    self->more = gtk_expander_new_with_mnemonic(_("M_ore"));
    gtk_container_add(GTK_CONTAINER(self->more), grid);
    gtk_grid_attach(GTK_GRID(self), self->more, 0, self->row++, 2, 1);
}

static void bh_machine_form_dispose(GObject *object)
{
    BhMachineForm *self = BH_MACHINE_FORM(object);

    g_clear_object(&self->host);
    g_clear_object(&self->labels);
    g_clear_pointer(&self->spec, bh_machine_spec_free);
    G_OBJECT_CLASS(bh_machine_form_parent_class)->dispose(object);
}

static void bh_machine_form_class_init(BhMachineFormClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_machine_form_dispose;
    changed_signal = g_signal_new("changed", BH_TYPE_MACHINE_FORM, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                  NULL, G_TYPE_NONE, 0);
}

static void bh_machine_form_init(BhMachineForm *self)
{
    GtkWidget *grid = GTK_WIDGET(self);

    gtk_grid_set_row_spacing(GTK_GRID(self), 10);
    gtk_grid_set_column_spacing(GTK_GRID(self), 12);
    self->spec = bh_machine_spec_new();
    self->labels = gtk_size_group_new(GTK_SIZE_GROUP_HORIZONTAL);
    self->name = gtk_entry_new();
    gtk_entry_set_activates_default(GTK_ENTRY(self->name), TRUE);
    add_row(self, grid, &self->row, _("_Name"), self->name, "changed");
    self->os = bh_os_chooser_new();
    add_row(self, grid, &self->row, _("_Operating system"), self->os, NULL);
    g_signal_connect(self->os, "chosen", G_CALLBACK(on_os_chosen), self);
    self->cpus = gtk_spin_button_new_with_range(1, FALLBACK_CPUS, 1);
    add_row(self, grid, &self->row, _("_CPUs"), self->cpus, "value-changed");
    self->memory = bh_size_spin_new(MIN_MEMORY_MIB, FALLBACK_MEMORY_MIB, 256);
    add_row(self, grid, &self->row, _("_Memory"), self->memory, "value-changed");
    self->disk = bh_size_spin_new(64, MAX_DISK_MIB, 1024);
    self->disk_label =
        add_row(self, grid, &self->row, _("_Disk size"), self->disk, "value-changed");
    self->origin = make_combo(_("Copy (the file stays as it is)"),
                              _("Use the file itself (it will be changed)"));
    self->origin_label = add_row(self, grid, &self->row, _("_Disk image"), self->origin, "changed");
    self->disk_note = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(self->disk_note), 0);
    gtk_label_set_ellipsize(GTK_LABEL(self->disk_note), PANGO_ELLIPSIZE_MIDDLE);
    gtk_style_context_add_class(gtk_widget_get_style_context(self->disk_note), "dim-label");
    gtk_grid_attach(GTK_GRID(self), self->disk_note, 1, self->row++, 1, 1);
    make_more(self);
    gtk_widget_show_all(grid);
}

GtkWidget *bh_machine_form_new(BhHost *host)
{
    BhMachineForm *self = g_object_new(BH_TYPE_MACHINE_FORM, NULL);

    self->host = g_object_ref(host);
    return GTK_WIDGET(self);
}

void bh_machine_form_focus(BhMachineForm *self)
{
    gtk_widget_grab_focus(self->name);
}
