/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The operating system database. What callers ask for is copied into a small table that never
 * changes. libosinfo's own objects take some 50 MiB and are not thread-safe: they live only as long
 * as a worker builds the table or identifies a medium (a quarter of a second to load again). GLib
 * before 2.76 keeps freed slices for itself: only G_SLICE=always-malloc gives the memory back
 * there.
 */
#include "os-private.h"

#include <bulkhead/error.h>
#include <glib/gi18n-lib.h>
#include <malloc.h>
#include <osinfo/osinfo.h>
#include <stdio.h>
#include <string.h>

#define PCI "http://pcisig.com/pci/"

/* libosinfo loses a few hundred bytes; a leak checker must not blame us. */
#ifdef __SANITIZE_ADDRESS__
#include <sanitizer/lsan_interface.h>
#define LEAKS_BEGIN() __lsan_disable()
#define LEAKS_END() __lsan_enable()
#else
#define LEAKS_BEGIN()
#define LEAKS_END()
#endif

static GMutex lock; /* held while libosinfo is used, and while loaded is not set */
static gsize loaded;
static GPtrArray *table;    /* of BhOsEntry */
static GHashTable *by_name; /* URI and short ids to BhOsEntry */

static void clear_os(BhOs *os)
{
    g_free(os->id);
    g_free(os->name);
}

void bh_os_free(BhOs *self)
{
    if (!self)
        return;
    clear_os(self);
    g_free(self);
}

static void entry_free(BhOsEntry *self)
{
    clear_os(&self->os);
    g_free(self->short_id);
    g_free(self);
}

BhOs *bh_os_copy(const BhOs *os)
{
    BhOs *copy = g_memdup2(os, sizeof *os);

    copy->id = g_strdup(os->id);
    copy->name = g_strdup(os->name);
    return copy;
}

/* The best of a resources list for this computer: "x86_64" before "all", and -1 for no figure. */
static void read_resources(OsinfoResourcesList *list, gint *cpus, gint64 *ram, gint64 *storage)
{
    static const char *const arches[] = {"all", "x86_64"};

    for (gsize a = 0; a < G_N_ELEMENTS(arches); a++) {
        for (gint i = 0; i < osinfo_list_get_length(OSINFO_LIST(list)); i++) {
            OsinfoEntity *entity = osinfo_list_get_nth(OSINFO_LIST(list), i);
            OsinfoResources *resources = OSINFO_RESOURCES(entity);
            if (g_strcmp0(osinfo_resources_get_architecture(resources), arches[a]) != 0)
                continue;
            *cpus = MAX(*cpus, osinfo_resources_get_n_cpus(resources));
            *ram = MAX(*ram, osinfo_resources_get_ram(resources));
            *storage = MAX(*storage, osinfo_resources_get_storage(resources));
        }
    }
}

static void fill_resources(OsinfoOs *source, BhOs *os)
{
    g_autoptr(OsinfoResourcesList) minimum = osinfo_os_get_minimum_resources(source);
    g_autoptr(OsinfoResourcesList) recommended = osinfo_os_get_recommended_resources(source);
    gint cpus = 0;
    gint64 ram = 0, storage = 0;

    read_resources(minimum, &cpus, &ram, &storage);
    read_resources(recommended, &cpus, &ram, &storage);
    os->cpus = cpus > 0 ? (guint)cpus : 1;
    os->memory_mib = ram > 0 ? (guint)MIN(ram >> 20, G_MAXINT) : 2048;
    os->disk_bytes = storage > 0 ? (guint64)storage : G_GUINT64_CONSTANT(20) << 30;
}

/* The modern ids of virtio devices only: on q35's PCI Express ports QEMU offers no legacy
 * interface, so a system that knows just the old ones (1af4:1000, 1001) would not find its disk. */
static void fill_devices(OsinfoOs *source, BhOs *os)
{
    g_autoptr(OsinfoDeviceList) devices = osinfo_os_get_all_devices(source, NULL);
    const struct {
        const char *id;
        gboolean *flag;
    } wanted[] = {
        {PCI "1af4/1042", &os->virtio_disk},  {PCI "1af4/1041", &os->virtio_net},
        {PCI "1af4/1050", &os->virtio_video}, {PCI "1b36/0100", &os->qxl},
        {PCI "1b36/0004", &os->usb3},         {PCI "1033/0194", &os->usb3},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(wanted); i++)
        *wanted[i].flag |= osinfo_list_find_by_id(OSINFO_LIST(devices), wanted[i].id) != NULL;
}

static void fill_firmware(OsinfoOs *source, BhOs *os)
{
    g_autoptr(OsinfoFirmwareList) list = osinfo_os_get_complete_firmware_list(source, NULL);

    for (gint i = 0; i < osinfo_list_get_length(OSINFO_LIST(list)); i++) {
        OsinfoFirmware *firmware = OSINFO_FIRMWARE(osinfo_list_get_nth(OSINFO_LIST(list), i));
        if (g_strcmp0(osinfo_firmware_get_architecture(firmware), "x86_64") == 0 &&
            g_strcmp0(osinfo_firmware_get_firmware_type(firmware), "bios") == 0 &&
            !osinfo_firmware_is_supported(firmware))
            os->needs_efi = TRUE;
    }
}

static int release_date(OsinfoProduct *product)
{
    const char *text = osinfo_product_get_release_date_string(product);
    int year = 0, month = 0, day = 0;

    if (!text || sscanf(text, "%4d-%2d-%2d", &year, &month, &day) != 3)
        return 0;
    return year * 10000 + month * 100 + day;
}

static BhOsEntry *make_entry(OsinfoOs *source)
{
    OsinfoProduct *product = OSINFO_PRODUCT(source);
    BhOsEntry *entry = g_new0(BhOsEntry, 1);
    const char *name = osinfo_product_get_name(product);

    entry->os.id = g_strdup(osinfo_entity_get_id(OSINFO_ENTITY(source)));
    entry->os.name = g_strdup(name ? name : entry->os.id);
    entry->short_id = g_strdup(osinfo_product_get_short_id(product));
    entry->released = release_date(product);
    fill_resources(source, &entry->os);
    fill_devices(source, &entry->os);
    fill_firmware(source, &entry->os);
    bh_os_apply_rules(&entry->os, osinfo_os_get_family(source), entry->released);
    return entry;
}

static gint compare_entries(gconstpointer a, gconstpointer b)
{
    const BhOsEntry *left = *(BhOsEntry *const *)a, *right = *(BhOsEntry *const *)b;

    if (left->released != right->released)
        return left->released > right->released ? -1 : 1;
    return g_utf8_collate(left->os.name, right->os.name);
}

/* A few systems of one name differ in their stream only: their short ids tell them apart. */
static void make_names_unique(GPtrArray *entries)
{
    g_autoptr(GHashTable) seen = g_hash_table_new(g_str_hash, g_str_equal);

    for (guint i = 0; i < entries->len; i++) {
        BhOsEntry *entry = entries->pdata[i];
        if (g_hash_table_contains(seen, entry->os.name)) {
            char *name = g_strdup_printf("%s (%s)", entry->os.name,
                                         entry->short_id ? entry->short_id : entry->os.id);
            g_free(entry->os.name);
            entry->os.name = name;
        }
        g_hash_table_add(seen, entry->os.name);
    }
}

static gboolean is_placeholder(OsinfoOs *source)
{
    return g_str_has_prefix(osinfo_entity_get_id(OSINFO_ENTITY(source)),
                            "http://libosinfo.org/unknown");
}

static OsinfoLoader *load_database(void)
{
    OsinfoLoader *loader = osinfo_loader_new();
    g_autoptr(GError) error = NULL;

    LEAKS_BEGIN();
    osinfo_loader_process_default_path(loader, &error);
    LEAKS_END();
    if (error)
        g_message("Operating system database: %s", error->message);
    return loader;
}

static void drop_database(OsinfoLoader *loader)
{
    g_object_unref(loader);
    malloc_trim(0);
}

static void build_table(OsinfoDb *db)
{
    g_autoptr(OsinfoOsList) list = osinfo_db_get_os_list(db);

    table = g_ptr_array_new_with_free_func((GDestroyNotify)entry_free);
    by_name = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    for (gint i = 0; i < osinfo_list_get_length(OSINFO_LIST(list)); i++) {
        OsinfoOs *source = OSINFO_OS(osinfo_list_get_nth(OSINFO_LIST(list), i));
        BhOsEntry *entry;
        if (is_placeholder(source))
            continue;
        entry = make_entry(source);
        g_ptr_array_add(table, entry);
        g_hash_table_replace(by_name, g_strdup(entry->os.id), entry);
        for (GList *l = osinfo_product_get_short_id_list(OSINFO_PRODUCT(source)); l; l = l->next)
            g_hash_table_replace(by_name, g_strdup(l->data), entry);
    }
    g_ptr_array_sort(table, compare_entries);
    make_names_unique(table);
}

static void ensure_loaded(void)
{
    g_autoptr(GMutexLocker) locker = NULL;

    if (g_atomic_pointer_get(&loaded))
        return;
    locker = g_mutex_locker_new(&lock);
    if (!loaded) {
        OsinfoLoader *loader = load_database();
        build_table(osinfo_loader_get_db(loader));
        drop_database(loader);
        g_atomic_pointer_set(&loaded, 1);
    }
}

GPtrArray *bh_os_table(void)
{
    ensure_loaded();
    return table;
}

const BhOsEntry *bh_os_table_find(const char *id_or_short_id)
{
    ensure_loaded();
    return g_hash_table_lookup(by_name, id_or_short_id);
}

static void load_worker(GTask *task, gpointer source, gpointer data, GCancellable *cancellable)
{
    ensure_loaded();
    if (table->len > 0)
        g_task_return_boolean(task, TRUE);
    else
        g_task_return_error(task,
                            bh_error_new(BH_ERROR_NOT_FOUND, _("Install the package osinfo-db."),
                                         NULL, _("The database of operating systems is missing.")));
}

void bh_os_db_load_async(GCancellable *cancellable, GAsyncReadyCallback callback, gpointer data)
{
    g_autoptr(GTask) task = g_task_new(NULL, cancellable, callback, data);

    g_task_set_source_tag(task, bh_os_db_load_async);
    g_task_run_in_thread(task, load_worker);
}

gboolean bh_os_db_load_finish(GAsyncResult *result, GError **error)
{
    return g_task_propagate_boolean(G_TASK(result), error);
}

typedef struct {
    GMainLoop *loop;
    OsinfoMedia *media;
} Detect;

static void on_media(GObject *source, GAsyncResult *result, gpointer data)
{
    Detect *self = data;

    self->media = osinfo_media_create_from_location_with_flags_finish(result, NULL);
    g_main_loop_quit(self->loop);
}

/* The synchronous call would run the default main context, which is the main thread's. */
static OsinfoMedia *read_media(const char *path, GCancellable *cancellable)
{
    g_autoptr(GMainContext) context = g_main_context_new();
    g_autoptr(GMainLoop) loop = g_main_loop_new(context, FALSE);
    g_autofree char *uri = g_filename_to_uri(path, NULL, NULL);
    Detect detect = {loop, NULL};

    if (!uri)
        return NULL;
    LEAKS_BEGIN();
    g_main_context_push_thread_default(context);
    osinfo_media_create_from_location_with_flags_async(uri, G_PRIORITY_DEFAULT, cancellable,
                                                       on_media, 0, &detect);
    g_main_loop_run(loop);
    g_main_context_pop_thread_default(context);
    LEAKS_END();
    return detect.media;
}

/* "fedora-unknown" says less than the label does. */
static BhOs *identify(OsinfoMedia *media)
{
    g_autoptr(OsinfoOs) os = NULL;
    const BhOsEntry *entry = NULL;
    OsinfoLoader *loader;

    g_mutex_lock(&lock);
    loader = load_database();
    if (osinfo_db_identify_media(osinfo_loader_get_db(loader), media))
        os = osinfo_media_get_os(media);
    if (os)
        entry = g_hash_table_lookup(by_name, osinfo_entity_get_id(OSINFO_ENTITY(os)));
    g_clear_object(&os);
    drop_database(loader);
    g_mutex_unlock(&lock);
    return entry && !strstr(entry->os.id, "unknown") ? bh_os_copy(&entry->os) : NULL;
}

BhOs *bh_os_identify_media(const char *path, const char *volume, GCancellable *cancellable)
{
    g_autoptr(OsinfoMedia) media = NULL;
    BhOs *os = NULL;

    ensure_loaded();
    media = read_media(path, cancellable);
    if (media)
        os = identify(media);
    if (!os && volume)
        os = bh_os_guess(volume);
    return os;
}
