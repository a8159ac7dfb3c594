/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A snapshot of what the host does with its devices: mounts, swap, default routes, input devices,
 * and where each block device, network interface and sound card hangs in sysfs.
 *
 * Everything is read from sysfs and /proc, which answer from memory: no device is asked, so this
 * may run on the main thread. (The USB string attributes of sysfs do wait for the device: they are
 * not read here.)
 */
#include "usb-private.h"

#include <fcntl.h>
#include <linux/input-event-codes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE (4 * 1024 * 1024)

static void mount_free(gpointer data)
{
    BhUsbMount *mount = data;
    g_free(mount->source);
    g_free(mount->point);
    g_free(mount);
}

static void input_free(gpointer data)
{
    BhUsbInput *input = data;
    g_free(input->path);
    g_free(input);
}

/* mountinfo, swaps: octal escapes for space, tab, newline and backslash. */
static char *unescape_octal(const char *text)
{
    g_autoptr(GString) out = g_string_new(NULL);
    for (const char *p = text; *p; p++) {
        if (p[0] == '\\' && p[1] >= '0' && p[1] <= '3' && p[2] >= '0' && p[2] <= '7' &&
            p[3] >= '0' && p[3] <= '7') {
            char c = (char)((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
            g_string_append_c(out, c ? c : '?');
            p += 3;
        } else {
            g_string_append_c(out, *p);
        }
    }
    return g_strdup(out->str);
}

/* "36 35 98:0 /root /point options shared:1 - ext3 /dev/sdb1 rw": the source follows the dash. */
static BhUsbMount *parse_mount(const char *line)
{
    g_auto(GStrv) field = g_strsplit(line, " ", -1);
    guint n = g_strv_length(field), dash = 6, major, minor;
    while (dash < n && strcmp(field[dash], "-") != 0)
        dash++;
    if (dash + 2 >= n || sscanf(field[2], "%u:%u", &major, &minor) != 2)
        return NULL;
    BhUsbMount *mount = g_new0(BhUsbMount, 1);
    mount->major = major;
    mount->minor = minor;
    mount->point = unescape_octal(field[4]);
    mount->source = unescape_octal(field[dash + 2]);
    return mount;
}

GPtrArray *bh_usb_parse_mounts(const char *text)
{
    GPtrArray *mounts = g_ptr_array_new_with_free_func(mount_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        BhUsbMount *mount = parse_mount(lines[i]);
        if (mount)
            g_ptr_array_add(mounts, mount);
    }
    return mounts;
}

GPtrArray *bh_usb_parse_swaps(const char *text)
{
    GPtrArray *swaps = g_ptr_array_new_with_free_func(g_free);
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char *end = strpbrk(lines[i], " \t");
        if (lines[i][0] != '/' || !end)
            continue;
        *end = '\0';
        g_ptr_array_add(swaps, unescape_octal(lines[i]));
    }
    return swaps;
}

/* /proc/net/route: Iface Destination Gateway Flags RefCnt Use Metric Mask ..., in hexadecimal. */
void bh_usb_parse_routes(const char *text, GHashTable *set)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char name[64];
        unsigned destination, gateway, flags, mask;
        if (sscanf(lines[i], "%63s %x %x %x %*s %*s %*s %x", name, &destination, &gateway, &flags,
                   &mask) == 5 &&
            destination == 0 && mask == 0 && (flags & 1))
            g_hash_table_add(set, g_strdup(name));
    }
}

/* /proc/net/ipv6_route: destination, its prefix length, source, its length, next hop, metric,
 * references, use, flags, interface. Unreachable routes (on "lo", RTF_REJECT) lead nowhere. */
void bh_usb_parse_ipv6_routes(const char *text, GHashTable *set)
{
    static const char any[] = "00000000000000000000000000000000";
    g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
    for (guint i = 0; lines[i]; i++) {
        char destination[40], name[64];
        unsigned prefix, flags;
        if (sscanf(lines[i], "%39s %x %*s %*s %*s %*s %*s %*s %x %63s", destination, &prefix,
                   &flags, name) == 4 &&
            strcmp(destination, any) == 0 && prefix == 0 && (flags & 1) && !(flags & 0x200) &&
            strcmp(name, "lo") != 0)
            g_hash_table_add(set, g_strdup(name));
    }
}

static char *read_limited(const char *path, gsize limit)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return NULL;
    g_autoptr(GString) out = g_string_new(NULL);
    char buffer[8192];
    gssize n;
    while (out->len < limit && (n = read(fd, buffer, sizeof buffer)) > 0)
        g_string_append_len(out, buffer, n);
    close(fd);
    return g_strdup(out->str); /* stops at a NUL byte, if there is one */
}

char *bh_usb_read_small(const char *directory, const char *name)
{
    g_autofree char *path = g_build_filename(directory, name, NULL);
    char *text = read_limited(path, 64 * 1024);
    return text ? g_strchomp(text) : NULL;
}

gboolean bh_usb_path_is_below(const char *path, const char *parent)
{
    gsize n = strlen(parent);
    return strncmp(path, parent, n) == 0 && (path[n] == '/' || path[n] == '\0');
}

/* Links in /sys/class are relative: "../../devices/pci0000:00/...". Resolved as text, because the
 * answer must be comparable with the paths that udev names. */
static char *resolve_class_link(const char *link_path)
{
    g_autofree char *target = g_file_read_link(link_path, NULL);
    const char *p = target;
    if (!p)
        return NULL;
    while (g_str_has_prefix(p, "../"))
        p += 3;
    return g_str_has_prefix(p, "/") ? g_strdup(p) : g_strconcat("/sys/", p, NULL);
}

static GHashTable *list_class(const char *class)
{
    GHashTable *table = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, g_free);
    g_autofree char *folder = g_build_filename("/sys/class", class, NULL);
    g_autoptr(GDir) dir = g_dir_open(folder, 0, NULL);
    const char *name;
    while (dir && (name = g_dir_read_name(dir))) {
        g_autofree char *link_path = g_build_filename(folder, name, NULL);
        char *path = resolve_class_link(link_path);
        if (path)
            g_hash_table_insert(table, g_strdup(name), path);
    }
    return table;
}

/* capabilities/key is "f00 0 ffff...": words of 64 bits in hexadecimal, the last holds bit 0. */
static gboolean has_bit(const char *mask, guint bit)
{
    g_auto(GStrv) words = g_strsplit(mask ? mask : "", " ", -1);
    guint n = g_strv_length(words), word = bit / 64;
    if (word >= n)
        return FALSE;
    return (g_ascii_strtoull(words[n - 1 - word], NULL, 16) >> (bit % 64)) & 1;
}

static gboolean is_keyboard(const char *keys)
{
    return has_bit(keys, KEY_A) && has_bit(keys, KEY_Z) && has_bit(keys, KEY_ENTER) &&
           has_bit(keys, KEY_SPACE);
}

static gboolean is_pointer(const char *keys, const char *rel, const char *abs)
{
    if (has_bit(rel, REL_X) && has_bit(rel, REL_Y) && has_bit(keys, BTN_LEFT))
        return TRUE;
    return has_bit(abs, ABS_X) && has_bit(abs, ABS_Y) &&
           (has_bit(keys, BTN_LEFT) || has_bit(keys, BTN_TOUCH));
}

/* Programs make input devices too (/devices/virtual): nobody can type on those. */
static GPtrArray *list_inputs(void)
{
    GPtrArray *inputs = g_ptr_array_new_with_free_func(input_free);
    g_autoptr(GHashTable) table = list_class("input");
    GHashTableIter iter;
    gpointer name, path;
    g_hash_table_iter_init(&iter, table);
    while (g_hash_table_iter_next(&iter, &name, &path)) {
        if (!g_str_has_prefix(name, "input") || g_str_has_prefix(path, "/sys/devices/virtual/"))
            continue;
        g_autofree char *keys = bh_usb_read_small(path, "capabilities/key");
        g_autofree char *rel = bh_usb_read_small(path, "capabilities/rel");
        g_autofree char *abs = bh_usb_read_small(path, "capabilities/abs");
        BhUsbInput *input = g_new0(BhUsbInput, 1);
        input->path = g_strdup(path);
        input->keyboard = is_keyboard(keys);
        input->pointer = is_pointer(keys, rel, abs);
        g_ptr_array_add(inputs, input);
    }
    return inputs;
}

static char *read_proc(const char *proc, const char *name)
{
    g_autofree char *path = g_build_filename(proc, name, NULL);
    char *text = read_limited(path, MAX_FILE);
    return text ? text : g_strdup("");
}

BhUsbSystem *bh_usb_system_read(const char *proc)
{
    BhUsbSystem *self = g_new0(BhUsbSystem, 1);
    g_autofree char *mounts = read_proc(proc, "self/mountinfo");
    g_autofree char *swaps = read_proc(proc, "swaps");
    g_autofree char *routes = read_proc(proc, "net/route");
    g_autofree char *ipv6_routes = read_proc(proc, "net/ipv6_route");
    self->proc = g_strdup(proc);
    self->mounts = bh_usb_parse_mounts(mounts);
    self->swaps = bh_usb_parse_swaps(swaps);
    self->routes = g_hash_table_new_full(g_str_hash, g_str_equal, g_free, NULL);
    bh_usb_parse_routes(routes, self->routes);
    bh_usb_parse_ipv6_routes(ipv6_routes, self->routes);
    self->inputs = list_inputs();
    self->blocks = list_class("block");
    self->interfaces = list_class("net");
    self->cards = list_class("sound");
    return self;
}

void bh_usb_system_free(BhUsbSystem *self)
{
    if (!self)
        return;
    g_ptr_array_unref(self->mounts);
    g_ptr_array_unref(self->swaps);
    g_ptr_array_unref(self->inputs);
    g_hash_table_unref(self->routes);
    g_hash_table_unref(self->blocks);
    g_hash_table_unref(self->interfaces);
    g_hash_table_unref(self->cards);
    g_free(self->proc);
    g_free(self);
}
