/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The text of a USB rules file. Pure: no file is touched here.
 *
 *     [0f2b3c52-7f0e-4a0e-9a60-2f3d1c1b6a55]
 *     0951:1666:60A44C=always;Kingston DataTraveler
 *
 * A group per machine (its UUID), a key per device, the rule and the name the device had. The file
 * is read strictly: one wrong entry makes it broken, because a rule that silently vanished could
 * hand out a device that the user meant to keep.
 */
#include "usb-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

const char *bh_usb_rule_get_name(BhUsbRule rule)
{
    switch (rule) {
    case BH_USB_RULE_NEVER:
        return "never";
    case BH_USB_RULE_ALWAYS:
        return "always";
    default:
        return "ask";
    }
}

gboolean bh_usb_rule_from_name(const char *name, BhUsbRule *rule)
{
    static const BhUsbRule rules[] = {BH_USB_RULE_ASK, BH_USB_RULE_NEVER, BH_USB_RULE_ALWAYS};
    for (guint i = 0; name && i < G_N_ELEMENTS(rules); i++) {
        if (strcmp(name, bh_usb_rule_get_name(rules[i])) != 0)
            continue;
        *rule = rules[i];
        return TRUE;
    }
    return FALSE;
}

BhUsbRuleEntry *bh_usb_rule_entry_new(const char *machine_id, const char *device_id,
                                      const char *device_name, BhUsbRule rule)
{
    BhUsbRuleEntry *self = g_new0(BhUsbRuleEntry, 1);
    self->machine_id = g_strdup(machine_id);
    self->device_id = g_strdup(device_id);
    self->device_name = bh_usb_sanitise(device_name);
    if (!self->device_name)
        self->device_name = bh_usb_sanitise(device_id); /* within a name's length, too */
    self->rule = rule;
    return self;
}

void bh_usb_rule_entry_free(BhUsbRuleEntry *self)
{
    g_free(self->machine_id);
    g_free(self->device_id);
    g_free(self->device_name);
    g_free(self);
}

GHashTable *bh_usb_rules_table_new(void)
{
    return g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                 (GDestroyNotify)g_hash_table_unref);
}

guint bh_usb_rules_count(GHashTable *table)
{
    guint count = 0;
    GHashTableIter iter;
    gpointer devices;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, NULL, &devices))
        count += g_hash_table_size(devices);
    return count;
}

static gboolean broken(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

static gboolean broken(GError **error, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    g_autofree char *detail = g_strdup_vprintf(format, args);
    va_end(args);
    g_propagate_error(error,
                      bh_error_new(BH_ERROR_INVALID, _("Set the rules for your USB devices again."),
                                   detail, _("The USB rules file is damaged.")));
    return FALSE;
}

static gboolean parse_entry(GKeyFile *file, const char *machine, const char *device,
                            GHashTable *devices, GError **error)
{
    BhUsbRule rule;
    g_auto(GStrv) value = g_key_file_get_string_list(file, machine, device, NULL, NULL);
    if (!bh_usb_id_is_valid(device))
        return broken(error, "[%s]: not a device: %s", machine, device);
    if (!value || !bh_usb_rule_from_name(value[0], &rule))
        return broken(error, "[%s] %s: not a rule", machine, device);
    if (rule != BH_USB_RULE_ASK)
        g_hash_table_insert(
            devices, g_strdup(device),
            bh_usb_rule_entry_new(machine, device, value[1] ? value[1] : device, rule));
    return TRUE;
}

static gboolean parse_group(GKeyFile *file, const char *machine, GHashTable *table, GError **error)
{
    g_auto(GStrv) keys = g_key_file_get_keys(file, machine, NULL, NULL);
    if (!g_uuid_string_is_valid(machine))
        return broken(error, "not a machine: [%s]", machine);
    GHashTable *devices = g_hash_table_new_full(g_str_hash, g_str_equal, g_free,
                                                (GDestroyNotify)bh_usb_rule_entry_free);
    g_hash_table_insert(table, g_strdup(machine), devices);
    for (guint i = 0; keys && keys[i]; i++)
        if (!parse_entry(file, machine, keys[i], devices, error))
            return FALSE;
    return TRUE;
}

GHashTable *bh_usb_rules_parse(const char *data, gsize length, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GHashTable) table = bh_usb_rules_table_new();
    g_autoptr(GError) inner = NULL;
    if (length > BH_USB_RULES_MAX_BYTES) {
        broken(error, "larger than %d bytes", BH_USB_RULES_MAX_BYTES);
        return NULL;
    }
    if (length == 0)
        return g_steal_pointer(&table);
    if (!g_utf8_validate_len(data, length, NULL)) {
        broken(error, "not text");
        return NULL;
    }
    if (!g_key_file_load_from_data(file, data, length, G_KEY_FILE_NONE, &inner)) {
        broken(error, "%s", inner->message);
        return NULL;
    }
    g_auto(GStrv) groups = g_key_file_get_groups(file, NULL);
    for (guint i = 0; groups[i]; i++)
        if (!parse_group(file, groups[i], table, error))
            return NULL;
    if (bh_usb_rules_count(table) > BH_USB_RULES_MAX_ENTRIES) {
        broken(error, "more than %d entries", BH_USB_RULES_MAX_ENTRIES);
        return NULL;
    }
    return g_steal_pointer(&table);
}

/* Sorted, so that the same rules give the same file. */
char *bh_usb_rules_format(GHashTable *table, gsize *length)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autoptr(GList) machines = g_list_sort(g_hash_table_get_keys(table), (GCompareFunc)strcmp);
    g_key_file_set_comment(file, NULL, NULL,
                           " Bulkhead: which USB devices each machine always or never gets.", NULL);
    for (GList *m = machines; m; m = m->next) {
        GHashTable *devices = g_hash_table_lookup(table, m->data);
        g_autoptr(GList) keys = g_list_sort(g_hash_table_get_keys(devices), (GCompareFunc)strcmp);
        for (GList *d = keys; d; d = d->next) {
            BhUsbRuleEntry *entry = g_hash_table_lookup(devices, d->data);
            const char *const value[] = {bh_usb_rule_get_name(entry->rule), entry->device_name};
            g_key_file_set_string_list(file, m->data, d->data, value, G_N_ELEMENTS(value));
        }
    }
    return g_key_file_to_data(file, length, NULL);
}
