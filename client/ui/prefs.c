/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Owns the GSettings objects, and what happens when their schema is not installed. */
#include "prefs.h"

/* g_settings_new aborts the program when the schema is missing, so it is looked up first. */
static gboolean have_schema(const char *id)
{
    GSettingsSchemaSource *source = g_settings_schema_source_get_default();
    g_autoptr(GSettingsSchema) schema = NULL;

    if (source)
        schema = g_settings_schema_source_lookup(source, id, TRUE);
    return schema != NULL;
}

GSettings *bh_prefs_get(void)
{
    static gsize once;
    static GSettings *settings;

    if (g_once_init_enter(&once)) {
        if (have_schema(BH_APP_ID))
            settings = g_settings_new(BH_APP_ID);
        g_once_init_leave(&once, 1);
    }
    return settings;
}

GSettings *bh_prefs_for_machine(BhMachine *machine)
{
    g_autofree char *path = NULL;

    if (!have_schema(BH_APP_ID ".Machine"))
        return NULL;
    path = g_strdup_printf("/org/bulkhead/Bulkhead/machines/%s/", bh_machine_get_id(machine));
    return g_settings_new_with_path(BH_APP_ID ".Machine", path);
}

int bh_prefs_get_int(GSettings *settings, const char *key, int fallback)
{
    return settings ? g_settings_get_int(settings, key) : fallback;
}

gboolean bh_prefs_get_boolean(GSettings *settings, const char *key, gboolean fallback)
{
    return settings ? g_settings_get_boolean(settings, key) : fallback;
}

double bh_prefs_get_double(GSettings *settings, const char *key, double fallback)
{
    return settings ? g_settings_get_double(settings, key) : fallback;
}

char *bh_prefs_get_string(GSettings *settings, const char *key, const char *fallback)
{
    return settings ? g_settings_get_string(settings, key) : g_strdup(fallback);
}

void bh_prefs_set_int(GSettings *settings, const char *key, int value)
{
    if (settings)
        g_settings_set_int(settings, key, value);
}

void bh_prefs_set_boolean(GSettings *settings, const char *key, gboolean value)
{
    if (settings)
        g_settings_set_boolean(settings, key, value);
}

void bh_prefs_set_double(GSettings *settings, const char *key, double value)
{
    if (settings)
        g_settings_set_double(settings, key, value);
}

void bh_prefs_set_string(GSettings *settings, const char *key, const char *value)
{
    if (settings)
        g_settings_set_string(settings, key, value);
}

char *bh_prefs_get_media_folder(void)
{
    g_autofree char *folder = bh_prefs_get_string(bh_prefs_get(), "media-folder", "");
    const char *downloads = g_get_user_special_dir(G_USER_DIRECTORY_DOWNLOAD);

    if (*folder && g_file_test(folder, G_FILE_TEST_IS_DIR))
        return g_steal_pointer(&folder);
    return g_strdup(downloads ? downloads : g_get_home_dir());
}

void bh_prefs_set_media_folder(const char *file)
{
    g_autofree char *folder = g_path_get_dirname(file);

    bh_prefs_set_string(bh_prefs_get(), "media-folder", folder);
}
