/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What uses a USB device on the host, and whether it may leave.
 *
 * REFUSE: taking it would break the host or lock the user out, and no consent changes that: hubs,
 * the system's own disk or swap, parts of a volume group or array, the only keyboard.
 * CONFIRM: somebody would notice: mounted files (unmounted first, never torn out), the network
 * connection, the only pointing device (the whole app can be used by keyboard), sound that plays.
 */
#include "usb-private.h"

#include <glib/gi18n-lib.h>
#include <string.h>

#define MAX_DEPTH 8 /* partition, LUKS, LVM, ...: holders of holders */

typedef struct {
    const BhUsbSystem *system;
    const char *syspath;
    BhUsbUse *use;
    GHashTable *blocks;    /* set of the block device names that lie on the device */
    GPtrArray *reasons;    /* CONFIRM sentences */
    GPtrArray *usages;     /* short texts */
    gboolean other_reason; /* a CONFIRM reason that unmounting does not remove */
} Check;

static void volume_free(gpointer data)
{
    BhUsbVolume *volume = data;
    g_free(volume->name);
    g_free(volume->node);
    g_ptr_array_unref(volume->points);
    g_free(volume);
}

void bh_usb_use_free(BhUsbUse *self)
{
    if (!self)
        return;
    g_free(self->reason);
    g_free(self->usage);
    g_ptr_array_unref(self->volumes);
    g_free(self);
}

G_GNUC_PRINTF(2, 3) static void refuse(Check *check, const char *format, ...)
{
    if (check->use->guard == BH_USB_REFUSE)
        return;
    va_list args;
    va_start(args, format);
    check->use->guard = BH_USB_REFUSE;
    check->use->reason = g_strdup_vprintf(format, args);
    va_end(args);
}

static void confirm(Check *check, char *reason, char *usage, gboolean by_unmount)
{
    g_ptr_array_add(check->reasons, reason);
    g_ptr_array_add(check->usages, usage);
    check->other_reason = check->other_reason || !by_unmount;
}

/* Mount points whose loss stops the computer or the user's session. The folders under /run and
 * /cdrom are those of live systems, which run from the stick. */
static gboolean is_system_point(const char *point)
{
    static const char *const exact[] = {"/",     "/usr", "/boot", "/boot/efi", "/efi",
                                        "/var",  "/etc", "/opt",  "/srv",      "/home",
                                        "/root", "/tmp", "/nix",  "/gnu"};
    static const char *const below[] = {
        "/run/live",     "/run/initramfs", "/run/archiso", "/lib/live",
        "/usr/lib/live", "/cdrom",         "/var",         "/usr"};
    for (guint i = 0; i < G_N_ELEMENTS(exact); i++)
        if (strcmp(point, exact[i]) == 0)
            return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(below); i++)
        if (bh_usb_path_is_below(point, below[i]))
            return TRUE;
    return bh_usb_path_is_below(g_get_home_dir(), point);
}

static char *dm_attribute(const char *path, const char *name)
{
    g_autofree char *folder = g_build_filename(path, "dm", NULL);
    char *value = bh_usb_read_small(folder, name);
    return value ? value : g_strdup("");
}

/* btrfs and others mount with a device number of their own: the source's name tells then. */
static gboolean mount_is_on(const BhUsbMount *mount, const char *name, const char *number,
                            const char *mapped)
{
    g_autofree char *own = g_strdup_printf("%u:%u", mount->major, mount->minor);
    if (g_strcmp0(own, number) == 0)
        return TRUE;
    if (!g_str_has_prefix(mount->source, "/dev/"))
        return FALSE;
    const char *source = mount->source + strlen("/dev/");
    if (g_str_has_prefix(source, "mapper/"))
        return *mapped && strcmp(source + strlen("mapper/"), mapped) == 0;
    return strcmp(source, name) == 0;
}

static gboolean is_swap(Check *check, const char *name, const char *mapped)
{
    for (guint i = 0; i < check->system->swaps->len; i++) {
        const char *swap = check->system->swaps->pdata[i];
        if (!g_str_has_prefix(swap, "/dev/"))
            continue;
        const char *source = swap + strlen("/dev/");
        if (strcmp(source, name) == 0 || (g_str_has_prefix(source, "mapper/") && *mapped &&
                                          strcmp(source + strlen("mapper/"), mapped) == 0))
            return TRUE;
    }
    return FALSE;
}

static void check_points(Check *check, BhUsbVolume *volume)
{
    for (guint i = 0; i < volume->points->len; i++) {
        const char *point = volume->points->pdata[i];
        if (is_system_point(point))
            refuse(check, _("This computer runs from it (%s)."), point);
        for (guint k = 0; k < check->system->swaps->len; k++)
            if (bh_usb_path_is_below(check->system->swaps->pdata[k], point))
                refuse(check, _("This computer’s swap file is on it (%s)."),
                       (char *)check->system->swaps->pdata[k]);
    }
}

static void check_block(Check *check, const char *name, const char *path, guint depth);

/* Volumes that lie on this one: an unlocked LUKS volume can be locked for the user; the parts of a
 * volume group or an array cannot be told apart from the rest. */
static gboolean check_holders(Check *check, const char *path, guint depth)
{
    g_autofree char *folder = g_build_filename(path, "holders", NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    gboolean crypt = FALSE;
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        const char *holder = g_hash_table_lookup(check->system->blocks, name);
        if (!holder)
            continue;
        g_autofree char *uuid = dm_attribute(holder, "uuid");
        g_autofree char *mapped = dm_attribute(holder, "name");
        if (g_str_has_prefix(uuid, "CRYPT-"))
            crypt = TRUE;
        else
            refuse(check, _("It is part of a volume group or array (%s). Deactivate that first."),
                   *mapped ? mapped : name);
        check_block(check, name, holder, depth + 1);
    }
    return crypt;
}

static void check_block(Check *check, const char *name, const char *path, guint depth)
{
    if (depth > MAX_DEPTH || !g_hash_table_add(check->blocks, g_strdup(name)))
        return;
    g_autofree char *number = bh_usb_read_small(path, "dev");
    g_autofree char *mapped = dm_attribute(path, "name");
    gboolean crypt = check_holders(check, path, depth);
    if (is_swap(check, name, mapped))
        refuse(check, _("This computer’s swap space is on it (%s)."), name);

    BhUsbVolume *volume = g_new0(BhUsbVolume, 1);
    volume->name = g_strdup(name);
    volume->node = g_strconcat("/dev/", name, NULL);
    volume->points = g_ptr_array_new_with_free_func(g_free);
    volume->crypt = crypt;
    for (guint i = 0; i < check->system->mounts->len; i++) {
        BhUsbMount *mount = check->system->mounts->pdata[i];
        if (mount_is_on(mount, name, number, mapped))
            g_ptr_array_add(volume->points, g_strdup(mount->point));
    }
    check_points(check, volume);
    if (volume->points->len || crypt)
        g_ptr_array_add(check->use->volumes, volume);
    else
        volume_free(volume);
}

static char *list_points(BhUsbUse *use)
{
    g_autoptr(GString) text = g_string_new(NULL);
    guint n = 0;
    for (guint i = 0; i < use->volumes->len; i++) {
        BhUsbVolume *volume = use->volumes->pdata[i];
        for (guint k = 0; k < volume->points->len; k++) {
            g_autofree char *point = bh_usb_sanitise(volume->points->pdata[k]);
            if (++n <= 2)
                g_string_append_printf(text, "%s%s", n > 1 ? ", " : "", point ? point : "?");
        }
    }
    if (n > 2)
        g_string_append_printf(text, ngettext(" and %u more", " and %u more", n - 2), n - 2);
    return n ? g_strdup(text->str) : NULL;
}

static void check_storage(Check *check)
{
    GHashTableIter iter;
    gpointer name, path;
    g_hash_table_iter_init(&iter, check->system->blocks);
    while (g_hash_table_iter_next(&iter, &name, &path))
        if (bh_usb_path_is_below(path, check->syspath))
            check_block(check, name, path, 0);
    if (check->use->volumes->len == 0)
        return;
    check->use->can_unmount = TRUE;
    g_autofree char *points = list_points(check->use);
    if (points)
        confirm(check, g_strdup_printf(_("Its files are in use: mounted at %s."), points),
                g_strdup_printf(_("mounted at %s"), points), TRUE);
    else
        confirm(check, g_strdup(_("An encrypted volume on it is unlocked.")),
                g_strdup(_("unlocked")), TRUE);
}

/* The interface itself, or the bridge or bond it belongs to. */
static gboolean carries_default_route(Check *check, const char *name, const char *path)
{
    if (g_hash_table_contains(check->system->routes, name))
        return TRUE;
    g_autofree char *link_path = g_build_filename(path, "master", NULL);
    g_autofree char *master = g_file_read_link(link_path, NULL);
    g_autofree char *master_name = master ? g_path_get_basename(master) : NULL;
    return master_name && g_hash_table_contains(check->system->routes, master_name);
}

static void check_network(Check *check)
{
    GHashTableIter iter;
    gpointer name, path;
    g_hash_table_iter_init(&iter, check->system->interfaces);
    while (g_hash_table_iter_next(&iter, &name, &path))
        if (bh_usb_path_is_below(path, check->syspath) && carries_default_route(check, name, path))
            confirm(check,
                    g_strdup_printf(_("This computer’s network connection runs over it (%s)."),
                                    (char *)name),
                    g_strdup(_("this computer’s network connection")), FALSE);
}

static void check_input(Check *check)
{
    guint own_keyboards = 0, own_pointers = 0, keyboards = 0, pointers = 0;
    for (guint i = 0; i < check->system->inputs->len; i++) {
        BhUsbInput *input = check->system->inputs->pdata[i];
        gboolean own = bh_usb_path_is_below(input->path, check->syspath);
        own_keyboards += own && input->keyboard;
        own_pointers += own && input->pointer;
        keyboards += !own && input->keyboard;
        pointers += !own && input->pointer;
    }
    if (own_keyboards && !keyboards)
        refuse(check, _("It is the only keyboard of this computer: without it you could not take "
                        "it back."));
    else if (own_pointers && !pointers)
        confirm(check, g_strdup(_("It is the only pointing device of this computer.")),
                g_strdup(_("the only pointing device")), FALSE);
}

/* /proc/asound/card1/pcm0p/sub0/status says "state: RUNNING" while sound flows. */
static gboolean card_is_running(const char *proc, const char *card)
{
    g_autofree char *folder = g_build_filename(proc, "asound", card, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        if (!g_str_has_prefix(name, "pcm"))
            continue;
        g_autofree char *pcm = g_build_filename(folder, name, NULL);
        g_autofree char *status = bh_usb_read_small(pcm, "sub0/status");
        if (status && strstr(status, "RUNNING"))
            return TRUE;
    }
    return FALSE;
}

static void check_sound(Check *check)
{
    GHashTableIter iter;
    gpointer name, path;
    g_hash_table_iter_init(&iter, check->system->cards);
    while (g_hash_table_iter_next(&iter, &name, &path))
        if (g_str_has_prefix(name, "card") && bh_usb_path_is_below(path, check->syspath) &&
            card_is_running(check->system->proc, name))
            confirm(check, g_strdup(_("A program is playing or recording sound with it.")),
                    g_strdup(_("sound in use")), FALSE);
}

/* USB/IP takes a device by binding its own driver to it. */
static void check_driver(Check *check)
{
    g_autofree char *link_path = g_build_filename(check->syspath, "driver", NULL);
    g_autofree char *driver = g_file_read_link(link_path, NULL);
    if (driver && g_str_has_suffix(driver, "/usbip-host"))
        refuse(check, _("It is shared over the network with USB/IP."));
}

static char *join(GPtrArray *texts, const char *separator)
{
    if (texts->len == 0)
        return NULL;
    g_ptr_array_add(texts, NULL);
    return g_strjoinv(separator, (char **)texts->pdata);
}

BhUsbUse *bh_usb_guard_check(const BhUsbSystem *system, const char *syspath, gboolean hub)
{
    BhUsbUse *use = g_new0(BhUsbUse, 1);
    g_autoptr(GHashTable) blocks = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    g_autoptr(GPtrArray) reasons = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GPtrArray) usages = g_ptr_array_new_with_free_func(g_free);
    Check check = {system, syspath, use, blocks, reasons, usages, FALSE};
    use->volumes = g_ptr_array_new_with_free_func(volume_free);
    if (hub) {
        refuse(&check, _("A hub stays with this computer. Hand over the devices plugged into it."));
        return use;
    }
    check_driver(&check);
    check_storage(&check);
    check_network(&check);
    check_input(&check);
    check_sound(&check);
    use->usage = join(usages, ", ");
    if (use->guard == BH_USB_REFUSE) {
        use->can_unmount = FALSE;
    } else if (reasons->len) {
        use->guard = BH_USB_CONFIRM;
        use->reason = join(reasons, " ");
        use->only_storage = !check.other_reason;
    }
    return use;
}
