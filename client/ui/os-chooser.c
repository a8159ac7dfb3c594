/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The system chooser. A tree view, not a list box: there are several hundred systems, and only a
 * tree view has no widget per row.
 */
#include "os-chooser.h"

#include <bulkhead/os.h>
#include <glib/gi18n.h>

#include "util.h"

enum { COLUMN_ID, COLUMN_NAME, COLUMN_FOLDED, N_COLUMNS };

struct _BhOsChooser {
    GtkMenuButton parent_instance;
    char *id;
    char **words;
    GtkWidget *label, *entry, *tree;
    GtkListStore *store; /* NULL until first opened */
    GtkTreeModel *filter;
};

G_DEFINE_TYPE(BhOsChooser, bh_os_chooser, GTK_TYPE_MENU_BUTTON)

static guint chosen_signal;

static const char *generic_name(void)
{
    return _("Another modern system");
}

static void append(BhOsChooser *self, const char *id, const char *name)
{
    g_autofree char *folded = g_utf8_casefold(name, -1);

    gtk_list_store_insert_with_values(self->store, NULL, -1, COLUMN_ID, id, COLUMN_NAME, name,
                                      COLUMN_FOLDED, folded, -1);
}

static gboolean is_visible(GtkTreeModel *model, GtkTreeIter *iter, gpointer data)
{
    BhOsChooser *self = data;
    g_autofree char *folded = NULL;

    gtk_tree_model_get(model, iter, COLUMN_FOLDED, &folded, -1);
    for (char **word = self->words; folded && word && *word; word++)
        if (!strstr(folded, *word))
            return FALSE;
    return TRUE;
}

/* Filled when first opened: most machines keep the system that was detected. */
static void fill(BhOsChooser *self)
{
    g_autoptr(GPtrArray) list = NULL;

    if (self->store)
        return;
    self->store = gtk_list_store_new(N_COLUMNS, G_TYPE_STRING, G_TYPE_STRING, G_TYPE_STRING);
    append(self, NULL, generic_name());
    list = bh_os_list();
    for (guint i = 0; i < list->len; i++) {
        const BhOs *os = list->pdata[i];
        append(self, os->id, os->name);
    }
    self->filter = gtk_tree_model_filter_new(GTK_TREE_MODEL(self->store), NULL);
    gtk_tree_model_filter_set_visible_func(GTK_TREE_MODEL_FILTER(self->filter), is_visible, self,
                                           NULL);
    gtk_tree_view_set_model(GTK_TREE_VIEW(self->tree), self->filter);
}

static void choose(BhOsChooser *self, GtkTreePath *path)
{
    GtkTreeIter iter;
    g_autofree char *id = NULL;

    if (!gtk_tree_model_get_iter(self->filter, &iter, path))
        return;
    gtk_tree_model_get(self->filter, &iter, COLUMN_ID, &id, -1);
    bh_os_chooser_set_os(self, id);
    gtk_popover_popdown(gtk_menu_button_get_popover(GTK_MENU_BUTTON(self)));
    g_signal_emit(self, chosen_signal, 0);
}

static void on_row_activated(GtkTreeView *tree, GtkTreePath *path, GtkTreeViewColumn *column,
                             gpointer data)
{
    choose(data, path);
}

static void on_search_changed(GtkEntry *entry, gpointer data)
{
    BhOsChooser *self = data;
    g_autofree char *folded = g_utf8_casefold(gtk_entry_get_text(entry), -1);

    g_strfreev(self->words);
    self->words = g_strsplit(folded, " ", -1);
    if (self->filter)
        gtk_tree_model_filter_refilter(GTK_TREE_MODEL_FILTER(self->filter));
}

static void on_search_activate(GtkEntry *entry, gpointer data)
{
    g_autoptr(GtkTreePath) first = gtk_tree_path_new_first();

    choose(data, first);
}

static void on_toggled(GtkToggleButton *button, gpointer data)
{
    BhOsChooser *self = data;

    if (!gtk_toggle_button_get_active(button))
        return;
    fill(self);
    gtk_entry_set_text(GTK_ENTRY(self->entry), "");
    gtk_widget_grab_focus(self->entry);
}

static GtkWidget *make_popover(BhOsChooser *self)
{
    GtkWidget *popover = gtk_popover_new(GTK_WIDGET(self));
    GtkWidget *box = gtk_box_new(GTK_ORIENTATION_VERTICAL, 8);
    GtkWidget *scroll = gtk_scrolled_window_new(NULL, NULL);

    self->entry = gtk_search_entry_new();
    bh_set_accessible_name(self->entry, _("Search systems"));
    g_signal_connect(self->entry, "changed", G_CALLBACK(on_search_changed), self);
    g_signal_connect(self->entry, "activate", G_CALLBACK(on_search_activate), self);
    self->tree = gtk_tree_view_new();
    gtk_tree_view_set_headers_visible(GTK_TREE_VIEW(self->tree), FALSE);
    gtk_tree_view_set_enable_search(GTK_TREE_VIEW(self->tree), FALSE);
    gtk_tree_view_set_activate_on_single_click(GTK_TREE_VIEW(self->tree), TRUE);
    gtk_tree_view_set_fixed_height_mode(GTK_TREE_VIEW(self->tree), FALSE);
    gtk_tree_view_insert_column_with_attributes(GTK_TREE_VIEW(self->tree), -1, _("System"),
                                                gtk_cell_renderer_text_new(), "text", COLUMN_NAME,
                                                NULL);
    bh_set_accessible_name(self->tree, _("Systems"));
    g_signal_connect(self->tree, "row-activated", G_CALLBACK(on_row_activated), self);
    gtk_container_add(GTK_CONTAINER(scroll), self->tree);
    gtk_scrolled_window_set_shadow_type(GTK_SCROLLED_WINDOW(scroll), GTK_SHADOW_IN);
    gtk_widget_set_size_request(scroll, 320, 260);
    g_object_set(box, "margin", 10, NULL);
    gtk_container_add(GTK_CONTAINER(box), self->entry);
    gtk_container_add(GTK_CONTAINER(box), scroll);
    gtk_widget_show_all(box);
    gtk_container_add(GTK_CONTAINER(popover), box);
    return popover;
}

static void bh_os_chooser_dispose(GObject *object)
{
    BhOsChooser *self = BH_OS_CHOOSER(object);

    g_clear_object(&self->filter);
    g_clear_object(&self->store);
    G_OBJECT_CLASS(bh_os_chooser_parent_class)->dispose(object);
}

static void bh_os_chooser_finalize(GObject *object)
{
    BhOsChooser *self = BH_OS_CHOOSER(object);

    g_strfreev(self->words);
    g_free(self->id);
    G_OBJECT_CLASS(bh_os_chooser_parent_class)->finalize(object);
}

static void bh_os_chooser_class_init(BhOsChooserClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_os_chooser_dispose;
    G_OBJECT_CLASS(klass)->finalize = bh_os_chooser_finalize;
    chosen_signal = g_signal_new("chosen", BH_TYPE_OS_CHOOSER, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                 NULL, G_TYPE_NONE, 0);
}

static void bh_os_chooser_init(BhOsChooser *self)
{
    self->label = gtk_label_new(NULL);
    gtk_label_set_xalign(GTK_LABEL(self->label), 0);
    gtk_label_set_ellipsize(GTK_LABEL(self->label), PANGO_ELLIPSIZE_END);
    gtk_widget_show(self->label);
    gtk_container_add(GTK_CONTAINER(self), self->label);
    gtk_menu_button_set_popover(GTK_MENU_BUTTON(self), make_popover(self));
    g_signal_connect(self, "toggled", G_CALLBACK(on_toggled), self);
    bh_os_chooser_set_os(self, NULL);
}

GtkWidget *bh_os_chooser_new(void)
{
    return g_object_new(BH_TYPE_OS_CHOOSER, NULL);
}

void bh_os_chooser_set_os(BhOsChooser *self, const char *id)
{
    g_autoptr(BhOs) os = id ? bh_os_lookup(id) : NULL;
    const char *name = os && os->name ? os->name : generic_name();
    g_autofree char *spoken = g_strdup_printf(_("Operating system: %s"), name);

    if (self->id != id) {
        g_free(self->id);
        self->id = g_strdup(id);
    }
    gtk_label_set_text(GTK_LABEL(self->label), name);
    bh_set_accessible_name(GTK_WIDGET(self), spoken);
}

const char *bh_os_chooser_get_os(BhOsChooser *self)
{
    return self->id;
}
