/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * BhUsbRules: the user's rules, kept in one small file that the app and the CLI share.
 *
 * Every change reads the file again under a lock, changes one entry and replaces the file, so two
 * programs never undo each other's rules. A file that cannot be understood is renamed, never
 * overwritten. One that cannot be read (rights) is left alone, and changes are refused meanwhile.
 */
#include "durable.h"
#include "usb-private.h"

#include <errno.h>
#include <fcntl.h>
#include <glib/gi18n-lib.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define LOCK_TRIES 40
#define LOCK_PAUSE_US 5000

struct _BhUsbRules {
    GObject parent;
    char *path;
    GHashTable *table;
    GFileMonitor *monitor;
    char *problem; /* the last one reported, so that it is told once */
};

enum { CHANGED, PROBLEM, N_SIGNALS };
static guint signals[N_SIGNALS];

G_DEFINE_TYPE(BhUsbRules, bh_usb_rules, G_TYPE_OBJECT)

static void report(BhUsbRules *self, char *text)
{
    g_autofree char *owned = text;
    if (g_strcmp0(self->problem, owned) == 0)
        return;
    g_free(self->problem);
    self->problem = g_strdup(owned);
    g_signal_emit(self, signals[PROBLEM], 0, owned);
}

/* NULL with an error for a file that is there and cannot be read; "" for none. A pipe or a device
 * in its place must not hang us. */
static char *read_file(const char *path, gsize *length, GError **error)
{
    struct stat info;
    g_autoptr(GString) text = g_string_new(NULL);
    char buffer[8192];
    gssize n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0 && errno == ENOENT) {
        *length = 0;
        return g_strdup("");
    }
    int code = fd < 0 || fstat(fd, &info) < 0 ? errno : S_ISREG(info.st_mode) ? 0 : EINVAL;
    while (code == 0 && text->len <= BH_USB_RULES_MAX_BYTES &&
           (n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(text, buffer, n);
    if (n < 0)
        code = errno;
    if (fd >= 0)
        close(fd);
    if (code) {
        g_propagate_error(error, bh_error_new(BH_ERROR_PERMISSION,
                                              _("Check the rights of that file."), g_strerror(code),
                                              _("The USB rules in %s cannot be read."), path));
        return NULL;
    }
    *length = text->len;
    return g_string_free(g_steal_pointer(&text), FALSE);
}

/* Renames a broken file to a name that is free, with a limit: the tenth replaces the ninth. */
static char *keep_aside(const char *path)
{
    for (guint i = 1; i <= 9; i++) {
        g_autofree char *name =
            i == 1 ? g_strconcat(path, ".broken", NULL) : g_strdup_printf("%s.broken-%u", path, i);
        if (i < 9 && g_file_test(name, G_FILE_TEST_EXISTS))
            continue;
        if (g_rename(path, name) == 0)
            return g_steal_pointer(&name);
        return NULL;
    }
    return NULL;
}

/* NULL only when the file must not be replaced now. */
static GHashTable *load(BhUsbRules *self, GError **error)
{
    gsize length = 0;
    g_autoptr(GError) inner = NULL;
    g_autofree char *text = read_file(self->path, &length, error);
    if (!text)
        return NULL;
    GHashTable *table = bh_usb_rules_parse(text, length, &inner);
    if (table)
        return table;
    g_autofree char *aside = keep_aside(self->path);
    if (!aside) {
        g_propagate_error(error, g_steal_pointer(&inner));
        return NULL;
    }
    report(self, g_strdup_printf(_("The USB rules file was damaged (%s). It was kept as %s, and "
                                   "no rules are set now."),
                                 bh_error_get_detail(inner), aside));
    return bh_usb_rules_table_new();
}

static gboolean same_rules(GHashTable *a, GHashTable *b)
{
    g_autofree char *ta = bh_usb_rules_format(a, NULL), *tb = bh_usb_rules_format(b, NULL);
    return g_strcmp0(ta, tb) == 0;
}

static void take_table(BhUsbRules *self, GHashTable *table)
{
    gboolean same = self->table && same_rules(self->table, table);
    g_clear_pointer(&self->table, g_hash_table_unref);
    self->table = table;
    if (!same)
        g_signal_emit(self, signals[CHANGED], 0);
}

static void reload(BhUsbRules *self)
{
    g_autoptr(GError) error = NULL;
    GHashTable *table = load(self, &error);
    if (table) {
        take_table(self, table);
        return;
    }
    report(self, bh_error_to_text(error));
}

static void on_file_changed(GFileMonitor *monitor, GFile *file, GFile *other,
                            GFileMonitorEvent event, gpointer data)
{
    /* Not at "created" or "changed": an editor may be in the middle of writing, and half a file
     * would be taken for a broken one. Each is followed by the hint, a rename too. */
    if (event == G_FILE_MONITOR_EVENT_CHANGES_DONE_HINT || event == G_FILE_MONITOR_EVENT_DELETED)
        reload(data);
}

static void bh_usb_rules_dispose(GObject *object)
{
    BhUsbRules *self = BH_USB_RULES(object);
    if (self->monitor) {
        g_signal_handlers_disconnect_by_data(self->monitor, self);
        g_file_monitor_cancel(self->monitor);
    }
    g_clear_object(&self->monitor);
    G_OBJECT_CLASS(bh_usb_rules_parent_class)->dispose(object);
}

static void bh_usb_rules_finalize(GObject *object)
{
    BhUsbRules *self = BH_USB_RULES(object);
    g_clear_pointer(&self->table, g_hash_table_unref);
    g_free(self->path);
    g_free(self->problem);
    G_OBJECT_CLASS(bh_usb_rules_parent_class)->finalize(object);
}

static void bh_usb_rules_class_init(BhUsbRulesClass *klass)
{
    GObjectClass *object_class = G_OBJECT_CLASS(klass);
    object_class->dispose = bh_usb_rules_dispose;
    object_class->finalize = bh_usb_rules_finalize;
    signals[CHANGED] = g_signal_new("changed", BH_TYPE_USB_RULES, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                    NULL, G_TYPE_NONE, 0);
    signals[PROBLEM] = g_signal_new("problem", BH_TYPE_USB_RULES, G_SIGNAL_RUN_LAST, 0, NULL, NULL,
                                    NULL, G_TYPE_NONE, 1, G_TYPE_STRING);
}

static void bh_usb_rules_init(BhUsbRules *self)
{
}

static gboolean on_first_load(gpointer data)
{
    reload(data);
    return G_SOURCE_REMOVE;
}

/* The file is read at once, so that rules hold from the first device on; but a problem found then
 * could not be heard yet, so a file that looks broken is dealt with from the main loop. */
static void first_load(BhUsbRules *self)
{
    gsize length = 0;
    g_autofree char *text = read_file(self->path, &length, NULL);
    self->table = text ? bh_usb_rules_parse(text, length, NULL) : NULL;
    if (self->table)
        return;
    self->table = bh_usb_rules_table_new();
    g_idle_add_full(G_PRIORITY_DEFAULT_IDLE, on_first_load, g_object_ref(self), g_object_unref);
}

BhUsbRules *bh_usb_rules_new(const char *path)
{
    BhUsbRules *self = g_object_new(BH_TYPE_USB_RULES, NULL);
    self->path = path ? g_strdup(path)
                      : g_build_filename(g_get_user_config_dir(), "bulkhead", "usb-rules", NULL);
    first_load(self);
    /* Of a folder that is not there yet GIO takes notice within seconds of its making. */
    g_autoptr(GFile) file = g_file_new_for_path(self->path);
    self->monitor = g_file_monitor_file(file, G_FILE_MONITOR_NONE, NULL, NULL);
    if (self->monitor)
        g_signal_connect(self->monitor, "changed", G_CALLBACK(on_file_changed), self);
    return self;
}

BhUsbRule bh_usb_rules_get(BhUsbRules *self, const char *machine_id, const char *device_id)
{
    GHashTable *devices = g_hash_table_lookup(self->table, machine_id);
    BhUsbRuleEntry *entry = devices ? g_hash_table_lookup(devices, device_id) : NULL;
    return entry ? entry->rule : BH_USB_RULE_ASK;
}

static void change_table(GHashTable *table, BhUsbRuleEntry *entry)
{
    GHashTable *devices = g_hash_table_lookup(table, entry->machine_id);
    if (!devices) {
        devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                        (GDestroyNotify)bh_usb_rule_entry_free);
        g_hash_table_insert(table, g_strdup(entry->machine_id), devices);
    }
    if (entry->rule == BH_USB_RULE_ASK)
        g_hash_table_remove(devices, entry->device_id);
    else
        g_hash_table_replace(devices, g_strdup(entry->device_id),
                             bh_usb_rule_entry_new(entry->machine_id, entry->device_id,
                                                   entry->device_name, entry->rule));
    if (g_hash_table_size(devices) == 0)
        g_hash_table_remove(table, entry->machine_id);
}

static void make_folder(BhUsbRules *self)
{
    g_autofree char *folder = g_path_get_dirname(self->path);
    g_mkdir_with_parents(folder, 0700); /* storing tells when it failed */
}

static gboolean store(BhUsbRules *self, GHashTable *table, GError **error)
{
    gsize length;
    g_autoptr(GError) inner = NULL;
    g_autofree char *text = bh_usb_rules_format(table, &length);
    if (g_file_set_contents_full(self->path, text, length,
                                 G_FILE_SET_CONTENTS_CONSISTENT | G_FILE_SET_CONTENTS_DURABLE, 0600,
                                 &inner)) {
        bh_sync_folder_of(self->path);
        return TRUE;
    }
    gboolean full = g_error_matches(inner, G_FILE_ERROR, G_FILE_ERROR_NOSPC);
    g_propagate_error(error,
                      bh_error_new(full ? BH_ERROR_NO_SPACE : BH_ERROR_PERMISSION,
                                   full ? _("Free some space and try again.")
                                        : _("Check the rights of that folder."),
                                   inner->message, _("The USB rules could not be stored in %s."),
                                   self->path));
    return FALSE;
}

/* A lock that is not to be had (a read-only folder) is no reason to fail: storing will tell. */
static int take_lock(BhUsbRules *self)
{
    g_autofree char *path = g_strconcat(self->path, ".lock", NULL);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    for (guint i = 0; fd >= 0 && i < LOCK_TRIES && flock(fd, LOCK_EX | LOCK_NB) < 0; i++)
        g_usleep(LOCK_PAUSE_US);
    return fd;
}

gboolean bh_usb_rules_set(BhUsbRules *self, const char *machine_id, const char *device_id,
                          const char *device_name, BhUsbRule rule, GError **error)
{
    if (!g_uuid_string_is_valid(machine_id) || !bh_usb_id_is_valid(device_id)) {
        g_propagate_error(error, bh_error_new(BH_ERROR_INVALID, NULL, NULL,
                                              _("“%s” is not the id of a USB device."), device_id));
        return FALSE;
    }
    make_folder(self);
    int lock = take_lock(self);
    GHashTable *table = load(self, error);
    gboolean ok = table != NULL;
    if (ok) {
        BhUsbRuleEntry *entry = bh_usb_rule_entry_new(machine_id, device_id, device_name, rule);
        change_table(table, entry);
        bh_usb_rule_entry_free(entry);
        if (bh_usb_rules_count(table) > BH_USB_RULES_MAX_ENTRIES) {
            g_propagate_error(error, bh_error_new(BH_ERROR_NO_SPACE,
                                                  _("Remove some that you do not need."), NULL,
                                                  _("There can be at most %d USB rules."),
                                                  BH_USB_RULES_MAX_ENTRIES));
            ok = FALSE;
        }
        ok = ok && store(self, table, error);
    }
    if (lock >= 0)
        close(lock);
    if (ok)
        take_table(self, g_steal_pointer(&table));
    g_clear_pointer(&table, g_hash_table_unref);
    return ok;
}

GPtrArray *bh_usb_rules_list(BhUsbRules *self)
{
    GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)bh_usb_rule_entry_free);
    GHashTableIter machines, entries;
    gpointer devices, value;
    g_hash_table_iter_init(&machines, self->table);
    while (g_hash_table_iter_next(&machines, NULL, &devices)) {
        g_hash_table_iter_init(&entries, devices);
        while (g_hash_table_iter_next(&entries, NULL, &value)) {
            BhUsbRuleEntry *entry = value;
            g_ptr_array_add(list, bh_usb_rule_entry_new(entry->machine_id, entry->device_id,
                                                        entry->device_name, entry->rule));
        }
    }
    return list;
}
