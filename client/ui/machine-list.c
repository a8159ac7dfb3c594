/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sorting and filtering of machines. Keys for both are made once per name, not once per
 * comparison: collation and case folding are what makes a naive list of 1,000 slow.
 */
#include "machine-list.h"

typedef struct {
    BhMachine *machine;
    gulong handler;
    char *sort_key; /* collation key in which "Guest 9" comes before "Guest 10" */
    char *folded;   /* for the filter */
    int index;      /* in shown, or -1 */
} Entry;

struct _BhMachineList {
    GObject parent_instance;
    GListModel *source;
    GPtrArray *entries; /* of Entry, sorted unless dirty */
    GPtrArray *shown;   /* of Entry (borrowed), in order */
    GHashTable *by_machine;
    char **words;
    gboolean dirty; /* entries is to be sorted */
    guint idle;
};

G_DEFINE_TYPE(BhMachineList, bh_machine_list, G_TYPE_OBJECT)

static guint changed_signal;

static char *fold(const char *text)
{
    g_autofree char *normal = g_utf8_normalize(text, -1, G_NORMALIZE_ALL);

    return g_utf8_casefold(normal ? normal : text, -1);
}

static void entry_set_keys(Entry *entry)
{
    const char *name = bh_machine_get_name(entry->machine);

    g_free(entry->sort_key);
    g_free(entry->folded);
    entry->folded = fold(name);
    entry->sort_key = g_utf8_collate_key_for_filename(entry->folded, -1);
}

static void entry_free(gpointer data)
{
    Entry *entry = data;

    g_signal_handler_disconnect(entry->machine, entry->handler);
    g_object_unref(entry->machine);
    g_free(entry->sort_key);
    g_free(entry->folded);
    g_free(entry);
}

static int entry_compare(gconstpointer a, gconstpointer b)
{
    const Entry *x = *(Entry *const *)a, *y = *(Entry *const *)b;
    int order = strcmp(x->sort_key, y->sort_key);

    /* Equal names (possible on other hosts) need a stable order too. */
    return order ? order : g_strcmp0(bh_machine_get_id(x->machine), bh_machine_get_id(y->machine));
}

static gboolean entry_matches(BhMachineList *self, const Entry *entry)
{
    for (char **word = self->words; word && *word; word++)
        if (!strstr(entry->folded, *word))
            return FALSE;
    return TRUE;
}

static void refresh(BhMachineList *self)
{
    g_clear_handle_id(&self->idle, g_source_remove);
    if (self->dirty)
        g_ptr_array_sort(self->entries, entry_compare);
    self->dirty = FALSE;
    g_ptr_array_set_size(self->shown, 0);
    for (guint i = 0; i < self->entries->len; i++) {
        Entry *entry = self->entries->pdata[i];
        entry->index = entry_matches(self, entry) ? (int)self->shown->len : -1;
        if (entry->index >= 0)
            g_ptr_array_add(self->shown, entry);
    }
    g_signal_emit(self, changed_signal, 0);
}

static gboolean on_idle(gpointer data)
{
    BhMachineList *self = data;

    self->idle = 0;
    refresh(self);
    return G_SOURCE_REMOVE;
}

/* Before the next drawing, so that a removed machine is never painted. */
static void schedule(BhMachineList *self)
{
    self->dirty = TRUE;
    if (!self->idle)
        self->idle = g_idle_add_full(G_PRIORITY_HIGH_IDLE, on_idle, self, NULL);
}

static void on_renamed(BhMachine *machine, GParamSpec *pspec, gpointer data)
{
    BhMachineList *self = data;
    Entry *entry = g_hash_table_lookup(self->by_machine, machine);

    if (entry)
        entry_set_keys(entry);
    schedule(self);
}

static void add(BhMachineList *self, BhMachine *machine)
{
    Entry *entry = g_new0(Entry, 1);

    entry->machine = g_object_ref(machine);
    entry->handler = g_signal_connect(machine, "notify::name", G_CALLBACK(on_renamed), self);
    entry->index = -1;
    entry_set_keys(entry);
    g_ptr_array_add(self->entries, entry);
    g_hash_table_insert(self->by_machine, machine, entry);
}

/* GListModel does not say which items went, so what is left is compared with what is known. */
static void drop_missing(BhMachineList *self)
{
    g_autoptr(GHashTable) present = g_hash_table_new(NULL, NULL);
    guint n = g_list_model_get_n_items(self->source);

    for (guint i = 0; i < n; i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(self->source, i);
        g_hash_table_add(present, machine);
    }
    /* shown borrows the entries: empty until refresh. */
    g_ptr_array_set_size(self->shown, 0);
    for (guint i = self->entries->len; i-- > 0;) {
        Entry *entry = self->entries->pdata[i];
        if (g_hash_table_contains(present, entry->machine))
            continue;
        g_hash_table_remove(self->by_machine, entry->machine);
        g_ptr_array_remove_index_fast(self->entries, i);
    }
}

static void on_items_changed(GListModel *model, guint position, guint removed, guint added,
                             gpointer data)
{
    BhMachineList *self = data;

    if (removed)
        drop_missing(self);
    for (guint i = 0; i < added; i++) {
        g_autoptr(BhMachine) machine = g_list_model_get_item(model, position + i);
        if (!g_hash_table_contains(self->by_machine, machine))
            add(self, machine);
    }
    /* After a removal the list is refreshed at once: nobody may see a half-empty one. */
    self->dirty = TRUE;
    if (removed)
        refresh(self);
    else
        schedule(self);
}

static void bh_machine_list_dispose(GObject *object)
{
    BhMachineList *self = BH_MACHINE_LIST(object);

    g_clear_handle_id(&self->idle, g_source_remove);
    if (self->source)
        g_signal_handlers_disconnect_by_data(self->source, self);
    g_clear_object(&self->source);
    g_clear_pointer(&self->shown, g_ptr_array_unref);
    g_clear_pointer(&self->entries, g_ptr_array_unref);
    g_clear_pointer(&self->by_machine, g_hash_table_unref);
    g_clear_pointer(&self->words, g_strfreev);
    G_OBJECT_CLASS(bh_machine_list_parent_class)->dispose(object);
}

static void bh_machine_list_class_init(BhMachineListClass *klass)
{
    G_OBJECT_CLASS(klass)->dispose = bh_machine_list_dispose;
    changed_signal = g_signal_new("changed", BH_TYPE_MACHINE_LIST, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                  NULL, G_TYPE_NONE, 0);
}

static void bh_machine_list_init(BhMachineList *self)
{
    self->entries = g_ptr_array_new_with_free_func(entry_free);
    self->shown = g_ptr_array_new();
    self->by_machine = g_hash_table_new(NULL, NULL);
}

BhMachineList *bh_machine_list_new(GListModel *machines)
{
    BhMachineList *self = g_object_new(BH_TYPE_MACHINE_LIST, NULL);

    self->source = g_object_ref(machines);
    g_signal_connect(machines, "items-changed", G_CALLBACK(on_items_changed), self);
    on_items_changed(machines, 0, 0, g_list_model_get_n_items(machines), self);
    refresh(self);
    return self;
}

void bh_machine_list_set_filter(BhMachineList *self, const char *text)
{
    g_autofree char *folded = fold(text ? text : "");

    g_strfreev(self->words);
    self->words = g_strsplit_set(folded, " \t", -1);
    refresh(self);
}

guint bh_machine_list_get_n(BhMachineList *self)
{
    return self->shown->len;
}

guint bh_machine_list_get_n_total(BhMachineList *self)
{
    return self->entries->len;
}

BhMachine *bh_machine_list_get(BhMachineList *self, guint index)
{
    g_return_val_if_fail(index < self->shown->len, NULL);
    return ((Entry *)self->shown->pdata[index])->machine;
}

int bh_machine_list_index(BhMachineList *self, BhMachine *machine)
{
    Entry *entry = machine ? g_hash_table_lookup(self->by_machine, machine) : NULL;

    return entry ? entry->index : -1;
}
